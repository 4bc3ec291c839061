#include "chunks.hpp"

#include <algorithm>

namespace wisp::inline v0::http {

// At the LF of a line, which begins at line_begin_.
void ChunkLineScanner::end_line(std::string_view arrived) {
  const std::string_view line = arrived.substr(line_begin_, looked_ - line_begin_);
  line_begin_ = looked_;
  if (at_ == At::data_end) {
    at_ = At::size;
  } else if (at_ == At::size) {
    // A size of zeros, as the parser reads it.
    const std::size_t zeros = line.find_first_not_of('0');
    const bool last = zeros > 0 && std::string_view("\r; \t").find(line[zeros]) != line.npos;
    at_ = last ? At::trailer : At::found;
  } else if (line.size() == 2) {
    at_ = At::found;
  }
}

Rejection ChunkLineScanner::look(std::string_view arrived) {
  const std::size_t end = std::min(arrived.size(), longest_);
  while (looked_ < end && !found()) {
    const char c = arrived[looked_];
    const bool begins = looked_ == line_begin_;
    const bool after_cr = !begins && arrived[looked_ - 1] == '\r';
    ++looked_;
    if (after_cr) {
      if (c != '\n') return {400, "a carriage return without a line feed in a chunk's line"};
      end_line(arrived);
      continue;
    }
    if (c == '\r') continue;
    if (at_ == At::data_end) return {400, "a chunk's data that goes on where it should end"};
    if (at_ == At::trailer && begins && (c == ' ' || c == '\t'))
      return {400, "a folded field in the trailer"};
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7f)
      return {400, "a control character in a chunk's line"};
  }
  if (!found() && arrived.size() > longest_)
    return {400, "a chunk's line, or the trailer, is too long"};
  return {};
}

}  // namespace wisp::inline v0::http
