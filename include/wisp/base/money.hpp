// An exact amount of US dollars, counted in picodollars (1e-12 USD).
//
//   wisp::Money fee = wisp::Money::cents(490) + 3 * wisp::Money::picodollars(16'666'700);
//   fmt::print("{:>14}\n", fee);                          // "  4.9000500001"
//
// The range is 9,223,372.036854775806 USD either way. What does not fit saturates: the amount stays
// at the end of the range and saturated() says so, also after any further arithmetic with it except
// a product with zero. Intermediate results have 128 bits and nothing rounds but where half-even is
// written: a tie goes to the even picodollar.
//
// Threads: value.
#pragma once

#include <fmt/core.h>

#include <bit>
#include <cassert>
#include <compare>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <wisp/base/fields.hpp>

namespace wisp::inline v0 {

__extension__ using Uint128 = unsigned __int128;

namespace detail {

// An integer whose magnitude fits 64 bits.
template <class T>
concept Countable = std::integral<T> && sizeof(T) <= sizeof(std::uint64_t);

template <Countable T>
constexpr std::uint64_t magnitude_of(T value) {
  const auto bits = static_cast<std::uint64_t>(value);
  return value < T{0} ? ~bits + 1 : bits;
}

// Requires: denominator != 0.
constexpr Uint128 divide_half_even(Uint128 numerator, Uint128 denominator) {
  const Uint128 quotient = numerator / denominator;
  const Uint128 below = numerator - quotient * denominator;
  const Uint128 above = denominator - below;
  return quotient + (below > above || (below == above && quotient % 2 == 1) ? 1 : 0);
}

}  // namespace detail

class Money {
 public:
  constexpr Money() = default;

  static constexpr Money picodollars(std::int64_t count) {
    return Money(detail::magnitude_of(count), count < 0);
  }

  // Integers are exact. A double is taken at its exact binary value and rounded half-even to a
  // picodollar; an infinity saturates, and so does NaN, upwards: a cost that nobody could work out
  // must not pass for a small one.
  template <detail::Countable T>
  static constexpr Money cents(T count) {
    return Money(Uint128{detail::magnitude_of(count)} * kPerCent, count < T{0});
  }
  static constexpr Money cents(double count) { return from_double(count, kPerCent); }
  template <detail::Countable T>
  static constexpr Money dollars(T count) {
    return Money(Uint128{detail::magnitude_of(count)} * kPerDollar, count < T{0});
  }
  static constexpr Money dollars(double count) { return from_double(count, kPerDollar); }

  // Reads what to_string() writes: an optional sign, digits, and optionally a point and digits.
  // Nothing for any other text, and for one that is finer than a picodollar; a figure beyond the
  // range saturates.
  static std::optional<Money> parse(std::string_view text);

  // The ends of the range, which are the saturated amounts.
  static constexpr Money max() { return Money(kEnd, false); }
  static constexpr Money min() { return Money(kEnd, true); }

  constexpr std::int64_t picodollars() const { return count_; }

  // True if this amount, or one that it was made from, did not fit.
  constexpr bool saturated() const { return magnitude() == kEnd; }

  // This times numerator / denominator, half-even. Requires: denominator != 0.
  constexpr Money scaled(std::int64_t numerator, std::int64_t denominator) const {
    assert(denominator != 0);
    if (numerator == 0) return Money();
    const bool negative = (count_ < 0) != ((numerator < 0) != (denominator < 0));
    if (saturated()) return Money(kEnd, negative);
    const Uint128 product = Uint128{magnitude()} * detail::magnitude_of(numerator);
    return Money(detail::divide_half_even(product, detail::magnitude_of(denominator)), negative);
  }

  friend constexpr auto operator<=>(Money, Money) = default;

  friend constexpr Money operator-(Money a) { return Money(a.magnitude(), a.count_ > 0); }

  // Of two saturated operands the left one decides the sign.
  friend constexpr Money operator+(Money a, Money b) {
    if (a.saturated()) return a;
    if (b.saturated()) return b;
    std::int64_t sum = 0;
    if (__builtin_add_overflow(a.count_, b.count_, &sum)) return Money(kEnd, a.count_ < 0);
    return picodollars(sum);
  }
  friend constexpr Money operator-(Money a, Money b) { return a + -b; }

  template <detail::Countable T>
  friend constexpr Money operator*(Money a, T count) {
    const std::uint64_t factor = detail::magnitude_of(count);
    return Money(Uint128{a.magnitude()} * factor, (a.count_ < 0) != (count < T{0}));
  }
  template <detail::Countable T>
  friend constexpr Money operator*(T count, Money a) {
    return a * count;
  }

  constexpr Money& operator+=(Money other) { return *this = *this + other; }
  constexpr Money& operator-=(Money other) { return *this = *this - other; }

 private:
  static constexpr std::uint64_t kPerCent = 10'000'000'000;
  static constexpr std::uint64_t kPerDollar = 1'000'000'000'000;
  // Symmetric, so that negation is exact. The end itself is kept for what did not fit.
  static constexpr std::uint64_t kEnd = INT64_MAX;

  // Saturates.
  constexpr Money(Uint128 magnitude, bool negative) {
    const auto count = static_cast<std::int64_t>(magnitude < kEnd ? magnitude : kEnd);
    count_ = negative ? -count : count;
  }

  static constexpr Money from_double(double amount, std::uint64_t picodollars_per_unit);

  constexpr std::uint64_t magnitude() const { return detail::magnitude_of(count_); }

  std::int64_t count_ = 0;
};

// Decimal dollars, exact, with as few decimals as that takes but at least two, and no exponent:
// "4.90", "0.0000166667", "-0.50". Money::parse reads it back.
std::string to_string(Money amount);

constexpr Money Money::from_double(double amount, std::uint64_t picodollars_per_unit) {
  // IEEE 754 binary64: amount = mantissa * 2^shift, so the product below is exact in 93 bits. With
  // shift >= 0 the amount is 2^52 or more, beyond the range in any unit.
  const auto bits = std::bit_cast<std::uint64_t>(amount);
  const auto biased = static_cast<int>((bits >> 52) & 0x7ff);
  const std::uint64_t fraction = bits & ((std::uint64_t{1} << 52) - 1);
  const bool negative = (bits >> 63) != 0;
  if (biased == 0x7ff) return Money(kEnd, negative && fraction == 0);

  const std::uint64_t mantissa = biased == 0 ? fraction : fraction | (std::uint64_t{1} << 52);
  const int shift = (biased == 0 ? 1 : biased) - 1075;
  if (shift >= 0) return Money(kEnd, negative);
  if (shift <= -128) return Money();
  const Uint128 product = Uint128{mantissa} * picodollars_per_unit;
  return Money(detail::divide_half_even(product, Uint128{1} << -shift), negative);
}

// The wire name has a dot, which no token given to WISP_FIELDS has: a Money of the user's own may
// stand beside this one. No member is a field.
constexpr auto wisp_fields(const Money*) { return detail::field_list<Money>("wisp.Money"); }

}  // namespace wisp::inline v0

// Takes a string's format specification: fill, alignment and width.
template <>
struct fmt::formatter<wisp::Money> : fmt::formatter<fmt::string_view> {
  fmt::format_context::iterator format(wisp::Money amount, fmt::format_context& context) const;
};
