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

TEST_CASE("quota: what is put off takes nothing of a rate before it begins", "[quota]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    constexpr int kQuota = 5;
    int ran = 0;
    const auto paced = wisp::function("paced", [&ran] { ++ran; }, {.limits = {.per_second = 1}});
    wisp::Runtime runtime{
        wisp::Catalogue().add(paced),
        world.options(
            {.budgets = {
                 {.name = "acme's", .tenant = "acme", .window = 5min, .hard_attempts = kQuota}}})};
    const auto watch = wisp::test::watch_some(world, runtime);
    for (int n = 0; n < 300; ++n) REQUIRE(runtime.post(paced, {.tenant = "acme"}).ok());
    world.advance(20s);
    for (int round = 1; round < 4; ++round) {
      CHECK(ran == round * kQuota);
      // Nothing has begun for some seconds, so the bucket has what another asks for.
      CHECK(runtime.call(paced, {.tenant = "umbrella"}).ok());
      --ran;
      world.advance(5min + 10s);
    }
    (void)runtime.stop(0s);
  });
}
