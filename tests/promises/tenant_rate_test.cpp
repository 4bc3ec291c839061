#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"
#include "rates.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::Time;
using wisp::sim::World;

}  // namespace

TEST_CASE("tenant rate: no more of a tenant begins than its rate, and others do not wait for it",
          "[tenant_rate]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Random& random = world.random();
    constexpr std::array kRates = {0.5, 3.0, 50.0};
    const double rate = kRates[static_cast<std::size_t>(wisp::uniform(random, 0, 2))];
    const double own = seed % 3 == 0 ? 20 : 0;  // of the first function too
    std::vector<Time> entries;
    std::vector<Time> entries_of_first;
    int others = 0;
    const auto handler = [&](int n, Context& context, bool first) -> wisp::Status {
      if (context.tenant() == "slow") entries.push_back(world.clock().now());
      else ++others;
      if (first) entries_of_first.push_back(world.clock().now());
      WISP_TRY(context.sleep(n % 3 * 1ms));
      if (n % 4 == 0 && context.attempt() == 1) return wisp::unavailable("not now");
      return wisp::Status();
    };
    const auto a =
        wisp::function("a", [&](int n, Context& context) { return handler(n, context, true); },
                       {.retry = {.first_delay = 10ms}, .limits = {.per_second = own}});
    const auto b =
        wisp::function("b", [&](int n, Context& context) { return handler(n, context, false); },
                       {.retry = {.first_delay = 10ms}});
    wisp::Runtime runtime{wisp::Catalogue().add(a).add(b),
                          world.options({.tenants = {{.name = "slow", .per_second = rate}}})};
    const auto watch = wisp::test::watch_some(world, runtime);
    auto subscription = runtime.on("b").to(b);
    const auto direct = [&](const wisp::Status& status) {
      const bool late = wisp::reason_of(status) == wisp::Reason::rate;
      CHECK(status.code() == (late ? wisp::StatusCode::kResourceExhausted : wisp::StatusCode::kOk));
    };
    std::vector<wisp::Pending<void>> started;
    for (int n = 0; n < 10; ++n) {
      REQUIRE(runtime.post(a, n, {.tenant = "slow"}).ok());
      REQUIRE(runtime.emit("b", n, {.tenant = "slow"}).ok());
      REQUIRE(runtime.post(b, 4 * n + 1, {.tenant = "quick"}).ok());
      direct(runtime.call(b, 4 * n + 1, {.tenant = "slow"}));
      started.push_back(runtime.start(a, 4 * n + 1, {.tenant = "slow"}));
      world.advance(wisp::uniform(random, 0, 2) * 30ms);
      CHECK(others == n + 1);
    }
    for (auto& each : started) direct(each.wait());
    world.advance(10min);
    wisp::test::check_rate(entries, rate, {});
    if (own > 0) wisp::test::check_rate(entries_of_first, own, {});
    CHECK(runtime.stats().events.done == 30);
    // Of each function every fourth number is tried twice.
    CHECK(entries.size() >= 20 + 6);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("tenant rate: a tenant at its rate is told so", "[tenant_rate]") {
  World world{1};
  const auto work = wisp::function("work", [] {});
  wisp::Runtime runtime{wisp::Catalogue().add(work),
                        world.options({.tenants = {{.name = "slow", .per_second = 2}}})};
  CHECK(runtime.call(work, {.tenant = "slow"}).ok());
  CHECK(runtime.call(work, {.tenant = "slow"}).ok());
  CHECK(wisp::message(runtime.call(work, {.tenant = "slow"})) ==
        "tenant 'slow' is at its rate limit (2 per second)");
  CHECK(runtime.call(work).ok());
  world.advance(500ms);
  CHECK(runtime.call(work, {.tenant = "slow"}).ok());
}

TEST_CASE("tenant rate: a start that ends before it has begun takes nothing of it",
          "[tenant_rate]") {
  World world{1};
  const auto busy = wisp::function("busy", [](Context& context) { return context.sleep(1h); });
  const auto work = wisp::function("work", [] {}, {.limits = {.per_second = 5}});
  wisp::Runtime runtime{
      wisp::Catalogue().add(busy).add(work),
      world.options({.workers = {.max = 1}, .tenants = {{.name = "slow", .per_second = 2}}})};
  auto only = runtime.start(busy);
  world.advance(1ms);
  for (int n = 0; n < 10; ++n) {
    auto first = runtime.start(work, {.tenant = "slow", .idempotency_key = n == 0 ? "a" : ""});
    auto second = runtime.start(work, {.tenant = "slow"});
    CHECK(wisp::reason_of(runtime.call(work, {.tenant = "slow"})) == wisp::Reason::rate);
    first.cancel();
    second.cancel();
  }
  for (int n = 0; n < 5; ++n) CHECK(runtime.call(work).ok());
  CHECK(wisp::reason_of(runtime.call(work)) == wisp::Reason::rate);
}
