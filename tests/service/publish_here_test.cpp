// Synchronous deliveries of the plain kind: on the publisher's thread, without a queue.
#include <atomic>
#include <optional>
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

}  // namespace

TEST_CASE("publish here: every delivery is counted and billed", "[publish_here]") {
  wisp::Runtime runtime;
  std::atomic<int> ran{0};
  std::vector<wisp::Subscription> all;
  for (int i = 0; i < 8; ++i)
    all.push_back(runtime.on("a").deliver(kHere).to([&ran](const int&) { ++ran; }));
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&runtime] {
      for (int i = 0; i < 500; ++i) (void)runtime.emit("a", i);
    });
  }
  for (std::thread& each : threads) each.join();
  CHECK(ran == 8'000);
  const wisp::RuntimeStats stats = runtime.stats();
  CHECK(stats.events.accepted == 8'000);
  CHECK(stats.events.done == 8'000);
  CHECK(stats.queued == 0);
  CHECK(calls_of(runtime, "on a") == 8'000);
}

TEST_CASE("publish here: a handler may end its own subscription and later ones", "[publish_here]") {
  wisp::Runtime runtime;
  int first = 0;
  int second = 0;
  std::optional<wisp::Subscription> one;
  std::optional<wisp::Subscription> two;
  one = runtime.on("a").deliver(kHere).to([&](const int&) {
    ++first;
    one.reset();
    two.reset();
  });
  two = runtime.on("a").deliver(kHere).to([&](const int&) { ++second; });
  CHECK(runtime.emit("a", 1).ok());
  CHECK(runtime.emit("a", 1).ok());
  CHECK(first == 1);
  CHECK(second == 0);
  const wisp::EventStats events = runtime.stats().events;
  CHECK(events.accepted == 1);
  CHECK(events.done == 1);
  CHECK(events.unmatched == 1);
}

TEST_CASE("publish here: a failure is a dead letter, and the others go on", "[publish_here]") {
  wisp::Runtime runtime;
  int after = 0;
  auto fails = runtime.on("a").deliver(kHere).to(
      [](const int&) -> wisp::Status { return wisp::Status(wisp::StatusCode::kAborted, "no"); });
  auto runs = runtime.on("a").deliver(kHere).to([&after](const int&) { ++after; });
  CHECK(runtime.emit("a", 1).ok());
  CHECK(after == 1);
  CHECK(runtime.dead_letters().size() == 1);
  const wisp::EventStats events = runtime.stats().events;
  CHECK(events.accepted == 2);
  CHECK(events.done == 1);
  CHECK(events.dead == 1);
}

TEST_CASE("publish here: emits within handlers, each handler under its own name",
          "[publish_here]") {
  wisp::Runtime runtime;
  std::vector<std::string> names;
  auto outer = runtime.on("a").deliver(kHere).to([&](const int& n, wisp::Context& context) {
    CHECK(context.runtime().emit("b", n + 1).ok());
    names.emplace_back(context.function());
    CHECK_FALSE(context.stop_token().stop_requested());
  });
  auto inner = runtime.on("b").deliver(kHere).to([&](const int& n, wisp::Context& context) {
    names.emplace_back(context.function());
    CHECK(n == 2);
    CHECK(context.lineage().hops == 1);
  });
  CHECK(runtime.emit("a", 1).ok());
  CHECK(names == std::vector<std::string>{"on b", "on a"});
}

TEST_CASE("publish here: no delivery once a subscription's destructor has returned",
          "[publish_here][stress]") {
  wisp::Runtime runtime;
  std::atomic<bool> stop{false};
  std::atomic<int> late{0};
  std::atomic<std::uint64_t> ran{0};
  auto steady = runtime.on("a").deliver(kHere).to([&ran](const int&) { ++ran; });
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (!stop) (void)runtime.emit("a", 1);
    });
  }
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        std::atomic<bool> alive{true};
        {
          auto brief = runtime.on("a").deliver(kHere).to([&](const int&) {
            if (!alive) ++late;
          });
          (void)runtime.emit("a", 2);
        }
        alive = false;
      }
    });
  }
  for (std::size_t t = 2; t < 4; ++t) threads[t].join();
  stop = true;
  for (std::size_t t = 0; t < 2; ++t) threads[t].join();
  CHECK(late == 0);
  CHECK(ran > 0);
  const wisp::EventStats events = runtime.stats().events;
  CHECK(events.accepted == events.done);
}

TEST_CASE("publish here: the runtime stops while threads publish", "[publish_here][stress]") {
  for (int round = 0; round < 50; ++round) {
    std::optional<wisp::Runtime> runtime(std::in_place);
    std::atomic<bool> stopped{false};
    std::atomic<int> late{0};
    auto watch = runtime->on("a").deliver(kHere).to([&](const int&) {
      if (stopped) ++late;
    });
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        while (runtime->emit("a", 1).ok()) {
        }
      });
    }
    const wisp::Stopped end = runtime->stop(1s);
    CAPTURE(round, wisp::message(end.status));
    CHECK(end.abandoned.empty());
    stopped = true;
    for (std::thread& each : threads) each.join();
    CHECK(late == 0);
    runtime.reset();
  }
}

TEST_CASE("publish here: stop names a delivery that does not return", "[publish_here]") {
  Gate gate;
  wisp::Runtime runtime;
  auto watch = runtime.on("a").deliver(kHere).to([&](const int&) { gate.pass(); });
  wisp::Result<wisp::EventId> id{wisp::EventId{}};
  std::thread publisher([&] { id = runtime.emit("a", 1); });
  gate.await(1);
  const wisp::Stopped end = runtime.stop(0s);
  CHECK(end.status.code() == wisp::StatusCode::kDeadlineExceeded);
  gate.open();
  publisher.join();
  REQUIRE(end.abandoned.size() == 1);
  CHECK(end.abandoned[0].state == "running");
  CHECK(end.abandoned[0].function == "on a");
  CHECK(end.abandoned[0].event == *id);
}
