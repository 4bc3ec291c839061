#include <wisp/engine/budget.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using namespace std::chrono_literals;

using wisp::Budget;
using wisp::BudgetStats;
using wisp::Duration;
using wisp::Money;
using wisp::Time;
using wisp::detail::BudgetAccount;
using wisp::test::Seeded;
using wisp::test::test_seeds;

Budget hard(Duration window, Money limit) { return {.name = "b", .window = window, .hard = limit}; }

// What was spent, by adding it all up again.
struct SpentOracle {
  std::vector<std::pair<Time, Money>> spendings;

  Money since(Time from) const {
    Money sum;
    for (const auto& [time, cost] : spendings)
      if (time > from) sum += cost;
    return sum;
  }
};

}  // namespace

TEST_CASE("budget: a bad one is refused, and says what is wrong with it", "[budget]") {
  const auto why = [](const Budget& budget) {
    const wisp::Status status = check_budget(budget);
    CHECK(status.code() == wisp::StatusCode::kInvalidArgument);
    return std::string(wisp::message(status));
  };
  const Money one = Money::dollars(1);
  CHECK(why({.hard = one}).find("has no name") != std::string::npos);
  CHECK(why({.name = "b"}) ==
        "budget 'b': one of soft, hard, soft_attempts and hard_attempts must be set");
  CHECK(why({.name = "b", .hard = Money()}) == "budget 'b': hard must be above 0");
  CHECK(why({.name = "b", .soft = -one}) == "budget 'b': soft must be above 0");
  CHECK(why({.name = "b", .soft = 2 * one, .hard = one}).find("soft") != std::string::npos);
  CHECK(why({.name = "b", .hard_attempts = 0}) == "budget 'b': hard_attempts must be above 0");
  CHECK(why({.name = "b", .soft_attempts = 3, .hard_attempts = 2}) ==
        "budget 'b': soft_attempts must not be above hard_attempts");
  CHECK(why(hard(1s - 1ns, one)).find("window") != std::string::npos);
  CHECK(why(hard(wisp::kBudgetWindowMax + 1ns, one)).find("window") != std::string::npos);
  for (const Budget& good :
       {hard(1s, Money::max()), hard(wisp::kBudgetWindowMax, one), Budget{.name = "b", .soft = one},
        Budget{.name = "b", .soft = one, .hard = one}, Budget{.name = "b", .hard_attempts = 1},
        Budget{.name = "b", .soft = one, .soft_attempts = 1}})
    CHECK(check_budget(good).ok());
}

TEST_CASE("budget: it is spent when its limit is reached, until what is too much has left",
          "[budget]") {
  BudgetAccount account(hard(60s, Money::cents(10)));
  const Time start(1h);
  CHECK_FALSE(account.spent_until(start));
  account.spend(start, Money::cents(4));
  account.spend(start + 30s, Money::cents(5));
  CHECK_FALSE(account.spent_until(start + 30s));
  account.spend(start + 30s, Money::cents(1));
  // The first four cents go a part after their window has.
  CHECK(account.spent_until(start + 30s) == start + 61s);
  CHECK(account.spent_until(start + (61s - 1ns)) == start + 61s);
  CHECK(account.stats(start + (61s - 1ns)).spent == Money::cents(10));
  CHECK_FALSE(account.spent_until(start + 61s));
  CHECK(account.stats(start + 61s).spent == Money::cents(6));
  CHECK(account.stats(start + 1h).spent == Money());
}

TEST_CASE("budget: either limit spends it, and both have to leave", "[budget]") {
  BudgetAccount account({.name = "b", .window = 60s, .hard = Money::cents(10), .hard_attempts = 3});
  const Time start(1h);
  account.spend(start, Money::cents(1));
  account.spend(start + 10s, Money::cents(1));
  CHECK_FALSE(account.spent_until(start + 10s));
  account.spend(start + 20s, Money::cents(1));
  CHECK(account.spent_until(start + 20s) == start + 61s);
  account.spend(start + 30s, Money::cents(9));
  CHECK(account.stats(start + 30s).attempts == 4);
  // Until two attempts have left, and until three cents have.
  CHECK(account.spent_until(start + 30s) == start + 81s);
  CHECK_FALSE(account.spent_until(start + 81s));
}

TEST_CASE("budget: without a hard limit it is never spent", "[budget]") {
  BudgetAccount account({.name = "b", .window = 60s, .soft = Money::cents(1)});
  CHECK(account.spend(Time(1h), Money::dollars(5)));
  CHECK_FALSE(account.spent_until(Time(1h)));
}

TEST_CASE("budget: the soft limit warns once until the spending has fallen below it", "[budget]") {
  BudgetAccount account({.name = "b", .window = 60s, .soft = Money::cents(2)});
  const Time start(1h);
  CHECK_FALSE(account.spend(start, Money::cents(1)));
  CHECK(account.spend(start + 10s, Money::cents(1)));
  CHECK_FALSE(account.spend(start + 10s, Money::cents(5)));
  // The first cent leaves, and more than the limit is left.
  CHECK_FALSE(account.spend(start + 61s, Money::cents(1)));
  // Below it, and above it again.
  CHECK_FALSE(account.spend(start + 200s, Money::cents(1)));
  CHECK(account.spend(start + 201s, Money::cents(1)));
  CHECK(account.stats(start + 201s).warnings == 2);
}

TEST_CASE("budget: it covers what its tenant and tag are of", "[budget]") {
  Budget rules = hard(60s, Money::cents(1));
  CHECK(BudgetAccount(rules).covers("", ""));
  CHECK(BudgetAccount(rules).covers("acme", "nightly"));
  rules.tenant = "acme";
  CHECK(BudgetAccount(rules).covers("acme", ""));
  CHECK(BudgetAccount(rules).covers("acme", "nightly"));
  CHECK_FALSE(BudgetAccount(rules).covers("", ""));
  CHECK_FALSE(BudgetAccount(rules).covers("acme2", ""));
  rules.tag = "nightly";
  CHECK(BudgetAccount(rules).covers("acme", "nightly"));
  CHECK_FALSE(BudgetAccount(rules).covers("acme", ""));
  CHECK_FALSE(BudgetAccount(rules).covers("", "nightly"));
}

TEST_CASE("budget: a cost that makes no sense, or does not fit, breaks no sum", "[budget]") {
  BudgetAccount account(hard(60s, Money::cents(1)));
  const Time start(1h);
  account.spend(start, Money::cents(-5));
  CHECK(account.stats(start).spent == Money());
  for (int i = 0; i < 10; ++i) account.spend(start + i * 1s, Money::max());
  CHECK(account.stats(start + 9s).spent.saturated());
  CHECK(account.spent_until(start + 9s) == start + 70s);
  account.spend(start + 30s, Money::cents(3));
  CHECK(account.stats(start + 69s).spent.saturated());
  CHECK(account.stats(start + 70s).spent == Money::cents(3));
  CHECK(account.stats(start + 100s).spent == Money());
}

TEST_CASE("budget: what it has spent is the window's, over any seconds and jumps", "[budget]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    const Duration window = seed % 5 == 0
                                ? wisp::kBudgetWindowMax
                                : Duration(random.between(1'000'000'000, 3'000'000'000'000));
    const Duration part = (window + 59ns) / 60;
    const Money limit = Money::picodollars(random.between(1, 5'000));
    BudgetAccount account(hard(window, limit));
    SpentOracle oracle;
    // Where a clock's steady line begins means nothing.
    Time now(Duration(random.between(-2'000'000'000'000'000, 2'000'000'000'000'000)));
    for (int i = 0; i < 300; ++i) {
      const std::int64_t most = random.below(10) == 0 ? 3 * window.count() : window.count() / 40;
      now = now + Duration(random.between(0, most));
      if (random.below(3) != 0) {
        const Money cost = Money::picodollars(random.between(0, 400));
        account.spend(now, cost);
        oracle.spendings.emplace_back(now, cost);
      }
      const Money spent = account.stats(now).spent;
      CHECK(spent >= oracle.since(now + -window));
      CHECK(spent <= oracle.since(now + -(window + part)));
      const std::optional<Time> until = account.spent_until(now);
      REQUIRE(until.has_value() == (spent >= limit));
      if (!until || random.below(4) != 0) continue;
      // It is what it says, to the nanosecond.
      REQUIRE(*until > now);
      CHECK(*until <= now + window + part);
      now = *until + -1ns;
      CHECK(account.spent_until(now) == until);
      now = *until;
      CHECK_FALSE(account.spent_until(now));
    }
  }
}

TEST_CASE("budget: it lasts as long as time does", "[budget]") {
  BudgetAccount account(hard(1s, Money::picodollars(1)));
  account.spend(Time::never(), Money::picodollars(1));
  CHECK(account.spent_until(Time::never()) == Time::never());
}
