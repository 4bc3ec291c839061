#include <wisp/engine/budget.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"

namespace {

using namespace wisp::literals;

using wisp::Budget;
using wisp::Money;

wisp::Tariff tariff() {
  return wisp::tariffs::own_hardware(
      {.per_core_hour = Money::dollars(3'600), .per_gb_hour = Money::dollars(3'600)});
}

wisp::Function<int, int> busy() {
  return wisp::function("busy", [](int rounds) {
    volatile unsigned sum = 0;
    for (int i = 0; i < rounds; ++i) sum = sum + static_cast<unsigned>(i);
    return static_cast<int>(sum);
  });
}

wisp::Money spent(const wisp::Runtime& runtime) { return runtime.stats().budgets.at(0).spent; }

}  // namespace

TEST_CASE("budgets: a Runtime with a bad one is born stopped, and says why", "[budget]") {
  const auto work = busy();
  const auto why = [&work](std::vector<Budget> budgets, wisp::Tariff priced = tariff()) {
    const wisp::Runtime runtime{wisp::Catalogue().add(work),
                                {.tariff = std::move(priced), .budgets = std::move(budgets)}};
    CHECK_FALSE(runtime.status().ok());
    return std::string(wisp::message(runtime.status()));
  };
  const Money one = Money::dollars(1);
  CHECK(why({{.name = "a", .hard = Money()}}) == "budget 'a': hard must be above 0");
  CHECK(why({{.name = "a", .hard = one}}, {}) ==
        "budget 'a': without RuntimeOptions::tariff nothing has a cost");
  CHECK(why({{.name = "a", .hard = one}, {.name = "a", .soft = one}}) ==
        "RuntimeOptions::budgets: two are called 'a'");
  CHECK(why({{.name = "a", .function = "buzy", .hard = one}}) ==
        "budget 'a': function 'buzy' is not in the catalogue");
  std::vector<Budget> many;
  for (std::size_t i = 0; i <= wisp::kBudgetsMax; ++i)
    many.push_back({.name = std::to_string(i), .hard = one});
  CHECK(why(many) == "RuntimeOptions::budgets: 1001 are more than 1000");
  many.pop_back();
  const wisp::Runtime most{wisp::Catalogue().add(work), {.tariff = tariff(), .budgets = many}};
  CHECK(most.status().ok());
}

TEST_CASE("budgets: what is spent is what the receipts say, on workers and on callers' threads",
          "[budget]") {
  const auto meter = GENERATE(wisp::Meter::sampled, wisp::Meter::batched, wisp::Meter::exact);
  const auto work = wisp::function("work", [](int n) { return n; }, {.meter = meter});
  wisp::Runtime runtime{
      wisp::Catalogue().add(work),
      {.tariff = tariff(), .budgets = {{.name = "all", .hard = Money::dollars(1'000'000)}}}};
  Money receipts;
  std::vector<wisp::Pending<int>> started;
  for (int i = 0; i < 1'000; ++i) started.push_back(runtime.start(work, i));
  for (auto& each : started) {
    REQUIRE(each.wait().ok());
    CHECK(each.receipt().cost_quality == wisp::Quality::estimated);
    receipts += each.receipt().cost;
  }
  CHECK(spent(runtime) == receipts);
  const Money before = spent(runtime);
  REQUIRE(runtime.call(work, 1).ok());
  CHECK(spent(runtime) >= before);
  CHECK(runtime.stats().functions.at(0).calls == 1'001);
}

TEST_CASE("budgets: calls beyond a hard limit are refused, those of others go on", "[budget]") {
  const auto work = busy();
  const auto other = wisp::function("other", [] {});
  wisp::Runtime runtime{
      wisp::Catalogue().add(work).add(other),
      {.tariff = tariff(),
       .budgets = {
           {.name = "work's", .function = "busy", .window = 24h, .hard = Money::picodollars(1)}}}};
  REQUIRE(runtime.call(work, 10'000).ok());
  const auto refused = [](const wisp::Status& status) {
    CHECK(status.code() == wisp::StatusCode::kResourceExhausted);
    CHECK(wisp::reason_of(status) == wisp::Reason::budget);
    CHECK(wisp::message(status).find("budget 'work's' has spent its 0.000000000001 USD") == 0);
  };
  refused(runtime.call(work, 1).status());
  refused(runtime.call<int>("busy", 1).status());
  refused(runtime.call(work, 1, {.idempotency_key = "once"}).status());
  auto started = runtime.start(work, 1);
  refused(started.wait().status());
  auto keyed = runtime.start(work, 1, {.idempotency_key = "twice"});
  refused(keyed.wait().status());
  auto here = runtime.on("n").deliver({.synchronous = true}).to(work);
  REQUIRE(runtime.emit("n", 1).ok());
  REQUIRE(runtime.dead_letters().list().size() == 1);
  refused(runtime.dead_letters().list().front().error);
  CHECK(runtime.call(other).ok());
  CHECK(runtime.stats().budgets.at(0).refused == 6);
  CHECK(runtime.stats().functions.at(0).calls == 1);
  // What is accepted waits, and is cancelled when the runtime stops.
  REQUIRE(runtime.post(work, 1).ok());
  const wisp::Stopped stopped = runtime.stop(10ms);
  CHECK(stopped.status.code() == wisp::StatusCode::kDeadlineExceeded);
  REQUIRE(stopped.abandoned.size() == 1);
  CHECK(stopped.abandoned.front().function == "busy");
}

TEST_CASE("budgets: started calls that are queued when it runs dry are refused", "[budget]") {
  const auto work = busy();
  wisp::Runtime runtime{
      wisp::Catalogue().add(work),
      {.workers = {.max = 1},
       .tariff = tariff(),
       .budgets = {{.name = "all", .window = 24h, .hard = Money::picodollars(1)}}}};
  std::vector<wisp::Pending<int>> started;
  for (int i = 0; i < 200; ++i) started.push_back(runtime.start(work, 100'000));
  int ok = 0;
  for (auto& each : started) {
    const wisp::Status status = wisp::status_of(each.wait());
    ok += static_cast<int>(status.ok());
    if (!status.ok()) CHECK(wisp::reason_of(status) == wisp::Reason::budget);
  }
  // The worker's and the waiter's.
  CHECK(ok >= 1);
  CHECK(ok <= 2);
}
