// What a client may send, and what becomes of it.
#include "http/talk.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::test::body_of;
using wisp::test::Case;
using wisp::test::chunked;
using wisp::test::get;
using wisp::test::responses_in;
using wisp::test::status_of;
using wisp::test::Talk;
using wisp::test::with;

}  // namespace

TEST_CASE("connection: a request is served, however its bytes arrive", "[http]") {
  const Case cases[] = {
      {200, get("/")},
      {200, get("/a%20b?q=1&r=%2F")},
      {200, "GET / HTTP/1.0\r\n\r\n"},
      {200, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"},
      {200, "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n"},
      {200, with("Content-Length: 5\r\n\r\nhello")},
      {200, with("Content-Length: 0\r\n\r\n")},
      {200, chunked("0\r\n\r\n")},
      {200, chunked("00;a\r\nX: y\r\n\r\n")},
      {200, chunked("5\r\nhello\r\n0\r\n\r\n")},
      {200, chunked("5;a=b\r\nhello\r\n3\r\n, w\r\n0\r\nX: y\r\n\r\n")},
      {200, with("X:\r\nY: \t \r\nContent-Length: 1\r\n\r\nx")},
  };
  for (const Case& each : cases) {
    INFO(each.text);
    Talk whole;
    const std::string answer = whole.say(each.text);
    CHECK(status_of(answer) == each.status);
    CHECK(whole.echo.served == 1);
    Talk slow;
    CHECK(slow.spell(each.text) == answer);
    CHECK(slow.echo.served == 1);
  }
  Talk client;
  CHECK(body_of(client.say(chunked("5\r\nhello\r\n3\r\n, w\r\n0\r\n\r\n"))) == "POST /p hello, w");
  CHECK(body_of(client.say(get("/a%20b?q=1"))) == "GET /a b?q=1");
}

TEST_CASE("connection: requests that come together are answered in their order", "[http]") {
  Talk client;
  const std::string answers =
      client.say(get("/1") + with("Content-Length: 3\r\n\r\ntwo") + chunked("1\r\n3\r\n0\r\n\r\n") +
                 "GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + get("/5"));
  CHECK(responses_in(answers) == 4);
  CHECK(answers.find("GET /1") < answers.find("POST /p two"));
  CHECK(answers.find("POST /p two") < answers.find("POST /p 3"));
  CHECK(answers.find("POST /p 3") < answers.find("GET /4"));
  CHECK(answers.find("GET /5") == answers.npos);
  CHECK(client.connection.finished());
}

TEST_CASE("connection: an answer that comes later holds back what was sent ahead", "[http]") {
  Talk client;
  client.echo.later = true;
  CHECK(client.say(get("/1") + get("/2")).empty());
  CHECK(client.echo.served == 1);
  client.connection.answer({.body = "one"});
  CHECK(body_of(client.take()) == "one");
  CHECK(client.echo.last == "GET /2");
  // What is sent ahead is bounded.
  CHECK(client.connection.wants_more());
  client.connection.receive(std::string(16'385, 'x'));
  CHECK_FALSE(client.connection.wants_more());
  // A client that goes is told of, once, and its answer is still written.
  client.connection.end();
  client.connection.end();
  CHECK(client.echo.left == 1);
  client.connection.answer({.body = "two"});
  CHECK(body_of(client.take()) == "two");
  CHECK(client.connection.finished());
}

TEST_CASE("connection: keeps alive what may be kept", "[http]") {
  const std::pair<std::string, bool> cases[] = {
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n", false},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", false},
      {"GET / HTTP/1.0\r\n\r\n", false},
      {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
  };
  for (const auto& [text, kept] : cases) {
    INFO(text);
    Talk client;
    CHECK(status_of(client.say(text)) == 200);
    CHECK(client.connection.finished() == !kept);
  }
}

TEST_CASE("connection: HEAD, conditions, and bodies that have to be asked for", "[http]") {
  Talk client;
  const std::string head = client.say("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(head.find("Content-Length: 7\r\n") != head.npos);
  CHECK(body_of(head).empty());
  const std::string first = client.say(get("/x"));
  const std::size_t at = first.find("ETag: ") + 6;
  const std::string tag = first.substr(at, first.find('\r', at) - at);
  for (const std::string& list : {tag, "\"other\", W/" + tag, std::string("*")}) {
    const std::string again =
        client.say("GET /x HTTP/1.1\r\nHost: a\r\nIf-None-Match: " + list + "\r\n\r\n");
    CHECK(status_of(again) == 304);
    CHECK(body_of(again).empty());
    CHECK(again.find("Content-Length") == again.npos);
  }
  CHECK(status_of(client.say("GET /x HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"7\"\r\n\r\n")) == 200);

  CHECK(client.say(with("Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")) ==
        "HTTP/1.1 100 Continue\r\n\r\n");
  CHECK(body_of(client.say("hi")) == "POST /p hi");
  // One that was not waited with needs no word.
  CHECK(responses_in(client.say(with("Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"))) == 1);
  CHECK(status_of(Talk().say(with("Expect: 100-continue\r\nContent-Length: 1048577\r\n\r\n"))) ==
        413);
}

TEST_CASE("connection: who is too slow has to go", "[http]") {
  const auto after = [](Talk& client, wisp::Duration time) {
    client.clock.advance(time);
    client.connection.tick();
    return client.take();
  };
  SECTION("without a word") {
    Talk client;
    CHECK(after(client, 10s).empty());
    CHECK_FALSE(client.connection.finished());
    CHECK(after(client, 1ns).empty());
    CHECK(client.connection.finished());
  }
  SECTION("between requests") {
    Talk client;
    client.say(get("/"));
    CHECK(after(client, 60s).empty());
    CHECK_FALSE(client.connection.finished());
    CHECK(after(client, 1ns).empty());
    CHECK(client.connection.finished());
  }
  SECTION("with a head") {
    Talk client;
    client.say(get("/"));
    client.clock.advance(50s);
    client.say("GET / HT");
    CHECK(after(client, 10s).empty());
    CHECK(status_of(after(client, 1ns)) == 408);
    CHECK(client.connection.finished());
  }
  SECTION("with a body") {
    Talk client;
    client.say(with("Content-Length: 100000\r\n\r\n"));
    client.say(std::string(10'240, 'x'));
    CHECK(after(client, 10s).empty());
    client.say(std::string(1'024, 'x'));
    CHECK(after(client, 1s).empty());
    // It is looked at since then, so that a burst buys no silence.
    client.say(std::string(10'240, 'x'));
    CHECK(after(client, 10s).empty());
    CHECK(status_of(after(client, 1ms)) == 408);
    CHECK(client.connection.finished());
  }
  SECTION("with taking an answer") {
    Talk client;
    client.connection.receive(get("/"));
    client.clock.advance(30s);
    client.connection.tick();
    CHECK_FALSE(client.connection.broken());
    client.connection.sent(1);
    client.clock.advance(30s);
    client.connection.tick();
    CHECK_FALSE(client.connection.broken());
    client.clock.advance(1ns);
    client.connection.tick();
    CHECK(client.connection.broken());
  }
  SECTION("but not while it is served") {
    Talk client;
    client.echo.later = true;
    client.say(get("/"));
    CHECK(after(client, 1h).empty());
    CHECK(client.connection.serving());
  }
}

TEST_CASE("connection: a client that does not read is not served on", "[http]") {
  Talk client;
  std::string many;
  for (int i = 0; i < 2'000; ++i) many += get("/x");
  client.connection.receive(many);
  while (client.connection.yields()) client.connection.resume();
  const int served = client.echo.served;
  CHECK(served > 16);
  CHECK(served < 1'000);
  CHECK(client.connection.output().size() < 65'536 + 1'024);
  CHECK_FALSE(client.connection.wants_more());
  CHECK(responses_in(client.take()) == 2'000);
  CHECK(client.echo.served == 2'000);
}

TEST_CASE("connection: one that sends many requests at once has turns, as others have", "[http]") {
  Talk client;
  std::string many;
  for (int i = 0; i < 40; ++i) many += get("/x");
  client.connection.receive(many);
  CHECK(client.echo.served == 16);
  CHECK(client.connection.yields());
  CHECK_FALSE(client.connection.wants_more());  // nor is its end read before its requests are
  client.connection.sent(client.connection.output().size());  // room alone is no turn
  CHECK(client.echo.served == 16);
  CHECK(client.connection.yields());
  client.connection.resume();
  CHECK(client.echo.served == 32);
  CHECK(responses_in(client.take()) == 24);
  CHECK(client.echo.served == 40);
  CHECK_FALSE(client.connection.yields());
  // Nor has one a turn whose next request is not whole.
  client.say("GET /x HTTP/1.1\r\n");
  CHECK_FALSE(client.connection.yields());

  Talk large;  // answers
  const std::string request = with("Content-Length: 70000\r\n\r\n") + std::string(70'000, 'x');
  large.connection.receive(request + request);
  CHECK(large.echo.served == 1);
  large.connection.sent(large.connection.output().size());
  CHECK(large.echo.served == 1);
  CHECK(large.connection.yields());
  CHECK(responses_in(large.take()) == 1);
  CHECK(large.echo.served == 2);
}

TEST_CASE("connection: drains", "[http]") {
  Talk idle;
  idle.say(get("/"));
  idle.connection.drain();
  CHECK(idle.connection.finished());
  Talk busy;
  busy.echo.later = true;
  busy.say(get("/") + get("/next"));
  busy.connection.drain();
  CHECK_FALSE(busy.connection.finished());
  busy.connection.answer({.body = "last"});
  const std::string answer = busy.take();
  CHECK(answer.find("Connection: close\r\n") != answer.npos);
  CHECK(busy.connection.finished());
  CHECK(busy.echo.served == 1);
}

TEST_CASE("connection: holds no more than is unsent, however it is taken", "[http]") {
  Talk client;
  const std::string request = get("/" + std::string(4'000, 'x'));
  client.connection.receive(request);
  // A byte is always left over.
  for (int i = 0; i < 1'000; ++i) {
    client.connection.sent(client.connection.output().size() - 1);
    client.connection.receive(request);
    REQUIRE(client.connection.held() < 4 * 65'536);
  }
  CHECK(client.echo.served == 1'001);
}

TEST_CASE("connection: one that is given up takes its call along", "[http]") {
  Talk client;
  client.connection.receive(get("/1"));
  client.echo.later = true;
  client.connection.receive(get("/2"));
  client.clock.advance(30s + 1ns);
  client.connection.tick();
  CHECK(client.connection.broken());
  CHECK(client.echo.left == 1);
}

TEST_CASE("connection: gives back what a long request and answer took", "[http]") {
  Talk client;
  client.say(with("Content-Length: 1000000\r\n\r\n"));
  client.say(std::string(1'000'000, 'x'));
  CHECK(client.echo.served == 1);
  CHECK(client.connection.held() <= 4'096 + 64);
  client.echo.later = true;
  client.say(get("/") + std::string(15'000, 'x'));
  CHECK(client.connection.held() >= 15'000);
  client.connection.answer({});
  CHECK(client.take().size() > 0);
  CHECK(client.connection.held() <= 4'096 + 20'000);
}

TEST_CASE("connection: who is turned away is so before the body, and once", "[http]") {
  const std::string next = get("/next");
  const auto request = [](std::string_view fields) {
    return "POST /secret HTTP/1.1\r\nHost: a\r\n" + std::string(fields);
  };
  // With a body, of which nothing is read, and after which there is nothing more.
  for (const std::string& text :
       {request("Content-Length: 5\r\n\r\n") + "hello", request("Content-Length: 5\r\n\r\n"),
        request("Content-Length: 1048576\r\n\r\n") + "x",
        request("Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
        request("Transfer-Encoding: chunked\r\n\r\n") + "5\r\nhello\r\n0\r\n\r\n",
        request("Transfer-Encoding: chunked\r\n\r\n") + "no chunk"}) {
    INFO(text);
    Talk whole;
    const std::string answer = whole.say(text + next);
    CHECK(status_of(answer) == 401);
    CHECK(responses_in(answer) == 1);
    CHECK(answer.find("\r\nConnection: close\r\n") != answer.npos);
    CHECK(whole.connection.finished());
    CHECK(whole.echo.asked == 1);
    CHECK(whole.echo.served == 0);
    CHECK(whole.say(next).empty());
    Talk slow;
    CHECK(slow.spell(text + next) == answer);
    CHECK(slow.connection.finished());
    CHECK(slow.echo.served == 0);
  }
  // Without one the connection goes on.
  for (const std::string& text : {get("/secret"), request("Content-Length: 0\r\n\r\n")}) {
    Talk client;
    const std::string answers = client.say(text + next);
    CHECK(status_of(answers) == 401);
    CHECK(responses_in(answers) == 2);
    CHECK(client.echo.last == "GET /next");
    CHECK(client.echo.asked == 2);
    CHECK_FALSE(client.connection.finished());
  }
  Talk client;
  CHECK(body_of(client.say("HEAD /secret HTTP/1.1\r\nHost: a\r\n\r\n")).empty());
  // What is refused for itself is not asked about, and what is served was asked about once.
  Talk other;
  CHECK(status_of(other.say(with("Content-Length: 5\r\n\r\nhello"))) == 200);
  CHECK(other.echo.asked == 1);
  CHECK(status_of(other.say("GET /secret HTTP/1.1\r\n\r\n")) == 400);
  CHECK(other.echo.asked == 1);
}
