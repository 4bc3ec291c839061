#include <wisp/engine/meter.hpp>

#include <atomic>
#include <ctime>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "runtime/burning.hpp"

namespace {

using namespace wisp::literals;

using wisp::test::burn;
using wisp::test::cpu_ns;
using wisp::test::in_a_quiet_moment;
using wisp::test::kTolerance;
using wisp::test::line_of;
using wisp::test::pays_for;
using wisp::test::thread_cpu_ns;
using wisp::test::Truth;
using wisp::test::Verdict;
using wisp::test::within;

wisp::Duration sum_of_lines(const wisp::Bill& bill) {
  wisp::Duration sum{};
  for (const wisp::BillLine& each : bill.lines) sum += each.cpu;
  return sum;
}

std::uint64_t calls_of(const wisp::Runtime& runtime, std::string_view function) {
  return line_of(runtime.bill(1h), function).calls;
}

struct Burners {
  Truth large, small, sleeper;
  wisp::Function<void, int> seventy;
  wisp::Function<void, int> thirty;
  wisp::Function<void, int> asleep;

  explicit Burners(wisp::Meter meter)
      : seventy(
            wisp::function("seventy", [this](int us) { burn(us * 700, large); }, {.meter = meter})),
        thirty(
            wisp::function("thirty", [this](int us) { burn(us * 300, small); }, {.meter = meter})),
        asleep(wisp::function("asleep",
                              [this](int us, wisp::Context& context) {
                                const std::int64_t start = thread_cpu_ns();
                                (void)context.sleep(std::chrono::microseconds(us));
                                sleeper.ns += thread_cpu_ns() - start;
                              },
                              {.meter = meter})) {}

  wisp::Catalogue functions() const {
    return wisp::Catalogue().add(seventy).add(thirty).add(asleep);
  }

  void check(const wisp::Bill& bill, Verdict& verdict) const {
    const auto cpu = [&bill](std::string_view name) { return line_of(bill, name).cpu; };
    verdict.check(pays_for(cpu("seventy"), large),
                  fmt::format("seventy {} of {}", cpu("seventy").count(), large.ns.load()));
    verdict.check(pays_for(cpu("thirty"), small),
                  fmt::format("thirty {} of {}", cpu("thirty").count(), small.ns.load()));
    // Going to sleep and waking up are CPU too, on some machines most of so short a sleep.
    verdict.check(cpu("asleep") <= std::chrono::nanoseconds(sleeper.ns.load()) +
                                       (cpu("seventy") + cpu("thirty")) / 100,
                  fmt::format("asleep {} of {}", cpu("asleep").count(), sleeper.ns.load()));
    for (const auto& [name, truth] : {std::pair("seventy", &large), std::pair("thirty", &small)})
      CHECK(line_of(bill, name).calls == static_cast<std::uint64_t>(truth->calls));
  }
};

}  // namespace

TEST_CASE("bill: two burners and a sleeper each pay for what they used", "[bill]") {
  // Short calls share a batch, long ones are read one by one. Still shorter ones cost less than the
  // readings that would check them.
  const int us = GENERATE(60, 120, 400);
  const auto meter = GENERATE(wisp::Meter::batched, wisp::Meter::exact);
  INFO("calls of " << us << " us, meter " << static_cast<int>(meter));
  const int rounds = 200'000 / us;
  SECTION("called on one thread") {
    in_a_quiet_moment([&](Verdict& verdict) {
      Burners burners(meter);
      wisp::Runtime runtime{burners.functions()};
      const std::int64_t before = thread_cpu_ns();
      for (int i = 0; i < rounds; ++i) {
        REQUIRE(runtime.call(burners.seventy, us).ok());
        REQUIRE(runtime.call(burners.thirty, us).ok());
        if (i % (rounds / 20) == 0) REQUIRE(runtime.call(burners.asleep, 200).ok());
      }
      const wisp::Bill bill = runtime.bill(1h);
      burners.check(bill, verdict);
      // The time of a batch that is open, of a millisecond at most, may be longer than its CPU.
      const std::int64_t used = thread_cpu_ns() - before;
      CHECK(sum_of_lines(bill).count() <= used + 2'000'000);
    });
  }
  SECTION("posted to workers") {
    in_a_quiet_moment([&](Verdict& verdict) {
      Burners burners(meter);
      wisp::Runtime runtime{burners.functions(), {.workers = {.max = 4}}};
      for (int i = 0; i < rounds; ++i) {
        REQUIRE(runtime.post(burners.seventy, us).ok());
        REQUIRE(runtime.post(burners.thirty, us).ok());
        if (i % (rounds / 20) == 0) REQUIRE(runtime.post(burners.asleep, 200).ok());
      }
      REQUIRE(runtime.stop(60s).status.ok());
      burners.check(runtime.bill(1h), verdict);
    });
  }
}

TEST_CASE("bill: calls too short to be read share a batch's CPU by their work", "[bill]") {
  const auto spin = [](int rounds) {
    std::uint64_t state = static_cast<std::uint64_t>(rounds);
    for (int i = 0; i < rounds; ++i) state = state * 6364136223846793005U + 1442695040888963407U;
    return static_cast<int>(state >> 40);
  };
  const auto seventy = wisp::function("seventy", spin);
  const auto thirty = wisp::function("thirty", spin);
  in_a_quiet_moment([&](Verdict& verdict) {
    wisp::Runtime runtime{wisp::Catalogue().add(seventy).add(thirty), {.workers = {.max = 4}}};
    for (int i = 0; i < 4'000; ++i) {
      REQUIRE(runtime.post(seventy, 35'000).ok());
      REQUIRE(runtime.post(thirty, 15'000).ok());
    }
    REQUIRE(runtime.stop(60s).status.ok());
    const wisp::Bill bill = runtime.bill(1h);
    for (const wisp::BillLine& each : bill.lines) CHECK(each.calls == 4'000);
    const auto large = static_cast<double>(line_of(bill, "seventy").cpu.count());
    const auto small = static_cast<double>(line_of(bill, "thirty").cpu.count());
    verdict.check(within(large / (large + small), 0.7, 0.05),
                  fmt::format("{} and {} ns", large, small));
  });
}

TEST_CASE("bill: lines, wisp's own and the host's CPU together are the process's", "[bill]") {
  const auto meter = GENERATE(wisp::Meter::batched, wisp::Meter::exact);
  INFO("meter " << static_cast<int>(meter));
  in_a_quiet_moment([meter](Verdict& verdict) {
    Truth truth;
    Truth host;
    const auto work =
        wisp::function("work", [&truth](int us) { burn(us * 1000, truth); }, {.meter = meter});
    wisp::Runtime runtime{wisp::Catalogue().add(work)};
    const std::int64_t born = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < 2'000; ++i) {
      REQUIRE(runtime.post(work, i % 10 == 0 ? 300 : 10).ok());
      if (i % 10 == 0) burn(100'000, host);
    }
    REQUIRE(wisp::test::eventually([&] { return runtime.stats().events.done == 2'000; }));
    const wisp::Bill bill = runtime.bill(1h);
    const std::int64_t process = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - born;
    REQUIRE(bill.host_quality == wisp::Quality::measured);
    REQUIRE(bill.unattributed_quality == wisp::Quality::measured);
    const auto lines = line_of(bill, "work").cpu;
    const auto sum = lines.count() + bill.unattributed.count() + bill.host.count();
    verdict.check(within(static_cast<double>(sum), static_cast<double>(process), 0.05),
                  fmt::format("process {}, lines {}, unattributed {}, host {}", process,
                              lines.count(), bill.unattributed.count(), bill.host.count()));
    verdict.check(pays_for(lines, truth),
                  fmt::format("lines {} of {}", lines.count(), truth.ns.load()));
    CHECK(bill.host.count() >= host.least_ns);
    CHECK(wisp::test::eventually([&] { return calls_of(runtime, "work") == 2'000; }));
  });
}

// A handler that waits for another one gives its place away: calls of both go from worker to
// worker, and some run within the one that waits.
TEST_CASE("bill: the sum is the process's CPU when handlers wait, sleep and change workers",
          "[bill]") {
  const auto meter = GENERATE(wisp::Meter::batched, wisp::Meter::exact);
  const bool pool_only = GENERATE(true, false);
  INFO("meter " << static_cast<int>(meter) << ", pool_only " << pool_only);
  in_a_quiet_moment([&](Verdict& verdict) {
    Truth leaves;
    Truth roots;
    Truth host;
    std::atomic<int> threads{0};
    const auto leaf = wisp::function("leaf", [&leaves](int us) { burn(us * 1000, leaves); },
                                     {.meter = meter, .pool_only = pool_only});
    const auto root = wisp::function("root",
                                     [&](int us, wisp::Context& context) {
                                       thread_local bool seen = false;
                                       if (!std::exchange(seen, true)) ++threads;
                                       burn(us * 1000, roots);
                                       auto first = context.runtime().start(leaf, us);
                                       auto second = context.runtime().start(leaf, 2 * us);
                                       (void)context.sleep(std::chrono::microseconds(us));
                                       if (!first.wait().ok() || !second.wait().ok()) return;
                                       burn(us * 1000, roots);
                                     },
                                     {.meter = meter});
    wisp::Runtime runtime{
        wisp::Catalogue().add(leaf).add(root),
        {.workers = {.max = 3, .keep_alive = 1h, .policy = wisp::scaling::Fixed{3}}}};
    const std::int64_t born = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < 1'000; ++i) {
      REQUIRE(runtime.post(root, i % 10 == 0 ? 300 : 20).ok());
      if (i % 10 == 0) burn(100'000, host);
    }
    REQUIRE(wisp::test::eventually([&] { return runtime.stats().events.done == 1'000; }));
    const wisp::Bill bill = runtime.bill(1h);
    const std::int64_t process = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - born;
    REQUIRE(bill.host_quality == wisp::Quality::measured);
    REQUIRE(bill.unattributed_quality == wisp::Quality::measured);
    CHECK(threads > 1);
    const auto cpu = [&bill](std::string_view name) {
      return static_cast<double>(line_of(bill, name).cpu.count());
    };
    const double sum = cpu("leaf") + cpu("root") + static_cast<double>(bill.unattributed.count()) +
                       static_cast<double>(bill.host.count());
    verdict.check(
        within(sum, static_cast<double>(process), 0.05),
        fmt::format("process {}, leaf {}, root {}, unattributed {}, host {}", process, cpu("leaf"),
                    cpu("root"), bill.unattributed.count(), bill.host.count()));
    verdict.check(pays_for(line_of(bill, "leaf").cpu, leaves),
                  fmt::format("leaf {} of {}", cpu("leaf"), leaves.ns.load()));
    // What it does to start, sleep and wait is its own too, and not in `roots`.
    verdict.check(cpu("root") >= static_cast<double>(roots.ns) * (1 - kTolerance),
                  fmt::format("root {} of {}", cpu("root"), roots.ns.load()));
    CHECK(wisp::test::eventually([&] { return calls_of(runtime, "root") == 1'000; }));
    CHECK(calls_of(runtime, "leaf") == 2'000);
  });
}

TEST_CASE("bill: a receipt says what each figure is worth", "[bill]") {
  const auto length =
      wisp::function("length", [](const std::string& s) { return static_cast<int>(s.size()); });
  const auto fails = wisp::function("fails", [](int n) { return wisp::invalid_argument("{}", n); });
  wisp::Runtime free{wisp::Catalogue().add(length)};
  auto unpriced = free.start(length, "four");
  REQUIRE(*unpriced.wait() == 4);
  CHECK(unpriced.receipt().cost_quality == wisp::Quality::unavailable);

  wisp::Runtime runtime{wisp::Catalogue().add(length).add(fails),
                        {.tariff = wisp::tariffs::aws_lambda_x86()}};
  auto pending = runtime.start(length, std::string(100, 'x'));
  const wisp::Receipt& receipt = pending.receipt();
  CHECK(receipt.function == "length");
  CHECK(receipt.version == 1);
  CHECK(receipt.attempts == 1);
  CHECK(receipt.outcome == wisp::Outcome::ok);
  CHECK(receipt.queued_quality == wisp::Quality::measured);
  CHECK(receipt.wall_quality == wisp::Quality::measured);
  CHECK(receipt.cpu_quality == wisp::Quality::estimated);
  CHECK(receipt.bytes_in == sizeof(std::string) + 100);
  CHECK(receipt.bytes_in_quality == wisp::Quality::measured);
  CHECK(receipt.allocations_quality == wisp::Quality::unavailable);  // without wisp::alloc_meter
  CHECK(runtime.bill(1h).lines.front().allocations_quality == wisp::Quality::unavailable);
  // One request, and one millisecond of 128 MB.
  CHECK(receipt.cost == wisp::Money::picodollars(200'000 + 2'083'338 / 1'000));
  CHECK(receipt.cost_quality == wisp::Quality::estimated);

  auto failed = runtime.start(fails, 3);
  CHECK(failed.receipt().outcome == wisp::Outcome::error);
  auto refused = runtime.start<int>("nobody", 3);
  CHECK(refused.receipt().outcome == wisp::Outcome::rejected);
  CHECK(refused.receipt().attempts == 0);
  CHECK(refused.receipt().wall_quality == wisp::Quality::unavailable);
  // What was refused costs nothing and stands on no line.
  CHECK(runtime.bill(1h).lines.size() == 2);
}

TEST_CASE("bill: the exact meter measures, the sampled one estimates", "[bill]") {
  Truth truth;
  const auto exact =
      wisp::function("exact", [&truth] { burn(20'000, truth); }, {.meter = wisp::Meter::exact});
  const auto sampled = wisp::function("sampled", [] {}, {.meter = wisp::Meter::sampled});
  wisp::Runtime runtime{wisp::Catalogue().add(exact).add(sampled)};
  auto pending = runtime.start(exact);
  CHECK(pending.receipt().cpu_quality == wisp::Quality::measured);
  CHECK(pending.receipt().cpu.count() >= truth.least_ns);
  for (int i = 0; i < 20; ++i) {
    auto estimated = runtime.start(sampled);
    CHECK(estimated.receipt().wall_quality == wisp::Quality::estimated);
    CHECK(estimated.receipt().cpu_quality == wisp::Quality::estimated);
  }
  const wisp::Bill bill = runtime.bill(1h);
  CHECK(line_of(bill, "exact").cpu_quality == wisp::Quality::measured);
  CHECK(line_of(bill, "sampled").cpu_quality == wisp::Quality::estimated);
  CHECK(line_of(bill, "sampled").calls == 20);
}

TEST_CASE("bill: tenants and tags have lines, and nested calls inherit them", "[bill]") {
  const auto inner = wisp::function("inner", [](int n) { return n; });
  const auto outer = wisp::function("outer", [&inner](int n, wisp::Context& context) {
    return context.runtime().call(inner, n);
  });
  wisp::Runtime runtime{wisp::Catalogue().add(inner).add(outer)};
  REQUIRE(runtime.call(outer, 1, {.tenant = "acme", .tag = "nightly"}).ok());
  REQUIRE(runtime.call(outer, 1).ok());
  const wisp::Bill bill = runtime.bill(1h);
  REQUIRE(bill.lines.size() == 4);
  CHECK(bill.lines[0].function == "inner");
  CHECK(bill.lines[0].tenant.empty());
  CHECK(bill.lines[1].tenant == "acme");
  CHECK(bill.lines[1].tag == "nightly");
  CHECK(bill.lines[3].tenant == "acme");
}

TEST_CASE("bill: every call that has returned is on it", "[bill]") {
  const auto nothing = wisp::function("nothing", [] {});
  wisp::Runtime runtime{wisp::Catalogue().add(nothing), {.workers = {.max = 4}}};
  std::atomic<int> behind{0};
  std::atomic<std::uint64_t> returned{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        if (i % 2 == 0) (void)runtime.call(nothing);
        else (void)runtime.start(nothing).wait();
        const std::uint64_t at_least = returned.fetch_add(1) + 1;
        if (runtime.bill(1h).lines.front().calls < at_least) ++behind;
      }
    });
  }
  for (std::thread& each : threads) each.join();
  CHECK(behind == 0);
  CHECK(runtime.bill(1h).lines.front().calls == 900);
}

TEST_CASE("bill: handlers that run after a while have one line, however long it is", "[bill]") {
  wisp::ManualClock clock;
  wisp::Runtime runtime{{.threads = wisp::Threads::none, .clock = &clock}};
  int ran = 0;
  for (int ms = 1; ms <= 50; ++ms)
    REQUIRE(runtime.after(ms * 1ms).run([&ran] { ++ran; }).detach().ok());
  clock.advance(1s);
  while (runtime.pump().ran > 0) {
  }
  CHECK(ran == 50);
  CHECK(line_of(runtime.bill(1h), "after").attempts == 50);
}
