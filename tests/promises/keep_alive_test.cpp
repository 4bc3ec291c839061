#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::Duration;
using wisp::Result;
using wisp::Time;
using wisp::sim::World;

struct Counts {
  int built = 0;
  int failed = 0;
  int alive = 0;
  int alive_most = 0;
};

class Engine {
 public:
  explicit Engine(Counts& counts) : counts_(counts) {
    ++counts_.built;
    counts_.alive_most = std::max(counts_.alive_most, ++counts_.alive);
  }
  ~Engine() {
    CHECK_FALSE(inside_);
    --counts_.alive;
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  wisp::Status operator()(Duration work, Context& context) {
    CHECK_FALSE(inside_);
    inside_ = true;
    if (work > 0s) (void)context.sleep(work);
    inside_ = false;
    return wisp::Status();
  }

 private:
  Counts& counts_;
  bool inside_ = false;
};

wisp::FunctionStats stats_of(const wisp::Runtime& runtime, std::string_view name) {
  for (const wisp::FunctionStats& each : runtime.stats().functions)
    if (each.name == name) return each;
  return {};
}

// By definition: of the idle times that lasted for so many minutes, how many ended in that one.
bool likely(const std::vector<int>& idle, int minute) {
  if (minute == 0) return true;
  const auto lasted =
      std::count_if(idle.begin(), idle.end(), [minute](int each) { return each >= minute; });
  const auto ended = std::count(idle.begin(), idle.end(), minute);
  return minute <= 240 && ended > 0 &&
         static_cast<double>(ended) >= 0.015 * static_cast<double>(lasted);
}

// Not freed for less than ten minutes.
bool kept(const std::vector<int>& idle, int minute) {
  if (idle.size() < 2) return minute < 10;
  int before = minute;
  int after = minute;
  while (!likely(idle, before)) --before;
  while (after <= 240 && !likely(idle, after)) ++after;
  return before == after || (after <= 240 && after - before <= 11);
}

}  // namespace

TEST_CASE("keep_alive: the last instance is there in the minutes in which a call is likely",
          "[keep_alive]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    Counts counts;
    const auto any = [&world](int low, int high) {
      return static_cast<int>(wisp::uniform(world.random(), low, high));
    };
    const auto work = wisp::function(
        "work", wisp::stateful<Engine>([&counts] { return std::make_unique<Engine>(counts); }),
        {.instances = {.predictive = true}});
    wisp::Runtime runtime{wisp::Catalogue().add(work), world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    const int period = any(1, 90);
    std::vector<int> idle;
    int cold = 1;
    int ahead = 0;
    REQUIRE(runtime.call(work, any(0, 2) * 100ms).ok());
    for (int n = 0; n < 40; ++n) {
      const int minutes = any(0, 9) < 7 ? period : any(1, 300);
      for (int minute = 1; minute <= minutes; ++minute) {
        // A minute is one around the whole number.
        const bool before = kept(idle, minute - 1);
        const bool now = kept(idle, minute);
        world.advance(29s);
        if (counts.alive != static_cast<int>(before)) FAIL_CHECK("late in minute " << minute - 1);
        world.advance(2s);
        if (idle.size() >= 2 && counts.alive != static_cast<int>(now))
          FAIL_CHECK("early in minute " << minute);
        world.advance(29s);
        if (counts.alive != static_cast<int>(now)) FAIL_CHECK("minute " << minute);
        if (now && !before) ++ahead;
      }
      if (!kept(idle, minutes)) ++cold;
      REQUIRE(runtime.call(work, any(0, 2) * 100ms).ok());
      CHECK(counts.alive == 1);
      idle.push_back(minutes);
    }
    const wisp::FunctionStats stats = stats_of(runtime, "work");
    CHECK(stats.cold_starts == static_cast<std::uint64_t>(cold));
    CHECK(stats.built_ahead == static_cast<std::uint64_t>(ahead));
    CHECK(counts.built == cold + ahead);
  });
}

TEST_CASE(
    "keep_alive: what is built ahead is slow, fails and meets calls, and is never one too many",
    "[keep_alive]") {
  int ahead = 0;
  int met = 0;
  wisp::test::for_each_seed([&](std::uint64_t seed) {
    World world{seed};
    Counts counts;
    const auto any = [&world](int low, int high) {
      return static_cast<int>(wisp::uniform(world.random(), low, high));
    };
    const int max = any(0, 2);
    int building = 0;
    {
      const auto work =
          wisp::function("work", wisp::stateful<Engine>([&]() -> Result<std::unique_ptr<Engine>> {
                           ++building;
                           wisp::test::pass(world.clock(), any(0, 60) * 1s);
                           --building;
                           if (any(0, 3) == 0) {
                             ++counts.failed;
                             return wisp::unavailable("no fuel");
                           }
                           return std::make_unique<Engine>(counts);
                         }),
                         {.instances = {.max = max, .predictive = true}});
      wisp::Runtime runtime{wisp::Catalogue().add(work), world.options()};
      const auto watch = wisp::test::watch_some(world, runtime);
      world.faults({.late = 200, .late_max = any(0, 1) == 0 ? 1min : 10min});
      const int period = any(2, 40);
      std::vector<wisp::Pending<void>> pending;
      for (int n = 0; n < 30; ++n) {
        met += building > 0 ? 1 : 0;
        for (int i = any(1, 3); i > 0; --i)
          pending.push_back(runtime.start(work, any(0, 2) * 100ms, {.timeout = any(0, 1) * 20s}));
        world.advance(period * 1min + any(-20, 20) * 1s);
      }
      CHECK((max == 0 || counts.alive_most <= max));
      world.faults({});
      world.advance(30min);
      for (const wisp::Pending<void>& each : pending) CHECK(each.ready());
      const wisp::FunctionStats stats = stats_of(runtime, "work");
      CHECK(stats.cold_starts + stats.built_ahead ==
            static_cast<std::uint64_t>(counts.built + counts.failed + building));
      ahead += static_cast<int>(stats.built_ahead);
      const wisp::Stopped stopped = runtime.stop(any(0, 1) * 2min);
      if (stopped.status.ok()) CHECK(building == 0);
      for (const wisp::Abandoned& each : stopped.abandoned) CHECK(each.function == "work");
    }
    world.advance(5min);
    CHECK(counts.alive == 0);
  });
  if (!wisp::test::many_seeds()) return;
  CHECK(ahead > 0);
  CHECK(met > 0);
}

TEST_CASE("keep_alive: a call that comes while one is built ahead waits for that one",
          "[keep_alive]") {
  World world{1};
  Counts counts;
  Duration building{};
  std::vector<Time> begun;
  struct Slow {
    std::vector<Time>* begun;
    wisp::Clock* clock;
    void operator()() { begun->push_back(clock->now()); }
  };
  const auto work = wisp::function("work", wisp::stateful<Slow>([&] {
                                     wisp::test::pass(world.clock(), building);
                                     ++counts.built;
                                     return Slow{&begun, &world.clock()};
                                   }),
                                   {.instances = {.predictive = true}});
  wisp::Runtime runtime{wisp::Catalogue().add(work), world.options()};
  for (int n = 0; n < 3; ++n) {
    REQUIRE(runtime.call(work).ok());
    world.advance(30min);
  }
  building = 90s;
  // The third has one that was built from 29:30 on; the fourth meets a slow one.
  REQUIRE(runtime.call(work).ok());
  world.advance(30min);
  const Time called = world.clock().now();
  auto first = runtime.start(work);
  world.advance(59s);
  CHECK_FALSE(first.ready());
  world.advance(1s);
  CHECK(first.ready());
  CHECK(begun.back() == called + 60s);
  CHECK_FALSE(first.receipt().cold);
  CHECK(stats_of(runtime, "work").cold_starts == 3);
  CHECK(stats_of(runtime, "work").built_ahead == 2);
  // Another one that comes meanwhile builds its own.
  world.advance(30min);
  first = runtime.start(work);
  world.run_until_idle();
  auto second = runtime.start(work, {.timeout = 10s});
  CHECK(second.wait().code() == wisp::StatusCode::kDeadlineExceeded);
  CHECK(first.wait().ok());
  CHECK(stats_of(runtime, "work").cold_starts == 4);
  CHECK(stats_of(runtime, "work").built_ahead == 3);
}

TEST_CASE("keep_alive: one that waits in vain for one built ahead leaves no trace",
          "[keep_alive]") {
  World world{1};
  Counts counts;
  bool broken = false;
  const auto work =
      wisp::function("work", wisp::stateful<Engine>([&]() -> Result<std::unique_ptr<Engine>> {
                       if (broken) {
                         wisp::test::pass(world.clock(), 2min);
                         ++counts.failed;
                         return wisp::unavailable("no fuel");
                       }
                       return std::make_unique<Engine>(counts);
                     }),
                     {.instances = {.max = 1, .predictive = true}});
  wisp::Runtime runtime{wisp::Catalogue().add(work), world.options()};
  for (int n = 0; n < 4; ++n) {
    REQUIRE(runtime.call(work, 0s).ok());
    world.advance(30min - 1s);
  }
  // What was built for the last one is kept for its minute.
  world.advance(32s);
  CHECK(counts.alive == 0);
  broken = true;
  auto cold = runtime.start(work, 0s, {.timeout = 10s});
  world.advance(3min);
  CHECK(cold.wait().code() == wisp::StatusCode::kUnavailable);
  CHECK(counts.failed == 1);
  // Half an hour later another is built ahead, in vain, for a call with little time.
  world.advance(28min + 40s);
  auto waits = runtime.start(work, 0s, {.timeout = 10s});
  world.advance(10s);
  CHECK(waits.wait().code() == wisp::StatusCode::kDeadlineExceeded);
  world.advance(2min);
  CHECK(counts.failed == 2);
  broken = false;
  world.advance(27min + 45s);
  CHECK(counts.alive == 1);
  CHECK(runtime.call(work, 0s).ok());
}

TEST_CASE("keep_alive: a factory that stops the runtime does not wait for itself", "[keep_alive]") {
  World world{1};
  wisp::Runtime* whole = nullptr;
  bool stops = false;
  Duration took = 1h;
  struct Any {
    void operator()() {}
  };
  const auto work = wisp::function("work", wisp::stateful<Any>([&] {
                                     if (stops) {
                                       const Time began = world.clock().now();
                                       (void)whole->stop(10s);
                                       took = world.clock().now() - began;
                                     }
                                     return Any{};
                                   }),
                                   {.instances = {.predictive = true}});
  wisp::Runtime runtime{wisp::Catalogue().add(work), world.options()};
  whole = &runtime;
  for (int n = 0; n < 3; ++n) {
    REQUIRE(runtime.call(work).ok());
    stops = n == 2;
    world.advance(30min);
  }
  CHECK(took == 0s);
  CHECK(runtime.stop(1s).status.ok());
}

TEST_CASE("keep_alive: who waits for one built ahead has it, or another that comes free before",
          "[keep_alive]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    Counts counts;
    Duration building{};
    const auto work = wisp::function("work", wisp::stateful<Engine>([&] {
                                       wisp::test::pass(world.clock(), building);
                                       return std::make_unique<Engine>(counts);
                                     }),
                                     {.instances = {.predictive = true}});
    wisp::Runtime runtime{wisp::Catalogue().add(work), world.options()};
    for (int n = 0; n < 3; ++n) {
      REQUIRE(runtime.call(work, 0s).ok());
      world.advance(30min);
    }
    building = 90s;
    REQUIRE(runtime.call(work, 0s).ok());
    world.advance(30min);
    auto waits = runtime.start(work, 0s);
    world.run_until_idle();
    if (seed % 2 == 0) {
      // Some come at the moment at which it is built.
      const auto newcomer = wisp::function("newcomer", [&](Context& context) {
        (void)context.sleep(60s);
        (void)context.runtime().call(work, 5min);
      });
      REQUIRE(runtime.registry().add(newcomer).ok());
      for (int n = 0; n < 5; ++n) REQUIRE(runtime.post(newcomer).ok());
      world.advance(60s);
      CHECK(waits.ready());
    } else {
      building = 1s;
      REQUIRE(runtime.call(work, 0s).ok());
      world.run_until_idle();
      CHECK(waits.ready());
    }
    CHECK(waits.wait().ok());
    CHECK_FALSE(waits.receipt().cold);
    world.advance(10min);
  });
}
