// What does a timer cost, to schedule and cancel and to fire, among many others, beside a multimap?
#include <benchmark/benchmark.h>

#include <map>
#include <vector>

#include <wisp/base/random.hpp>
#include <wisp/engine/timer.hpp>

namespace {

using wisp::Duration;
using wisp::Time;

constexpr std::int64_t kHourNs = 3'600'000'000'000;

// The floor: the standard library's ordered tree, without a lock, a bound or a task to run.
void multimap_insert_and_erase(benchmark::State& state) {
  std::multimap<std::int64_t, int> timers;
  wisp::SeededRandom random{1};
  for (int i = 0; i < state.range(0); ++i) timers.emplace(wisp::uniform(random, 0, kHourNs), i);
  for (auto _ : state) timers.erase(timers.emplace(wisp::uniform(random, 0, kHourNs), 0));
}
BENCHMARK(multimap_insert_and_erase)->Arg(100)->Arg(100'000);

void wisp_schedule_and_cancel(benchmark::State& state) {
  wisp::ManualClock clock;
  wisp::Timer timer{clock, nullptr};
  wisp::SeededRandom random{1};
  const auto some_time = [&] { return clock.now() + Duration(wisp::uniform(random, 0, kHourNs)); };
  for (int i = 0; i < state.range(0); ++i) {
    if (!timer.schedule(some_time(), [] {}).ok()) return state.SkipWithError("refused");
  }
  for (auto _ : state) {
    const auto id = timer.schedule(some_time(), [] {});
    if (!id.ok() || !timer.cancel(*id)) return state.SkipWithError("lost");
  }
}
BENCHMARK(wisp_schedule_and_cancel)->Arg(100)->Arg(100'000);

void multimap_fire(benchmark::State& state) {
  std::multimap<std::int64_t, int> timers;
  wisp::SeededRandom random{1};
  for (int i = 0; i < state.range(0); ++i) timers.emplace(wisp::uniform(random, 0, kHourNs), i);
  for (auto _ : state) {
    const std::int64_t at = timers.begin()->first;
    benchmark::DoNotOptimize(timers.begin()->second);
    timers.erase(timers.begin());
    timers.emplace(at + wisp::uniform(random, 0, kHourNs), 0);
  }
}
BENCHMARK(multimap_fire)->Arg(100)->Arg(100'000);

void wisp_schedule_and_fire(benchmark::State& state) {
  wisp::ManualClock clock;
  wisp::Timer timer{clock, nullptr};
  wisp::SeededRandom random{1};
  int fired = 0;
  const auto add = [&](Time from) {
    return timer.schedule(from + Duration(wisp::uniform(random, 0, kHourNs)),
                          [&fired] { ++fired; });
  };
  for (int i = 0; i < state.range(0); ++i) {
    if (!add(clock.now()).ok()) return state.SkipWithError("refused");
  }
  for (auto _ : state) {
    const Time next = *timer.next();
    if (timer.fire(next, 1) != 1 || !add(next).ok()) return state.SkipWithError("lost");
  }
  benchmark::DoNotOptimize(fired);
}
BENCHMARK(wisp_schedule_and_fire)->Arg(100)->Arg(100'000);

}  // namespace
