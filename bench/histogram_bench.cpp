// What the meter's histogram costs beside the reading of the cycle counter that it follows. Its
// floor is that reading alone.
//
// The value is what passed between two readings, so where its count lies follows from the last one.
// Counted at once, the next reading waits for that place; Histogram::record() counts it with the
// next value instead. See metrics.hpp.
#include <benchmark/benchmark.h>

#include <cstdint>

#include <wisp/engine/detail/ticks.hpp>
#include <wisp/engine/metrics.hpp>

namespace {

using wisp::Histogram;
using wisp::detail::Ticks;

template <class Record>
void readings(benchmark::State& state, Record record) {
  const Ticks ticks(wisp::Clock::system());
  Histogram histogram;
  std::uint64_t before = ticks.now();
  for (auto _ : state) {
    const std::uint64_t now = ticks.now();
    record(histogram, ticks.to_ns(now - before));
    before = now;
    benchmark::ClobberMemory();
  }
  benchmark::DoNotOptimize(histogram.snapshot().count());
}

void reading_alone(benchmark::State& state) {
  readings(state, [](Histogram&, std::uint64_t ns) { benchmark::DoNotOptimize(ns); });
}
BENCHMARK(reading_alone);

void record(benchmark::State& state) {
  readings(state, [](Histogram& histogram, std::uint64_t ns) { histogram.record(ns); });
}
BENCHMARK(record);

void count_at_once(benchmark::State& state) {
  readings(state, [](Histogram& histogram, std::uint64_t ns) { histogram.record(ns, 1); });
}
BENCHMARK(count_at_once);

}  // namespace
