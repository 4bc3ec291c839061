#include "client_response.hpp"

#include <absl/time/time.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include <wisp/model/policy.hpp>

namespace wisp::inline v0::http {
namespace {

Status malformed(std::string_view what) { return data_loss("the response is malformed: {}", what); }

// Of a list with commas.
bool lists_word(std::string_view value, std::string_view word) {
  while (!value.empty()) {
    const std::size_t comma = std::min(value.find(','), value.size());
    if (same_name(trimmed(value.substr(0, comma)), word)) return true;
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return false;
}

// All of it is one number that fits.
std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t parsed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
  if (text.empty() || end != text.data() + text.size() || error != std::errc()) return std::nullopt;
  return parsed;
}

// Of a line "HTTP/1.1 200 OK" the minor version and the status; a reason may be missing, with or
// without the space before it.
Status parse_first_line(std::string_view line, int& minor, int& status) {
  const bool whole = line.size() >= 12 && line.starts_with("HTTP/") && is_digit(line[5]) &&
                     line[6] == '.' && is_digit(line[7]) && line[8] == ' ' && is_digit(line[9]) &&
                     is_digit(line[10]) && is_digit(line[11]) &&
                     (line.size() == 12 || line[12] == ' ');
  if (!whole) return malformed("its first line is none");
  if (line[5] != '1' || line[7] > '1') return malformed("not HTTP/1.0 or HTTP/1.1");
  minor = line[7] - '0';
  status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  if (status < 100 || status > 599) return malformed("a status that is none");
  return Status();
}

}  // namespace

ResponseReader::ResponseReader(const ResponseLimits& limits, bool bodiless)
    : limits_(limits), bodiless_(bodiless), scanner_(limits.head) {}

Status ResponseReader::receive(std::string_view bytes) {
  if (bytes.empty()) return Status();
  begun_ = true;
  if (in_.empty()) {
    WISP_TRY(consume(bytes));
    in_.assign(bytes);
    return Status();
  }
  in_.append(bytes);
  std::string_view rest = in_;
  WISP_TRY(consume(rest));
  in_.erase(0, in_.size() - rest.size());
  return Status();
}

Status ResponseReader::consume(std::string_view& rest) {
  for (std::size_t before = 0; !rest.empty() && before != rest.size();) {
    before = rest.size();
    if (phase_ == Phase::done) {
      excess_ = true;
      rest = {};
    } else if (phase_ == Phase::head) {
      WISP_TRY(take_head(rest));
    } else {
      WISP_TRY(take_body(rest));
    }
  }
  return Status();
}

Status ResponseReader::take_head(std::string_view& rest) {
  // Who speaks something else is not waited for.
  constexpr std::string_view kBegin = "HTTP/";
  const std::size_t seen = std::min(rest.size(), kBegin.size());
  if (rest.substr(0, seen) != kBegin.substr(0, seen)) return malformed("it is not of HTTP/1");
  if (const Rejection rejected = scanner_.look(rest)) {
    if (rejected.status == 400) return malformed(rejected.what);
    return out_of_range("the response's head is beyond {} bytes, {} a line, or {} fields",
                        limits_.head.bytes, limits_.head.line, limits_.head.fields);
  }
  if (!scanner_.found()) return Status();
  std::string_view head = rest.substr(0, scanner_.bytes());
  rest.remove_prefix(head.size());
  scanner_ = HeadScanner(limits_.head);

  response_ = {};
  keep_alive_ = true;
  chunked_ = false;
  length_.reset();
  bool first = true;
  // The last line is empty.
  for (std::size_t end = 0; (end = head.find("\r\n")) != 0; head.remove_prefix(end + 2)) {
    const std::string_view line = head.substr(0, end);
    if (std::exchange(first, false)) {
      WISP_TRY(parse_first_line(line, minor_, response_.status));
      keep_alive_ = minor_ == 1;
    } else {
      WISP_TRY(take_field(line));
    }
  }
  return begin_body();
}

Status ResponseReader::take_field(std::string_view line) {
  const std::size_t colon = std::min(line.find(':'), line.size());
  const std::string_view name = line.substr(0, colon);
  if (colon == line.size() || !is_token(name)) return malformed("a field name that is none");
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (same_name(name, "content-length")) {
    WISP_TRY(take_length(value));
  } else if (same_name(name, "transfer-encoding")) {
    if (minor_ == 0) return malformed("a Transfer-Encoding in HTTP/1.0");
    if (chunked_) return malformed("more than one Transfer-Encoding");
    if (!same_name(value, "chunked")) return malformed("a Transfer-Encoding other than chunked");
    chunked_ = true;
  } else if (same_name(name, "connection")) {
    // Of a server of 1.0 nothing is kept: its keep-alive was never specified.
    if (lists_word(value, "close")) keep_alive_ = false;
  }
  response_.headers.push_back({std::string(name), std::string(value)});
  return Status();
}

Status ResponseReader::take_length(std::string_view value) {
  if (length_) return malformed("more than one Content-Length");
  length_ = number(value);
  if (!length_) return malformed("a Content-Length that is no number");
  return Status();
}

// RFC 9112, 6.3.
Status ResponseReader::begin_body() {
  if (length_ && chunked_) return malformed("both Content-Length and Transfer-Encoding");
  const int status = response_.status;
  if (status < 200) {
    if (status == 101) return malformed("it changes to a protocol that was not asked for");
    if (length_ || chunked_) return malformed("a 1xx with a body");
    if (++interim_ > kInterimMax) return malformed("more 1xx before it than allowed");
    return Status();  // the next head
  }
  if (bodiless_ || status == 304) {
    phase_ = Phase::done;
  } else if (status == 204) {
    // What follows, if there is a length, was not understood alike.
    if (chunked_ || length_.value_or(0) != 0) keep_alive_ = false;
    phase_ = Phase::done;
  } else if (chunked_) {
    chunks_.emplace(response_.body, limits_.body, limits_.head);
    phase_ = Phase::body;
  } else if (length_) {
    if (*length_ > limits_.body)
      return out_of_range("the response's body is longer than {} bytes", limits_.body);
    phase_ = *length_ == 0 ? Phase::done : Phase::body;
  } else {
    keep_alive_ = false;
    phase_ = Phase::body_to_end;
  }
  return Status();
}

Status ResponseReader::take_body(std::string_view& rest) {
  std::string& body = response_.body;
  if (phase_ == Phase::body && chunks_) {
    if (const Rejection rejected = chunks_->take(rest)) {
      if (rejected.status == 413)
        return out_of_range("the response's body is longer than {} bytes", limits_.body);
      return malformed(rejected.what);
    }
    if (chunks_->done()) phase_ = Phase::done;
    return Status();
  }
  const bool to_end = phase_ == Phase::body_to_end;
  const std::uint64_t left = (to_end ? limits_.body : *length_) - body.size();
  if (to_end && rest.size() > left)
    return out_of_range("the response's body is longer than {} bytes", limits_.body);
  const std::string_view part = rest.substr(0, static_cast<std::size_t>(left));
  body.append(part);
  rest.remove_prefix(part.size());
  if (!to_end && body.size() == *length_) phase_ = Phase::done;
  return Status();
}

Status ResponseReader::end(bool clean) {
  if (phase_ == Phase::done) return Status();
  if (phase_ == Phase::body_to_end && clean) {
    phase_ = Phase::done;
    return Status();
  }
  if (!begun_) return unavailable("the connection was closed without a response");
  return unavailable("the response was cut short");
}

std::optional<Duration> parse_retry_after(std::string_view value, WallTime now) {
  if (value.empty()) return std::nullopt;
  if (std::all_of(value.begin(), value.end(), is_digit)) {
    constexpr std::uint64_t most = 600;
    static_assert(std::chrono::seconds(most) == kRetryAfterMax);
    return std::chrono::seconds(std::min(number(value).value_or(most), most));
  }
  // The three of RFC 9110, 5.6.7.
  absl::Time when;
  const auto is = [&](const char* format) {
    std::string error;
    return absl::ParseTime(format, {value.data(), value.size()}, &when, &error);
  };
  if (!is("%a, %d %b %Y %H:%M:%S GMT") && !is("%A, %d-%b-%y %H:%M:%S GMT") &&
      !is("%a %b %e %H:%M:%S %Y"))
    return std::nullopt;
  const Duration left = absl::ToChronoNanoseconds(when - absl::FromChrono(now));
  return std::clamp(left, Duration::zero(), Duration(kRetryAfterMax));
}

}  // namespace wisp::inline v0::http
