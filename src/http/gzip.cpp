#include "gzip.hpp"

#include <zlib.h>

#include "head.hpp"

namespace wisp::inline v0::http {
namespace {

// What is before the first `mark`, and takes it off `rest`.
std::string_view next_of(std::string_view& rest, char mark) {
  const std::size_t at = rest.find(mark);
  const std::string_view first = trimmed(rest.substr(0, at));
  rest = at == rest.npos ? std::string_view() : rest.substr(at + 1);
  return first;
}

// "q=0", "q=0.", "q=0.000": not acceptable. What is no weight at all refuses as well.
bool is_refused(std::string_view parameters) {
  while (!parameters.empty()) {
    std::string_view value = next_of(parameters, ';');
    const std::string_view name = next_of(value, '=');
    if (!same_name(name, "q")) continue;
    if (value.starts_with('1')) return false;
    if (!value.starts_with("0.")) return true;
    return value.substr(2).find_first_of("123456789") == value.npos;
  }
  return false;
}

}  // namespace

bool accepts_gzip(std::string_view accept_encoding) {
  bool any = false;
  while (!accept_encoding.empty()) {
    std::string_view parameters = next_of(accept_encoding, ',');
    const std::string_view coding = next_of(parameters, ';');
    if (same_name(coding, "gzip") || same_name(coding, "x-gzip")) return !is_refused(parameters);
    if (coding == "*") any = !is_refused(parameters);
  }
  return any;
}

bool is_compressible(std::string_view content_type) {
  const std::string_view type = next_of(content_type, ';');
  const auto starts = [&](std::string_view begin) {
    return type.size() >= begin.size() && same_name(type.substr(0, begin.size()), begin);
  };
  const auto ends = [&](std::string_view end) {
    return type.size() >= end.size() && same_name(type.substr(type.size() - end.size()), end);
  };
  return starts("text/") || same_name(type, "application/json") ||
         same_name(type, "application/javascript") || same_name(type, "application/xml") ||
         ends("+json") || ends("+xml");
}

std::optional<std::string> gzip(std::string_view body) {
  constexpr int kLevel = 5;         // beyond it JSON gets hardly smaller, but takes twice as long
  constexpr int kWindow = 15 + 16;  // 32 KiB, in gzip's format
  constexpr int kMemory = 8;
  z_stream stream{};
  if (deflateInit2(&stream, kLevel, Z_DEFLATED, kWindow, kMemory, Z_DEFAULT_STRATEGY) != Z_OK)
    return std::nullopt;
  std::string out(body.size(), '\0');
  // zlib does not write to it.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const bool whole = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (!whole) return std::nullopt;
  return out;
}

}  // namespace wisp::inline v0::http
