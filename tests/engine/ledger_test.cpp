#include <wisp/engine/detail/ledger.hpp>

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <wisp/model/tariff.hpp>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Duration;
using wisp::Meter;
using wisp::detail::Ledger;

struct CallOf {
  int line = 0;
  Duration wall{};
  Meter mode = Meter::batched;
  bool first = true;
  bool failed = false;
};

// One attempt that takes `wall` of the clock's time.
wisp::detail::Span::Taken attempt(Ledger& ledger, wisp::ManualClock& clock, const CallOf& call) {
  wisp::detail::Shard& shard = ledger.shard();
  wisp::detail::Span span(shard, call.line, call.mode);
  clock.advance(call.wall);
  const auto taken = span.end();
  ledger.record(shard, call.line, {.taken = taken, .first = call.first, .failed = call.failed});
  return taken;
}

const wisp::BillLine& only_line(const wisp::Bill& bill) {
  REQUIRE(bill.lines.size() == 1);
  return bill.lines.front();
}

}  // namespace

TEST_CASE("ledger: a line counts calls, attempts, errors and time", "[ledger]") {
  wisp::ManualClock clock;
  Ledger ledger(clock, {});
  const int line = ledger.line({.function = "f"});
  attempt(ledger, clock, {.line = line, .wall = 3ms, .failed = true});
  attempt(ledger, clock, {.line = line, .wall = 5ms, .first = false});
  attempt(ledger, clock, {.line = line, .wall = 7ms});
  const wisp::Bill bill = ledger.bill(1h, {});
  const wisp::BillLine& f = only_line(bill);
  CHECK(f.function == "f");
  CHECK(f.calls == 2);
  CHECK(f.attempts == 3);
  CHECK(f.errors == 1);
  CHECK(f.wall == 15ms);
  // A clock that a test moves has no CPU behind it: what stands there is the time itself.
  CHECK(f.cpu == 15ms);
  CHECK(f.cpu_quality == wisp::Quality::estimated);
  CHECK(f.cost_quality == wisp::Quality::unavailable);
  CHECK(bill.total_quality == wisp::Quality::unavailable);
  CHECK(bill.host_quality == wisp::Quality::unavailable);
  CHECK(bill.unattributed_quality == wisp::Quality::unavailable);
}

TEST_CASE("ledger: a nested call's time is its caller's wall time and not its CPU", "[ledger]") {
  wisp::ManualClock clock;
  Ledger ledger(clock, {});
  const int outer = ledger.line({.function = "outer"});
  const int inner = ledger.line({.function = "inner"});
  wisp::detail::Shard& shard = ledger.shard();
  wisp::detail::Span span(shard, outer, Meter::batched);
  clock.advance(2ms);
  for (int i = 0; i < 3; ++i) attempt(ledger, clock, {.line = inner, .wall = 4ms});
  clock.advance(1ms);
  ledger.record(shard, outer, {.taken = span.end()});
  const wisp::Bill bill = ledger.bill(1h, {});
  REQUIRE(bill.lines.size() == 2);
  CHECK(bill.lines[0].function == "inner");
  CHECK(bill.lines[0].cpu == 12ms);
  CHECK(bill.lines[1].wall == 15ms);
  CHECK(bill.lines[1].cpu == 3ms);
}

TEST_CASE("ledger: function, version, tenant and tag each make a line", "[ledger]") {
  wisp::ManualClock clock;
  Ledger ledger(clock, {});
  const int plain = ledger.line({.function = "f"});
  const int tenant = ledger.line({.function = "f", .tenant = "a"});
  const int tag = ledger.line({.function = "f", .tag = "a"});
  const int version = ledger.line({.function = "f", .version = 2});
  const std::vector<int> all{plain, tenant, tag, version};
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t k = 0; k < i; ++k) CHECK(all[i] != all[k]);
  CHECK(ledger.line({.function = "f", .tenant = "a"}) == tenant);
  for (const int line : all) attempt(ledger, clock, {.line = line, .wall = 1ms});
  CHECK(ledger.bill(1h, {}).lines.size() == 4);
  // The statistics of a function hold all its tenants and tags.
  const auto functions = ledger.functions();
  REQUIRE(functions.size() == 2);
  CHECK(functions[0].calls == 3);
  CHECK(functions[0].run.quantile(0.5) >= 937'500);
  CHECK(functions[0].wait.count() == 0);
  CHECK(functions[1].version == 2);
}

TEST_CASE("ledger: beyond its lines, tenants share their function's and functions share one",
          "[ledger]") {
  wisp::ManualClock clock;
  Ledger ledger(clock, {});
  int last = 0;
  for (int i = 0; i < wisp::detail::kLinesMax; ++i)
    last = ledger.line({.function = fmt::format("f{}", i)});
  CHECK(last == wisp::detail::kOthersLine);
  CHECK(ledger.line({.function = "f", .tenant = "t"}) == wisp::detail::kOthersLine);
  attempt(ledger, clock, {.line = last, .wall = 1ms});
  CHECK(only_line(ledger.bill(1h, {})).function == "(others)");
}

TEST_CASE("ledger: sampled calls are counted exactly and timed by one in sixteen", "[ledger]") {
  wisp::ManualClock clock;
  Ledger ledger(clock, {});
  const int line = ledger.line({.function = "f", .meter = Meter::sampled});
  const CallOf call{.line = line, .wall = 2ms, .mode = Meter::sampled};
  const auto first = attempt(ledger, clock, call);
  CHECK(first.timed);
  CHECK(first.wall_quality == wisp::Quality::estimated);
  CHECK(only_line(ledger.bill(1h, {})).wall == 2ms);  // one call stands for itself
  // The second tells how often they come.
  CHECK(attempt(ledger, clock, call).timed);
  int timed = 0;
  for (int i = 0; i < 160; ++i) timed += attempt(ledger, clock, call).timed ? 1 : 0;
  CHECK(timed == 10);
  const wisp::Bill bill = ledger.bill(1h, wisp::tariffs::aws_lambda_x86());
  CHECK(only_line(bill).calls == 162);
  CHECK(only_line(bill).wall == 162 * 2ms);
  CHECK(only_line(bill).cpu == 162 * 2ms);
  CHECK(only_line(bill).cpu_quality == wisp::Quality::estimated);
  CHECK(only_line(bill).cost_quality == wisp::Quality::estimated);
}

TEST_CASE("ledger: sampled calls that come rarely are all timed", "[ledger]") {
  wisp::ManualClock clock;
  Ledger ledger(clock, {});
  const int line = ledger.line({.function = "f", .meter = Meter::sampled});
  for (int i = 0; i < 100; ++i) {
    CHECK(attempt(ledger, clock, {.line = line, .mode = Meter::sampled}).timed);
    clock.advance(10s);
  }
  CHECK(only_line(ledger.bill(60s, {})).calls == 6);
}

TEST_CASE("ledger: a sampled call that is not timed takes its usual CPU off its caller's",
          "[ledger]") {
  wisp::ManualClock clock;
  Ledger ledger(clock, {});
  const int outer = ledger.line({.function = "outer"});
  const int inner = ledger.line({.function = "inner", .meter = Meter::sampled});
  wisp::detail::Shard& shard = ledger.shard();
  wisp::detail::Span span(shard, outer, Meter::batched);
  clock.advance(40us);
  for (int i = 0; i < 162; ++i)
    attempt(ledger, clock, {.line = inner, .wall = 10us, .mode = Meter::sampled});
  ledger.record(shard, outer, {.taken = span.end()});
  const wisp::Bill bill = ledger.bill(1h, {});
  REQUIRE(bill.lines.size() == 2);
  CHECK(bill.lines[0].cpu == 1'620us);
  CHECK(bill.lines[1].cpu == 40us);
  CHECK(bill.lines[1].wall == 1'660us);
}

TEST_CASE("ledger: a call belongs to the second that it ends in", "[ledger]") {
  wisp::ManualClock clock;
  Ledger ledger(clock, {});
  const int line = ledger.line({.function = "f"});
  const int other = ledger.line({.function = "other"});
  // Its CPU, still in an open batch, does not wait for the next call, an hour later.
  attempt(ledger, clock, {.line = line, .wall = 40us});
  clock.advance(1h);
  attempt(ledger, clock, {.line = other});
  CHECK(only_line(ledger.bill(10s, {})).function == "other");
  CHECK(ledger.bill(2h, {}).lines.front().cpu == 40us);
  clock.advance(1h);
  attempt(ledger, clock, {.line = line, .wall = 30s});
  for (const Duration window : {1s, 10s, 20s}) {
    const wisp::Bill bill = ledger.bill(window, {});
    CHECK(only_line(bill).calls == 1);
    CHECK(only_line(bill).cpu == 30s);
  }
}

TEST_CASE("ledger: a clock may begin at zero", "[ledger]") {
  struct Zero final : wisp::Clock {
    wisp::Time now() const override { return wisp::Time(passed); }
    wisp::WallTime wall() const override { return wisp::WallTime(); }
    Duration passed{};
  } clock;
  Ledger ledger(clock, {});
  const int f = ledger.line({.function = "f"});
  const int g = ledger.line({.function = "g"});
  for (const int line : {f, g, f}) {
    wisp::detail::Shard& shard = ledger.shard();
    wisp::detail::Span span(shard, line, Meter::batched);
    clock.passed += 5ms;
    ledger.record(shard, line, {.taken = span.end()});
  }
  const wisp::Bill bill = ledger.bill(1h, {});
  REQUIRE(bill.lines.size() == 2);
  CHECK(bill.lines[0].wall == 10ms);
  CHECK(bill.lines[1].wall == 5ms);
}

TEST_CASE("ledger: tenants and tags of any bytes are told apart", "[ledger]") {
  using namespace std::string_literals;
  wisp::ManualClock clock;
  Ledger ledger(clock, {});
  const int one = ledger.line({.function = "f", .tenant = "a\0b"s});
  const int two = ledger.line({.function = "f", .tenant = "a", .tag = "b\0"s});
  const int three = ledger.line({.function = "f", .tenant = "a", .tag = "b"});
  CHECK(one != two);
  CHECK(two != three);
}

TEST_CASE("ledger: lines sum to the total, and the total is the tariff's price", "[ledger]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    wisp::ManualClock clock;
    Ledger ledger(clock, {});
    std::vector<wisp::Usage> usage(5);
    std::vector<int> lines;
    for (int i = 0; i < 5; ++i)
      lines.push_back(ledger.line({.function = fmt::format("f{}", i), .memory_mb = 128 << i}));
    for (int i = 0; i < 200; ++i) {
      const auto pick = static_cast<std::size_t>(random.below(5));
      const Duration wall(random.between(0, 400'000'000));
      attempt(ledger, clock, {.line = lines[pick], .wall = wall});
      usage[pick] += wisp::Usage::of({.wall = wall, .cpu = wall});
    }
    for (const wisp::Tariff& tariff : wisp::tariffs::published()) {
      const wisp::Bill bill = ledger.bill(1h, tariff);
      std::vector<wisp::LineUsage> expected;
      for (int i = 0; i < 5; ++i)
        if (usage[static_cast<std::size_t>(i)].attempts > 0)
          expected.push_back({usage[static_cast<std::size_t>(i)], 128 << i});
      CHECK(bill.tariff == tariff.name);
      CHECK(bill.total == price_lines(tariff, expected).total);
      wisp::Money sum;
      for (const wisp::BillLine& each : bill.lines) sum = sum + each.cost;
      CHECK(sum == bill.total);
      CHECK(bill.total_quality == wisp::Quality::measured);
    }
  }
}

// The oracle: every call with its time. A window covers whole buckets: of a second, beyond a
// minute's age of a minute, beyond a day's of an hour.
TEST_CASE("ledger: a window covers what it says, and at most a bucket more", "[ledger]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    wisp::ManualClock clock;
    Ledger ledger(clock, {});
    const int line = ledger.line({.function = "f"});
    const wisp::Time began = clock.now();
    std::vector<wisp::Time> calls;
    for (int i = 0; i < 300; ++i) {
      constexpr Duration kGaps[] = {1ms, 1s, 30s, 10min, 5h};
      clock.advance(Duration(random.between(0, kGaps[random.below(5)].count())));
      calls.push_back(clock.now());
      attempt(ledger, clock, {.line = line});
      if (random.below(10) != 0) continue;
      constexpr Duration kWindows[] = {1s, 10s, 1min, 1h, 24h, 768h};
      const Duration window(random.between(1, kWindows[random.below(6)].count()));
      const Duration age = clock.now() - began;
      const Duration bucket = window <= 58s ? 1s : window <= 1438min ? 1min : Duration(1h);
      const auto since = [&](Duration d) {
        const wisp::Time from(clock.now().since_origin() - d);
        return static_cast<std::uint64_t>(
            std::count_if(calls.begin(), calls.end(), [&](wisp::Time t) { return t > from; }));
      };
      const wisp::Bill bill = ledger.bill(window, {});
      const std::uint64_t counted = bill.lines.empty() ? 0 : bill.lines.front().calls;
      INFO("window " << window.count() << " age " << age.count());
      CHECK(counted >= since(std::min(window, Duration(767h))));
      CHECK(counted <= since(window + bucket + 1s));
      CHECK(bill.window >= std::min({window, age, Duration(768h)}));
    }
  }
}

TEST_CASE("ledger: what ended threads counted stays", "[ledger]") {
  Ledger ledger(wisp::Clock::system(), {});
  const int line = ledger.line({.function = "f"});
  std::uint64_t expected = 0;
  for (int i = 0; i < 100; ++i) {
    std::thread([&] {
      for (int k = 0; k <= i; ++k) {
        wisp::detail::Shard& shard = ledger.shard();
        wisp::detail::Span span(shard, line, Meter::batched);
        ledger.record(shard, line, {.taken = span.end()});
      }
    }).join();
    expected += static_cast<std::uint64_t>(i) + 1;
  }
  CHECK(only_line(ledger.bill(1h, {})).calls == expected);
  CHECK(ledger.functions().back().calls == expected);
}

TEST_CASE("ledger: bills while threads count see each figure grow, and in the end all of it",
          "[ledger]") {
  Ledger ledger(wisp::Clock::system(), {});
  constexpr int kThreads = 4;
  constexpr int kCalls = 5'000;
  std::vector<int> lines;
  for (int i = 0; i < 3; ++i) lines.push_back(ledger.line({.function = fmt::format("f{}", i)}));
  std::atomic<int> running{kThreads};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kCalls; ++i) {
        const int line = lines[static_cast<std::size_t>(i + t) % lines.size()];
        wisp::detail::Shard& shard = ledger.shard();
        wisp::detail::Span span(shard, line, i % 2 == 0 ? Meter::batched : Meter::exact);
        ledger.record(shard, line, {.taken = span.end(), .waited = true, .wait_ns = 100});
      }
      --running;
    });
  }
  std::uint64_t before = 0;
  bool grew = true;
  while (running.load() > 0) {
    std::uint64_t now = 0;
    for (const wisp::BillLine& each : ledger.bill(1h, {}).lines) now += each.calls;
    grew = grew && now >= before;
    before = now;
    (void)ledger.functions();
  }
  for (std::thread& each : threads) each.join();
  CHECK(grew);
  std::uint64_t total = 0;
  for (const wisp::BillLine& each : ledger.bill(1h, {}).lines) total += each.calls;
  CHECK(total == kThreads * kCalls);
}

// A thread-local object that is older than its thread's first call ends after what wisp keeps.
TEST_CASE("ledger: destructors of a thread that ends may still call", "[ledger]") {
  struct Late {
    std::vector<std::pair<Ledger*, int>> calls;
    ~Late() {
      for (int i = 0; i < 10; ++i) {
        for (const auto& [ledger, line] : calls) {
          wisp::detail::Shard& shard = ledger->shard();
          wisp::detail::Span span(shard, line, Meter::batched);
          ledger->record(shard, line, {.taken = span.end()});
        }
      }
    }
  };
  Ledger one(wisp::Clock::system(), {});
  Ledger two(wisp::Clock::system(), {});
  const int in_one = one.line({.function = "f"});
  const int in_two = two.line({.function = "g"});
  constexpr int kThreads = 8;
  for (int round = 0; round < 20; ++round) {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        thread_local Late late;
        late.calls = {{&one, in_one}, {&two, in_two}};
        for (int i = 0; i < 100; ++i) {
          wisp::detail::Shard& shard = one.shard();
          wisp::detail::Span span(shard, in_one, Meter::batched);
          one.record(shard, in_one, {.taken = span.end()});
        }
      });
    }
    for (std::thread& each : threads) each.join();
  }
  CHECK(only_line(one.bill(1h, {})).calls == 20 * kThreads * 110);
  CHECK(only_line(two.bill(1h, {})).calls == 20 * kThreads * 10);
}

TEST_CASE("ledger: a thread meets many ledgers in turn and keeps none of the ended ones",
          "[ledger]") {
  for (int i = 0; i < 500; ++i) {
    wisp::ManualClock clock;
    Ledger ledger(clock, {});
    const int line = ledger.line({.function = "f"});
    attempt(ledger, clock, {.line = line, .wall = 1ms});
    CHECK(only_line(ledger.bill(1h, {})).wall == 1ms);
  }
}
