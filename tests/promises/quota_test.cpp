#include <cstdint>
#include <string>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::sim::World;

}  // namespace

TEST_CASE("quota: a number of attempts needs no tariff", "[quota]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    std::vector<std::string> lines;
    const auto work = wisp::function("work", [](Context& context) { context.elapse(1ms); });
    const std::int64_t quota = wisp::uniform(world.random(), 2, 20);
    wisp::Runtime runtime{
        wisp::Catalogue().add(work),
        world.options({.log = [&](const wisp::LogRecord& line) { lines.emplace_back(line.text); },
                       .budgets = {{.name = "free plan",
                                    .tenant = "acme",
                                    .window = 24h,
                                    .soft_attempts = quota - 1,
                                    .hard_attempts = quota}}})};
    REQUIRE(runtime.status().ok());
    for (std::int64_t n = 0; n < 30; ++n) {
      const wisp::Status called = runtime.call(work, {.tenant = "acme"});
      CHECK(called.ok() == (n < quota));
      if (called.ok()) continue;
      CHECK(wisp::reason_of(called) == wisp::Reason::budget);
      CHECK(wisp::message(called).find("budget 'free plan' has spent its " + std::to_string(quota) +
                                       " attempts: there is some again in 8") == 0);
    }
    CHECK(runtime.call(work, {.tenant = "umbrella"}).ok());
    CHECK(lines == std::vector<std::string>{"budget 'free plan' has reached its soft limit of " +
                                            std::to_string(quota - 1) + " attempts"});
    const wisp::BudgetStats stats = runtime.stats().budgets[0];
    CHECK(stats.attempts == static_cast<std::uint64_t>(quota));
    CHECK(stats.refused == static_cast<std::uint64_t>(30 - quota));
    world.advance(25h);
    CHECK(runtime.call(work, {.tenant = "acme"}).ok());
  });
}
