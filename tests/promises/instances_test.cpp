#include <wisp/sim/world.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::Duration;
using wisp::Result;
using wisp::Status;
using wisp::StatusCode;
using wisp::sim::World;

// What all instances of a world have done.
struct Plant {
  explicit Plant(std::uint64_t seed) : world(seed) {}

  int any(int low, int high) { return static_cast<int>(wisp::uniform(world.random(), low, high)); }

  World world;
  int built = 0;
  int failed = 0;  // factories
  int alive = 0;
  int alive_most = 0;
  int calls = 0;
  bool working = false;  // the first call is over
};

class Machine {
 public:
  explicit Machine(Plant& plant) : plant_(plant) {
    ++plant_.built;
    plant_.alive_most = std::max(plant_.alive_most, ++plant_.alive);
  }
  ~Machine() {
    CHECK_FALSE(inside_);
    --plant_.alive;
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  Status operator()(int, Context& context) {
    CHECK_FALSE(inside_);
    inside_ = true;
    ++plant_.calls;
    if (plant_.any(0, 2) != 0) (void)context.sleep(plant_.any(0, 20) * 1ms);
    else plant_.world.yield();
    CHECK(inside_);
    inside_ = false;
    const int how = plant_.any(0, 9);
    if (how == 0) throw std::runtime_error("broken");
    if (how == 1) return wisp::unavailable("once more");
    return Status();
  }

 private:
  Plant& plant_;
  bool inside_ = false;
};

auto machines(Plant& plant, wisp::FunctionOptions options, bool fail = true) {
  return wisp::function(
      "work", wisp::stateful<Machine>([&plant, fail]() -> Result<std::unique_ptr<Machine>> {
        if (plant.working && plant.any(0, 2) == 0)
          wisp::test::pass(plant.world.clock(), plant.any(1, 30) * 1ms);
        if (fail && plant.working && plant.any(0, 4) == 0) {
          ++plant.failed;
          if (plant.any(0, 1) == 0) throw std::runtime_error("no parts");
          return wisp::unavailable("no parts");
        }
        return std::make_unique<Machine>(plant);
      }),
      options);
}

}  // namespace

TEST_CASE("instances: entered one by one on every path, built as receipts say, and gone in the end",
          "[instances]") {
  int overlaps = 0;
  wisp::test::for_each_seed([&](std::uint64_t seed) {
    Plant plant(seed);
    const int provisioned = plant.any(0, 2);
    const int max = plant.any(0, 1) * 3;
    int cold = 0;
    {
      wisp::Runtime runtime{plant.world.options()};
      const auto watch = wisp::test::watch_some(plant.world, runtime);
      const auto work = machines(
          plant, {.retry = {.attempts = 3},
                  .instances = {
                      .provisioned = provisioned, .max = max, .predictive = plant.any(0, 1) == 1}});
      REQUIRE(runtime.registry().add(work).ok());
      CHECK(plant.built == provisioned);
      plant.working = true;
      auto queued = runtime.on("queued").to(work);
      auto here = runtime.on("here").deliver({.synchronous = true}).to(work);
      const auto caller = wisp::function("caller", [&](int n, Context& context) {
        (void)context.sleep(plant.any(0, 20) * 1ms);
        wisp::Runtime& own = context.runtime();
        const wisp::CallOptions options{.timeout = plant.any(0, 2) * 20ms};
        auto pending = own.start(work, n, options);
        switch (plant.any(0, 4)) {
          case 0:
            (void)own.call(work, n).ok();
            break;
          case 1:
            (void)own.post(work, n).ok();
            break;
          case 2:
            (void)own.emit("queued", n).ok();
            break;
          case 3:
            (void)own.emit("here", n).ok();
            break;
          default:
            pending.cancel();
        }
        (void)pending.wait().ok();
        // What takes longest to build is late for its call and still is what was built for it.
        if (pending.receipt().cold && pending.receipt().init > 0s) ++cold;
        CHECK((max == 0 || plant.alive <= max));
      });
      REQUIRE(runtime.registry().add(caller).ok());
      for (int n = 0; n < 8; ++n) REQUIRE(runtime.post(caller, n).ok());
      plant.world.advance(1min);
      wisp::test::conserved_at_rest(runtime);
      overlaps += plant.alive_most > 1 ? 1 : 0;
      CHECK((max == 0 || plant.alive_most <= max));
      std::uint64_t cold_starts = 0;
      for (const wisp::FunctionStats& each : runtime.stats().functions)
        if (each.name == "work") cold_starts = each.cold_starts + each.built_ahead;
      CHECK(cold_starts == static_cast<std::uint64_t>(plant.built - provisioned + plant.failed));
      CHECK(cold <= static_cast<int>(cold_starts));
      plant.world.advance(11min);
      CHECK(plant.alive <= provisioned);
      if (plant.any(0, 1) == 0) {  // stop in mid-flight
        for (int n = 0; n < 4; ++n) REQUIRE(runtime.post(caller, n).ok());
        plant.world.advance(5ms);
      }
      runtime.stop(plant.any(0, 2) * 5ms);
    }
    CHECK(plant.alive == 0);
  });
  if (wisp::test::many_seeds()) CHECK(overlaps > 0);
}

TEST_CASE("instances: every cold start is on one receipt", "[instances]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    Plant plant(seed);
    wisp::Runtime runtime{plant.world.options()};
    const auto watch = wisp::test::watch_some(plant.world, runtime);
    plant.working = true;
    const auto work = machines(plant, {}, false);
    REQUIRE(runtime.registry().add(work).ok());
    std::vector<wisp::Pending<void>> pending;
    for (int n = 0; n < 10; ++n) {
      pending.push_back(runtime.start(work, n));
      plant.world.advance(plant.any(0, 10) * 1ms);
    }
    plant.world.advance(1min);
    int cold = 0;
    for (wisp::Pending<void>& each : pending) {
      REQUIRE(each.ready());
      CHECK(each.receipt().init <= each.receipt().wall);
      if (each.receipt().cold) ++cold;
      else CHECK(each.receipt().init == 0s);
    }
    CHECK(cold == plant.built);
    CHECK(plant.calls == 10);
  });
}

TEST_CASE("instances: idle ones are destroyed within a keep_alive, provisioned ones never",
          "[instances]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    Plant plant(seed);
    const int provisioned = plant.any(0, 2);
    wisp::Runtime runtime{plant.world.options()};
    const auto watch = wisp::test::watch_some(plant.world, runtime);
    const auto work =
        machines(plant, {.instances = {.provisioned = provisioned, .keep_alive = 1min}}, false);
    REQUIRE(runtime.registry().add(work).ok());
    const int first = plant.built;
    CHECK(first == provisioned);
    plant.working = true;
    for (int round = 0; round < 3; ++round) {
      const int burst = plant.any(1, 6);
      for (int n = 0; n < burst; ++n) (void)runtime.start(work, n);
      plant.world.advance(1s);
      const int warm = plant.alive;
      plant.world.advance(58s);
      CHECK(plant.alive == warm);
      plant.world.advance(3s);
      CHECK(plant.alive == std::min(warm, provisioned));
    }
  });
}

namespace {

// Takes its time to go.
class Slow {
 public:
  Slow(World& world, int& alive) : world_(world), alive_(alive) { ++alive_; }
  ~Slow() {
    wisp::test::pass(world_.clock(), 2s);
    --alive_;
  }
  Slow(const Slow&) = delete;
  Slow& operator=(const Slow&) = delete;
  void operator()(Context& context) { (void)context.sleep(10ms); }

 private:
  World& world_;
  int& alive_;
};

auto slow(World& world, int& alive) {
  return wisp::function("work",
                        wisp::stateful<Slow>([&] { return std::make_unique<Slow>(world, alive); }),
                        {.instances = {.keep_alive = 1min}});
}

}  // namespace

TEST_CASE("instances: what takes long to be destroyed holds up no timer, and stop() waits for it",
          "[instances]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    int alive = 0;
    {
      const auto work = slow(world, alive);
      wisp::Runtime runtime{wisp::Catalogue().add(work), world.options()};
      const auto watch = wisp::test::watch_some(world, runtime);
      int ticks = 0;
      const auto tick = runtime.every(1s).run([&ticks] { ++ticks; });
      const auto burst = [&] {
        for (int n = 0; n < 8; ++n) (void)runtime.start(work);
        world.advance(1min);
        CHECK(alive == 8);
        world.advance(10s);
        CHECK(alive > 0);
        CHECK(alive < 8);
      };
      burst();
      CHECK(ticks == 70);
      world.advance(10s);
      CHECK(alive == 0);
      CHECK(ticks == 80);
      burst();
      const bool patient = seed % 2 == 0;
      const wisp::Stopped stopped = runtime.stop(patient ? 1min : 2s);
      if (patient) {
        CHECK(stopped.status.ok());
        CHECK(alive == 0);
      } else {
        REQUIRE(stopped.abandoned.size() == 1);
        CHECK(stopped.abandoned.front().function == "work");
        CHECK(stopped.abandoned.front().state == "destroying an instance");
        CHECK(alive > 0);
      }
    }
    world.advance(1min);
    CHECK(alive == 0);
  });
}

TEST_CASE("instances: a destructor that stops the runtime does not wait for itself",
          "[instances]") {
  World world{1};
  wisp::Runtime* whole = nullptr;
  Duration took = 1h;
  struct Last {
    std::function<void()> end;
    ~Last() { end(); }
    Last(std::function<void()> e) : end(std::move(e)) {}
    Last(const Last&) = delete;
    Last& operator=(const Last&) = delete;
    void operator()() {}
  };
  const auto stop = [&] {
    const wisp::Time began = world.clock().now();
    (void)whole->stop(10s);
    took = world.clock().now() - began;
  };
  const auto work =
      wisp::function("work", wisp::stateful<Last>([&stop] { return std::make_unique<Last>(stop); }),
                     {.instances = {.keep_alive = 1min}});
  wisp::Runtime runtime{wisp::Catalogue().add(work), world.options()};
  whole = &runtime;
  REQUIRE(runtime.call(work).ok());
  world.advance(2min);
  CHECK(took == 0s);
  CHECK(runtime.stop(1s).status.ok());
}
