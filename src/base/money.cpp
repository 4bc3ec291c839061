#include <wisp/base/money.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

namespace wisp::inline v0 {
namespace {

constexpr std::uint64_t kPicodollarsPerDollar = 1'000'000'000'000;
constexpr std::size_t kDecimalsMin = 2;
constexpr std::size_t kDecimalsMax = 12;

// The number that `digits` spell, or UINT64_MAX if it is larger. Nothing if one is no digit.
std::optional<std::uint64_t> read_digits(std::string_view digits) {
  std::uint64_t value = 0;
  bool over = false;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    over |= __builtin_mul_overflow(value, std::uint64_t{10}, &value);
    over |= __builtin_add_overflow(value, static_cast<std::uint64_t>(c - '0'), &value);
  }
  return over ? UINT64_MAX : value;
}

}  // namespace

std::optional<Money> Money::parse(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);

  const std::size_t point = text.find('.');
  const std::string_view whole_digits = text.substr(0, point);
  if (whole_digits.empty()) return std::nullopt;
  std::string_view decimals;
  if (point != std::string_view::npos) {
    decimals = text.substr(point + 1);
    if (decimals.empty()) return std::nullopt;
    while (decimals.size() > kDecimalsMax && decimals.ends_with('0')) decimals.remove_suffix(1);
    if (decimals.size() > kDecimalsMax) return std::nullopt;
  }

  const std::optional<std::uint64_t> whole = read_digits(whole_digits);
  std::optional<std::uint64_t> fraction = read_digits(decimals);
  if (!whole.has_value() || !fraction.has_value()) return std::nullopt;
  for (std::size_t place = decimals.size(); place < kDecimalsMax; ++place) *fraction *= 10;
  return Money(Uint128{*whole} * kPicodollarsPerDollar + *fraction, negative);
}

std::string to_string(Money amount) {
  const std::uint64_t magnitude = detail::magnitude_of(amount.picodollars());
  std::string text =
      fmt::format("{}{}.{:012}", amount.picodollars() < 0 ? "-" : "",
                  magnitude / kPicodollarsPerDollar, magnitude % kPicodollarsPerDollar);
  const std::size_t last = text.find_last_not_of('0');
  text.resize(std::max(last + 1, text.size() - kDecimalsMax + kDecimalsMin));
  return text;
}

}  // namespace wisp::inline v0

fmt::format_context::iterator fmt::formatter<wisp::Money>::format(
    wisp::Money amount, fmt::format_context& context) const {
  return fmt::formatter<fmt::string_view>::format(wisp::to_string(amount), context);
}
