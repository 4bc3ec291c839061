#include <wisp/service/pending.hpp>

#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <thread>
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

}  // namespace

TEST_CASE("pending: wait gives the result, as often as it is asked", "[pending]") {
  const auto twice = wisp::function("twice", [](int n) { return 2 * n; });
  wisp::Runtime runtime{wisp::Catalogue().add(twice)};
  auto pending = runtime.start(twice, 21);
  CHECK(*pending.wait() == 42);
  CHECK(*pending.wait() == 42);
  CHECK(pending.ready());
  CHECK(*pending.wait_for(0s) == 42);
  wisp::Pending<int> moved = std::move(pending);
  CHECK(*moved.wait() == 42);
}

TEST_CASE("pending: wait_for never runs the call and says that it is not ready", "[pending]") {
  Gate gate;
  std::atomic<bool> ran{false};
  const auto blocks = wisp::function("blocks", [&gate] { gate.pass(); });
  const auto sets = wisp::function("sets", [&ran] { ran = true; });
  wisp::Runtime runtime{wisp::Catalogue().add(blocks).add(sets), {.workers = {.max = 1}}};
  auto first = runtime.start(blocks);
  gate.await(1);
  auto second = runtime.start(sets);
  CHECK(second.wait_for(1ms).code() == StatusCode::kDeadlineExceeded);
  CHECK(wisp::message(second.wait_for(1500us)) == "'sets' was not ready within 1.5 ms");
  CHECK_FALSE(second.ready());
  CHECK_FALSE(ran);
  gate.open();
  CHECK(first.wait().ok());
  CHECK(second.wait().ok());
}

TEST_CASE("pending: a queued call that is cancelled never runs", "[pending]") {
  wisp::ManualClock clock;
  int ran = 0;
  const auto count = wisp::function("count", [&ran] { ++ran; });
  wisp::Runtime runtime{wisp::Catalogue().add(count),
                        {.threads = wisp::Threads::none, .clock = &clock}};
  auto pending = runtime.start(count);
  pending.cancel();
  REQUIRE(pending.ready());
  CHECK(pending.wait().code() == StatusCode::kCancelled);
  CHECK(pending.receipt().outcome == wisp::Outcome::cancelled);
  CHECK(pending.receipt().attempts == 0);
  runtime.pump();
  CHECK(ran == 0);
  auto done = runtime.start(count);
  runtime.pump();
  done.cancel();
  CHECK(done.wait().ok());
}

TEST_CASE("pending: a running call that is cancelled is asked to stop", "[pending]") {
  std::atomic<bool> inside{false};
  const auto sleeps = wisp::function("sleeps", [&inside](Context& context) {
    inside = true;
    return context.sleep(1h);
  });
  wisp::Runtime runtime{wisp::Catalogue().add(sleeps)};
  auto pending = runtime.start(sleeps);
  REQUIRE(eventually([&] { return inside.load(); }));
  pending.cancel();
  CHECK(pending.wait().code() == StatusCode::kCancelled);
  CHECK(pending.receipt().outcome == wisp::Outcome::cancelled);
}

TEST_CASE("pending: a call that waits for its next attempt can be cancelled, or waited for",
          "[pending]") {
  wisp::ManualClock clock;
  const auto fails =
      wisp::function("fails", [](int n) { return wisp::unavailable("attempt of {}", n); },
                     {.retry = {.attempts = 3, .first_delay = 1h}});
  wisp::Runtime runtime{wisp::Catalogue().add(fails),
                        {.threads = wisp::Threads::none, .clock = &clock}};
  auto first = runtime.start(fails, 1);
  auto second = runtime.start(fails, 2);
  runtime.pump();
  REQUIRE_FALSE(first.ready());
  first.cancel();
  CHECK(first.wait().code() == StatusCode::kCancelled);
  // On the only thread nobody would move time on: what the last attempt said stands.
  CHECK(second.wait().code() == StatusCode::kUnavailable);
  CHECK(second.receipt().attempts == 1);
}

TEST_CASE("pending: a continuation runs once, before or after the result is there", "[pending]") {
  wisp::ManualClock clock;
  const auto twice = wisp::function("twice", [](int n) { return 2 * n; });
  wisp::Runtime runtime{wisp::Catalogue().add(twice),
                        {.threads = wisp::Threads::none, .clock = &clock}};
  int sum = 0;
  int bare = 0;
  auto before = runtime.start(twice, 1);
  before.then([&sum](const wisp::Result<int>& result) { sum += *result; });
  CHECK(sum == 0);
  runtime.pump();
  CHECK(sum == 2);
  auto after = runtime.start(twice, 10);
  runtime.pump();
  after.then([&sum](const wisp::Result<int>& result) { sum += *result; });
  after.then([&bare] { ++bare; });
  CHECK(sum == 22);
  CHECK(bare == 1);
  {
    auto detached = runtime.start(twice, 100);
    detached.then(wisp::boxed([&sum, large = std::array<int, 50>{}](const wisp::Result<int>& r) {
      sum += *r + large[0];
    }));
  }
  runtime.pump();
  CHECK(sum == 222);
}

TEST_CASE("pending: a wait inside a handler never deadlocks, with one worker and three levels",
          "[pending]") {
  const bool pool_only = GENERATE(false, true);
  std::optional<wisp::Function<int, int>> level;
  const auto leaf = wisp::function("leaf", [](int n) { return n; }, {.pool_only = pool_only});
  const auto inner = wisp::function("inner",
                                    [&leaf](int n, Context& context) {
                                      auto a = context.runtime().start(leaf, n);
                                      auto b = context.runtime().start(leaf, 1);
                                      return *a.wait() + *b.wait();
                                    },
                                    {.pool_only = pool_only});
  const auto outer = wisp::function("outer", [&inner](int n, Context& context) {
    auto a = context.runtime().start(inner, n);
    auto b = context.runtime().start(inner, n);
    return *b.wait() + *a.wait();
  });
  wisp::Runtime runtime{wisp::Catalogue().add(leaf).add(inner).add(outer), {.workers = {.max = 1}}};
  std::vector<wisp::Pending<int>> pending;
  for (int i = 0; i < 20; ++i) pending.push_back(runtime.start(outer, i));
  for (int i = 0; i < 20; ++i) CHECK(*pending[static_cast<std::size_t>(i)].wait() == 2 * (i + 1));
}

TEST_CASE("pending: a waiter runs the call that it waits for and nothing else", "[pending]") {
  Gate gate;
  std::thread::id waited_for;
  std::thread::id other;
  std::thread::id waiter;
  const auto blocks = wisp::function("blocks", [&gate] { gate.pass(); });
  const auto wanted =
      wisp::function("wanted", [&waited_for] { waited_for = std::this_thread::get_id(); });
  const auto bystander =
      wisp::function("bystander", [&other] { other = std::this_thread::get_id(); });
  wisp::Runtime runtime{wisp::Catalogue().add(blocks).add(wanted).add(bystander),
                        {.workers = {.max = 1}}};
  auto first = runtime.start(blocks);
  gate.await(1);  // the only worker is busy
  auto second = runtime.start(bystander);
  auto third = runtime.start(wanted);
  waiter = std::this_thread::get_id();
  CHECK(third.wait().ok());
  CHECK(waited_for == waiter);
  CHECK_FALSE(second.ready());
  gate.open();
  CHECK(eventually([&] { return second.ready(); }));
  CHECK(other != waiter);
  CHECK(first.wait().ok());
}

TEST_CASE("pending: a pool_only call runs on the pool", "[pending]") {
  const auto where = wisp::function(
      "where", [] { return std::this_thread::get_id() != std::thread::id(); }, {.pool_only = true});
  std::atomic<std::thread::id> ran{};
  const auto here =
      wisp::function("here", [&ran] { ran = std::this_thread::get_id(); }, {.pool_only = true});
  wisp::Runtime runtime{wisp::Catalogue().add(where).add(here)};
  CHECK(runtime.start(here).wait().ok());
  CHECK(ran.load() != std::this_thread::get_id());
}

TEST_CASE("pending: it may outlive its runtime", "[pending]") {
  std::optional<wisp::Pending<int>> done;
  std::optional<wisp::Pending<int>> queued;
  wisp::ManualClock clock;
  int continued = 0;
  {
    const auto twice = wisp::function("twice", [](int n) { return 2 * n; });
    wisp::Runtime runtime{wisp::Catalogue().add(twice),
                          {.threads = wisp::Threads::none, .clock = &clock}};
    done = runtime.start(twice, 4);
    runtime.pump();
    queued = runtime.start(twice, 5);
    queued->then([&continued](const wisp::Result<int>& r) { continued = r.ok() ? 1 : 2; });
    runtime.start(twice, 6).cancel();
    const wisp::Stopped stopped = runtime.stop(0s);
    CHECK(stopped.status.code() == StatusCode::kDeadlineExceeded);
    REQUIRE(stopped.abandoned.size() == 1);
    CHECK(stopped.abandoned[0].function == "twice");
    CHECK(stopped.abandoned[0].state == "queued");
  }
  CHECK(*done->wait() == 8);
  CHECK(done->receipt().attempts == 1);
  CHECK(queued->wait().status().code() == StatusCode::kCancelled);
  CHECK(wisp::reason_of(queued->wait().status()) == wisp::Reason::stopped);
  CHECK(continued == 2);
}

TEST_CASE("pending: many threads start, wait, cancel and let go at once", "[pending]") {
  const auto work = wisp::function("work", [](int n) { return n + 1; });
  std::atomic<int> wrong{0};
  {
    wisp::Runtime runtime{wisp::Catalogue().add(work), {.workers = {.max = 3}}};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&runtime, &work, &wrong, t] {
        for (int i = 0; i < 400; ++i) {
          auto pending = runtime.start(work, i);
          if ((i + t) % 4 == 0) pending.cancel();
          if ((i + t) % 4 == 1) continue;
          const wisp::Result<int>& result = pending.wait();
          const bool good =
              result.ok() ? *result == i + 1 : result.status().code() == StatusCode::kCancelled;
          if (!good) ++wrong;
        }
      });
    }
    for (std::thread& each : threads) each.join();
    CHECK(runtime.stop(20s).status.ok());
    CHECK(runtime.stats().queued == 0);
  }
  CHECK(wrong == 0);
}

TEST_CASE("pending: who waited for a limited call may at once make the next", "[pending]") {
  const auto narrow = wisp::function("narrow", [](int n) { return n; },
                                     {.limits = {.concurrency = 1}, .pool_only = true});
  wisp::Runtime runtime{wisp::Catalogue().add(narrow)};
  int refused = 0;
  for (int i = 0; i < 2'000; ++i) {
    if (!runtime.start(narrow, i).wait().ok()) ++refused;
  }
  CHECK(refused == 0);
}

TEST_CASE("pending: wait_for inside a handler finds a substitute for the only worker",
          "[pending]") {
  const auto leaf = wisp::function("leaf", [](int n) { return n; });
  const auto outer = wisp::function("outer", [&leaf](int n, Context& context) {
    auto pending = context.runtime().start(leaf, n);
    return pending.wait_for(20s).ok() ? n : -1;
  });
  wisp::Runtime runtime{wisp::Catalogue().add(leaf).add(outer), {.workers = {.max = 1}}};
  CHECK(*runtime.start(outer, 3).wait_for(60s) == 3);
}

TEST_CASE("pending: a wait on another runtime finds a substitute for its own worker", "[pending]") {
  std::optional<wisp::Runtime> left, right;
  const wisp::FunctionOptions here{.pool_only = true};
  const auto leaf = wisp::function("leaf", [](int n) { return n; }, here);
  const auto middle =
      wisp::function("middle", [&](int n) { return *left->start(leaf, n).wait() + 1; }, here);
  const auto outer =
      wisp::function("outer", [&](int n) { return *right->start(middle, n).wait() + 1; }, here);
  // By way of a call: the frame on top is the other runtime's.
  const auto through = wisp::function("through", [&](int n) {
    return *left->start(leaf, n).wait() + *right->start(leaf, n).wait();
  });
  const auto caller =
      wisp::function("caller", [&](int n) { return *right->call(through, n); }, here);
  const auto all = wisp::Catalogue().add(leaf).add(middle).add(outer).add(through).add(caller);
  left.emplace(all, wisp::RuntimeOptions{.workers = {.max = 1}});
  right.emplace(all, wisp::RuntimeOptions{.workers = {.max = 1}});
  auto nested = left->start(outer, 1);
  REQUIRE(nested.wait_for(20s).ok());
  CHECK(*nested.wait() == 3);
  auto called = left->start(caller, 2);
  REQUIRE(called.wait_for(20s).ok());
  CHECK(*called.wait() == 4);
}

namespace {

// Every delay is as long as it may be.
class Longest final : public wisp::Random {
 public:
  std::uint64_t next() override { return ~std::uint64_t{0}; }
};

}  // namespace

TEST_CASE("pending: a wait for the next attempt ends with a cancel, and with the runtime",
          "[pending]") {
  Longest random;
  std::atomic<int> attempts{0};
  const auto fails = wisp::function("fails",
                                    [&attempts] {
                                      ++attempts;
                                      return wisp::unavailable("not yet");
                                    },
                                    {.retry = {.attempts = 9, .first_delay = 1h, .max_delay = 1h}});
  const auto block = wisp::function("block", [](Context& context) { return context.sleep(10h); });
  wisp::Runtime runtime{wisp::Catalogue().add(fails).add(block),
                        {.workers = {.max = 1}, .random = &random}};
  // Another thread runs the call in its wait, and then waits for the retry.
  auto busy = runtime.start(block);
  auto cancelled = runtime.start(fails);
  std::thread waiter([&] {
    // Or the attempt's own error, if the cancel came before its end.
    const StatusCode code = cancelled.wait().code();
    CHECK((code == StatusCode::kCancelled || code == StatusCode::kUnavailable));
    CHECK(cancelled.receipt().attempts == 1);
  });
  REQUIRE(eventually([&] { return attempts == 1; }));
  cancelled.cancel();
  waiter.join();
  // A call backs off on its own thread, inside a handler or not.
  std::thread caller([&] { CHECK(runtime.call(fails).code() == StatusCode::kUnavailable); });
  auto stopped = runtime.start(fails);
  std::thread other([&] {
    CHECK(stopped.wait().code() == StatusCode::kUnavailable);
    CHECK(stopped.receipt().attempts == 1);
  });
  REQUIRE(eventually([&] { return attempts == 3; }));
  (void)runtime.stop(0s);
  caller.join();
  other.join();
  CHECK(attempts == 3);
}

TEST_CASE("pending: a cancel ends a call between its attempts, whenever it comes", "[pending]") {
  std::atomic<int> attempts{0};
  const auto fails =
      wisp::function("fails",
                     [&attempts] {
                       ++attempts;
                       return wisp::unavailable("again");
                     },
                     {.retry = {.attempts = 1000, .first_delay = 0s}, .pool_only = true});
  wisp::Runtime runtime{wisp::Catalogue().add(fails), {.workers = {.max = 2}}};
  for (int i = 0; i < 500; ++i) {
    attempts = 0;
    auto pending = runtime.start(fails);
    CHECK(eventually([&] { return attempts >= i % 5 || pending.ready(); }));
    pending.cancel();
    const wisp::Status ended = pending.wait();
    const int made = attempts;
    CHECK_FALSE(ended.ok());
    CHECK(pending.receipt().attempts == made);
  }
  CHECK(runtime.stop(20s).status.ok());
  CHECK(runtime.stats().queued == 0);
}
