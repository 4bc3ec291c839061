// What a world reports when it cannot go on.
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <wisp/base/park.hpp>
#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "catch.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Time;
using wisp::sim::World;

}  // namespace

// Each ends its process; "a world that cannot go on says why" runs them in processes of their own.

TEST_CASE("dies: deadlock", "[.dies]") {
  World world{4711};
  wisp::Runtime runtime{world.options()};
  const auto stuck = wisp::function("stuck", [&world] {
    wisp::Parker parker;
    while (true) world.clock().park(parker, Time::never());
  });
  REQUIRE(runtime.registry().add(stuck).ok());
  auto pending = runtime.start(stuck);
  world.advance(30h);  // that it waits is no deadlock yet: the main thread could wake it
  pending.wait();
}

TEST_CASE("dies: livelock", "[.dies]") {
  World world{4712, {.steps_max = 1000}};
  wisp::Runtime runtime{world.options()};
  const auto loop = wisp::function("again", [](int n, wisp::Context& context) {
    return context.runtime().post(wisp::named<void(int)>("again"), n).status();
  });
  REQUIRE(runtime.registry().add(loop).ok());
  REQUIRE(runtime.post(loop, 1).ok());
  world.advance(1s);
}

TEST_CASE("dies: endless wait", "[.dies]") {
  World world{4713, {.steps_max = 1000}};
  wisp::Runtime runtime{world.options()};
  auto deaf = runtime.on("deaf").to([&world](int) {
    wisp::Parker parker;
    while (true) world.clock().park(parker, world.clock().now() + 1min);
  });
  REQUIRE(runtime.emit("deaf", 1).ok());
  world.run_until_idle();
  deaf.cancel();
}

TEST_CASE("dies: foreign thread", "[.dies]") {
  World world{4714};
  std::thread([&world] {
    wisp::Parker parker;
    world.clock().park(parker, Time::never());
  }).join();
}

TEST_CASE("dies: advance in a handler", "[.dies]") {
  World world{4715};
  wisp::Runtime runtime{world.options()};
  auto moves = runtime.on("move").to([&world](int) { world.advance(1s); });
  REQUIRE(runtime.emit("move", 1).ok());
  world.run_until_idle();
}

TEST_CASE("dies: no threads", "[.dies]") { World world{4717, {.threads_max = 0}}; }

TEST_CASE("dies: a log of less than nothing", "[.dies]") { World world{4718, {.log_max = -1}}; }

TEST_CASE("dies: slow for no time", "[.dies]") {
  World world{4719, {.faults = {.slow = 100, .slow_max = 0s}}};
}

TEST_CASE("dies: later faults", "[.dies]") {
  World world{4720};
  world.faults({.hangs = 1001});
}

TEST_CASE("leaves a thread behind", "[.dies]") {
  World world{4716};
  wisp::Runtime runtime{world.options()};
  auto stuck = runtime.on("stuck").to([&world](int) {
    wisp::Parker parker;
    while (true) world.clock().park(parker, Time::never());
  });
  REQUIRE(runtime.emit("stuck", 1).ok());
  world.run_until_idle();
  CHECK(runtime.stop(1s).abandoned.size() == 1);
}

namespace {

struct Ended {
  bool well = false;
  std::string output;
};

// What the test case of that name does, in a process of its own.
Ended in_child(const std::string& name) {
  std::array<char, 4096> path{};
  const ssize_t size = readlink("/proc/self/exe", path.data(), path.size() - 1);
  REQUIRE(size > 0);
  const std::string command = fmt::format("'{}' '{}' 2>&1", path.data(), name);
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  Ended ended;
  std::array<char, 512> part{};
  while (std::fgets(part.data(), part.size(), pipe) != nullptr) ended.output += part.data();
  ended.well = pclose(pipe) == 0;
  return ended;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("world: a world that cannot go on says why, with its seed, and aborts", "[sim]") {
  struct Case {
    std::string name;
    std::vector<std::string> says;
  };
  const std::vector<Case> cases = {
      {"dies: deadlock",
       {"seed 4711", "1d 06:00:00.000", "deadlock: nobody can run and nothing is due",
        "the main thread has been waiting", "in 'stuck', has been waiting since 0d 00:00:00.000",
        "without a limit"}},
      {"dies: livelock", {"seed 4712", "1000 steps without time passing", "advances time"}},
      {"dies: endless wait", {"seed 4713", "1000 steps did not bring", "in 'on deaf'"}},
      {"dies: foreign thread", {"seed 4714", "neither the world's main thread"}},
      {"dies: advance in a handler", {"seed 4715", "advance() was called from a handler"}},
      {"dies: no threads", {"seed 4717", "WorldOptions::threads_max is 0, it must be 1 or more"}},
      {"dies: a log of less than nothing", {"seed 4718", "WorldOptions::log_max is -1"}},
      {"dies: slow for no time",
       {"seed 4719", "Faults::slow_max is 0 ns, it must be 1 ns or more"}},
      {"dies: later faults", {"seed 4720", "Faults::hangs is 1001, it must be 0 to 1000"}},
  };
  for (const Case& each : cases) {
    const Ended ended = in_child(each.name);
    INFO(ended.output);
    CHECK_FALSE(ended.well);
    CHECK(contains(ended.output, "SIGABRT"));
    for (const std::string& text : each.says) {
      INFO(text);
      CHECK(contains(ended.output, text));
    }
  }
}

TEST_CASE("world: a handler that never ends is left behind, and the process goes on", "[sim]") {
  const Ended ended = in_child("leaves a thread behind");
  INFO(ended.output);
  CHECK(ended.well);
  CHECK(contains(ended.output, "seed 4716"));
  CHECK(contains(ended.output, "some threads never end, and are left behind"));
  CHECK(contains(ended.output, "in 'on stuck'"));
}

TEST_CASE("world: one that gets on takes more steps than it may without", "[sim]") {
  World world{1, {.steps_max = 100}};
  wisp::Runtime runtime{world.options()};
  int fired = 0;
  const auto tick = wisp::function("tick", [&fired] { ++fired; }, {.pool_only = true});
  REQUIRE(runtime.registry().add(tick).ok());
  {
    auto every_second = runtime.every(1s).run(tick);
    world.advance(1h);
    CHECK(fired == 3600);
  }
  for (int i = 0; i < 400; ++i) CHECK(runtime.start(tick).wait().ok());
  CHECK(fired == 4000);
}
