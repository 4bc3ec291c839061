// Requests as a client writes them, and what is in responses.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

namespace wisp::test {

inline std::string get(std::string_view target, std::string_view fields = "") {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}
inline std::string post(std::string_view target, std::string_view body,
                        std::string_view fields = "Content-Type: application/json\r\n") {
  return "POST " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n" + std::string(fields) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}
inline int status_of(std::string_view response) {
  return response.starts_with("HTTP/1.1 ") ? std::atoi(std::string(response.substr(9, 3)).c_str())
                                           : 0;
}
inline std::string body_of(std::string_view response) {
  const std::size_t at = response.find("\r\n\r\n");
  return at == response.npos ? std::string() : std::string(response.substr(at + 4));
}

// Of problem details.
inline std::string detail_of(std::string_view response) {
  const std::string body = body_of(response);
  const std::size_t at = body.find("\"detail\":\"");
  return at == body.npos ? "" : body.substr(at + 10, body.rfind('"') - at - 10);
}

}  // namespace wisp::test
