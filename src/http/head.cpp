#include "head.hpp"

#include <absl/strings/match.h>

#include <algorithm>

namespace wisp::inline v0::http {
namespace {

constexpr Rejection kBadCharacter{400, "a control character in the head"};

}  // namespace

bool same_name(std::string_view a, std::string_view b) {
  return absl::EqualsIgnoreCase({a.data(), a.size()}, {b.data(), b.size()});
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

std::optional<std::string_view> Head::find(std::string_view name) const {
  for (const Field& each : fields)
    if (same_name(each.name, name)) return each.value;
  return std::nullopt;
}

// At the LF of a line, which begins at line_begin_.
Rejection HeadScanner::end_line() {
  const std::size_t size = looked_ - line_begin_;
  if (size == 2) {
    if (lines_ == 0) return {400, "an empty line before the request"};
    found_ = true;
    return {};
  }
  if (++lines_ > limits_.fields + 1) return {431, "more fields than allowed"};
  line_begin_ = looked_;
  return {};
}

Rejection HeadScanner::look(std::string_view arrived) {
  const std::size_t end = std::min(arrived.size(), limits_.bytes);
  while (looked_ < end && !found_) {
    const char c = arrived[looked_];
    const bool begins = looked_ == line_begin_;
    const bool after_cr = !begins && arrived[looked_ - 1] == '\r';
    ++looked_;
    if (looked_ - line_begin_ > limits_.line)
      return lines_ == 0 ? Rejection{414, "the request's line is too long"}
                         : Rejection{431, "a field is too long"};
    if (c == '\n') {
      if (!after_cr) return {400, "a line feed without a carriage return"};
      if (const Rejection rejected = end_line()) return rejected;
      continue;
    }
    if (after_cr) return {400, "a carriage return without a line feed"};
    if (begins && (c == ' ' || c == '\t')) return {400, "a folded field"};
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\r' && c != '\t') || byte == 0x7f) return kBadCharacter;
  }
  if (!found_ && arrived.size() >= limits_.bytes) return {431, "the head is too long"};
  return {};
}

}  // namespace wisp::inline v0::http
