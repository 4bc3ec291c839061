#include <wisp/service/detail/codel.hpp>

#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::Duration;
using wisp::StatusCode;
using wisp::Time;
using wisp::detail::Codel;
using wisp::test::Gate;
using wisp::test::Pumped;
using wisp::test::says;

}  // namespace

TEST_CASE("codel: sheds once all have waited for too long for an interval", "[codel]") {
  Codel codel;
  Time now(1h);
  CHECK_FALSE(codel.sheds(7ms, now));
  CHECK_FALSE(codel.sheds(1h, now + 50ms));
  CHECK_FALSE(codel.sheds(7ms, now + (100ms - 1ns)));
  CHECK(codel.sheds(7ms, now + 100ms));
  // By the law the next goes an interval later, the third after 1 / sqrt(2) of one.
  CHECK_FALSE(codel.sheds(7ms, now + (200ms - 1ns)));
  CHECK(codel.sheds(7ms, now + 200ms));
  CHECK_FALSE(codel.sheds(7ms, now + 270ms));
  CHECK(codel.sheds(7ms, now + 271ms));
  CHECK_FALSE(codel.sheds(7ms, now + 328ms));
  CHECK(codel.sheds(7ms, now + 329ms));
  // Those that have waited for twice as long go at once.
  CHECK_FALSE(codel.sheds(10ms, now + 330ms));
  CHECK(codel.sheds(10ms + 1ns, now + 330ms));
  CHECK(codel.sheds(1s, now + 330ms));
  CHECK(codel.shed() == 6);
  // Until one comes that has not waited.
  CHECK_FALSE(codel.sheds(5ms - 1ns, now + 331ms));
  CHECK_FALSE(codel.sheds(1s, now + 332ms));
  CHECK_FALSE(codel.sheds(1s, now + (432ms - 1ns)));
  CHECK(codel.sheds(6ms, now + 432ms));
  // It goes on about where it left off: the fourth, then the fifth.
  CHECK_FALSE(codel.sheds(6ms, now + (432ms + 57ms)));
  CHECK(codel.sheds(6ms, now + (432ms + 58ms)));
}

TEST_CASE("codel: a queue that empties now and then sheds nothing", "[codel]") {
  Codel codel;
  Time now(1h);
  for (int i = 0; i < 1'000; ++i) {
    now = now + 9ms;
    CHECK_FALSE(codel.sheds(i % 10 == 0 ? 4ms : 500ms, now));
  }
}

TEST_CASE("codel: a call that is shed says so, and others go on", "[codel]") {
  int runs = 0;
  const auto work = wisp::function("work", [&runs] { ++runs; });
  Pumped p{wisp::Catalogue().add(work)};
  std::vector<wisp::Pending<void>> sheddable;
  std::vector<wisp::Pending<void>> others;
  for (int i = 0; i < 4; ++i) {
    sheddable.push_back(p.runtime.start(work, {.sheddable = true}));
    others.push_back(p.runtime.start(work));
  }
  p.clock.advance(20ms);
  p.runtime.pump({.tasks = 2});
  p.clock.advance(100ms);
  p.runtime.pump({.tasks = 4});
  CHECK(sheddable[0].wait().ok());
  for (int i = 1; i < 3; ++i) {
    const wisp::Status& shed = sheddable[static_cast<std::size_t>(i)].wait();
    CHECK(shed.code() == StatusCode::kUnavailable);
    CHECK(wisp::reason_of(shed) == wisp::Reason::overload);
    CHECK(says(shed, "'work' was shed: it had waited for 120000 us"));
  }
  CHECK(sheddable[1].receipt().attempts == 0);
  CHECK(sheddable[1].receipt().outcome == wisp::Outcome::rejected);
  // Who waits for it runs it.
  CHECK(sheddable[3].wait().ok());
  p.runtime.pump();
  for (wisp::Pending<void>& each : others) CHECK(each.wait().ok());
  CHECK(runs == 6);
  CHECK(p.runtime.stats().shed == 2);
}

TEST_CASE("codel: a pool's queue sheds what may be shed", "[codel]") {
  wisp::ManualClock clock;
  std::array<Gate, 2> gates;
  std::atomic<int> runs{0};
  const auto stuck = wisp::function(
      "stuck", [&gates](int n) { gates[static_cast<std::size_t>(n)].pass(); }, {.pool_only = true});
  const auto work = wisp::function("work", [&runs] { ++runs; }, {.pool_only = true});
  wisp::Runtime runtime{wisp::Catalogue().add(stuck).add(work),
                        {.workers = {.max = 1}, .clock = &clock}};
  for (int round = 0; round < 2; ++round) {
    auto holder = runtime.start(stuck, round);
    gates[static_cast<std::size_t>(round)].await(1);
    std::vector<wisp::Pending<void>> calls;
    for (int i = 0; i < 30; ++i) calls.push_back(runtime.start(work, {.sheddable = i % 3 != 0}));
    clock.advance(round == 0 ? 20ms : 120ms);
    gates[static_cast<std::size_t>(round)].open();
    for (int i = 0; i < 30; ++i) {
      const wisp::Status& result = calls[static_cast<std::size_t>(i)].wait();
      const bool sheds = round == 1 && i % 3 != 0;
      CHECK(wisp::reason_of(result) ==
            (sheds ? std::optional(wisp::Reason::overload) : std::nullopt));
    }
  }
  CHECK(runs == 40);
  CHECK(runtime.stats().shed == 20);
}
