// URLs that the client calls, and those that it does not.
#include "http/client_url.hpp"

#include <string>

#include "catch.hpp"

namespace {

using wisp::http::follow;
using wisp::http::parse_url;
using wisp::http::Url;

constexpr std::size_t kMax = 8'192;

std::string refusal(const std::string& text) {
  INFO(text);
  const auto url = parse_url(text, kMax);
  CHECK(url.status().code() == wisp::StatusCode::kInvalidArgument);
  return std::string(wisp::message(url.status()));
}

}  // namespace

TEST_CASE("client url: taken apart", "[client]") {
  struct Case {
    const char* text;
    const char* origin;
    const char* host;
    int port;
    const char* target;
  };
  const Case cases[] = {
      {"http://example.com", "http://example.com", "example.com", 80, "/"},
      {"https://example.com/", "https://example.com", "example.com", 443, "/"},
      {"HTTPS://Example.COM/A", "https://example.com", "example.com", 443, "/A"},
      {"http://example.com:80/", "http://example.com", "example.com", 80, "/"},
      {"http://example.com:443/", "http://example.com:443", "example.com", 443, "/"},
      {"https://example.com:443", "https://example.com", "example.com", 443, "/"},
      {"https://example.com:8443?q", "https://example.com:8443", "example.com", 8443, "/?q"},
      {"http://a:1/", "http://a:1", "a", 1, "/"},
      {"http://a:65535/", "http://a:65535", "a", 65535, "/"},
      {"http://a/b?c=d&e#f?g", "http://a", "a", 80, "/b?c=d&e"},
      {"http://a#b", "http://a", "a", 80, "/"},
      {"http://a/?b@c", "http://a", "a", 80, "/?b@c"},
      {"http://a/%2e%2F://", "http://a", "a", 80, "/%2e%2F://"},
      {"http://a_b-1.xn--bcher-kva.example/", "http://a_b-1.xn--bcher-kva.example",
       "a_b-1.xn--bcher-kva.example", 80, "/"},
      {"http://127.0.0.1:8080/", "http://127.0.0.1:8080", "127.0.0.1", 8080, "/"},
      {"http://[::1]", "http://[::1]", "::1", 80, "/"},
      {"https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443", "2001:db8::1", 8443, "/x"},
      {"http://[::ffff:127.0.0.1]/", "http://[::ffff:127.0.0.1]", "::ffff:127.0.0.1", 80, "/"},
      {"http://1.2.3.example/", "http://1.2.3.example", "1.2.3.example", 80, "/"},
      {"http://0x7f.example/", "http://0x7f.example", "0x7f.example", 80, "/"},
  };
  for (const Case& each : cases) {
    INFO(each.text);
    const auto url = parse_url(each.text, kMax);
    REQUIRE(url.ok());
    CHECK(url->origin() == each.origin);
    CHECK(url->host == each.host);
    CHECK(url->port == each.port);
    CHECK(url->target == each.target);
    CHECK(url->tls == url->origin().starts_with("https"));
  }
  CHECK(parse_url("http://127.0.0.1", kMax)->address.has_value());
  CHECK(parse_url("http://[::1]", kMax)->address.has_value());
  CHECK_FALSE(parse_url("http://localhost", kMax)->address.has_value());
}

TEST_CASE("client url: of other schemes, with users or odd ports, refused", "[client]") {
  const std::string none[] = {
      "",
      "example.com",
      "/a",
      "//example.com/",
      "http:/example.com",
      "http:example.com",
      "://example.com",
      "ftp://example.com/",
      "file:///etc/passwd",
      "gopher://127.0.0.1:6379/_",
      "javascript://example.com/",
      " http://example.com",
      "http ://example.com",
      "http://",
      "http:///path",
      "http://?q",
      "http://#f",
      "http://:80/",
      "http://example.com:/",
      "http://example.com:0/",
      "http://example.com:080/",
      "http://example.com:65536/",
      "http://example.com:99999/",
      "http://example.com:100000/",
      "http://example.com:-1/",
      "http://example.com:8o/",
      "http://example.com:80:80/",
      "http://user@example.com/",
      "http://user:password@example.com/",
      "http://example.com@evil.example/",
      "http://example.com:80@evil.example/",
  };
  for (const std::string& text : none) refusal(text);
}

TEST_CASE("client url: odd characters and hosts are refused, never repaired", "[client]") {
  const std::string none[] = {
      "http://example.com%2fevil/",
      "http://example.com%00/",
      "http://exa mple.com/",
      "http://example.com/a b",
      "http://example.com/\t",
      "http://example.com/\r\nHost: b",
      "http://example.com/a\nb",
      std::string("http://example.com/\0", 20),
      "http://example.com/\x7f",
      "http://example.com\\@evil.example/",
      "http://example.com\\.evil.example/",
      "http://example.com/\\",
      "http://example.com/<",
      "http://example.com/\"",
      "http://example.com/%",
      "http://example.com/%4",
      "http://example.com/%zz",
      "http://b\xc3\xbc"
      "cher.example/",
      "http://example.com/\xc3\xbc",
      "http://example.com\xe3\x80\x82/",
      "http://example..com/",
      "http://.example.com/",
      "http://example.com./",
      "http://-example.com/",
      "http://example-.com/",
      "http://exa$mple.com/",
      "http://*.example.com/",
      "http://127.1/",
      "http://2130706433/",
      "http://0x7f000001/",
      "http://0177.0.0.1/",
      "http://0x7f.0.0.0x1/",
      "http://127.0.0.1./",
      "http://127.0.0.256/",
      "http://example.1/",
      "http://1.2.3.4.5/",
      "http://0x/",
      "http://::1/",
      "http://[::1/",
      "http://::1]/",
      "http://[::1]x/",
      "http://[]/",
      "http://[127.0.0.1]/",
      "http://[fe80::1%25eth0]/",
      "http://[::1]:/",
      "http://[v1.a]/",
      "http://" + std::string(64, 'a') + ".example/",
      "http://" + std::string(126, 'a') + "." + std::string(126, 'b') + "." + "c.d/",
  };
  for (const std::string& text : none) refusal(text);
}

TEST_CASE("client url: its length is bounded", "[client]") {
  const std::string begin = "http://example.com/";
  CHECK(parse_url(begin + std::string(100 - begin.size(), 'a'), 100).ok());
  const auto url = parse_url(begin + std::string(101 - begin.size(), 'a'), 100);
  CHECK(wisp::message(url.status()) == "the URL is longer than 100 bytes");
  const std::string label(63, 'a');
  const std::string host = label + '.' + label + '.' + label + '.' + std::string(61, 'a');
  CHECK(host.size() == 253);
  CHECK(parse_url("http://" + host, kMax).ok());
  CHECK_FALSE(parse_url("http://" + host + "a", kMax).ok());
}

TEST_CASE("client url: what is wrong is said without the URL, in which secrets may be",
          "[client]") {
  for (const char* text : {"http://hunter2@a/", "http://a/hunter2%", "https://a:hunter2/",
                           "hunter2", "hunter2://a/", "http://hunter2..a/", "http://[hunter2]/"}) {
    const std::string said = refusal(text);
    CHECK_FALSE(said.empty());
    CHECK(said.find("hunter2") == said.npos);
  }
  CHECK(refusal("http://127.1/") == "the URL's host is a number, but no IP address");
}

TEST_CASE("client url: where a redirect leads", "[client]") {
  const auto from = parse_url("https://a.example:8443/b/c/d?e=f", kMax);
  REQUIRE(from.ok());
  struct Case {
    const char* location;
    const char* expected;
  };
  const Case cases[] = {
      {"https://b.example/x?y#z", "https://b.example/x?y"},
      {"http://b.example", "http://b.example/"},
      {"//b.example/x", "https://b.example/x"},
      {"/x", "https://a.example:8443/x"},
      {"/", "https://a.example:8443/"},
      {"x", "https://a.example:8443/b/c/x"},
      {"x/", "https://a.example:8443/b/c/x/"},
      {"./x", "https://a.example:8443/b/c/x"},
      {".", "https://a.example:8443/b/c/"},
      {"..", "https://a.example:8443/b/"},
      {"../x", "https://a.example:8443/b/x"},
      {"../../../../x", "https://a.example:8443/x"},
      {"../..", "https://a.example:8443/"},
      {"/x/../y/./z", "https://a.example:8443/y/z"},
      {"/x/..", "https://a.example:8443/"},
      {"x?y=../z", "https://a.example:8443/b/c/x?y=../z"},
      {"x?y:z", "https://a.example:8443/b/c/x?y:z"},
      {"?x", "https://a.example:8443/b/c/d?x"},
      {"", "https://a.example:8443/b/c/d?e=f"},
      {"#x", "https://a.example:8443/b/c/d?e=f"},
      {"x#y", "https://a.example:8443/b/c/x"},
      {"/x//y", "https://a.example:8443/x//y"},
  };
  for (const Case& each : cases) {
    INFO(each.location);
    const auto to = follow(*from, each.location, kMax);
    REQUIRE(to.ok());
    CHECK(to->origin() + to->target == each.expected);
  }
  for (const char* location :
       {"javascript:alert(1)", "file:///etc/passwd", "http:b", "http:/b", "//", "///x",
        "//user@b.example/", "https://user@b.example/", "\\\\b.example\\x", "/\\b.example", "/a b",
        "/\xc3\xbc", "/a\r\nb", "//127.1/", "https://b.example:0/", "data:,x"}) {
    INFO(location);
    CHECK_FALSE(follow(*from, location, kMax).ok());
  }
  CHECK_FALSE(follow(*from, "/" + std::string(kMax, 'a'), kMax).ok());
}
