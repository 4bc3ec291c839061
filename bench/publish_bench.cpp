// What does an event cost to publish to 1, 8 and 64 subscribers, on the publisher's thread and on
// workers, beside a vector of callbacks?
#include <benchmark/benchmark.h>

#include <atomic>
#include <functional>
#include <vector>

#include <wisp/wisp.hpp>

namespace {

struct Reading {
  int sensor;
  double value;
};
WISP_FIELDS(Reading, sensor, value)

// The floor: no topics, no types, no filters, no meter, no end of a subscription.
void vector_of_std_function(benchmark::State& state) {
  std::vector<std::function<void(const Reading&)>> callbacks;
  double sum = 0;
  for (int i = 0; i < state.range(0); ++i)
    callbacks.emplace_back([&sum](const Reading& r) { sum += r.value; });
  const Reading reading{1, 0.5};
  for (auto _ : state) {
    for (const auto& each : callbacks) each(reading);
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(vector_of_std_function)->Arg(1)->Arg(8)->Arg(64);

void emit_synchronously(benchmark::State& state) {
  wisp::Runtime runtime;
  std::vector<wisp::Subscription> subscriptions;
  double sum = 0;
  for (int i = 0; i < state.range(0); ++i) {
    subscriptions.push_back(
        runtime.on("host.cpu.0").deliver({.synchronous = true}).to([&sum](const Reading& r) {
          sum += r.value;
        }));
  }
  for (auto _ : state) {
    if (!runtime.emit("host.cpu.0", Reading{1, 0.5}).ok())
      return state.SkipWithError("an event was refused");
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(emit_synchronously)->Arg(1)->Arg(8)->Arg(64);

// Publisher and workers together: an iteration ends when the last delivery has.
void emit_to_workers(benchmark::State& state) {
  const int subscribers = static_cast<int>(state.range(0));
  const int events = 6'400 / subscribers;
  wisp::Runtime runtime;
  std::atomic<int> left{0};
  std::vector<wisp::Subscription> subscriptions;
  for (int i = 0; i < subscribers; ++i) {
    subscriptions.push_back(runtime.on("host.cpu.0").to([&left](const Reading&) {
      if (left.fetch_sub(1) == 1) left.notify_one();
    }));
  }
  for (auto _ : state) {
    left = events * subscribers;
    for (int i = 0; i < events; ++i) {
      if (!runtime.emit("host.cpu.0", Reading{1, 0.5}).ok())
        return state.SkipWithError("an event was refused");
    }
    for (int now = left.load(); now > 0; now = left.load()) left.wait(now);
  }
  state.SetItemsProcessed(state.iterations() * events * subscribers);
}
BENCHMARK(emit_to_workers)->Arg(1)->Arg(8)->Arg(64)->UseRealTime();

}  // namespace
