#include <wisp/engine/cost_band.hpp>

#include <cmath>
#include <optional>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using wisp::CostBand;
using wisp::Money;
using wisp::test::Seeded;
using wisp::test::test_seeds;

constexpr std::uint64_t kCalls = 100;

// A period of calls that cost about so much each: up to `noise` more or less, in shares.
std::optional<Money> look(CostBand& band, Seeded& random, double each, double noise) {
  const double share = static_cast<double>(random.between(0, 2'000)) / 1'000 - 1;
  const double all = each * kCalls * std::exp(share * noise);
  return band.look(Money::picodollars(static_cast<std::int64_t>(all)), kCalls);
}

}  // namespace

TEST_CASE("cost band: what varies as it always did is usual, a cost beyond is told once",
          "[cost_band]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    const double usual = 1e6 * static_cast<double>(random.between(1, 1'000));
    const double noise = static_cast<double>(random.between(0, 30)) / 100;
    CostBand band;
    for (int period = 0; period < 200; ++period) CHECK_FALSE(look(band, random, usual, noise));
    // Four deviations are less than four times the noise.
    const double factor = 1.6 * std::exp(4 * noise);
    for (const double changed : {usual * factor, usual / factor}) {
      const std::optional<Money> told = look(band, random, changed, 0);
      REQUIRE(told);
      CHECK(std::abs(std::log(static_cast<double>(told->picodollars()) / usual)) <= noise + 0.01);
      for (int period = 0; period < 5; ++period) CHECK_FALSE(look(band, random, changed, 0));
      CHECK_FALSE(look(band, random, usual, 0));
    }
  }
}

TEST_CASE("cost band: of costs that vary at random hardly one in a thousand is told",
          "[cost_band]") {
  int told = 0;
  int periods = 0;
  for (int seed = 1; seed <= 100; ++seed) {
    Seeded random(seed);
    CostBand band;
    for (int period = 0; period < 200; ++period, ++periods) {
      // Twelve uniform ones make a normal one of deviation 1.
      double normal = -6;
      for (int i = 0; i < 12; ++i) normal += static_cast<double>(random.between(0, 1'000)) / 1'000;
      told +=
          band.look(Money::picodollars(std::llround(1e8 * std::exp(0.3 * normal))), kCalls) ? 1 : 0;
    }
  }
  CHECK(told * 1'000 <= periods);
}

TEST_CASE("cost band: what stays is the usual before long", "[cost_band]") {
  Seeded random(1);
  CostBand band;
  for (int period = 0; period < 20; ++period) CHECK_FALSE(look(band, random, 1e6, 0.1));
  CHECK(look(band, random, 9e6, 0.1));
  // Beyond those that were outside, as many to learn from.
  for (int period = 1; period < CostBand::kSettle + CostBand::kLearn; ++period)
    CHECK_FALSE(look(band, random, 9e6, 0.1));
  CHECK_FALSE(look(band, random, 9e6, 0.1));
  CHECK(look(band, random, 1e6, 0.1));
}

TEST_CASE("cost band: nothing is told of few calls, of none, or of what costs nothing",
          "[cost_band]") {
  Seeded random(1);
  CostBand band;
  for (int period = 0; period < CostBand::kLearn; ++period) {
    CHECK_FALSE(band.look(Money::dollars(1), CostBand::kCallsMin - 1));
    CHECK_FALSE(band.look(Money(), 1'000));
    CHECK_FALSE(look(band, random, 1e6, 0));
  }
  CHECK_FALSE(band.look(Money::dollars(1), CostBand::kCallsMin - 1));
  CHECK_FALSE(band.look(Money(), 0));
  CHECK_FALSE(band.look(Money(), 1'000));
  CHECK(band.look(Money::dollars(1), CostBand::kCallsMin));
}
