// How work finds a worker while threads start slowly, or not at all.
#include <wisp/engine/pool.hpp>

#include <errno.h>

#include <atomic>

#include "catch.hpp"
#include "engine/waiting.hpp"

using namespace std::chrono_literals;
using wisp::Clock;
using wisp::Duration;
using wisp::Pool;
using wisp::Status;
using wisp::Task;
using wisp::Time;
using wisp::scaling::Fixed;
using wisp::test::eventually;
using wisp::test::Gate;
using wisp::test::submit;

namespace {

// The machine's clock, which counts the parks that return at once.
class CountingClock final : public Clock {
 public:
  Time now() const override { return Clock::system().now(); }
  wisp::WallTime wall() const override { return Clock::system().wall(); }
  bool real() const override { return true; }
  bool park(wisp::Parker& parker, Time until) override {
    ++parks;
    if (until <= now()) ++idle_parks;
    return Clock::park(parker, until);
  }
  std::atomic<int> parks{0};
  std::atomic<int> idle_parks{0};
};

}  // namespace

TEST_CASE("pool: a worker at hand does not wait for one that is being born", "[pool]") {
  Gate birth;
  Pool pool{{.workers = {.max = 8}, .cores = 2, .on_thread_start = [&](int worker) {
               if (worker == 1) birth.pass();
             }}};
  Gate first;
  REQUIRE(submit(pool, [&] { first.pass(); }).ok());
  first.await(1);
  REQUIRE(submit(pool, [] {}).ok());
  birth.await(1);
  first.open();
  REQUIRE(eventually([&] { return pool.stats().parked == 1; }));
  CHECK(pool.stats().starting == 1);
  std::atomic<bool> ran{false};
  REQUIRE(submit(pool, [&] { ran = true; }).ok());
  CHECK(eventually([&] { return ran.load(); }));
  birth.open();
  CHECK(pool.drain(Time::never()));
}

TEST_CASE("pool: one failure to start a thread strands nothing", "[pool]") {
  std::atomic<int> failures{0};
  Pool pool{{.workers = {.max = 2, .policy = Fixed{2}},
             .thread_fault = [&] { return failures > 0 && failures-- > 0 ? EAGAIN : 0; }}};
  Gate gate;
  REQUIRE(submit(pool, [&] { gate.pass(); }).ok());
  gate.await(1);
  failures = 1;
  std::atomic<bool> ran{false};
  REQUIRE(submit(pool, [&] { ran = true; }).ok());
  // The first worker stays busy: only another can run it.
  CHECK(eventually([&] { return ran.load(); }));
  CHECK(pool.stats().thread_failures == 1);
  gate.open();
}

TEST_CASE("pool: the supervisor rests while those who serve the queue are on their way", "[pool]") {
  CountingClock clock;
  Gate birth;
  Pool pool{{.workers = {.max = 8, .policy = Fixed{1}},
             .clock = &clock,
             .cores = 1,
             .on_thread_start = [&](int worker) {
               if (worker == 1) birth.pass();
             }}};
  Gate first;
  Gate second;
  REQUIRE(submit(pool, [&] {
            first.pass();
            // Its substitute is born slowly; nobody runs meanwhile.
            REQUIRE(pool.begin_blocking());
            second.pass();
            pool.end_blocking();
          }).ok());
  first.await(1);
  for (int i = 0; i < 3; ++i) REQUIRE(submit(pool, [] {}).ok());
  REQUIRE(eventually([&] { return pool.stats().supervised; }));
  first.open();
  second.await(1);
  birth.await(1);
  const int parks = clock.parks;
  const int idle = clock.idle_parks;
  CHECK(eventually([&] { return clock.parks >= parks + 20; }));
  CHECK(clock.idle_parks - idle <= 2);
  birth.open();
  second.open();
  CHECK(pool.drain(Time::never()));
}
