// Work that wisp and its peers share outside the pools: calls on threads, an event of 64 bytes,
// computation, sleep.
#pragma once

#include <array>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "measure.hpp"

namespace compare {

// `body(n)` returns n + 1, `count` times on each of `threads`; per call of one thread. The threads
// read the clock themselves: one that released them could come to its own reading after they ended.
template <class Body>
Outcome on_threads(int threads, int count, Body body) {
  struct alignas(64) Ran {
    double begin = 0;
    double end = 0;
    std::int64_t sum = 0;
  };
  std::vector<Ran> ran(threads);
  std::barrier barrier(threads);
  std::vector<std::thread> running;
  for (int t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      std::int64_t sum = 0;
      for (int i = 0; i < 1'000; ++i) keep(body(i));
      barrier.arrive_and_wait();
      const double begin = wall_ns();
      for (int i = 0; i < count; ++i) {
        const std::int64_t result = body(i);
        keep(result);
        sum += result;
      }
      ran[t] = {begin, wall_ns(), sum};
    });
  }
  for (std::thread& each : running) each.join();
  const std::int64_t expected = std::int64_t{count} * (std::int64_t{count} + 1) / 2;
  double begin = ran[0].begin;
  double end = ran[0].end;
  for (const Ran& each : ran) {
    require(each.sum == expected, "a call was lost");
    begin = std::min(begin, each.begin);
    end = std::max(end, each.end);
  }
  return {{"ns", (end - begin) / count}};
}

struct Event {
  std::array<std::int64_t, 8> values;
};
static_assert(sizeof(Event) == 64);

inline thread_local std::int64_t delivered = 0;
inline void deliver(const Event& event) {
  escape(&event);
  delivered += event.values[0];
}

// Every event's first value is 1, so that what a thread delivered counts its deliveries.
template <class Publish>
Outcome publish(const Options& options, int subscribers, int threads, Publish publish_one) {
  const int count = options.pick(4'000'000, 400'000) / (subscribers + 4);
  return on_threads(threads, count, [&](int n) {
    const std::int64_t before = delivered;
    publish_one(Event{{1}});
    return n + (delivered - before == subscribers ? 1 : 0);
  });
}

inline std::vector<std::string> names(const std::string& prefix, int count) {
  std::vector<std::string> all;
  for (int i = 0; i < count; ++i) all.push_back(prefix + std::to_string(i));
  return all;
}

// Which of a thousand call `n` is of: each once in a thousand calls, in the order in which they
// were made or in one that no prefetcher guesses.
inline int in_order(int n) { return n % 1'000; }
inline int scattered(int n) { return static_cast<int>(n * std::int64_t{389} % 1'000); }

// About a nanosecond a step, and no memory.
inline void work(int steps) {
  std::uint64_t x = 1;
  for (int i = 0; i < steps; ++i) {
    x = x * 6364136223846793005U + 1;
    keep(x);
  }
}

// Sleeps as the only thing that it does. Wakeups are voluntary switches of all threads, those that
// ended meanwhile included, less the one of this sleep; `ns` is the process's CPU.
inline Outcome sleeping(const Options& options) {
  const int seconds = options.pick(60, 2);
  rusage before{};
  rusage after{};
  getrusage(RUSAGE_SELF, &before);
  const double cpu = cpu_ns();
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  const double used = cpu_ns() - cpu;
  getrusage(RUSAGE_SELF, &after);
  const double switches = static_cast<double>(after.ru_nvcsw - before.ru_nvcsw) - 1;
  return {{"ns", used}, {"wakeups", std::max(0.0, switches) / seconds}};
}

}  // namespace compare
