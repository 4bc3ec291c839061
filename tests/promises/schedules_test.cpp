#include <wisp/service/schedule.hpp>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace wisp::literals;
using wisp::Overlap;
using wisp::sim::World;

// What firings of one schedule do, and did.
struct Firings {
  World& world;
  wisp::Time start;
  wisp::Firing rule;
  int inside = 0;
  std::set<std::string> begun{};  // ids
  std::string newest{};

  wisp::Status operator()(wisp::Context& context) {
    ++inside;
    const bool may_overlap = rule.overlap == Overlap::allow;
    CHECK((may_overlap || inside == 1));
    const std::string id = fmt::format("{}", context.event_id());
    if (begun.insert(id).second) newest = id;
    // Of those that come one after the other none is tried again once the next has begun.
    CHECK((may_overlap || newest == id));
    const wisp::Status slept = context.sleep(wisp::uniform(world.random(), 0, 2'500) * 1ms);
    --inside;
    if (!slept.ok()) return slept;
    if (wisp::uniform(world.random(), 0, 3) == 0) return wisp::unavailable("not now");
    return wisp::Status();
  }
};

Overlap any_overlap(std::uint64_t seed) {
  constexpr Overlap kAll[] = {Overlap::allow, Overlap::forbid, Overlap::replace,
                              Overlap::queue_one};
  return kAll[seed % 4];
}

std::uint64_t in_all(const wisp::EventStats& events) {
  return events.accepted + events.skipped + events.missed + events.refused;
}

}  // namespace

TEST_CASE("schedules: each firing is run, skipped or refused, and overlaps only where it may",
          "[schedules]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{
        seed,
        {.faults = {
             .throws = 50, .ignores = 50, .ignore_max = 3s, .late = 200, .late_max = 100ms}}};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    const bool jitter = seed / 4 % 2 == 0;
    Firings firings{.world = world,
                    .start = world.clock().now(),
                    .rule = {.overlap = any_overlap(seed),
                             .jitter = jitter ? wisp::Duration(400ms) : wisp::Duration()}};
    auto every = runtime.every(1s).fire(firings.rule).run([&firings](wisp::Context& context) {
      return firings(context);
    });
    REQUIRE(every.status().ok());
    for (int second = 1; second <= 60; ++second) {
      world.advance(1s);
      const wisp::RuntimeStats stats = runtime.stats();
      // The last one may have been put off beyond this moment.
      const auto most = static_cast<std::uint64_t>(second);
      CHECK(in_all(stats.events) <= most);
      CHECK(in_all(stats.events) + 1 >= most);
      // The one between two attempts, and the one that follows it.
      if (firings.rule.overlap != Overlap::allow)
        CHECK(stats.queued <= (firings.rule.overlap == Overlap::forbid ? 1 : 2));
      if (firings.rule.overlap == Overlap::allow) CHECK(stats.events.skipped == 0);
      if (firings.rule.overlap == Overlap::replace) CHECK(stats.events.skipped == 0);
      wisp::test::conserved(stats.events);
    }
    every.cancel();
    world.faults({});
    world.advance(24h);
    const wisp::EventStats events = runtime.stats().events;
    CHECK(events.missed == 0);
    CHECK(events.done + events.dead + events.cancelled >= firings.begun.size());
    // Where handlers are slower than the clock, the rule shows.
    if (firings.rule.overlap == Overlap::forbid || firings.rule.overlap == Overlap::queue_one)
      CHECK(events.skipped > 0);
    if (firings.rule.overlap == Overlap::replace) CHECK(events.cancelled > 0);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("schedules: a replaced firing gives way to the next at once", "[schedules]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    const wisp::Time start = world.clock().now();
    std::vector<wisp::Duration> began;
    // It waits, or for its next attempt, when the next one comes.
    auto every = runtime.every(1s).fire({.overlap = Overlap::replace}).run([&](wisp::Context& it) {
      if (it.attempt() == 1) began.push_back(world.clock().now() - start);
      if (wisp::uniform(world.random(), 0, 1) == 0) return it.sleep(1h);
      return wisp::unavailable("not now");
    });
    world.advance(10s + 1ms);
    REQUIRE(began.size() == 10);
    for (std::size_t i = 0; i < began.size(); ++i)
      CHECK(began[i] == (static_cast<int>(i) + 1) * 1s);
    const wisp::EventStats events = runtime.stats().events;
    CHECK(events.accepted == 10);
    CHECK(events.cancelled + events.dead == 9);
    every.cancel();
    world.advance(1h);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("schedules: one firing follows the last, also while that one waits for a slot",
          "[schedules]") {
  World world{1};
  const auto narrow =
      wisp::function("narrow", [](wisp::Context& context) { return context.sleep(10s); },
                     {.limits = {.concurrency = 1}});
  wisp::Runtime runtime{wisp::Catalogue().add(narrow), world.options()};
  auto call = runtime.start(narrow);
  world.advance(1ms);
  auto every = runtime.every(1s).fire({.overlap = Overlap::queue_one}).run(narrow);
  world.advance(3s + 1ms);
  CHECK(runtime.stats().events.accepted == 2);
  CHECK(runtime.stats().events.skipped == 1);
}

TEST_CASE("schedules: a firing is put off by less than its jitter, and never past the next",
          "[schedules]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const wisp::Time start = world.clock().now();
    const wisp::Instant wall = std::chrono::floor<std::chrono::seconds>(world.clock().wall());
    const bool wide = seed % 2 == 0;  // wider than the grid
    const wisp::Duration jitter = wide ? wisp::Duration(24h) : wisp::Duration(20s);
    std::vector<wisp::Duration> every;
    std::vector<wisp::Duration> cron;
    auto one = runtime.every(1min).fire({.jitter = jitter}).run([&] {
      every.push_back(world.clock().now() - start);
    });
    auto two = runtime.every("* * * * *"_cron).fire({.jitter = jitter}).run([&] {
      cron.push_back(world.clock().wall() - wall);
    });
    world.advance(1h);
    for (const auto* fired : {&every, &cron}) {
      REQUIRE(fired->size() >= 59);
      wisp::Duration least = 1min;
      wisp::Duration most{};
      for (std::size_t i = 0; i < fired->size(); ++i) {
        const wisp::Duration off = (*fired)[i] - (static_cast<int>(i) + 1) * 1min;
        CHECK(off >= 0s);
        CHECK(off <= jitter);
        CHECK(off < 1min);
        least = std::min(least, off);
        most = std::max(most, off);
      }
      // Of 60 draws.
      CHECK(most - least > std::min(jitter, wisp::Duration(1min)) / 2);
    }
    CHECK(runtime.stats().events.missed == 0);
  });
}

TEST_CASE("schedules: of the firings that were missed as many are made up for as was asked",
          "[schedules]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    wisp::SeededRandom random(seed);
    wisp::ManualClock clock;
    wisp::Runtime runtime{{.threads = wisp::Threads::none, .clock = &clock}};
    const auto pump = [&] {
      while (runtime.pump().left > 0) {
      }
    };
    const bool by_cron = seed % 2 == 0;
    const wisp::Duration period =
        by_cron ? wisp::Duration(10min) : wisp::uniform(random, 1, 600) * 1s;
    const wisp::Firing rule{.overlap = any_overlap(seed / 2),
                            .make_up = static_cast<int>(wisp::uniform(random, 0, 4))};
    std::int64_t ran = 0;
    auto handler = [&ran] { ++ran; };
    auto schedule = by_cron ? runtime.every("*/10 * * * *"_cron).fire(rule).run(handler)
                            : runtime.every(period).fire(rule).run(handler);
    REQUIRE(schedule.status().ok());
    // Where the grid stands, as it is seen from the clock that counts.
    wisp::Duration past = by_cron ? clock.wall().time_since_epoch() % period : wisp::Duration();
    for (int i = 0; i < 20; ++i) {
      const wisp::Duration gone = wisp::uniform(random, 0, 1'800'000) * 1ms;
      clock.advance(gone);
      past += gone;
      const std::int64_t due = past / period;
      past %= period;
      const bool in_time = past <= wisp::kMissedAfter;
      std::int64_t expected = std::min(due, std::max<std::int64_t>(rule.make_up, in_time ? 1 : 0));
      if (rule.overlap == Overlap::replace) expected = std::min<std::int64_t>(expected, 1);
      const std::int64_t before = ran;
      const std::uint64_t missed = runtime.stats().events.missed;
      pump();
      INFO("round " << i << ", due " << due << ", make_up " << rule.make_up);
      CHECK(ran - before == expected);
      CHECK(runtime.stats().events.missed - missed == static_cast<std::uint64_t>(due - expected));
      if (expected > 0) {
        REQUIRE(schedule.receipt().has_value());
        CHECK(schedule.receipt()->queued == past);
      }
    }
    CHECK(runtime.stats().events.skipped == 0);
  });
}
