// How simulated runs come to an end: at rest, stopped, abandoned.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
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
using wisp::sim::World;
using wisp::test::Seeded;
using wisp::test::test_seeds;

bool conserved(const wisp::EventStats& events) {
  return events.accepted == events.done + events.dead + events.expired + events.cancelled;
}

// Publishers, functions and subscriptions with rules that a seed chose.
class Workload {
 public:
  explicit Workload(int seed)
      : random_(seed),
        world_(static_cast<std::uint64_t>(seed), {.threads_max = pick({1, 2, 5, 64})}),
        runtime_(world_.options({.queue = {.count = pick({3, 1000}), .act = overflow()}})) {
    for (int i = 0; i < 3; ++i) {
      functions_.push_back(wisp::function(
          fmt::format("function{}", i),
          [this](int depth, wisp::Context& context) { return handle(depth, context); },
          {.timeout = pick({0, 80}) * 1ms,
           .retry = {.attempts = pick({1, 3}), .first_delay = pick({1, 1000}) * 1ms},
           .limits = {.concurrency = pick({0, 1, 3})}}));
      REQUIRE(runtime_.registry().add(functions_.back()).ok());
    }
    for (int i = 0; i < 4; ++i) {
      const bool synchronous = pick({0, 0, 0, 1}) == 1;
      subscriptions_.push_back(
          runtime_.on(i == 0 ? ">" : fmt::format("topic{}", i))
              .deliver({.attempts = synchronous ? 1 : pick({1, 4}),
                        .dead_letter = pick({0, 1}) == 0 ? "" : "topic1",
                        .serial = !synchronous && pick({0, 1}) == 1,
                        .synchronous = synchronous,
                        .queue = {.count = pick({2, 1000}), .act = overflow()}})
              .to([this](int depth, wisp::Context& context) { return handle(depth, context); }));
      REQUIRE(subscriptions_.back().status().ok());
    }
  }

  void publish(int count) {
    for (int i = 0; i < count; ++i) {
      something(runtime_, pick({0, 1, 2}));
      if (pick({0, 1}) == 1) world_.advance(pick({0, 1, 40}) * 1ms);
      if (pick({0, 0, 0, 0, 0, 0, 1}) == 1 && !subscriptions_.empty()) subscriptions_.pop_back();
    }
  }

  World& world() { return world_; }
  wisp::Runtime& runtime() { return runtime_; }

 private:
  int pick(std::initializer_list<int> of) { return of.begin()[random_.below(of.size())]; }
  wisp::Overflow overflow() { return static_cast<wisp::Overflow>(random_.below(4)); }

  void something(wisp::Runtime& runtime, int depth) {
    const auto& function = functions_[random_.below(functions_.size())];
    switch (random_.below(4)) {
      case 0:
        return void(runtime.post(function, depth));
      case 1:
        return void(runtime.emit(fmt::format("topic{}", random_.below(4)), depth));
      case 2:
        return void(runtime.start(function, depth));
      default:
        return void(runtime.start(function, depth).wait());
    }
  }

  wisp::Status handle(int depth, wisp::Context& context) {
    if (depth > 0) something(context.runtime(), depth - 1);
    WISP_TRY(context.sleep(pick({0, 1, 100}) * 1ms));
    switch (random_.below(5)) {
      case 0:
        return wisp::unavailable("once more");
      case 1:
        return wisp::invalid_argument("never again");
      default:
        return wisp::Status();
    }
  }

  Seeded random_;
  World world_;
  wisp::Runtime runtime_;
  std::vector<wisp::Function<void, int>> functions_;
  std::vector<wisp::Subscription> subscriptions_;
};

}  // namespace

TEST_CASE("world: whatever was accepted has come to one end once the world is at rest", "[sim]") {
  std::uint64_t done = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t dead = 0;
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Workload workload(seed);
    workload.publish(40);
    workload.world().advance(24h);
    const wisp::RuntimeStats stats = workload.runtime().stats();
    CHECK(conserved(stats.events));
    CHECK(stats.queued == 0);
    done += stats.events.done;
    cancelled += stats.events.cancelled;
    dead += stats.events.dead;
  }
  // The property is no empty one.
  CHECK(done > 0);
  CHECK(dead > 0);
  if (test_seeds() >= 20) CHECK(cancelled > 0);
}

TEST_CASE("world: a stop in the middle of anything ends, and everything is accounted for",
          "[sim]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Workload workload(seed);
    workload.publish(30);
    const Time start = workload.world().clock().now();
    const Duration deadline = seed % 3 == 0 ? 0ms : seed % 3 == 1 ? 50ms : 24h;
    const wisp::Stopped stopped = workload.runtime().stop(deadline);
    CHECK(workload.world().clock().now() - start <= deadline + 2s);
    if (deadline == 24h) CHECK(stopped.abandoned.empty());
    workload.world().advance(1min);  // what was abandoned comes to its end by itself
    CHECK(conserved(workload.runtime().stats().events));
    CHECK_FALSE(workload.runtime().emit("topic1", 1).ok());
  }
}

TEST_CASE("world: stop drains in virtual time", "[sim]") {
  World world{1};
  wisp::Runtime runtime{world.options()};
  auto slow = runtime.on("slow").deliver({.serial = true}).to([](int, wisp::Context& context) {
    return context.sleep(1h);
  });
  for (int i = 0; i < 5; ++i) REQUIRE(runtime.emit("slow", i).ok());
  const Time start = world.clock().now();
  const wisp::Stopped stopped = runtime.stop(24h);
  CHECK(stopped.status.ok());
  CHECK(stopped.abandoned.empty());
  CHECK(runtime.stats().events.done == 5);
  CHECK(world.clock().now() - start == 5h);
}

TEST_CASE("world: what a stop abandons is named, and the world ends with it", "[sim]") {
  bool ended = false;
  {
    World world{1};
    std::optional<wisp::Runtime> runtime{std::in_place, world.options()};
    auto deaf = runtime->on("deaf").to([&world, &ended](int) {
      wisp::Parker parker;
      const Time until = world.clock().now() + 100h;
      while (world.clock().now() < until) world.clock().park(parker, until);
      ended = true;
    });
    REQUIRE(runtime->emit("deaf", 1).ok());
    world.run_until_idle();
    const Time start = world.clock().now();
    const wisp::Stopped stopped = runtime->stop(10s);
    CHECK(stopped.status.code() == StatusCode::kDeadlineExceeded);
    REQUIRE(stopped.abandoned.size() == 1);
    CHECK(stopped.abandoned[0].function == "on deaf");
    CHECK(stopped.abandoned[0].state == "running");
    CHECK(world.clock().now() - start < 20s);
    runtime.reset();
    CHECK_FALSE(ended);
  }
  CHECK(ended);  // the world's own end let it go on
}

TEST_CASE("world: a runtime that nobody stopped, and one after another, end with their scope",
          "[sim]") {
  World world{7};
  for (int i = 0; i < 50; ++i) {
    wisp::Runtime runtime{world.options()};
    auto busy = runtime.every(1s).run([](wisp::Context& context) { return context.sleep(10s); });
    REQUIRE(busy.detach().ok());
    auto left = runtime.on("left").to([](int) {});
    REQUIRE(runtime.emit("left", i).ok());
    world.advance(5s);
    REQUIRE(runtime.emit("left", i).ok());  // nobody lets it run
  }
}

TEST_CASE("world: a runtime of Threads::none is pumped, under the world's clock", "[sim]") {
  World world{1};
  wisp::Runtime runtime{world.options({.threads = wisp::Threads::none})};
  REQUIRE(runtime.status().ok());
  int fired = 0;
  auto soon = runtime.after(10ms).run([&fired] { ++fired; });
  world.advance(1s);
  CHECK(fired == 0);
  runtime.pump();
  CHECK(fired == 1);
}

TEST_CASE("world: its executor keeps an executor's word", "[sim]") {
  World world{1, {.threads_max = 2}};
  wisp::Executor& executor = world.executor();
  CHECK_FALSE(executor.on_executor_thread());
  std::vector<int> ran;
  int inside = 0;
  int most = 0;
  bool substitutes[3] = {};
  for (int i = 0; i < 3; ++i) {
    wisp::Task task(wisp::boxed([&, i] {
      CHECK(executor.on_executor_thread());
      most = std::max(most, ++inside);
      world.yield();
      wisp::Parker parker;
      world.clock().park(parker, world.clock().now() + 1s);
      substitutes[i] = executor.begin_blocking();
      ran.push_back(i);
      --inside;
    }));
    REQUIRE(executor.submit(task).ok());
  }
  CHECK(ran.empty());  // never inside submit
  world.advance(1h);
  CHECK(ran.size() == 3);
  CHECK(most == 2);
  CHECK(ran.back() == 2);  // at the bound it waited for a thread
  CHECK((substitutes[0] ? 1 : 0) + (substitutes[1] ? 1 : 0) + (substitutes[2] ? 1 : 0) >= 1);

  bool looped = false;
  REQUIRE(executor.start_thread("loop", [&] { looped = !executor.on_executor_thread(); }).ok());
  REQUIRE(executor.start_thread("loop", [] {}).ok());
  CHECK(executor.start_thread("loop", [] {}).code() == StatusCode::kUnavailable);
  world.run_until_idle();
  CHECK(looped);
  CHECK(executor.start_thread("loop", [] {}).ok());

  for (int i = 0; i < wisp::sim::kTasksMax; ++i) {
    wisp::Task task([] {});
    REQUIRE(executor.submit(task).ok());
  }
  wisp::Task refused([] {});
  CHECK(executor.submit(refused).code() == StatusCode::kResourceExhausted);
  CHECK(static_cast<bool>(refused));
}

TEST_CASE("world: its end drops what is queued and ends the loops", "[sim]") {
  auto counted = std::make_shared<int>();
  int closed = 0;
  {
    World world{1};
    wisp::Executor& executor = world.executor();
    REQUIRE(executor
                .start_thread("loop",
                              [&world, &executor, &closed] {
                                wisp::Parker parker;
                                world.clock().park(parker, world.clock().now() + 1h);
                                wisp::Task late([] {});
                                closed = executor.submit(late).code() == StatusCode::kUnavailable;
                              })
                .ok());
    world.run_until_idle();
    wisp::Task task([counted] { ++*counted; });
    REQUIRE(executor.submit(task).ok());
    CHECK(counted.use_count() == 2);
  }
  CHECK(counted.use_count() == 1);
  CHECK(*counted == 0);
  CHECK(closed == 1);
}
