// A body that comes in chunks (RFC 9112, 7.1), as its bytes. Trailer fields are read and dropped.
//
// Threads: one-at-a-time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "head.hpp"

namespace wisp::inline v0::http {

class ChunkDecoder {
 public:
  // Appends to `body`, at most `limit` bytes. A chunk's line and the whole trailer are at most
  // head.line long each, the trailer of head.fields at most. Requires: `body` outlives this.
  ChunkDecoder(std::string& body, std::uint64_t limit, const HeadLimits& head);
  ~ChunkDecoder();

  // Takes from the front of `arrived` what it can; what it leaves has to come again, with more.
  Rejection take(std::string_view& arrived);
  bool done() const;

 private:
  class Chunks;
  Rejection take_line(std::string_view line);

  std::size_t longest_;  // of a line
  bool first_ = true;    // no line was taken yet
  std::unique_ptr<Chunks> chunks_;
};

}  // namespace wisp::inline v0::http
