// Requests and responses as handlers see them that want more than their typed input.
//
//   const auto page = wisp::function("page", [](const wisp::http::Request& request) {
//     return wisp::http::Response{.content_type = "text/html; charset=utf-8",
//                                 .body = "<h1>" + request.path + "</h1>"};  // escape it!
//   });
//   gateway.get("/pages/{name}", page);
//
// Threads: value.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/status.hpp>
#include <wisp/http/principal.hpp>

namespace wisp::inline v0::http {

struct Header {
  std::string name;
  std::string value;
};

struct Request {
  std::string method;
  std::string path;   // decoded
  std::string query;  // as it came, without the question mark
  std::vector<Header> headers;
  std::string body;
  Principal caller{};  // nobody, unless the gateway has found out

  // The value of the first header of that name, whatever its case; nullopt: there is none.
  std::optional<std::string_view> header(std::string_view name) const;
};

struct Response {
  int status = 200;  // of 200 to 599
  std::string content_type = "text/plain; charset=utf-8";
  std::string body{};
  // Not Content-Type, which is above, nor Content-Length, Transfer-Encoding, Connection and Date,
  // which are the gateway's: one of these, or with a control character, makes the response a 500.
  std::vector<Header> headers{};
  // Instead of `body`: its next piece, nullopt at its end; empty: nothing for now, asked again
  // within a second or so. Called on a gateway's thread whenever the client has taken what it was
  // sent, so it must not block; its time is on no bill. An error or a throw cuts the response off.
  std::function<Result<std::optional<std::string>>()> stream{};
};

}  // namespace wisp::inline v0::http
