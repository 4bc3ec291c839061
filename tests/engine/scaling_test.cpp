#include <wisp/engine/kpa.hpp>
#include <wisp/engine/scaling.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "catch.hpp"
#include "seeds.hpp"

using namespace std::chrono_literals;
using wisp::Duration;
using wisp::scaling::Bounds;
using wisp::scaling::Fixed;
using wisp::scaling::Kpa;
using wisp::scaling::Pace;
using wisp::scaling::Policy;
using wisp::scaling::Sample;
using wisp::scaling::TargetWait;
using wisp::test::Seeded;
using wisp::test::test_seeds;

namespace {

constexpr Bounds kWide{.min = 0, .max = 1'000'000};

Sample any_sample(Seeded& random) {
  Sample sample;
  const int size = static_cast<int>(random.between(1, 1'000'000));
  sample.queued = static_cast<int>(random.between(0, size));
  const bool late = random.below(4) == 0;
  sample.oldest_wait = Duration(random.between(0, late ? 2'000'000'000 : 1'000'000));
  sample.running = static_cast<int>(random.between(0, 200));
  sample.blocked = static_cast<int>(random.between(0, sample.running));
  sample.starting = static_cast<int>(random.between(0, 5));
  sample.cores = static_cast<int>(random.between(1, 64));
  sample.mean_run = Duration(static_cast<std::int64_t>(random.any_size() >> 1));
  return sample;
}

// A pool of `calls` that sleep `sleep` or burn as long, sampled every `tick`; what start takes one
// tick.
struct ModelPool {
  int queued = 0;
  Duration oldest = 1ms;
  bool sleeps = true;
  int ticks_each = 10;
  int cores = 2;
  std::vector<int> left{};  // ticks of each running call
  int starting = 0;
  int runnable_peak = 0;

  int workers() const { return static_cast<int>(left.size()) + starting; }

  void tick(const Policy& policy, Bounds bounds) {
    const int running = static_cast<int>(left.size());
    const int want = policy.decide({.queued = queued,
                                    .oldest_wait = queued > 0 ? oldest : Duration{},
                                    .running = running,
                                    .blocked = sleeps ? running : 0,
                                    .starting = starting,
                                    .cores = cores},
                                   bounds);
    for (int i = 0; i < starting && queued > 0; ++i, --queued) left.push_back(ticks_each);
    starting = std::max(0, want - running - starting);
    runnable_peak = std::max(runnable_peak, (sleeps ? 0 : running) + starting);
    for (int& ticks : left) {
      if (--ticks == 0 && queued > 0) {
        ticks = ticks_each;
        --queued;
      }
    }
    std::erase(left, 0);
  }
};

}  // namespace

TEST_CASE("scaling: the header's example", "[scaling]") {
  const TargetWait policy{.wait_target = 200us, .cores = 2};
  CHECK(policy.decide({.queued = 40, .oldest_wait = 3ms, .running = 2, .blocked = 2},
                      {.min = 0, .max = 64}) == 4);
}

TEST_CASE("scaling: the first call brings the first worker, no call brings none", "[scaling]") {
  const Policy policy;
  CHECK(policy.decide({.queued = 1}, {.min = 0, .max = 64}) == 1);
  CHECK(policy.decide({.queued = 1, .mean_run = 1us}, {.min = 0, .max = 64}) == 1);
  CHECK(policy.decide({}, {.min = 0, .max = 64}) == 0);
  CHECK(policy.decide({}, {.min = 3, .max = 64}) == 3);
  // The one that starts takes it.
  CHECK(policy.decide({.queued = 1, .starting = 1}, {.min = 0, .max = 64}) == 1);
  CHECK(policy.decide({.queued = 2, .starting = 1, .cores = 2}, {.min = 0, .max = 64}) == 2);
}

TEST_CASE("scaling: a busy worker is trusted with what it begins within the target", "[scaling]") {
  const TargetWait policy{.wait_target = 200us, .cores = 8};
  const Bounds bounds{.min = 0, .max = 64};
  Sample sample{.queued = 20, .running = 1, .mean_run = 10us};
  CHECK(policy.decide(sample, bounds) == 1);  // it begins 20 in that time
  sample.queued = 21;
  CHECK(policy.decide(sample, bounds) == 2);
  sample.queued = 21 + 21;  // the next one begins one at once, and 20 more
  CHECK(policy.decide(sample, bounds) == 3);
  // Long calls leave it none to begin; nor is it trusted once the target is missed.
  sample = {.queued = 2, .running = 1, .mean_run = 1ms};
  CHECK(policy.decide(sample, bounds) == 3);
  sample = {.queued = 2, .oldest_wait = 201us, .running = 1, .mean_run = 10us};
  CHECK(policy.decide(sample, bounds) == 3);
  sample.oldest_wait = 200us;
  CHECK(policy.decide(sample, bounds) == 1);
  // A blocked one begins nothing.
  sample = {.queued = 2, .running = 1, .blocked = 1, .mean_run = 10us};
  CHECK(policy.decide(sample, bounds) == 2);
}

TEST_CASE("scaling: target-wait keeps its promises for any sample", "[scaling]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    for (int i = 0; i < 1'000; ++i) {
      const TargetWait policy{.wait_target = Duration(random.between(0, 1'000'000))};
      const Sample sample = any_sample(random);
      const int active = sample.running + sample.starting;
      // Those that start will block as those that run do, at most one for each of these.
      const int will_block =
          sample.running > 0
              ? std::min(sample.starting * sample.blocked / sample.running, sample.blocked)
              : 0;
      // Where a call has waited for long one more may run than there are cores, and where nobody
      // computes as many again for each tenth of a second.
      const Duration patience = std::clamp<Duration>(
          std::max<Duration>(4 * std::min<Duration>(sample.mean_run, 1s), 50 * policy.wait_target),
          0ms, 250ms);
      const int may_run = sample.cores + (sample.oldest_wait > patience ? 1 : 0);
      const bool free = sample.running == sample.blocked;
      const int most = sample.blocked + will_block +
                       may_run * (free ? 1 + static_cast<int>(sample.oldest_wait / 100ms) : 1);

      const int min = static_cast<int>(random.between(0, 100));
      const Bounds bounds{.min = min, .max = min + static_cast<int>(random.between(0, 100))};
      const int bounded = policy.decide(sample, bounds);
      REQUIRE(bounded >= bounds.min);
      REQUIRE(bounded <= bounds.max);

      const int want = policy.decide(sample, kWide);
      REQUIRE(bounded == std::clamp(want, bounds.min, bounds.max));
      REQUIRE(want <= most);
      // Never more new workers than calls that nobody is on the way to.
      REQUIRE(want - active <= std::max(0, sample.queued - sample.starting));
      // It shrinks only what is too many to run.
      REQUIRE(want >= std::min(active, most));
      if (sample.queued > 0) REQUIRE(want > 0);

      Sample more = sample;
      more.queued += static_cast<int>(random.between(0, 1'000));
      REQUIRE(policy.decide(more, kWide) >= want);
      Sample later = sample;
      later.oldest_wait += Duration(random.between(0, 1'000'000));
      REQUIRE(policy.decide(later, kWide) >= want);
      Sample burning = sample;
      burning.blocked = 0;
      if (burning.running > 0) REQUIRE(policy.decide(burning, kWide) <= may_run);
    }
  }
}

TEST_CASE("scaling: one call that sleeps lets no burst of computing ones start", "[scaling]") {
  Sample sample{.queued = 60, .running = 1, .blocked = 1, .cores = 2};
  for (int n = 0; n < 60; ++n) {
    const int want = TargetWait{}.decide(sample, kWide);
    if (want > sample.running + sample.starting) ++sample.starting;
  }
  CHECK(sample.starting == 3);
}

TEST_CASE("scaling: workers that are slow to start come together", "[scaling]") {
  // Two seconds from the decision to the first call, then all sleep.
  Sample sample{.queued = 400, .oldest_wait = 0ms, .cores = 2};
  CHECK(TargetWait{}.decide(sample, kWide) == 2);
  sample.starting = 2;
  sample.oldest_wait = 99ms;
  CHECK(TargetWait{}.decide(sample, kWide) == 3);
  sample.oldest_wait = 1s;
  CHECK(TargetWait{}.decide(sample, kWide) == 3 * 11);
  sample = {.queued = 400, .oldest_wait = 2s, .running = 3, .blocked = 3, .cores = 2};
  CHECK(TargetWait{}.decide(sample, kWide) == 3 + 3 * 21);
  // Not where one computes.
  sample.blocked = 2;
  CHECK(TargetWait{}.decide(sample, kWide) == 2 + 3);
}

TEST_CASE("scaling: a call behind longer ones gets a worker beyond the cores", "[scaling]") {
  Sample sample{.queued = 1, .oldest_wait = 10ms, .running = 2, .cores = 2, .mean_run = 1ms};
  CHECK(TargetWait{}.decide(sample, kWide) == 2);
  sample.oldest_wait = 10ms + 1ns;
  CHECK(TargetWait{}.decide(sample, kWide) == 3);
  sample.mean_run = 50ms;
  sample.oldest_wait = 200ms;
  CHECK(TargetWait{}.decide(sample, kWide) == 2);
  sample.oldest_wait = 200ms + 1ns;
  CHECK(TargetWait{}.decide(sample, kWide) == 3);
  sample.mean_run = 1h;
  sample.oldest_wait = 250ms;
  CHECK(TargetWait{}.decide(sample, kWide) == 2);
  sample.oldest_wait = 250ms + 1ns;
  CHECK(TargetWait{}.decide(sample, kWide) == 3);
}

TEST_CASE("scaling: extreme samples do not overflow", "[scaling]") {
  const TargetWait policy{.wait_target = Duration::max()};
  CHECK(policy.decide({.queued = INT32_MAX, .running = 1000, .mean_run = 1ns}, kWide) <= 1'000'000);
  CHECK(
      policy.decide({.queued = INT32_MAX, .running = 1, .blocked = 1, .mean_run = Duration::max()},
                    kWide) == 2);
  CHECK(TargetWait{.wait_target = 0ns}.decide({.queued = 9, .running = 1, .mean_run = 1ns},
                                              kWide) == 1);
  CHECK(TargetWait{.cores = -1}.decide({.queued = 9, .cores = 0}, kWide) == 1);
  CHECK(TargetWait{}.decide({.queued = INT32_MAX, .oldest_wait = Duration::max(), .cores = 4'096},
                            {.min = 0, .max = 64}) == 64);
}

TEST_CASE("scaling: sleeping calls grow a pool to its maximum", "[scaling]") {
  for (const int cores : {1, 2, 8}) {
    ModelPool pool{.queued = 1'000, .cores = cores};
    int samples = 0;
    while (pool.workers() < 64 && samples < 1'000) {
      pool.tick(TargetWait{}, {.min = 0, .max = 64});
      ++samples;
    }
    INFO(cores << " cores");
    // Each sample confirms that as many more sleep as there are cores.
    CHECK(samples <= 2 * (64 / cores + 1));
    CHECK(pool.runnable_peak <= cores);
  }
}

TEST_CASE("scaling: burning calls never occupy more than cores, and one where they wait long",
          "[scaling]") {
  for (const int cores : {1, 2, 8}) {
    for (const int extra : {0, 1}) {
      ModelPool pool{
          .queued = 1'000, .oldest = extra == 1 ? 50ms : 1ms, .sleeps = false, .cores = cores};
      for (int i = 0; i < 12'000; ++i) {
        pool.tick(TargetWait{}, {.min = 0, .max = 64});
        REQUIRE(pool.workers() <= cores + extra);
      }
      CHECK(pool.queued == 0);
      CHECK(pool.runnable_peak == cores + extra);
    }
  }
}

TEST_CASE("scaling: fixed is fixed within the bounds", "[scaling]") {
  CHECK(Fixed{4}.decide({.queued = 100}, {.min = 0, .max = 64}) == 4);
  CHECK(Fixed{4}.decide({}, {.min = 0, .max = 2}) == 2);
  CHECK(Fixed{4}.decide({}, {.min = 6, .max = 8}) == 6);
}

TEST_CASE("scaling: a policy holds any decider by value", "[scaling]") {
  struct Half {
    int decide(const Sample& sample, Bounds) const { return sample.queued / 2; }
  };
  const Policy half = Half{};
  Policy other = half;
  CHECK(other.decide({.queued = 10}, {}) == 5);
  other = Fixed{3};
  CHECK(other.decide({.queued = 10}, {.min = 0, .max = 9}) == 3);
  CHECK(half.decide({.queued = 10}, {}) == 5);
  static_assert(!std::is_constructible_v<Policy, int>);
}

TEST_CASE("scaling: samples come fast while there is something to learn", "[scaling]") {
  const Pace pace;
  CHECK(pace.next(10ms, {.running = 3, .asleep = 3}) == pace.fast);
  CHECK(pace.next(10ms, {.running = 3, .asleep = 0, .grew = true}) == pace.fast);
  CHECK(pace.next(10ms, {.running = 3, .asleep = 1}) == pace.steady);
  // A costly sample waits longer, unless the processor is free anyway.
  CHECK(pace.next(1ms, {.running = 30, .asleep = 20, .cost = 200us}) == pace.rest * 200us);
  CHECK(pace.next(1ms, {.running = 20, .asleep = 20, .cost = 200us}) == pace.fast);
}

TEST_CASE("scaling: samples become rare while there is nothing to learn", "[scaling]") {
  const Pace pace;
  Duration last{};
  Duration sum{};
  for (int i = 0; i < 20; ++i) {
    const Duration next = pace.next(last, {.running = 3});
    CHECK(next >= last);
    CHECK(next <= pace.slow);
    last = next;
    sum += next;
  }
  CHECK(last == pace.slow);
  CHECK(sum > 100ms);
  // Nobody may be added: sleepers change nothing.
  CHECK(pace.next(last, {.running = 3, .asleep = 3, .may_grow = false}) == pace.slow);
  CHECK(pace.next(last, {.running = 3, .grew = true, .may_grow = false, .cost = 1ms}) ==
        pace.rest_at_max * 1ms);
  // A look that the machine held up does not keep the next one away.
  CHECK(pace.next(last, {.running = 4, .asleep = 2, .cost = 5s}) == pace.rest_max);
  CHECK(pace.next(last, {.running = 4, .may_grow = false, .cost = 1h}) == pace.rest_max);
}

namespace {

// A steady number of calls in the system, each with a worker if there is one; a look each second.
struct Held {
  Kpa kpa{};
  wisp::Time now{1h};
  int workers = 0;

  int pass(int calls, Duration d, int bound = 1'000) {
    for (const wisp::Time end = now + d; now < end; now = now + 1s) {
      const int running = std::min(calls, workers);
      workers = kpa.decide(
          {.queued = calls - running, .running = running, .idle = workers - running, .now = now},
          {.min = 0, .max = bound});
    }
    return workers;
  }
};

}  // namespace

TEST_CASE("scaling: Knative's policy goes by the mean of a minute over 0.7 of a worker") {
  Held held;
  CHECK(held.pass(0, 5min) == 0);
  CHECK(held.pass(7, 5min) == 10);
  CHECK(held.pass(14, 10min) == 20);
  CHECK(held.pass(7, 5min) == 10);
  CHECK(held.pass(7, 5min, 4) == 4);
  // From ten to none: to no less than a half each tick, and to none after a minute and a half.
  Held idle;
  (void)idle.pass(7, 5min);
  CHECK(idle.pass(0, 59s) > 0);
  CHECK(idle.pass(0, 29s) > 0);
  CHECK(idle.pass(0, 6s) == 0);
}

TEST_CASE("scaling: Knative's policy panics when six seconds ask for twice of what there is") {
  Held held;
  CHECK(held.pass(7, 5min) == 10);
  // The mean of six seconds reaches twenty workers' worth, and then what is there.
  CHECK(held.pass(70, 10s) == 100);
  // Never down until a minute after the last excess.
  CHECK(held.pass(7, 45s) == 100);
  CHECK(held.pass(7, 5min) == 10);
}

TEST_CASE("scaling: Knative's policy answers within its bounds whatever it is told, and forgets") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    Kpa kpa;
    wisp::Time now{1h};
    for (int n = 0; n < 200; ++n) {
      Sample sample = any_sample(random);
      sample.now = now =
          now + Duration(random.between(0, 1) == 0 ? random.between(0, 5'000'000'000)
                                                   : random.between(0, 300'000'000'000));
      const Bounds bounds{.min = static_cast<int>(random.between(0, 10)),
                          .max = static_cast<int>(random.between(10, 500))};
      const int want = kpa.decide(sample, bounds);
      CHECK((want >= bounds.min && want <= bounds.max));
    }
    // Ten minutes later what came before counts no more.
    Held held{.kpa = kpa, .now = now + 10min, .workers = 10};
    CHECK(held.pass(7, 10min) == 10);
  }
}

TEST_CASE("scaling: Knative's policy decides at the end of time", "[scaling]") {
  constexpr wisp::Time kEnd = wisp::Time::never();
  for (const Duration before : {Duration(1s), Duration(1ns), Duration(0)}) {
    Kpa kpa;
    for (const wisp::Time now : {wisp::Time(kEnd.since_origin() - before), kEnd, kEnd})
      CHECK(kpa.decide({.queued = 3, .now = now}, {.min = 1, .max = 8}) >= 1);
  }
}
