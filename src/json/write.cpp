#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <wisp/json/json.hpp>

namespace wisp::inline v0::json {
namespace {

// The bytes of the UTF-8 sequence at the front (RFC 3629), 0 if there is none.
std::size_t sequence(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xc0U) != 0x80) return 0;
  // Overlong ones, surrogates, and beyond U+10FFFF.
  if (first == 0xe0 && byte(1) < 0xa0) return 0;
  if (first == 0xed && byte(1) > 0x9f) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) > 0x8f) return 0;
  return size;
}

bool plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
}

void escape(std::string& to, char c) {
  switch (c) {
    case '"':
      to += "\\\"";
      break;
    case '\\':
      to += "\\\\";
      break;
    case '\n':
      to += "\\n";
      break;
    case '\r':
      to += "\\r";
      break;
    case '\t':
      to += "\\t";
      break;
    default: {
      constexpr std::string_view kDigits = "0123456789abcdef";
      to.append("\\u00");
      to += kDigits[static_cast<unsigned char>(c) >> 4U];
      to += kDigits[static_cast<unsigned char>(c) & 0xfU];
    }
  }
}

}  // namespace

void TextWriter::begin_value() {
  if (comma_) to_ += ',';
  comma_ = true;
}

void TextWriter::quote(std::string_view text) {
  to_ += '"';
  while (!text.empty()) {
    std::size_t size = 0;
    while (size < text.size() && plain(text[size])) ++size;
    to_.append(text.substr(0, size));
    text.remove_prefix(size);
    if (text.empty()) break;
    if (static_cast<unsigned char>(text.front()) < 0x80) {
      escape(to_, text.front());
      text.remove_prefix(1);
      continue;
    }
    size = sequence(text);
    to_.append(size == 0 ? "\xef\xbf\xbd" : text.substr(0, size));
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  to_ += '"';
}

template <class Number>
void TextWriter::number(Number value) {
  begin_value();
  std::array<char, 32> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  to_.append(digits.data(), end);
}

void TextWriter::null() {
  begin_value();
  to_ += "null";
}

void TextWriter::boolean(bool value) {
  begin_value();
  to_ += value ? "true" : "false";
}

void TextWriter::integer(std::int64_t value) { number(value); }
void TextWriter::natural(std::uint64_t value) { number(value); }

void TextWriter::real(double value) {
  if (std::isfinite(value)) number(value);
  else null();
}

void TextWriter::real(float value) {
  if (std::isfinite(value)) number(value);
  else null();
}

void TextWriter::text(std::string_view value) {
  begin_value();
  quote(value);
}

void TextWriter::begin_array() {
  begin_value();
  to_ += '[';
  comma_ = false;
}

void TextWriter::end_array() {
  to_ += ']';
  comma_ = true;
}

void TextWriter::begin_object() {
  begin_value();
  to_ += '{';
  comma_ = false;
}

void TextWriter::name(std::string_view name) {
  begin_value();
  quote(name);
  to_ += ':';
  comma_ = false;
}

void TextWriter::end_object() {
  to_ += '}';
  comma_ = true;
}

}  // namespace wisp::inline v0::json
