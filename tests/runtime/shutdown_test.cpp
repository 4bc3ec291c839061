#include <wisp/runtime.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"

namespace {

using namespace wisp::literals;
using wisp::Context;
using wisp::StatusCode;
using wisp::test::eventually;
using wisp::test::Gate;

void check_conserved(const wisp::EventStats& events) {
  CHECK(events.accepted == events.done + events.dead + events.expired + events.cancelled);
}

}  // namespace

TEST_CASE("shutdown: stop finishes what was accepted, then refuses", "[shutdown]") {
  std::atomic<int> ran{0};
  const auto count = wisp::function("count", [&ran](int) { ++ran; });
  wisp::Runtime runtime{wisp::Catalogue().add(count), {.workers = {.max = 2}}};
  auto subscription = runtime.on("a").to(count);
  for (int i = 0; i < 500; ++i) {
    REQUIRE(runtime.post(count, i).ok());
    REQUIRE(runtime.emit("a", i).ok());
  }
  auto pending = runtime.start(count, 1);
  CHECK(runtime.stop(60s).status.ok());
  CHECK(ran == 1001);
  CHECK(pending.ready());
  for (const wisp::Status& each :
       {runtime.call(count, 1), runtime.start(count, 1).wait(), runtime.post(count, 1).status(),
        runtime.emit("a", 1).status(), runtime.on("a").to(count).status(),
        runtime.every(1s).run([] {}).status()}) {
    CHECK(each.code() == StatusCode::kUnavailable);
    CHECK(wisp::reason_of(each) == wisp::Reason::stopped);
  }
  CHECK(runtime.stop(1s).status.ok());
  check_conserved(runtime.stats().events);
  // What it knows stays readable.
  CHECK(runtime.bill(1h).lines.front().calls == 1001);
}

TEST_CASE("shutdown: what does not finish in time is named", "[shutdown]") {
  const int before = wisp::test::threads_at_rest();
  Gate gate;
  const auto hangs = wisp::function("hangs", [&gate](int) { gate.pass(); });
  const auto waits = wisp::function("waits", [](int) {});
  std::optional<wisp::Runtime> runtime;
  runtime.emplace(wisp::Catalogue().add(hangs).add(waits),
                  wisp::RuntimeOptions{.workers = {.max = 1}});
  auto running = runtime->start(hangs, 1);
  gate.await(1);
  REQUIRE(runtime->post(waits, 2).ok());
  auto queued = runtime->start(waits, 3);
  const wisp::Stopped stopped = runtime->stop(1ms);
  CHECK(stopped.status.code() == StatusCode::kDeadlineExceeded);
  REQUIRE(stopped.abandoned.size() == 3);
  CHECK(stopped.abandoned[0].function == "hangs");
  CHECK(stopped.abandoned[0].state == "running");
  CHECK(stopped.abandoned[1].function == "waits");
  CHECK(stopped.abandoned[1].state == "queued");
  // Whoever waits gets an answer although the handler does not return.
  CHECK(running.ready());
  CHECK(running.wait().code() == StatusCode::kCancelled);
  CHECK(running.receipt().function == "hangs");
  CHECK(wisp::reason_of(queued.wait()) == wisp::Reason::stopped);
  CHECK(runtime->stats().events.cancelled == 1);
  // Who asks later hears that not all went well.
  const wisp::Stopped again = runtime->stop(60s);
  CHECK(again.status == stopped.status);
  CHECK(again.abandoned.empty());
  // The destructor leaves the handler behind; it ends by itself.
  runtime.reset();
  gate.open();
  CHECK(eventually([&] { return wisp::test::threads() == before; }));
}

TEST_CASE("shutdown: handlers are asked to stop, and those that listen end in time", "[shutdown]") {
  std::atomic<int> inside{0};
  const auto sleeps = wisp::function("sleeps", [&inside](Context& context) {
    ++inside;
    return context.sleep(10h);
  });
  const auto polls = wisp::function("polls", [&inside](Context& context) -> wisp::Status {
    ++inside;
    while (!context.cancelled()) std::this_thread::yield();
    return wisp::cancelled("asked to");
  });
  wisp::Runtime runtime{wisp::Catalogue().add(sleeps).add(polls)};
  auto first = runtime.start(sleeps);
  auto second = runtime.start(polls);
  REQUIRE(runtime.post(sleeps).ok());
  REQUIRE(eventually([&] { return inside == 3; }));
  const wisp::Stopped stopped = runtime.stop(1ms);
  CHECK(first.wait().code() == StatusCode::kCancelled);
  CHECK(second.wait().code() == StatusCode::kCancelled);
  check_conserved(runtime.stats().events);
  CHECK(runtime.stats().events.cancelled == 1);
}

TEST_CASE("shutdown: stop from inside a handler returns, and the destructor does the rest",
          "[shutdown]") {
  std::atomic<bool> returned{false};
  std::atomic<bool> refused{false};
  {
    const auto stops = wisp::function("stops", [&](Context& context) {
      (void)context.runtime().stop(10s);
      refused = !context.runtime().emit("a", 1).ok();
      // The Runtime is there until its destructor has waited for this.
      returned = !context.runtime().stop(10s).status.ok() || true;
    });
    wisp::Runtime runtime{wisp::Catalogue().add(stops)};
    CHECK(runtime.post(stops).ok());
    CHECK(eventually([&] { return refused.load(); }));
  }
  CHECK(returned);
}

TEST_CASE("shutdown: of two stops at once both return when it is over", "[shutdown]") {
  Gate gate;
  const auto holds = wisp::function("holds", [&gate] { gate.pass(); });
  wisp::Runtime runtime{wisp::Catalogue().add(holds)};
  auto pending = runtime.start(holds);
  gate.await(1);
  std::atomic<int> over{0};
  const auto stop = [&] {
    CHECK(runtime.stop(60s).status.ok());
    CHECK(pending.ready());
    ++over;
  };
  std::thread first(stop);
  std::thread second(stop);
  while (runtime.emit("a", 1).ok()) std::this_thread::yield();
  CHECK(over == 0);
  gate.open();
  first.join();
  second.join();
  CHECK(over == 2);
}

TEST_CASE("shutdown: a destructor that calls the runtime while it ends is refused", "[shutdown]") {
  int refused = 0;
  struct Caller {
    wisp::Runtime& runtime;
    int& refused;
    ~Caller() {
      if (!runtime.emit("a", 1).ok()) ++refused;
    }
  };
  wisp::Runtime runtime{{.threads = wisp::Threads::none}};
  auto subscription = runtime.on("b").to([](const std::shared_ptr<Caller>&) {});
  // Queued, it dies with its delivery.
  REQUIRE(runtime.emit("b", std::make_shared<Caller>(Caller{runtime, refused})).ok());
  refused = 0;
  CHECK(runtime.stop(0s).status.code() == StatusCode::kDeadlineExceeded);
  CHECK(refused == 1);
  CHECK(runtime.stats().events.cancelled == 1);
}

TEST_CASE("shutdown: a handler that publishes to its own topic ends at the hop limit",
          "[shutdown]") {
  std::atomic<int> ran{0};
  std::atomic<int> refusals{0};
  wisp::Runtime runtime;
  auto loop = runtime.on("loop").to([&](const int& n, Context& context) {
    ++ran;
    const wisp::Status again = context.runtime().emit("loop", n + 1).status();
    if (wisp::reason_of(again) == wisp::Reason::hops) ++refusals;
    return again;
  });
  REQUIRE(runtime.emit("loop", 0).ok());
  CHECK(eventually([&] { return refusals == 1; }));
  CHECK(runtime.stop(20s).status.ok());
  CHECK(ran == 17);  // the first, and sixteen hops
  check_conserved(runtime.stats().events);
}

TEST_CASE("shutdown: at any moment of a busy life everything is accounted for", "[shutdown]") {
  for (int round = 0; round < 20; ++round) {
    const auto work = wisp::function("work",
                                     [](int n) -> wisp::Status {
                                       if (n % 7 == 0) return wisp::unavailable("again");
                                       return wisp::Status();
                                     },
                                     {.retry = {.attempts = 3, .first_delay = 100us}});
    wisp::Runtime runtime{wisp::Catalogue().add(work), {.workers = {.max = 3}}};
    auto subscription = runtime.on("a.*").deliver({.serial = round % 2 == 0}).to(work);
    std::atomic<bool> go{true};
    std::vector<std::thread> publishers;
    for (int t = 0; t < 3; ++t) {
      publishers.emplace_back([&] {
        for (int i = 0; go && i < 100'000; ++i) {
          (void)runtime.emit("a.b", i);
          (void)runtime.post(work, i);
          auto pending = runtime.start(work, i);
          if (i % 3 == 0) (void)pending.wait();
        }
      });
    }
    CHECK(eventually([&] { return runtime.stats().events.done >= 50; }));
    (void)runtime.stop(round % 3 == 0 ? 0s : wisp::Duration(5ms));
    go = false;
    for (std::thread& each : publishers) each.join();
    check_conserved(runtime.stats().events);
    CHECK(runtime.stats().queued == 0);
  }
}

TEST_CASE("shutdown: what a handler captured may call the runtime from its destructor",
          "[shutdown]") {
  struct Caller {
    wisp::Runtime** runtime;
    int* refused;
    Caller(wisp::Runtime** r, int* n) : runtime(r), refused(n) {}
    ~Caller() {
      wisp::Runtime& r = **runtime;
      const auto nothing = wisp::function("nothing", [] {});
      for (const wisp::Status& each :
           {r.call(nothing), r.start(nothing).wait(), r.post(nothing).status(),
            r.emit("a", 1).status(), r.on("a").to([](int) {}).status(),
            r.every(1s).run([] {}).status(), r.after(1s).run([] {}).status(),
            wisp::Status(r.call<int>("nothing", 1).status())}) {
        if (!each.ok()) ++*refused;
      }
      CHECK(r.stats().queued == 0);
    }
  };
  int refused = 0;
  wisp::Runtime* address = nullptr;
  std::optional<wisp::Runtime> runtime;
  runtime.emplace();
  address = &*runtime;
  {
    const auto capture = [&] { return std::make_shared<Caller>(&address, &refused); };
    REQUIRE(runtime->registry().add(wisp::function("f", [held = capture()](int) {})).ok());
    REQUIRE(runtime->every(1h).run([held = capture()] {}).detach().ok());
    REQUIRE(runtime->on("b").to([held = capture()](int) {}).status().ok());
  }
  // That of the subscription has gone with it, while verbs were accepted.
  refused = 0;
  runtime.reset();
  CHECK(refused == 2 * 8);
}

TEST_CASE("shutdown: a subscription's end waits for its delivery while the runtime stops, too",
          "[shutdown]") {
  Gate gate;
  std::atomic<bool> left{false};
  // Time stands still: the grace after which the runtime gives the delivery up never ends.
  wisp::ManualClock clock;
  wisp::Runtime runtime{{.clock = &clock}};
  auto subscription = runtime.on("a").to([&](int) {
    gate.pass();
    left = true;
  });
  REQUIRE(runtime.emit("a", 1).ok());
  gate.await(1);
  std::thread stopper([&runtime] { (void)runtime.stop(0s); });
  while (runtime.emit("b", 1).ok()) std::this_thread::yield();
  bool left_before_the_end = false;
  std::thread ender([&] {
    subscription.cancel();
    left_before_the_end = left;
  });
  for (int i = 0; i < 1'000; ++i) std::this_thread::yield();
  gate.open();
  ender.join();
  stopper.join();
  CHECK(left_before_the_end);
}

TEST_CASE("shutdown: a stop from inside a handler gives nobody up", "[shutdown]") {
  Gate gate;
  const auto stops = wisp::function("stops", [](Context& context) {
    (void)context.runtime().stop(0s);
    return 7;
  });
  const auto runs = wisp::function("runs", [&gate] {
    gate.pass();
    return 8;
  });
  const auto queued = wisp::function("queued", [] { return 9; });
  wisp::Runtime runtime{wisp::Catalogue().add(stops).add(runs).add(queued),
                        {.workers = {.max = 2, .policy = wisp::scaling::Fixed{2}}}};
  auto other = runtime.start(runs);
  gate.await(1);
  auto self = runtime.start(stops);
  auto third = runtime.start(queued);
  CHECK(eventually([&] { return self.ready(); }));
  CHECK(*self.wait() == 7);
  CHECK_FALSE(other.ready());
  gate.open();
  CHECK(*other.wait() == 8);
  CHECK(runtime.stop(20s).status.ok());
  CHECK(third.ready());
}

TEST_CASE("shutdown: a worker that is left behind in the host's callback owns it", "[shutdown]") {
  const int before = wisp::test::threads_at_rest();
  Gate gate;
  std::atomic<int> seen{0};
  std::optional<wisp::Runtime> runtime;
  const auto kept = std::make_shared<int>(7);
  wisp::RuntimeOptions options;
  options.on_thread_start = [&gate, &seen, mine = kept](int) {
    gate.pass();
    seen = *mine;
  };
  runtime.emplace(std::move(options));
  const auto subscription = runtime->on("a").to([](int) {});
  REQUIRE(runtime->emit("a", 1).ok());
  gate.await(1);
  CHECK(runtime->stats().workers.current == 1);
  (void)runtime->stop(0s);
  runtime.reset();
  CHECK(kept.use_count() > 1);
  gate.open();
  CHECK(eventually([&] { return wisp::test::threads() == before; }));
  CHECK(seen == 7);
  CHECK(kept.use_count() == 1);
}

TEST_CASE("shutdown: stop names so many that it abandons, and says that there may be more",
          "[shutdown]") {
  for (const int queued : {999, 1500}) {
    const auto take = wisp::function("take", [](int) {});
    wisp::Runtime runtime{wisp::Catalogue().add(take), {.threads = wisp::Threads::none}};
    for (int n = 0; n < queued; ++n) REQUIRE(runtime.post(take, n).ok());
    const wisp::Stopped stopped = runtime.stop(0s);
    const std::string said(wisp::message(stopped.status));
    CHECK(said.starts_with(queued < 1000 ? "999 calls or" : "at least 1000 calls or"));
    CHECK(runtime.stats().events.cancelled == static_cast<std::uint64_t>(queued));
  }
}
