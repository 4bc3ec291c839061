// What synchronous deliveries of the plain kind leave in the counts and on the bill.
#include <atomic>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "service/sampled.hpp"

namespace {

using namespace wisp::literals;
using wisp::test::calls_of;
using wisp::test::Gate;
using wisp::test::kHere;
using wisp::test::kSampled;

wisp::BillLine line_of(const wisp::Runtime& runtime, std::string_view name) {
  for (const wisp::BillLine& each : runtime.bill(1h).lines)
    if (each.function == name) return each;
  return {};
}

}  // namespace

TEST_CASE("publish meter: sampled deliveries of three threads are counted exactly",
          "[publish_here][stress]") {
  constexpr std::uint64_t kPublishes = 10'000;
  constexpr std::uint64_t kThreads = 3;
  std::atomic<std::uint64_t> ran{0};
  const auto often = wisp::function("often", [&ran](const int&) { ++ran; }, kSampled);
  const auto once = wisp::function("once", [&ran](const int&) { ++ran; }, kSampled);
  const auto timed = wisp::function("timed", [&ran](const int&) { ++ran; });
  wisp::Runtime runtime{wisp::Catalogue().add(often).add(once).add(timed)};
  std::vector<wisp::Subscription> all;
  for (int i = 0; i < 3; ++i) all.push_back(runtime.on("a").deliver(kHere).to(often));
  all.push_back(runtime.on("a").deliver(kHere).to(once));
  for (int i = 0; i < 2; ++i) all.push_back(runtime.on("a").deliver(kHere).to(timed));
  all.push_back(runtime.on("a").deliver(kHere).to(often));
  std::atomic<bool> stop{false};
  std::atomic<int> fell{0};
  std::thread reader([&] {
    std::uint64_t calls = 0;
    wisp::EventStats before;
    while (!stop) {
      const wisp::EventStats now = runtime.stats().events;
      if (now.accepted < before.accepted || now.done < before.done) ++fell;
      if (now.accepted < now.done) ++fell;
      before = now;
      const std::uint64_t more = line_of(runtime, "often").calls;
      if (more < calls) ++fell;
      calls = more;
    }
  });
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&runtime] {
      for (std::uint64_t i = 0; i < kPublishes; ++i) (void)runtime.emit("a", 1);
    });
  }
  for (std::thread& each : threads) each.join();
  stop = true;
  reader.join();
  CHECK(fell == 0);
  CHECK(ran == 7 * kThreads * kPublishes);
  CHECK(runtime.stats().events.accepted == 7 * kThreads * kPublishes);
  CHECK(runtime.stats().events.done == 7 * kThreads * kPublishes);
  CHECK(calls_of(runtime, "often") == 4 * kThreads * kPublishes);
  CHECK(calls_of(runtime, "once") == kThreads * kPublishes);
  CHECK(calls_of(runtime, "timed") == 2 * kThreads * kPublishes);
  CHECK(line_of(runtime, "often").calls == 4 * kThreads * kPublishes);
  CHECK(line_of(runtime, "once").attempts == kThreads * kPublishes);
  CHECK(line_of(runtime, "often").wall > wisp::Duration::zero());
  CHECK(line_of(runtime, "often").cpu_quality == wisp::Quality::estimated);
}

TEST_CASE("publish meter: a handler that blocks hides nothing of those before it",
          "[publish_here]") {
  Gate gate;
  const auto passes = wisp::function("passes", [](const int&) {}, kSampled);
  const auto blocks = wisp::function("blocks", [&gate](const int&) { gate.pass(); }, kSampled);
  wisp::Runtime runtime{wisp::Catalogue().add(passes).add(blocks)};
  std::vector<wisp::Subscription> all;
  for (int i = 0; i < 3; ++i) all.push_back(runtime.on("a").deliver(kHere).to(passes));
  all.push_back(runtime.on("a").deliver(kHere).to(blocks));
  all.push_back(runtime.on("a").deliver(kHere).to(passes));
  std::thread publisher([&] { (void)runtime.emit("a", 1); });
  gate.await(1);
  const wisp::EventStats inside = runtime.stats().events;
  CHECK(inside.accepted == 4);
  CHECK(inside.done == 3);
  CHECK(calls_of(runtime, "passes") == 3);
  CHECK(calls_of(runtime, "blocks") == 0);
  gate.open();
  publisher.join();
  CHECK(runtime.stats().events.done == 5);
  CHECK(calls_of(runtime, "passes") == 4);
  CHECK(calls_of(runtime, "blocks") == 1);
}

TEST_CASE("publish meter: failures of sampled deliveries are counted too", "[publish_here]") {
  const auto odd = wisp::function(
      "odd",
      [](const int& n) {
        return n % 2 == 0 ? wisp::Status() : wisp::Status(wisp::StatusCode::kAborted, "odd");
      },
      kSampled);
  wisp::Runtime runtime{wisp::Catalogue().add(odd)};
  std::vector<wisp::Subscription> all;
  for (int i = 0; i < 3; ++i) all.push_back(runtime.on("a").deliver(kHere).to(odd));
  for (int i = 199; i >= 0; --i) (void)runtime.emit("a", i);
  const wisp::EventStats events = runtime.stats().events;
  CHECK(events.accepted == 600);
  CHECK(events.done == 300);
  CHECK(events.dead == 300);
  CHECK(line_of(runtime, "odd").calls == 600);
  CHECK(line_of(runtime, "odd").errors == 300);
}

TEST_CASE("publish meter: a row that ends before its first delivery is none", "[publish_here]") {
  const auto none = wisp::function("none", [](const int&) {}, kSampled);
  wisp::Runtime runtime{wisp::Catalogue().add(none)};
  std::vector<wisp::Subscription> later;
  auto first = runtime.on("a").deliver(kHere).to([&later](const int&) { later.clear(); });
  for (int i = 0; i < 3; ++i) later.push_back(runtime.on("a").deliver(kHere).to(none));
  CHECK(runtime.emit("a", 1).ok());
  CHECK(runtime.stats().events.accepted == 1);
  CHECK(calls_of(runtime, "none") == 0);
}

TEST_CASE("publish meter: what runs uncounted between two timed rows is no part of the later one's",
          "[publish_here]") {
  wisp::ManualClock clock;
  wisp::Duration lasts = 1us;
  const auto first = wisp::function("first", [](const int&) {});
  const auto between =
      wisp::function("between", [&](const int&) { clock.advance(lasts); }, kSampled);
  const auto last = wisp::function("last", [](const int&) {});
  wisp::Runtime runtime{wisp::Catalogue().add(first).add(between).add(last), {.clock = &clock}};
  const auto one = runtime.on("a").deliver(kHere).to(first);
  const auto two = runtime.on("a").deliver(kHere).to(between);
  const auto three = runtime.on("a").deliver(kHere).to(last);
  for (int i = 0; i < 100; ++i) REQUIRE(runtime.emit("a", i).ok());
  lasts = 5ms;
  for (int i = 0; i < 16; ++i) REQUIRE(runtime.emit("a", i).ok());
  CHECK(line_of(runtime, "first").wall == wisp::Duration::zero());
  CHECK(line_of(runtime, "between").wall >= 5ms);
  CHECK(line_of(runtime, "last").wall == wisp::Duration::zero());
}

TEST_CASE("publish meter: an unknown or bad topic is asked for, a known one is not",
          "[publish_here]") {
  wisp::Runtime runtime;
  int ran = 0;
  auto all = runtime.on("a.*").deliver(kHere).to([&ran](const int&) { ++ran; });
  for (int i = 0; i < 2; ++i) {
    CHECK(runtime.emit("a.b", 1).ok());
    CHECK(runtime.emit("a.b c", 1).status().code() == wisp::StatusCode::kInvalidArgument);
    CHECK(runtime.emit("a.*", 1).status().code() == wisp::StatusCode::kInvalidArgument);
  }
  CHECK(ran == 2);
}
