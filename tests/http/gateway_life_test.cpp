// A gateway's clients and calls come and go, over real sockets.
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include <wisp/http/gateway.hpp>
#include <wisp/wisp.hpp>

#include "http/socket.hpp"
#include "http/wait_for.hpp"

namespace {

using namespace wisp::literals;
using wisp::http::Gateway;
using wisp::test::body_of;
using wisp::test::get;
using wisp::test::post;
using wisp::test::Socket;
using wisp::test::status_of;
using wisp::test::wait_for;

}  // namespace

TEST_CASE("gateway: a client that goes takes its call along", "[gateway]") {
  std::atomic<int> begun{0};
  std::atomic<int> cancelled{0};
  const auto sleeps = wisp::function("sleeps", [&](wisp::Context& context) -> wisp::Status {
    ++begun;
    const wisp::Status slept = context.sleep(20s);
    if (!slept.ok()) ++cancelled;
    return slept;
  });
  wisp::Runtime runtime{wisp::Catalogue().add(sleeps)};
  Gateway gateway{runtime, {.port = 0}};
  gateway.get("/sleeps", sleeps);
  REQUIRE(gateway.start().ok());
  SECTION("by closing") {
    Socket client(gateway.port());
    client.say(get("/sleeps"));
    REQUIRE(wait_for([&] { return begun == 1; }));
    client.close();
    CHECK(wait_for([&] { return cancelled == 1; }));
  }
  SECTION("by a reset") {
    Socket client(gateway.port());
    client.say(get("/sleeps"));
    REQUIRE(wait_for([&] { return begun == 1; }));
    client.abort();
    CHECK(wait_for([&] { return cancelled == 1; }));
  }
  SECTION("and one whose time is over is told so") {
    Socket client(gateway.port());
    CHECK(status_of(client.ask(get("/sleeps", "X-Request-Timeout-Ms: 20\r\n"))) == 504);
  }
  SECTION("and when the gateway stops, who is left is cut off") {
    Socket client(gateway.port());
    client.say(get("/sleeps"));
    REQUIRE(wait_for([&] { return begun == 1; }));
    CHECK(gateway.stop(10ms).code() == wisp::StatusCode::kDeadlineExceeded);
    CHECK(client.at_end());
    CHECK(wait_for([&] { return cancelled == 1; }));
  }
}

TEST_CASE("gateway: a call whose client comes back for its result", "[gateway]") {
  std::atomic<bool> may_end{false};
  std::atomic<int> begun{0};
  std::atomic<int> cancelled{0};
  const auto works =
      wisp::function("works", [&](int n, wisp::Context& context) -> wisp::Result<int> {
        ++begun;
        while (!may_end)
          if (!context.sleep(1ms).ok()) return ++cancelled, wisp::cancelled("no more");
        return 2 * n;
      });
  wisp::Runtime runtime{wisp::Catalogue().add(works)};
  wisp::SeededRandom random{7};
  wisp::ManualClock clock;
  Gateway gateway{runtime,
                  {.port = 0,
                   .limits = {.idle_time = 24h, .results = 2, .result_time = 1min},
                   .clock = &clock,
                   .random = &random}};
  gateway.post("/works/{n}", works, {.async = true});
  REQUIRE(gateway.start().ok());
  Socket client(gateway.port());
  const auto begin = [&] {
    const std::string answer = client.ask(post("/works/21", "", ""));
    CHECK(status_of(answer) == 202);
    const std::size_t at = answer.find("Location: /calls/") + 10;
    return answer.substr(at, answer.find('\r', at) - at);
  };
  const std::string first = begin();
  const std::string second = begin();
  CHECK(first.size() == 7 + 32);
  CHECK(first != second);
  CHECK(status_of(client.ask(post("/works/21", "", ""))) == 503);  // two are the most
  CHECK(status_of(client.ask(post("/works/x", "", ""))) == 503);
  CHECK(status_of(client.ask(get(first))) == 202);
  REQUIRE(wait_for([&] { return begun == 2; }));
  CHECK(status_of(client.ask("DELETE " + second + " HTTP/1.1\r\nHost: a\r\n\r\n")) == 204);
  CHECK(wait_for([&] { return cancelled == 1; }));
  CHECK(status_of(client.ask(get(second))) == 404);
  CHECK(status_of(client.ask("DELETE " + second + " HTTP/1.1\r\nHost: a\r\n\r\n")) == 404);
  CHECK(status_of(client.ask(post("/works/x", "", ""))) == 400);  // and takes no place
  may_end = true;
  std::string answer;
  while (status_of(answer = client.ask(get(first))) == 202) ::usleep(1'000);
  CHECK(status_of(answer) == 200);
  CHECK(body_of(answer) == "42");
  clock.advance(1min);
  CHECK(body_of(client.ask(get(first))) == "42");
  clock.advance(1ns);
  CHECK(status_of(client.ask(get(first))) == 404);
}

TEST_CASE("gateway: drains", "[gateway]") {
  std::atomic<bool> begun{false};
  std::atomic<bool> may_end{false};
  const auto waits = wisp::function("waits", [&] {
    begun = true;
    while (!may_end) ::usleep(1'000);
    return 1;
  });
  wisp::Runtime runtime{wisp::Catalogue().add(waits)};
  Gateway gateway{runtime, {.port = 0}};
  gateway.get("/waits", waits);
  REQUIRE(gateway.start().ok());
  Socket client(gateway.port());
  Socket idle(gateway.port());
  client.say(get("/waits"));
  while (!begun) ::usleep(1'000);
  wisp::Status stopped;
  std::thread stop([&] { stopped = gateway.stop(20s); });
  CHECK(idle.at_end());
  may_end = true;
  const std::string answer = client.hear();
  CHECK(status_of(answer) == 200);
  CHECK(answer.find("Connection: close\r\n") != answer.npos);
  client.close();
  stop.join();
  CHECK(stopped.ok());
}

TEST_CASE("gateway: what a client asked before it ended what it sends is answered", "[gateway]") {
  wisp::Runtime runtime;
  Gateway gateway{runtime, {.port = 0}};
  REQUIRE(gateway.start().ok());
  std::string many;
  for (int i = 0; i < 100; ++i) many += get("/healthz");
  Socket client(gateway.port());
  client.say(many);
  client.half_close();
  for (int i = 0; i < 100; ++i) REQUIRE(status_of(client.hear()) == 200);
  CHECK(client.at_end());
}

TEST_CASE("gateway: clients that are owed nothing do not hold it up", "[gateway]") {
  wisp::Runtime runtime;
  Gateway gateway{runtime, {.port = 0, .threads = 2}};
  REQUIRE(gateway.start().ok());
  Socket silent(gateway.port());
  Socket kept(gateway.port());
  CHECK(status_of(kept.ask(get("/healthz"))) == 200);
  Socket closing(gateway.port());
  CHECK(status_of(closing.ask(get("/healthz", "Connection: close\r\n"))) == 200);
  CHECK(gateway.stop(20s).ok());
  CHECK(gateway.stop(20s).ok());
  CHECK(kept.at_end());
}

TEST_CASE("gateway: connections are bounded, in all and of an address", "[gateway]") {
  wisp::Runtime runtime;
  SECTION("of an address") {
    Gateway gateway{runtime, {.port = 0, .limits = {.connections_per_address = 2}}};
    REQUIRE(gateway.start().ok());
    Socket first(gateway.port());
    Socket second(gateway.port());
    CHECK(status_of(first.ask(get("/healthz"))) == 200);
    CHECK(status_of(second.ask(get("/healthz"))) == 200);
    Socket third(gateway.port());
    CHECK(status_of(third.hear()) == 429);
    CHECK(third.at_end());
    const std::string counted = first.ask(get("/metrics"));
    CHECK(counted.find("\nwisp_http_connections_refused_total 1\n") != counted.npos);
    second.close();
    CHECK(wait_for([&] { return status_of(Socket(gateway.port()).ask(get("/healthz"))) == 200; }));
    CHECK(status_of(first.ask(get("/healthz"))) == 200);
  }
  SECTION("in all") {
    Gateway gateway{runtime, {.port = 0, .limits = {.connections = 1}}};
    REQUIRE(gateway.start().ok());
    Socket first(gateway.port());
    CHECK(status_of(first.ask(get("/healthz"))) == 200);
    CHECK(status_of(Socket(gateway.port()).hear()) == 503);
  }
}

TEST_CASE("gateway: an address may ask so often, whatever its connections", "[gateway]") {
  const auto nothing = wisp::function("nothing", [] {});
  wisp::Runtime runtime{wisp::Catalogue().add(nothing)};
  wisp::ManualClock clock;
  Gateway gateway{runtime,
                  {.port = 0, .limits = {.requests_per_second_per_address = 4}, .clock = &clock}};
  gateway.get("/nothing", nothing, {.run = wisp::http::Run::here});
  REQUIRE(gateway.start().ok());
  const auto ask = [&](Socket& client) { return client.ask(get("/nothing")); };
  Socket a(gateway.port());
  {
    Socket b(gateway.port());
    for (int i = 0; i < 2; ++i) CHECK(status_of(ask(a)) == 204);
    for (int i = 0; i < 2; ++i) CHECK(status_of(ask(b)) == 204);
    const std::string refused = ask(b);
    CHECK(status_of(refused) == 429);
    CHECK(refused.find("\r\nRetry-After: 1\r\n") != refused.npos);
    CHECK(status_of(ask(a)) == 429);
  }
  CHECK(status_of(a.ask(get("/healthz"))) == 429);
  // Refused requests are not counted, and the connection goes on.
  clock.advance(std::chrono::milliseconds(250));
  CHECK(status_of(ask(a)) == 204);
  CHECK(status_of(ask(a)) == 429);
  a.close();
  Socket again(gateway.port());
  CHECK(status_of(ask(again)) == 429);
  clock.advance(std::chrono::seconds(1));
  for (int i = 0; i < 4; ++i) CHECK(status_of(ask(again)) == 204);
  CHECK(status_of(ask(again)) == 429);
}

TEST_CASE("gateway: a request counts for as many as its route says", "[gateway]") {
  const auto cheap = wisp::function("cheap", [] {});
  const auto dear = wisp::function("dear", [] {});
  wisp::Runtime runtime{wisp::Catalogue().add(cheap).add(dear)};
  wisp::ManualClock clock;
  Gateway gateway{runtime,
                  {.port = 0,
                   .limits = {.requests_per_second_per_address = 4},
                   .clock = &clock,
                   .invoke = true}};
  gateway.get("/cheap", cheap, {.run = wisp::http::Run::here})
      .get("/dear", dear, {.run = wisp::http::Run::here, .weight = 3})
      .get("/invoke/looks", cheap, {.run = wisp::http::Run::here, .weight = 3})
      .post("/dearest", dear, {.run = wisp::http::Run::here, .weight = 8});
  REQUIRE(gateway.start().ok());
  Socket client(gateway.port());
  const auto ask = [&](std::string_view path) { return status_of(client.ask(get(path))); };
  CHECK(ask("/dear") == 204);
  CHECK(ask("/dear") == 429);
  CHECK(ask("/cheap") == 204);  // which is what was left
  CHECK(ask("/cheap") == 429);
  clock.advance(std::chrono::milliseconds(500));
  CHECK(ask("/dear") == 429);
  clock.advance(std::chrono::milliseconds(250));
  CHECK(ask("/dear") == 204);
  // More than a second's worth has to wait until nothing is owed, by whatever way it comes.
  clock.advance(std::chrono::milliseconds(999));
  CHECK(status_of(client.ask(post("/invoke/dear", ""))) == 429);
  clock.advance(std::chrono::milliseconds(1));
  CHECK(status_of(client.ask(post("/invoke/dear", ""))) == 204);
  clock.advance(std::chrono::milliseconds(1'750));
  CHECK(ask("/cheap") == 204);
  // A route is what it is, whatever its path looks like.
  clock.advance(std::chrono::seconds(1));
  CHECK(ask("/invoke/looks") == 204);
  CHECK(ask("/invoke/looks") == 429);
  Gateway never{runtime, {.port = 0}};
  never.get("/x", cheap, {.weight = 0});
  CHECK(wisp::message(never.start()) ==
        "route 'GET /x': RouteOptions::weight is 0, and may be 1 to 1000");
}

TEST_CASE("gateway: one that could not begin at first is ready once it has", "[gateway]") {
  wisp::Runtime runtime;
  auto first = std::make_unique<Gateway>(runtime, wisp::http::GatewayOptions{.port = 0});
  REQUIRE(first->start().ok());
  Gateway second{runtime, {.port = first->port()}};
  CHECK_FALSE(second.start().ok());
  first.reset();
  REQUIRE(second.start().ok());
  CHECK(status_of(Socket(second.port()).ask(get("/readyz"))) == 200);
  CHECK(second.stop(wisp::Duration::zero()).ok());  // nobody is there
}

TEST_CASE("gateway: results that nobody fetches are bounded by their bytes", "[gateway]") {
  const auto big = wisp::function("big", [] { return std::string(6'000, 'x'); });
  wisp::Runtime runtime{wisp::Catalogue().add(big)};
  wisp::ManualClock clock;
  Gateway gateway{runtime,
                  {.port = 0,
                   .limits = {.result_time = std::chrono::minutes(1), .result_bytes = 10'000},
                   .clock = &clock}};
  gateway.get("/big", big, {.async = true});
  REQUIRE(gateway.start().ok());
  Socket client(gateway.port());
  std::string where;
  for (int i = 0; i < 2; ++i) {
    const std::string begun = client.ask(get("/big"));
    REQUIRE(status_of(begun) == 202);
    const std::size_t at = begun.find("Location: ") + 10;
    where = begun.substr(at, begun.find('\r', at) - at);
    REQUIRE(wait_for([&] { return status_of(client.ask(get(where))) == 200; }));
  }
  const std::string refused = client.ask(get("/big"));
  CHECK(status_of(refused) == 503);
  CHECK(body_of(refused).find("results of 10000 bytes") != std::string::npos);
  CHECK(status_of(client.ask("DELETE " + where + " HTTP/1.1\r\nHost: a\r\n\r\n")) == 204);
  CHECK(status_of(client.ask(get("/big"))) == 202);
}
