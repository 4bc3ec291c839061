#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"
#include "rates.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::Money;
using wisp::Settings;
using wisp::Time;
using wisp::sim::World;

constexpr std::array<std::string_view, 2> kTwoTenants = {"acme", "umbrella"};

bool same(const Settings& a, const Settings& b) {
  const auto functions = [](const auto& x, const auto& y) {
    return x.name == y.name && x.concurrency == y.concurrency && x.per_second == y.per_second &&
           x.paused == y.paused;
  };
  const auto tenants = [](const auto& x, const auto& y) {
    return x.name == y.name && x.weight == y.weight && x.per_second == y.per_second;
  };
  const auto budgets = [](const auto& x, const auto& y) {
    return x.name == y.name && x.soft == y.soft && x.hard == y.hard &&
           x.soft_attempts == y.soft_attempts && x.hard_attempts == y.hard_attempts;
  };
  const auto equal = [](const auto& x, const auto& y, const auto& by) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), by);
  };
  return equal(a.functions, b.functions, functions) && equal(a.tenants, b.tenants, tenants) &&
         equal(a.budgets, b.budgets, budgets);
}

}  // namespace

TEST_CASE("settings: a limit holds for what begins after it, and cancels nothing", "[settings]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Random& random = world.random();
    int limit = static_cast<int>(seed % 4);  // 0: none
    bool paused = false;
    int inside = 0;
    int ended = 0;
    int accepted = 0;
    const auto work = wisp::function("work",
                                     [&](int ms, Context& context) -> wisp::Status {
                                       CHECK_FALSE(paused);
                                       if (limit > 0) CHECK(inside < limit);
                                       ++inside;
                                       const wisp::Status slept = context.sleep(ms * 1ms);
                                       --inside;
                                       ++ended;
                                       return slept;
                                     },
                                     {.limits = {.concurrency = limit}});
    const auto other = wisp::function("other", [] {}, {.limits = {.reserved = 2}});
    wisp::Catalogue functions;
    functions.add(work);
    if (seed % 3 == 0) functions.add(other);  // then the slots are shared ones
    wisp::Runtime runtime{functions, world.options({.adjustable = true})};
    REQUIRE(runtime.status().ok());
    const auto watch = wisp::test::watch_some(world, runtime);
    auto subscription = runtime.on("work").to(work);
    std::vector<wisp::Pending<void>> started;
    for (int n = 0; n < 80; ++n) {
      const int ms = static_cast<int>(wisp::uniform(random, 0, 6));
      const auto verb = wisp::uniform(random, 0, 3);
      if (verb == 0) {
        accepted += static_cast<int>(runtime.post(work, ms).ok());
      } else if (verb == 1) {
        accepted += static_cast<int>(runtime.emit("work", ms).ok());
      } else if (verb == 2) {
        started.push_back(runtime.start(work, ms));
        const bool refused = started.back().ready();
        if (paused) CHECK(refused);
        accepted += static_cast<int>(!refused);
      } else {
        // Those that have a slot are inside by now.
        world.run_until_idle();
        limit = static_cast<int>(wisp::uniform(random, 0, 4));
        paused = wisp::uniform(random, 0, 3) == 0;
        const wisp::Status changed = runtime.configure(
            {.functions = {{.name = "work", .concurrency = limit, .paused = paused}}});
        CHECK(changed.ok());
        if (paused) CHECK(wisp::message(runtime.call(work, 0)) == "function 'work' is paused");
      }
      if (n % 3 == 0) world.advance(wisp::uniform(random, 0, 5) * 1ms);
    }
    world.run_until_idle();
    limit = 0;
    paused = false;
    CHECK(runtime.configure({.functions = {{.name = "work", .concurrency = 0, .paused = false}}})
              .ok());
    world.advance(1min);
    CHECK(ended == accepted);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("settings: a pause holds what waited for its end too, which crowds nobody out",
          "[settings]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.threads_max = 2}};
    bool paused = true;
    int ran = 0;
    const auto work = wisp::function("work", [&](int, Context& context) {
      CHECK_FALSE(paused);
      ++ran;
      return context.sleep(1ms);
    });
    const auto other = wisp::function("other", [](int) {}, {.pool_only = true});
    wisp::Catalogue functions;
    functions.add(work).add(other);
    // Then the slots are shared ones, and a start may find none.
    if (seed % 3 == 0)
      functions.add(wisp::function("reserved", [] {}, {.limits = {.reserved = 2}}));
    wisp::RuntimeOptions options =
        world.options({.workers = {.max = 4}, .queue = {.count = 100}, .adjustable = true});
    if (seed % 2 == 0) options.tenants = {{.name = "acme"}};
    wisp::Runtime runtime{functions, std::move(options)};
    REQUIRE(runtime.status().ok());
    const auto set = [&](bool pause) {
      paused = pause;
      CHECK(runtime.configure({.functions = {{.name = "work", .paused = pause}}}).ok());
    };
    // Many routes, each with tokens of its own.
    std::vector<wisp::Subscription> subscriptions;
    for (int n = 0; n < 20; ++n) subscriptions.push_back(runtime.on("work").to(work));
    set(true);
    for (int n = 0; n < 20; ++n) REQUIRE(runtime.emit("work", n).ok());
    world.advance(1s);
    set(false);
    const auto beside = runtime.start(other, 0);
    world.advance(20ms);
    CHECK(beside.ready());  // not after all of them
    CHECK(ran < 50);
    for (int n = 0; n < 20; ++n) {
      set(false);
      for (int k = 0; k < 4; ++k) {
        const auto started = runtime.start(other, k);
        if (seed % 3 != 0) CHECK_FALSE(started.ready());
        if (k == 0) world.advance(wisp::uniform(world.random(), 0, 3) * 1ms);
      }
      set(true);
      world.advance(10ms);
    }
    CHECK(ran < 400);
    set(false);
    world.advance(10s);
    CHECK(ran == 400);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("settings: another rate holds from now on, for what waits for the old one too",
          "[settings]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    const bool of_tenant = seed % 2 == 0;
    std::vector<Time> entries;
    const auto work = wisp::function("work",
                                     [&](int n, Context& context) -> wisp::Status {
                                       entries.push_back(world.clock().now());
                                       if (n % 3 == 0 && context.attempt() == 1)
                                         return wisp::unavailable("not now");
                                       return wisp::Status();
                                     },
                                     {.retry = {.first_delay = 1ms}});
    wisp::Runtime runtime{wisp::Catalogue().add(work),
                          world.options({.tenants = {{.name = "acme"}}, .adjustable = true})};
    const auto set = [&](double per_second) {
      Settings settings;
      if (of_tenant) settings.tenants = {{.name = "acme", .per_second = per_second}};
      else settings.functions = {{.name = "work", .per_second = per_second}};
      CHECK(runtime.configure(settings).ok());
    };
    auto serial = runtime.on("n").deliver({.serial = !of_tenant}).to(work);
    set(1e-5);  // one in a day
    const wisp::CallOptions acme{.tenant = "acme"};
    for (int n = 0; n < 30; ++n) {
      REQUIRE(runtime.post(work, n, acme).ok());
      REQUIRE(runtime.emit("n", n, acme).ok());
    }
    world.advance(1h);
    CHECK(entries.size() == 1);
    CHECK(wisp::reason_of(runtime.call(work, 1, acme)) == wisp::Reason::rate);
    set(20);
    entries.clear();
    world.advance(1s);
    CHECK(entries.size() >= 19);
    wisp::test::check_rate(entries, 20, {});
    set(0);
    world.advance(1s);
    CHECK(runtime.stats().events.done == 60);
    CHECK(runtime.call(work, 1, acme).ok());
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("settings: a budget's new limit holds at once, both ways", "[settings]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    int ran = 0;
    const auto work = wisp::function("work", [&](int, Context& context) {
      ++ran;
      context.elapse(1ms);
    });
    wisp::Runtime runtime{
        wisp::Catalogue().add(work),
        world.options({.budgets = {{.name = "day's", .tenant = "acme", .hard_attempts = 5}}})};
    auto batches =
        runtime.on("n").deliver({.serial = seed % 2 == 0, .queue = {.count = 100}}).to(work);
    const wisp::CallOptions acme{.tenant = "acme"};
    for (int n = 0; n < 10; ++n) {
      // One after the other, so that nothing is in flight when it has run out.
      REQUIRE(runtime.post(work, n, acme).ok());
      world.advance(10ms);
      REQUIRE(runtime.emit("n", n, acme).ok());
      world.advance(10ms);
    }
    CHECK(ran == 5);
    world.advance(1h);
    CHECK(ran == 5);
    CHECK(runtime.configure({.budgets = {{.name = "day's", .hard_attempts = 12}}}).ok());
    world.advance(1s);
    // What had begun by then finishes.
    CHECK(ran >= 12);
    CHECK(ran <= 20);
    const int before = ran;
    CHECK(runtime.configure({.budgets = {{.name = "day's", .hard_attempts = 1}}}).ok());
    CHECK(wisp::reason_of(runtime.call(work, 1, acme)) == wisp::Reason::budget);
    world.advance(1h);
    CHECK(ran == before);
    CHECK(runtime.configure({.budgets = {{.name = "day's", .hard_attempts = 1'000}}}).ok());
    world.advance(1s);
    CHECK(ran == 20);
    CHECK(runtime.call(work, 1, acme).ok());
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("settings: another weight is the share from now on", "[settings]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.threads_max = 2}};
    std::array<int, 2> ran{};
    const auto work = wisp::function("work", [&](int who, Context& context) {
      ++ran[static_cast<std::size_t>(who)];
      return context.sleep(1ms);
    });
    wisp::Runtime runtime{wisp::Catalogue().add(work),
                          world.options({.tenants = {{.name = "acme"}, {.name = "umbrella"}}})};
    for (int n = 0; n < 6'000; ++n)
      for (int who = 0; who < 2; ++who)
        REQUIRE(
            runtime.post(work, who, {.tenant = kTwoTenants[static_cast<std::size_t>(who)]}).ok());
    world.advance(500ms);
    CHECK(ran[0] == Approx(ran[1]).margin(5));
    const int weight = static_cast<int>(wisp::uniform(world.random(), 2, 9));
    CHECK(runtime.configure({.tenants = {{.name = "acme", .weight = weight}}}).ok());
    ran = {};
    world.advance(1s);
    CHECK(static_cast<double>(ran[0]) / (ran[0] + ran[1]) ==
          Approx(static_cast<double>(weight) / (weight + 1)).margin(0.01));
    (void)runtime.stop(0s);
  });
}

TEST_CASE("settings: what is wrong is named, and then nothing changes", "[settings]") {
  World world{1};
  const auto work = wisp::function("work", [] {});
  wisp::Runtime runtime{wisp::Catalogue().add(work),
                        world.options({.budgets = {{.name = "b", .hard_attempts = 9}},
                                       .tenants = {{.name = "acme"}},
                                       .adjustable = true})};
  const Settings before = runtime.settings();
  REQUIRE(before.functions.size() == 1);
  CHECK(before.functions[0].concurrency == 0);
  CHECK(before.tenants.size() == 1);
  CHECK(before.budgets.size() == 1);
  const auto why = [&](Settings settings) {
    // Sound by itself.
    settings.functions.push_back({.name = "work", .concurrency = 3});
    const wisp::Status refused = runtime.configure(settings);
    CHECK_FALSE(refused.ok());
    CHECK(same(runtime.settings(), before));
    return std::string(wisp::message(refused));
  };
  CHECK(why({.functions = {{.name = "none"}}}) == "settings: function 'none' is not here");
  CHECK(why({.functions = {{.name = "work"}}}) == "settings: function 'work' is there twice");
  CHECK(why({.tenants = {{.name = "x"}}}) ==
        "settings: tenant 'x' is not in RuntimeOptions::tenants");
  CHECK(why({.tenants = {{.name = "acme", .weight = 0}}}) ==
        "settings: tenant 'acme': weight = 0 must be 1 to 10000");
  CHECK(why({.tenants = {{.name = "acme", .per_second = 1e9}}}) ==
        "settings: tenant 'acme': per_second = 1000000000 must be 0 or 1e-06 to 1000000");
  CHECK(why({.budgets = {{.name = "x"}}}) ==
        "settings: budget 'x' is not in RuntimeOptions::budgets");
  CHECK(why({.budgets = {{.name = "b", .hard_attempts = 0}}}) ==
        "settings: budget 'b': hard_attempts must be above 0");
  CHECK(why({.budgets = {{.name = "b", .hard = Money::dollars(1)}}}) ==
        "settings: budget 'b': without RuntimeOptions::tariff nothing has a cost");
  CHECK(why({.workers = {.max = 3}}) == "settings: workers: the Runtime has no pool of its own");
  wisp::Runtime plain{wisp::Catalogue().add(work), world.options()};
  CHECK(wisp::message(plain.configure({.functions = {{.name = "work", .paused = true}}})) ==
        "settings: function 'work': the Runtime was started without RuntimeOptions::adjustable");
  CHECK(wisp::message(runtime.configure({.functions = {{.name = "work", .concurrency = -1}}})) ==
        "settings: function 'work': concurrency = -1 must be 0 or more");
}

TEST_CASE("settings: each change is on the record", "[settings]") {
  World world{1};
  const auto work = wisp::function("work", [] {});
  std::vector<std::string> lines;
  std::vector<std::string> records;
  wisp::Runtime runtime{
      wisp::Catalogue().add(work),
      world.options({.log = [&](const wisp::LogRecord& line) { lines.emplace_back(line.text); },
                     .budgets = {{.name = "b", .hard_attempts = 9}},
                     .tenants = {{.name = "acme"}},
                     .adjustable = true})};
  auto watch = runtime.observe([&](const wisp::Record& record) {
    CHECK(record.step == wisp::Step::changed);
    records.push_back(to_string(record));
  });
  CHECK(runtime
            .configure({.functions = {{.name = "work", .concurrency = 3, .paused = false}},
                        .tenants = {{.name = "acme", .weight = 2, .per_second = 5}},
                        .budgets = {{.name = "b", .hard_attempts = 12}}})
            .ok());
  CHECK(lines == std::vector<std::string>{
                     "concurrency 0 -> 3", "tenant 'acme': weight 1 -> 2",
                     "tenant 'acme': per_second 0 -> 5",
                     "budget 'b': soft none, hard none, soft_attempts none, hard_attempts 9 -> "
                     "soft none, hard none, soft_attempts none, hard_attempts 12"});
  REQUIRE(records.size() == 4);
  CHECK(records[0] == "work: concurrency 0 -> 3");
  CHECK(records[1] == lines[1]);
  // The same again changes nothing.
  CHECK(runtime.configure(runtime.settings()).ok());
  CHECK(lines.size() == 4);
}
