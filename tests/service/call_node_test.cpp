// Started calls beyond the ordinary: who runs them when threads are few, and what they leave.
#include <wisp/service/detail/call_node.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "service/pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::Context;
using wisp::Status;
using wisp::StatusCode;
using wisp::test::AtEnd;
using wisp::test::eventually;
using wisp::test::Gate;
using wisp::test::Pumped;

// Two threads, and nobody to stand in for one that waits.
class Two final : public wisp::Executor {
 public:
  Status submit(wisp::Task& task) override { return pool_.submit(task); }

 private:
  wisp::Pool pool_{{.workers = {.max = 2, .policy = wisp::scaling::Fixed{2}}}};
};

// Full at the first looks.
class Busy final : public wisp::Executor {
 public:
  explicit Busy(int looks) : looks_(looks) {}
  Status submit(wisp::Task& task) override {
    if (looks_-- > 0) return wisp::resource_exhausted("full for the moment");
    return pool_.submit(task);
  }

 private:
  std::atomic<int> looks_;
  wisp::Pool pool_{{.workers = {.max = 1}}};
};

}  // namespace

TEST_CASE("call: a queue that moves on while a call comes has room for it", "[call]") {
  const auto same = wisp::function("same", [](int n) { return n; });
  for (const bool full : {false, true}) {
    Busy executor(full ? 100 : 1);
    wisp::Runtime runtime{wisp::Catalogue().add(same), {.executor = &executor}};
    auto pending = runtime.start(same, 7);
    const wisp::Result<int>& result = pending.wait();
    if (full) {
      CHECK(wisp::reason_of(result.status()) == wisp::Reason::full);
    } else {
      CHECK(result.ok());
    }
  }
}

TEST_CASE("call: a waiter that nobody stands in for makes the retry itself", "[call]") {
  wisp::ManualClock clock;
  Two executor;
  Gate first;
  Gate waiting;
  const auto flaky = wisp::function("flaky",
                                    [&first](Context& context) -> wisp::Result<int> {
                                      if (context.attempt() > 1) return 7;
                                      first.pass();
                                      return wisp::unavailable("again");
                                    },
                                    {.retry = {.attempts = 2, .first_delay = 1s}});
  std::optional<wisp::Pending<int>> retried;
  std::optional<wisp::Pending<int>> middle;
  const auto waits = wisp::function("waits", [&] {
    waiting.pass();
    return *retried->wait();
  });
  const auto last = wisp::function("last", [&] { return *middle->wait() + 1; });
  wisp::Runtime runtime{wisp::Catalogue().add(flaky).add(waits).add(last),
                        {.clock = &clock, .executor = &executor}};
  retried.emplace(runtime.start(flaky));
  first.await(1);
  middle.emplace(runtime.start(waits));
  waiting.await(1);
  waiting.open();
  // It waits, so that no thread is left but the one that the first attempt holds.
  for (int i = 0; i < 10'000; ++i) std::this_thread::yield();
  auto outer = runtime.start(last);
  first.open();
  CHECK(eventually([&] {
    clock.advance(100ms);
    return outer.ready();
  }));
  CHECK(*outer.wait() == 8);
}

TEST_CASE("call: what a waiter ran takes no room in the queue", "[call]") {
  Pumped p{{.queue = {.count = 10}}};
  const auto same = wisp::function("same", [](int n) { return n; });
  REQUIRE(p.runtime.registry().add(same).ok());
  for (int i = 0; i < 100; ++i) REQUIRE(*p.runtime.start(same, i).wait() == i);
  for (int i = 0; i < 100; ++i) {
    auto pending = p.runtime.start(same, i);
    pending.cancel();
    REQUIRE(pending.wait().status().code() == StatusCode::kCancelled);
  }
  // What waits is bounded as before, and runs when the pump comes to it.
  std::vector<wisp::Pending<int>> live;
  for (int i = 0; i < 10; ++i) live.push_back(p.runtime.start(same, i));
  CHECK(wisp::reason_of(p.runtime.start(same, 10).wait().status()) == wisp::Reason::full);
  p.runtime.pump();
  for (int i = 0; i < 10; ++i) {
    REQUIRE(live[static_cast<std::size_t>(i)].ready());
    CHECK(*live[static_cast<std::size_t>(i)].wait() == i);
  }
  CHECK(p.runtime.stats().queued == 0);
  for (int i = 0; i < 10; ++i) live.push_back(p.runtime.start(same, i));
  CHECK(p.runtime.stop(1s).status.ok());
  for (auto& each : live) CHECK(each.wait().ok());
}

TEST_CASE("call: a handler on the only worker starts and waits as often as it likes", "[call]") {
  const auto same = wisp::function("same", [](int n) { return n; });
  const auto loops = wisp::function("loops", [&same](Context& context) -> Status {
    for (int i = 0; i < 1'000; ++i) {
      auto pending = context.runtime().start(same, i);
      if (!pending.wait().ok()) return pending.wait().status();
    }
    return Status();
  });
  wisp::Runtime runtime{wisp::Catalogue().add(same).add(loops),
                        {.workers = {.max = 1}, .queue = {.count = 10}}};
  auto pending = runtime.start(loops);
  CHECK(pending.wait().ok());
  CHECK(runtime.stop(20s).status.ok());
}

TEST_CASE("call: what stands in for calls that are gone ends with the runtime", "[call]") {
  const auto same = wisp::function("same", [](int n) { return n; });
  wisp::ManualClock clock;
  std::vector<wisp::Pending<int>> live;
  {
    wisp::Runtime runtime{
        wisp::Catalogue().add(same),
        {.threads = wisp::Threads::none, .queue = {.count = 10}, .clock = &clock}};
    for (int i = 0; i < 10; ++i) REQUIRE(runtime.start(same, i).wait().ok());
    for (int i = 0; i < 10; ++i) live.push_back(runtime.start(same, i));
    CHECK(runtime.stop(0s).abandoned.size() == 10);
    CHECK(runtime.stats().queued == 0);
  }
  for (auto& each : live) CHECK(wisp::reason_of(each.wait().status()) == wisp::Reason::stopped);
}

TEST_CASE("call: a handler that gives way at its deadline has timed out, and is tried again",
          "[call]") {
  Pumped p;
  int ran = 0;
  const auto polls = wisp::function("polls",
                                    [&](Context& context) -> Status {
                                      ++ran;
                                      while (!context.cancelled()) p.clock.advance(100ms);
                                      return wisp::cancelled("stopped at {}", ran);
                                    },
                                    {.timeout = 1s, .retry = {.attempts = 3}});
  REQUIRE(p.runtime.registry().add(polls).ok());
  CHECK(p.runtime.call(polls).code() == StatusCode::kDeadlineExceeded);
  CHECK(ran == 1);
  auto pending = p.runtime.start(polls);
  p.settled();
  REQUIRE(pending.ready());
  CHECK(ran == 4);
  CHECK(pending.receipt().outcome == wisp::Outcome::timed_out);
  CHECK(wisp::test::says(pending.wait(), "stopped at 4"));
  REQUIRE(p.runtime.post(polls).ok());
  CHECK(p.settled().dead == 1);
  CHECK(ran == 7);
}

TEST_CASE("call: a continuation that another replaces may use its Pending while it goes",
          "[call]") {
  Pumped p;
  const auto nothing = wisp::function("nothing", [] {});
  REQUIRE(p.runtime.registry().add(nothing).ok());
  auto pending = p.runtime.start(nothing);
  bool ran = false;
  bool cancelled = false;
  const auto cancel = [&] {
    pending.cancel();
    cancelled = true;
  };
  pending.then([first = AtEnd<decltype(cancel)>(cancel)] {});
  pending.then([&ran] { ran = true; });
  CHECK(cancelled);
  CHECK(pending.ready());
}
