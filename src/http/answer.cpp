#include "answer.hpp"

#include <charconv>
#include <ctime>
#include <optional>

#include <fmt/format.h>

#include <wisp/base/id.hpp>

#include "gzip.hpp"
#include "head.hpp"

namespace wisp::inline v0::http {
namespace {

struct Named {
  int status;
  std::string_view reason;
};
// RFC 9110, 15, 6585, 4918 and 7725; 499 is nginx's.
constexpr Named kReasons[] = {{200, "OK"},
                              {202, "Accepted"},
                              {203, "Non-Authoritative Information"},
                              {204, "No Content"},
                              {205, "Reset Content"},
                              {206, "Partial Content"},
                              {304, "Not Modified"},
                              {400, "Bad Request"},
                              {401, "Unauthorized"},
                              {402, "Payment Required"},
                              {403, "Forbidden"},
                              {404, "Not Found"},
                              {405, "Method Not Allowed"},
                              {406, "Not Acceptable"},
                              {408, "Request Timeout"},
                              {409, "Conflict"},
                              {410, "Gone"},
                              {411, "Length Required"},
                              {412, "Precondition Failed"},
                              {413, "Content Too Large"},
                              {414, "URI Too Long"},
                              {415, "Unsupported Media Type"},
                              {416, "Range Not Satisfiable"},
                              {417, "Expectation Failed"},
                              {421, "Misdirected Request"},
                              {422, "Unprocessable Content"},
                              {423, "Locked"},
                              {424, "Failed Dependency"},
                              {428, "Precondition Required"},
                              {429, "Too Many Requests"},
                              {431, "Request Header Fields Too Large"},
                              {451, "Unavailable For Legal Reasons"},
                              {499, "Client Closed Request"},
                              {500, "Internal Server Error"},
                              {501, "Not Implemented"},
                              {502, "Bad Gateway"},
                              {503, "Service Unavailable"},
                              {504, "Gateway Timeout"},
                              {505, "HTTP Version Not Supported"},
                              {201, "Created"},
                              {301, "Moved Permanently"},
                              {302, "Found"},
                              {303, "See Other"},
                              {307, "Temporary Redirect"},
                              {308, "Permanent Redirect"}};

void add_number(std::uint64_t number, std::string& to) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  to.append(digits, end);
}

// Of the body alone, so two answers of one body have one tag; but bytes that differ have two
// (RFC 9110, 8.8.3).
std::string tag_of(std::string_view body, bool gzipped) {
  return fmt::format("\"{:x}-{:016x}{}\"", body.size(), stable_hash(body), gzipped ? "-gzip" : "");
}

// RFC 9110, 13.1.2: compared weakly.
bool lists_tag(std::string_view list, std::string_view tag) {
  if (list == "*") return true;
  for (std::size_t at = list.find(tag); at != list.npos; at = list.find(tag, at + 1)) {
    const std::string_view after = list.substr(at + tag.size());
    if (after.empty() || after.front() == ',' || after.front() == ' ') return true;
  }
  return false;
}

// Whether one of these lines is a field of that name.
bool has_field(std::string_view lines, std::string_view name) {
  while (!lines.empty()) {
    if (same_name(lines.substr(0, lines.find(':')), name)) return true;
    const std::size_t end = lines.find('\n');
    lines = end == lines.npos ? std::string_view() : lines.substr(end + 1);
  }
  return false;
}

// What a function set itself is in the fields, and stands first.
bool may_compress(const Answer& answer) {
  constexpr std::string_view kType = "Content-Type: ";
  // What speaks of the bytes as they are.
  constexpr std::string_view kOfBytes[] = {"content-encoding", "content-range", "etag",
                                           "content-digest",   "repr-digest",   "content-md5"};
  if (answer.stream != nullptr || answer.body.size() < kGzipBytesMin ||
      answer.body.size() > kGzipBytesMax || answer.status == 206 ||
      std::any_of(std::begin(kOfBytes), std::end(kOfBytes),
                  [&](std::string_view name) { return has_field(answer.fields, name); }))
    return false;
  const std::string_view fields = answer.fields;
  return is_compressible(answer.content_type.empty() && fields.starts_with(kType)
                             ? fields.substr(kType.size(), fields.find('\r') - kType.size())
                             : answer.content_type);
}

}  // namespace

std::string_view reason_of_status(int status) {
  for (const Named& each : kReasons)
    if (each.status == status) return each.reason;
  return "Unknown";
}

std::string http_date(WallTime when) {
  constexpr std::string_view kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  using namespace std::chrono;
  const auto day = floor<days>(when);
  const year_month_day date(day);
  const hh_mm_ss time(floor<seconds>(when - day));
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays[weekday(day).c_encoding()],
                     static_cast<unsigned>(date.day()),
                     kMonths[static_cast<unsigned>(date.month()) - 1],
                     static_cast<int>(date.year()), time.hours().count(), time.minutes().count(),
                     time.seconds().count());
}

std::string_view DateCache::at(WallTime when) {
  const auto second = std::chrono::floor<std::chrono::seconds>(when).time_since_epoch().count();
  if (second != second_) {
    second_ = second;
    text_ = http_date(when);
  }
  return text_;
}

void write_answer(const Answer& answer, const Wish& wish, std::string_view date, std::string& to) {
  int status = answer.status;
  const bool varies = wish.varies && may_compress(answer);
  std::string tag;
  if (answer.tagged && status == 200) {
    tag = tag_of(answer.body, varies && wish.gzip);
    if (!wish.if_none_match.empty() && lists_tag(wish.if_none_match, tag)) status = 304;
  }
  const bool bodiless = status == 204 || status == 304;
  std::optional<std::string> smaller;
  if (varies && wish.gzip && !bodiless) smaller = gzip(answer.body);
  const std::string_view body = smaller ? *smaller : answer.body;
  const std::string_view reason = reason_of_status(status);
  to.reserve(to.size() + 256 + answer.fields.size() + body.size());
  to += "HTTP/1.1 ";
  add_number(static_cast<std::uint64_t>(status), to);
  to += ' ';
  to += reason;
  to += "\r\nDate: ";
  to += date;
  if (!bodiless) {
    if (!answer.content_type.empty()) {
      to += "\r\nContent-Type: ";
      to += answer.content_type;
    }
    if (answer.stream == nullptr) {
      to += "\r\nContent-Length: ";
      add_number(body.size(), to);
    } else if (wish.minor > 0) {
      to += "\r\nTransfer-Encoding: chunked";
    }
  }
  if (!tag.empty()) {
    to += "\r\nETag: ";
    to += tag;
  }
  if (smaller) to += "\r\nContent-Encoding: gzip";
  if (varies) to += "\r\nVary: Accept-Encoding";
  if (!wish.keep_alive) to += "\r\nConnection: close";
  else if (wish.minor == 0) to += "\r\nConnection: keep-alive";
  to += "\r\n";
  to += answer.fields;
  to += "\r\n";
  if (!bodiless && !wish.head && answer.stream == nullptr) to += body;
}

}  // namespace wisp::inline v0::http
