#include <wisp/sim/world.hpp>

#include <map>
#include <set>
#include <vector>

#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::EventId;
using wisp::sim::World;

constexpr wisp::sim::Faults kManyFaults{.slow = 80,
                                        .slow_max = 50ms,
                                        .throws = 80,
                                        .hangs = 30,
                                        .hang_max = 2s,
                                        .ignores = 30,
                                        .ignore_max = 500ms,
                                        .late = 80,
                                        .late_max = 50ms,
                                        .full = 30,
                                        .wall_jumps = 50};

// Posts and events of every kind of queue, which look at the counts wherever they are.
class Busy {
 public:
  Busy(World& world, wisp::Runtime& runtime) : world_(world), runtime_(runtime) {
    using wisp::Overflow;
    REQUIRE(runtime.registry().add(posted_).ok());
    REQUIRE(runtime.registry().add(few_).ok());
    for (const Overflow act :
         {Overflow::reject, Overflow::block, Overflow::drop_oldest, Overflow::drop_newest}) {
      subscriptions_.push_back(runtime.on(act == Overflow::reject ? ">" : "work.*")
                                   .deliver({.attempts = 2,
                                             .dead_letter = act == Overflow::block ? "dead" : "",
                                             .serial = act == Overflow::drop_newest,
                                             .queue = {.count = 2, .act = act}})
                                   .to([this](int n, wisp::Context& c) { return work(n, c); }));
    }
    subscriptions_.push_back(runtime.on("work.>").to([](const std::string&) {}));  // a mismatch
    subscriptions_.push_back(
        runtime.on("work.>").deliver({.synchronous = true}).to([this](int n, wisp::Context& c) {
          return n % 7 == 0 ? work(n, c) : wisp::Status();
        }));
  }

  void publish(int count) {
    for (int n = 1; n <= count; ++n) {
      (void)runtime_.emit("work.new", n);
      (void)runtime_.post(posted_, n);
      (void)runtime_.post(few_, n);
      wisp::test::conserved(runtime_);
      if (n == count / 2) subscriptions_.erase(subscriptions_.begin());
      world_.advance(wisp::uniform(world_.random(), 0, 10) * 1ms);
    }
  }

 private:
  wisp::Status work(int n, wisp::Context& context) {
    wisp::test::conserved(runtime_);
    WISP_TRY(context.sleep(wisp::uniform(world_.random(), 0, 20) * 1ms));
    wisp::test::conserved(runtime_);
    if (n % 5 == 0) return wisp::invalid_argument("never");
    if (wisp::uniform(world_.random(), 0, 2) == 0) return wisp::unavailable("not now");
    return wisp::Status();
  }

  World& world_;
  wisp::Runtime& runtime_;
  wisp::Function<void, int> posted_ =
      wisp::function("posted", [this](int n, wisp::Context& context) { return work(n, context); });
  wisp::Function<void, int> few_ =
      wisp::function("few", [this](int n, wisp::Context& context) { return work(n, context); },
                     {.timeout = 30ms, .retry = {.attempts = 2}, .limits = {.concurrency = 2}});
  std::vector<wisp::Subscription> subscriptions_;
};

}  // namespace

TEST_CASE("conservation: whatever goes wrong, each delivery comes to one end", "[conservation]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.threads_max = seed % 2 == 0 ? 3 : 64, .faults = kManyFaults}};
    wisp::Runtime runtime{world.options({.queue = {.count = 5}})};
    const auto watch = wisp::test::watch_some(world, runtime);
    Busy busy(world, runtime);
    busy.publish(8);
    // And once nothing goes wrong any more, everything comes to rest.
    world.faults({});
    world.advance(7h);
    wisp::test::conserved_at_rest(runtime);
    const wisp::RuntimeStats stats = runtime.stats();
    CHECK(stats.queued == 0);
    CHECK(stats.events.accepted >= 16);
  });
}

TEST_CASE("conservation: a stop in mid-flight, and a runtime after it, lose nothing",
          "[conservation]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.faults = kManyFaults}};
    for (int run = 0; run < 2; ++run) {
      wisp::Runtime runtime{world.options({.queue = {.count = 5}})};
      const auto watch = wisp::test::watch_some(world, runtime);
      Busy busy(world, runtime);
      busy.publish(4);
      (void)runtime.stop(wisp::uniform(world.random(), 0, 30) * 1ms);
      wisp::test::conserved(runtime);
      world.advance(1min);  // what ignores its cancellation comes to its end by itself
      wisp::test::conserved_at_rest(runtime);
      CHECK_FALSE(runtime.emit("work.new", 1).ok());
    }
  });
}

TEST_CASE("conservation: what ended well is not tried again, and nothing ends twice",
          "[conservation]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.faults = {.slow = 200, .hangs = 100, .late = 200, .full = 100}}};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    std::map<EventId, int> well;
    std::set<EventId> accepted;
    const auto handle = [&](int n, wisp::Context& context) -> wisp::Status {
      CHECK(well[context.event_id()] == 0);
      WISP_TRY(context.sleep(wisp::uniform(world.random(), 0, 3) * 1ms));
      if (n % 4 == 0) return wisp::invalid_argument("never");
      if (wisp::uniform(world.random(), 0, 2) == 0) return wisp::unavailable("not now");
      ++well[context.event_id()];
      return wisp::Status();
    };
    const auto work = wisp::function("work", handle, {.limits = {.concurrency = 3}});
    REQUIRE(runtime.registry().add(work).ok());
    auto subscription = runtime.on("work").to(handle);
    for (int n = 0; n < 12; ++n) {
      accepted.insert(runtime.post(work, n).value());
      accepted.insert(runtime.emit("work", n).value());
    }
    world.advance(1h);
    std::set<EventId> ends;
    for (const auto& [id, times] : well)
      if (times > 0) ends.insert(id);
    const std::size_t done = ends.size();
    for (const wisp::DeadLetter& letter : runtime.dead_letters().list())
      CHECK(ends.insert(letter.event->id).second);
    CHECK(accepted == ends);
    CHECK(runtime.stats().events.done == done);
    wisp::test::conserved_at_rest(runtime);
  });
}
