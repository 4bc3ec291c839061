#include <wisp/base/codec.hpp>

#include <algorithm>
#include <cmath>

#include <absl/strings/ascii.h>
#include <fmt/format.h>

namespace wisp::inline v0 {
namespace {

// Of a text that an error quotes, and of a name.
constexpr std::size_t kQuotedMax = 32;
constexpr std::size_t kNameMax = 64;

// What came from outside, as a line of a log takes it.
std::string quoted(std::string_view text, std::size_t most) {
  std::size_t end = std::min(text.size(), most);
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U)
    --end;
  std::string made;
  for (const char each : text.substr(0, end)) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(each)))
      made += fmt::format("\\x{:02x}", static_cast<unsigned char>(each));
    else made += each;
  }
  return end < text.size() ? made.append("…") : made;
}

// What an error says that it got.
std::string in_words(const Value& value) {
  switch (value.kind) {
    case ValueKind::null:
      return "null";
    case ValueKind::boolean:
      return value.boolean ? "true" : "false";
    case ValueKind::integer:
      return fmt::format("{}", value.integer);
    case ValueKind::natural:
      return fmt::format("{}", value.natural);
    case ValueKind::real:
      return fmt::format("{}", value.real);
    case ValueKind::array:
      return fmt::format("an array of {}", value.size);
    case ValueKind::object:
      return "an object";
    case ValueKind::text:
      break;
  }
  return fmt::format("\"{}\"", quoted(value.view(), kQuotedMax));
}

// The real that is a whole number, and exactly that one.
std::optional<std::int64_t> whole(double real) {
  constexpr double kNeighbours = 9007199254740992;  // 2^53: from it on they are not told apart
  if (std::trunc(real) != real || std::fabs(real) >= kNeighbours) return std::nullopt;
  return static_cast<std::int64_t>(real);
}

std::optional<std::int64_t> integer_of(const Value& value) {
  if (value.kind == ValueKind::integer) return value.integer;
  return value.kind == ValueKind::real ? whole(value.real) : std::nullopt;
}

bool is_number(ValueKind kind) {
  return kind == ValueKind::integer || kind == ValueKind::natural || kind == ValueKind::real;
}

}  // namespace

std::string_view to_string(ValueKind kind) {
  constexpr std::string_view kNames[] = {"null",     "true or false", "a number", "a number",
                                         "a number", "a text",        "an array", "an object"};
  return kNames[static_cast<int>(kind)];
}

std::string Reader::place() const {
  if (outer_ == nullptr) return name_.empty() ? "the value" : quoted(name_, kNameMax);
  std::string text = outer_->outer_ == nullptr && outer_->name_.empty() ? "" : outer_->place();
  if (index_) return text.append(fmt::format("[{}]", *index_));
  if (!text.empty()) text += '.';
  return text.append(quoted(name_, kNameMax));
}

Status Reader::expected(std::string_view what) const {
  return invalid_argument("{}: expected {}, got {}", place(), what, in_words(*value_));
}

Status Reader::lacks(std::string_view member) const {
  const Value none{};
  return invalid_argument("{}: is missing", Reader(none, *this, member).place());
}

Status Reader::wrong(std::string_view what) const {
  return invalid_argument("{}: {}", place(), what);
}

Status Codec<bool>::read(const Reader& from, bool& to) {
  if (from.kind() != ValueKind::boolean) return from.expected("true or false");
  to = from.value().boolean;
  return Status();
}

Status Codec<std::string>::read(const Reader& from, std::string& to) {
  if (from.kind() != ValueKind::text) return from.expected("a text");
  to.assign(from.value().view());
  return Status();
}

namespace detail {

Result<std::int64_t> read_integer(const Reader& from, std::int64_t low, std::int64_t high) {
  if (!is_number(from.kind())) return from.expected("a number");
  const std::optional<std::int64_t> n = integer_of(from.value());
  if (n && low <= *n && *n <= high) return *n;
  return from.expected(fmt::format("a whole number from {} to {}", low, high));
}

Result<std::uint64_t> read_natural(const Reader& from, std::uint64_t high) {
  if (!is_number(from.kind())) return from.expected("a number");
  if (from.kind() == ValueKind::natural && from.value().natural <= high)
    return from.value().natural;
  const std::optional<std::int64_t> n = integer_of(from.value());
  if (n && *n >= 0 && static_cast<std::uint64_t>(*n) <= high) return static_cast<std::uint64_t>(*n);
  return from.expected(fmt::format("a whole number from 0 to {}", high));
}

Result<double> read_real(const Reader& from, double most) {
  double n = 0;
  switch (from.kind()) {
    case ValueKind::integer:
      n = static_cast<double>(from.value().integer);
      break;
    case ValueKind::natural:
      n = static_cast<double>(from.value().natural);
      break;
    case ValueKind::real:
      n = from.value().real;
      break;
    default:
      return from.expected("a number");
  }
  if (std::fabs(n) <= most) return n;
  return from.expected(fmt::format("a number from {} to {}", -most, most));
}

int Members::find(std::string_view name) {
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    const std::size_t at = next_ + i < fields_.size() ? next_ + i : next_ + i - fields_.size();
    if (fields_[at].name != name) continue;
    next_ = at + 1 == fields_.size() ? 0 : at + 1;
    return static_cast<int>(at);
  }
  return -1;
}

Status Members::see(const Reader& member, int index) {
  const std::uint64_t bit = std::uint64_t{1} << index;
  if ((seen_ & bit) != 0) return member.wrong("is there twice");
  seen_ |= bit;
  return Status();
}

std::string one_of(std::span<const std::string_view> names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text.append("\"").append(names[i]).append("\"");
  }
  return text;
}

}  // namespace detail
}  // namespace wisp::inline v0
