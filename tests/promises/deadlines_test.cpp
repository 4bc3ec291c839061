#include <wisp/sim/world.hpp>

#include <algorithm>
#include <optional>
#include <vector>

#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Duration;
using wisp::Status;
using wisp::StatusCode;
using wisp::Time;
using wisp::sim::World;

constexpr wisp::sim::Faults kDelays{.slow = 100, .slow_max = 20ms, .late = 100, .late_max = 20ms};

// Functions that call and start each other to some depth, each with a timeout that the seed chose.
struct Chain {
  World world;
  wisp::Runtime runtime;
  std::optional<wisp::Observation> watch = wisp::test::watch_some(world, runtime);
  std::vector<wisp::Function<void, int>> functions;
  Time latest;  // that a handler gave way

  explicit Chain(std::uint64_t seed, const wisp::sim::Faults& faults)
      : world(seed, {.faults = faults}), runtime(world.options()) {
    for (const Duration timeout : {Duration(), Duration(40ms), Duration(15ms)}) {
      functions.push_back(wisp::function(
          timeout == Duration() ? "free"
          : timeout == 40ms     ? "long"
                                : "short",
          [this, timeout](int depth, wisp::Context& context) {
            return run(timeout, depth, context);
          },
          {.timeout = timeout, .pool_only = wisp::uniform(world.random(), 0, 1) == 0}));
      REQUIRE(runtime.registry().add(functions.back()).ok());
    }
  }

  const wisp::Function<void, int>& some() {
    return functions[static_cast<std::size_t>(wisp::uniform(world.random(), 0, 2))];
  }

  Status run(Duration timeout, int depth, wisp::Context& context) {
    const Time now = world.clock().now();
    if (timeout != Duration()) CHECK(context.deadline().at() <= now + timeout);
    for (const Time parent : deadlines_) CHECK(context.deadline().at() <= parent);
    if (depth == 0) {
      const Status slept = context.sleep(wisp::uniform(world.random(), 0, 30) * 1ms);
      if (!slept.ok()) CHECK(context.cancelled());
      latest = world.clock().now();
      return slept;
    }
    // Those of one chain only: its links follow each other.
    deadlines_.push_back(context.deadline().at());
    Status ended;
    // A call's own timeout makes no more time.
    const Duration own = wisp::uniform(world.random(), 0, 1) * 1h;
    if (wisp::uniform(world.random(), 0, 1) == 0) {
      ended = context.runtime().call(some(), depth - 1, {.timeout = own});
    } else {
      ended = context.runtime().start(some(), depth - 1, {.timeout = own}).wait();
    }
    deadlines_.pop_back();
    return ended;
  }

 private:
  std::vector<Time> deadlines_;
};

}  // namespace

TEST_CASE("deadlines: a child's is no later than its parent's, through call and start",
          "[deadlines]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    Chain chain(seed, kDelays);
    for (int i = 0; i < 4; ++i) {
      const Duration own = wisp::uniform(chain.world.random(), 0, 1) == 0 ? 0ms : 25ms;
      const Time start = chain.world.clock().now();
      const Status ended = chain.runtime.call(chain.some(), 3, {.timeout = own});
      if (own != Duration() && ended.ok()) CHECK(chain.world.clock().now() - start <= own);
      const Status started = chain.runtime.start(chain.some(), 2, {.timeout = own}).wait();
      for (const Status& each : {ended, started})
        CHECK((each.ok() || each.code() == StatusCode::kDeadlineExceeded));
    }
  });
}

TEST_CASE("deadlines: a handler gives way at its deadline to the nanosecond, by whatever verb",
          "[deadlines]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    const Duration timeout = wisp::uniform(world.random(), 1, 1'000'000) * 1us;
    std::vector<Duration> took;
    const auto late = wisp::function("late",
                                     [&](wisp::Context& context) {
                                       const Time start = world.clock().now();
                                       CHECK(context.remaining() == timeout);
                                       CHECK(context.deadline().at() == start + timeout);
                                       const Status slept = context.sleep(1h);
                                       took.push_back(world.clock().now() - start);
                                       CHECK(context.cancelled());
                                       return slept;
                                     },
                                     {.timeout = timeout});
    REQUIRE(runtime.registry().add(late).ok());
    auto queued = runtime.on("late").deliver({.attempts = 1}).to(late);
    auto here = runtime.on("here").deliver({.synchronous = true}).to(late);
    auto timer = runtime.after(5ms).run(late);
    auto outer = runtime.on("outer").deliver({.attempts = 1}).to([&](int, wisp::Context& context) {
      return context.runtime().call(late);
    });
    CHECK(runtime.call(late).code() == StatusCode::kDeadlineExceeded);
    auto pending = runtime.start(late);
    REQUIRE(runtime.post(late).ok());
    for (const char* topic : {"late", "here", "outer"}) REQUIRE(runtime.emit(topic, 1).ok());
    world.advance(1h);
    CHECK(pending.wait().code() == StatusCode::kDeadlineExceeded);
    // A post and a firing have five attempts.
    CHECK(took.size() == 15);
    CHECK(std::all_of(took.begin(), took.end(), [&](Duration d) { return d == timeout; }));
    CHECK(runtime.stats().events.dead == 5);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("deadlines: cancellation reaches what a call has called, at once", "[deadlines]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.faults = {.late = 200, .late_max = 5ms}}};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    Time gave_way;
    int inside = 0;
    const auto leaf = wisp::function("leaf", [&](wisp::Context& context) {
      ++inside;
      const std::stop_token token = context.stop_token();
      const Status slept = context.sleep(1h);
      gave_way = world.clock().now();
      CHECK(context.cancelled());
      CHECK(token.stop_requested());
      return slept;
    });
    const auto middle = wisp::function(
        "middle", [&](wisp::Context& context) { return context.runtime().call(leaf); },
        {.timeout = 30min});
    const auto root = wisp::function(
        "root", [&](wisp::Context& context) { return context.runtime().call(middle); },
        {.retry = {.attempts = 3}, .pool_only = true});
    for (const auto& each : {leaf, middle, root}) REQUIRE(runtime.registry().add(each).ok());
    auto pending = runtime.start(root);
    REQUIRE(world.run_until([&] { return inside == 1; }, 1min));
    world.advance(wisp::uniform(world.random(), 0, 100) * 1ms);
    const Time cancelled = world.clock().now();
    pending.cancel();
    world.run_until_idle();
    CHECK(gave_way == cancelled);
    CHECK(pending.ready());
    CHECK(pending.wait().code() == StatusCode::kCancelled);
    CHECK(inside == 1);  // no attempt follows
    // One that waits in the queue never begins.
    world.faults({.late = 1000});
    auto queued = runtime.start(root);
    queued.cancel();
    CHECK(queued.ready());
    CHECK(queued.wait().code() == StatusCode::kCancelled);
    world.advance(1min);
    CHECK(inside == 1);
  });
}

TEST_CASE("deadlines: a synchronous delivery has its publisher's, and is cancelled with it",
          "[deadlines]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    const Duration timeout = wisp::uniform(world.random(), 1, 1000) * 1ms;
    int entered = 0;
    Time deadline;
    Time gave_way;
    const auto handle = [&](int, wisp::Context& context) {
      ++entered;
      CHECK(context.deadline().at() == deadline);
      const Status slept = context.sleep(1h);
      gave_way = world.clock().now();
      return slept;
    };
    // By both ways that a publish can take.
    auto plain = runtime.on("plain").deliver({.synchronous = true}).to(handle);
    auto asked = runtime.on("asked").where([](const int&) { return true; });
    auto other = std::move(asked).deliver({.synchronous = true}).to(handle);
    for (const char* topic : {"plain", "asked"}) {
      const auto publish = wisp::function(std::string("publish.") + topic,
                                          [&, topic](wisp::Context& context) {
                                            deadline = context.deadline().at();
                                            return context.runtime().emit(topic, 1).status();
                                          },
                                          {.timeout = timeout});
      REQUIRE(runtime.registry().add(publish).ok());
      const Time start = world.clock().now();
      CHECK(runtime.call(publish).code() == StatusCode::kDeadlineExceeded);
      CHECK(gave_way - start == timeout);
      auto pending = runtime.start(publish);
      const int before = entered;
      REQUIRE(world.run_until([&] { return entered > before; }, 1min));
      const Time cancelled = world.clock().now();
      pending.cancel();
      world.run_until_idle();
      CHECK(gave_way == cancelled);
    }
    CHECK(entered == 4);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("deadlines: a full queue blocks a publisher no longer than its own deadline",
          "[deadlines]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    auto slow = runtime.on("slow")
                    .deliver({.serial = true, .queue = {.count = 1, .act = wisp::Overflow::block}})
                    .to([](int, wisp::Context& context) { return context.sleep(10min); });
    REQUIRE(runtime.emit("slow", 0).ok());
    world.run_until_idle();
    REQUIRE(runtime.emit("slow", 1).ok());
    const Duration timeout = wisp::uniform(world.random(), 1, 60'000) * 1ms;
    const Time start = world.clock().now();
    const Status refused = runtime.emit("slow", 2, {.timeout = timeout}).status();
    CHECK(wisp::reason_of(refused) == wisp::Reason::full);
    CHECK(world.clock().now() - start == std::min<Duration>(timeout, wisp::kBlockMax));
  });
}
