// Bytes as text of 64 characters, and back (RFC 4648).
//
//   std::string text = wisp::to_base64(bytes);
//   wisp::Result<std::string> again = wisp::from_base64(text, {.bytes = 65'536});
//
// Read strictly: of all texts only the one that to_base64() writes stands for some bytes. No line
// ends, no padding but what the form asks for, no stray bits after the last byte.
//
// Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <wisp/base/status.hpp>

namespace wisp::inline v0 {

enum class Base64 : std::uint8_t {
  standard,  // with + and /, padded to groups of four (section 4)
  url,       // with - and _, padded (section 5)
  url_bare,  // the same without padding, as in a JWT
};

struct Base64Options {
  Base64 form = Base64::standard;
  std::size_t bytes = 1'073'741'824;  // that a text may stand for
};

std::string to_base64(std::string_view bytes, Base64 form = Base64::standard);

// kInvalidArgument says where the text is wrong, kResourceExhausted that it stands for too much.
Result<std::string> from_base64(std::string_view text, const Base64Options& options = {});

}  // namespace wisp::inline v0
