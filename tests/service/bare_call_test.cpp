// Calls that a BareFrame stands for: what runs inside of them sees no difference, and the meter
// misses none.
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "service/sampled.hpp"
#include "service/stats_of.hpp"

namespace {

using namespace wisp::literals;
using wisp::Context;
using wisp::StatusCode;
using wisp::test::eventually;
using wisp::test::Gate;
using wisp::test::kSampled;
using wisp::test::stats_of;

wisp::Duration wall_of(const wisp::Runtime& runtime, std::string_view name) {
  for (const wisp::BillLine& each : runtime.bill(1h).lines)
    if (each.function == name) return each.wall;
  return {};
}

}  // namespace

TEST_CASE("bare call: what it calls is nested in it", "[bare_call]") {
  struct Seen {
    std::string function;
    wisp::Runtime* runtime = nullptr;
    wisp::EventId event;
    wisp::EventId cause;
    std::string tenant;
    bool deadline = false;
    int attempt = 0;
  };
  Seen seen;
  wisp::Runtime* host = nullptr;
  const auto look = wisp::function("look", [&seen](Context& context) {
    seen = {std::string(context.function()),
            &context.runtime(),
            context.event_id(),
            context.lineage().cause,
            std::string(context.tenant()),
            !context.deadline().none(),
            context.attempt()};
    return 1;
  });
  wisp::CallOptions how;
  const auto outer = wisp::function("outer", [&] { return *host->call(look, how) + 1; });
  const auto hurried =
      wisp::function("hurried", [&] { return *host->call(look) + 1; }, {.timeout = 1h});
  wisp::Runtime runtime{wisp::Catalogue().add(look).add(outer).add(hurried)};
  host = &runtime;
  CHECK(*runtime.call(outer) == 2);
  CHECK(seen.function == "look");
  CHECK(seen.runtime != nullptr);
  CHECK(seen.event.empty());
  CHECK(seen.cause.empty());
  CHECK(seen.tenant.empty());
  CHECK_FALSE(seen.deadline);
  CHECK(seen.attempt == 1);
  how.tenant = "acme";
  CHECK(*runtime.call(outer) == 2);
  CHECK(seen.tenant == "acme");
  how.tenant = {};
  // These are no bare ones: what they are given is passed on.
  CHECK(*runtime.call(outer, {.tenant = "bolt"}) == 2);
  CHECK(seen.tenant == "bolt");
  CHECK(*runtime.call(outer, {.timeout = 1h}) == 2);
  CHECK(seen.deadline);
  CHECK(*runtime.call(hurried) == 2);
  CHECK(seen.deadline);
}

TEST_CASE("bare call: events that it causes have no cause and may go on", "[bare_call]") {
  wisp::Runtime* host = nullptr;
  int heard = 0;
  wisp::EventId event;
  const auto emits = wisp::function("emits", [&] { event = *host->emit("a", 1); });
  wisp::Runtime runtime{wisp::Catalogue().add(emits)};
  host = &runtime;
  const auto here = runtime.on("a").deliver({.synchronous = true}).to([&](const int&, Context& c) {
    ++heard;
    CHECK(c.lineage().cause.empty());
    CHECK(c.lineage().hops == 0);
    CHECK(c.lineage().trace == c.event_id());
  });
  for (int i = 0; i < 3; ++i) CHECK(runtime.call(emits).ok());
  CHECK(heard == 3);
  CHECK_FALSE(event.empty());
}

TEST_CASE("bare call: a verb inside is accepted while stop waits, one outside is not",
          "[bare_call]") {
  Gate gate;
  wisp::Runtime* host = nullptr;
  const auto waits = wisp::function("waits", [&gate] { gate.pass(); });
  const auto one = wisp::function("one", [] { return 1; });
  std::thread stopper;
  const auto inside = wisp::function("inside", [&] {
    stopper = std::thread([&] { CHECK(host->stop(60s).status.ok()); });
    CHECK(eventually([&] {
      wisp::Result<int> outside = 0;
      std::thread([&] { outside = host->call(one); }).join();
      return wisp::reason_of(outside.status()) == wisp::Reason::stopped;
    }));
    return host->call(one).value_or(0) + 1;
  });
  wisp::Runtime runtime{wisp::Catalogue().add(waits).add(one).add(inside)};
  host = &runtime;
  auto pending = runtime.start(waits);
  gate.await(1);
  CHECK(runtime.call(inside).value_or(0) == 2);
  gate.open();
  stopper.join();
}

TEST_CASE("bare call: stop from inside waits for nobody, and what runs further in sees it",
          "[bare_call]") {
  wisp::Runtime* host = nullptr;
  bool before = true;
  bool after = false;
  const auto token = wisp::function("token", [&](Context& context) {
    const std::stop_token asked = context.stop_token();
    before = asked.stop_requested();
    (void)host->stop(60s);
    after = asked.stop_requested() && context.cancelled();
  });
  const auto outer = wisp::function("outer", [&] { return host->call(token).ok() ? 1 : 0; });
  wisp::Runtime runtime{wisp::Catalogue().add(token).add(outer)};
  host = &runtime;
  CHECK(*runtime.call(outer) == 1);
  CHECK_FALSE(before);
  CHECK(after);
  CHECK(wisp::reason_of(runtime.call(outer).status()) == wisp::Reason::stopped);

  Gate gate;
  const auto waits = wisp::function("waits", [&gate] { gate.pass(); });
  wisp::Stopped stopped;
  const auto stops = wisp::function("stops", [&] { stopped = host->stop(60s); });
  wisp::Runtime other{wisp::Catalogue().add(waits).add(stops)};
  host = &other;
  auto pending = other.start(waits);
  gate.await(1);
  CHECK(other.call(stops).ok());
  gate.open();  // only now: a stop that had waited for it would have given it up
  CHECK(stopped.abandoned.empty());
  CHECK(pending.wait().ok());
}

TEST_CASE("bare call: nothing is left of it on the thread", "[bare_call]") {
  // What a handler asks for inside of a bare one is another's once that has returned.
  const auto look = wisp::function("look", [](Context& context) {
    (void)context.stop_token();
    return context.deadline().none() ? 1 : 2;
  });
  wisp::Runtime* host = nullptr;
  const auto outer = wisp::function("outer", [&](int n) { return n + *host->call(look); });
  const auto fails = wisp::function("fails", [&](int n) -> wisp::Result<int> {
    if (*host->call(look) == 1) throw std::runtime_error("no");
    return n;
  });
  wisp::Runtime runtime{wisp::Catalogue().add(look).add(outer).add(fails)};
  host = &runtime;
  for (int i = 0; i < 100; ++i) {
    CHECK(*runtime.call(outer, i) == i + 1);
    CHECK(runtime.call(fails, i).status().code() == StatusCode::kInternal);
    CHECK(wisp::detail::ActiveFrame::top() == nullptr);
  }
  // Another runtime's handlers inside of it are not nested, but see where they are.
  wisp::Runtime second{wisp::Catalogue().add(look)};
  const auto across = wisp::function("across", [&](int n) { return n + *second.call(look); });
  REQUIRE(runtime.registry().add(across).ok());
  CHECK(*runtime.call(across, 1) == 2);
}

TEST_CASE("bare call: a failure in the sampled meter is tried again, and counted", "[bare_call]") {
  int calls = 0;
  const auto flaky =
      wisp::function("flaky",
                     [&calls](int n) -> wisp::Result<int> {
                       if (++calls % 2 == 1) return wisp::unavailable("not now");
                       return n;
                     },
                     {.retry = {.attempts = 2, .first_delay = 1us}, .meter = wisp::Meter::sampled});
  const auto refuses = wisp::function(
      "refuses", [](int) -> wisp::Status { return wisp::invalid_argument("never"); }, kSampled);
  wisp::Runtime runtime{wisp::Catalogue().add(flaky).add(refuses)};
  for (int i = 0; i < 200; ++i) {
    CHECK(*runtime.call(flaky, i) == i);
    CHECK(runtime.call(refuses, i).code() == StatusCode::kInvalidArgument);
  }
  CHECK(calls == 400);
  CHECK(stats_of(runtime, "flaky").calls == 200);
  CHECK(stats_of(runtime, "flaky").attempts == 400);
  CHECK(stats_of(runtime, "flaky").errors == 200);
  CHECK(stats_of(runtime, "refuses").errors == 200);
}

TEST_CASE("bare call: a million of the sampled meter from two threads are counted exactly",
          "[bare_call][stress]") {
  constexpr int kCalls = 500'000;
  constexpr int kDeep = 20'000;
  wisp::Runtime* host = nullptr;
  std::atomic<std::int64_t> wrong{0};
  const auto twice = wisp::function("twice", [](int n) { return 2 * n; }, kSampled);
  // Comes back to its own line before it has been counted.
  const auto deep = wisp::named<int(int)>("deep");
  const auto down = wisp::function(
      "deep",
      [&](int n) {
        const auto end = std::chrono::steady_clock::now() + 200us;
        while (n < 0 && std::chrono::steady_clock::now() < end) continue;
        return n <= 0 ? 0 : 1 + *host->call(deep, n - 1);
      },
      kSampled);
  wisp::Runtime runtime{wisp::Catalogue().add(twice).add(down)};
  host = &runtime;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kCalls; ++i) wrong += *runtime.call(twice, i) == 2 * i ? 0 : 1;
      for (int i = 0; i < kDeep; ++i) wrong += *runtime.call(down, i % 4) == i % 4 ? 0 : 1;
      // One in 16 is still timed: what takes long is on the bill.
      for (int i = 0; i < 64; ++i) (void)runtime.call(down, -1);
    });
  }
  for (std::thread& each : threads) each.join();
  CHECK(wrong == 0);
  CHECK(wall_of(runtime, "deep") > 2 * 64 * 100us);
  CHECK(stats_of(runtime, "twice").calls == 2 * kCalls);
  CHECK(stats_of(runtime, "deep").calls == 2 * (kDeep / 4 * (1 + 2 + 3 + 4) + 64));
  for (const wisp::BillLine& each : runtime.bill(1h).lines) {
    if (each.function == "twice") {
      CHECK(each.calls == 2 * kCalls);
      CHECK(each.wall > wisp::Duration::zero());
    }
    CHECK(each.cpu_quality == wisp::Quality::estimated);
  }
}
