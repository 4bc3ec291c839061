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

// Finds the end of a chunk's line, which begins with the end of the data before it, if any; the
// last one's goes on to the end of the trailer. What it refuses, it refuses at the first byte that
// is wrong, however the bytes come.
class ChunkLineScanner {
 public:
  // Of at most `longest` bytes. `first`: no data comes before it.
  ChunkLineScanner(std::size_t longest, bool first)
      : longest_(longest), at_(first ? At::size : At::data_end) {}

  // All that has arrived of it so far: a byte that it has looked at is not looked at again.
  Rejection look(std::string_view arrived);
  bool found() const { return at_ == At::found; }
  // Requires: found().
  std::size_t bytes() const { return looked_; }

 private:
  enum class At : std::uint8_t { data_end, size, trailer, found };

  void end_line(std::string_view arrived);

  std::size_t longest_;
  At at_;
  std::size_t looked_ = 0;
  std::size_t line_begin_ = 0;
};

class ChunkDecoder {
 public:
  // Appends to `body`, at most `limit` bytes. The line of a chunk, as its scanner sees it, is at
  // most head.line long, and the trailer has at most head.fields. Requires: `body` outlives this.
  ChunkDecoder(std::string& body, std::uint64_t limit, const HeadLimits& head);
  ~ChunkDecoder();

  // Takes from the front of `arrived` what it can; what it leaves has to come again, with more.
  // Requires: it has refused nothing yet.
  Rejection take(std::string_view& arrived);
  bool done() const;

 private:
  class Chunks;
  std::size_t longest_;  // of a line
  ChunkLineScanner scanner_;
  std::unique_ptr<Chunks> chunks_;
};

}  // namespace wisp::inline v0::http
