#include <wisp/sim/world.hpp>

#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::sim::World;

}  // namespace

TEST_CASE("conservation: posts and events that fail now and then, each come to one end",
          "[conservation]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto work = [&](int n, wisp::Context& context) -> wisp::Status {
      wisp::test::conserved(runtime);
      WISP_TRY(context.sleep(wisp::uniform(world.random(), 0, 20) * 1ms));
      wisp::test::conserved(runtime);
      if (wisp::uniform(world.random(), 0, 2) == 0) return wisp::unavailable("not now");
      return n % 5 == 0 ? wisp::invalid_argument("never") : wisp::Status();
    };
    const auto posted = wisp::function("posted", work);
    REQUIRE(runtime.registry().add(posted).ok());
    auto first = runtime.on("work.*").deliver({.attempts = 2, .queue = {.count = 3}}).to(work);
    auto second = runtime.on("work.>")
                      .deliver({.queue = {.count = 2, .act = wisp::Overflow::drop_oldest}})
                      .to(work);
    for (int n = 0; n < 10; ++n) {
      (void)runtime.emit("work.done", n).ok();
      (void)runtime.post(posted, n).ok();
      wisp::test::conserved(runtime);
      world.advance(wisp::uniform(world.random(), 0, 30) * 1ms);
    }
    world.advance(1h);
    wisp::test::conserved_at_rest(runtime);
    CHECK(runtime.stats().events.accepted >= 10);
  });
}
