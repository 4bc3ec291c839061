#include <wisp/service/detail/counters.hpp>

#include <memory>
#include <thread>
#include <vector>

#include "catch.hpp"

namespace {

using wisp::detail::Counter;
using wisp::detail::CounterShards;

// A thread-local object older than the counters' own, whose end comes after theirs.
struct Late {
  CounterShards* counters = nullptr;
  ~Late() {
    if (counters != nullptr) counters->add(Counter::done);
  }
};
thread_local Late late;

}  // namespace

TEST_CASE("counters: what threads count adds up, also after they ended", "[counters]") {
  CounterShards counters;
  for (int round = 0; round < 3; ++round) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&counters] {
        for (int n = 0; n < 1'000; ++n) counters.add(Counter::accepted, 2);
      });
    }
    std::uint64_t before = 0;
    for (int i = 0; i < 100; ++i) {
      const std::uint64_t now = counters.sum(Counter::accepted);
      REQUIRE(now >= before);
      before = now;
    }
    for (std::thread& each : threads) each.join();
  }
  CHECK(counters.sum(Counter::accepted) == 24'000);
  CHECK(counters.sum(Counter::done) == 0);
}

TEST_CASE("counters: a thread on its way out still counts", "[counters]") {
  CounterShards counters;
  for (int i = 0; i < 10; ++i) {
    std::thread([&counters] {
      late.counters = &counters;
      counters.add(Counter::accepted);
    }).join();
  }
  CHECK(counters.sum(Counter::accepted) == 10);
  CHECK(counters.sum(Counter::done) == 10);
}

TEST_CASE("counters: they may end before the threads that used them", "[counters]") {
  for (int i = 0; i < 100; ++i) {
    const auto counters = std::make_unique<CounterShards>();
    counters->add(Counter::done, 3);
    CHECK(counters->sum(Counter::done) == 3);
  }
}
