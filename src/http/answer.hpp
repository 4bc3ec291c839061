// What goes back for a request, and how it is written.
//
// Threads: value.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>

namespace wisp::inline v0::http {

class Stream;

struct Answer {
  int status = 200;
  std::string_view content_type = "application/json";  // static text
  std::string body{};
  std::string fields{};              // more of them, each with its line end: "Allow: GET\r\n"
  bool tagged = false;               // may have an ETag and be compared with what the client has
  std::shared_ptr<Stream> stream{};  // instead of a body
};

// "Not Found"; "Unknown" of what no RFC names.
std::string_view reason_of_status(int status);

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7).
std::string http_date(WallTime when);

// The same within a second, so that it is made once.
class DateCache {
 public:
  std::string_view at(WallTime when);

 private:
  std::int64_t second_ = INT64_MIN;
  std::string text_;
};

// How the client wants it.
struct Wish {
  bool head = false;  // HEAD: all but the body
  bool keep_alive = true;
  int minor = 1;
  std::string if_none_match{};
  bool varies = false;  // it may be compressed, for a client that takes it so
  bool gzip = false;    // and this one does
};

// Appends the whole of a response, of a stream its head. A body of 204 and 304 is left out.
void write_answer(const Answer& answer, const Wish& wish, std::string_view date, std::string& to);

}  // namespace wisp::inline v0::http
