// What flows, slots and rates together could do wrong.
#include <algorithm>
#include <string>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::Duration;
using wisp::Lane;
using wisp::sim::World;

}  // namespace

TEST_CASE("sharing: what a tenant has blocked saves nothing up for what is not", "[sharing]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.threads_max = 2}};
    int early = 0;
    int late = 0;
    const auto gate = wisp::function("gate", [](int) {});
    const auto work = wisp::function("work", [&](int who, Context& context) {
      ++(who == 0 ? early : late);
      return context.sleep(5ms);
    });
    wisp::Runtime runtime{
        wisp::Catalogue().add(gate).add(work),
        world.options({.tenants = {{.name = "early"}, {.name = "late"}}, .adjustable = true})};
    for (int n = 0; n < 20; ++n) REQUIRE(runtime.post(work, 1, {.tenant = "late"}).ok());
    world.advance(1s);
    late = 0;
    REQUIRE(runtime.configure({.functions = {{.name = "gate", .paused = true}}}).ok());
    for (int n = 0; n < 2'000; ++n) {
      REQUIRE(runtime.post(gate, n, {.tenant = "late"}).ok());
      REQUIRE(runtime.post(work, 0, {.tenant = "early"}).ok());
    }
    world.advance(wisp::uniform(world.random(), 200, 500) * 1ms);
    const int before = early;
    for (int n = 0; n < 1'000; ++n) REQUIRE(runtime.post(work, 1, {.tenant = "late"}).ok());
    world.advance(500ms);
    INFO("early " << early - before << " late " << late);
    // Of 200. What is blocked is worth two of them at most.
    CHECK(std::abs(early - before - late) <= 10);
    (void)runtime.stop(0s);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("sharing: who asks for less than its share has it, one after the other too",
          "[sharing]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    constexpr Duration kTask = 40ms;
    World world{seed, {.threads_max = 8}};
    int had = 0;
    int outstanding = 0;
    // Not all at the same instants.
    const auto flood = wisp::function("flood", [&](int, Context& context) {
      return context.sleep(wisp::uniform(world.random(), 20, 60) * 1ms);
    });
    const auto few = wisp::function("few", [&](int, Context& context) {
      ++had;
      const wisp::Status slept = context.sleep(kTask);
      --outstanding;
      return slept;
    });
    wisp::Runtime runtime{wisp::Catalogue().add(flood).add(few),
                          world.options({.tenants = {{.name = "a"}, {.name = "b"}}})};
    for (int n = 0; n < 1'000; ++n) REQUIRE(runtime.post(flood, n, {.tenant = "b"}).ok());
    constexpr int kSeconds = 2;
    constexpr int kWanted = 4;  // the half of all threads
    for (int ms = 0; ms < 1'000 * kSeconds; ++ms) {
      for (; outstanding < kWanted; ++outstanding)
        REQUIRE(runtime.post(few, ms, {.tenant = "a"}).ok());
      world.advance(1ms);
    }
    const double threads =
        had * std::chrono::duration<double>(kTask) / std::chrono::duration<double>(1s) / kSeconds;
    INFO("threads " << threads);
    CHECK(threads >= 3.2);
    (void)runtime.stop(0s);
  });
}

TEST_CASE("sharing: a flood in the background refuses nothing above it", "[sharing]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.threads_max = 1}};
    const auto in_lane = [](std::string_view name, Lane lane) {
      return wisp::function(name, [](int, Context& context) { return context.sleep(1ms); },
                            {.lane = lane});
    };
    const auto tick = in_lane("tick", Lane::urgent);
    const auto usual = in_lane("usual", Lane::normal);
    const auto tidy = in_lane("tidy", Lane::background);
    wisp::RuntimeOptions options = world.options({.queue = {.count = 100}});
    if (seed % 2 == 0) options.tenants = {{.name = "acme"}};
    wisp::Runtime runtime{wisp::Catalogue().add(tick).add(usual).add(tidy), std::move(options)};
    std::vector<wisp::Pending<void>> started;
    const auto start = [&](const auto& function) {
      started.push_back(runtime.start(function, 1, {.tenant = "acme"}));
      return !started.back().ready();
    };
    int taken = 0;
    while (start(tidy)) ++taken;
    CHECK(taken <= 101);
    CHECK(wisp::reason_of(started.back().wait()) == wisp::Reason::full);
    for (int n = 0; n < 20; ++n) {
      CHECK(start(usual));
      CHECK(start(tick));
    }
    CHECK_FALSE(start(tidy));
    world.advance(10s);
    CHECK(runtime.stats().queued == 0);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("sharing: a call that was cancelled leaves its place to others", "[sharing]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.threads_max = 1}};
    int ran = 0;
    const auto work = wisp::function("work", [&](int, Context& context) {
      ++ran;
      return context.sleep(1s);
    });
    wisp::Runtime runtime{
        wisp::Catalogue().add(work),
        world.options({.queue = {.count = 20}, .tenants = {{.name = "a"}, {.name = "b"}}})};
    auto first = runtime.start(work, 0, {.tenant = "b"});
    world.advance(1ms);
    int kept = 0;
    std::vector<wisp::Pending<void>> started;
    for (int n = 0; n < 500; ++n) {
      auto next = runtime.start(work, n, {.tenant = n % 2 == 0 ? "a" : "b"});
      CHECK_FALSE(next.ready());
      const bool keep = kept < 6 && wisp::uniform(world.random(), 0, 50) == 0;
      if (keep) started.push_back(std::move(next));
      else next.cancel();
      kept += static_cast<int>(keep);
    }
    world.advance(1min);
    for (const auto& each : started) CHECK(each.ready());
    CHECK(ran == kept + 1);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("sharing: a queue that stands is shed, whatever others find in theirs", "[sharing]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.threads_max = 1}};
    const auto work = wisp::function(
        "work", [](int, Context& context) { return context.sleep(2ms); }, {.pool_only = true});
    wisp::Runtime runtime{wisp::Catalogue().add(work),
                          world.options({.tenants = {{.name = "flood"}, {.name = "quiet"}}})};
    std::vector<wisp::Pending<void>> flood;
    std::vector<wisp::Pending<void>> quiet;
    for (int ms = 0; ms < 3'000; ++ms) {
      flood.push_back(runtime.start(work, ms, {.tenant = "flood", .sheddable = true}));
      if (ms % 20 == 0)
        quiet.push_back(runtime.start(work, ms, {.tenant = "quiet", .sheddable = true}));
      world.advance(1ms);
    }
    // Of the flood's calls threads have time for less than a half.
    CHECK(runtime.stats().queued < 300);
    CHECK(runtime.stats().shed > 1'000);
    world.advance(10s);
    for (auto& each : quiet) CHECK(each.wait().ok());
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("tenant rate: a turn is not lost to a thread that comes late", "[tenant_rate]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.threads_max = 1}};
    const bool by_function = seed % 2 == 0;
    constexpr double kRate = 0.2;
    const Duration busy = wisp::uniform(world.random(), 1'100, 4'900) * 1ms;
    int ran = 0;
    const auto slow = wisp::function("slow", [&](int) { ++ran; },
                                     {.limits = {.per_second = by_function ? kRate : 0}});
    const auto flood =
        wisp::function("flood", [&](int, Context& context) { return context.sleep(busy); });
    wisp::Runtime runtime{
        wisp::Catalogue().add(slow).add(flood),
        world.options(
            {.tenants = {{.name = "a", .per_second = by_function ? 0 : kRate}, {.name = "b"}}})};
    for (int n = 0; n < 200; ++n) {
      REQUIRE(runtime.post(flood, n, {.tenant = "b"}).ok());
      REQUIRE(runtime.post(slow, n, {.tenant = "a"}).ok());
    }
    world.advance(60s);
    INFO("busy " << busy.count() << " ran " << ran);
    CHECK(ran >= 5);
    CHECK(ran <= 13);
    (void)runtime.stop(0s);
  });
}

TEST_CASE("tenant rate: what waits for a slot, or expires, takes nothing of it", "[tenant_rate]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    const bool expires = seed % 2 == 0;
    int ran = 0;
    const auto stuck =
        wisp::function("stuck", [](int, Context& context) { return context.sleep(24h); },
                       {.limits = {.concurrency = expires ? 0 : 1}});
    const auto free = wisp::function("free", [&](int) { ++ran; });
    wisp::Runtime runtime{
        wisp::Catalogue().add(stuck).add(free),
        world.options({.tenants = {{.name = "a", .per_second = 20}}, .adjustable = true})};
    const auto rate = [&](double per_second) {
      CHECK(runtime.configure({.tenants = {{.name = "a", .per_second = per_second}}}).ok());
    };
    if (expires) rate(1e-6);
    for (int n = 0; n < 300; ++n) REQUIRE(runtime.post(stuck, n, {.tenant = "a"}).ok());
    if (expires) {
      world.advance(8h);
      rate(20);
    }
    for (int n = 0; n < 300; ++n) REQUIRE(runtime.post(free, n, {.tenant = "a"}).ok());
    world.advance(10s);
    INFO("ran " << ran);
    CHECK(ran >= 180);
    CHECK(ran <= 220);
    (void)runtime.stop(0s);
    wisp::test::conserved_at_rest(runtime);
  });
}
