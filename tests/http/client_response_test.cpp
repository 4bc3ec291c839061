// What a server may answer, whole and one byte at a time, and what the client takes of it.
#include "http/client_response.hpp"

#include <algorithm>
#include <chrono>
#include <string>

#include "catch.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Status;
using wisp::StatusCode;
using wisp::http::parse_retry_after;
using wisp::http::ResponseLimits;
using wisp::http::ResponseReader;

struct Read {
  Status status;
  bool done = false;
  bool reusable = false;
  wisp::http::ClientResponse response{};
};

struct How {
  bool bodiless = false;
  bool end = false;   // the server closes after it
  bool clean = true;  // and that is known to be so
  ResponseLimits limits{};
};

Read read(std::string_view text, std::size_t step, const How& how) {
  ResponseReader reader(how.limits, how.bodiless);
  Read made;
  while (!text.empty() && made.status.ok()) {
    made.status = reader.receive(text.substr(0, step));
    text.remove_prefix(std::min(step, text.size()));
  }
  if (made.status.ok() && how.end) made.status = reader.end(how.clean);
  made.done = made.status.ok() && reader.done();
  if (made.done) {
    made.reusable = reader.reusable();
    made.response = reader.take();
  }
  return made;
}

// The same, however its bytes arrive.
Read read(std::string_view text, const How& how = {}) {
  INFO(text.substr(0, 200));
  const Read whole = read(text, text.size() + 1, how);
  for (const std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{7}}) {
    const Read pieces = read(text, step, how);
    CHECK(pieces.status.code() == whole.status.code());
    CHECK(pieces.done == whole.done);
    CHECK(pieces.reusable == whole.reusable);
    CHECK(pieces.response.status == whole.response.status);
    CHECK(pieces.response.body == whole.response.body);
    CHECK(pieces.response.headers.size() == whole.response.headers.size());
  }
  return whole;
}

void malformed(const std::string& text) {
  INFO(text);
  const Read made = read(text);
  CHECK_FALSE(made.done);
  CHECK(made.status.code() == StatusCode::kDataLoss);
  CHECK(wisp::message(made.status).starts_with("the response is malformed: "));
}

std::string ok(std::string_view fields, std::string_view body = "") {
  return "HTTP/1.1 200 OK\r\n" + std::string(fields) + "\r\n" + std::string(body);
}
std::string in_chunks(std::string_view body) { return ok("Transfer-Encoding: chunked\r\n", body); }

}  // namespace

TEST_CASE("client response: whole ones, in all their forms", "[client]") {
  struct Case {
    std::string text;
    int status;
    std::string body;
    bool reusable;
    How how{};
  };
  const How head{.bodiless = true};
  const How ends{.end = true};
  const Case cases[] = {
      {ok("Content-Length: 5\r\n", "hello"), 200, "hello", true},
      {ok("Content-Length: 0\r\n"), 200, "", true},
      {ok("content-length:\t5 \t\r\n", "hello"), 200, "hello", true},
      {ok("Content-Length: 005\r\n", "hello"), 200, "hello", true},
      {ok("Content-Length: 5\r\nConnection: close\r\n", "hello"), 200, "hello", false},
      {ok("Content-Length: 5\r\nConnection: x, CLOSE\r\n", "hello"), 200, "hello", false},
      {ok("Content-Length: 5\r\nConnection: keep-alive\r\n", "hello"), 200, "hello", true},
      {"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", 200, "x", true},
      {"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx", 200, "x", true},
      {"HTTP/1.1 404 N\xc3\xb6t F\xf6und\r\nContent-Length: 1\r\n\r\nx", 404, "x", true},
      {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", false},
      {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 200, "x", false},
      {"HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n", 599, "", true},
      {in_chunks("5\r\nhello\r\n0\r\n\r\n"), 200, "hello", true},
      {in_chunks("2\r\nhe\r\n3;a=b\r\nllo\r\n00\r\nT: x\r\n\r\n"), 200, "hello", true},
      {in_chunks("0\r\n\r\n"), 200, "", true},
      {ok("Transfer-Encoding: Chunked\r\n", "A\r\n0123456789\r\n0\r\n\r\n"), 200, "0123456789",
       true},
      {ok("", "until the end"), 200, "until the end", false, ends},
      {ok(""), 200, "", false, ends},
      {"HTTP/1.0 200 OK\r\n\r\nold", 200, "old", false, ends},
      {"HTTP/1.1 204 No Content\r\n\r\n", 204, "", true},
      {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, "", true},
      {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, "", false},
      {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 204, "", false},
      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, "", true},
      {ok("Content-Length: 5\r\n"), 200, "", true, head},
      {ok("Content-Length: 99999999999\r\n"), 200, "", true, head},
      {ok("Transfer-Encoding: chunked\r\n"), 200, "", true, head},
      {ok(""), 200, "", true, head},
      {"HTTP/1.1 100 Continue\r\n\r\n" + ok("Content-Length: 1\r\n", "x"), 200, "x", true},
      {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" +
           ok("Content-Length: 1\r\n", "x"),
       200, "x", true},
  };
  for (const Case& each : cases) {
    INFO(each.text);
    const Read made = read(each.text, each.how);
    REQUIRE(made.done);
    CHECK(made.response.status == each.status);
    CHECK(made.response.body == each.body);
    CHECK(made.reusable == each.reusable);
  }
}

TEST_CASE("client response: fields are kept as they came", "[client]") {
  const Read made = read(ok("A: 1\r\nB:\r\na:  2 \t 3\t\r\nX-\xc3: x\r\n"));
  CHECK(made.status.code() == StatusCode::kDataLoss);
  const Read good = read("HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" +
                         ok("A: 1\r\nB:\r\na:  2 \t 3\t\r\nC: \xc3\xbc\r\nContent-Length: 0\r\n"));
  REQUIRE(good.done);
  REQUIRE(good.response.headers.size() == 5);
  CHECK(good.response.header("a") == "1");
  CHECK(good.response.header("B") == "");
  CHECK(good.response.headers[2].value == "2 \t 3");
  CHECK(good.response.header("c") == "\xc3\xbc");
  CHECK_FALSE(good.response.header("link").has_value());
}

TEST_CASE("client response: malformed heads are refused", "[client]") {
  const std::string none[] = {
      // First lines.
      "\r\nHTTP/1.1 200 OK\r\n\r\n",
      "\nHTTP/1.1 200 OK\r\n\r\n",
      " HTTP/1.1 200 OK\r\n\r\n",
      "SSH-2.0-OpenSSH_9.2\r\n",
      "220 mail.example ESMTP\r\n",
      "-ERR unknown command\r\n",
      "http/1.1 200 OK\r\n\r\n",
      "HTTP/2.0 200 OK\r\n\r\n",
      "HTTP/1.2 200 OK\r\n\r\n",
      "HTTP/0.9 200 OK\r\n\r\n",
      "HTTP/11 200 OK\r\n\r\n",
      "HTTP/1.1  200 OK\r\n\r\n",
      "HTTP/1.1\t200 OK\r\n\r\n",
      "HTTP/1.1 20 OK\r\n\r\n",
      "HTTP/1.1 2000 OK\r\n\r\n",
      "HTTP/1.1 2x0 OK\r\n\r\n",
      "HTTP/1.1 -20 OK\r\n\r\n",
      "HTTP/1.1 099 OK\r\n\r\n",
      "HTTP/1.1 000 OK\r\n\r\n",
      "HTTP/1.1 600 OK\r\n\r\n",
      "HTTP/1.1 999 OK\r\n\r\n",
      "HTTP/1.1 200OK\r\n\r\n",
      "HTTP/1.1\r\n\r\n",
      "HTTP/1.1 200 O\x01K\r\n\r\n",
      std::string("HTTP/1.1 200 O\0K\r\n\r\n", 20),
      // Line ends and fields.
      "HTTP/1.1 200 OK\nA: b\n\n",
      ok("A: b\n"),
      ok("A: b\rC: d\r\n"),
      ok("A: b\r\r\n"),
      ok("A: b\r\n folded\r\n"),
      ok("A: b\r\n\tfolded\r\n"),
      ok(" A: b\r\n"),
      ok("A : b\r\n"),
      ok("A\t: b\r\n"),
      ok(": b\r\n"),
      ok("A\r\n"),
      ok("A b: c\r\n"),
      ok("A: \x01\r\n"),
      ok("A: \x7f\r\n"),
      ok(std::string("A: \0\r\n", 6)),
      ok("A(b): c\r\n"),
  };
  for (const std::string& text : none) malformed(text);
}

TEST_CASE("client response: bodies that may mean two things are refused", "[client]") {
  const std::string none[] = {
      // Lengths.
      ok("Content-Length: 1\r\nContent-Length: 1\r\n", "x"),
      ok("Content-Length: 1\r\nContent-Length: 2\r\n", "xx"),
      ok("Content-Length: 1, 1\r\n", "x"),
      ok("Content-Length: \r\n"),
      ok("Content-Length: +1\r\n", "x"),
      ok("Content-Length: -1\r\n"),
      ok("Content-Length: 0x1\r\n", "x"),
      ok("Content-Length: 1 1\r\n", "x"),
      ok("Content-Length: 1.0\r\n", "x"),
      ok("Content-Length: one\r\n"),
      ok("Content-Length: 18446744073709551616\r\n"),
      ok("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
      ok("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", "0\r\n\r\n"),
      ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
      ok("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
      ok("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
      ok("Transfer-Encoding: identity\r\n"),
      ok("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
      ok("Transfer-Encoding:\r\n"),
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 304 Not Modified\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
      // Chunks.
      in_chunks("x\r\nx\r\n0\r\n\r\n"),
      in_chunks("-1\r\nx\r\n0\r\n\r\n"),
      in_chunks("+1\r\nx\r\n0\r\n\r\n"),
      in_chunks("0x1\r\nx\r\n0\r\n\r\n"),
      in_chunks(" 1\r\nx\r\n0\r\n\r\n"),
      in_chunks("1\nx\r\n0\r\n\r\n"),
      in_chunks("1\r\nxx\r\n0\r\n\r\n"),
      in_chunks("1\r\nx0\r\n\r\n"),
      in_chunks("\r\n5\r\nhello\r\n0\r\n\r\n"),
      in_chunks("ffffffffffffffffff\r\nx\r\n0\r\n\r\n"),
      in_chunks("0\r\nA: b\r\n c\r\n\r\n"),
      // Before the response.
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
      "HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\nx" + ok("Content-Length: 0\r\n"),
      "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n" + ok("Content-Length: 0\r\n"),
  };
  for (const std::string& text : none) malformed(text);
}

TEST_CASE("client response: 1xx without end", "[client]") {
  std::string many;
  for (int i = 0; i < wisp::http::kInterimMax; ++i) many += "HTTP/1.1 102 Processing\r\n\r\n";
  CHECK(read(many + ok("Content-Length: 0\r\n")).done);
  const Read made = read(many + "HTTP/1.1 102 Processing\r\n\r\n" + ok("Content-Length: 0\r\n"));
  CHECK(made.status.code() == StatusCode::kDataLoss);
}

TEST_CASE("client response: one that is cut short is none", "[client]") {
  const std::string whole = in_chunks("5\r\nhello\r\n0\r\n\r\n");
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const Read made = read(whole.substr(0, i), {.end = true});
    CHECK(made.status.code() == StatusCode::kUnavailable);
  }
  CHECK(read(whole, {.end = true}).done);
  CHECK(read(ok("Content-Length: 5\r\n", "hell"), {.end = true}).status.code() ==
        StatusCode::kUnavailable);
  CHECK(wisp::message(read("", {.end = true}).status) ==
        "the connection was closed without a response");
  // Where only the end of the connection says how long it is, that has to be certain.
  CHECK(read(ok("", "all"), {.end = true}).done);
  CHECK(read(ok("", "all"), {.end = true, .clean = false}).status.code() ==
        StatusCode::kUnavailable);
  CHECK_FALSE(read(ok("", "all")).done);
}

TEST_CASE("client response: what follows it is not taken for another's", "[client]") {
  for (const std::string& first :
       {ok("Content-Length: 1\r\n", "x"), in_chunks("1\r\nx\r\n0\r\n\r\n"),
        std::string("HTTP/1.1 204 No Content\r\n\r\n")}) {
    CHECK(read(first).reusable);
    const Read made = read(first + ok("Content-Length: 6\r\n", "forged"));
    REQUIRE(made.done);
    CHECK_FALSE(made.reusable);
    CHECK(made.response.body.find("forged") == std::string::npos);
  }
  const Read head = read(ok("Content-Length: 1\r\n", "x"), {.bodiless = true});
  CHECK(head.done);
  CHECK_FALSE(head.reusable);
}

TEST_CASE("client response: limits, at n - 1, n and n + 1", "[client]") {
  const How how{.end = true,
                .limits = {.head = {.bytes = 200, .line = 100, .fields = 3}, .body = 10}};
  const auto code = [&](const std::string& text) { return read(text, how).status.code(); };
  for (int more = -1; more <= 1; ++more) {
    INFO(more);
    const StatusCode expected = more > 0 ? StatusCode::kOutOfRange : StatusCode::kOk;
    const std::string body(static_cast<std::size_t>(10 + more), 'x');
    CHECK(code(ok("Content-Length: " + std::to_string(body.size()) + "\r\n", body)) == expected);
    CHECK(code(ok("", body)) == expected);
    const std::string tail = body.substr(5);
    CHECK(code(in_chunks("5\r\nxxxxx\r\n" + std::to_string(tail.size()) + "\r\n" + tail +
                         "\r\n0\r\n\r\n")) == expected);
    std::string fields;
    for (int i = 0; i < 3 + more; ++i) fields += "A: b\r\n";
    CHECK(code(ok(fields)) == expected);
    const std::string line = "A: " + std::string(static_cast<std::size_t>(95 + more), 'x') + "\r\n";
    CHECK(line.size() == static_cast<std::size_t>(100 + more));
    CHECK(code(ok(line)) == expected);
    // Two fields of which the head is as long as it may be.
    const std::size_t rest = 200 - std::string_view("HTTP/1.1 200 OK\r\n\r\n").size() - 90;
    const std::string two =
        "A: " + std::string(85, 'x') +
        "\r\nB: " + std::string(rest - 5 + static_cast<std::size_t>(more + 1) - 1, 'x') + "\r\n";
    CHECK(ok(two).size() == static_cast<std::size_t>(200 + more));
    CHECK(code(ok(two)) == expected);
  }
  // Said before it comes.
  CHECK(read(ok("Content-Length: 11\r\n"), {.limits = how.limits}).status.code() ==
        StatusCode::kOutOfRange);
  // Nor are the lines of chunks, or what is behind them, without end.
  CHECK_FALSE(read(in_chunks("1;" + std::string(200, 'x')), {.limits = how.limits}).status.ok());
  CHECK_FALSE(read(in_chunks("0\r\n" + std::string(200, 'x') + ": y\r\n"), {.limits = how.limits})
                  .status.ok());
}

TEST_CASE("client response: Retry-After in seconds, or as a date", "[client]") {
  // Sun, 06 Nov 1994 08:49:37 GMT.
  const wisp::WallTime now{std::chrono::seconds(784'111'777)};
  CHECK(parse_retry_after("0", now) == 0s);
  CHECK(parse_retry_after("120", now) == 120s);
  CHECK(parse_retry_after("600", now) == 10min);
  CHECK(parse_retry_after("601", now) == 10min);
  CHECK(parse_retry_after("99999999999999999999999999", now) == 10min);
  CHECK(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now) == 60s);
  CHECK(parse_retry_after("Sunday, 06-Nov-94 08:50:37 GMT", now) == 60s);
  CHECK(parse_retry_after("Sun Nov  6 08:50:37 1994", now) == 60s);
  CHECK(parse_retry_after("Sun, 06 Nov 1994 08:49:07 GMT", now) == 0s);
  CHECK(parse_retry_after("Sun, 06 Nov 2094 08:49:37 GMT", now) == 10min);
  for (const char* none : {"", "-1", "+1", "1.5", "1s", "soon", "Sun, 06 Nov 1994", "06 Nov 1994",
                           "Sun, 06 Nov 1994 08:49:37 CET", "1, 2"}) {
    INFO(none);
    CHECK_FALSE(parse_retry_after(none, now).has_value());
  }
}
