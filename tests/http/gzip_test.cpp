// Answers that are sent smaller.
#include "http/gzip.hpp"

#include <zlib.h>

#include <string>

#include <wisp/base/random.hpp>

#include "http/talk.hpp"

namespace {

using wisp::http::accepts_gzip;
using wisp::http::is_compressible;
using wisp::test::body_of;
using wisp::test::status_of;
using wisp::test::Talk;

std::string unzipped(std::string_view text) {
  z_stream stream{};
  REQUIRE(inflateInit2(&stream, 15 + 16) == Z_OK);
  std::string out(2 << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int how = inflate(&stream, Z_FINISH);
  CHECK(how == Z_STREAM_END);
  CHECK(stream.avail_in == 0);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

bool has(std::string_view text, std::string_view what) { return text.find(what) != text.npos; }

// Of a client that says so and is answered by that.
std::string answered(const wisp::http::Answer& answer, std::string_view fields,
                     std::string_view method = "GET", bool gzip = true) {
  Talk client{.limits = {.gzip = gzip}};
  client.echo.later = true;
  client.connection.receive(std::string(method) + " / HTTP/1.1\r\nHost: a\r\n" +
                            std::string(fields) + "\r\n");
  client.connection.answer(answer);
  return client.take();
}

std::string numbers(int count) {
  std::string text = "[0";
  for (int i = 1; i < count; ++i) text += ',' + std::to_string(i);
  return text + ']';
}

}  // namespace

TEST_CASE("gzip: whether a client takes it", "[gzip]") {
  for (const char* yes :
       {"gzip", "GZIP", "x-gzip", "deflate, gzip", "gzip;q=1", "gzip;q=1.000", "gzip;q=0.001",
        "br;q=1, gzip ; q=0.5", "*", "gzip, *;q=0", "*;q=0.1", "identity, *", "gzip;a=b"}) {
    INFO(yes);
    CHECK(accepts_gzip(yes));
  }
  for (const char* no :
       {"", "identity", "deflate, br", "gzip;q=0", "gzip;q=0.", "gzip; q=0.000", "*;q=0",
        "gzip;q=0, *", "gzipped", "gzi", ",,,", "gzip;q=", "gzip;q=x", "gzip;q=-1"}) {
    INFO(no);
    CHECK_FALSE(accepts_gzip(no));
  }
}

TEST_CASE("gzip: what gets smaller", "[gzip]") {
  for (const char* yes :
       {"application/json", "Application/JSON; charset=utf-8", "text/html",
        "text/plain; version=0.0.4", "application/problem+json", "image/svg+xml"}) {
    INFO(yes);
    CHECK(is_compressible(yes));
  }
  for (const char* no : {"", "image/png", "application/octet-stream", "application/gzip", "text",
                         "application/jsonp", "json"}) {
    INFO(no);
    CHECK_FALSE(is_compressible(no));
  }
}

TEST_CASE("gzip: what was made smaller is what it was", "[gzip]") {
  wisp::SeededRandom random(7);
  for (int i = 0; i < 100; ++i) {
    std::string text(random.next() % 100'000, '\0');
    for (char& each : text) each = static_cast<char>('a' + random.next() % (1 + i % 20));
    const auto smaller = wisp::http::gzip(text);
    if (text.size() > 200) REQUIRE(smaller);
    if (smaller) CHECK(unzipped(*smaller) == text);
  }
  std::string noise(10'000, '\0');
  for (char& each : noise) each = static_cast<char>(random.next());
  CHECK_FALSE(wisp::http::gzip(noise));
  CHECK_FALSE(wisp::http::gzip(""));
}

TEST_CASE("gzip: for clients that take it, with a tag of its own", "[gzip]") {
  const std::string body = numbers(1'000);
  const wisp::http::Answer answer{.body = body, .tagged = true};
  const std::string plain = answered(answer, "");
  CHECK(body_of(plain) == body);
  CHECK(has(plain, "\r\nVary: Accept-Encoding\r\n"));
  CHECK_FALSE(has(plain, "Content-Encoding"));
  const std::string small = answered(answer, "Accept-Encoding: gzip\r\n");
  CHECK(unzipped(body_of(small)) == body);
  CHECK(has(small, "\r\nVary: Accept-Encoding\r\n"));
  CHECK(has(small, "\r\nContent-Encoding: gzip\r\n"));
  CHECK(has(small, "\r\nContent-Length: " + std::to_string(body_of(small).size()) + "\r\n"));
  const auto tag = [](std::string_view response) {
    const std::size_t at = response.find("ETag: ") + 6;
    return std::string(response.substr(at, response.find('\r', at) - at));
  };
  CHECK(tag(small) != tag(plain));
  const std::string match = "If-None-Match: " + tag(small) + "\r\n";
  const std::string same = answered(answer, "Accept-Encoding: gzip\r\n" + match);
  CHECK(status_of(same) == 304);
  CHECK(tag(same) == tag(small));
  CHECK(has(same, "\r\nVary: Accept-Encoding\r\n"));
  CHECK(status_of(answered(answer, match)) == 200);
  // As GET would be answered.
  const std::string head = answered(answer, "Accept-Encoding: gzip\r\n", "HEAD");
  CHECK(body_of(head).empty());
  CHECK(has(head, "\r\nContent-Length: " + std::to_string(body_of(small).size()) + "\r\n"));
}

TEST_CASE("gzip: not what is short, long, of another type, coded already or not wanted", "[gzip]") {
  const std::string takes = "Accept-Encoding: gzip\r\n";
  const auto untouched = [&](const wisp::http::Answer& answer, bool gzip = true) {
    const std::string response = answered(answer, takes, "GET", gzip);
    CHECK(body_of(response) == answer.body);
    CHECK_FALSE(has(response, "Vary"));
    CHECK_FALSE(has(response, "Content-Encoding: gzip"));
  };
  const std::string body = numbers(1'000);
  untouched({.body = body}, false);
  untouched({.body = body.substr(0, wisp::http::kGzipBytesMin - 1)});
  untouched({.body = std::string(wisp::http::kGzipBytesMax + 1, 'x')});
  untouched({.content_type = "image/png", .body = body});
  untouched({.content_type = "", .body = body});
  untouched({.content_type = "", .body = body, .fields = "Content-Type: image/png\r\n"});
  untouched({.content_type = "",
             .body = body,
             .fields = "Content-Type: text/html\r\ncontent-encoding: br\r\n"});
  // What speaks of the bytes as they are.
  untouched({.status = 206, .body = body});
  for (const char* field : {"Content-Range: bytes 0-99/200", "ETag: \"a\"", "Content-Digest: x"})
    untouched({.body = body, .fields = std::string(field) + "\r\n"});
  CHECK(
      has(answered({.body = body.substr(0, wisp::http::kGzipBytesMin)}, takes), "Encoding: gzip"));
  CHECK(has(
      answered({.content_type = "", .body = body, .fields = "Content-Type: text/html\r\n"}, takes),
      "Encoding: gzip"));
}
