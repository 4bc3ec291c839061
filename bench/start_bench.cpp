// What does a started call cost, up to its awaited result, beside a promise and a future?
#include <benchmark/benchmark.h>

#include <future>
#include <vector>

#include <wisp/wisp.hpp>

namespace {

constexpr int kBatch = 1'000;

// The floor: a result handed over through shared state, on one thread.
void promise_and_future(benchmark::State& state) {
  for (auto _ : state) {
    std::vector<std::future<int>> futures;
    futures.reserve(kBatch);
    for (int i = 0; i < kBatch; ++i) {
      std::promise<int> promise;
      futures.push_back(promise.get_future());
      promise.set_value(i);
    }
    for (auto& each : futures) benchmark::DoNotOptimize(each.get());
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(promise_and_future)->UseRealTime();

// What the standard library has to offer: a thread for each call.
void std_async(benchmark::State& state) {
  constexpr int kFew = 50;
  for (auto _ : state) {
    std::vector<std::future<int>> futures;
    futures.reserve(kFew);
    for (int i = 0; i < kFew; ++i)
      futures.push_back(std::async(std::launch::async, [i] { return i + 1; }));
    for (auto& each : futures) benchmark::DoNotOptimize(each.get());
  }
  state.SetItemsProcessed(state.iterations() * kFew);
}
BENCHMARK(std_async)->UseRealTime();

void wisp_start_and_wait(benchmark::State& state) {
  const auto add_one = wisp::function("add_one", [](int n) { return n + 1; });
  wisp::Runtime runtime{wisp::Catalogue().add(add_one)};
  for (auto _ : state) {
    std::vector<wisp::Pending<int>> pending;
    pending.reserve(kBatch);
    for (int i = 0; i < kBatch; ++i) pending.push_back(runtime.start(add_one, i));
    for (auto& each : pending) {
      if (!each.wait().ok()) return state.SkipWithError("a call failed");
    }
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(wisp_start_and_wait)->UseRealTime();

}  // namespace
