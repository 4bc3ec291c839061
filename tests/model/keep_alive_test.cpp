#include <wisp/model/keep_alive.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Duration;
using wisp::keep_alive::Fixed;
using wisp::keep_alive::IdleTimes;
using wisp::keep_alive::Predictive;
using wisp::keep_alive::Span;

bool same(const std::optional<Span>& span, Duration from, Duration until) {
  return span && span->from == from && span->until == until;
}

// By definition, for each minute up to `end`: of the idle times that lasted until it, how many
// ended in it; or between two such minutes with no more than `keep` others.
std::vector<bool> kept(const std::vector<int>& minutes, double chance, int keep, int end) {
  std::vector<bool> kept(static_cast<std::size_t>(end));
  kept[0] = true;
  int before = 0;
  for (int minute = 1; minute <= 240; ++minute) {
    const auto lasted = std::count_if(minutes.begin(), minutes.end(),
                                      [minute](int each) { return each >= minute; });
    const auto ended = std::count(minutes.begin(), minutes.end(), minute);
    if (ended == 0 || static_cast<double>(ended) < chance * static_cast<double>(lasted)) continue;
    const int first = minute - before - 1 <= keep ? before : minute;
    std::fill(kept.begin() + first, kept.begin() + minute + 1, true);
    before = minute;
  }
  return kept;
}

}  // namespace

TEST_CASE("keep_alive: a bin is a minute around a whole number of them") {
  CHECK(IdleTimes::bin(-5min) == 0);
  CHECK(IdleTimes::bin(0s) == 0);
  CHECK(IdleTimes::bin(30s - 1ns) == 0);
  CHECK(IdleTimes::bin(30s) == 1);
  CHECK(IdleTimes::bin(30min - 30s) == 30);
  CHECK(IdleTimes::bin(30min + 30s - 1ns) == 30);
  CHECK(IdleTimes::bin(240min + 30s - 1ns) == 240);
  CHECK(IdleTimes::bin(240min + 30s) == IdleTimes::kBins);
  CHECK(IdleTimes::bin(Duration::max()) == IdleTimes::kBins);
}

TEST_CASE("keep_alive: counts that would overflow are halved, and keep their shares") {
  IdleTimes seen;
  for (int n = 0; n < 400'000; ++n) seen.add(n % 4 == 0 ? 24h : n % 4 == 1 ? 10min : 7min);
  std::int64_t counted = 0;
  for (int bin = 0; bin < IdleTimes::kBins; ++bin) counted += seen.in_bin(bin);
  const auto beyond = static_cast<double>(seen.count() - counted);
  const double ten = seen.in_bin(10);
  const double seven = seen.in_bin(7);
  CHECK(seen.in_bin(7) > 30'000);
  CHECK(std::abs(seven / ten - 2) < 0.01);
  CHECK(std::abs(ten / beyond - 1) < 0.01);
}

TEST_CASE("keep_alive: a history of all minutes is one span") {
  IdleTimes seen;
  for (int minute = 0; minute <= 240; ++minute) seen.add(minute * 1min);
  CHECK(same(Predictive{.keep = 0s, .chance = 0.001}.next(seen, 7min), 0s, 240min + 30s));
}

TEST_CASE("keep_alive: fixed keeps for as long as it says") {
  const Fixed fixed{.keep = 10min};
  CHECK(same(fixed.next({}, 0s), 0s, 10min));
  CHECK(same(fixed.next({}, 10min - 1ns), 0s, 10min));
  CHECK_FALSE(fixed.next({}, 10min));
  CHECK_FALSE(Fixed{.keep = 0s}.next({}, 0s));
}

TEST_CASE("keep_alive: fixed until two idle times are known, then where they ended") {
  IdleTimes seen;
  const Predictive policy;
  CHECK(same(policy.next(seen, 0s), 0s, 10min));
  seen.add(30min);
  CHECK(same(policy.next(seen, 0s), 0s, 10min));
  CHECK_FALSE(policy.next(seen, 10min));
  seen.add(30min + 10s);
  CHECK(same(policy.next(seen, 0s), 0s, 30s));
  CHECK(same(policy.next(seen, 30s), 29min + 30s, 30min + 30s));
  CHECK(same(policy.next(seen, 30min), 29min + 30s, 30min + 30s));
  CHECK_FALSE(policy.next(seen, 30min + 30s));
  // Not freed for less than it is kept: ten minutes from 30 s on, and not eleven.
  IdleTimes soon;
  for (int n = 0; n < 2; ++n) soon.add(11min);
  CHECK(same(policy.next(soon, 5min), 0s, 11min + 30s));
  IdleTimes later;
  for (int n = 0; n < 2; ++n) later.add(12min);
  CHECK(same(policy.next(later, 0s), 0s, 30s));
  CHECK(same(policy.next(later, 5min), 11min + 30s, 12min + 30s));
  // What never ends within four hours is kept for nobody.
  IdleTimes rare;
  for (int n = 0; n < 65; ++n) rare.add(5h);
  CHECK_FALSE(policy.next(rare, 30s));
  // One of 66 is likely enough, one of 67 is not.
  rare.add(20min);
  CHECK(same(policy.next(rare, 30s), 19min + 30s, 20min + 30s));
  rare.add(5h);
  CHECK_FALSE(policy.next(rare, 30s));
  // Nobody frees anything for less than half of a minute.
  IdleTimes busy;
  for (int n = 0; n < 100; ++n) busy.add(29s);
  CHECK(busy.count() == 0);
  CHECK(same(policy.next(busy, 0s), 0s, 10min));
  // The last bin, and what lies at the ends.
  IdleTimes last;
  for (int n = 0; n < 2; ++n) last.add(240min);
  CHECK(same(policy.next(last, 1h), 239min + 30s, 240min + 30s));
  CHECK_FALSE(policy.next(last, 240min + 30s));
  CHECK_FALSE(policy.next(last, Duration::max()));
}

TEST_CASE("keep_alive: its spans are the likely minutes, of any history") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    const auto keep = static_cast<int>(random.between(0, 40));
    const Predictive policy{.keep = keep * 1min,
                            .chance = static_cast<double>(random.between(1, 200)) / 1'000};
    IdleTimes seen;
    std::vector<int> minutes;
    const std::int64_t many = random.between(2, 300);
    const std::int64_t longest = random.between(1, 300);
    for (std::int64_t n = 0; n < many; ++n) {
      const auto minute = static_cast<int>(random.between(1, longest));
      const Duration off(random.between(-30'000'000'000, 29'999'999'999));
      seen.add(minute * 1min + off);
      minutes.push_back(minute);
    }
    const std::vector<bool> expected = kept(minutes, policy.chance, keep, 320);
    const auto is_kept = [&](int minute) { return expected[static_cast<std::size_t>(minute)]; };
    Duration idle{};
    for (int minute = 0; minute < 320; ++minute) {
      // Each instant of a minute has the same answer.
      const Duration first = minute == 0 ? Duration(0s) : minute * 1min - 30s;
      const Duration at = first + Duration(random.between(0, 29'999'999'999));
      const std::optional<Span> span = policy.next(seen, at);
      if ((span && span->from <= at) != is_kept(minute)) FAIL_CHECK("minute " << minute);
      if (span && !(span->until > at && span->from >= 0s)) FAIL_CHECK("minute " << minute);
      // And the next one, if it is not, is the next.
      for (int later = minute; span && later * 1min < span->from; ++later)
        if (is_kept(later)) FAIL_CHECK(later << " after " << minute);
    }
    // One after the other they come to an end.
    int spans = 0;
    for (std::optional<Span> span; (span = policy.next(seen, idle)); idle = span->until) {
      CHECK(span->from < span->until);
      CHECK(span->until > idle);
      REQUIRE(++spans <= IdleTimes::kBins);
    }
  }
}
