#include <wisp/base/clock.hpp>

#include <atomic>
#include <chrono>
#include <limits>
#include <thread>
#include <vector>

#include <wisp/base/park.hpp>

#include "catch.hpp"
#include "seeds.hpp"

using namespace std::chrono_literals;
using wisp::Clock;
using wisp::Deadline;
using wisp::Duration;
using wisp::ManualClock;
using wisp::Parker;
using wisp::Time;
using wisp::WallTime;

namespace {

constexpr Duration kMost = Duration::max();
constexpr Duration kLeast = Duration::min();

// What the sum is in 128 bits, clamped, with never() as the one time that stays where it is.
Time naive_sum(Time a, Duration d) {
  __extension__ using Wide = __int128;
  if (a == Time::never()) return a;
  const Wide sum = Wide{a.since_origin().count()} + d.count();
  if (sum > kMost.count()) return Time::never();
  if (sum < kLeast.count()) return Time(kLeast);
  return Time(Duration(static_cast<std::int64_t>(sum)));
}

Duration naive_difference(Time a, Time b) {
  __extension__ using Wide = __int128;
  const Wide difference = Wide{a.since_origin().count()} - b.since_origin().count();
  if (difference > kMost.count()) return kMost;
  if (difference < kLeast.count()) return kLeast;
  return Duration(static_cast<std::int64_t>(difference));
}

Duration any_duration(wisp::test::Seeded& random) {
  switch (random.below(8)) {
    case 0:
      return kMost;
    case 1:
      return kLeast;
    default:
      break;
  }
  const auto magnitude = static_cast<std::int64_t>(random.any_size() >> 1);
  return Duration(random.below(2) == 0 ? magnitude : -magnitude);
}

}  // namespace

static_assert(Time::never() + 1ns == Time::never());
static_assert(Time::never() + -1h == Time::never());
static_assert(Time(kMost - 1ns) + 1h == Time::never());
static_assert(Time(kLeast + 1ns) + -1h == Time(kLeast));
static_assert(Time(5ns) - Time(7ns) == -2ns);
static_assert(Time::never() - Time(-1ns) == kMost);
static_assert(Time(kLeast) - Time(1ns) == kLeast);

TEST_CASE("clock: sums and differences of times saturate instead of wrapping", "[clock]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    for (int i = 0; i < 500; ++i) {
      const Time at(any_duration(random));
      const Duration by = any_duration(random);
      const Time sum = at + by;
      if (sum != naive_sum(at, by))
        FAIL(at.since_origin().count()
             << " + " << by.count() << " gave " << sum.since_origin().count());
      const Time other(by);
      if (at - other != naive_difference(at, other))
        FAIL(at.since_origin().count() << " - " << by.count() << " gave " << (at - other).count());
    }
  }
}

TEST_CASE("clock: a deadline passes when its time has come, none never does", "[clock]") {
  ManualClock clock;
  const Deadline deadline = Deadline::after(clock, 200ms);
  CHECK_FALSE(deadline.none());
  CHECK_FALSE(deadline.passed(clock));
  CHECK(deadline.remaining(clock) == 200ms);
  clock.advance(200ms - 1ns);
  CHECK_FALSE(deadline.passed(clock));
  CHECK(deadline.remaining(clock) == 1ns);
  clock.advance(1ns);
  CHECK(deadline.passed(clock));
  CHECK(deadline.remaining(clock) == 0ns);
  clock.advance(24h);
  CHECK(deadline.remaining(clock) == 0ns);

  for (const Deadline none : {Deadline(), Deadline::after(clock, 0ns), Deadline::after(clock, -1s),
                              Deadline::after(clock, kMost)}) {
    CHECK(none.none());
    CHECK_FALSE(none.passed(clock));
    CHECK(none.remaining(clock) == kMost);
  }
}

TEST_CASE("clock: the earlier deadline wins, none loses against every other", "[clock]") {
  const Deadline soon(Time(1s));
  const Deadline late(Time(2s));
  CHECK(earlier(soon, late) == soon);
  CHECK(earlier(late, soon) == soon);
  CHECK(earlier(Deadline(), late) == late);
  CHECK(earlier(late, Deadline()) == late);
  CHECK(earlier(Deadline(), Deadline()).none());
}

TEST_CASE("clock: a manual clock stands still until told", "[clock]") {
  const WallTime start = WallTime(1'700'000'000s);
  ManualClock clock(start);
  const Time before = clock.now();
  CHECK(clock.now() == before);
  CHECK(clock.wall() == start);
  CHECK_FALSE(clock.real());
  clock.advance(0ns);
  CHECK(clock.now() == before);
  clock.advance(3s);
  CHECK(clock.now() - before == 3s);
  CHECK(clock.wall() - start == 3s);
}

TEST_CASE("clock: a jump moves the wall time only, either way", "[clock]") {
  ManualClock clock;
  const Time now = clock.now();
  const WallTime wall = clock.wall();
  clock.jump_wall(1h);
  CHECK(clock.wall() - wall == 1h);
  clock.jump_wall(-3h);
  CHECK(clock.wall() - wall == -2h);
  CHECK(clock.now() == now);
}

TEST_CASE("clock: a manual clock saturates at the end of time", "[clock]") {
  ManualClock clock;
  clock.advance(kMost);
  CHECK(clock.now() == Time::never());
  clock.advance(kMost);
  CHECK(clock.now() == Time::never());
  CHECK(clock.wall() == WallTime::max());
  clock.jump_wall(kLeast);
  clock.jump_wall(kLeast);
  CHECK(clock.wall() <= WallTime::max());
}

TEST_CASE("clock: advancing wakes exactly the sleepers whose time has come", "[clock]") {
  ManualClock clock;
  const Time start = clock.now();
  std::atomic<int> awake{0};
  std::atomic<int> early{0};
  std::vector<std::thread> sleepers;
  for (const Duration d : {1s, 2s, 3s}) {
    sleepers.emplace_back([&, d] {
      Parker parker;
      while (clock.park(parker, start + d)) {
      }
      early += clock.now() < start + d;
      ++awake;
      awake.notify_all();
    });
  }
  for (int i = 1; i <= 3; ++i) {
    CHECK(awake <= i - 1);
    clock.advance(1s);
    for (int seen = awake; seen < i; seen = awake) awake.wait(seen);
  }
  for (std::thread& each : sleepers) each.join();
  CHECK(awake == 3);
  CHECK(early == 0);
}

TEST_CASE("clock: the machine's clocks pass, and are one object", "[clock]") {
  Clock& clock = Clock::system();
  CHECK(&clock == &Clock::system());
  CHECK(clock.real());
  const Time first = clock.now();
  Time last = first;
  for (int i = 0; i < 1'000; ++i) {
    const Time now = clock.now();
    CHECK(now >= last);
    last = now;
  }
  const auto apart = clock.wall() - std::chrono::system_clock::now();
  CHECK(apart < 1h);
  CHECK(apart > -1h);
}
