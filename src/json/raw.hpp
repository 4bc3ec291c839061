// The pieces of a text that is known to be JSON, as they stand in it.
//
//   RawText raw(R"({"id": 1.50, "data": [1, 2]})");
//   raw.enter();
//   raw.next();                  // "\"id\"", then "1.50", "\"data\"", "[1, 2]"
//
// Threads: one-at-a-time.
#pragma once

#include <algorithm>
#include <string_view>

namespace wisp::inline v0::json {

class RawText {
 public:
  // Requires: a parser took `text` for JSON.
  explicit RawText(std::string_view text) : rest_(text) {}

  // Into the array or object that comes next.
  void enter() {
    skip();
    rest_.remove_prefix(1);
  }
  // The value or name that comes next, past it. Requires: there is one.
  std::string_view next() {
    skip();
    const std::size_t size = length();
    const std::string_view value = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return value;
  }

 private:
  void skip() {
    const std::size_t begin = rest_.find_first_not_of(" \t\r\n,:");
    rest_.remove_prefix(begin == rest_.npos ? rest_.size() : begin);
  }
  // Of the quoted text at `at`, with its quotes.
  std::size_t end_of_text(std::size_t at) const {
    for (++at; at < rest_.size() && rest_[at] != '"'; ++at)
      if (rest_[at] == '\\') ++at;
    return at + 1;
  }
  std::size_t length() const {
    if (rest_.empty()) return 0;
    if (rest_.front() == '"') return end_of_text(0);
    if (rest_.front() != '{' && rest_.front() != '[')
      return std::min(rest_.find_first_of(" \t\r\n,:]}"), rest_.size());
    int depth = 0;
    for (std::size_t at = 0; at < rest_.size();) {
      const char c = rest_[at];
      if (c == '"') {
        at = end_of_text(at);
        continue;
      }
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') --depth;
      ++at;
      if (depth == 0) return at;
    }
    return rest_.size();
  }

  std::string_view rest_;
};

}  // namespace wisp::inline v0::json
