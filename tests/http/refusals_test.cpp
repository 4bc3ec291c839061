// What a client may not send, byte by byte: each case whole and one byte at a time; see refuses().
#include "http/talk.hpp"

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using wisp::test::body_of;
using wisp::test::Case;
using wisp::test::chunked;
using wisp::test::get;
using wisp::test::refuses;
using wisp::test::status_of;
using wisp::test::Talk;
using wisp::test::with;

}  // namespace

TEST_CASE("connection: line ends and control characters are refused", "[http]") {
  const std::string end = "\r\n\r\n";
  const Case cases[] = {
      {400, "GET / HTTP/1.1\nHost: a\n\n"},
      {400, "GET / HTTP/1.1\r\nHost: a\n\r\n"},
      {400, "GET / HTTP/1.1\rHost: a\r\r"},
      {400, "GET / HTTP/1.1\r\nHost: a\rX: y" + end},
      {400, "\r\nGET / HTTP/1.1\r\nHost: a" + end},
      {400, "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(1, '\0') + end},
      {400, "GET / HTTP/1.1\r\nHost: a\r\nX: \x01" + end},
      {400, "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f" + end},
  };
  for (const Case& each : cases) refuses(each);
}

TEST_CASE("connection: a first line that is none are refused", "[http]") {
  const std::string end = "\r\n\r\n";
  const Case cases[] = {
      {400, "GET  / HTTP/1.1\r\nHost: a" + end},
      {400, " GET / HTTP/1.1\r\nHost: a" + end},
      {400, "GET /  HTTP/1.1\r\nHost: a" + end},
      {400, "GET / HTTP/1.1 \r\nHost: a" + end},
      {400, "GET\t/ HTTP/1.1\r\nHost: a" + end},
      {400, "GET /\r\nHost: a" + end},
      {400, "GET / http/1.1\r\nHost: a" + end},
      {400, "GET / HTTP/1\r\nHost: a" + end},
      {400, "GET / HTTP/11\r\nHost: a" + end},
      {400, "GET / HTTP/1.1x\r\nHost: a" + end},
      {505, "GET / HTTP/2.0\r\nHost: a" + end},
      {505, "GET / HTTP/1.2\r\nHost: a" + end},
      {505, "GET / HTTP/0.9\r\nHost: a" + end},
      {400, "G@T / HTTP/1.1\r\nHost: a" + end},
      {400, "GET a HTTP/1.1\r\nHost: a" + end},
      {400, "GET ftp://a/ HTTP/1.1\r\nHost: a" + end},
      {400, "GET http:///x HTTP/1.1\r\nHost: a" + end},
      {400, "GET http://me@a/x HTTP/1.1\r\nHost: a" + end},
      {400, "GET http://b/x HTTP/1.1\r\nHost: a" + end},
      {400, "GET http://b/x HTTP/1.1\r\nHost:" + end},
      {400, "GET * HTTP/1.1\r\nHost: a" + end},
      {501, "CONNECT a:443 HTTP/1.1\r\nHost: a" + end},
      {505, "PRI * HTTP/2.0" + end},
  };
  for (const Case& each : cases) refuses(each);
}

TEST_CASE("connection: fields that are none are refused", "[http]") {
  const std::string end = "\r\n\r\n";
  const Case cases[] = {
      {400, "GET / HTTP/1.1\r\nHost: a\r\n X: folded" + end},
      {400, "GET / HTTP/1.1\r\nHost: a\r\n\tfolded" + end},
      {400, "GET / HTTP/1.1\r\n Host: a" + end},
      {400, "GET / HTTP/1.1\r\nHost : a" + end},
      {400, "GET / HTTP/1.1\r\nHost\t: a" + end},
      {400, "GET / HTTP/1.1\r\nHost: a\r\nX" + end},
      {400, "GET / HTTP/1.1\r\nHost: a\r\n: x" + end},
      {400, "GET / HTTP/1.1\r\nHost: a\r\nX Y: z" + end},
      {400, "GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa4: z" + end},
      {400, "GET / HTTP/1.1\r\nHost: a\r\nX(y): z" + end},
      {400, "GET / HTTP/1.1\r\nHost: a\r\nConnection: \"x" + end},
  };
  for (const Case& each : cases) refuses(each);
}

TEST_CASE("connection: a missing, repeated or wrong Host are refused", "[http]") {
  const std::string end = "\r\n\r\n";
  const Case cases[] = {
      {400, "GET / HTTP/1.1" + end},
      {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a" + end},
      {400, "GET / HTTP/1.1\r\nHost: a\r\nhost: b" + end},
      {400, "GET / HTTP/1.1\r\nHost: a b" + end},
      {400, "GET / HTTP/1.1\r\nHost: a/b" + end},
      {400, "GET / HTTP/1.1\r\nHost: me@a" + end},
      {400, "GET / HTTP/1.1\r\nHost: a, b" + end},
      {400, "GET / HTTP/1.1\r\nHost: a;b" + end},
      {400, "GET / HTTP/1.1\r\nHost: %zz" + end},
      {400, "GET / HTTP/1.1\r\nHost: a:bc" + end},
      {400, "GET / HTTP/1.1\r\nHost: a:1:2" + end},
      {400, "GET / HTTP/1.1\r\nHost: a:123456" + end},
      {400, "GET / HTTP/1.1\r\nHost: :80" + end},
      {400, "GET / HTTP/1.1\r\nHost: ::1" + end},
      {400, "GET / HTTP/1.1\r\nHost: [" + end},
      {400, "GET / HTTP/1.1\r\nHost: []" + end},
      {400, "GET / HTTP/1.1\r\nHost: [::1" + end},
      {400, "GET / HTTP/1.1\r\nHost: [::1]x" + end},
      {400, "GET / HTTP/1.1\r\nHost: [::g]" + end},
  };
  for (const Case& each : cases) refuses(each);
  for (const std::string_view host : {"", "a", "a:", "a:80", "A-b.c_1~:65535", "127.0.0.1:8080",
                                      "[::1]", "[::ffff:127.0.0.1]:80"})
    CHECK(status_of(Talk().say("GET / HTTP/1.1\r\nHost: " + std::string(host) + end)) == 200);
}

// RFC 9110, 9.3.2.
TEST_CASE("connection: a HEAD is refused without content", "[http]") {
  for (const std::string& text :
       {"HEAD /a/../b HTTP/1.1\r\nHost: a\r\n\r\n"s, "HEAD / HTTP/1.1\r\n\r\n"s,
        "HEAD / HTTP/1.1\r\nHost: a\n\n"s,
        "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n"s,
        "HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\ng\r\nx\r\n0\r\n\r\n"s}) {
    for (const bool spelled : {false, true}) {
      INFO(text);
      Talk talk;
      const std::string heard = spelled ? talk.spell(text) : talk.say(text);
      CHECK(status_of(heard) / 100 == 4);
      CHECK(heard.find("application/problem+json") != heard.npos);
      CHECK(body_of(heard).empty());
    }
  }
}

TEST_CASE("connection: lengths that contradict or are none are refused", "[http]") {
  const std::string end = "\r\n\r\n";
  const Case cases[] = {
      {400, with("Content-Length: 5\r\nTransfer-Encoding: chunked" + end + "0" + end)},
      {400, with("Transfer-Encoding: chunked\r\nContent-Length: 5" + end + "0" + end)},
      {400, with("Content-Length: 5\r\nContent-Length: 5" + end + "hello")},
      {400, with("Content-Length: 5\r\nContent-Length: 6" + end + "hello")},
      {400, with("Content-Length: 5, 5" + end + "hello")},
      {400, with("Content-Length: +5" + end + "hello")},
      {400, with("Content-Length: -5" + end + "hello")},
      {400, with("Content-Length: 0x5" + end + "hello")},
      {400, with("Content-Length: 5 5" + end + "hello")},
      {400, with("Content-Length: five" + end + "hello")},
      {400, with("Content-Length:" + end + "hello")},
      {400, with("Content-Length: 18446744073709551616" + end)},
      {413, with("Content-Length: 18446744073709551615" + end)},
      {400, with("Content_Length: 5\r\nContent-Length: 5;" + end + "hello")},
  };
  for (const Case& each : cases) refuses(each);
}

TEST_CASE("connection: encodings that are not chunked alone are refused", "[http]") {
  const std::string end = "\r\n\r\n";
  const Case cases[] = {
      {501, with("Transfer-Encoding: gzip" + end)},
      {501, with("Transfer-Encoding: gzip, chunked" + end + "0" + end)},
      {501, with("Transfer-Encoding: chunked, gzip" + end + "0" + end)},
      {501, with("Transfer-Encoding: chunked, chunked" + end + "0" + end)},
      {501, with("Transfer-Encoding: xchunked" + end + "0" + end)},
      {501, with("Transfer-Encoding: identity" + end)},
      {501, with("Transfer-Encoding: \"chunked\"" + end + "0" + end)},
      {501, with("Transfer-Encoding: chunked;q=1" + end + "0" + end)},
      {501, with("Transfer-Encoding:" + end)},
      {400, with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked" + end + "0" + end)},
      {400, with("Transfer-Encoding : chunked" + end + "0" + end)},
      {400, "POST /p HTTP/1.0\r\nTransfer-Encoding: chunked" + end + "0" + end},
      {417, with("Expect: more\r\nContent-Length: 5" + end)},
  };
  for (const Case& each : cases) refuses(each);
}

TEST_CASE("connection: paths that are not what they seem are refused", "[http]") {
  const Case cases[] = {
      {400, get("/../x")},      {400, get("/a/..")},   {400, get("/a/./b")},
      {400, get("/%2e%2e/x")},  {400, get("/.%2E/x")}, {400, get("/%2e/x")},
      {400, get("/a%2fb")},     {400, get("/a%2Fb")},  {400, get("/a%5cb")},
      {400, get("/a\\b")},      {400, get("/a%00b")},  {400, get("/a%0db")},
      {400, get("/a%7fb")},     {400, get("/a%")},     {400, get("/a%2")},
      {400, get("/a%2g")},      {400, get("/%c3")},    {400, get("/%c0%af")},
      {400, get("/%ed%a0%80")}, {400, get("/a#b")},    {400, get("/\xc3\xa4")},
      {400, get("/<a>")},
  };
  for (const Case& each : cases) refuses(each);
}

// What is served before the fault is found is the request itself, so these may not begin before
// their end is known: a body is whole, or the request is not served.
TEST_CASE("connection: a body in bad chunks is refused", "[http]") {
  const std::string kBodies[] = {
      "5\nhello\r\n0\r\n\r\n",
      "5\r\nhello0\r\n\r\n",
      "5\r\nhello\n0\r\n\r\n",
      "5\r\nhello\r\r\n0\r\n\r\n",
      "5\r\nhelloXX0\r\n\r\n",
      "g\r\nhello\r\n0\r\n\r\n",
      "0x5\r\nhello\r\n0\r\n\r\n",
      "+5\r\nhello\r\n0\r\n\r\n",
      "-5\r\nhello\r\n0\r\n\r\n",
      " 5\r\nhello\r\n0\r\n\r\n",
      "5 \r\nhello\r\n0\r\n\r\n",
      "\r\n5\r\nhello\r\n0\r\n\r\n",
      "5;\r\nhello\r\n0\r\n\r\n",
      "5;a=\"\r\nhello\r\n0\r\n\r\n",
      "5\r\nhello\r\n0;a=\"\r\n\r\n",
      "5;a\nb\r\nhello\r\n0\r\n\r\n",
      "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
      "5;a=\"\x01\"\r\nhello\r\n0\r\n\r\n",
      "5\r\nhello\r\n0;a=\"\n\"\r\n\r\n",
      "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
      "5\r\nhello\r\n0\r\nX: y\r\n folded\r\n\r\n",
      "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
      "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
      "10000000000000000\r\nhello\r\n0\r\n\r\n",
      "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
  };
  for (const std::string& each : kBodies) refuses({400, chunked(each)});
  refuses({413, chunked("ffffffffffffffff\r\nhello\r\n0\r\n\r\n")});
  refuses({413, chunked("100001\r\n")});
}

TEST_CASE("connection: limits hold at their edge", "[http]") {
  const auto padded = [](std::size_t bytes) {
    const std::string begin = "GET / HTTP/1.1\r\nHost: a\r\n";
    std::string head = begin;
    for (int i = 0; head.size() + 2'000 < bytes; ++i)
      head += "X" + std::to_string(i) + ": " + std::string(1'900, 'x') + "\r\n";
    head += "Y: ";
    head += std::string(bytes - head.size() - 4, 'y') + "\r\n\r\n";
    REQUIRE(head.size() == bytes);
    return head;
  };
  CHECK(status_of(Talk().say(padded(16'383))) == 200);
  CHECK(status_of(Talk().say(padded(16'384))) == 200);
  refuses({431, padded(16'385)});

  const auto line = [](std::size_t bytes) {
    return "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(bytes - 5, 'x') + "\r\n\r\n";
  };
  CHECK(status_of(Talk().say(line(8'191))) == 200);
  CHECK(status_of(Talk().say(line(8'192))) == 200);
  refuses({431, line(8'193)});

  const auto target = [](std::size_t bytes) { return get("/" + std::string(bytes - 16, 'x')); };
  CHECK(status_of(Talk().say(target(8'191))) == 200);
  CHECK(status_of(Talk().say(target(8'192))) == 200);
  refuses({414, target(8'193)});

  const auto fields = [](int count) {
    std::string head = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 1; i < count; ++i) head += "X: y\r\n";
    return head + "\r\n";
  };
  CHECK(status_of(Talk().say(fields(99))) == 200);
  CHECK(status_of(Talk().say(fields(100))) == 200);
  refuses({431, fields(101)});
}

TEST_CASE("connection: limits of bodies hold at their edge", "[http]") {
  const auto body = [](std::size_t bytes) {
    return with("Content-Length: " + std::to_string(bytes) + "\r\n\r\n") + std::string(bytes, 'b');
  };
  CHECK(status_of(Talk().say(body(1'048'575))) == 200);
  CHECK(status_of(Talk().say(body(1'048'576))) == 200);
  CHECK(status_of(Talk().say(body(1'048'577))) == 413);
  const auto in_chunks = [](std::size_t bytes) {
    const std::string half = "80000\r\n" + std::string(0x80000, 'b') + "\r\n";
    std::string rest = bytes < 0x100000 ? "7ffff" : bytes == 0x100000 ? "80000" : "80001";
    rest += "\r\n" + std::string(bytes - 0x80000, 'b') + "\r\n0\r\n\r\n";
    return chunked(half + rest);
  };
  CHECK(status_of(Talk().say(in_chunks(1'048'575))) == 200);
  CHECK(status_of(Talk().say(in_chunks(1'048'576))) == 200);
  CHECK(status_of(Talk().say(in_chunks(1'048'577))) == 413);
}

TEST_CASE("connection: limits of chunks and trailers hold at their edge", "[http]") {
  const auto trailer = [](int count) {
    std::string fields_of_it;
    for (int i = 0; i < count; ++i) fields_of_it += "X: y\r\n";
    return chunked("1\r\nx\r\n0\r\n" + fields_of_it + "\r\n");
  };
  CHECK(status_of(Talk().say(trailer(100))) == 200);
  refuses({400, trailer(101)});
  const auto extended = [](std::size_t bytes) {
    return chunked("1;" + std::string(bytes - 4, 'a') + "\r\nx\r\n0\r\n\r\n");
  };
  CHECK(status_of(Talk().say(extended(8'192))) == 200);
  refuses({400, extended(8'193)});
  const auto trailing = [](std::size_t bytes) {
    return chunked("1\r\nx\r\n0\r\nX: " + std::string(bytes - 12, 'y') + "\r\n\r\n");
  };
  CHECK(status_of(Talk().say(trailing(8'192))) == 200);
  refuses({400, trailing(8'193)});
}

TEST_CASE("connection: of a chunk that is wrong and too long the same is said however it comes",
          "[http]") {
  const std::string bytes(8'192, 'a');
  const std::string kBodies[] = {
      "5\r\nhello\r\n0\r\nno field\r\nX: " + bytes + "\r\n\r\n",
      "ffffffffffffffff;" + bytes + "\r\nhello\r\n0\r\n\r\n",
      "g;" + bytes + "\r\nhello\r\n0\r\n\r\n",
      "\r\n5;" + bytes + "\r\nhello\r\n0\r\n\r\n",
      "5;a=\"\r\n" + bytes + bytes,
      "5\r\nhello\r\n0;a=\"\r\n\r\n" + bytes + bytes,
      "5\r\nhello\r\n0\r\nX\rY: " + bytes + "\r\n\r\n",
      "5;a\rb" + bytes + "\r\nhello\r\n0\r\n\r\n",
  };
  for (const std::string& each : kBodies) refuses({400, chunked(each)});
}

TEST_CASE("connection: a chunk that is wrong is refused as soon as it is there", "[http]") {
  const std::string kBegins[] = {
      "5\n",           "5;a\rb",
      "5;\x01",        "5\r\nhellox",
      "5\r\nhello\rx", "5\r\nhello\r\n5\x7f",
      "0\r\n\rx",      "0\r\nX\r\r",
      "0\r\n folded",  "0\r\nX: y\r\n\tfolded",
  };
  for (const std::string& each : kBegins) {
    INFO(each);
    Talk client;
    CHECK(status_of(client.say(chunked(each))) == 400);
    CHECK(client.connection.finished());
    CHECK(client.echo.served == 0);
  }
}
