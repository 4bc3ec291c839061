#include <wisp/sim/faults.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <wisp/base/park.hpp>
#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Duration;
using wisp::StatusCode;
using wisp::Time;
using wisp::sim::Faults;
using wisp::sim::World;

int seeds() { return std::max(wisp::test::test_seeds(), 20); }

// A world whose every run of 'work' meets with these, and what became of one started call.
struct Struck {
  wisp::Status result;
  int entered = 0;
  Duration took{};
  std::string last_line;
};

Struck struck(std::uint64_t seed, const Faults& faults, Duration timeout = {}) {
  Struck struck;
  World world{seed, {.faults = faults}};
  wisp::Runtime runtime{world.options()};
  const auto work = wisp::function("work", [&struck] { ++struck.entered; }, {.timeout = timeout});
  REQUIRE(runtime.registry().add(work).ok());
  const Time start = world.clock().now();
  auto pending = runtime.start(work);
  struck.result = pending.wait();
  struck.took = world.clock().now() - start;
  struck.last_line = world.log().lines.back();
  return struck;
}

}  // namespace

TEST_CASE("faults: none by default, and they draw nothing", "[sim]") {
  const Struck plain = struck(1, {});
  CHECK(plain.result.ok());
  CHECK(plain.entered == 1);
  CHECK(plain.took == 0s);
  World one{3};
  World two{3};
  two.faults({.slow = 1000});
  CHECK(one.random().next() == two.random().next());  // a sequence of their own
}

TEST_CASE("faults: a handler is slow, within its bound, before or after", "[sim]") {
  Duration longest{};
  Duration shortest = Duration::max();
  for (int seed = 1; seed <= seeds(); ++seed) {
    INFO("seed " << seed);
    const Struck slow = struck(static_cast<std::uint64_t>(seed), {.slow = 1000, .slow_max = 10ms});
    CHECK(slow.result.ok());
    CHECK(slow.entered == 1);
    CHECK(slow.took > 0s);
    CHECK(slow.took <= 10ms);
    longest = std::max(longest, slow.took);
    shortest = std::min(shortest, slow.took);
  }
  CHECK(longest > 5ms);
  CHECK(shortest < 5ms);
}

TEST_CASE("faults: a handler throws, before it has done anything or after", "[sim]") {
  int entered = 0;
  for (int seed = 1; seed <= seeds(); ++seed) {
    INFO("seed " << seed);
    const Struck threw = struck(static_cast<std::uint64_t>(seed), {.throws = 1000});
    CHECK(threw.result.code() == StatusCode::kInternal);
    CHECK(threw.last_line.find("'work' fails: ") != std::string::npos);
    entered += threw.entered;
  }
  CHECK(entered > 0);
  CHECK(entered < seeds());
}

TEST_CASE("faults: a handler hangs until it is cancelled, or for a while", "[sim]") {
  const Struck timed_out = struck(1, {.hangs = 1000}, 2s);
  CHECK(timed_out.result.code() == StatusCode::kDeadlineExceeded);
  CHECK(timed_out.entered == 0);
  CHECK(timed_out.took == 2s);
  const Struck woke_up = struck(1, {.hangs = 1000, .hang_max = 3s});
  CHECK(woke_up.result.ok());
  CHECK(woke_up.entered == 1);
  CHECK(woke_up.took == 3s);
}

TEST_CASE("faults: a handler ignores its cancellation", "[sim]") {
  bool late = false;
  for (int seed = 1; seed <= seeds(); ++seed) {
    INFO("seed " << seed);
    const Struck deaf =
        struck(static_cast<std::uint64_t>(seed), {.ignores = 1000, .ignore_max = 10s}, 2s);
    CHECK(deaf.took <= 10s);
    CHECK(deaf.result.ok() == (deaf.took < 2s));
    CHECK(deaf.entered == 1);
    late = late || deaf.took > 2s;
  }
  CHECK(late);
}

TEST_CASE("faults: a task begins late, or is refused", "[sim]") {
  for (int seed = 1; seed <= seeds(); ++seed) {
    INFO("seed " << seed);
    World world{static_cast<std::uint64_t>(seed), {.faults = {.late = 1000, .late_max = 1min}}};
    const Time start = world.clock().now();
    Time began = start;
    wisp::Task task([&] { began = world.clock().now(); });
    REQUIRE(world.executor().submit(task).ok());
    world.advance(1min);
    CHECK(began > start);
    CHECK(began <= start + 1min);

    world.faults({.full = 1000});
    wisp::Task refused([] {});
    const wisp::Status full = world.executor().submit(refused);
    CHECK(full.code() == StatusCode::kResourceExhausted);
    CHECK(wisp::reason_of(full) == wisp::Reason::full);
    CHECK(static_cast<bool>(refused));
    world.faults({});
    CHECK(world.executor().submit(refused).ok());
  }
}

TEST_CASE("faults: the end of a world drops late tasks too", "[sim]") {
  auto counted = std::make_shared<int>();
  {
    World world{1, {.faults = {.late = 1000}}};
    wisp::Task task([counted] { ++*counted; });
    REQUIRE(world.executor().submit(task).ok());
    world.run_until_idle();
  }
  CHECK(counted.use_count() == 1);
  CHECK(*counted == 0);
}

TEST_CASE("faults: a wall clock that jumps by centuries stays within its range", "[sim]") {
  int last = 0;
  for (int seed = 1; seed <= seeds(); ++seed) {
    World world{static_cast<std::uint64_t>(seed),
                {.faults = {.wall_jumps = 1000, .wall_jump_max = Duration::max()}}};
    for (int i = 0; i < 20; ++i) {
      wisp::Parker parker;
      world.clock().park(parker, world.clock().now() + 1s);
      if (world.clock().wall() == wisp::WallTime::max()) ++last;
    }
  }
  CHECK(last > 0);
}

TEST_CASE("faults: the wall clock jumps either way, the steady one does not", "[sim]") {
  bool ahead = false;
  bool behind = false;
  for (int seed = 1; seed <= seeds(); ++seed) {
    INFO("seed " << seed);
    World world{static_cast<std::uint64_t>(seed), {.faults = {.wall_jumps = 500}}};
    wisp::Runtime runtime{world.options()};
    const wisp::WallTime wall = world.clock().wall();
    const Time start = world.clock().now();
    int fired = 0;
    auto every = runtime.every(1h).run([&] {
      ++fired;
      const Duration error = (world.clock().wall() - wall) - (world.clock().now() - start);
      CHECK(error <= 24h);
      CHECK(error >= -24h);
      ahead = ahead || error > 1h;
      behind = behind || error < -1h;
    });
    world.advance(24h);
    CHECK(fired == 24);
  }
  CHECK(ahead);
  CHECK(behind);
}

TEST_CASE("faults: they strike handlers of every verb, and end when they are taken back", "[sim]") {
  World world{1, {.faults = {.throws = 1000}}};
  wisp::Runtime runtime{world.options()};
  const auto work = wisp::function("work", [](int n) { return n; });
  const auto sampled =
      wisp::function("sampled", [](int n) { return n; }, {.meter = wisp::Meter::sampled});
  REQUIRE(runtime.registry().add(work).ok());
  REQUIRE(runtime.registry().add(sampled).ok());
  auto here = runtime.on("here").deliver({.synchronous = true}).to(sampled);
  auto there = runtime.on("there").deliver({.attempts = 1}).to([](int, wisp::Context&) {});
  const auto all = [&] {
    for (int i = 0; i < 40; ++i) {
      if (runtime.call(work, i).ok() != runtime.call(sampled, i).ok()) return -1;
      if (!runtime.post(work, i).ok() || !runtime.emit("here", i).ok()) return -2;
      if (!runtime.emit("there", i).ok()) return -3;
    }
    world.advance(1h);
    return static_cast<int>(runtime.stats().events.done);
  };
  CHECK(all() == 0);
  CHECK(runtime.stats().events.dead == 120);
  CHECK(runtime.call(work, 1).status().code() == StatusCode::kInternal);
  world.faults({});
  CHECK(all() == 120);
  CHECK(runtime.call(work, 1).ok());
}
