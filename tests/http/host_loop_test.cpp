// A gateway on the loop that its host has already.
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include <wisp/http/gateway.hpp>
#include <wisp/wisp.hpp>

#include "http/socket.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::http::Gateway;
using wisp::http::Run;
using wisp::test::body_of;
using wisp::test::get;
using wisp::test::Socket;
using wisp::test::status_of;

const auto where = wisp::function("where", [] {
  return std::to_string(std::hash<std::thread::id>()(std::this_thread::get_id()));
});
const auto sleeps =
    wisp::function("sleeps", [](wisp::Context& context) { return context.sleep(20s); });

std::string here() {
  return '"' + std::to_string(std::hash<std::thread::id>()(std::this_thread::get_id())) + '"';
}

}  // namespace

TEST_CASE("host loop: serves on the host's thread, beside what else is there", "[host-loop]") {
  wisp::Runtime runtime{wisp::Catalogue().add(where)};
  boost::asio::io_context context;
  Gateway gateway{runtime, {.port = 0, .io_context = &context}};
  gateway.get("/here", where, {.run = Run::here}).get("/pool", where);
  REQUIRE(gateway.start().ok());
  std::atomic<bool> over{false};
  std::string on_loop;
  std::string on_pool;
  std::thread client([&, port = gateway.port()] {
    Socket socket(port);
    on_loop = body_of(socket.ask(get("/here")));
    on_pool = body_of(socket.ask(get("/pool")));
    over = true;
    boost::asio::post(context, [&] { context.stop(); });
  });
  context.run();
  client.join();
  CHECK(over);
  CHECK(on_loop == here());
  CHECK_FALSE(on_pool.empty());
  CHECK(on_pool != here());
  CHECK(gateway.stop(1s).ok());
}

TEST_CASE("host loop: one that is polled", "[host-loop]") {
  wisp::Runtime runtime{wisp::Catalogue().add(where)};
  boost::asio::io_context context;
  Gateway gateway{runtime, {.port = 0, .io_context = &context}};
  gateway.get("/here", where, {.run = Run::here});
  REQUIRE(gateway.start().ok());
  std::atomic<int> served{0};
  std::thread client([&, port = gateway.port()] {
    Socket socket(port);
    for (int i = 0; i < 10; ++i) served += status_of(socket.ask(get("/here"))) == 200 ? 1 : 0;
    served += 100;
  });
  for (int frame = 0; frame < 20'000 && served < 100; ++frame) context.run_for(1ms);
  client.join();
  CHECK(served == 110);
}

TEST_CASE("host loop: goes without leaving anything on it, whatever its clients do",
          "[host-loop]") {
  wisp::Runtime runtime{wisp::Catalogue().add(where).add(sleeps)};
  boost::asio::io_context context;
  int host_work = 0;
  for (const bool within : {false, true}) {
    auto gateway = std::make_unique<Gateway>(
        runtime, wisp::http::GatewayOptions{.port = 0, .io_context = &context});
    gateway->get("/here", where, {.run = Run::here}).get("/sleeps", sleeps);
    REQUIRE(gateway->start().ok());
    context.restart();  // it ran out of work
    Socket idle(gateway->port());
    Socket waits(gateway->port());
    Socket lingers(gateway->port());
    waits.say(get("/sleeps"));
    lingers.say("nonsense\r\n\r\n");
    context.run_for(100ms);
    CHECK(status_of(lingers.hear()) == 400);
    boost::asio::post(context, [&] { ++host_work; });
    if (within) {
      boost::asio::post(context, [&] { CHECK_FALSE(gateway->stop(1ms).ok()); });
      context.run_for(100ms);
    } else {
      CHECK_FALSE(gateway->stop(1ms).ok());
    }
    gateway.reset();
    CHECK(idle.at_end());
    CHECK(waits.at_end());
    // The host's own goes on, and there is nothing else.
    boost::asio::post(context, [&] { ++host_work; });
    context.restart();
    context.run();
  }
  CHECK(host_work == 4);
}

TEST_CASE("host loop: one whose start failed leaves nothing on it", "[host-loop]") {
  wisp::Runtime runtime;
  boost::asio::io_context context;
  Gateway first{runtime, {.port = 0, .io_context = &context}};
  REQUIRE(first.start().ok());
  {
    Gateway second{runtime, {.port = first.port(), .io_context = &context}};
    for (int times = 0; times < 2; ++times) CHECK_FALSE(second.start().ok());
  }
  context.run_for(20ms);
  CHECK(first.stop(20s).ok());  // at once: nobody is there
}

TEST_CASE("host loop: may be stopped by the host, and asked to stop again, while it stops",
          "[host-loop]") {
  wisp::Runtime runtime{wisp::Catalogue().add(sleeps)};
  boost::asio::io_context context;
  Gateway gateway{runtime, {.port = 0, .io_context = &context}};
  gateway.get("/sleeps", sleeps);
  REQUIRE(gateway.start().ok());
  Socket waits(gateway.port());
  waits.say(get("/sleeps"));
  context.run_for(50ms);
  boost::asio::post(context, [&] {
    CHECK(gateway.stop(1ms).code() == wisp::StatusCode::kFailedPrecondition);
    context.stop();
  });
  CHECK(gateway.stop(50ms).code() == wisp::StatusCode::kDeadlineExceeded);
  CHECK(context.stopped());
  CHECK(waits.at_end());
}

TEST_CASE("host loop: a nested stop does not end the host's run", "[host-loop]") {
  wisp::Runtime runtime;
  boost::asio::io_context context;
  Gateway gateway{runtime, {.port = 0, .io_context = &context}};
  REQUIRE(gateway.start().ok());
  bool went_on = false;
  boost::asio::post(context, [&] {
    CHECK(gateway.stop(1s).ok());
    boost::asio::post(context, [&] { went_on = true; });
  });
  context.run();
  CHECK(went_on);
}

#if WISP_EXCEPTIONS
TEST_CASE("host loop: what the host's handlers throw while it stops comes out of the host's run",
          "[host-loop]") {
  wisp::Runtime runtime{wisp::Catalogue().add(sleeps)};
  boost::asio::io_context context;
  Gateway gateway{runtime, {.port = 0, .io_context = &context}};
  gateway.get("/sleeps", sleeps);
  REQUIRE(gateway.start().ok());
  Socket waits(gateway.port());
  waits.say(get("/sleeps"));
  context.run_for(50ms);
  for (const char* what : {"one", "two"})
    boost::asio::post(context, [what] { throw std::runtime_error(what); });
  CHECK(gateway.stop(20ms).code() == wisp::StatusCode::kDeadlineExceeded);
  CHECK(waits.at_end());
  CHECK(gateway.stop(20ms).ok());  // it has stopped
  for (const std::string what : {"one", "two"}) CHECK_THROWS_WITH(context.run(), what);
  CHECK_NOTHROW(context.run());
}
#endif

TEST_CASE("host loop: has one thread", "[host-loop]") {
  wisp::Runtime runtime;
  boost::asio::io_context context;
  Gateway gateway{runtime, {.port = 0, .threads = 2, .io_context = &context}};
  CHECK(wisp::message(gateway.start()) == "GatewayOptions::threads is 2, and may be 1 to 1");
}
