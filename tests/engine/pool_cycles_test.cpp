// Many times around the pool's park and wake, four threads that submit and four workers on two
// cores, beside what could lose a wake: workers that leave meanwhile, and close.
//
// WISP_TEST_CYCLES says how often, a cycle being a task that finds its workers parked or about to
// park. The thread sanitizer sees orders that the model in tests/model_check leaves out.
#include <wisp/engine/pool.hpp>

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <semaphore>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "engine/waiting.hpp"

using namespace std::chrono_literals;
using wisp::Duration;
using wisp::Pool;
using wisp::PoolOptions;
using wisp::Task;
using wisp::Time;
using wisp::scaling::Fixed;
using wisp::test::AtEnd;
using wisp::test::together;

namespace {

constexpr int kSubmitters = 4;
constexpr int kWorkers = 4;

std::int64_t test_cycles() {
  constexpr std::int64_t kDefault = 1'000'000;
  const char* text = std::getenv("WISP_TEST_CYCLES");
  const std::int64_t cycles = text == nullptr ? 0 : std::strtoll(text, nullptr, 10);
  return cycles > 0 ? cycles : kDefault;
}

// Aborts with a message when nothing has moved for 30 s: a waiter cannot just go.
class Watchdog {
 public:
  explicit Watchdog(const char* what) : what_(what), thread_([this] { watch(); }) {}
  ~Watchdog() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void moved() { moves_.fetch_add(1, std::memory_order_relaxed); }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    std::int64_t seen = -1;
    while (!over_) {
      const std::int64_t moves = moves_.load(std::memory_order_relaxed);
      if (moves == seen) {
        std::fprintf(stderr, "%s: nothing has moved for 30 s, after %lld cycles\n", what_,
                     static_cast<long long>(moves));
        std::abort();
      }
      seen = moves;
      changed_.wait_for(lock, 30s, [this] { return over_; });
    }
  }

  const char* const what_;
  std::atomic<std::int64_t> moves_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

// Keeps this thread, and those that it and they start, on two cores.
class TwoCores {
 public:
  TwoCores() {
    sched_getaffinity(0, sizeof(before_), &before_);
    cpu_set_t two;
    CPU_ZERO(&two);
    for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&two) < 2; ++core) {
      if (CPU_ISSET(core, &before_)) CPU_SET(core, &two);
    }
    sched_setaffinity(0, sizeof(two), &two);
  }
  ~TwoCores() { sched_setaffinity(0, sizeof(before_), &before_); }
  TwoCores(const TwoCores&) = delete;
  TwoCores& operator=(const TwoCores&) = delete;

 private:
  cpu_set_t before_{};
};

PoolOptions options(Duration keep_alive) {
  return {.workers = {.max = kWorkers, .keep_alive = keep_alive, .policy = Fixed{kWorkers}},
          .cores = 2};
}

// Each thread submits one task at a time, or `burst`, and waits for them.
void cycle(Pool& pool, Watchdog& watchdog, std::int64_t cycles, int burst) {
  together(kSubmitters, [&](int) {
    for (std::int64_t i = 0; i < cycles / kSubmitters; i += burst) {
      std::counting_semaphore<> done(0);
      for (int k = 0; k < burst; ++k) {
        Task task = [&done] { done.release(); };
        if (!pool.submit(task).ok()) std::abort();
      }
      for (int k = 0; k < burst; ++k) done.acquire();
      watchdog.moved();
    }
  });
}

}  // namespace

TEST_CASE("pool: many cycles of park and wake", "[pool][stress]") {
  const TwoCores cores;
  Watchdog watchdog("park and wake");
  Pool pool{options(10s)};
  const std::int64_t cycles = test_cycles();
  cycle(pool, watchdog, cycles / 2, 1);
  cycle(pool, watchdog, cycles / 2, 3);
  CHECK(pool.drain(Time::never()));
  CHECK(pool.stats().ran >= cycles / kSubmitters * kSubmitters);
}

TEST_CASE("pool: many cycles of park and wake while workers leave", "[pool][stress]") {
  const TwoCores cores;
  Watchdog watchdog("workers that leave");
  // A thread costs as much as many cycles.
  const std::int64_t cycles = test_cycles() / 20;
  for (const Duration keep_alive : {Duration(0ns), Duration(5us), Duration(50us)}) {
    Pool pool{options(keep_alive)};
    cycle(pool, watchdog, cycles, 1);
    CHECK(pool.drain(Time::never()));
  }
}

TEST_CASE("pool: submits that meet close end, run or not", "[pool][stress]") {
  const TwoCores cores;
  Watchdog watchdog("submit during close");
  constexpr int kTasks = 25;  // of each thread, on each pool
  const std::int64_t pools = test_cycles() / 10 / (kTasks * kSubmitters);
  std::atomic<std::int64_t> refused{0};
  for (std::int64_t i = 0; i < pools; ++i) {
    Pool pool{options(i % 2 == 0 ? 10s : Duration(5us))};
    const auto closer = static_cast<int>(i % kSubmitters);
    const auto close_at = static_cast<int>(i % kTasks);
    std::atomic<int> ended{0};
    together(kSubmitters, [&](int thread) {
      for (int k = 0; k < kTasks; ++k) {
        std::binary_semaphore done(0);
        Task task = [end = AtEnd([&] { ++ended, done.release(); })] {};
        // Closed, or a thread that the machine refuses: a refused task is still the caller's.
        if (!pool.submit(task).ok()) ++refused;
        task.reset();
        if (thread == closer && k == close_at) pool.close(Time::never());
        done.acquire();
        watchdog.moved();
      }
    });
    if (ended != kSubmitters * kTasks) std::abort();
  }
  CHECK(refused > 0);
}
