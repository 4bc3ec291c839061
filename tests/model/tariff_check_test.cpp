#include <string>
#include <vector>

#include <wisp/model/tariff.hpp>
#include <wisp/wisp.hpp>

#include "catch.hpp"

namespace {

using namespace wisp::literals;
using wisp::Charge;
using wisp::kCpuHour;
using wisp::kGbHour;
using wisp::kGbSecond;
using wisp::Money;
using wisp::Tariff;

namespace tariffs = wisp::tariffs;

Tariff own(const Charge& cpu) {
  return {.name = "own", .billed_cpu = wisp::BilledCpu::used, .cpu = cpu};
}

std::string why(const Tariff& tariff) {
  const wisp::Status status = wisp::check(tariff);
  if (status.ok()) return "";
  CHECK(status.code() == wisp::StatusCode::kInvalidArgument);
  return std::string(wisp::message(status));
}

}  // namespace

TEST_CASE("tariff: the published sheets and none are ok, and so is one of one's own", "[tariff]") {
  CHECK(why({}).empty());
  for (const bool free : {false, true})
    for (const Tariff& each : tariffs::published({.free_tier = free})) CHECK(why(each).empty());
  CHECK(why(tariffs::own_hardware({})).empty());
  CHECK(why(tariffs::own_hardware({.per_core_hour = Money::cents(4), .per_gb_hour = Money::max()}))
            .empty());
  // All that is between a nanosecond and an hour, and a free first tier.
  CHECK(why(own({.per = 1, .tiers = {{.price = Money::cents(1)}}})).empty());
  CHECK(why(own({.per = 60 * wisp::kCpuSecond, .tiers = {{.price = Money::cents(1)}}})).empty());
  CHECK(why(own({.per = kCpuHour,
                 .tiers = {{.up_to = 10},
                           {.price = Money::cents(1), .up_to = 20},
                           {.price = Money::cents(2)}}}))
            .empty());
}

TEST_CASE("tariff: a sheet that would be billed wrong is refused", "[tariff]") {
  const Money cent = Money::cents(1);
  CHECK(why(own({.per = 0, .tiers = {{.price = cent}}})) ==
        "tariff 'own': cpu.per is 0, it must be a divisor of 460800000000000000");
  CHECK(why(own({.per = 730 * kCpuHour, .tiers = {{.price = cent}}})) ==
        "tariff 'own': cpu.per is 2628000000000000000, it must be a divisor of 460800000000000000");
  const Charge by_day{.per = 24 * kGbHour, .tiers = {{.price = cent}}};
  CHECK(why({.name = "days", .memory = by_day}) ==
        "tariff 'days': memory.per is 88473600000000000, it must be a divisor of "
        "460800000000000000");
  const Charge by_seven{.per = 7, .tiers = {{.price = cent}}};
  CHECK(why({.name = "odd", .requests = by_seven}) ==
        "tariff 'odd': requests.per is 7, it must be a divisor of 460800000000000000");

  CHECK(why(own({.tiers = {{.price = cent, .up_to = 100}}})) ==
        "tariff 'own': cpu.tiers[0].up_to is 100, and no tier has a price beyond");
  CHECK(why(own({.tiers = {{.price = cent, .up_to = 100}, {.price = cent, .up_to = 200}}})) ==
        "tariff 'own': cpu.tiers[1].up_to is 200, and no tier has a price beyond");
  CHECK(why(own({.tiers = {{.price = cent, .up_to = 1},
                           {.price = cent, .up_to = 2},
                           {.price = cent, .up_to = 3}}})) ==
        "tariff 'own': cpu.tiers[2].up_to is 3, the last tier has no limit");
  CHECK(why(own({.tiers = {{.price = cent, .up_to = 0}, {.price = cent}}})) ==
        "tariff 'own': cpu.tiers[0].up_to is 0, it must be above 0");
  CHECK(why(own({.tiers = {{.price = cent, .up_to = 2}, {.price = cent, .up_to = 2}}})) ==
        "tariff 'own': cpu.tiers[1].up_to is 2, it must be above 2");
  CHECK(why(own({.tiers = {{.price = cent}, {.price = cent}}})) ==
        "tariff 'own': cpu.tiers[1] comes after one without a limit (up_to)");

  CHECK(why({.name = "idle", .cpu = {.per = kCpuHour, .tiers = {{.price = cent}}}}) ==
        "tariff 'idle': cpu has a price, and billed_cpu is none");
  CHECK(why({.memory = {.per = kGbSecond, .tiers = {{.price = cent}}}}) ==
        "a tariff has prices and no name");
}

TEST_CASE("tariff: a runtime with a bad sheet is born stopped, and no bill has costs by one",
          "[tariff]") {
  const Tariff bad = own({.per = 730 * kCpuHour, .tiers = {{.price = Money::dollars(50)}}});
  const auto f = wisp::function("f", [] {});
  wisp::Runtime refused{wisp::Catalogue().add(f), {.tariff = bad}};
  CHECK(wisp::message(refused.status()) == why(bad));
  CHECK(refused.call(f).code() == wisp::StatusCode::kUnavailable);

  wisp::Runtime runtime{wisp::Catalogue().add(f), {.tariff = tariffs::aws_lambda_x86()}};
  REQUIRE(runtime.call(f).ok());
  const wisp::Bill bill = runtime.bill(1h, bad);
  REQUIRE(bill.lines.size() == 1);
  CHECK(bill.tariff.empty());
  CHECK(bill.total_quality == wisp::Quality::unavailable);
  CHECK(bill.lines.front().cost_quality == wisp::Quality::unavailable);
  CHECK(runtime.bill(1h).total > Money());
}
