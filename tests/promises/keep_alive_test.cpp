#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <wisp/base/park.hpp>
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

void pass(wisp::Clock& clock, Duration d) {
  wisp::Parker parker;
  const Time until = clock.now() + d;
  while (clock.now() < until) clock.park(parker, until);
}

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
bool kept(const std::vector<int>& idle, int minute) {
  if (minute == 0) return true;
  if (idle.size() < 2) return minute < 10;
  const auto lasted =
      std::count_if(idle.begin(), idle.end(), [minute](int each) { return each >= minute; });
  const auto ended = std::count(idle.begin(), idle.end(), minute);
  return minute <= 240 && ended > 0 &&
         static_cast<double>(ended) >= 0.015 * static_cast<double>(lasted);
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
        world.advance(1min);
        const bool expected = kept(idle, minute);
        if (counts.alive != static_cast<int>(expected)) FAIL_CHECK("minute " << minute);
        if (expected && !kept(idle, minute - 1)) ++ahead;
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
                           pass(world.clock(), any(0, 60) * 1s);
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
      world.faults({.late = 200, .late_max = 1min});
      const int period = any(2, 40);
      std::vector<wisp::Pending<void>> pending;
      for (int n = 0; n < 30; ++n) {
        met += building > 0 ? 1 : 0;
        for (int i = any(1, 3); i > 0; --i)
          pending.push_back(runtime.start(work, any(0, 2) * 100ms, {.timeout = any(0, 1) * 20s}));
        world.advance(period * 1min + any(-20, 20) * 1s);
      }
      CHECK((max == 0 || counts.alive_most <= max));
      for (const wisp::Pending<void>& each : pending) CHECK(each.ready());
      const wisp::FunctionStats stats = stats_of(runtime, "work");
      CHECK(stats.cold_starts + stats.built_ahead ==
            static_cast<std::uint64_t>(counts.built + counts.failed + building));
      ahead += static_cast<int>(stats.built_ahead);
      const wisp::Stopped stopped = runtime.stop(any(0, 1) * 2min);
      if (stopped.status.ok()) CHECK(building == 0);
      for (const wisp::Abandoned& each : stopped.abandoned) CHECK(each.function == "work");
    }
    world.faults({});
    world.advance(5min);
    CHECK(counts.alive == 0);
  });
  if (wisp::test::only_seed() == 0) CHECK(ahead > 0);
  if (wisp::test::test_seeds() >= 20 && wisp::test::only_seed() == 0) CHECK(met > 0);
}
