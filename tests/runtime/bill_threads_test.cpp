// Whose a thread's CPU is: a handler's, wisp's or the host's.
#include <pthread.h>

#include <atomic>
#include <optional>
#include <semaphore>
#include <thread>
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

constexpr std::int64_t kMs = 1'000'000;

bool close_to(wisp::Duration billed, std::int64_t truth) {
  return within(static_cast<double>(billed.count()), static_cast<double>(truth), kTolerance);
}

}  // namespace

TEST_CASE("bill: short calls keep their CPU from a caller that sleeps", "[bill]") {
  const auto meter = GENERATE(wisp::Meter::batched, wisp::Meter::exact);
  const bool sleeps_first = GENERATE(true, false);
  in_a_quiet_moment([&](Verdict& verdict) {
    Truth inner_cpu;
    std::atomic<std::int64_t> outer_cpu{0};
    const auto inner = wisp::function("inner", [&] { burn(35'000, inner_cpu); });
    const auto outer = wisp::function("outer",
                                      [&](wisp::Context& context) {
                                        const std::int64_t start = thread_cpu_ns();
                                        const std::int64_t nested = inner_cpu.ns;
                                        if (sleeps_first) (void)context.sleep(1ms);
                                        for (int i = 0; i < 5; ++i)
                                          (void)context.runtime().call(inner);
                                        if (!sleeps_first) (void)context.sleep(1ms);
                                        outer_cpu +=
                                            thread_cpu_ns() - start - (inner_cpu.ns - nested);
                                      },
                                      {.meter = meter});
    wisp::Runtime runtime{wisp::Catalogue().add(inner).add(outer)};
    for (int i = 0; i < 100; ++i) REQUIRE(runtime.call(outer).ok());
    const wisp::Bill bill = runtime.bill(1h);
    CHECK(line_of(bill, "inner").calls == 500);
    CHECK(line_of(bill, "outer").calls == 100);
    verdict.check(
        pays_for(line_of(bill, "inner").cpu, inner_cpu),
        fmt::format("inner {} of {}", line_of(bill, "inner").cpu.count(), inner_cpu.ns.load()));
    // A sleep and the readings around it, some 20 us: what is left to the caller is no more.
    verdict.check(
        line_of(bill, "outer").cpu.count() < 2 * outer_cpu,
        fmt::format("outer {} of {}", line_of(bill, "outer").cpu.count(), outer_cpu.load()));
  });
}

TEST_CASE("bill: sampled calls of any length pay for what they used", "[bill]") {
  const int us = GENERATE(20, 200);
  in_a_quiet_moment([&](Verdict& verdict) {
    Truth truth;
    const auto work = wisp::function("work", [&](int each) { burn(each * 1'000, truth); },
                                     {.meter = wisp::Meter::sampled});
    wisp::Runtime runtime{wisp::Catalogue().add(work)};
    for (int i = 0; i < 60'000 / us; ++i) REQUIRE(runtime.call(work, us).ok());
    const wisp::Bill bill = runtime.bill(1h);
    CHECK(line_of(bill, "work").calls == static_cast<std::uint64_t>(truth.calls));
    verdict.check(
        pays_for(line_of(bill, "work").cpu, truth, 2 * kTolerance),
        fmt::format("billed {} of {}", line_of(bill, "work").cpu.count(), truth.ns.load()));
  });
}

TEST_CASE("bill: the timer's thread is wisp's own", "[bill]") {
  in_a_quiet_moment([&](Verdict& verdict) {
    const auto nothing = wisp::function("nothing", [] {});
    wisp::Runtime runtime{wisp::Catalogue().add(nothing)};
    const std::int64_t born = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
    std::vector<wisp::Schedule> schedules;
    for (int i = 0; i < 50; ++i) schedules.push_back(runtime.every(200us).run(nothing));
    REQUIRE(wisp::test::eventually(
        [&] { return cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - born > 400 * kMs; }));
    const wisp::Bill bill = runtime.bill(1h);
    const std::int64_t process = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - born;
    const auto sum = line_of(bill, "nothing").cpu + bill.unattributed + bill.host;
    verdict.check(within(static_cast<double>(sum.count()), static_cast<double>(process), 0.05),
                  fmt::format("process {}, sum {}", process, sum.count()));
  });
}

TEST_CASE("bill: host threads that end take nothing from those that live", "[bill]") {
  in_a_quiet_moment([&](Verdict& verdict) {
    Truth truth;
    Truth host;
    // One that was busy before the runtime was born.
    std::binary_semaphore busy(0);
    std::binary_semaphore go(0);
    std::thread older([&] {
      Truth before;
      burn(100 * kMs, before);
      busy.release();
      go.acquire();
    });
    busy.acquire();
    const auto work = wisp::function("work", [&truth] { burn(20 * kMs, truth); });
    wisp::Runtime runtime{wisp::Catalogue().add(work)};
    go.release();
    older.join();
    for (int i = 0; i < 5; ++i) {
      std::thread([&] { (void)runtime.call(work); }).join();
      burn(20 * kMs, host);
    }
    const wisp::Bill bill = runtime.bill(1h);
    verdict.check(close_to(bill.host, host.ns),
                  fmt::format("host {} of {}", bill.host.count(), host.ns.load()));
    verdict.check(pays_for(line_of(bill, "work").cpu, truth),
                  fmt::format("work {} of {}", line_of(bill, "work").cpu.count(), truth.ns.load()));
  });
}

TEST_CASE("bill: a thread is wisp's by birth, not by name", "[bill]") {
  Truth host;
  std::optional<std::thread> child;
  std::binary_semaphore looked(0);
  const auto spawns = wisp::function("spawns", [&] {
    // It inherits its parent's name.
    child.emplace([&] {
      burn(100 * kMs, host);
      looked.acquire();
    });
  });
  wisp::Runtime runtime{wisp::Catalogue().add(spawns), {.workers = {.max = 1}}};
  REQUIRE(runtime.start(spawns).wait_for(20s).ok());
  REQUIRE(wisp::test::eventually([&] { return host.ns >= 100 * kMs; }));
  const wisp::Bill bill = runtime.bill(1h);
  looked.release();
  child->join();
  CHECK(bill.host.count() >= host.least_ns);
}

TEST_CASE("bill: while a handler runs its CPU is nobody else's", "[bill]") {
  const bool on_worker = GENERATE(true, false);
  in_a_quiet_moment([&](Verdict& verdict) {
    std::atomic<bool> stop{false};
    std::atomic<std::int64_t> used{0};
    const auto works = wisp::function("works", [&] {
      const std::int64_t start = thread_cpu_ns();
      while (!stop) used = thread_cpu_ns() - start;
    });
    wisp::Runtime runtime{wisp::Catalogue().add(works)};
    std::optional<wisp::Pending<void>> pending;
    std::thread caller;
    if (on_worker) pending.emplace(runtime.start(works));
    else caller = std::thread([&] { (void)runtime.call(works); });
    std::binary_semaphore nobody(0);
    while (used < 100 * kMs) (void)nobody.try_acquire_for(1ms);
    const wisp::Bill during = runtime.bill(1h);
    verdict.check(during.lines.empty(), "a line for what still runs");
    verdict.check(during.unattributed.count() < 20 * kMs,
                  fmt::format("unattributed {}", during.unattributed.count()));
    verdict.check(during.host.count() < 50 * kMs, fmt::format("host {}", during.host.count()));
    stop = true;
    if (pending) REQUIRE(pending->wait_for(20s).ok());
    if (caller.joinable()) caller.join();
    const wisp::Bill after = runtime.bill(1h);
    verdict.check(close_to(line_of(after, "works").cpu, used),
                  fmt::format("works {} of {}", line_of(after, "works").cpu.count(), used.load()));
    verdict.check(after.host.count() < 50 * kMs,
                  fmt::format("host afterwards {}", after.host.count()));
  });
}
