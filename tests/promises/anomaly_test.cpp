#include <cmath>
#include <string>
#include <vector>

#include <wisp/cost_watch.hpp>
#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::CostAnomaly;
using wisp::Duration;
using wisp::Money;
using wisp::sim::World;

wisp::RuntimeOptions priced() {
  return {.tariff = wisp::tariffs::own_hardware({.per_gb_hour = Money::dollars(3'600)})};
}

}  // namespace

TEST_CASE("anomaly: a function whose calls cost more than they used to has an event, once",
          "[anomaly]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Random& random = world.random();
    Duration took = 10ms;
    const auto changes = wisp::function("changes", [&](Context& context) {
      context.elapse(took + wisp::uniform(random, 0, 2) * 1ms);
    });
    const auto stays = wisp::function(
        "stays", [&](Context& context) { context.elapse(wisp::uniform(random, 5, 15) * 1ms); });
    wisp::Runtime runtime{wisp::Catalogue().add(changes).add(stays), world.options(priced())};
    std::vector<CostAnomaly> seen;
    auto alarms = runtime.on(wisp::kCostAnomalyTopic).to([&](const CostAnomaly& anomaly) {
      seen.push_back(anomaly);
    });
    auto watch = wisp::watch_costs(runtime);
    REQUIRE(watch.status().ok());
    const auto minutes = [&](int count) {
      for (int minute = 0; minute < count; ++minute) {
        for (int n = 0; n < 60; ++n) {
          CHECK(runtime.call(changes).ok());
          if (n % 2 == 0) CHECK(runtime.call(stays).ok());
          world.advance(1s - took);
        }
      }
    };
    minutes(20);
    CHECK(seen.empty());
    took = wisp::uniform(random, 0, 1) == 0 ? 60ms : 1ms;
    minutes(3);
    REQUIRE(seen.size() == 1);
    CHECK(seen[0].function == "changes");
    CHECK(seen[0].version == 1);
    CHECK(seen[0].calls >= 20);
    CHECK((seen[0].per_call > seen[0].usual) == (took > 10ms));
    // A cent in 80 ms, of 128 MB.
    const double cents = static_cast<double>(seen[0].usual.picodollars()) / 1e10;
    CHECK(cents == Approx(11.0 / 80).epsilon(0.15));
    took = 10ms;
    minutes(3);
    CHECK(seen.size() == 1);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("anomaly: what is usual follows slowly, so that a climb by small steps is told",
          "[anomaly]") {
  World world{1};
  Duration took = 10ms;
  const auto work = wisp::function("work", [&](Context& context) { context.elapse(took); });
  wisp::Runtime runtime{wisp::Catalogue().add(work), world.options(priced())};
  std::vector<CostAnomaly> seen;
  auto alarms = runtime.on(wisp::kCostAnomalyTopic).to([&](const CostAnomaly& anomaly) {
    seen.push_back(anomaly);
  });
  auto watch = wisp::watch_costs(runtime);
  const auto minute = [&] {
    for (int n = 0; n < 60; ++n) {
      CHECK(runtime.call(work).ok());
      world.advance(1s - took);
    }
  };
  for (int n = 0; n < 20; ++n) minute();
  // Neither step is half as much again.
  took = 14ms;
  minute();
  CHECK(seen.empty());
  took = 20ms;
  minute();
  minute();
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].usual < seen[0].per_call.scaled(3, 5));
}

TEST_CASE("anomaly: what a month's allowance covers is watched too", "[anomaly]") {
  World world{1};
  Duration took = 10ms;
  const auto work = wisp::function("work", [&](Context& context) { context.elapse(took); });
  wisp::Runtime runtime{
      wisp::Catalogue().add(work),
      world.options({.tariff = wisp::tariffs::aws_lambda_x86({.free_tier = true})})};
  int seen = 0;
  auto alarms = runtime.on(wisp::kCostAnomalyTopic).to([&](const CostAnomaly&) { ++seen; });
  auto watch = wisp::watch_costs(runtime);
  for (int n = 0; n < 23 * 60; ++n) {
    if (n == 20 * 60) took = 200ms;
    CHECK(runtime.call(work).ok());
    world.advance(1s - took);
  }
  CHECK(seen == 1);
}

TEST_CASE("anomaly: a watch that cannot be is refused", "[anomaly]") {
  World world{1};
  wisp::Runtime runtime{world.options()};
  CHECK(wisp::message(wisp::watch_costs(runtime).status()) ==
        "watch_costs: without RuntimeOptions::tariff nothing has a cost");
  wisp::Runtime paid{world.options(priced())};
  CHECK(wisp::watch_costs(paid).status().ok());
  CHECK(wisp::message(wisp::watch_costs(paid, 1ms).status()) ==
        "watch_costs: the period must be 1 s to 1 h");
  CHECK_FALSE(wisp::watch_costs(paid, 61min).status().ok());
}
