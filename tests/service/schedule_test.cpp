#include <wisp/service/schedule.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"

namespace {

using namespace wisp::literals;
using wisp::StatusCode;

struct PumpedSchedule {
  // Moves time in steps of `step` and pumps after each.
  void pass(wisp::Duration d, wisp::Duration step) {
    for (wisp::Duration gone{}; gone < d; gone += step) {
      clock.advance(step);
      while (runtime.pump().left > 0) {
      }
    }
  }

  wisp::ManualClock clock;
  wisp::Runtime runtime{{.threads = wisp::Threads::none, .clock = &clock}};
};

}  // namespace

TEST_CASE("schedule: every keeps to its grid", "[schedule]") {
  PumpedSchedule p;
  std::vector<wisp::Duration> at;
  const wisp::Time start = p.clock.now();
  auto tick = p.runtime.every(1s).run([&] { at.push_back(p.clock.now() - start); });
  REQUIRE(tick.status().ok());
  CHECK(*tick.next() == start + 1s);
  p.pass(3s, 100ms);
  CHECK(at == std::vector<wisp::Duration>{1s, 2s, 3s});
  // Of several missed firings one is made up for, and the grid stays where it was.
  p.pass(4500ms, 4500ms);
  CHECK(at.back() == 7500ms);
  CHECK(at.size() == 4);
  CHECK(*tick.next() == start + 8s);
  p.pass(500ms, 500ms);
  CHECK(at.back() == 8s);
}

TEST_CASE("schedule: after and at fire once", "[schedule]") {
  PumpedSchedule p;
  int after = 0;
  int at = 0;
  int past = 0;
  auto soon = p.runtime.after(200ms).run([&after] { ++after; });
  auto then = p.runtime.at(p.clock.wall() + 1h).run([&at] { ++at; });
  auto gone = p.runtime.at(p.clock.wall() - 1h).run([&past] { ++past; });
  p.pass(199ms, 1ms);
  CHECK(after == 0);
  CHECK(past == 1);
  p.pass(1ms, 1ms);
  CHECK(after == 1);
  CHECK_FALSE(soon.next());
  // People mean the wall clock: when it goes back, the moment comes later.
  p.clock.jump_wall(-30min);
  p.pass(1h, 1min);
  CHECK(at == 0);
  p.pass(30min, 1min);
  CHECK(at == 1);
  p.pass(3h, 1h);
  CHECK(after == 1);
  CHECK(at == 1);
  // When it goes forward, or the machine has slept, it comes with the next look at it.
  auto early = p.runtime.at(p.clock.wall() + 8h).run([&at] { ++at; });
  CHECK(*early.next() == p.clock.now() + 8h);
  p.clock.jump_wall(8h);
  p.pass(1min, 1min);
  CHECK(at == 2);
  CHECK_FALSE(early.next());
}

TEST_CASE("schedule: the end of its scope, and cancel, end it; detach lets it go on",
          "[schedule]") {
  PumpedSchedule p;
  int scoped = 0;
  int detached = 0;
  {
    auto tick = p.runtime.every(1s).run([&scoped] { ++scoped; });
    REQUIRE(p.runtime.every(1s).run([&detached] { ++detached; }).detach().ok());
    p.pass(2s, 1s);
  }
  p.pass(3s, 1s);
  CHECK(scoped == 2);
  CHECK(detached == 5);
  auto cancelled = p.runtime.after(1s).run([&scoped] { ++scoped; });
  cancelled.cancel();
  CHECK_FALSE(cancelled.next());
  p.pass(2s, 1s);
  CHECK(scoped == 2);
}

// Each that is detached lets those go that are over: here while one is on its way from a firing to
// the next.
TEST_CASE("schedule: one that is about to be armed again is not over", "[schedule]") {
  struct Asking final : wisp::Zone {
    std::string_view name() const override { return "Nowhere"; }
    Span at(wisp::Instant when) const override {
      if (ask) ask();
      return wisp::Zone::utc().at(when);
    }
    std::function<void()> ask;
  };
  PumpedSchedule p;
  const auto zone = std::make_shared<Asking>();
  int ran = 0;
  REQUIRE(p.runtime.every("* * * * *"_cron, std::shared_ptr<const wisp::Zone>(zone))
              .run([&ran] { ++ran; })
              .detach()
              .ok());
  int asked = 0;
  zone->ask = [&] {
    ++asked;
    CHECK(p.runtime.after(100h).run([] {}).detach().ok());
  };
  p.pass(5min, 1min);
  zone->ask = nullptr;
  CHECK(asked > 0);
  CHECK(ran == 5);
}

TEST_CASE("schedule: it may be cancelled from inside its handler", "[schedule]") {
  PumpedSchedule p;
  int ran = 0;
  wisp::Schedule tick;
  tick = p.runtime.every(1s).run([&] {
    if (++ran == 2) tick.cancel();
  });
  p.pass(5s, 1s);
  CHECK(ran == 2);
}

TEST_CASE("schedule: a firing that finds the last one on its way is skipped and counted",
          "[schedule]") {
  wisp::test::Gate gate;
  wisp::ManualClock clock;
  std::atomic<int> ran{0};
  {
    wisp::Runtime runtime{{.workers = {.max = 2}, .clock = &clock}};
    auto tick = runtime.every(1s).run([&] {
      ++ran;
      gate.pass();
    });
    clock.advance(1s);
    gate.await(1);
    clock.advance(1s);
    CHECK(wisp::test::eventually([&] { return runtime.stats().events.skipped == 1; }));
    CHECK(ran == 1);
    gate.open();
    CHECK(wisp::test::eventually([&] { return runtime.stats().events.done == 1; }));
    clock.advance(1s);
    CHECK(wisp::test::eventually([&] { return ran.load() == 2; }));
  }
}

TEST_CASE("schedule: a function with input, and a failing one, run under their rules",
          "[schedule]") {
  int ran = 0;
  const auto fails = wisp::function("fails",
                                    [&ran](int n) -> wisp::Status {
                                      ran += n;
                                      return wisp::unavailable("down");
                                    },
                                    {.retry = {.attempts = 3, .first_delay = 1ms}});
  PumpedSchedule p;
  REQUIRE(p.runtime.registry().add(fails).ok());
  auto soon = p.runtime.after(1s).run(fails, 10);
  p.pass(2s, 10ms);
  CHECK(ran == 30);
  CHECK(p.runtime.stats().events.dead == 1);
}

TEST_CASE("schedule: what makes no sense is refused", "[schedule]") {
  PumpedSchedule p;
  const auto nothing = [] {};
  CHECK(p.runtime.after(-1s).run(nothing).status().code() == StatusCode::kInvalidArgument);
  const wisp::Schedule zero = p.runtime.every(0s).run(nothing);
  CHECK(zero.status().code() == StatusCode::kInvalidArgument);
  CHECK(wisp::message(zero.status()).find("1us") != std::string_view::npos);
  const auto stranger = wisp::function("stranger", [] {});
  CHECK(p.runtime.after(1s).run(stranger).status().code() == StatusCode::kNotFound);
  CHECK_FALSE(p.runtime.stop(0s).status.code() == StatusCode::kInternal);
  const wisp::Schedule late = p.runtime.after(1s).run(nothing);
  CHECK(late.status().code() == StatusCode::kUnavailable);
  CHECK_FALSE(late.next());
}

namespace {

// Each look at the wall takes `step`.
class SteppingClock final : public wisp::Clock {
 public:
  wisp::Time now() const override { return wisp::Time(1h + gone); }
  wisp::WallTime wall() const override {
    gone += step;
    return wisp::WallTime(std::chrono::seconds(1'800'000'000) + gone);
  }
  bool park(wisp::Parker&, wisp::Time) override { return false; }

  mutable wisp::Duration gone{};
  wisp::Duration step{};
};

}  // namespace

TEST_CASE("schedule: no time of a cron expression is lost between two looks at the clock",
          "[schedule]") {
  SteppingClock clock;
  wisp::Runtime runtime{{.threads = wisp::Threads::none, .clock = &clock}};
  int ran = 0;
  auto tick = runtime.every("* * * * * *"_cron).run([&ran] { ++ran; });
  const auto pump = [&runtime] {
    while (runtime.pump().left > 0) {
    }
  };
  // The time of the second comes while the first is being fired.
  clock.gone = 1'999'700us;
  clock.step = 200us;
  pump();
  clock.step = {};
  clock.gone = 2'500ms;
  pump();
  CHECK(ran == 2);
  CHECK(runtime.stats().events.missed == 0);
}

TEST_CASE("schedule: after a thousand missed firings the one in time runs", "[schedule]") {
  for (const int make_up : {0, 1, 2}) {
    PumpedSchedule p;
    int ran = 0;
    auto tick = p.runtime.every("* * * * *"_cron).fire({.make_up = make_up}).run([&ran] { ++ran; });
    p.pass(24h + 5s, 24h + 5s);
    CHECK(ran == std::max(make_up, 1));
    REQUIRE(tick.receipt());
    CHECK(tick.receipt()->queued == 5s);
    CHECK(p.runtime.stats().events.missed == wisp::kMakeUpMax - static_cast<unsigned>(ran));
  }
}

TEST_CASE("schedule: a rule of firing that cannot be is refused by name", "[schedule]") {
  PumpedSchedule p;
  const auto why = [&p](const wisp::Firing& firing) {
    const wisp::Schedule tick = p.runtime.every(1s).fire(firing).run([] {});
    CHECK(tick.status().code() == StatusCode::kInvalidArgument);
    return std::string(wisp::message(tick.status()));
  };
  CHECK(why({.make_up = -1}) == "every 1s: make_up is -1, it must be 0 to 1000");
  CHECK(why({.make_up = 1'001}) == "every 1s: make_up is 1001, it must be 0 to 1000");
  CHECK(why({.jitter = -1ns}) == "every 1s: jitter is -1 ns, it must be 0 to 24 h");
  CHECK(why({.jitter = 24h + 1ns}) ==
        "every 1s: jitter is 86400000000001 ns, it must be 0 to 24 h");
  CHECK(p.runtime.every(1s).fire({.make_up = 1'000, .jitter = 24h}).run([] {}).status().ok());
}

TEST_CASE("schedule: its receipt says how late the last firing was", "[schedule]") {
  PumpedSchedule p;
  auto tick = p.runtime.every(1ms).run([&p] { p.clock.advance(10us); });
  CHECK_FALSE(tick.receipt());
  p.pass(1'250us, 1'250us);
  REQUIRE(tick.receipt());
  CHECK(tick.receipt()->queued == 250us);
  CHECK(tick.receipt()->queued_quality == wisp::Quality::measured);
  CHECK(tick.receipt()->wall == 10us);
  CHECK(tick.receipt()->attempts == 1);
  CHECK(tick.receipt()->outcome == wisp::Outcome::ok);
  CHECK(tick.receipt()->function == "every 1ms");
  // It, too, is on its grid.
  p.pass(740us, 740us);
  CHECK(tick.receipt()->queued == 0us);
  CHECK_FALSE(wisp::Schedule().receipt());

  // All attempts of a firing are on one receipt, which is late by what the first one was.
  const auto fails = wisp::function("fails",
                                    [&p]() -> wisp::Status {
                                      p.clock.advance(1ms);
                                      return wisp::unavailable("not now");
                                    },
                                    {.retry = {.attempts = 3, .first_delay = 1s}});
  REQUIRE(p.runtime.registry().add(fails).ok());
  tick.cancel();
  auto once = p.runtime.after(1s).run(fails);
  p.pass(1500ms, 1500ms);
  REQUIRE(once.receipt());
  CHECK(once.receipt()->attempts == 1);
  p.pass(10s, 10ms);
  CHECK(once.receipt()->attempts == 3);
  CHECK(once.receipt()->queued == 500ms);
  CHECK(once.receipt()->wall == 3ms);
  CHECK(once.receipt()->outcome == wisp::Outcome::error);
}

TEST_CASE("schedule: on threads, the next firing waits for the one that it replaces or follows",
          "[schedule]") {
  const auto overlap = GENERATE(wisp::Overlap::replace, wisp::Overlap::queue_one);
  const bool replaces = overlap == wisp::Overlap::replace;
  wisp::test::Gate gate;
  wisp::ManualClock clock;
  std::atomic<int> begun{0};
  std::atomic<int> asked{0};
  int unguarded = 0;  // the thread sanitizer would see two at once
  {
    wisp::Runtime runtime{{.workers = {.max = 4}, .clock = &clock}};
    auto tick = runtime.every(1s).fire({.overlap = overlap}).run([&](wisp::Context& context) {
      ++unguarded;
      if (++begun > 1) return;
      gate.pass();
      if (context.cancelled()) ++asked;
    });
    clock.advance(1s);
    gate.await(1);
    clock.advance(1s);
    CHECK(wisp::test::eventually([&] { return runtime.stats().events.accepted == 2; }));
    clock.advance(1s);
    // A third takes the second's place, or finds it there.
    CHECK(wisp::test::eventually([&] {
      const wisp::EventStats events = runtime.stats().events;
      return replaces ? events.accepted == 3 && events.cancelled == 1 : events.skipped == 1;
    }));
    CHECK(begun == 1);
    gate.open();
    CHECK(wisp::test::eventually([&] { return runtime.stats().events.done == 2; }));
    CHECK(unguarded == 2);
    CHECK(asked == (replaces ? 1 : 0));
  }
}

TEST_CASE("schedule: it may outlive its runtime", "[schedule]") {
  std::optional<wisp::Schedule> tick;
  {
    PumpedSchedule p;
    tick = p.runtime.every(1s).run([] {});
    p.pass(2s, 1s);
  }
  tick->cancel();
  CHECK_FALSE(tick->next());
}

TEST_CASE("schedule: a handler's destructor may let another schedule go", "[schedule]") {
  PumpedSchedule p;
  int ended = 0;
  auto again = [&] {
    REQUIRE(p.runtime.after(1h).run([] {}).detach().ok());
    ++ended;
  };
  auto held = std::make_shared<wisp::test::AtEnd<decltype(again)>>(again);
  REQUIRE(p.runtime.after(1ms).run([held] {}).detach().ok());
  held.reset();
  p.pass(1ms, 1ms);
  CHECK(ended == 0);
  // The next to be let go finds the first one over.
  REQUIRE(p.runtime.after(1h).run([] {}).detach().ok());
  CHECK(ended == 1);
}

TEST_CASE("schedule: a moment long gone is now", "[schedule]") {
  PumpedSchedule p;
  int ran = 0;
  auto gone = p.runtime.at(wisp::WallTime::min()).run([&ran] { ++ran; });
  auto far = p.runtime.at(wisp::WallTime::max()).run([&ran] { ran += 10; });
  CHECK(gone.next() == p.clock.now());
  p.pass(1ms, 1ms);
  CHECK(ran == 1);
}

TEST_CASE("schedule: nothing comes next once the runtime stops", "[schedule]") {
  std::optional<wisp::Schedule> tick;
  PumpedSchedule p;
  tick.emplace(p.runtime.every(1s).run([] {}));
  CHECK(tick->next().has_value());
  CHECK(p.runtime.stop(0s).status.ok());
  CHECK_FALSE(tick->next().has_value());
}
