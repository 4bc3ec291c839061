#include <wisp/service/detail/rate.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Duration;
using wisp::Time;
using wisp::detail::Rate;
using wisp::test::Seeded;
using wisp::test::test_seeds;

int take_all(Rate& rate, Time now) {
  int taken = 0;
  while (rate.try_take(now)) ++taken;
  return taken;
}

// Whole ones, and such as do not divide a second.
double some_rate(Seeded& random) {
  const auto number = static_cast<double>(random.between(1, 2'000));
  return random.below(2) == 0 ? number : number / 7;
}

}  // namespace

TEST_CASE("rate: a second's worth is there at once, one at least", "[rate]") {
  const Time now(1h);
  for (const double per_second : {0.001, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 7.0, 10.0, 999.0, 999.5}) {
    INFO(per_second);
    Rate rate(per_second);
    const int burst = static_cast<int>(std::max(per_second, 1.0));
    CHECK(rate.ready(now) == burst);
    CHECK(take_all(rate, now) == burst);
    CHECK(rate.ready(now) == 0);
  }
}

TEST_CASE("rate: a token that was not used is there again, though another took one", "[rate]") {
  const Time now(1h);
  Rate rate(10);
  const std::optional<Rate::Turn> unused = rate.try_take(now);
  REQUIRE(unused);
  CHECK(take_all(rate, now) == 9);
  rate.untake(*unused);
  CHECK(take_all(rate, now) == 1);
}

TEST_CASE("rate: another rate keeps the part of a token that has come", "[rate]") {
  Rate rate(1.0 / 3600);
  REQUIRE(rate.try_take(Time(1h)));
  CHECK(rate.reserve(Time(2h - 1min)).at == Time(2h));
  rate.set(2.0 / 3600, Time(2h - 1min));  // half of a minute is left of it
  CHECK(std::abs((rate.reserve(Time(2h - 1min)).at - Time(2h - 30s)).count()) < 1'000'000);

  // Changed again and again, it goes on all the same for who waits.
  Rate steered(10);
  Time now(1h);
  CHECK(take_all(steered, now) == 10);
  int taken = 0;
  Rate::Turn turn = steered.reserve(now);
  for (int i = 0; i < 400; ++i) {
    now = now + 50ms;
    steered.set(i % 2 == 0 ? 11 : 10, now);
    if (turn.at <= now) ++taken;
    if (turn.at <= now || !steered.holds(turn)) turn = steered.reserve(now);
  }
  CHECK(taken >= 195);
  CHECK(taken <= 210);
}

// The fluid bucket, counted beside it: what the rates since the beginning are worth, and what was
// in the bucket then.
TEST_CASE("rate: no changes of it let more through than its rates", "[rate]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    double per_second = some_rate(random);
    Rate rate(per_second);
    Time now(1h);
    double worth = std::max(per_second, 1.0);
    int taken = 0;
    for (int step = 0; step < 300; ++step) {
      const Duration pause(random.between(0, 200'000'000));
      now = now + pause;
      worth += per_second * static_cast<double>(pause.count()) / 1e9;
      worth = std::min(worth, taken + std::max(per_second, 1.0));  // what is beyond flows over
      if (random.below(3) == 0) {
        per_second = some_rate(random);
        rate.set(per_second, now);
        worth = std::min(worth, taken + std::max(per_second, 1.0));
      }
      for (auto n = random.below(20); n > 0 && rate.try_take(now); --n) ++taken;
      REQUIRE(taken <= worth + 1e-3);
      // And none is held back beyond what is rounded up for each.
      REQUIRE(rate.ready(now) >= std::floor(worth - taken - 0.01));
      CHECK(rate.ready(now) <= worth - taken + 1e-3);
    }
  }
}
