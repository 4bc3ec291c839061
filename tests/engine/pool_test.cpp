#include <wisp/engine/pool.hpp>

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "engine/waiting.hpp"

using namespace std::chrono_literals;
using wisp::Clock;
using wisp::Duration;
using wisp::ManualClock;
using wisp::Pool;
using wisp::PoolStats;
using wisp::Status;
using wisp::StatusCode;
using wisp::Task;
using wisp::Time;
using wisp::scaling::Fixed;
using wisp::test::AtEnd;
using wisp::test::eventually;
using wisp::test::from_now;
using wisp::test::Gate;
using wisp::test::submit;
using wisp::test::threads;
using wisp::test::threads_at_rest;

namespace {

std::string thread_name() {
  std::array<char, 32> text{};
  pthread_getname_np(pthread_self(), text.data(), text.size());
  return text.data();
}

void burn(Duration d) {
  for (const Time end = from_now(d); Clock::system().now() < end;) {
  }
}

}  // namespace

TEST_CASE("pool: no thread before the first task, none after the last pool", "[pool]") {
  const int before = threads_at_rest();
  {
    Pool pool;
    CHECK(threads() == before);
    CHECK_FALSE(pool.on_executor_thread());
    CHECK(pool.drain(Time{}));

    std::string name;
    bool inside = false;
    REQUIRE(submit(pool, [&] {
              name = thread_name();
              inside = pool.on_executor_thread();
            }).ok());
    REQUIRE(pool.drain(Time::never()));
    CHECK(name == "wisp-0");
    CHECK(inside);
    CHECK(pool.stats().threads_started == 1);
    CHECK(pool.stats().ran == 1);
  }
  CHECK(eventually([&] { return threads() == before; }));
}

TEST_CASE("pool: a thousand pools one after another", "[pool]") {
  const int before = threads_at_rest();
  int ran = 0;
  for (int i = 0; i < 1'000; ++i) {
    Pool pool{{.workers = {.max = 2}}};
    REQUIRE(submit(pool, [&ran] { ++ran; }).ok());
    if (i % 2 == 0) REQUIRE(pool.drain(Time::never()));
    if (i % 2 == 1) REQUIRE(pool.close(from_now(10s)) == 0);
  }
  CHECK(ran >= 500);
  CHECK(eventually([&] { return threads() == before; }));
}

TEST_CASE("pool: one worker runs tasks in order", "[pool]") {
  Pool pool{{.workers = {.max = 1}}};
  std::vector<int> ran;
  for (int i = 0; i < 1'000; ++i) REQUIRE(submit(pool, [&ran, i] { ran.push_back(i); }).ok());
  REQUIRE(pool.drain(Time::never()));
  REQUIRE(ran.size() == 1'000);
  CHECK(std::is_sorted(ran.begin(), ran.end()));
  CHECK(pool.stats().peak == 1);
}

TEST_CASE("pool: a full queue refuses and leaves the task", "[pool]") {
  Pool pool{{.workers = {.max = 1}, .queue_max = 2}};
  Gate gate;
  REQUIRE(submit(pool, [&] { gate.pass(); }).ok());
  gate.await(1);
  REQUIRE(submit(pool, [] {}).ok());
  REQUIRE(submit(pool, [] {}).ok());

  bool ran = false;
  Task task = [&ran] { ran = true; };
  const Status full = pool.submit(task);
  CHECK(full.code() == StatusCode::kResourceExhausted);
  CHECK(wisp::reason_of(full) == wisp::Reason::full);
  CHECK(wisp::message(full) == "queue of the pool is full (2)");
  CHECK(pool.stats().queued == 2);
  REQUIRE(task);

  gate.open();
  REQUIRE(pool.drain(Time::never()));
  CHECK(pool.submit(task).ok());
  REQUIRE(pool.drain(Time::never()));
  CHECK(ran);
}

TEST_CASE("pool: drain waits for what is queued and running, and only until its time", "[pool]") {
  ManualClock clock;
  Pool pool{{.workers = {.max = 1}, .clock = &clock}};
  Gate gate;
  bool second = false;
  std::optional<bool> inner;
  REQUIRE(submit(pool, [&] {
            gate.pass();
            // Not for itself, but for what it has left in the queue.
            inner = pool.drain(clock.now());
          }).ok());
  gate.await(1);
  CHECK_FALSE(pool.drain(clock.now()));
  REQUIRE(submit(pool, [&second] { second = true; }).ok());
  gate.open();
  REQUIRE(pool.drain(Time::never()));
  CHECK(second);
  CHECK(inner == false);
  REQUIRE(submit(pool, [&] { inner = pool.drain(clock.now()); }).ok());
  REQUIRE(pool.drain(Time::never()));
  CHECK(inner == true);
}

TEST_CASE("pool: close refuses, and destroys what is queued with no lock held", "[pool]") {
  Pool pool{{.workers = {.max = 1}}};
  Gate gate;
  int destroyed = 0;
  REQUIRE(submit(pool, [&] { gate.pass(); }).ok());
  gate.await(1);
  for (int i = 0; i < 3; ++i) {
    AtEnd end([&] {
      ++destroyed;
      CHECK(pool.stats().queued == 0);
      CHECK(wisp::reason_of(submit(pool, [] {})) == wisp::Reason::stopped);
      if (destroyed == 3) gate.open();
    });
    REQUIRE(submit(pool, [end = std::move(end)] { std::abort(); }).ok());
  }
  CHECK(pool.close(from_now(30s)) == 0);
  CHECK(destroyed == 3);
  CHECK(pool.stats().workers == 0);

  Task task = [] {};
  CHECK(pool.submit(task).code() == StatusCode::kUnavailable);
  CHECK(task);
  CHECK(pool.close(Time{}) == 0);
}

TEST_CASE("pool: blocked workers make it grow beyond the cores", "[pool]") {
  Pool pool{{.workers = {.max = 24}, .cores = 2}};
  Gate gate;
  for (int i = 0; i < 30; ++i) REQUIRE(submit(pool, [&] { gate.pass(); }).ok());
  gate.await(24);
  CHECK(eventually([&] { return pool.stats().blocked == 24; }));
  CHECK(pool.stats().queued == 6);
  CHECK(pool.stats().oldest_wait > 0ns);
  gate.open();
  REQUIRE(pool.drain(Time::never()));
  CHECK(pool.stats().peak == 24);
}

TEST_CASE("pool: burning workers do not", "[pool]") {
  Pool pool{{.workers = {.max = 24}, .cores = 2}};
  std::atomic<int> now{0};
  std::atomic<int> most{0};
  for (int i = 0; i < 200; ++i) {
    REQUIRE(submit(pool, [&] {
              const int running = ++now;
              for (int seen = most; seen < running && !most.compare_exchange_weak(seen, running);) {
              }
              burn(1ms);
              --now;
            }).ok());
  }
  REQUIRE(pool.drain(Time::never()));
  CHECK(most <= 3);
  CHECK(pool.stats().peak <= 3);
}

TEST_CASE("pool: woken workers too stay within the cores when they burn", "[pool]") {
  Pool pool{{.workers = {.max = 16}, .cores = 2}};
  Gate gate;
  for (int i = 0; i < 16; ++i) REQUIRE(submit(pool, [&] { gate.pass(); }).ok());
  gate.await(16);
  gate.open();
  REQUIRE(eventually([&] { return pool.stats().parked == 16; }));
  std::atomic<bool> stop{false};
  for (int i = 0; i < 16; ++i) {
    REQUIRE(submit(pool, [&] {
              while (!stop) {
              }
            }).ok());
  }
  // Two at once, and the one more after some samples.
  CHECK(eventually([&] { return pool.stats().running == 3; }));
  burn(20ms);
  CHECK(pool.stats().running == 3);
  stop = true;
  REQUIRE(pool.drain(Time::never()));
}

TEST_CASE("pool: the last worker that parked is woken first", "[pool]") {
  Pool pool{{.workers = {.max = 2, .policy = Fixed{2}}}};
  std::binary_semaphore first(0);
  std::binary_semaphore last(0);
  std::atomic<int> inside{0};
  std::string names[3];
  REQUIRE(submit(pool, [&] { ++inside, first.acquire(), names[0] = thread_name(); }).ok());
  REQUIRE(submit(pool, [&] { ++inside, last.acquire(), names[1] = thread_name(); }).ok());
  REQUIRE(eventually([&] { return inside == 2; }));
  first.release();
  REQUIRE(eventually([&] { return pool.stats().parked == 1; }));
  last.release();
  REQUIRE(eventually([&] { return pool.stats().parked == 2; }));
  REQUIRE(submit(pool, [&] { names[2] = thread_name(); }).ok());
  REQUIRE(pool.drain(Time::never()));
  CHECK(names[2] == names[1]);
  CHECK(names[2] != names[0]);
}

TEST_CASE("pool: workers end after keep-alive, down to the minimum", "[pool]") {
  const int before = threads_at_rest();
  for (const int min : {0, 2}) {
    ManualClock clock;
    Pool pool{{.workers = {.min = min, .max = 6, .policy = Fixed{6}}, .clock = &clock}};
    for (int round = 0; round < 3; ++round) {
      Gate gate;
      for (int i = 0; i < 7; ++i) REQUIRE(submit(pool, [&] { gate.pass(); }).ok());
      gate.await(6);
      REQUIRE(eventually([&] { return pool.stats().supervised; }));
      gate.open();
      REQUIRE(eventually([&] { return pool.stats().parked == 6; }));
      clock.advance(wisp::Workers{}.keep_alive - 1ns);
      CHECK(pool.stats().parked == 6);
      clock.advance(1ns);
      REQUIRE(eventually([&] { return pool.stats().workers == min; }));
      clock.advance(24h);
      CHECK(pool.stats().workers == min);
      REQUIRE(eventually([&] { return threads() == before + (min == 0 ? 0 : min + 1); }));
    }
    CHECK(pool.stats().peak == 6);
    CHECK(pool.stats().ran == 21);
  }
}

TEST_CASE("pool: a stuck task does not hold up close, nor keep what it does not own", "[pool]") {
  const int before = threads_at_rest();
  std::binary_semaphore stuck(0);
  std::atomic<bool> returned{false};
  bool destroyed = false;
  std::atomic<int> exits{0};
  {
    ManualClock clock;
    Pool pool{{.workers = {.max = 1}, .clock = &clock, .on_thread_exit = [&exits](int index) {
                 exits += index != wisp::kSupervisor;
               }}};
    std::binary_semaphore began(0);
    REQUIRE(submit(pool, [&] {
              began.release();
              stuck.acquire();
              returned = true;
            }).ok());
    began.acquire();
    REQUIRE(submit(pool, [end = AtEnd([&] { destroyed = true; })] { std::abort(); }).ok());
    // The supervisor may be inside its callback for a moment more.
    CHECK(eventually([&] { return pool.close(clock.now()) == 1; }));
    CHECK(destroyed);
    CHECK(pool.stats().running == 1);
  }
  // The pool and its clock are gone; the task returns to what its thread owns.
  CHECK_FALSE(returned);
  stuck.release();
  REQUIRE(eventually([&] { return threads() == before; }));
  CHECK(returned);
  CHECK(exits == 0);
}

TEST_CASE("pool: a task may close its pool, and destroy it", "[pool]") {
  const int before = threads_at_rest();
  {
    Pool pool{{.workers = {.max = 1}}};
    int left = -1;
    std::binary_semaphore done(0);
    REQUIRE(submit(pool, [&] { left = pool.close(Time::never()), done.release(); }).ok());
    done.acquire();
    CHECK(left == 0);
    CHECK(pool.close(Time::never()) == 0);
  }
  auto pool = std::make_unique<Pool>();
  std::binary_semaphore done(0);
  REQUIRE(submit(*pool, [&] { pool.reset(), done.release(); }).ok());
  done.acquire();
  REQUIRE(eventually([&] { return threads() == before; }));
}

TEST_CASE("pool: a thread that cannot be started", "[pool]") {
  std::atomic<int> fault{EAGAIN};
  Pool pool{
      {.workers = {.max = 2, .policy = Fixed{2}}, .thread_fault = [&] { return fault.load(); }}};
  Task task = [] {};
  const Status refused = pool.submit(task);
  CHECK(refused.code() == StatusCode::kUnavailable);
  CHECK(wisp::message(refused) == "no thread could be started: Resource temporarily unavailable");
  CHECK_FALSE(wisp::reason_of(refused));
  CHECK(task);
  CHECK(pool.stats().queued == 0);
  CHECK(pool.stats().thread_failures == 1);

  fault = 0;
  Gate gate;
  REQUIRE(submit(pool, [&] { gate.pass(); }).ok());
  gate.await(1);
  // With a worker at hand the failure is only counted, and tried again.
  fault = EAGAIN;
  REQUIRE(submit(pool, [] {}).ok());
  CHECK(eventually([&] { return pool.stats().thread_failures >= 2; }));
  CHECK(pool.stats().workers == 1);
  fault = 0;
  REQUIRE(eventually([&] {
    CHECK(submit(pool, [] {}).ok());
    return pool.stats().workers == 2;
  }));
  gate.open();
  REQUIRE(pool.drain(Time::never()));
}

TEST_CASE("pool: the host's callbacks frame each thread", "[pool]") {
  // A worker on its way out still has its index, so more than two are in use now and then.
  std::array<std::atomic<int>, 64> inside{};
  std::atomic<int> between{0};
  std::atomic<int> started{0};
  std::atomic<int> ended{0};
  std::atomic<bool> paired{true};
  const auto count = [&](int index, int step) {
    if (index == wisp::kSupervisor) return;
    const int was = inside.at(static_cast<std::size_t>(index)).fetch_add(step);
    if (was != (step > 0 ? 0 : 1)) paired = false;
    between += step;
    ++(step > 0 ? started : ended);
  };
  {
    Pool pool{{.workers = {.max = 2, .keep_alive = 50us, .policy = Fixed{2}},
               .on_thread_start = [&](int index) { count(index, 1); },
               .on_thread_exit = [&](int index) { count(index, -1); }}};
    for (int i = 0; i < 50; ++i) {
      for (int k = 0; k < 3; ++k) {
        REQUIRE(submit(pool, [&] { paired = paired && between > 0; }).ok());
      }
      REQUIRE(eventually([&] { return pool.stats().workers == 0; }));
    }
  }
  CHECK(paired);
  CHECK(started >= 50);
  CHECK(started == ended);
}

TEST_CASE("pool: options out of range are named", "[pool]") {
  CHECK(wisp::check(wisp::Workers{}).ok());
  CHECK(wisp::check(wisp::Workers{.min = 64, .max = 64, .keep_alive = 0s}).ok());
  CHECK(wisp::message(wisp::check(wisp::Workers{.max = 0})) == "workers.max is 0: from 1 to 32768");
  CHECK(wisp::check(wisp::Workers{.max = 32769}).code() == StatusCode::kInvalidArgument);
  CHECK(wisp::message(wisp::check(wisp::Workers{.min = 3, .max = 2})) ==
        "workers.min is 3: from 0 to workers.max (2)");
  CHECK(wisp::check(wisp::Workers{.min = -1}).code() == StatusCode::kInvalidArgument);
  CHECK(wisp::message(wisp::check(wisp::Workers{.keep_alive = -1ns})) ==
        "workers.keep_alive is -1 ns: not negative");
}
