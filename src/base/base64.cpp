#include <wisp/base/base64.hpp>

#include <array>

namespace wisp::inline v0 {
namespace {

constexpr std::string_view kStandard =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::uint8_t kNone = 64;

using Values = std::array<std::uint8_t, 256>;

constexpr Values values_of(std::string_view alphabet) {
  Values values{};
  values.fill(kNone);
  for (std::size_t i = 0; i < alphabet.size(); ++i)
    values[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
  return values;
}

constexpr Values kStandardValues = values_of(kStandard);
constexpr Values kUrlValues = values_of(kUrl);

// Takes the padding of a text that has to have it; false: it has another one.
bool take_padding(std::string_view& text) {
  if (text.size() % 4 != 0) return false;
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  return true;
}

}  // namespace

std::string to_base64(std::string_view bytes, Base64 form) {
  const std::string_view alphabet = form == Base64::standard ? kStandard : kUrl;
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (; !bytes.empty(); bytes.remove_prefix(bytes.size() < 3 ? bytes.size() : 3)) {
    const std::string_view group = bytes.substr(0, 3);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i)
      bits = bits << 8U | (i < group.size() ? static_cast<unsigned char>(group[i]) : 0U);
    for (std::size_t i = 0; i < 4; ++i) {
      if (i <= group.size()) text += alphabet[bits >> (18 - 6 * i) & 63U];
      else if (form != Base64::url_bare) text += '=';
    }
  }
  return text;
}

Result<std::string> from_base64(std::string_view text, const Base64Options& options) {
  const std::size_t least = text.size() / 4 * 3;  // and up to two more
  if (least > 2 && least - 2 > options.bytes)
    return resource_exhausted("base64 of {} characters: the limit is {} bytes", text.size(),
                              options.bytes);
  const std::size_t whole = text.size();
  if (options.form != Base64::url_bare && !take_padding(text))
    return invalid_argument("base64 of {} characters: it comes in groups of four", whole);
  if (text.size() % 4 == 1)
    return invalid_argument("base64 of {} characters: the last one stands for no byte", whole);
  const Values& values = options.form == Base64::standard ? kStandardValues : kUrlValues;
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  int held = 0;  // of bits, not yet in a byte
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::uint8_t value = values[static_cast<unsigned char>(text[i])];
    if (value == kNone) return invalid_argument("base64: no character of it at {}", i);
    bits = (bits << 6U | value) & 0xffffU;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>(bits >> held & 0xffU);
  }
  if ((bits & ((1U << held) - 1U)) != 0)
    return invalid_argument("base64: bits after the last byte are not zero");
  if (bytes.size() > options.bytes)
    return resource_exhausted("base64 of {} bytes: the limit is {}", bytes.size(), options.bytes);
  return bytes;
}

}  // namespace wisp::inline v0
