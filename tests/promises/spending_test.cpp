#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Budget;
using wisp::Context;
using wisp::Duration;
using wisp::Money;
using wisp::Time;
using wisp::sim::World;

constexpr std::array<std::string_view, 3> kTenants = {"", "acme", "umbrella"};
constexpr std::array<std::string_view, 2> kTags = {"", "nightly"};

wisp::Tariff tariff() {
  return wisp::tariffs::own_hardware({.per_gb_hour = Money::dollars(3'600)});  // a cent in 10 ms
}

wisp::RuntimeOptions acme_has_ten_cents(Duration window) {
  return {.tariff = tariff(),
          .budgets = {
              {.name = "acme's", .tenant = "acme", .window = window, .hard = Money::cents(10)}}};
}

// An attempt that has ended, and what it cost.
struct Paid {
  Time at;
  std::string function, tenant, tag;
  Money cost;
};

bool covers(const Budget& budget, std::string_view function, std::string_view tenant,
            std::string_view tag) {
  return (budget.function.empty() || budget.function == function) &&
         (budget.tenant.empty() || budget.tenant == tenant) &&
         (budget.tag.empty() || budget.tag == tag);
}

template <class T, std::size_t n>
const T& any_of(const std::array<T, n>& all, wisp::Random& random) {
  return all[static_cast<std::size_t>(wisp::uniform(random, 0, n - 1))];
}

class Books {
 public:
  Books(World& world, std::vector<Budget> budgets) : world_(world), budgets_(std::move(budgets)) {}

  // What `budget` has paid for in its window, or that and a sixtieth.
  Money spent(const Budget& budget, Duration window) const {
    Money sum;
    for (const Paid& each : paid_) {
      if (each.at > world_.clock().now() + -window &&
          covers(budget, each.function, each.tenant, each.tag))
        sum += each.cost;
    }
    return sum;
  }

  // The same of attempts.
  std::int64_t attempts(const Budget& budget, Duration window) const {
    return std::count_if(paid_.begin(), paid_.end(), [&](const Paid& each) {
      return each.at > world_.clock().now() + -window &&
             covers(budget, each.function, each.tenant, each.tag);
    });
  }

  // A handler is entered: none of its budgets has spent its all.
  void enters(std::string_view function, std::string_view tenant, std::string_view tag) {
    ++entered;
    for (const Budget& each : budgets_) {
      if (!covers(each, function, tenant, tag)) continue;
      if (each.hard && spent(each, each.window) >= *each.hard)
        FAIL_CHECK("'" << each.name << "' has spent " << to_string(spent(each, each.window)));
      if (each.hard_attempts && attempts(each, each.window) >= *each.hard_attempts)
        FAIL_CHECK("'" << each.name << "' had " << attempts(each, each.window) << " attempts");
    }
  }
  void pays(const wisp::FunctionOptions& options, std::string function, std::string_view tenant,
            std::string_view tag, Duration wall) {
    const wisp::Usage usage = wisp::Usage::of({.wall = wall});
    paid_.push_back({world_.clock().now(), std::move(function), std::string(tenant),
                     std::string(tag), tariff().marginal(usage, options.memory_mb)});
  }

  // What the runtime says is what was paid, but for what leaves the window late.
  void check(const wisp::RuntimeStats& stats) const {
    REQUIRE(stats.budgets.size() == budgets_.size());
    for (std::size_t i = 0; i < budgets_.size(); ++i) {
      const Budget& each = budgets_[i];
      INFO("budget " << each.name);
      CHECK(stats.budgets[i].name == each.name);
      const auto had = static_cast<std::int64_t>(stats.budgets[i].attempts);
      CHECK(had >= attempts(each, each.window));
      CHECK(had <= attempts(each, each.window + each.window / 60 + 1ns));
      CHECK(stats.budgets[i].spent >= spent(each, each.window));
      CHECK(stats.budgets[i].spent <= spent(each, each.window + each.window / 60 + 1ns));
    }
  }

  int entered = 0;

 private:
  World& world_;
  const std::vector<Budget> budgets_;
  std::vector<Paid> paid_;
};

std::vector<Budget> any_budgets(wisp::Random& random) {
  constexpr std::array<std::string_view, 3> kFunctions = {"", "small", "large"};
  std::vector<Budget> budgets;
  for (std::int64_t i = wisp::uniform(random, 1, 3); i > 0; --i) {
    const Money limit = wisp::uniform(random, 1, 8) * Money::picodollars(12'345'678'901);
    budgets.push_back({.name = "budget " + std::to_string(i),
                       .function = std::string(any_of(kFunctions, random)),
                       .tenant = std::string(any_of(kTenants, random)),
                       .tag = std::string(any_of(kTags, random)),
                       .window = wisp::uniform(random, 1'000, 300'000) * 1ms,
                       .soft = limit.scaled(1, 2)});
    if (wisp::uniform(random, 0, 4) != 0) budgets.back().hard = limit;
    if (wisp::uniform(random, 0, 2) == 0)
      budgets.back().hard_attempts = wisp::uniform(random, 1, 9);
  }
  return budgets;
}

}  // namespace

TEST_CASE("spending: no handler is entered that a budget has no money for, and nothing is lost",
          "[spending]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    const std::vector<Budget> budgets = any_budgets(world.random());
    Books books(world, budgets);
    const auto handler = [&](const wisp::FunctionOptions& options, std::string_view name) {
      return wisp::function(
          name,
          [&books, &world, options, name](int n, Context& context) -> wisp::Status {
            const std::string tenant(context.tenant());
            const std::string tag(context.lineage().tag);
            books.enters(name, tenant, tag);
            const Time began = world.clock().now();
            if (n % 2 == 0) context.elapse(n % 5 * 7ms);
            const wisp::Status slept = context.sleep(n % 7 * 3ms);
            books.pays(options, std::string(name), tenant, tag, world.clock().now() - began);
            if (!slept.ok()) return slept;
            return n % 4 == 0 && context.attempt() == 1 ? wisp::unavailable("not now")
                                                        : wisp::Status();
          },
          options);
    };
    const auto small =
        handler({.retry = {.attempts = 3, .first_delay = 10ms}, .memory_mb = 256}, "small");
    const auto large = handler({.retry = {.attempts = 2}, .memory_mb = 1'024}, "large");
    wisp::Runtime runtime{wisp::Catalogue().add(small).add(large),
                          world.options({.tariff = tariff(), .budgets = budgets})};
    REQUIRE(runtime.status().ok());
    const auto watch = wisp::test::watch_some(world, runtime);
    auto events = runtime.on("n").to(large);
    auto serial = runtime.on("n").deliver({.serial = true}).to(small);
    std::uint64_t refused = 0;
    const auto answered = [&](const wisp::Status& status) {
      if (wisp::reason_of(status) != wisp::Reason::budget) return;
      CHECK(status.code() == wisp::StatusCode::kResourceExhausted);
      CHECK(wisp::message(status).find("budget '") == 0);
      ++refused;
    };
    std::vector<wisp::Pending<void>> started;
    for (int n = 0; n < 12; ++n) {
      const std::string tenant(any_of(kTenants, world.random()));
      const std::string tag(any_of(kTags, world.random()));
      const wisp::CallOptions options{.tenant = tenant, .tag = tag};
      REQUIRE(runtime.emit("n", n, options).ok());
      REQUIRE(runtime.post(n % 2 == 0 ? small : large, n, options).ok());
      answered(runtime.call(small, n, options));
      started.push_back(runtime.start(large, n, options));
      if (n % 3 == 0) answered(runtime.call(large, n));
      world.advance(wisp::uniform(world.random(), 0, 3'000) * 1ms);
      books.check(runtime.stats());
    }
    for (auto& each : started) answered(each.wait());
    world.advance(5h);
    const wisp::RuntimeStats stats = runtime.stats();
    books.check(stats);
    CHECK(stats.events.done == 36);
    std::uint64_t said = 0;
    for (const wisp::BudgetStats& each : stats.budgets) said += each.refused;
    CHECK(said == refused);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("spending: a budget that has run dry makes deliveries wait, and tells once",
          "[spending]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    std::vector<std::string> lines;
    int dear = 0;
    int free = 0;
    const auto work = wisp::function("work",
                                     [&](Context& context) {
                                       ++(context.tenant() == "acme" ? dear : free);
                                       context.elapse(100ms);  // ten cents
                                     },
                                     {.memory_mb = 1'024});
    const int limit = static_cast<int>(wisp::uniform(world.random(), 1, 5));
    wisp::Runtime runtime{
        wisp::Catalogue().add(work),
        world.options({.tariff = tariff(),
                       .log = [&](const wisp::LogRecord& line) { lines.emplace_back(line.text); },
                       .budgets = {{.name = "acme's",
                                    .tenant = "acme",
                                    .window = 1min,
                                    .soft = Money::cents(5 * limit),
                                    .hard = Money::cents(10 * limit)}}})};
    // One after the other, so that nothing is in flight when it runs dry.
    for (int n = 0; n < 20; ++n) {
      REQUIRE(runtime.post(work, {.tenant = "acme"}).ok());
      REQUIRE(runtime.post(work, {.tenant = "umbrella"}).ok());
      world.advance(200ms);
    }
    CHECK(dear == limit);
    CHECK(free == 20);
    CHECK(lines == std::vector<std::string>{"budget 'acme's' has reached its soft limit of " +
                                            to_string(Money::cents(5 * limit)) + " USD"});
    CHECK(wisp::reason_of(runtime.call(work, {.tenant = "acme"})) == wisp::Reason::budget);
    CHECK(runtime.call(work, {.tenant = "umbrella"}).ok());
    // A minute on, what was spent has left.
    world.advance(10s);
    CHECK(dear == limit);
    world.advance(1min);
    CHECK(dear > limit);
    world.advance(1h);
    CHECK(dear == 20);
    CHECK(runtime.stats().budgets[0].refused == 1);
    CHECK(runtime.stats().budgets[0].put_off >= 20 - static_cast<std::uint64_t>(limit));
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("spending: batches wait for their items' money, and what is put off too long expires",
          "[spending]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    std::vector<int> seen;
    const auto work = wisp::function("work",
                                     [&](const wisp::Batch<int>& batch, Context& context) {
                                       for (const int each : batch) seen.push_back(each);
                                       context.elapse(100ms);
                                     },
                                     {.memory_mb = 1'024});
    wisp::Runtime runtime{wisp::Catalogue().add(work), world.options(acme_has_ten_cents(48h))};
    const auto single = wisp::function("single", [](Context& context) { context.elapse(1s); },
                                       {.memory_mb = 1'024});
    REQUIRE(runtime.registry().add(single).ok());
    auto batches = runtime.on("n").deliver({.batch = {.size = 4}}).to(work);
    REQUIRE(batches.status().ok());
    const auto emit = [&](int n, std::string_view tenant) {
      REQUIRE(runtime.emit("n", n, {.tenant = tenant}).ok());
    };
    for (int n = 0; n < 4; ++n) emit(n, "acme");
    world.advance(1s);
    CHECK(seen == std::vector<int>{0, 1, 2, 3});
    // From here on there is none for acme's, whatever batch they are in.
    for (int n = 4; n < 24; ++n) emit(n, n % 2 == 0 ? "acme" : "umbrella");
    REQUIRE(runtime.post(single, {.tenant = "acme"}).ok());
    world.advance(5h);
    CHECK(seen.size() == 14);
    CHECK(std::all_of(seen.begin() + 4, seen.end(), [](int n) { return n % 2 == 1; }));
    CHECK(runtime.stats().events.expired == 0);
    world.advance(1h + 1min);
    CHECK(seen.size() == 14);
    CHECK(runtime.stats().events.expired == 11);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("spending: what is put off takes nothing of the rate", "[spending]") {
  World world{1};
  int calls = 0;
  const auto work = wisp::function("work",
                                   [&](Context& context) {
                                     ++calls;
                                     context.elapse(100ms);
                                   },
                                   {.limits = {.per_second = 1}, .memory_mb = 1'024});
  wisp::Runtime runtime{wisp::Catalogue().add(work), world.options(acme_has_ten_cents(1h))};
  for (int n = 0; n < 10; ++n) REQUIRE(runtime.post(work, {.tenant = "acme"}).ok());
  for (int n = 0; n < 10; ++n) REQUIRE(runtime.post(work, {.tenant = "umbrella"}).ok());
  world.advance(12s);
  CHECK(calls == 1 + 10);
}

TEST_CASE("spending: a serial route keeps its order whoever has to wait", "[spending]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    std::vector<int> seen;
    const auto work = wisp::function("work",
                                     [&](const wisp::Batch<int>& batch, Context& context) {
                                       context.elapse(100ms);
                                       // Some go alone or not at all.
                                       for (const int each : batch) {
                                         if (each % 5 == 0 && batch.size() > 1)
                                           return wisp::invalid_argument("too many");
                                       }
                                       for (const int each : batch) seen.push_back(each);
                                       return wisp::Status();
                                     },
                                     {.memory_mb = 1'024});
    wisp::Runtime runtime{wisp::Catalogue().add(work), world.options(acme_has_ten_cents(1min))};
    const int size = static_cast<int>(wisp::uniform(world.random(), 1, 5));
    auto batches =
        runtime.on("n").deliver({.serial = true, .batch = {.size = size, .window = 1s}}).to(work);
    REQUIRE(batches.status().ok());
    std::vector<int> sent;
    for (int n = 0; n < 20; ++n) {
      sent.push_back(n);
      const std::string tenant(any_of(kTenants, world.random()));
      REQUIRE(runtime.emit("n", n, {.tenant = tenant}).ok());
      if (n % 4 == 0) world.advance(wisp::uniform(world.random(), 0, 90) * 1s);
    }
    world.advance(2h);
    CHECK(seen == sent);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("spending: a batch that fails comes to its end, however little there is to spend",
          "[spending]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.threads_max = static_cast<int>(seed % 4) + 1}};
    int calls = 0;
    const auto work = wisp::function("work",
                                     [&](const wisp::Batch<int>& batch, Context& context) {
                                       ++calls;
                                       context.elapse(100ms);
                                       for (const int each : batch)
                                         if (each == 2) return wisp::invalid_argument("poison");
                                       return wisp::Status();
                                     },
                                     {.memory_mb = 1'024});
    // One attempt in each window.
    wisp::Runtime runtime{
        wisp::Catalogue().add(work),
        world.options({.tariff = tariff(),
                       .budgets = {{.name = "all", .window = 1s, .hard = Money::picodollars(1)}}})};
    auto batches = runtime.on("n").deliver({.batch = {.size = 4}}).to(work);
    for (int n = 0; n < 4; ++n) REQUIRE(runtime.emit("n", n).ok());
    world.advance(10min);
    const wisp::EventStats events = runtime.stats().events;
    CHECK(events.done == 3);
    CHECK(events.dead == 1);
    CHECK(calls <= 1 + 2 + 4);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("spending: a batch that is put off takes nothing of the rate", "[spending]") {
  World world{1};
  int calls = 0;
  const auto work = wisp::function("work",
                                   [&](const wisp::Batch<int>&, Context& context) {
                                     ++calls;
                                     context.elapse(100ms);
                                   },
                                   {.limits = {.per_second = 1}, .memory_mb = 1'024});
  wisp::Runtime runtime{wisp::Catalogue().add(work), world.options(acme_has_ten_cents(1h))};
  auto batches = runtime.on("n").deliver({.batch = {.size = 1}}).to(work);
  for (int n = 0; n < 10; ++n) REQUIRE(runtime.emit("n", n, {.tenant = "acme"}).ok());
  for (int n = 0; n < 10; ++n) REQUIRE(runtime.emit("n", n, {.tenant = "umbrella"}).ok());
  world.advance(12s);
  CHECK(calls == 1 + 10);
}
