#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <wisp/base/text.hpp>
#include <wisp/json/json.hpp>

namespace wisp::inline v0::json {
namespace {

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
    size = detail::utf8_length(text);
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
