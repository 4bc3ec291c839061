// Tenants, lanes and settings on threads.
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Lane;
using wisp::test::eventually;
using wisp::test::Gate;

constexpr const char* kTenants[] = {"", "acme", "umbrella", "guest"};

}  // namespace

TEST_CASE("sharing: on threads, while all settings change, everything comes to its end",
          "[sharing]") {
  std::atomic<int> ran{0};
  const auto handler = [&ran](int n) -> wisp::Status {
    ++ran;
    if (n % 50 == 0) return wisp::unavailable("not now");
    return wisp::Status();
  };
  const auto tick = wisp::function("tick", handler, {.lane = Lane::urgent});
  const auto work = wisp::function("work", handler, {.retry = {.attempts = 2, .first_delay = 1ms}});
  const auto tidy = wisp::function("tidy", handler, {.lane = Lane::background});
  wisp::Runtime runtime{wisp::Catalogue().add(tick).add(work).add(tidy),
                        {.workers = {.max = 4},
                         .budgets = {{.name = "all", .hard_attempts = 1'000'000}},
                         .tenants = {{.name = "acme", .weight = 3}, {.name = "umbrella"}},
                         .adjustable = true}};
  REQUIRE(runtime.status().ok());
  auto subscription = runtime.on("n").to(work);
  std::atomic<int> accepted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      std::vector<wisp::Pending<void>> started;
      for (int n = 0; n < 3'000; ++n) {
        const wisp::CallOptions options{.tenant = kTenants[(n + i) % 4]};
        const auto& function = n % 3 == 0 ? tick : n % 3 == 1 ? work : tidy;
        if (n % 4 == 0) started.push_back(runtime.start(function, n, options));
        else if (n % 4 == 1) accepted += static_cast<int>(runtime.emit("n", n, options).ok());
        else accepted += static_cast<int>(runtime.post(function, n, options).ok());
      }
      for (auto& each : started) (void)each.wait();
    });
  }
  threads.emplace_back([&] {
    for (int n = 0; n < 300; ++n) {
      const bool last = n == 299;
      const wisp::Status changed = runtime.configure(
          {.functions = {{.name = "work",
                          .concurrency = last ? 0 : n % 3,
                          .paused = !last && n % 5 == 0},
                         {.name = "tidy", .per_second = last || n % 2 == 0 ? 0 : 1e5}},
           .tenants = {{.name = "acme",
                        .weight = 1 + n % 9,
                        .per_second = last ? 0 : 1e4 * (n % 3)}},
           .budgets = {{.name = "all", .hard_attempts = last ? 1'000'000 : 1 + n}},
           .workers = {.min = n % 2, .max = 2 + n % 3}});
      if (!changed.ok()) FAIL_CHECK(wisp::message(changed));
      (void)runtime.settings();
      std::this_thread::yield();
    }
  });
  for (std::thread& each : threads) each.join();
  CHECK(eventually([&] { return runtime.stats().queued == 0; }));
  const wisp::Stopped stopped = runtime.stop(10s);
  CHECK(stopped.status.ok());
  const wisp::EventStats events = runtime.stats().events;
  CHECK(events.accepted == static_cast<std::uint64_t>(accepted.load()));
  CHECK(events.done + events.dead == events.accepted);
}

TEST_CASE("sharing: on threads, a stop amid the flood accounts for all", "[sharing]") {
  for (int round = 0; round < 20; ++round) {
    const auto work = wisp::function("work", [](int) {}, {.limits = {.concurrency = round % 3}});
    wisp::Runtime runtime{wisp::Catalogue().add(work),
                          {.workers = {.max = 2}, .tenants = {{.name = "acme"}}}};
    auto subscription = runtime.on("n").to(work);
    std::thread flood([&] {
      std::vector<wisp::Pending<void>> started;
      for (int n = 0; n < 2'000; ++n) {
        const wisp::CallOptions options{.tenant = kTenants[n % 4]};
        (void)runtime.post(work, n, options);
        (void)runtime.emit("n", n, options);
        started.push_back(runtime.start(work, n, options));
      }
      for (auto& each : started) (void)each.wait();
    });
    std::thread another([&] { (void)subscription.cancel(); });
    (void)runtime.stop(round % 2 == 0 ? 0s : 1s);
    flood.join();
    another.join();
    const wisp::EventStats events = runtime.stats().events;
    CHECK(events.done + events.dead + events.expired + events.cancelled == events.accepted);
  }
}

TEST_CASE("settings: the pool grows and shrinks to its bounds", "[settings]") {
  Gate first;
  Gate second;
  std::atomic<int> inside{0};
  const auto stand = wisp::function("stand", [&](int which) {
    ++inside;
    (which == 1 ? first : second).pass();
    --inside;
  });
  wisp::Runtime runtime{wisp::Catalogue().add(stand), {.workers = {.max = 2, .keep_alive = 10ms}}};
  for (int n = 0; n < 4; ++n) REQUIRE(runtime.post(stand, 1).ok());
  first.await(2);
  CHECK(runtime.configure({.workers = {.max = 4}}).ok());
  first.await(4);
  CHECK(inside == 4);
  CHECK(runtime.configure({.workers = {.max = 1}}).ok());
  CHECK(inside == 4);
  for (int n = 0; n < 3; ++n) REQUIRE(runtime.post(stand, 2).ok());
  first.open();
  second.await(1);
  CHECK(eventually([&] { return runtime.stats().workers.current == 1; }));
  CHECK(inside == 1);
  second.open();
  CHECK(eventually([&] { return runtime.stats().events.done == 7; }));
  // Those that are kept.
  CHECK(runtime.configure({.workers = {.min = 1}}).ok());
  CHECK(eventually([&] { return runtime.stats().workers.current == 1; }));
  CHECK(runtime.configure({.workers = {.min = 0}}).ok());
  CHECK(eventually([&] { return runtime.stats().workers.current == 0; }));
  CHECK(wisp::message(runtime.configure({.workers = {.min = 5}})).find("workers.min is 5") !=
        std::string::npos);
  CHECK(runtime.settings().workers.max == 1);
}

TEST_CASE("sharing: settings may be given back as they are, adjustable or not", "[sharing]") {
  for (const bool adjustable : {false, true}) {
    wisp::Runtime runtime{wisp::Catalogue()
                              .add(wisp::function("kept", [] {}, {.limits = {.reserved = 1}}))
                              .add(wisp::function("off", [] {}, {.limits = {.reserved = 0}})),
                          {.workers = {.max = 2},
                           .tenants = {{.name = "acme"}, {.name = "trial", .per_second = 5}},
                           .adjustable = adjustable}};
    REQUIRE(runtime.status().ok());
    const wisp::Settings settings = runtime.settings();
    REQUIRE(settings.tenants.size() == 2);
    CHECK(settings.tenants[0].per_second.has_value() == adjustable);
    CHECK(settings.tenants[1].per_second == 5);
    CHECK(settings.functions.size() == (adjustable ? 2U : 0U));
    // That of one which is switched off is not 0, which is none.
    for (const wisp::FunctionSettings& each : settings.functions)
      CHECK(each.concurrency == (each.name == "off" ? std::nullopt : std::optional(1)));
    CHECK(wisp::message(runtime.configure(settings)) == "");
  }
}
