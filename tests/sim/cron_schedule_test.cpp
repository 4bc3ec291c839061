// Schedules by cron in virtual time: a year of them, and clocks that are set.
#include <string>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using namespace wisp::literals;
using std::chrono::days;
using wisp::Cron;
using wisp::Instant;
using wisp::sim::World;

// The worlds begin with 2020.
constexpr Instant kNewYear = std::chrono::sys_days(std::chrono::year(2020) / 1 / 1);

struct Firings {
  explicit Firings(World& w) : world(w) {}
  World& world;
  std::vector<Instant> all{};

  auto handler() {
    return
        [this] { all.push_back(std::chrono::floor<std::chrono::seconds>(world.clock().wall())); };
  }
};

}  // namespace

TEST_CASE("cron schedule: fires on its days, at its time in its zone", "[sim]") {
  World world{1};
  wisp::Runtime runtime{world.options()};
  Firings lisbon(world);
  Firings utc(world);
  auto one = runtime.every("30 1 * * sun"_cron, "Europe/Lisbon").run(lisbon.handler());
  auto two = runtime.every("0 12 LW * *"_cron).run(utc.handler());
  REQUIRE(one.status().ok());
  REQUIRE(two.next().has_value());
  CHECK(*two.next() - world.clock().now() == days(30) + 12h);
  world.advance(days(366));
  REQUIRE(lisbon.all.size() == 52);
  CHECK(lisbon.all[0] == kNewYear + days(4) + 1h + 30min);
  // On 29 March half past one is skipped; in summer it is half past midnight in UTC, and on 25
  // October the first of two.
  CHECK(lisbon.all[12] == kNewYear + days(88) + 1h);
  CHECK(lisbon.all[13] == kNewYear + days(95) + 30min);
  CHECK(lisbon.all[42] == kNewYear + days(298) + 30min);
  CHECK(lisbon.all[43] == kNewYear + days(305) + 1h + 30min);
  REQUIRE(utc.all.size() == 12);
  CHECK(utc.all[1] == kNewYear + days(58) + 12h);  // 28 February, a Friday
}

TEST_CASE("cron schedule: of an unknown zone, or a day that never comes, it is refused", "[sim]") {
  World world{1};
  wisp::Runtime runtime{world.options()};
  Firings none(world);
  auto lost = runtime.every("* * * * *"_cron, "Europe/Lissabon").run(none.handler());
  CHECK(lost.status().code() == wisp::StatusCode::kNotFound);
  CHECK(wisp::message(lost.status()) ==
        "there is no time zone 'Europe/Lissabon' in the system's database");
  auto never = runtime.every(*Cron::parse("0 0 */31 2 2#2")).run(none.handler());
  CHECK(never.status().code() == wisp::StatusCode::kInvalidArgument);
  CHECK(wisp::message(never.status()) == "cron '0 0 */31 2 2#2': no day ever fits");
  CHECK_FALSE(never.next().has_value());
  // One comes every 28 years or so.
  CHECK(runtime.every(*Cron::parse("0 0 */28 2 mon#5")).run(none.handler()).status().ok());
  world.advance(24h);
  CHECK(none.all.empty());
}

TEST_CASE("cron schedule: a clock that is set makes no time come twice, and is followed", "[sim]") {
  const int seeds = wisp::test::test_seeds();
  for (int seed = 1; seed <= seeds; ++seed) {
    INFO("seed " << seed);
    // At most an hour wrong, it is set back by two at most.
    const bool little = seed % 2 == 0;
    World world{static_cast<std::uint64_t>(seed),
                {.faults = {.wall_jumps = 50, .wall_jump_max = little ? 1h : 24h}}};
    wisp::Runtime runtime{world.options()};
    std::vector<Instant> fired;
    auto hourly = runtime.every("0 * * * *"_cron).run([&] {
      fired.push_back(std::chrono::floor<std::chrono::seconds>(world.clock().wall()));
    });
    world.advance(days(2));
    const auto hour = [](Instant at) { return std::chrono::floor<std::chrono::hours>(at); };
    for (std::size_t i = 1; little && i < fired.size(); ++i)
      CHECK(hour(fired[i]) > hour(fired[i - 1]));
    CHECK(runtime.stats().events.done == fired.size());
    // And from when it is left alone, each hour.
    world.faults({});
    world.advance(days(2));
    const std::size_t before = fired.size();
    world.advance(days(1));
    REQUIRE(fired.size() == before + 24);
    for (std::size_t i = before; i < fired.size(); ++i)
      CHECK(fired[i] - std::chrono::floor<std::chrono::hours>(fired[i]) == 0s);
  }
}
