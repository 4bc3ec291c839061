// What does a metered call cost beside a bare one, and beside what a program would meter by hand?
#include <benchmark/benchmark.h>

#include <chrono>
#include <functional>
#include <string>

#include <wisp/wisp.hpp>

namespace {

const auto add_one = wisp::function("add_one", [](int n) { return n + 1; });

wisp::Runtime& runtime() {
  static wisp::Runtime instance{wisp::Catalogue().add(add_one)};
  return instance;
}

// The floor: a call that nobody meters.
void bare_std_function(benchmark::State& state) {
  std::function<int(int)> f = [](int n) { return n + 1; };
  benchmark::DoNotOptimize(f);
  int n = 0;
  for (auto _ : state) benchmark::DoNotOptimize(n = f(n));
}
BENCHMARK(bare_std_function);

// What a careful program does by hand: two clock readings and a histogram of its thread.
void std_function_with_clock_and_histogram(benchmark::State& state) {
  std::function<int(int)> f = [](int n) { return n + 1; };
  benchmark::DoNotOptimize(f);
  wisp::Histogram histogram;
  int n = 0;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    benchmark::DoNotOptimize(n = f(n));
    const auto end = std::chrono::steady_clock::now();
    histogram.record(static_cast<std::uint64_t>((end - start).count()));
  }
}
BENCHMARK(std_function_with_clock_and_histogram);

void metered_call(benchmark::State& state) {
  wisp::Runtime& r = runtime();
  int n = 0;
  for (auto _ : state) benchmark::DoNotOptimize(n = *r.call(add_one, n));
}
BENCHMARK(metered_call)->Threads(1)->Threads(2);

void metered_call_by_name(benchmark::State& state) {
  wisp::Runtime& r = runtime();
  int n = 0;
  for (auto _ : state) benchmark::DoNotOptimize(n = *r.call<int>("add_one", n));
}
BENCHMARK(metered_call_by_name);

}  // namespace
