#include <wisp/base/money.hpp>

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "catch.hpp"
#include "seeds.hpp"

using wisp::Money;
using wisp::test::Seeded;
using wisp::test::test_seeds;

namespace {

__extension__ using Int128 = __int128;

constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();

Money pico(std::int64_t count) { return Money::picodollars(count); }

std::int64_t any_count(Seeded& random) {
  const auto magnitude = static_cast<std::int64_t>(random.any_size() >> 1);
  return random.below(2) == 0 ? magnitude : -magnitude;
}

std::int64_t clamped(Int128 value) {
  if (value > kEnd) return kEnd;
  if (value < -Int128{kEnd}) return -kEnd;
  return static_cast<std::int64_t>(value);
}

// Rounds by comparing twice the remainder, on signed numbers: another way than the one under test.
Int128 half_even(Int128 numerator, Int128 denominator) {
  Int128 floor = numerator / denominator;
  if (numerator % denominator != 0 && (numerator < 0) != (denominator < 0)) --floor;
  const Int128 twice = 2 * (numerator - floor * denominator);
  const Int128 magnitude = denominator < 0 ? -denominator : denominator;
  const Int128 over = (twice < 0 ? -twice : twice) - magnitude;
  if (over > 0 || (over == 0 && floor % 2 != 0)) ++floor;
  return floor;
}

}  // namespace

// Usable in constant expressions, and no larger than the integer it is.
static_assert(sizeof(Money) == sizeof(std::int64_t));
static_assert(Money::cents(490) + Money::cents(10) == Money::dollars(5));
static_assert(Money::dollars(0.5).scaled(1, 4) == Money::cents(12.5));

TEST_CASE("money: integers are exact", "[money]") {
  CHECK(Money().picodollars() == 0);
  CHECK(Money::cents(1).picodollars() == 10'000'000'000);
  CHECK(Money::cents(-490).picodollars() == -4'900'000'000'000);
  CHECK(Money::cents(std::uint8_t{255}) == Money::cents(255));
  CHECK(Money::dollars(9'223'372).picodollars() == 9'223'372'000'000'000'000);
  CHECK(Money::dollars(std::uint64_t{3}) == Money::cents(300));
}

TEST_CASE("money: a double is taken exactly and rounded half-even", "[money]") {
  CHECK(Money::cents(490 + 120 * 2.5) == Money::cents(790));
  CHECK(Money::cents(0.1) == pico(1'000'000'000));
  CHECK(Money::dollars(-0.0000166667) == pico(-16'666'700));
  CHECK(Money::dollars(-0.0) == Money());
  CHECK(Money::dollars(std::numeric_limits<double>::denorm_min()) == Money());
  CHECK(Money::cents(2.5F) == Money::cents(2.5));

  // 2^-13 of a dollar is 122'070'312.5 picodollars: a tie, and 122'070'312 is even.
  CHECK(Money::dollars(std::ldexp(1.0, -13)) == pico(122'070'312));
  CHECK(Money::dollars(-std::ldexp(1.0, -13)) == pico(-122'070'312));
  // Three times that is 366'210'937.5, and the even neighbour is the one above.
  CHECK(Money::dollars(3 * std::ldexp(1.0, -13)) == pico(366'210'938));
  // Just beside the tie nothing is even or odd any more.
  CHECK(Money::dollars(std::nextafter(std::ldexp(1.0, -13), 1.0)) == pico(122'070'313));
  CHECK(Money::dollars(std::nextafter(3 * std::ldexp(1.0, -13), 0.0)) == pico(366'210'937));
}

TEST_CASE("money: any double lies within half a picodollar", "[money]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    for (int i = 0; i < 500; ++i) {
      // Below 2^22 dollars, where a long double holds amount * 1e12 with bits to spare.
      const auto mantissa = static_cast<double>(random.between(-(1LL << 52), 1LL << 52));
      const double amount = std::ldexp(mantissa, static_cast<int>(random.between(-100, -30)));
      const long double exact = static_cast<long double>(amount) * 1e12L;
      const auto actual = static_cast<long double>(Money::dollars(amount).picodollars());
      CHECK(std::fabs(actual - exact) <= 0.5L + 1e-9L);
    }
  }
}

TEST_CASE("money: what does not fit saturates and says so", "[money]") {
  CHECK_FALSE(pico(kEnd - 1).saturated());
  CHECK_FALSE(pico(-kEnd + 1).saturated());
  CHECK(pico(kEnd).saturated());
  CHECK(pico(std::numeric_limits<std::int64_t>::min()) == Money::min());

  CHECK(Money::dollars(9'223'373) == Money::max());
  CHECK(Money::dollars(-9'223'373) == Money::min());
  CHECK(Money::cents(std::numeric_limits<std::uint64_t>::max()) == Money::max());
  CHECK(Money::cents(std::numeric_limits<std::int64_t>::min()) == Money::min());
  CHECK_FALSE(Money::dollars(9'223'372.0).saturated());
  CHECK(Money::dollars(9'223'373.0) == Money::max());
  CHECK(Money::cents(-1e300) == Money::min());
  CHECK(Money::cents(std::ldexp(1.0, 52)) == Money::max());
  CHECK(Money::cents(std::numeric_limits<double>::infinity()) == Money::max());
  CHECK(Money::cents(-std::numeric_limits<double>::infinity()) == Money::min());
  CHECK(Money::cents(std::numeric_limits<double>::quiet_NaN()) == Money::max());
  CHECK(Money::cents(-std::numeric_limits<double>::quiet_NaN()) == Money::max());

  CHECK(pico(kEnd - 1) + pico(1) == Money::max());
  CHECK(pico(-kEnd + 1) - pico(1) == Money::min());
  CHECK(Money::dollars(5'000'000) * 2 == Money::max());
  CHECK(Money::dollars(5'000'000) * -2 == Money::min());
  CHECK(Money::dollars(5'000'000).scaled(2, 1) == Money::max());
  CHECK(Money::dollars(5'000'000).scaled(2, -1) == Money::min());
}

TEST_CASE("money: a saturated amount stays saturated, but nothing of it is nothing", "[money]") {
  CHECK((Money::max() - Money::dollars(1)).saturated());
  CHECK((Money::dollars(1) + Money::min()) == Money::min());
  CHECK((Money::max() + Money::min()) == Money::max());
  CHECK((Money::min() + Money::max()) == Money::min());
  CHECK(-Money::max() == Money::min());
  CHECK(Money::max().scaled(1, 1'000) == Money::max());
  CHECK(Money::max().scaled(1, -1'000) == Money::min());
  CHECK(Money::max() * 0 == Money());
  CHECK(Money::max().scaled(0, 7) == Money());
}

TEST_CASE("money: sums, products and order agree with 128-bit integers", "[money]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    for (int i = 0; i < 500; ++i) {
      const std::int64_t a = any_count(random);
      const std::int64_t b = any_count(random);
      CHECK((pico(a) + pico(b)).picodollars() == clamped(Int128{a} + b));
      CHECK((pico(a) - pico(b)).picodollars() == clamped(Int128{a} - b));
      CHECK((pico(a) * b).picodollars() == clamped(Int128{a} * b));
      CHECK(b * pico(a) == pico(a) * b);
      CHECK((pico(a) < pico(b)) == (a < b));
      CHECK((pico(a) == pico(b)) == (a == b));

      Money sum = pico(a);
      sum += pico(b);
      CHECK(sum == pico(a) + pico(b));
      sum = pico(a);
      sum -= pico(b);
      CHECK(sum == pico(a) - pico(b));
    }
  }
}

TEST_CASE("money: scaled is exact in 128 bits and half-even", "[money]") {
  CHECK(pico(1).scaled(1, 2) == pico(0));
  CHECK(pico(3).scaled(1, 2) == pico(2));
  CHECK(pico(5).scaled(1, 2) == pico(2));
  CHECK(pico(-5).scaled(1, 2) == pico(-2));
  CHECK(pico(-7).scaled(1, 2) == pico(-4));
  CHECK(pico(7).scaled(-1, 2) == pico(-4));
  CHECK(pico(8).scaled(1, 3) == pico(3));
  // The product needs 126 bits, the result fits again.
  CHECK(pico(kEnd - 1).scaled(kEnd, kEnd) == pico(kEnd - 1));

  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    for (int i = 0; i < 500; ++i) {
      const std::int64_t a = any_count(random) >> 1;
      const std::int64_t n = any_count(random) >> 1;
      const std::int64_t d = random.below(4) == 0 ? 2 * random.between(1, 50) : any_count(random);
      if (d == 0) continue;
      CHECK(pico(a).scaled(n, d).picodollars() == clamped(half_even(Int128{a} * n, d)));
    }
  }
}

TEST_CASE("money: prints exact decimals, at least two", "[money]") {
  CHECK(to_string(Money()) == "0.00");
  CHECK(to_string(Money::cents(490)) == "4.90");
  CHECK(to_string(Money::cents(-50)) == "-0.50");
  CHECK(to_string(Money::dollars(1'200)) == "1200.00");
  CHECK(to_string(pico(16'666'700)) == "0.0000166667");
  CHECK(to_string(pico(1)) == "0.000000000001");
  CHECK(to_string(pico(-1'000'000'000'001)) == "-1.000000000001");
  CHECK(to_string(pico(kEnd - 1)) == "9223372.036854775806");
  CHECK(to_string(Money::min()) == "-9223372.036854775807");
}

TEST_CASE("money: fmt aligns and pads it like a string", "[money]") {
  CHECK(fmt::format("{}", Money::cents(490)) == "4.90");
  CHECK(fmt::format("{:>12}|", Money::cents(490)) == "        4.90|");
  CHECK(fmt::format("{:<8}|{:*^10}", Money::cents(490), Money::cents(-50)) ==
        "4.90    |**-0.50***");
  CHECK(fmt::format("{:>{}}", Money::cents(1), 6) == "  0.01");
}

TEST_CASE("money: parse takes decimals and refuses everything else", "[money]") {
  CHECK(Money::parse("4.90") == Money::cents(490));
  CHECK(Money::parse("4") == Money::dollars(4));
  CHECK(Money::parse("+0.0000166667") == pico(16'666'700));
  CHECK(Money::parse("-0.000000000001") == pico(-1));
  CHECK(Money::parse("007.5") == Money::cents(750));
  CHECK(Money::parse("0.0000000000010000") == pico(1));
  CHECK(Money::parse("9223373") == Money::max());
  CHECK(Money::parse("-99999999999999999999999999.9") == Money::min());
  // 5 * 2^64 and 2^64 + 4: what wraps round must not come back small.
  CHECK(Money::parse("92233720368547758080") == Money::max());
  CHECK(Money::parse("18446744073709551620") == Money::max());

  for (const char* text : {"", "-", "+", ".", "4.", ".5", "-.5", "1e3", "0x1", "$4", " 4", "4 ",
                           "4,90", "--4", "+-4", "4.9.0", "nan", "0.0000000000001"}) {
    INFO("'" << text << "'");
    CHECK(Money::parse(text) == std::nullopt);
  }
}

TEST_CASE("money: what it prints it parses", "[money]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    for (int i = 0; i < 500; ++i) {
      const Money amount = pico(any_count(random));
      const std::string text = to_string(amount);
      INFO(text);
      CHECK(Money::parse(text) == amount);
      // Shortest: without its last digit it is another amount, unless only cents are left.
      if (text.size() - text.find('.') > 3) CHECK(text.back() != '0');
    }
  }
}
