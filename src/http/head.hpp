// The head of a request: found in what has arrived, then understood. What RFC 9112 lets a server
// repair is refused: whoever stands before this server may have repaired it otherwise.
//
//   HeadScanner scanner(limits);
//   scanner.look(arrived);                        // again, whenever more of it has
//   if (scanner.found()) parse_head(arrived.substr(0, scanner.bytes()), head);
//
// Threads: value.
#pragma once

#include <absl/container/inlined_vector.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace wisp::inline v0::http {

// Why a request gets no further. Status 0: it does.
struct Rejection {
  int status = 0;
  std::string_view what{};  // static text

  explicit operator bool() const { return status != 0; }
};

struct HeadLimits {
  std::size_t bytes = 16'384;  // of the whole head
  std::size_t line = 8'192;    // of one line, its end included
  int fields = 100;
};

// Looks at each byte of a head once, however it arrives, for what makes heads mean two things: bare
// CR and LF, NUL and other control characters, folded fields; and for its end.
class HeadScanner {
 public:
  explicit HeadScanner(const HeadLimits& limits) : limits_(limits) {}

  // Requires: `arrived` begins with what it began with before.
  Rejection look(std::string_view arrived);

  bool found() const { return found_; }
  // Of the head, its empty line included. Requires: found().
  std::size_t bytes() const { return looked_; }

 private:
  Rejection end_line();

  HeadLimits limits_;
  std::size_t looked_ = 0;
  std::size_t line_begin_ = 0;
  int lines_ = 0;
  bool found_ = false;
};

struct Field {
  std::string_view name;
  std::string_view value;
};

// Of views into the bytes of the head.
struct Head {
  std::string_view method;
  std::string_view target;
  int minor = 1;  // of HTTP/1
  absl::InlinedVector<Field, 16> fields;
  std::string_view host;
  std::optional<std::uint64_t> length{};  // of the body
  bool chunked = false;
  bool keep_alive = true;
  bool expects_continue = false;

  bool has_body() const { return chunked || length.value_or(0) != 0; }
  // The value of the first field of that name; nullopt: there is none. Names are compared without
  // regard to case.
  std::optional<std::string_view> find(std::string_view name) const;
};

bool same_name(std::string_view a, std::string_view b);
// Without the blanks and tabs around it.
std::string_view trimmed(std::string_view text);
inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
// 0 to 15; -1: it is none.
int hex_digit(char c);
// Of the characters that names of fields and methods are made of (RFC 9110, 5.6.2).
bool is_token(std::string_view text);

// Requires: a HeadScanner found the end of `bytes`.
Rejection parse_head(std::string_view bytes, Head& to);

}  // namespace wisp::inline v0::http
