// What does a metered call cost beside a bare one, and beside what a program would meter by hand?
//
//   call_bench --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true
//
// Compare medians within one run.
#include <benchmark/benchmark.h>

#include <chrono>
#include <functional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include <wisp/wisp.hpp>

namespace {

constexpr int kFunctions = 1'000;

const auto add_one = wisp::function("add_one", [](int n) { return n + 1; });
const auto sampled =
    wisp::function("sampled", [](int n) { return n + 1; }, {.meter = wisp::Meter::sampled});

// What a program looks up, in an order that no cache foresees; as strings of its own.
const std::vector<std::string>& names() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> made;
    for (int i = 0; i < kFunctions; ++i)
      made.push_back("orders.price.step_" + std::to_string(i * 617 % kFunctions));
    return made;
  }();
  return all;
}

wisp::Runtime& runtime() {
  static wisp::Runtime instance{[] {
    wisp::Catalogue catalogue;
    catalogue.add(add_one).add(sampled);
    for (const std::string& name : names())
      catalogue.add(wisp::function(name, [](int n) { return n + 1; }));
    return catalogue;
  }()};
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
  thread_local wisp::Histogram histogram;
  int n = 0;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    benchmark::DoNotOptimize(n = f(n));
    const auto end = std::chrono::steady_clock::now();
    histogram.record(static_cast<std::uint64_t>((end - start).count()));
  }
}
BENCHMARK(std_function_with_clock_and_histogram);

// The same behind a name.
void shared_mutex_and_map(benchmark::State& state) {
  std::shared_mutex mutex;
  std::unordered_map<std::string, std::function<int(int)>> functions;
  for (const std::string& name : names()) functions.emplace(name, [](int n) { return n + 1; });
  std::uint64_t ns = 0;
  int n = 0;
  std::size_t next = 0;
  for (auto _ : state) {
    const std::string& name = names()[next];
    next = next + 1 == kFunctions ? 0 : next + 1;
    const std::shared_lock lock(mutex);
    const auto found = functions.find(name);
    const auto start = std::chrono::steady_clock::now();
    benchmark::DoNotOptimize(n = found->second(n));
    const auto end = std::chrono::steady_clock::now();
    ns += static_cast<std::uint64_t>((end - start).count());
  }
  benchmark::DoNotOptimize(ns);
}
BENCHMARK(shared_mutex_and_map);

void metered_call(benchmark::State& state) {
  wisp::Runtime& r = runtime();
  int n = 0;
  for (auto _ : state) benchmark::DoNotOptimize(n = *r.call(add_one, n));
}
BENCHMARK(metered_call)->Threads(1)->Threads(2);

void sampled_call(benchmark::State& state) {
  wisp::Runtime& r = runtime();
  int n = 0;
  for (auto _ : state) benchmark::DoNotOptimize(n = *r.call(sampled, n));
}
BENCHMARK(sampled_call);

void metered_call_by_name(benchmark::State& state) {
  wisp::Runtime& r = runtime();
  int n = 0;
  std::size_t next = 0;
  for (auto _ : state) {
    const std::string& name = names()[next];
    next = next + 1 == kFunctions ? 0 : next + 1;
    benchmark::DoNotOptimize(n = *r.call<int>(name, n));
  }
}
BENCHMARK(metered_call_by_name);

}  // namespace
