// Synchronous deliveries whose frame is filled only if somebody looks, and what is seen then.
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
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

// So often that its next rows are only counted, or timed with the others.
constexpr int kWarm = 200;

// Takes 200 us of CPU once `slow`.
auto spinning(const bool& slow) {
  return wisp::function(
      "spins",
      [&slow](const int&) {
        const auto end = std::chrono::steady_clock::now() + 200us;
        while (slow && std::chrono::steady_clock::now() < end) continue;
      },
      kSampled);
}

}  // namespace

TEST_CASE("publish frame: what a delivery causes has its event for a cause", "[publish_here]") {
  struct Seen {
    std::string function;
    wisp::EventId event;
    wisp::EventId cause;
    wisp::EventId trace;
    int hops = 0;
  };
  std::vector<Seen> seen;
  wisp::Runtime* host = nullptr;
  const auto see = [&seen](wisp::Context& context) {
    const wisp::Lineage& lineage = context.lineage();
    seen.push_back({std::string(context.function()), context.event_id(), lineage.cause,
                    lineage.trace, lineage.hops});
  };
  bool tell = false;
  const auto look = wisp::function("look", [&see](wisp::Context& context) { see(context); });
  const auto tells = [&](const int& n) {
    if (!tell) return;
    REQUIRE(host->emit("b", n + 1).ok());
    REQUIRE(host->call(look).ok());
  };
  for (const wisp::Meter meter : {wisp::Meter::sampled, wisp::Meter::batched, wisp::Meter::exact}) {
    const auto first = wisp::function("first", tells, {.meter = meter});
    const auto second = wisp::function("second", tells, {.meter = meter});
    wisp::Runtime runtime{wisp::Catalogue().add(look).add(first).add(second)};
    host = &runtime;
    std::vector<wisp::Subscription> all;
    for (int i = 0; i < 3; ++i) all.push_back(runtime.on("a").deliver(kHere).to(first));
    for (int i = 0; i < 2; ++i) all.push_back(runtime.on("a").deliver(kHere).to(second));
    const auto inner = runtime.on("b").deliver(kHere).to(
        [&see](const int&, wisp::Context& context) { see(context); });
    tell = false;
    for (int i = 0; i < kWarm; ++i) REQUIRE(runtime.emit("a", i).ok());
    tell = true;
    seen.clear();
    const wisp::Result<wisp::EventId> id = runtime.emit("a", 1);
    REQUIRE(id.ok());
    REQUIRE(seen.size() == 10);
    for (std::size_t i = 0; i < seen.size(); i += 2) {
      CHECK(seen[i].function == "on b");
      CHECK(seen[i].cause == *id);
      CHECK(seen[i].trace == *id);
      CHECK(seen[i].hops == 1);
      CHECK(seen[i + 1].function == "look");
      CHECK(seen[i + 1].event == *id);  // as in what its handler calls
      CHECK(seen[i + 1].trace == *id);
    }
    CHECK(calls_of(runtime, "first") == 3 * (kWarm + 1));
    CHECK(calls_of(runtime, "second") == 2 * (kWarm + 1));
    CHECK(calls_of(runtime, "on b") == 5);
    CHECK(runtime.stats().events.done == 5 * (kWarm + 1) + 5);
    CHECK(wisp::detail::ActiveFrame::top() == nullptr);
  }
}

TEST_CASE("publish frame: tokens of one delivery are not the next one's", "[publish_here]") {
  for (const wisp::Meter meter : {wisp::Meter::sampled, wisp::Meter::batched}) {
    std::vector<std::stop_token> tokens;
    const auto asks = wisp::function(
        "asks",
        [&tokens](const int&, wisp::Context& context) { tokens.push_back(context.stop_token()); },
        {.meter = meter});
    wisp::Runtime runtime{wisp::Catalogue().add(asks)};
    std::vector<wisp::Subscription> all;
    for (int i = 0; i < 3; ++i) all.push_back(runtime.on("a").deliver(kHere).to(asks));
    for (int i = 0; i < 40; ++i) REQUIRE(runtime.emit("a", i).ok());
    REQUIRE(tokens.size() == 120);
    for (std::size_t i = 1; i < tokens.size(); ++i) CHECK(tokens[i] != tokens[i - 1]);
    // None has been left behind for stop() to find.
    (void)runtime.stop(0s);
    for (const std::stop_token& each : tokens) CHECK_FALSE(each.stop_requested());
  }
}

TEST_CASE("publish frame: of counted deliveries one in 16 is still timed", "[publish_here]") {
  bool slow = false;
  const auto spins = spinning(slow);
  wisp::Runtime runtime{wisp::Catalogue().add(spins)};
  const auto watch = runtime.on("a").deliver(kHere).to(spins);
  for (int i = 0; i < kWarm; ++i) REQUIRE(runtime.emit("a", i).ok());
  slow = true;
  for (int i = 0; i < 64; ++i) REQUIRE(runtime.emit("a", i).ok());
  const wisp::Bill bill = runtime.bill(1h);
  REQUIRE(bill.lines.size() == 1);
  CHECK(bill.lines[0].calls == kWarm + 64);
  CHECK(bill.lines[0].wall > 64 * 100us);
}

TEST_CASE("publish frame: what is only counted is no time of those around it", "[publish_here]") {
  bool slow = false;
  const auto spins = spinning(slow);
  const auto first = wisp::function("first", [](const int&) {});
  const auto last = wisp::function("last", [](const int&) {});
  wisp::Runtime runtime{wisp::Catalogue().add(spins).add(first).add(last)};
  std::vector<wisp::Subscription> all;
  all.push_back(runtime.on("a").deliver(kHere).to(first));
  all.push_back(runtime.on("a").deliver(kHere).to(spins));
  all.push_back(runtime.on("a").deliver(kHere).to(last));
  for (int i = 0; i < kWarm; ++i) REQUIRE(runtime.emit("a", i).ok());
  slow = true;
  for (int i = 0; i < 15; ++i) REQUIRE(runtime.emit("a", i).ok());
  for (const wisp::FunctionStats& each : runtime.stats().functions) {
    if (each.name == "spins") continue;
    // Until the slow ones are timed, no more than 15 come; that is enough to be seen here.
    CHECK(each.run.quantile(0.99).value() < 100'000);
    CHECK(each.calls == kWarm + 15);
  }
}

TEST_CASE("publish frame: a delivery in a row ends its subscription, and others",
          "[publish_here]") {
  int ran = 0;
  int end_at = -1;
  std::vector<std::optional<wisp::Subscription>> all(4);
  const auto ends = wisp::function(
      "ends",
      [&](const int&) {
        if (ran++ != end_at) return;
        all[1].reset();  // its own
        all[2].reset();
      },
      kSampled);
  wisp::Runtime runtime{wisp::Catalogue().add(ends)};
  for (auto& each : all) each = runtime.on("a").deliver(kHere).to(ends);
  for (int i = 0; i < kWarm; ++i) REQUIRE(runtime.emit("a", i).ok());
  REQUIRE(ran == 4 * kWarm);
  end_at = ran + 1;
  REQUIRE(runtime.emit("a", 1).ok());
  CHECK(ran == 4 * kWarm + 3);
  REQUIRE(runtime.emit("a", 1).ok());
  CHECK(ran == 4 * kWarm + 5);
  const wisp::EventStats events = runtime.stats().events;
  CHECK(events.accepted == 4 * kWarm + 5);
  CHECK(events.done == 4 * kWarm + 5);
  CHECK(calls_of(runtime, "ends") == 4 * kWarm + 5);
}

TEST_CASE("publish frame: stop from inside of a delivery waits for nobody", "[publish_here]") {
  Gate gate;
  wisp::Runtime* host = nullptr;
  bool stop = false;
  std::optional<wisp::Stopped> stopped;
  const auto waits = wisp::function("waits", [&gate] { gate.pass(); });
  const auto stops = wisp::function(
      "stops",
      [&](const int&) {
        if (stop) stopped = host->stop(60s);
      },
      kSampled);
  wisp::Runtime runtime{wisp::Catalogue().add(waits).add(stops)};
  host = &runtime;
  const auto watch = runtime.on("a").deliver(kHere).to(stops);
  for (int i = 0; i < kWarm; ++i) REQUIRE(runtime.emit("a", i).ok());
  auto pending = runtime.start(waits);
  gate.await(1);
  stop = true;
  REQUIRE(runtime.emit("a", 1).ok());
  gate.open();  // only now: a stop that had waited for it would have given it up
  REQUIRE(stopped.has_value());
  CHECK(stopped->abandoned.empty());
  CHECK(pending.wait().ok());
}

TEST_CASE("publish frame: a topic's subscriptions are those of the moment", "[publish_here]") {
  int first = 0;
  int second = 0;
  const auto one = wisp::function("one", [&first](const int&) { ++first; }, kSampled);
  const auto two = wisp::function("two", [&second](const int&) { ++second; }, kSampled);
  wisp::Runtime runtime{wisp::Catalogue().add(one).add(two)};
  const auto steady = runtime.on("a.b").deliver(kHere).to(one);
  for (int i = 0; i < 500; ++i) {
    REQUIRE(runtime.emit("a.b", i).ok());
    REQUIRE(first == 3 * i + 1);
    REQUIRE(second == i);
    {
      const auto brief = runtime.on(i % 2 == 0 ? "a.b" : "a.*").deliver(kHere).to(two);
      REQUIRE(runtime.emit("a.b", i).ok());
      REQUIRE(second == i + 1);
    }
    REQUIRE(runtime.emit("a.b", i).ok());
    REQUIRE(second == i + 1);
    REQUIRE(runtime.emit("a.c", i).ok());
  }
  CHECK(runtime.stats().events.unmatched == 500);
}
