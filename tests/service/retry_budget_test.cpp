#include <wisp/service/detail/retry_budget.hpp>

#include <string>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "seeds.hpp"
#include "service/pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::Duration;
using wisp::Time;
using wisp::detail::RetryBudget;
using wisp::test::Pumped;

constexpr auto kNoCalls = [] { return std::uint64_t{0}; };

}  // namespace

TEST_CASE("retry budget: a minute's worth at once, then ten a second", "[retry_budget]") {
  RetryBudget budget;
  Time now{1h};
  for (int i = 0; i < 600; ++i) CHECK(budget.try_take(now, kNoCalls));
  CHECK_FALSE(budget.try_take(now, kNoCalls));
  now = now + 100ms;
  CHECK(budget.try_take(now, kNoCalls));
  CHECK_FALSE(budget.try_take(now, kNoCalls));
  now = now + 5s;
  for (int i = 0; i < 50; ++i) CHECK(budget.try_take(now, kNoCalls));
  CHECK_FALSE(budget.try_take(now, kNoCalls));
}

TEST_CASE("retry budget: a fifth of the calls comes on top", "[retry_budget]") {
  RetryBudget budget;
  const Time now{1h};
  const auto calls = [] { return std::uint64_t{1'000}; };
  for (int i = 0; i < 800; ++i) CHECK(budget.try_take(now, calls));
  CHECK_FALSE(budget.try_take(now, calls));
  // What was taken of the share is free again a minute later.
  for (int i = 0; i < 800; ++i) CHECK(budget.try_take(now + 60s, calls));
  CHECK_FALSE(budget.try_take(now + 60s, calls));
}

TEST_CASE("retry budget: what is taken beyond it is booked, ten a second", "[retry_budget]") {
  RetryBudget budget;
  const Time now{1h};
  for (int i = 0; i < 600; ++i) CHECK(budget.take(now, 6h, kNoCalls) == Duration::zero());
  for (int i = 1; i <= 100; ++i) CHECK(budget.take(now, 6h, kNoCalls) == i * 100ms);
  CHECK(budget.take(now, 5s, kNoCalls) > 5s);  // not taken
  // Nobody comes in between.
  CHECK_FALSE(budget.try_take(now + 10s, kNoCalls));
  CHECK(budget.try_take(now + 10'100ms, kNoCalls));
}

TEST_CASE("retry budget: never more in any minute than it says", "[retry_budget]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    RetryBudget budget;
    const auto all = static_cast<std::uint64_t>(random.between(0, 5'000));
    std::vector<Time> taken;
    Time now{1h};
    for (int i = 0; i < 3'000; ++i) {
      now = now + std::chrono::milliseconds(random.between(0, 60));
      if (budget.try_take(now, [all] { return all; })) taken.push_back(now);
    }
    std::size_t from = 0;
    for (std::size_t i = 0; i < taken.size(); ++i) {
      while (taken[from] + 60s <= taken[i]) ++from;
      // The bucket is a minute's worth, and fills meanwhile; a share is counted by whole seconds.
      REQUIRE(i - from + 1 <= 1'200 + all / 5 + all / 5);
    }
  }
}

TEST_CASE("retry budget: a call gives up with its own error", "[retry_budget]") {
  const auto failing = wisp::function("failing", [](int) { return wisp::unavailable("down"); },
                                      {.retry = {.attempts = 2, .first_delay = 0ms}});
  Pumped p(wisp::Catalogue().add(failing));
  const auto stats = [&p] { return p.runtime.stats().functions.back(); };
  for (int i = 0; i < 700; ++i) {
    auto pending = p.runtime.start(failing, 1);
    while (!pending.ready()) p.runtime.pump();
    CHECK(wisp::message(pending.wait()) == "down");
    if (pending.receipt().attempts == 1) break;
  }
  // 600, and a fifth of the first calls.
  CHECK(stats().retries >= 600);
  CHECK(stats().retries <= 600 + 720 / 5);
  CHECK(stats().retries_withheld == 1);
}

TEST_CASE("retry budget: deliveries wait for it, and none is lost", "[retry_budget]") {
  int left = 1'000;
  const auto failing = wisp::function("failing", [&left](int) -> wisp::Status {
    if (left-- > 0) return wisp::unavailable("down");
    return wisp::Status();
  });
  Pumped p(wisp::Catalogue().add(failing));
  const Time began = p.clock.now();
  for (int i = 0; i < 1'000; ++i) CHECK(p.runtime.post(failing, i).ok());
  const wisp::EventStats events = p.settled();
  CHECK(events.done == 1'000);
  CHECK(p.runtime.stats().functions.back().retries == 1'000);
  // 600 at once, the others at ten a second: the calls were looked at when there was one.
  CHECK(p.clock.now() - began >= 39s);
  CHECK(p.clock.now() - began <= 42s);
}

TEST_CASE("dead letters: a redrive brings back a hundred a second", "[dead_letters]") {
  bool down = true;
  const auto failing = wisp::function("failing", [&down](int) -> wisp::Status {
    if (down) return wisp::invalid_argument("down");
    return wisp::Status();
  });
  Pumped p(wisp::Catalogue().add(failing));
  for (int i = 0; i < 250; ++i) CHECK(p.runtime.post(failing, i).ok());
  p.settled();
  down = false;
  wisp::DeadLetters& letters = p.runtime.dead_letters();
  CHECK(letters.redrive(1'000) == 100);
  CHECK(letters.redrive(1'000) == 0);
  p.clock.advance(500ms);
  CHECK(letters.redrive(1'000) == 50);
  p.clock.advance(10s);
  CHECK(letters.redrive(30) == 30);
  CHECK(letters.redrive(1'000) == 70);
  CHECK(letters.size() == 0);
  CHECK(p.settled().done == 250);
}

TEST_CASE("retry budget: a clock may begin below its origin", "[retry_budget]") {
  const auto calls = [] { return std::uint64_t{100}; };
  for (const Time begin : {Time(-10s), Time(-1ns), Time(Duration::min())}) {
    RetryBudget budget;
    Time now = begin;
    // As from any other moment: a minute's worth, and a fifth of the calls.
    for (int i = 0; i < 620; ++i) CHECK(budget.try_take(now, calls));
    CHECK_FALSE(budget.try_take(now, calls));
    now = now + 100ms;
    CHECK(budget.try_take(now, calls));
    CHECK_FALSE(budget.try_take(now, calls));
    now = now + 2min;
    for (int i = 0; i < 620; ++i) CHECK(budget.try_take(now, calls));
    CHECK_FALSE(budget.try_take(now, calls));
  }
}
