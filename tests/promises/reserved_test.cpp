#include <algorithm>
#include <string>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::Status;
using wisp::sim::World;

// How many are inside of one handler, and the most there were.
struct Inside {
  int now = 0;
  int most = 0;
};

}  // namespace

TEST_CASE("reserved: shares are kept free, and never exceeded", "[reserved]") {
  int filled = 0;
  wisp::test::for_each_seed([&filled](std::uint64_t seed) {
    World world{seed};
    constexpr int kWorkers = 64;
    const int own = static_cast<int>(wisp::uniform(world.random(), 1, 40));
    const int narrow = static_cast<int>(wisp::uniform(world.random(), 1, 8));
    Inside reserved;
    Inside limited;
    Inside others;
    Inside shared;
    const auto work = [&](Inside& inside, bool shares, Context& context) -> Status {
      inside.most = std::max(inside.most, ++inside.now);
      if (shares) shared.most = std::max(shared.most, ++shared.now);
      context.elapse(wisp::uniform(world.random(), 0, 20) * 1ms);
      if (shares) --shared.now;
      --inside.now;
      if (wisp::uniform(world.random(), 0, 9) == 0) return wisp::unavailable("again");
      return Status();
    };
    const auto a =
        wisp::function("a", [&](int, Context& context) { return work(reserved, false, context); },
                       {.limits = {.reserved = own}});
    const auto b =
        wisp::function("b", [&](int, Context& context) { return work(limited, true, context); },
                       {.limits = {.concurrency = narrow}});
    const auto c =
        wisp::function("c", [&](int, Context& context) { return work(others, true, context); });
    const auto off = wisp::function("off", [](int) {}, {.limits = {.reserved = 0}});
    wisp::Runtime runtime{wisp::Catalogue().add(a).add(b).add(c).add(off),
                          world.options({.workers = {.max = kWorkers}})};
    const auto watch = wisp::test::watch_some(world, runtime);
    REQUIRE(runtime.status().ok());
    const auto on =
        runtime.on("x").to([&](int, Context& context) { return work(others, true, context); });
    CHECK(wisp::reason_of(runtime.call(off, 1)) == wisp::Reason::limit);
    for (int i = 0; i < 150; ++i) {
      switch (wisp::uniform(world.random(), 0, 5)) {
        case 0:
          CHECK(runtime.post(a, i).ok());
          break;
        case 1:
          CHECK(runtime.post(b, i).ok());
          break;
        case 2:
          CHECK(runtime.post(c, i).ok());
          break;
        case 3:
          CHECK(runtime.emit("x", i).ok());
          break;
        case 4:
          (void)runtime.start(i % 2 == 0 ? a : c, i);
          break;
        default:
          world.advance(wisp::uniform(world.random(), 0, 3) * 1ms);
      }
    }
    world.advance(1h);
    CHECK(reserved.most <= own);
    CHECK(limited.most <= narrow);
    CHECK(shared.most <= kWorkers - own);
    if (shared.most == kWorkers - own) ++filled;
    wisp::test::conserved_at_rest(runtime);
    const wisp::EventStats events = runtime.stats().events;
    CHECK(events.done + events.dead == events.accepted);
  });
  // Or the bound has not been tried.
  if (wisp::test::many_seeds()) CHECK(filled > 0);
}

TEST_CASE("reserved: what cannot be is refused by name", "[reserved]") {
  const auto all = wisp::function("all", [](int) {}, {.limits = {.reserved = 64}});
  World world{1};
  wisp::Runtime none{wisp::Catalogue().add(all), world.options()};
  CHECK(wisp::message(none.status()) ==
        "limits.reserved: the functions reserve 64 of 64 workers, and at least one has to be left");
  const auto off = wisp::function("off", [](int) {}, {.limits = {.reserved = 0}});
  wisp::Runtime runtime{wisp::Catalogue().add(off), world.options()};
  const auto watch = wisp::test::watch_some(world, runtime);
  CHECK(wisp::message(runtime.call(off, 1)) ==
        "function 'off' is switched off: limits.reserved is 0");
  const auto late = wisp::function("late", [](int) {}, {.limits = {.reserved = 1}});
  CHECK(wisp::message(runtime.registry().add(late)) ==
        "function 'late': limits.reserved has to be known when the Runtime starts: add it to the "
        "catalogue");
}
