#include <wisp/sim/world.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::sim::World;

constexpr wisp::sim::Faults kExclusionFaults{.slow = 200,
                                             .slow_max = 10ms,
                                             .throws = 100,
                                             .ignores = 50,
                                             .ignore_max = 100ms,
                                             .late = 200,
                                             .late_max = 10ms,
                                             .full = 100};

}  // namespace

TEST_CASE("exclusion: a serial subscription has one at a time, in each publisher's order",
          "[exclusion]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.faults = kExclusionFaults}};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    int inside = 0;
    std::map<int, std::vector<int>> seen;  // of each publisher, in order of first attempts
    auto serial = runtime.on("line")
                      .deliver({.serial = true})
                      .to([&](int n, wisp::Context& context) -> wisp::Status {
                        CHECK(++inside == 1);
                        std::vector<int>& mine = seen[n / 100];
                        // Nothing else begins between its attempts.
                        if (mine.empty() || mine.back() != n) mine.push_back(n);
                        const wisp::Status slept =
                            context.sleep(wisp::uniform(world.random(), 0, 3) * 1ms);
                        --inside;
                        WISP_TRY(slept);
                        if (wisp::uniform(world.random(), 0, 3) == 0)
                          return wisp::unavailable("not now");
                        return wisp::Status();
                      });
    const auto publisher =
        wisp::function("publisher",
                       [&](int number, wisp::Context& context) -> wisp::Status {
                         for (int i = 0; i < 5; ++i) {
                           WISP_TRY(context.runtime().emit("line", 100 * number + i));
                           WISP_TRY(context.sleep(wisp::uniform(world.random(), 0, 2) * 1ms));
                         }
                         return wisp::Status();
                       },
                       {.pool_only = true});
    REQUIRE(runtime.registry().add(publisher).ok());
    world.faults({});  // what a publisher published twice would come twice
    std::vector<wisp::Pending<void>> publishers;
    for (int number = 1; number <= 3; ++number)
      publishers.push_back(runtime.start(publisher, number));
    world.run_until_idle();
    world.faults(kExclusionFaults);
    for (int i = 0; i < 5; ++i) REQUIRE(runtime.emit("line", i).ok());
    world.advance(1min);
    world.faults({});
    world.advance(6h);
    for (const auto& [number, values] : seen) CHECK(std::is_sorted(values.begin(), values.end()));
    CHECK(seen[0].size() == 5);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("exclusion: a concurrency limit holds at any instant, over every verb", "[exclusion]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.faults = kExclusionFaults}};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    const int limit = static_cast<int>(wisp::uniform(world.random(), 1, 3));
    int inside = 0;
    int most = 0;
    const auto narrow = wisp::function(
        "narrow",
        [&](int n, wisp::Context& context) -> wisp::Status {
          most = std::max(most, ++inside);
          CHECK(inside <= limit);
          world.yield();
          const wisp::Status slept = context.sleep(n % 4 * 1ms);
          CHECK(inside <= limit);
          --inside;
          WISP_TRY(slept);
          if (n % 5 == 0 && context.attempt() == 1) return wisp::unavailable("not now");
          return wisp::Status();
        },
        {.retry = {.attempts = 3, .first_delay = 2ms}, .limits = {.concurrency = limit}});
    REQUIRE(runtime.registry().add(narrow).ok());
    auto queued = runtime.on("narrow").to(narrow);
    auto here = runtime.on("narrow").deliver({.synchronous = true}).to(narrow);
    auto nested = runtime.on("nested").to([&](int n, wisp::Context& context) {
      (void)context.runtime().call(narrow, n).ok();
      (void)context.runtime().emit("narrow", n);
    });
    for (int n = 0; n < 8; ++n) {
      (void)runtime.emit(n % 2 == 0 ? "narrow" : "nested", n);
      (void)runtime.post(narrow, n);
      (void)runtime.start(narrow, n);
      world.advance(wisp::uniform(world.random(), 0, 2) * 1ms);
      (void)runtime.call(narrow, n).ok();
    }
    world.advance(1min);
    world.faults({});
    world.advance(6h);
    CHECK(inside == 0);
    CHECK(most >= 1);
    // Each slot came back.
    std::vector<wisp::Pending<void>> together;
    for (int n = 0; n < limit; ++n) together.push_back(runtime.start(narrow, 3));
    world.advance(1min);
    for (wisp::Pending<void>& each : together) CHECK(each.wait().ok());
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("exclusion: what waits for a slot is counted, and goes with its subscription",
          "[exclusion]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    const bool shared = seed % 2 == 0;  // no limit of its own, but the share that another leaves
    int inside = 0;
    const auto narrow = wisp::function("narrow",
                                       [&](int, wisp::Context& context) {
                                         CHECK(++inside <= 2);
                                         const wisp::Status slept = context.sleep(1h);
                                         --inside;
                                         return slept;
                                       },
                                       {.limits = {.concurrency = shared ? 0 : 2}});
    // It waits for the deliveries that run, for which it must not need one of their slots.
    std::optional<wisp::Subscription> ended;
    const auto end =
        wisp::function("end", [&ended] { ended.reset(); },
                       {.limits = {.reserved = shared ? std::optional(62) : std::nullopt}});
    const wisp::Catalogue catalogue = wisp::Catalogue().add(narrow).add(end);
    wisp::Runtime runtime{catalogue, world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    const auto of_narrow = [&] {
      for (const auto& each : runtime.stats().functions)
        if (each.name == "narrow") return each;
      return wisp::FunctionStats{};
    };
    auto kept = runtime.on("narrow").to(narrow);
    ended.emplace(runtime.on("narrow").to(narrow));
    const int events = static_cast<int>(wisp::uniform(world.random(), 1, 6));
    for (int n = 0; n < events; ++n) {
      REQUIRE(runtime.emit("narrow", n).ok());
      world.advance(wisp::uniform(world.random(), 0, 1) * 1s);
    }
    world.advance(1s);
    CHECK(inside == 2);
    CHECK(of_narrow().accepted == static_cast<std::uint64_t>(2 * events));
    CHECK(of_narrow().running == 2);
    CHECK(of_narrow().queued == 2 * events - 2);

    auto ending = runtime.start(end);
    world.advance(1s);
    const wisp::EventStats events_now = runtime.stats().events;
    // Half of them, but for those that run.
    CHECK(events_now.cancelled >= static_cast<std::uint64_t>(std::max(events - 2, 0)));
    CHECK(events_now.cancelled <= static_cast<std::uint64_t>(events));
    CHECK(of_narrow().accepted == static_cast<std::uint64_t>(2 * events));
    CHECK(of_narrow().queued == 2 * events - 2 - static_cast<int>(events_now.cancelled));
    world.advance(24h);
    CHECK(runtime.stats().events.done == 2 * events - events_now.cancelled);
    CHECK(of_narrow().accepted == static_cast<std::uint64_t>(2 * events));
    wisp::test::conserved_at_rest(runtime);
  });
}
