// Bodies that are made while they are sent, on a connection without a socket.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/hub.hpp"
#include "http/stream.hpp"
#include "http/talk.hpp"

namespace {

using namespace std::chrono_literals;
using Next = wisp::http::Stream::Next;
using wisp::http::Hub;
using wisp::http::Stream;
using wisp::test::body_of;
using wisp::test::get;
using wisp::test::status_of;
using wisp::test::Talk;

// Says what it is told to.
class Script final : public Stream {
 public:
  struct Step {
    Next how;
    std::string text{};
  };
  explicit Script(std::vector<Step> steps) : steps_(std::move(steps)) {}

  Next next(std::string& to) override {
    ++asked;
    if (drained) return Next::end;
    if (at == steps_.size()) return Next::wait;
    to += steps_[at].text;
    return steps_[at++].how;
  }
  void drain() override { drained = true; }

  std::size_t at = 0;
  int asked = 0;
  bool drained = false;

 private:
  std::vector<Step> steps_;
};

class Endless final : public Stream {
 public:
  Next next(std::string& to) override {
    to.append(1'000, 'x');
    ++pieces;
    return Next::more;
  }
  int pieces = 0;
};

// A client whose next request is answered by that stream.
struct Streamed : Talk {
  explicit Streamed(std::shared_ptr<Stream> stream, std::string_view request = "") {
    echo.later = true;
    connection.receive(request.empty() ? get("/s") : std::string(request));
    wisp::http::Answer answer{.content_type = "text/plain"};
    answer.stream = std::move(stream);
    connection.answer(std::move(answer));
  }
};

class Woken final : public wisp::http::Wake {
 public:
  void wake() override { ++times; }
  int times = 0;
};

std::string all_of(Stream& stream) {
  std::string text;
  while (stream.next(text) == Next::more) {
  }
  return text;
}

}  // namespace

TEST_CASE("stream: pieces are chunks, and the connection goes on", "[stream]") {
  const auto script = std::make_shared<Script>(std::vector<Script::Step>{
      {Next::more, "hello"}, {Next::wait}, {Next::end, "0123456789abcdef"}});
  Streamed client(script);
  const std::string begin = client.take();
  CHECK(begin.find("\r\nTransfer-Encoding: chunked\r\n") != begin.npos);
  CHECK(begin.find("Content-Length") == begin.npos);
  CHECK(body_of(begin) == "5\r\nhello\r\n");
  CHECK(client.connection.streaming());
  CHECK_FALSE(client.connection.hungry());
  // What is sent ahead waits.
  client.echo.later = false;
  CHECK(client.say(get("/next")).empty());
  client.connection.resume();
  const std::string rest = client.take();
  CHECK(rest.starts_with("10\r\n0123456789abcdef\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"));
  CHECK(body_of(rest.substr(28)) == "GET /next");
  CHECK_FALSE(client.connection.finished());
}

TEST_CASE("stream: to HTTP/1.0 it ends with the connection, HEAD has none", "[stream]") {
  const std::vector<Script::Step> steps{{Next::more, "hello"}, {Next::end}};
  Streamed old(std::make_shared<Script>(steps),
               "GET /s HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
  const std::string answer = old.take();
  CHECK(body_of(answer) == "hello");
  CHECK(answer.find("chunked") == answer.npos);
  CHECK(answer.find("\r\nConnection: close\r\n") != answer.npos);
  CHECK(old.connection.finished());

  const auto script = std::make_shared<Script>(steps);
  Streamed head(script, "HEAD /s HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(body_of(head.take()).empty());
  CHECK(script->asked == 0);
  head.echo.later = false;
  CHECK(status_of(head.say(get("/next"))) == 200);
}

TEST_CASE("stream: is asked for no more than is taken", "[stream]") {
  const auto endless = std::make_shared<Endless>();
  Streamed client(endless);
  const int at_first = endless->pieces;
  CHECK(client.connection.output().size() < client.limits.output + 1'100);
  client.connection.tick();
  client.connection.resume();
  CHECK(endless->pieces == at_first);
  CHECK_FALSE(client.connection.hungry());
  client.take();
  CHECK(client.connection.hungry());
  CHECK(endless->pieces == at_first);
  client.connection.resume();
  CHECK(endless->pieces - 2 * at_first <= 1);  // the head was among the first
  CHECK(endless->pieces >= 2 * at_first);
  CHECK(client.connection.held() < 4 * client.limits.output);
  // One that takes nothing.
  client.clock.advance(client.limits.write_time + 1s);
  client.connection.tick();
  CHECK(client.connection.broken());
  CHECK(endless.use_count() == 1);
}

TEST_CASE("stream: one that cannot go on is cut off, without an end", "[stream]") {
  Streamed client(
      std::make_shared<Script>(std::vector<Script::Step>{{Next::more, "hello"}, {Next::broken}}));
  CHECK(client.connection.broken());
  CHECK(client.take().find("\r\n0\r\n\r\n") == std::string::npos);
  CHECK(client.say(get("/next")).empty());
}

TEST_CASE("stream: with nothing for now it is asked again each tick, whatever it says",
          "[stream]") {
  const auto script = std::make_shared<Script>(std::vector<Script::Step>(100, {Next::more, ""}));
  Streamed client(script);
  CHECK(script->asked == 1);
  client.connection.tick();
  CHECK(script->asked == 2);
  client.take();
  client.clock.advance(1h);  // an idle stream is no idle connection
  client.connection.tick();
  CHECK(client.connection.streaming());
}

TEST_CASE("stream: goes when its client does, and ends when the server stops", "[stream]") {
  const auto gone = std::make_shared<Script>(std::vector<Script::Step>{{Next::more, "hello"}});
  Streamed left(gone);
  left.connection.end();
  CHECK(gone.use_count() == 1);
  CHECK(left.echo.left == 0);       // no call is to be cancelled
  CHECK(left.connection.broken());  // what it has is not whole

  const auto drained = std::make_shared<Script>(std::vector<Script::Step>{{Next::more, "hello"}});
  Streamed stopped(drained);
  stopped.connection.drain();
  CHECK(drained->drained);
  CHECK(stopped.take().ends_with("\r\n0\r\n\r\n"));
  CHECK(stopped.connection.finished());
}

TEST_CASE("stream: what is beside it in an answer is not sent", "[stream]") {
  Talk client;
  client.echo.later = true;
  client.connection.receive(get("/s"));
  wisp::http::Answer answer{.content_type = "text/plain",
                            .body = "0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"};
  answer.stream =
      std::make_shared<Script>(std::vector<Script::Step>{{Next::more, "hello"}, {Next::end}});
  client.connection.answer(std::move(answer));
  CHECK(body_of(client.take()) == "5\r\nhello\r\n0\r\n\r\n");
}

TEST_CASE("stream: of a client that went before it began nothing is asked", "[stream]") {
  Talk client;
  client.echo.later = true;
  client.connection.receive(get("/s"));
  client.connection.end();
  CHECK(client.echo.left == 1);
  const auto script = std::make_shared<Script>(std::vector<Script::Step>(100, {Next::wait}));
  wisp::http::Answer answer{.content_type = "text/plain"};
  answer.stream = script;
  client.connection.answer(std::move(answer));
  answer = {};
  CHECK(client.connection.finished());
  CHECK_FALSE(client.connection.broken());
  CHECK(script->asked == 0);
  CHECK(script.use_count() == 1);
}

TEST_CASE("hub: each client gets what comes after it, once", "[stream]") {
  wisp::ManualClock clock;
  wisp::http::HubCounts counts;
  const auto hub = std::make_shared<Hub>(wisp::http::HubLimits{}, clock, 0xabcd, counts);
  const auto wake = std::make_shared<Woken>();
  hub->publish("0");
  const auto a = hub->follow(std::nullopt, wake);
  CHECK(all_of(*a) == ":\n\n");
  hub->publish("1");
  const auto b = hub->follow(std::nullopt, wake);
  hub->publish("2");
  CHECK(wake->times == 2);
  CHECK(all_of(*a) == "id: abcd-2\ndata: 1\n\nid: abcd-3\ndata: 2\n\n");
  CHECK(all_of(*a).empty());
  CHECK(all_of(*b) == ":\n\nid: abcd-3\ndata: 2\n\n");
  CHECK(counts.followers.load() == 2);
  CHECK(counts.events.load() == 3);
  CHECK(counts.lost.load() == 0);
  std::string none;
  a->drain();
  CHECK(a->next(none) == Next::end);
}

TEST_CASE("hub: a client that comes again goes on where it was", "[stream]") {
  wisp::ManualClock clock;
  wisp::http::HubCounts counts;
  const auto hub = std::make_shared<Hub>(wisp::http::HubLimits{.events = 3}, clock, 0xe, counts);
  const auto wake = std::make_shared<Woken>();
  for (int i = 1; i <= 5; ++i) hub->publish(std::to_string(i));
  const auto from = [&](std::string_view id) { return all_of(*hub->follow(id, wake)); };
  const std::string last = "id: e-5\ndata: 5\n\n";
  CHECK(from("e-5") == ":\n\n");
  CHECK(from("e-4") == ":\n\n" + last);
  CHECK(from("e-2") == ":\n\nid: e-3\ndata: 3\n\nid: e-4\ndata: 4\n\n" + last);
  CHECK(counts.lost.load() == 0);
  CHECK(from("e-1").starts_with(":\n\nevent: lost\ndata: {\"events\":1}\n\nid: e-3\n"));
  CHECK(counts.lost.load() == 1);
  const std::string unknown = ":\n\nevent: lost\ndata: {\"events\":null}\n\n";
  for (const std::string_view id : {"f-5", "e-0", "e-6", "e-", "e", "-", "e-5x", "e--1",
                                    "e-18446744073709551616", "5", "e-5-5"}) {
    INFO(id);
    CHECK(from(id) == unknown);
  }
  CHECK(from("") == ":\n\n");
}

TEST_CASE("hub: whom it overtakes is told how much it missed; a long event is missed by all",
          "[stream]") {
  wisp::ManualClock clock;
  wisp::http::HubCounts counts;
  const auto hub =
      std::make_shared<Hub>(wisp::http::HubLimits{.events = 10, .bytes = 1'000}, clock, 1, counts);
  const auto stream = hub->follow(std::nullopt, std::make_shared<Woken>());
  for (int i = 0; i < 25; ++i) hub->publish("0");
  CHECK(all_of(*stream).starts_with(":\n\nevent: lost\ndata: {\"events\":15}\n\nid: 1-16\n"));
  CHECK(counts.lost.load() == 15);
  hub->publish(std::string(2'000, '1'));
  CHECK(all_of(*stream) == "event: lost\ndata: {\"events\":1}\n\n");
  hub->publish("2");
  CHECK(all_of(*stream) == "id: 1-27\ndata: 2\n\n");
}

TEST_CASE("hub: a stream in which nothing happens says so", "[stream]") {
  wisp::ManualClock clock;
  wisp::http::HubCounts counts;
  const auto hub = std::make_shared<Hub>(wisp::http::HubLimits{}, clock, 1, counts);
  const auto stream = hub->follow(std::nullopt, std::make_shared<Woken>());
  CHECK(all_of(*stream) == ":\n\n");
  clock.advance(wisp::http::kHeartbeat - 1ms);
  CHECK(all_of(*stream).empty());
  clock.advance(1ms);
  CHECK(all_of(*stream) == ":\n\n");
  CHECK(all_of(*stream).empty());
}

TEST_CASE("hub: a stream ends after a while", "[stream]") {
  wisp::ManualClock clock;
  wisp::http::HubCounts counts;
  const auto hub = std::make_shared<Hub>(wisp::http::HubLimits{}, clock, 1, counts);
  const auto stream = hub->follow(std::nullopt, std::make_shared<Woken>());
  std::string text;
  CHECK(stream->next(text) == Next::wait);
  clock.advance(wisp::http::kFollowMax);
  CHECK(stream->next(text) == Next::wait);
  clock.advance(1ms);
  CHECK(stream->next(text) == Next::end);
}

TEST_CASE("hub: many events go in pieces", "[stream]") {
  wisp::ManualClock clock;
  wisp::http::HubCounts counts;
  const auto hub = std::make_shared<Hub>(wisp::http::HubLimits{}, clock, 1, counts);
  const auto stream = hub->follow(std::nullopt, std::make_shared<Woken>());
  for (int i = 0; i < 100; ++i) hub->publish(std::string(1'000, 'x'));
  std::string piece;
  CHECK(stream->next(piece) == Next::more);
  CHECK(piece.size() < 18'000);
  CHECK(all_of(*stream).size() + piece.size() > 100'000);
}

TEST_CASE("hub: one long event goes in pieces too, and is cut off where its rest is gone",
          "[stream]") {
  wisp::ManualClock clock;
  wisp::http::HubCounts counts;
  const auto hub = std::make_shared<Hub>(wisp::http::HubLimits{.events = 2}, clock, 1, counts);
  const auto wake = std::make_shared<Woken>();
  const auto whole = hub->follow(std::nullopt, wake);
  const auto late = hub->follow(std::nullopt, wake);
  hub->publish(std::string(100'000, 'x'));
  hub->publish("2");
  std::string text;
  for (Next next = Next::more; next == Next::more;) {
    const std::size_t before = text.size();
    next = whole->next(text);
    CHECK(text.size() - before < 18'000);
  }
  CHECK(text == ":\n\nid: 1-1\ndata: " + std::string(100'000, 'x') + "\n\nid: 1-2\ndata: 2\n\n");
  std::string piece;
  CHECK(late->next(piece) == Next::more);
  hub->publish("3");
  CHECK(late->next(piece) == Next::broken);
}
