#include <wisp/engine/meter.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <wisp/engine/detail/ledger.hpp>
#include <wisp/model/tariff.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "runtime/burning.hpp"
#include "seeds.hpp"

namespace {

using namespace std::chrono_literals;

void call_once(wisp::detail::Ledger& ledger, wisp::ManualClock& clock, int line,
               wisp::Meter meter = wisp::Meter::batched) {
  wisp::detail::Shard& shard = ledger.shard();
  wisp::detail::Span span(shard, line, meter);
  clock.advance(1ms);
  ledger.record(shard, line, {.taken = span.end()});
}

}  // namespace

// Of one that was asked for two minutes, a minute before them was counted too, and not said.
TEST_CASE("bill: its window is what its lines cover", "[bill]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    wisp::ManualClock clock;
    wisp::detail::Ledger ledger(clock, {});
    const int line = ledger.line({.function = "f"});
    std::vector<wisp::Time> ends;
    for (int i = 0; i < 300; ++i) {
      constexpr wisp::Duration kGaps[] = {1ms, 1s, 30s, 10min, 5h};
      clock.advance(wisp::Duration(random.between(0, kGaps[random.below(5)].count())));
      call_once(ledger, clock, line);
      ends.push_back(clock.now());
      if (random.below(10) != 0) continue;
      constexpr wisp::Duration kWindows[] = {1s, 10s, 1min, 2min, 1h, 24h, 700h};
      const std::int64_t most = kWindows[random.below(7)].count();
      const wisp::Duration asked(random.below(2) == 0 ? most : random.between(1, most));
      const wisp::Bill bill = ledger.bill(asked, {});
      const wisp::Time since = clock.now() + -bill.window;
      const auto within = std::count_if(ends.begin(), ends.end(),
                                        [since](wisp::Time each) { return each >= since; });
      INFO("asked for " << asked.count() << ", says " << bill.window.count());
      CHECK((bill.lines.empty() ? 0U : bill.lines.front().calls) ==
            static_cast<std::uint64_t>(within));
      const wisp::Duration bucket = asked <= 1min ? 1s : asked <= 24h ? 1min : wisp::Duration(1h);
      CHECK(bill.window < asked + bucket + 1s);
    }
  }
}

TEST_CASE("bill: a free allowance is the month's, not each bill's", "[bill]") {
  wisp::ManualClock clock;
  wisp::detail::Ledger ledger(clock, {});
  const int line = ledger.line({.function = "f", .memory_mb = 1'024});
  // A million requests are free, and twice of that are used.
  const wisp::Tariff tariff = wisp::tariffs::aws_lambda_x86({.free_tier = true});
  wisp::Units month;
  wisp::Money sum;
  for (int hour = 0; hour < 4; ++hour) {
    wisp::detail::Shard& shard = ledger.shard();
    for (int i = 0; i < 500'000; ++i) {
      wisp::detail::Span span(shard, line, wisp::Meter::batched);
      ledger.record(shard, line, {.taken = span.end()});
    }
    clock.advance(30min);
    const wisp::Bill bill = ledger.bill(50min, tariff, month);
    CHECK(bill.units.requests == 500'000);
    CHECK((bill.total == wisp::Money()) == (hour < 2));
    month += bill.units;
    sum = sum + bill.total;
    clock.advance(90min);
  }
  CHECK(sum == tariff.price(month));
}

TEST_CASE("bill: its total is no better known than its lines", "[bill]") {
  wisp::ManualClock clock;
  wisp::detail::Ledger ledger(clock, {});
  const wisp::Tariff tariff = wisp::tariffs::aws_lambda_x86();
  call_once(ledger, clock, ledger.line({.function = "exact"}));
  CHECK(ledger.bill(1h, tariff).total_quality == wisp::Quality::measured);
  call_once(ledger, clock, ledger.line({.function = "f", .meter = wisp::Meter::sampled}),
            wisp::Meter::sampled);
  CHECK(ledger.bill(1h, tariff).total_quality == wisp::Quality::estimated);
  CHECK(ledger.bill(1h, {}).total_quality == wisp::Quality::unavailable);
}

namespace {

// A function that calls itself, as often as Fibonacci's.
void call_fibonacci(wisp::detail::Ledger& ledger, wisp::ManualClock& clock, int line,
                    wisp::Meter meter, int n) {
  wisp::detail::Shard& shard = ledger.shard();
  wisp::detail::Span span(shard, line, meter);
  clock.advance(1us);
  if (n > 1) {
    call_fibonacci(ledger, clock, line, meter, n - 1);
    call_fibonacci(ledger, clock, line, meter, n - 2);
  }
  ledger.end_and_record(shard, span, true, false);
}

}  // namespace

// Each call that was timed within another stood for the same ones that were not, until there were
// fewer than none of these.
TEST_CASE("bill: sampled calls within each other cost about what they cost", "[bill]") {
  const wisp::Tariff tariff = wisp::tariffs::aws_lambda_x86();
  std::vector<wisp::Bill> bills;
  for (const wisp::Meter meter : {wisp::Meter::batched, wisp::Meter::sampled}) {
    wisp::ManualClock clock;
    wisp::detail::Ledger ledger(clock, {});
    const int line = ledger.line({.function = "fibonacci", .meter = meter});
    for (int i = 0; i < 200; ++i) call_fibonacci(ledger, clock, line, meter, i % 12);
    bills.push_back(ledger.bill(1h, tariff));
  }
  const wisp::BillLine& exact = bills[0].lines.at(0);
  const wisp::BillLine& sampled = bills[1].lines.at(0);
  CHECK(sampled.calls == exact.calls);
  CHECK(sampled.wall < 2 * exact.wall);
  CHECK(2 * sampled.wall > exact.wall);
  CHECK(bills[1].total < bills[0].total + bills[0].total);
}

namespace {

// The system's, and as far ahead of it as a test wants.
class AheadClock final : public wisp::Clock {
 public:
  wisp::Time now() const override { return wisp::Clock::system().now() + ahead_.load(); }
  wisp::WallTime wall() const override { return wisp::Clock::system().wall(); }
  bool real() const override { return true; }
  void advance(wisp::Duration d) { ahead_ = ahead_.load() + d; }

 private:
  std::atomic<wisp::Duration> ahead_{};
};

// A thread of wisp's own that runs no handler.
class OwnThread {
 public:
  OwnThread(wisp::detail::Ledger& ledger, wisp::Duration cpu)
      : thread_([this, &ledger, cpu] {
          ledger.thread_begins();
          wisp::test::Truth truth;
          wisp::test::burn(cpu.count(), truth);
          burnt_.pass();
          ledger.thread_ends();
        }) {
    burnt_.await(1);
  }
  void end() {
    burnt_.open();
    thread_.join();
  }

 private:
  wisp::test::Gate burnt_;
  std::thread thread_;
};

}  // namespace

// It was in each bill, however short, and in none once the thread had ended.
TEST_CASE("bill: what wisp's own threads have used is in the windows of its time alone", "[bill]") {
  AheadClock clock;
  wisp::detail::Ledger ledger(clock, {});
  OwnThread thread(ledger, 200ms);
  const wisp::Bill first = ledger.bill(1s, {});
  CHECK(first.unattributed_quality == wisp::Quality::measured);
  CHECK(first.unattributed >= 200ms);
  clock.advance(10s);
  CHECK(ledger.bill(2s, {}).unattributed < 100ms);
  CHECK(ledger.bill(1min, {}).unattributed >= 200ms);
  thread.end();
  CHECK(ledger.bill(2s, {}).unattributed < 100ms);
  CHECK(ledger.bill(1min, {}).unattributed >= 200ms);
  CHECK(ledger.bill(1min, {}).unattributed < 300ms);
}

// The current second's bucket put one of the last minute's among the minutes, which are whole.
TEST_CASE("bill: of a minute it covers no more than that of wisp's own threads", "[bill]") {
  AheadClock clock;
  const auto to = [&clock](wisp::Duration at) { clock.advance(at - clock.now().since_origin()); };
  const wisp::Duration minute = std::chrono::ceil<std::chrono::minutes>(clock.now().since_origin());
  to(minute + 5s);
  wisp::detail::Ledger ledger(clock, {});
  OwnThread early(ledger, 200ms);
  (void)ledger.bill(1s, {});
  to(minute + 45s);
  OwnThread later(ledger, 10ms);
  (void)ledger.bill(1s, {});
  to(minute + 105s);
  OwnThread last(ledger, 10ms);
  const wisp::Bill bill = ledger.bill(60s, {});
  CHECK(bill.window < 62s);
  CHECK(bill.unattributed < 150ms);
  for (OwnThread* const each : {&early, &later, &last}) each->end();
}

TEST_CASE("bill: what wisp's own threads used before the first look counts as of that", "[bill]") {
  AheadClock clock;
  wisp::detail::Ledger ledger(clock, {});
  OwnThread thread(ledger, 200ms);
  clock.advance(10s);
  thread.end();
  const wisp::Bill first = ledger.bill(2s, {});
  CHECK(first.unattributed_quality == wisp::Quality::estimated);
  CHECK(first.unattributed >= 200ms);
  clock.advance(10s);
  CHECK(ledger.bill(2s, {}).unattributed < 100ms);
  CHECK(ledger.bill(1min, {}).unattributed >= 200ms);
}

TEST_CASE("bill: what a worker has used stays its own while the thread is on its way out",
          "[bill]") {
  wisp::detail::Ledger ledger(wisp::Clock::system(), {});
  wisp::detail::Ledger other(wisp::Clock::system(), {});
  wisp::test::Gate gate;
  std::thread worker([&] {
    ledger.thread_begins();
    wisp::test::Truth truth;
    wisp::test::burn(200'000'000, truth);
    ledger.thread_ends();
    gate.pass();
  });
  gate.await(1);
  for (int i = 0; i < 2; ++i) {
    for (wisp::detail::Ledger* const each : {&ledger, &other}) {
      const wisp::Bill bill = each->bill(1h, {});
      REQUIRE(bill.host_quality == wisp::Quality::measured);
      CHECK(bill.host < 100ms);
    }
  }
  gate.open();
  worker.join();
}
