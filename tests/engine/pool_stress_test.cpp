// The pool under more threads than the machine has cores, and its waits within tasks. A lost
// wake-up shows as a watchdog's false.
#include <wisp/engine/pool.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <semaphore>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "seeds.hpp"

using namespace std::chrono_literals;
using wisp::Clock;
using wisp::Duration;
using wisp::ManualClock;
using wisp::Pool;
using wisp::PoolStats;
using wisp::Status;
using wisp::Task;
using wisp::Time;
using wisp::scaling::Fixed;
using wisp::test::AtEnd;
using wisp::test::eventually;
using wisp::test::from_now;
using wisp::test::Gate;
using wisp::test::Seeded;
using wisp::test::submit;
using wisp::test::test_seeds;
using wisp::test::threads;
using wisp::test::threads_at_rest;
using wisp::test::together;

namespace {

constexpr int kThreads = 4;  // that submit

}  // namespace

TEST_CASE("pool: off its workers nobody blocks", "[pool]") {
  Pool pool;
  Pool other;
  CHECK_FALSE(pool.begin_blocking());
  bool foreign = true;
  REQUIRE(
      submit(other, [&] { foreign = pool.begin_blocking() || pool.on_executor_thread(); }).ok());
  REQUIRE(other.drain(Time::never()));
  CHECK_FALSE(foreign);
}

TEST_CASE("pool: a waiting worker is replaced, and the surplus rests afterwards", "[pool]") {
  ManualClock clock;  // the supervisor takes no part
  Pool pool{{.workers = {.max = 1}, .clock = &clock}};
  std::binary_semaphore inner(0);
  bool replaced = false;
  PoolStats meanwhile;
  REQUIRE(submit(pool, [&] {
            CHECK(submit(pool, [&] { meanwhile = pool.stats(), inner.release(); }).ok());
            replaced = pool.begin_blocking();
            inner.acquire();
            if (replaced) pool.end_blocking();
          }).ok());
  REQUIRE(pool.drain(Time::never()));
  CHECK(replaced);
  CHECK(meanwhile.workers == 2);
  CHECK(meanwhile.running == 2);
  CHECK(meanwhile.waiting == 1);

  // Both are back, and one is too many.
  std::atomic<int> now{0};
  std::atomic<int> most{0};
  for (int i = 0; i < 500; ++i) {
    REQUIRE(submit(pool, [&] {
              most = std::max(most.load(), ++now);
              --now;
            }).ok());
  }
  REQUIRE(pool.drain(Time::never()));
  CHECK(most == 1);
  CHECK(pool.stats().waiting == 0);
  CHECK(pool.stats().workers == 2);
}

TEST_CASE("pool: work that comes while its worker waits finds another", "[pool]") {
  ManualClock clock;
  Pool pool{{.workers = {.max = 1}, .clock = &clock}};
  std::binary_semaphore waits(0);
  std::binary_semaphore inner(0);
  REQUIRE(submit(pool, [&] {
            if (pool.begin_blocking()) {
              waits.release();
              inner.acquire();
              pool.end_blocking();
            }
          }).ok());
  waits.acquire();
  CHECK(pool.stats().workers == 1);
  REQUIRE(submit(pool, [&inner] { inner.release(); }).ok());
  REQUIRE(pool.drain(Time::never()));
  CHECK(pool.stats().workers == 2);
}

TEST_CASE("pool: substitutes are bounded, and the next waiter is told", "[pool]") {
  ManualClock clock;
  Pool pool{{.workers = {.max = 1}, .clock = &clock}};
  int depth = 0;
  int refused_at = 0;
  // Each task waits for the next one, until one must run it itself.
  std::function<void()> chain = [&] {
    ++depth;
    std::binary_semaphore next(0);
    if (!pool.begin_blocking()) {
      refused_at = depth;
      return;
    }
    REQUIRE(submit(pool, [&] { chain(), next.release(); }).ok());
    next.acquire();
    pool.end_blocking();
  };
  REQUIRE(submit(pool, [&] { chain(); }).ok());
  REQUIRE(pool.drain(Time::never()));
  CHECK(refused_at == 1 + 256);
  CHECK(pool.stats().workers == 1 + 256);
  clock.advance(10s);
  CHECK(eventually([&] { return pool.stats().workers == 0; }));
}

TEST_CASE("pool: no substitute, no wait", "[pool]") {
  std::atomic<int> fault{0};
  Pool pool{{.workers = {.max = 1}, .thread_fault = [&] { return fault.load(); }}};
  bool ran = false;
  bool first = true;
  REQUIRE(submit(pool, [&] {
            fault = 11;
            CHECK(submit(pool, [&ran] { ran = true; }).ok());
            first = pool.begin_blocking();
          }).ok());
  REQUIRE(pool.drain(Time::never()));
  CHECK_FALSE(first);
  CHECK(ran);
  CHECK(pool.stats().waiting == 0);
}

TEST_CASE("pool: submit races with close, and nothing is lost uncounted", "[pool][stress]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    const auto close_at = static_cast<int>(random.between(0, 499));
    Pool pool{{.workers = {.max = static_cast<int>(random.between(1, 4))}, .queue_max = 64}};
    std::atomic<int> accepted{0};
    std::atomic<int> ran{0};
    std::atomic<int> ended{0};
    together(kThreads, [&](int thread) {
      for (int i = 0; i < 500; ++i) {
        AtEnd end([&ended] { ++ended; });
        Task task = [&ran, end = std::move(end)] { ++ran; };
        if (pool.submit(task).ok()) ++accepted;
        task.reset();
        if (thread == 0 && i == close_at) pool.close(Time::never());
      }
    });
    pool.close(Time::never());
    const PoolStats stats = pool.stats();
    CHECK(ended == kThreads * 500);
    CHECK(stats.ran == ran);
    CHECK(ran <= accepted);
    CHECK(stats.workers == 0);
  }
}

TEST_CASE("pool: a worker that retires races with submit", "[pool][stress]") {
  // Keep-alive ends about when the next task comes.
  for (const Duration keep_alive : {Duration(0ns), Duration(1us), Duration(20us)}) {
    Pool pool{{.workers = {.max = 3, .keep_alive = keep_alive, .policy = Fixed{3}}}};
    std::atomic<int> done{0};
    for (int i = 1; i <= 1'000; ++i) {
      REQUIRE(submit(pool, [&done] { ++done; }).ok());
      REQUIRE(eventually([&] { return done == i; }));
    }
  }
}

TEST_CASE("pool: no wake is lost between workers that park and many that submit",
          "[pool][stress]") {
  for (const int max : {1, 3, 8}) {
    Pool pool{{.workers = {.max = max, .keep_alive = 30us}}};
    together(kThreads, [&](int) {
      for (int i = 0; i < 500; ++i) {
        std::binary_semaphore done(0);
        if (!submit(pool, [&done] { done.release(); }).ok()) std::abort();
        if (!done.try_acquire_for(20s)) std::abort();  // the watchdog: a waiter cannot just go
      }
    });
    CHECK(pool.stats().ran == kThreads * 500);
  }
}

TEST_CASE("pool: trees of tasks that wait for their children", "[pool][stress]") {
  for (const int max : {1, 2}) {
    Pool pool{{.workers = {.max = max, .keep_alive = 100us}}};
    std::atomic<int> leaves{0};
    std::function<void(int)> grow = [&](int depth) {
      if (depth == 0) {
        ++leaves;
        return;
      }
      std::counting_semaphore<2> done(0);
      for (int i = 0; i < 2; ++i) {
        if (!submit(pool, [&, depth] { grow(depth - 1), done.release(); }).ok()) std::abort();
      }
      const bool others = pool.begin_blocking();
      if (!others) std::abort();
      done.acquire(), done.acquire();
      pool.end_blocking();
    };
    together(kThreads, [&](int) {
      std::binary_semaphore done(0);
      for (int i = 0; i < 3; ++i) {
        if (!submit(pool, [&] { grow(3), done.release(); }).ok()) std::abort();
        if (!done.try_acquire_for(20s)) std::abort();
      }
    });
    CHECK(leaves == kThreads * 3 * 8);
    CHECK(pool.drain(from_now(20s)));
    CHECK(pool.stats().waiting == 0);
  }
}

TEST_CASE("pool: sleepers, burners and waiters at once, while others look and drain",
          "[pool][stress]") {
  const int before = threads_at_rest();
  {
    Pool pool{{.workers = {.max = 12, .keep_alive = 200us}, .cores = 2}};
    std::atomic<int> done{0};
    together(kThreads, [&](int thread) {
      Seeded random(thread);
      for (int i = 0; i < 300; ++i) {
        const std::uint64_t kind = random.below(8);
        const auto task = [&, kind] {
          if (kind == 0) std::this_thread::sleep_for(200us);  // stands for a blocking call
          if (kind == 1) {
            for (const Time end = from_now(50us); Clock::system().now() < end;) {
            }
          }
          if (kind == 2 && pool.begin_blocking()) pool.end_blocking();
          ++done;
        };
        if (!submit(pool, task).ok()) std::abort();
        if (i % 50 == 0 && pool.stats().workers > 12 + 256) std::abort();
        if (i % 100 == 99) pool.drain(from_now(1ms));
      }
    });
    CHECK(pool.drain(from_now(20s)));
    CHECK(done == kThreads * 300);
    CHECK(eventually([&] { return pool.stats().workers == 0 && !pool.stats().supervised; }));
  }
  CHECK(eventually([&] { return threads() == before; }));
}
