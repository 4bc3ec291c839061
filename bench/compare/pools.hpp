// The rows that run tasks on workers, for any peer that is a Pool: constructed with a number of
// workers, post(callable) from any thread.
#pragma once

#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "measure.hpp"

namespace compare {

constexpr int kPosts = 1'000'000;
constexpr int kPostsQuick = 100'000;

// B1, B2, F: `producers` outside threads post empty tasks; ends when the last has run.
template <class Post>
Outcome outside(const Options& options, int producers, Countdown& countdown, Post post) {
  const int each = options.pick(kPosts, kPostsQuick) / producers;
  const Stopwatch watch;
  std::vector<std::thread> threads;
  for (int p = 1; p < producers; ++p) {
    threads.emplace_back([&] {
      for (int i = 0; i < each; ++i) post();
    });
  }
  for (int i = 0; i < each; ++i) post();
  for (std::thread& thread : threads) thread.join();
  countdown.wait();
  Outcome outcome = watch.per(each * producers);
  countdown.check();
  return outcome;
}

// D1, D2: one round trip at a time, after `pause` of idleness.
template <class RoundTrip>
Outcome round_trips(const Options& options, bool idle, RoundTrip round_trip) {
  const int count = idle ? options.pick(100, 20) : options.pick(50'000, 5'000);
  for (int i = 0; i < (idle ? 3 : 1'000); ++i) round_trip();
  std::vector<double> samples;
  samples.reserve(count);
  const Stopwatch watch;
  for (int i = 0; i < count; ++i) {
    if (idle) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const double begin = wall_ns();
    round_trip();
    samples.push_back(wall_ns() - begin);
  }
  Outcome outcome = watch.per(count);
  add_percentiles(outcome, std::move(samples));
  return outcome;
}

// D3: CPU of a post when there are 1,000 a second. Its ns is CPU, not time.
template <class Post>
Outcome trickle(const Options& options, Countdown& countdown, Post post) {
  const int count = options.pick(2'000, 300);
  const Stopwatch watch;
  auto next = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) {
    post();
    std::this_thread::sleep_until(next += std::chrono::milliseconds(1));
  }
  countdown.wait();
  Outcome outcome = watch.per(count);
  countdown.check();
  outcome["ns"] = outcome["cpu_ns"];
  return outcome;
}

template <class Pool>
Outcome posts(const Options& options, int producers, int workers) {
  auto* pool = new Pool(workers);  // never destroyed: see run()
  Countdown countdown(options.pick(kPosts, kPostsQuick));
  return outside(options, producers, countdown,
                 [&] { pool->post([&countdown] { countdown.one(); }); });
}

template <class Pool>
int call_and_wait(Pool& pool, int n) {
  std::promise<int> promise;
  std::future<int> future = promise.get_future();
  pool.post([&promise, n] { promise.set_value(n + 1); });
  return future.get();
}

// C: a promise for each call, all waited for in order.
template <class Pool>
Outcome promises(const Options& options) {
  constexpr int kBatch = 10'000;
  auto* pool = new Pool(2);
  const int batches = options.pick(20, 3);
  const Stopwatch watch;
  for (int b = 0; b < batches; ++b) {
    std::vector<std::future<int>> futures;
    futures.reserve(kBatch);
    for (int i = 0; i < kBatch; ++i) {
      auto promise = std::make_shared<std::promise<int>>();
      futures.push_back(promise->get_future());
      pool->post([promise, i] { promise->set_value(i + 1); });
    }
    for (int i = 0; i < kBatch; ++i) require(futures[i].get() == i + 1, "a wrong result");
  }
  return watch.per(batches * kBatch);
}

// E: a complete binary tree, every node but the leaves posts two.
template <class Pool>
void grow(Pool& pool, Countdown& countdown, int depth) {
  if (depth > 1) {
    for (int child = 0; child < 2; ++child)
      pool.post([&pool, &countdown, depth] { grow(pool, countdown, depth - 1); });
  }
  countdown.one();
}
template <class Pool>
Outcome tree(const Options& options) {
  auto* pool = new Pool(2);
  const int depth = options.pick(20, 16);
  const int nodes = (1 << depth) - 1;
  Countdown countdown(nodes);
  const Stopwatch watch;
  pool->post([&] { grow(*pool, countdown, depth); });
  countdown.wait();
  Outcome outcome = watch.per(nodes);
  countdown.check();
  return outcome;
}

template <class Pool>
Workloads pool_workloads() {
  return {
      {"B1", [](const Options& o) { return posts<Pool>(o, 1, 1); }},
      {"B2", [](const Options& o) { return posts<Pool>(o, 1, 2); }},
      {"C", [](const Options& o) { return promises<Pool>(o); }},
      {"D1",
       [](const Options& o) {
         auto* pool = new Pool(1);
         return round_trips(o, false, [&] { require(call_and_wait(*pool, 1) == 2, "wrong"); });
       }},
      {"D2",
       [](const Options& o) {
         auto* pool = new Pool(1);
         return round_trips(o, true, [&] { require(call_and_wait(*pool, 1) == 2, "wrong"); });
       }},
      {"D3",
       [](const Options& o) {
         auto* pool = new Pool(2);
         Countdown countdown(o.pick(2'000, 300));
         return trickle(o, countdown, [&] { pool->post([&countdown] { countdown.one(); }); });
       }},
      {"E", [](const Options& o) { return tree<Pool>(o); }},
      {"F", [](const Options& o) { return posts<Pool>(o, 2, 2); }},
  };
}

}  // namespace compare
