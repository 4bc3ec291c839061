// Conservation, deadlines, exclusion, retries and stop on threads of the machine, which the
// simulated worlds of tests/promises do not have; and a thread of the program's own beside a world.
#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "service/pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::Status;
using wisp::StatusCode;
using wisp::test::check_conserved;

}  // namespace

TEST_CASE("conservation: on threads, with publishers side by side and a queue that ends",
          "[conservation]") {
  wisp::Runtime runtime{wisp::RuntimeOptions{.workers = {.max = 4}, .queue = {.count = 200}}};
  std::atomic<int> calls{0};
  const auto work = wisp::function("work",
                                   [&calls](int n) -> Status {
                                     if (n % 8 == 0 && calls++ % 2 == 0)
                                       return wisp::unavailable("not now");
                                     return n % 9 == 0 ? wisp::invalid_argument("never") : Status();
                                   },
                                   {.retry = {.attempts = 2, .first_delay = 1ms}});
  REQUIRE(runtime.registry().add(work).ok());
  auto all = runtime.on("work").to(work);
  std::optional<wisp::Subscription> ends{
      runtime.on("work")
          .deliver({.queue = {.count = 20, .act = wisp::Overflow::drop_oldest}})
          .to([](int) {})};
  std::vector<std::thread> publishers;
  for (int i = 0; i < 3; ++i) {
    publishers.emplace_back([&runtime, &work] {
      for (int n = 0; n < 300; ++n) {
        (void)runtime.emit("work", n);
        (void)runtime.post(work, n);
      }
    });
  }
  ends.reset();
  for (std::thread& each : publishers) each.join();
  CHECK(runtime.stop(10s).status.ok());
  const wisp::EventStats events = runtime.stats().events;
  check_conserved(events);
  CHECK(events.dropped <= events.dead);
}

TEST_CASE("deadlines: on threads, a timeout and a cancellation end what sleeps", "[deadlines]") {
  wisp::Runtime runtime{wisp::RuntimeOptions{.workers = {.max = 4}}};
  const auto leaf =
      wisp::function("leaf", [](wisp::Context& context) { return context.sleep(1h); });
  const auto root = wisp::function(
      "root", [&leaf](wisp::Context& context) { return context.runtime().call(leaf); });
  const auto brief = wisp::function(
      "brief", [&leaf](wisp::Context& context) { return context.runtime().call(leaf); },
      {.timeout = 5ms});
  const auto waits = wisp::function(
      "waits", [&leaf](wisp::Context& context) { return context.runtime().start(leaf).wait(); });
  for (const auto& each : {leaf, root, brief, waits}) REQUIRE(runtime.registry().add(each).ok());
  CHECK(runtime.call(brief).code() == StatusCode::kDeadlineExceeded);
  std::vector<wisp::Pending<void>> all;
  for (int i = 0; i < 8; ++i) all.push_back(runtime.start(i % 2 == 0 ? root : waits));
  for (wisp::Pending<void>& each : all) each.cancel();
  for (wisp::Pending<void>& each : all) CHECK(each.wait().code() == StatusCode::kCancelled);
}

TEST_CASE("exclusion: on threads, one at a time and no more than the limit", "[exclusion]") {
  wisp::Runtime runtime{wisp::RuntimeOptions{.workers = {.min = 4, .max = 4}}};
  std::atomic<int> inside{0};
  std::atomic<int> beyond{0};
  int unguarded = 0;  // the thread sanitizer would see two at once
  auto serial = runtime.on("line").deliver({.serial = true}).to([&unguarded](int) { ++unguarded; });
  const auto narrow = wisp::function("narrow",
                                     [&](int) {
                                       if (inside.fetch_add(1) >= 2) ++beyond;
                                       std::this_thread::yield();
                                       inside.fetch_sub(1);
                                     },
                                     {.limits = {.concurrency = 2}});
  REQUIRE(runtime.registry().add(narrow).ok());
  std::vector<std::thread> publishers;
  for (int i = 0; i < 2; ++i) {
    publishers.emplace_back([&] {
      for (int n = 0; n < 200; ++n) {
        (void)runtime.emit("line", n);
        (void)runtime.post(narrow, n);
        (void)runtime.call(narrow, n).ok();
      }
    });
  }
  for (std::thread& each : publishers) each.join();
  CHECK(runtime.stop(10s).status.ok());
  CHECK(unguarded == 400);
  CHECK(beyond == 0);
}

TEST_CASE("retries: on threads, each failing post has all its attempts", "[retries]") {
  wisp::Runtime runtime{wisp::RuntimeOptions{.workers = {.max = 4}}};
  std::atomic<int> attempts{0};
  const auto fails = wisp::function("fails",
                                    [&attempts](int) -> Status {
                                      ++attempts;
                                      return wisp::unavailable("not today");
                                    },
                                    {.retry = {.attempts = 3, .first_delay = 1ms}});
  REQUIRE(runtime.registry().add(fails).ok());
  for (int n = 0; n < 50; ++n) REQUIRE(runtime.post(fails, n).ok());
  CHECK(runtime.stop(10s).status.ok());
  CHECK(attempts == 150);
  CHECK(runtime.stats().events.dead == 50);
  CHECK(runtime.dead_letters().size() == 50);
}

TEST_CASE("stop: on threads, under load, everything is accounted for", "[stop]") {
  wisp::Runtime runtime{wisp::RuntimeOptions{.workers = {.max = 4}}};
  std::atomic<std::uint64_t> ran{0};
  const auto work = wisp::function("work", [&ran](int, wisp::Context& context) -> Status {
    WISP_TRY(context.sleep(100us));
    ++ran;
    return Status();
  });
  REQUIRE(runtime.registry().add(work).ok());
  auto serial = runtime.on("work").deliver({.serial = true}).to(work);
  std::atomic<std::uint64_t> accepted{0};
  std::vector<std::thread> publishers;
  for (int i = 0; i < 3; ++i) {
    publishers.emplace_back([&] {
      for (int n = 0; n < 200; ++n) {
        accepted += runtime.post(work, n).ok() ? 1 : 0;
        accepted += runtime.emit("work", n).ok() ? 1 : 0;
      }
    });
  }
  const wisp::Stopped first = runtime.stop(1ms);
  const wisp::Stopped second = runtime.stop(1s);
  for (std::thread& each : publishers) each.join();
  CHECK(second.abandoned.empty());
  const wisp::EventStats events = runtime.stats().events;
  CHECK(events.done == ran);
  CHECK(events.accepted >= accepted);
  CHECK(first.status.ok() == first.abandoned.empty());
  check_conserved(events);
}

TEST_CASE("fiber: a thread of the program's own calls and posts while the world runs", "[sim]") {
  wisp::sim::World world{1};
  wisp::Runtime runtime{world.options()};
  std::atomic<int> done{0};
  const auto count = wisp::function("count", [&done] { ++done; });
  const auto waits = wisp::function("waits", [&world](wisp::Context& context) {
    return context.sleep(wisp::Duration(wisp::uniform(world.random(), 1, 1'000)));
  });
  REQUIRE(runtime.registry().add(count).ok());
  REQUIRE(runtime.registry().add(waits).ok());
  constexpr int kCalls = 500;
  std::atomic<bool> over{false};
  std::thread outside([&] {
    for (int i = 0; i < kCalls; ++i) {
      (void)runtime.call(count);
      while (!runtime.post(count).ok()) std::this_thread::yield();
    }
    over = true;
  });
  // Fibers are made, and take turns, all the while.
  while (!over) {
    for (int i = 0; i < 8; ++i) REQUIRE(runtime.post(waits).ok());
    world.advance(1ms);
  }
  outside.join();
  world.advance(1s);
  CHECK(done == 2 * kCalls);
}
