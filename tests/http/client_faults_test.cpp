// The client against servers that fail, or take too long, over real sockets.
#include <atomic>
#include <chrono>
#include <stop_token>
#include <string>
#include <thread>

#include <wisp/http/client.hpp>
#include <wisp/wisp.hpp>

#include "http/raw_server.hpp"
#include "http/wait_for.hpp"

namespace {

using namespace wisp::literals;
using wisp::StatusCode;
using wisp::http::Client;
using wisp::http::ClientOptions;
using wisp::test::answer;
using wisp::test::code_of;
using wisp::test::echo;
using wisp::test::local;
using wisp::test::Peer;
using wisp::test::RawServer;
using wisp::test::wait_for;

}  // namespace

TEST_CASE("client: a new connection that ends is not tried again", "[client]") {
  RawServer server([](Peer& peer) { peer.hear(); });
  Client client(local());
  const auto none = client.send({.url = server.url()});
  CHECK(code_of(none) == StatusCode::kUnavailable);
  CHECK(wisp::message(none.status()).find("closed without a response") != std::string::npos);
  CHECK(server.connections() == 1);
}

TEST_CASE("client: errors have the code by which a retry rule knows", "[client]") {
  SECTION("refused") {
    int port = 0;
    {
      port = RawServer(echo).port();
    }
    Client client(local());
    const auto none = client.send({.url = "http://127.0.0.1:" + std::to_string(port) + "/secret"});
    CHECK(code_of(none) == StatusCode::kUnavailable);
    CHECK(wisp::message(none.status()).starts_with("http://127.0.0.1:" + std::to_string(port)));
    CHECK(wisp::message(none.status()).find("secret") == std::string::npos);
  }
  SECTION("reset") {
    RawServer server([](Peer& peer) {
      peer.hear();
      peer.abort();
    });
    Client client(local());
    CHECK(code_of(client.send({.url = server.url()})) == StatusCode::kUnavailable);
  }
  SECTION("cut short") {
    RawServer server([](Peer& peer) {
      peer.hear();
      peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    });
    Client client(local());
    CHECK(code_of(client.send({.url = server.url()})) == StatusCode::kUnavailable);
  }
  SECTION("not HTTP") {
    RawServer server([](Peer& peer) {
      peer.say("220 mail.example ESMTP\r\n");
      peer.wait();
    });
    Client client(local());
    CHECK(code_of(client.send({.url = server.url()})) == StatusCode::kDataLoss);
  }
  SECTION("too long, before it is sent") {
    RawServer server([](Peer& peer) {
      peer.hear();
      peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n");
      peer.wait();
    });
    Client client(local());
    CHECK(code_of(client.send({.url = server.url()})) == StatusCode::kOutOfRange);
  }
  SECTION("without end") {
    RawServer server([](Peer& peer) {
      peer.hear();
      peer.say("HTTP/1.1 200 OK\r\n\r\n");
      for (int i = 0; i < 64; ++i) peer.say(std::string(65'536, 'x'));
    });
    Client client(local());
    CHECK(code_of(client.send({.url = server.url()})) == StatusCode::kOutOfRange);
  }
}

TEST_CASE("client: an answer before the whole request is heard, and ends the sending", "[client]") {
  RawServer server([](Peer& peer) {
    peer.say(answer("too long", "", 413));
    ::shutdown(peer.descriptor(), SHUT_WR);
    peer.wait();
  });
  Client client(local());
  const auto refused = client.send(
      {.method = "POST", .url = server.url(), .body = std::string(64 * 1'048'576, 'x')});
  REQUIRE(refused.ok());
  CHECK(refused->status == 413);
  CHECK(refused->body == "too long");
}

TEST_CASE("client: time limits are kept", "[client]") {
  std::atomic<int> heard{0};
  RawServer server([&heard](Peer& peer) {
    peer.hear();
    peer.say("HTTP/1.1 200 OK\r\nContent-Le");
    ++heard;
    peer.wait();
  });
  wisp::ManualClock clock;
  ClientOptions options = local();
  options.clock = &clock;
  options.timeouts.total = 30s;
  Client client(options);
  std::atomic<bool> over{false};
  wisp::Status status;
  const auto call = [&](wisp::Deadline deadline) {
    return std::thread([&, deadline] {
      status = client.send({.url = server.url()}, deadline).status();
      over = true;
    });
  };
  const auto expect = [&](wisp::Duration time, wisp::Deadline deadline) {
    std::thread thread = call(deadline);
    const bool began = wait_for([&] { return heard == 1; });
    clock.advance(time - 1ms);
    ::usleep(20'000);
    CHECK_FALSE(over);
    clock.advance(1ms);
    thread.join();
    CHECK(began);
    CHECK(status.code() == StatusCode::kDeadlineExceeded);
    CHECK(wisp::message(status) ==
          "http://127.0.0.1:" + std::to_string(server.port()) + ": no response in time");
  };
  SECTION("the client's") { expect(30s, {}); }
  SECTION("the call's, if it is earlier") { expect(5s, wisp::Deadline::after(clock, 5s)); }
  SECTION("the client's, if the call's is later") {
    expect(30s, wisp::Deadline::after(clock, 60s));
  }
}

TEST_CASE("client: a call whose deadline has passed is not begun", "[client]") {
  RawServer server(echo);
  Client client(local());
  const wisp::Deadline past(wisp::Clock::system().now());
  CHECK(code_of(client.send({.url = server.url()}, past)) == StatusCode::kDeadlineExceeded);
  CHECK(server.connections() == 0);
}

TEST_CASE("client: a call ends when it is told to", "[client]") {
  std::atomic<int> heard{0};
  RawServer server([&heard](Peer& peer) {
    peer.hear();
    ++heard;
    peer.wait();
  });
  Client client(local());
  SECTION("by a token") {
    std::stop_source source;
    wisp::Status status;
    std::thread thread(
        [&] { status = client.send({.url = server.url()}, {}, source.get_token()).status(); });
    const bool began = wait_for([&] { return heard == 1; });
    source.request_stop();
    thread.join();
    CHECK(began);
    CHECK(status.code() == StatusCode::kCancelled);
  }
  SECTION("by its context's end") {
    wisp::Status seen;
    const auto asks = wisp::function("asks", [&](wisp::Context& context) -> wisp::Status {
      seen = client.send({.url = server.url()}, context).status();
      return seen;
    });
    wisp::Runtime runtime{wisp::Catalogue().add(asks)};
    auto pending = runtime.start(asks);
    REQUIRE(wait_for([&] { return heard == 1; }));
    pending.cancel();
    CHECK_FALSE(pending.wait().ok());
    runtime.stop(5s);
    CHECK(seen.code() == StatusCode::kCancelled);
  }
  SECTION("by its context's deadline") {
    wisp::Status seen;
    const auto asks = wisp::function("asks",
                                     [&](wisp::Context& context) -> wisp::Status {
                                       seen = client.send({.url = server.url()}, context).status();
                                       return seen;
                                     },
                                     {.timeout = 100ms});
    wisp::Runtime runtime{wisp::Catalogue().add(asks)};
    CHECK_FALSE(runtime.call(asks).ok());
    CHECK(seen.code() == StatusCode::kDeadlineExceeded);
  }
}
