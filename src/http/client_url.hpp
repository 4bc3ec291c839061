// Where a request of the client's goes: an absolute URL, taken apart or refused, never repaired.
//
//   WISP_TRY(const Url url, parse_url("https://example.com/notes?id=7#top", 8'192));
//   url.origin()     // "https://example.com"
//   url.target       // "/notes?id=7"
//
// Errors say what is wrong and not with which text: there may be secrets in it.
//
// Threads: value.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <wisp/base/status.hpp>
#include <wisp/http/address.hpp>

namespace wisp::inline v0::http {

struct Url {
  bool tls = false;
  std::string host{};                  // in lower case; of an address of IPv6 without brackets
  std::optional<IpAddress> address{};  // the host, if it is one
  int port = 0;
  std::string target{};  // path and query

  // "example.com", "[::1]:8080": without the port that is the scheme's.
  std::string authority() const;
  std::string origin() const;
};

Result<Url> parse_url(std::string_view text, std::size_t bytes_max);

// Where a Location of a response leads (RFC 3986, 5.2).
Result<Url> follow(const Url& from, std::string_view location, std::size_t bytes_max);

}  // namespace wisp::inline v0::http
