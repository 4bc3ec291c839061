// The client against servers that behave, over real sockets.
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <wisp/http/client.hpp>
#include <wisp/http/gateway.hpp>
#include <wisp/wisp.hpp>

#include "http/raw_server.hpp"
#include "http/wait_for.hpp"

namespace {

using namespace wisp::literals;
using wisp::StatusCode;
using wisp::http::Client;
using wisp::http::ClientOptions;
using wisp::http::ClientRequest;
using wisp::http::to_status;
using wisp::test::answer;
using wisp::test::code_of;
using wisp::test::echo;
using wisp::test::local;
using wisp::test::Peer;
using wisp::test::RawServer;
using wisp::test::wait_for;

}  // namespace

TEST_CASE("client: a request is sent as it is", "[client]") {
  RawServer server(echo);
  Client client(local());
  REQUIRE(client.status().ok());
  const std::string host = "Host: 127.0.0.1:" + std::to_string(server.port()) + "\r\n";
  const std::string agent = "User-Agent: wisp/" WISP_VERSION "\r\n";
  const auto get = client.send({.url = server.url("/a?b=%20#c")});
  REQUIRE(get.ok());
  CHECK(get->status == 200);
  CHECK(get->body == "GET /a?b=%20 HTTP/1.1\r\n" + host + agent + "\r\n");
  CHECK(get->origin == "http://127.0.0.1:" + std::to_string(server.port()));
  const auto post = client.send({.method = "POST",
                                 .url = server.url(),
                                 .headers = {{"A", "1"}, {"user-agent", "x"}},
                                 .body = "hello"});
  REQUIRE(post.ok());
  CHECK(post->body ==
        "POST / HTTP/1.1\r\n" + host + "A: 1\r\nuser-agent: x\r\nContent-Length: 5\r\n\r\nhello");
  const auto empty = client.send({.method = "PUT", .url = server.url()});
  REQUIRE(empty.ok());
  CHECK(empty->body == "PUT / HTTP/1.1\r\n" + host + agent + "Content-Length: 0\r\n\r\n");
}

TEST_CASE("client: a request that is none is not sent", "[client]") {
  RawServer server(echo);
  Client client(local());
  const ClientRequest none[] = {
      {.url = ""},
      {.url = "ftp://127.0.0.1/"},
      {.method = "", .url = server.url()},
      {.method = "GET /x HTTP/1.1\r\nA:", .url = server.url()},
      {.method = "G T", .url = server.url()},
      {.method = "CONNECT", .url = server.url()},
      {.url = server.url(), .headers = {{"", "x"}}},
      {.url = server.url(), .headers = {{"A b", "x"}}},
      {.url = server.url(), .headers = {{"A:", "x"}}},
      {.url = server.url(), .headers = {{"A\r\nB", "x"}}},
      {.url = server.url(), .headers = {{"A", "x\r\nB: y"}}},
      {.url = server.url(), .headers = {{"A", "x\ny"}}},
      {.url = server.url(), .headers = {{"A", std::string("x\0y", 3)}}},
      {.url = server.url(), .headers = {{"Host", "x"}}},
      {.url = server.url(), .headers = {{"content-length", "0"}}},
      {.url = server.url(), .headers = {{"Transfer-Encoding", "chunked"}}},
      {.url = server.url(), .headers = {{"Connection", "close"}}},
      {.url = server.url(), .headers = {{"Expect", "100-continue"}}},
  };
  for (const ClientRequest& each : none)
    CHECK(code_of(client.send(each)) == StatusCode::kInvalidArgument);
  ClientRequest many{.url = server.url()};
  many.headers.assign(101, {"A", "b"});
  CHECK(code_of(client.send(many)) == StatusCode::kInvalidArgument);
  const ClientRequest large{.url = server.url(), .headers = {{"A", std::string(16'384, 'x')}}};
  CHECK(code_of(client.send(large)) == StatusCode::kInvalidArgument);
  CHECK(server.connections() == 0);
}

TEST_CASE("client: options that make no sense are what every call returns", "[client]") {
  const auto refusal = [](const ClientOptions& options) {
    Client client(options);
    CHECK(client.send({.url = "http://127.0.0.1:1/"}).status() == client.status());
    return client.status().code();
  };
  CHECK(refusal({.timeouts = {.total = 0s}}) == StatusCode::kInvalidArgument);
  CHECK(refusal({.timeouts = {.connect = -1s}}) == StatusCode::kInvalidArgument);
  CHECK(refusal({.max_redirects = 6}) == StatusCode::kInvalidArgument);
  CHECK(refusal({.max_redirects = -1}) == StatusCode::kInvalidArgument);
  CHECK(refusal({.limits = {.body_bytes = 1'073'741'825}}) == StatusCode::kInvalidArgument);
  CHECK(refusal({.ca_file = "/nowhere.pem"}) == StatusCode::kInvalidArgument);
}

TEST_CASE("client: a connection serves one request after the other", "[client]") {
  RawServer server(echo);
  ClientOptions options = local();
  SECTION("until it is told otherwise") {
    Client client(options);
    for (int i = 0; i < 5; ++i) CHECK(client.send({.url = server.url()}).ok());
    CHECK(server.connections() == 1);
  }
  SECTION("unless none is kept") {
    options.keep_alive.connections = 0;
    Client client(options);
    for (int i = 0; i < 3; ++i) CHECK(client.send({.url = server.url()}).ok());
    CHECK(server.connections() == 3);
  }
  SECTION("unless it has been idle for too long") {
    wisp::ManualClock clock;
    options.clock = &clock;
    options.keep_alive.idle_time = 10s;
    Client client(options);
    CHECK(client.send({.url = server.url()}).ok());
    clock.advance(10s);
    CHECK(client.send({.url = server.url()}).ok());
    CHECK(server.connections() == 1);
    clock.advance(10s + 1ns);
    CHECK(client.send({.url = server.url()}).ok());
    CHECK(server.connections() == 2);
  }
}

TEST_CASE("client: a connection that may not be clean is not used again", "[client]") {
  const char* const first[] = {
      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
      "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
      "HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\nx",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 X\r\n\r\nforged",
  };
  for (const char* text : first) {
    INFO(text);
    RawServer server([text](Peer& peer) {
      for (bool sent = false; !peer.hear().empty(); sent = true)
        peer.say(peer.number() == 0 && !sent ? std::string(text) : answer("second"));
    });
    Client client(local());
    const auto one = client.send({.url = server.url()});
    REQUIRE(one.ok());
    CHECK(one->body == (one->status == 204 ? "" : "x"));
    const auto two = client.send({.url = server.url()});
    REQUIRE(two.ok());
    CHECK(two->body == "second");
    CHECK(server.connections() == 2);
  }
}

TEST_CASE("client: what comes unasked on an idle connection is nobody's answer", "[client]") {
  std::atomic<bool> said = false;
  RawServer server([&said](Peer& peer) {
    for (bool again = false; !peer.hear().empty(); again = true) {
      peer.say(answer(again ? "again" : "first"));
      if (peer.number() > 0) continue;
      ::usleep(20'000);
      peer.say(answer("forged"));
      said = true;
    }
  });
  Client client(local());
  CHECK(client.send({.url = server.url()})->body == "first");
  REQUIRE(wait_for([&] { return said.load(); }));
  CHECK(client.send({.url = server.url()})->body == "first");
  CHECK(server.connections() == 2);
}

TEST_CASE("client: a stale connection costs an idempotent request nothing", "[client]") {
  // The first connection ends with its second request, unanswered.
  RawServer server([](Peer& peer) {
    for (int i = 0; !peer.hear().empty() && (peer.number() > 0 || i == 0); ++i)
      peer.say(answer("x"));
  });
  Client client(local());
  REQUIRE(client.send({.url = server.url()}).ok());
  SECTION("GET is sent again, once") {
    CHECK(client.send({.url = server.url()}).ok());
    CHECK(server.connections() == 2);
  }
  SECTION("POST is not") {
    CHECK(code_of(client.send({.method = "POST", .url = server.url()})) ==
          StatusCode::kUnavailable);
    CHECK(server.connections() == 1);
  }
}

TEST_CASE("client: calls from many threads share it", "[client]") {
  RawServer server(echo);
  Client client(local());
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < 20; ++k) {
        const std::string body = std::to_string(i) + '/' + std::to_string(k) + ';';
        const auto response = client.send({.method = "POST", .url = server.url(), .body = body});
        if (response.ok() && response->body.ends_with("\r\n\r\n" + body)) ++good;
      }
    });
  }
  for (std::thread& each : threads) each.join();
  CHECK(good == 160);
  CHECK(server.connections() <= 8);
}

TEST_CASE("client: a gateway's functions answer it", "[client]") {
  const auto repeat =
      wisp::function("repeat", [](int n) { return std::string(static_cast<std::size_t>(n), 'x'); });
  wisp::Runtime runtime{wisp::Catalogue().add(repeat)};
  wisp::http::Gateway gateway{runtime, {.port = 0}};
  gateway.get("/repeat/{n}", repeat);
  REQUIRE(gateway.start().ok());
  const std::string origin = "http://127.0.0.1:" + std::to_string(gateway.port());
  Client client(local());
  const auto three = client.send({.url = origin + "/repeat/3"});
  REQUIRE(three.ok());
  CHECK(three->body == "\"xxx\"");
  CHECK(three->header("content-type") == "application/json");
  CHECK(client.send({.url = origin + "/repeat/1000000"})->body.size() == 1'000'002);
  CHECK(client.send({.method = "HEAD", .url = origin + "/repeat/3"})->body.empty());
  const auto missing = client.send({.url = origin + "/missing"});
  REQUIRE(missing.ok());
  CHECK(missing->status == 404);
  CHECK(to_status(*missing).code() == StatusCode::kNotFound);
  CHECK(client.send({.url = origin + "/repeat/x"})->status == 400);
}

TEST_CASE("client: a status that is no success, as an error", "[client]") {
  const auto status_of = [](int status) {
    return to_status({.status = status, .body = "secret", .origin = "https://a.example"});
  };
  for (const int good : {200, 201, 202, 204, 299}) CHECK(status_of(good).ok());
  const std::pair<int, StatusCode> cases[] = {
      {301, StatusCode::kFailedPrecondition}, {304, StatusCode::kFailedPrecondition},
      {400, StatusCode::kInvalidArgument},    {401, StatusCode::kUnauthenticated},
      {403, StatusCode::kPermissionDenied},   {404, StatusCode::kNotFound},
      {405, StatusCode::kUnimplemented},      {408, StatusCode::kDeadlineExceeded},
      {409, StatusCode::kFailedPrecondition}, {410, StatusCode::kNotFound},
      {413, StatusCode::kInvalidArgument},    {418, StatusCode::kInvalidArgument},
      {425, StatusCode::kUnavailable},        {429, StatusCode::kResourceExhausted},
      {500, StatusCode::kInternal},           {501, StatusCode::kUnimplemented},
      {502, StatusCode::kUnavailable},        {503, StatusCode::kUnavailable},
      {504, StatusCode::kUnavailable},        {599, StatusCode::kInternal}};
  for (const auto& [status, code] : cases) {
    INFO(status);
    CHECK(status_of(status).code() == code);
    CHECK(wisp::message(status_of(status)) ==
          "https://a.example answered " + std::to_string(status));
    CHECK(wisp::retryable(code) ==
          (status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501)));
  }
  CHECK_FALSE(wisp::retry_after_of(status_of(429)).has_value());
  const wisp::Status busy = to_status({.status = 429, .retry_after = 7s});
  CHECK(wisp::retry_after_of(busy) == 7s);
}

TEST_CASE("client: Retry-After is taken from the response", "[client]") {
  RawServer server([](Peer& peer) {
    peer.hear();
    peer.say(answer("", "Retry-After: 9\r\n", 503));
    peer.hear();
    peer.say(answer("", "Retry-After: soon\r\n", 503));
    peer.wait();
  });
  Client client(local());
  CHECK(client.send({.url = server.url()})->retry_after == 9s);
  CHECK_FALSE(client.send({.url = server.url()})->retry_after.has_value());
}
