// Streams and server-sent events behind a real socket.
#include <wisp/http/gateway.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "http/socket.hpp"
#include "http/wait_for.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::http::Gateway;
using wisp::http::Response;
using wisp::test::body_of;
using wisp::test::get;
using wisp::test::post;
using wisp::test::Socket;
using wisp::test::status_of;

struct Moved {
  int id = 0;
  std::string to;
};
WISP_FIELDS(Moved, id, to)

// As many lines as it is asked for.
const auto lines = wisp::function("lines", [](const int& count) {
  Response response;
  response.stream = [count, at = 0]() mutable -> wisp::Result<std::optional<std::string>> {
    if (at == count) return std::optional<std::string>();
    return std::optional(std::to_string(at++) + '\n');
  };
  return response;
});
const auto breaks = wisp::function("breaks", [](const bool& throws) {
  Response response;
  response.stream = [throws, at = 0]() mutable -> wisp::Result<std::optional<std::string>> {
    if (at++ == 0) return std::optional<std::string>("begin");
    if (throws) throw std::runtime_error("no more");
    return wisp::internal("no more");
  };
  return response;
});

const auto both = wisp::function("both", [](const int& status) {
  Response response{.status = status, .body = "body"};
  response.stream = [at = 0]() mutable -> wisp::Result<std::optional<std::string>> {
    if (at++ > 0) return std::optional<std::string>();
    return std::optional<std::string>("stream");
  };
  return response;
});

struct ServedStreams {
  explicit ServedStreams(wisp::http::GatewayOptions options = {}) {
    options.port = 0;
    gateway.emplace(runtime, options);
    gateway->post("/lines", lines)
        .post("/breaks", breaks)
        .post("/both", both)
        .post("/kept", lines, {.async = true})
        .events<Moved>("/moves", "parcels.*.moved");
    const wisp::Status begun = gateway->start();
    INFO(wisp::to_string(begun));
    REQUIRE(begun.ok());
    port = gateway->port();
  }

  wisp::Runtime runtime{wisp::Catalogue().add(lines).add(breaks).add(both)};
  std::optional<Gateway> gateway;
  int port = 0;
};

std::string until(Socket& socket, std::string_view what) { return socket.hear_until(what); }

std::string dechunked(std::string_view text) {
  std::string body;
  while (!text.empty()) {
    const std::size_t size = std::stoul(std::string(text.substr(0, 8)), nullptr, 16);
    text.remove_prefix(text.find("\r\n") + 2);
    body += text.substr(0, size);
    text.remove_prefix(size + 2);
  }
  return body;
}

}  // namespace

TEST_CASE("events: a function's response may be made while it is sent", "[events]") {
  ServedStreams served;
  Socket client(served.port);
  client.say(post("/lines", "3"));
  CHECK(dechunked(body_of(until(client, "\r\n0\r\n\r\n"))) == "0\n1\n2\n");
  // More than what is kept for a client, on the same connection.
  client.say(post("/lines", "20000"));
  const std::string body = dechunked(body_of(until(client, "\r\n0\r\n\r\n")));
  CHECK(body.size() == 108'890);
  CHECK(body.ends_with("\n19999\n"));
  CHECK(status_of(client.ask(get("/healthz"))) == 200);
}

TEST_CASE("events: a stream that fails is cut off; one cannot be kept", "[events]") {
  ServedStreams served;
  for (const char* throws : {"true", "false"}) {
    if (!WISP_EXCEPTIONS && throws == std::string("true")) continue;
    Socket client(served.port);
    client.say(post("/breaks", throws));
    const std::string got = until(client, "\r\n0\r\n\r\n");
    CHECK(got.find("\r\n0\r\n\r\n") == got.npos);
    CHECK(client.at_end());
  }
  Socket client(served.port);
  const std::string begun = client.ask(post("/kept", "3"));
  CHECK(status_of(begun) == 202);
  const std::size_t at = begun.find("Location: ") + 10;
  const std::string where = begun.substr(at, begun.find('\r', at) - at);
  std::string result;
  do result = client.ask(get(where));
  while (status_of(result) == 202);
  CHECK(status_of(result) == 500);
}

TEST_CASE("events: what is published reaches each client that follows", "[events]") {
  ServedStreams served;
  Socket a(served.port);
  Socket b(served.port);
  a.say(get("/moves", "Accept: text/event-stream\r\n"));
  b.say(get("/moves"));
  const std::string head = until(a, ":\n\n");
  CHECK(status_of(head) == 200);
  CHECK(head.find("\r\nContent-Type: text/event-stream\r\n") != head.npos);
  CHECK(head.find("\r\nCache-Control: no-store\r\n") != head.npos);
  until(b, ":\n\n");
  CHECK(served.runtime.emit("parcels.7.moved", Moved{7, "Porto"}).ok());
  CHECK(served.runtime.emit("parcels.8.lost", Moved{8, "nowhere"}).ok());
  CHECK(served.runtime.emit("parcels.9.moved", Moved{9, "a\nb"}).ok());
  const std::string first = until(a, "\"id\":9");
  CHECK(first.find("data: {\"id\":7,\"to\":\"Porto\"}\n\n") != first.npos);
  CHECK(first.find("\"id\":8") == first.npos);
  const std::string rest = until(a, "\n\n");
  CHECK((first + rest).find("data: {\"id\":9,\"to\":\"a\\nb\"}\n\n") != std::string::npos);
  const std::string others = until(b, "\"id\":9");
  CHECK(others.find("\"id\":7") != others.npos);

  const std::size_t at = (first + rest).rfind("id: ") + 4;
  const std::string last = (first + rest).substr(at, (first + rest).find('\n', at) - at);
  CHECK(served.runtime.emit("parcels.10.moved", Moved{10, "Faro"}).ok());
  until(b, "\"id\":10");
  Socket again(served.port);
  again.say(get("/moves", "Last-Event-ID: " + last + "\r\n"));
  const std::string missed = until(again, "\"id\":10");
  CHECK(missed.find("\"id\":9") == missed.npos);
  CHECK(missed.find("lost") == missed.npos);

  const std::string measured = Socket(served.port).ask(get("/metrics"));
  CHECK(measured.find("\nwisp_http_event_streams 3\n") != measured.npos);
  CHECK(measured.find("\nwisp_http_events_total 3\n") != measured.npos);
  CHECK(measured.find("\nwisp_http_events_lost_total 0\n") != measured.npos);
}

TEST_CASE("events: to a thousand clients, of which one does not read, by no more than a worker",
          "[events]") {
  constexpr std::size_t kClients = 1'000;
  rlimit files{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &files) == 0);
  REQUIRE(files.rlim_max > 3 * kClients);
  files.rlim_cur = std::max<rlim_t>(files.rlim_cur, 3 * kClients);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &files) == 0);
  ServedStreams served({.threads = 2, .limits = {.connections_per_address = 2 * kClients}});
  Socket deaf(served.port);
  deaf.say(get("/moves"));
  until(deaf, ":\n\n");
  std::vector<Socket> clients;
  clients.reserve(kClients);
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.emplace_back(served.port);
    clients.back().say(get("/moves"));
  }
  for (Socket& each : clients) until(each, ":\n\n");
  const std::string text(4'000, 'x');
  for (int i = 0; i < 5; ++i) {
    REQUIRE(served.runtime.emit("parcels.1.moved", Moved{i, text}).ok());
    const std::string expected = "{\"id\":" + std::to_string(i) + ",";
    for (Socket& each : clients) REQUIRE(until(each, expected).find("lost") == std::string::npos);
  }
  CHECK(served.runtime.stats().workers.peak == 1);
  const std::string measured = Socket(served.port).ask(get("/metrics"));
  CHECK(measured.find("\nwisp_http_event_streams 1001\n") != measured.npos);
}

TEST_CASE(
    "events: who does not read misses what it may, keeps nobody, and is told so when it is back",
    "[events]") {
  ServedStreams served({.limits = {.kept_event_bytes = 200'000}});
  Socket deaf(served.port);
  deaf.say(get("/moves"));
  until(deaf, ":\n\n");
  Socket good(served.port);
  good.say(get("/moves"));
  until(good, ":\n\n");
  // Far more than the kernel and the gateway hold for one.
  constexpr int kEvents = 400;
  const std::string text(50'000, 'x');
  for (int i = 0; i < kEvents; ++i) {
    REQUIRE(served.runtime.emit("parcels.1.moved", Moved{i, text}).ok());
    const std::string heard = until(good, "{\"id\":" + std::to_string(i) + ",");
    REQUIRE(heard.find("lost") == heard.npos);
    REQUIRE(heard.ends_with(","));
  }
  std::string rest = until(deaf, "{\"id\":399,");
  if (rest.find("event: lost") == rest.npos) {
    // It was cut off in the middle of an event whose rest is gone, and comes again as browsers do.
    REQUIRE_FALSE(rest.ends_with("{\"id\":399,"));
    const std::size_t torn = rest.rfind("id: ");
    REQUIRE(torn > 0);
    const std::size_t id = rest.rfind("id: ", torn - 1) + 4;  // of the last that it has whole
    Socket back(served.port);
    back.say("GET /moves HTTP/1.1\r\nHost: a\r\nLast-Event-ID: " +
             rest.substr(id, rest.find('\n', id) - id) + "\r\n\r\n");
    rest = until(back, "{\"id\":399,");
  }
  CHECK(rest.find("event: lost\ndata: {\"events\":") != rest.npos);
  CHECK(rest.ends_with("{\"id\":399,"));
  const std::string measured = Socket(served.port).ask(get("/metrics"));
  CHECK(measured.find("\nwisp_http_events_lost_total 0\n") == measured.npos);
}

TEST_CASE("events: who reads a stream as fast as it is made leaves the thread to others too",
          "[events]") {
  ServedStreams served;
  Socket greedy(served.port);
  greedy.say(post("/lines", "2000000000"));
  std::atomic<bool> over{false};
  std::atomic<std::size_t> read{0};
  std::thread reader([&] {
    std::array<char, 65'536> piece;
    while (!over) {
      const ssize_t got = ::recv(greedy.descriptor(), piece.data(), piece.size(), 0);
      if (got <= 0) break;
      read += static_cast<std::size_t>(got);
    }
  });
  Socket other(served.port);
  for (int i = 0; i < 50; ++i) CHECK(status_of(other.ask(get("/healthz"))) == 200);
  const std::size_t before = read;
  CHECK(wisp::test::wait_for([&] { return read > before; }));  // and it goes on
  over = true;
  reader.join();
}

TEST_CASE("events: end when the gateway stops, which waits for none of them", "[events]") {
  ServedStreams served;
  Socket client(served.port);
  client.say(get("/moves"));
  until(client, ":\n\n");
  CHECK(served.gateway->stop(20s).ok());
  CHECK(until(client, "0\r\n\r\n").ends_with("0\r\n\r\n"));
  CHECK(client.at_end());
}

TEST_CASE("events: a response with a body and a stream is the stream, or has no content",
          "[events]") {
  ServedStreams served;
  Socket client(served.port);
  client.say(post("/both", "200"));
  CHECK(body_of(until(client, "0\r\n\r\n")) == "6\r\nstream\r\n0\r\n\r\n");
  const std::string reset = client.ask(post("/both", "205"));
  CHECK(reset.starts_with("HTTP/1.1 205 Reset Content\r\n"));
  CHECK(reset.find("\r\nContent-Length: 0\r\n") != reset.npos);
  CHECK(body_of(reset).empty());
  const std::string none = client.ask(post("/both", "204"));
  CHECK(status_of(none) == 204);
  CHECK(body_of(none).empty());
}

TEST_CASE("events: what cannot be is refused", "[events]") {
  ServedStreams served;
  Socket client(served.port);
  CHECK(status_of(client.ask(get("/moves", "Accept: application/json\r\n"))) == 406);
  {
    Socket lists(served.port);  // several lines are one list (RFC 9110, 5.3)
    lists.say(get("/moves", "Accept: application/json\r\nAccept: text/event-stream\r\n"));
    CHECK(status_of(until(lists, ":\n\n")) == 200);
  }
  CHECK(status_of(client.ask(post("/moves", "{}"))) == 405);
  CHECK(status_of(client.ask("HEAD /moves HTTP/1.1\r\nHost: a\r\n\r\n")) == 200);
  const auto refusal = [&](auto&& add) {
    Gateway gateway(served.runtime, {.port = 0});
    add(gateway);
    return std::string(wisp::message(gateway.start()));
  };
  CHECK(refusal([](Gateway& g) { g.events<Moved>("/m", "parcels.**.x"); }).find("/m") !=
        std::string::npos);
  CHECK(refusal([](Gateway& g) { g.events<Moved>("/m/{id}", "parcels"); }) ==
        "route 'GET /m/{id}': events have no parameters");
  CHECK(refusal([](Gateway& g) { g.events<Moved>("/m", "a").events<Moved>("/m", "b"); }) != "");
}
