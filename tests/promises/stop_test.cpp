#include <wisp/sim/world.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Duration;
using wisp::EventId;
using wisp::Status;
using wisp::Time;
using wisp::sim::World;

// A runtime under load, which remembers what it accepted and what it entered.
class StopLoad {
 public:
  explicit StopLoad(World& world) : world_(world), runtime_(world.options()) {
    REQUIRE(runtime_.registry().add(work_).ok());
    subscription_ = runtime_.on("work").deliver({.attempts = 3, .serial = true}).to(work_);
  }

  void publish(int count) {
    for (int n = 0; n < count; ++n) {
      for (const wisp::Result<EventId>& id : {runtime_.post(work_, n), runtime_.emit("work", n)})
        if (id.ok()) accepted_.insert(*id);
      started_.push_back(runtime_.start(work_, n));
      world_.advance(wisp::uniform(world_.random(), 0, 3) * 1ms);
    }
  }

  // After `stopped`: each delivery came well to its end, or is a dead letter, or was named.
  void check(const wisp::Stopped& stopped) {
    std::set<EventId> ends = done_;
    for (const wisp::DeadLetter& letter : runtime_.dead_letters().list())
      CHECK(ends.insert(letter.event->id).second);
    std::size_t queued = 0;
    for (const wisp::Abandoned& each : stopped.abandoned) {
      CHECK(each.function == "work");
      CHECK((each.state == "queued" || each.state == "running"));
      if (each.event.empty()) continue;
      CHECK(ends.insert(each.event).second);
      queued += each.state == "queued" ? 1 : 0;
    }
    CHECK(ends == accepted_);
    CHECK(stopped.status.ok() == stopped.abandoned.empty());
    CHECK(queued <= runtime_.stats().events.cancelled);
    for (wisp::Pending<void>& each : started_) CHECK(each.ready());
    wisp::test::conserved_at_rest(runtime_);
  }

  wisp::Runtime& runtime() { return runtime_; }
  std::set<EventId>& accepted() { return accepted_; }
  std::map<EventId, int>& entered() { return entered_; }

 private:
  Status work(int n, wisp::Context& context) {
    const EventId id = context.event_id();
    if (!id.empty()) ++entered_[id];
    WISP_TRY(context.sleep(wisp::uniform(world_.random(), 0, 20) * 1ms));
    if (n % 5 == 4) return wisp::invalid_argument("never");
    if (wisp::uniform(world_.random(), 0, 3) == 0) return wisp::unavailable("not now");
    if (!id.empty()) done_.insert(id);
    return Status();
  }

  World& world_;
  wisp::Function<void, int> work_ =
      wisp::function("work", [this](int n, wisp::Context& context) { return work(n, context); },
                     {.retry = {.attempts = 3, .first_delay = 30ms}});
  std::set<EventId> accepted_;
  std::set<EventId> done_;
  std::map<EventId, int> entered_;
  std::vector<wisp::Pending<void>> started_;
  wisp::Runtime runtime_;
  std::optional<wisp::Observation> watch_ = wisp::test::watch_some(world_, runtime_);
  wisp::Subscription subscription_;
};

}  // namespace

TEST_CASE("stop: under load, nothing accepted is silently lost", "[stop]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.faults = {.late = 100, .late_max = 10ms, .full = 50}}};
    StopLoad load(world);
    load.publish(8);
    const Duration deadline = seed % 3 == 0 ? 0ms : seed % 3 == 1 ? 20ms : 6h;
    const Time start = world.clock().now();
    const wisp::Stopped stopped = load.runtime().stop(deadline);
    CHECK(world.clock().now() - start <= deadline + 1s);
    if (deadline == 6h) {
      CHECK(stopped.abandoned.empty());
      CHECK(world.clock().now() - start < 1min);  // as soon as all is done
    }
    load.check(stopped);
    // Nobody is let in any more, and nothing begins.
    const std::map<EventId, int> entered = load.entered();
    CHECK(wisp::reason_of(load.runtime().emit("work", 1).status()) == wisp::Reason::stopped);
    world.advance(1h);
    CHECK(load.entered() == entered);
    // A second one has nothing to do.
    const Time later = world.clock().now();
    const wisp::Stopped again = load.runtime().stop(1h);
    CHECK(again.status == stopped.status);
    CHECK(again.abandoned.empty());
    CHECK(world.clock().now() == later);
  });
}

TEST_CASE("stop: what it cancels in the queue has spent no attempt", "[stop]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    std::map<EventId, int> entered;
    auto serial = runtime.on("work").deliver({.serial = true}).to([&](int, wisp::Context& context) {
      ++entered[context.event_id()];
      return context.sleep(10ms);
    });
    std::vector<EventId> accepted;
    for (int n = 0; n < 6; ++n) accepted.push_back(runtime.emit("work", n).value());
    world.advance(wisp::uniform(world.random(), 0, 45) * 1ms);
    const std::size_t begun = entered.size();
    const wisp::Stopped stopped = runtime.stop(0ms);
    // The one that runs gives way; those behind it were never entered, and are named in order.
    CHECK(entered.size() == begun);
    std::vector<EventId> queued;
    for (const wisp::Abandoned& each : stopped.abandoned)
      if (entered.count(each.event) == 0) queued.push_back(each.event);
    std::sort(queued.begin(), queued.end());
    CHECK(queued.size() == accepted.size() - begun);
    CHECK(std::equal(queued.rbegin(), queued.rend(), accepted.rbegin()));
    CHECK(runtime.dead_letters().size() == 0);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("stop: beside another it waits for that one, and in a handler for nobody", "[stop]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    StopLoad load(world);
    const Duration after = wisp::uniform(world.random(), 0, 30) * 1ms;
    Duration in_handler{};
    int stops_in_handler = 0;
    auto stops = load.runtime().on("stop").to([&](int, wisp::Context& context) {
      if (!context.sleep(after).ok()) return;
      const Time start = world.clock().now();
      const wisp::Stopped stopped = context.runtime().stop(1h);
      CHECK(stopped.status.ok() == stopped.abandoned.empty());
      ++stops_in_handler;
      in_handler = world.clock().now() - start;
    });
    load.accepted().insert(load.runtime().emit("stop", 1).value());
    load.publish(4);
    (void)load.runtime().stop(seed % 2 == 0 ? 10ms : 1h);
    CHECK(in_handler == 0ms);
    if (seed % 2 != 0) CHECK(stops_in_handler == 1);
    world.advance(1min);
    wisp::test::conserved_at_rest(load.runtime());
    CHECK(wisp::reason_of(load.runtime().emit("work", 1).status()) == wisp::Reason::stopped);
    CHECK(load.runtime().stop(1h).abandoned.empty());
  });
}

TEST_CASE("stop: verbs of handlers that still run are let in, until it has ended", "[stop]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    int followed = 0;
    auto second = runtime.on("second").to([&followed](int) { ++followed; });
    auto first = runtime.on("first").to([](int n, wisp::Context& context) -> Status {
      WISP_TRY(context.sleep(10ms));
      return context.runtime().emit("second", n).status();
    });
    for (int n = 0; n < 3; ++n) REQUIRE(runtime.emit("first", n).ok());
    world.advance(wisp::uniform(world.random(), 0, 9) * 1ms);
    CHECK(runtime.stop(1h).status.ok());
    CHECK(followed == 3);
    CHECK(runtime.stats().events.done == 6);
  });
}
