// Started calls that wait in blocks: their bound, and that no call waits for another's sake.
#include <wisp/service/detail/call_queue.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"

namespace {

using namespace wisp::literals;
using wisp::StatusCode;
using wisp::test::eventually;
using wisp::test::Gate;

// Workers that run what a test lets them: `behind` calls lie in the block that a worker has claimed
// and has not got to, because the first call of the block stands at the second gate.
struct Behind {
  explicit Behind(int workers)
      : runtime(wisp::Catalogue().add(first).add(second).add(count),
                {.workers = {.max = workers, .policy = wisp::scaling::Fixed{workers}}}) {}
  ~Behind() {
    gates[0].open();
    gates[1].open();
    // Also those that a stop left behind.
    eventually([this] { return ended == began; });
  }

  // `before` is run while the block waits.
  template <class Before>
  void start(int calls, Before before) {
    holders.push_back(runtime.start(first));
    gates[0].await(1);
    holders.push_back(runtime.start(second));
    for (int i = 0; i < calls; ++i) behind.push_back(runtime.start(count, i));
    before();
    gates[0].open();
    gates[1].await(1);
  }
  void pass(std::size_t gate) {
    ++began;
    gates[gate].pass();
    ++ended;
  }
  wisp::Pending<int>& at(int i) { return behind[static_cast<std::size_t>(i)]; }

  std::array<Gate, 2> gates;
  std::atomic<int> ran{0};
  std::atomic<int> began{0};
  std::atomic<int> ended{0};
  wisp::Function<void, void> first = wisp::function("first", [this] { pass(0); });
  wisp::Function<void, void> second = wisp::function("second", [this] { pass(1); });
  wisp::Function<int, int> count = wisp::function("count", [this](int n) {
    ++ran;
    return n;
  });
  std::vector<wisp::Pending<void>> holders;
  std::vector<wisp::Pending<int>> behind;
  wisp::Runtime runtime;
};

}  // namespace

TEST_CASE("call_queue: it takes as many calls as the queue has room for", "[call_queue]") {
  Gate gate;
  const auto hold = wisp::function("hold", [&gate] { gate.pass(); });
  const auto same = wisp::function("same", [](int n) { return n; });
  wisp::Runtime runtime{wisp::Catalogue().add(hold).add(same),
                        {.workers = {.max = 1}, .queue = {.count = 100}}};
  auto holder = runtime.start(hold);
  gate.await(1);
  std::vector<wisp::Pending<int>> queued;
  for (int i = 0; i < 100; ++i) queued.push_back(runtime.start(same, i));
  CHECK(runtime.stats().queued == 100);
  CHECK(wisp::reason_of(runtime.start(same, 1).wait_for(0s).status()) == wisp::Reason::full);
  // What leaves, from the middle or the end, makes room; what left is not there.
  queued[50].cancel();
  CHECK(*queued[99].wait() == 99);
  CHECK(runtime.stats().queued == 98);
  for (int i = 0; i < 2; ++i) queued.push_back(runtime.start(same, i));
  CHECK(wisp::reason_of(runtime.start(same, 1).wait_for(0s).status()) == wisp::Reason::full);
  for (int i = 0; i < 1'000; ++i) {
    queued.back().cancel();
    queued.back() = runtime.start(same, i);
    REQUIRE_FALSE(queued.back().ready());
  }
  gate.open();
  for (std::size_t i = 0; i < queued.size(); ++i) CHECK(queued[i].wait().ok() == (i != 50));
  CHECK(holder.wait().ok());
  CHECK(runtime.stop(20s).status.ok());
  CHECK(runtime.stats().queued == 0);
}

TEST_CASE("call_queue: what waits behind a handler that blocks runs elsewhere", "[call_queue]") {
  Behind calls(2);
  calls.start(100, [] {});
  for (int i = 0; i < 100; ++i) CHECK(calls.at(i).wait_for(20s).ok());
  CHECK(calls.ran == 100);
  CHECK_FALSE(calls.holders[1].ready());
}

TEST_CASE("call_queue: one token asks for more before it may be held up", "[call_queue]") {
  Gate born;
  Gate gate;
  const auto hold = wisp::function("hold", [&gate] { gate.pass(); });
  const auto same = wisp::function("same", [](int n) { return n; });
  wisp::Runtime runtime{wisp::Catalogue().add(hold).add(same),
                        {.workers = {.max = 2, .policy = wisp::scaling::Fixed{2}},
                         .on_thread_start = [&born](int) { born.pass(); }}};
  // Both are there when the first worker comes, for whom alone a token stands.
  auto holder = runtime.start(hold);
  auto behind = runtime.start(same, 7);
  born.open();
  CHECK(behind.wait_for(20s).ok());
  CHECK_FALSE(holder.ready());
  gate.open();
  CHECK(holder.wait().ok());
}

TEST_CASE("call_queue: a waiter runs an unstarted call out of a block that a worker has",
          "[call_queue]") {
  Behind calls(1);
  calls.start(20, [] {});
  CHECK(calls.ran == 0);
  CHECK(*calls.at(7).wait() == 7);
  calls.at(8).cancel();
  CHECK(calls.at(8).wait().status().code() == StatusCode::kCancelled);
  CHECK(calls.ran == 1);
  CHECK(calls.runtime.stats().queued == 18);
  calls.gates[1].open();
  for (int i = 0; i < 20; ++i) CHECK(calls.at(i).wait().ok() == (i != 8));
  CHECK(calls.runtime.stop(20s).status.ok());
  CHECK(calls.ran == 19);
}

TEST_CASE("call_queue: stop drops what waits, in a worker's block too, and names it",
          "[call_queue]") {
  Behind calls(1);
  calls.start(70, [] {});
  (void)calls.runtime.start(calls.count, 70);
  const wisp::Stopped stopped = calls.runtime.stop(0s);
  CHECK(calls.ran == 0);
  int queued = 0;
  int running = 0;
  for (const auto& each : stopped.abandoned) {
    queued += each.function == "count" && each.state == "queued" ? 1 : 0;
    running += each.function == "second" && each.state == "running" ? 1 : 0;
  }
  CHECK(queued == 71);
  CHECK(running == 1);
  for (int i = 0; i < 70; ++i)
    CHECK(wisp::reason_of(calls.at(i).wait().status()) == wisp::Reason::stopped);
  CHECK(calls.holders[1].ready());
  CHECK(wisp::reason_of(calls.runtime.start(calls.count, 1).wait().status()) ==
        wisp::Reason::stopped);
}

TEST_CASE("call_queue: a continuation may wait for the call behind its own", "[call_queue]") {
  Behind calls(1);
  std::atomic<int> seen{-1};
  calls.start(2, [&] { calls.at(0).then([&] { seen = *calls.at(1).wait(); }); });
  calls.gates[1].open();
  CHECK(eventually([&] { return seen == 1; }));
}

TEST_CASE("call_queue: calls of many functions keep their bills and receipts apart",
          "[call_queue]") {
  const auto plus = wisp::function("plus", [](int n) { return n + 1; });
  const auto minus = wisp::function("minus", [](int n) { return n - 1; });
  wisp::Runtime runtime{wisp::Catalogue().add(plus).add(minus), {.workers = {.max = 2}}};
  std::vector<wisp::Pending<int>> pending;
  for (int i = 0; i < 3'000; ++i)
    pending.push_back(i % 5 < 3 ? runtime.start(plus, i, {.tag = i % 5 == 0 ? "red" : ""})
                                : runtime.start(minus, i));
  for (int i = 0; i < 3'000; ++i) {
    auto& each = pending[static_cast<std::size_t>(i)];
    CHECK(*each.wait() == (i % 5 < 3 ? i + 1 : i - 1));
    CHECK(each.receipt().function == (i % 5 < 3 ? "plus" : "minus"));
    CHECK(each.receipt().attempts == 1);
    CHECK(each.receipt().queued_quality == wisp::Quality::measured);
  }
  for (const wisp::BillLine& line : runtime.bill(24h).lines)
    CHECK(line.calls == (line.function == "minus" ? 1'200 : line.tag == "red" ? 600 : 1'200));
}

TEST_CASE("call_queue: starts, waits and cancels race with the end of their runtime",
          "[call_queue]") {
  const auto same = wisp::function("same", [](int n) { return n; });
  std::atomic<int> wrong{0};
  for (int round = 0; round < 50; ++round) {
    std::vector<wisp::Pending<int>> pending;
    std::vector<std::thread> threads;
    {
      wisp::Runtime runtime{wisp::Catalogue().add(same), {.workers = {.max = 2}}};
      for (int i = 0; i < 300; ++i) pending.push_back(runtime.start(same, i));
      for (std::size_t t = 0; t < 3; ++t) {
        threads.emplace_back([&pending, &wrong, t] {
          for (std::size_t i = t; i < 300; i += 3) {
            if (i % 4 == 0) pending[i].cancel();
            const wisp::Result<int>& result = pending[i].wait();
            const bool good = result.ok() ? *result == static_cast<int>(i)
                                          : result.status().code() == StatusCode::kCancelled;
            if (!good) ++wrong;
          }
        });
      }
      (void)runtime.stop(0s);
    }
    for (std::thread& each : threads) each.join();
  }
  CHECK(wrong == 0);
}

TEST_CASE("call_queue: stop sees a handler after an input that called as it was destroyed",
          "[call_queue]") {
  using Input = std::shared_ptr<Gate>;
  Gate held;
  Gate gate;
  const auto hold = wisp::function("hold", [&held] { held.pass(); });
  const auto same = wisp::function("same", [](int n) { return n; });
  std::atomic<int> ended{0};
  const auto take = wisp::function("take", [&ended](const Input& input) {
    if (input.get() == nullptr) return;
    input->pass();
    ++ended;
  });
  wisp::Runtime runtime{wisp::Catalogue().add(hold).add(same).add(take), {.workers = {.max = 1}}};
  auto holder = runtime.start(hold);
  held.await(1);
  std::atomic<int> seen{0};
  // Destroyed on the worker, between two calls, by the last who holds it.
  const auto call = [&runtime, &same, &seen](Gate*) { seen = *runtime.start(same, 7).wait(); };
  (void)runtime.start(take, Input(nullptr, call));
  auto stands = runtime.start(take, Input(&gate, [](Gate*) {}));
  held.open();
  gate.await(1);
  CHECK(seen == 7);
  const wisp::Stopped stopped = runtime.stop(0s);
  REQUIRE(stopped.abandoned.size() == 1);
  CHECK(stopped.abandoned.front().function == "take");
  CHECK(stopped.abandoned.front().state == "running");
  CHECK(stands.ready());
  gate.open();
  CHECK(eventually([&ended] { return ended == 1; }));
}

TEST_CASE("call_queue: a call by itself brings one token, and so one worker", "[call_queue]") {
  const auto same = wisp::function("same", [](int n) { return n; }, {.pool_only = true});
  wisp::Runtime runtime{wisp::Catalogue().add(same),
                        {.workers = {.max = 2, .policy = wisp::scaling::Fixed{2}}}};
  for (int i = 0; i < 20; ++i) {
    CHECK(*runtime.start(same, i).wait() == i);
    // The next one comes when the token of this one has gone.
    CHECK(eventually([&runtime] { return runtime.stats().workers.running == 0; }));
  }
  CHECK(runtime.stats().workers.peak == 1);
}

TEST_CASE("call_queue: a block left with nothing but what is gone does not hold up a stop",
          "[call_queue]") {
  Gate held;
  Gate gate;
  const auto hold = wisp::function("hold", [&held] { held.pass(); });
  // By itself in its row, after which the worker's time is over.
  const auto slow = wisp::function("slow", [&gate] { gate.pass(); }, {.meter = wisp::Meter::exact});
  wisp::Runtime runtime{wisp::Catalogue().add(hold).add(slow), {.workers = {.max = 1}}};
  auto holder = runtime.start(hold);
  held.await(1);
  auto first = runtime.start(slow);
  auto second = runtime.start(slow);
  held.open();
  gate.await(1);
  std::this_thread::sleep_for(1ms);
  second.cancel();
  gate.open();
  CHECK(first.wait_for(20s).ok());
  const auto began = std::chrono::steady_clock::now();
  CHECK(runtime.stop(20s).status.ok());
  CHECK(std::chrono::steady_clock::now() - began < 15s);
}

TEST_CASE("call_queue: a continuation that waits lends its place to what it waits for",
          "[call_queue]") {
  Gate gate;
  const auto hold = wisp::function("hold", [&gate] { gate.pass(); });
  const auto pooled = wisp::function("pooled", [](int n) { return n; }, {.pool_only = true});
  wisp::Runtime runtime{wisp::Catalogue().add(hold).add(pooled),
                        {.workers = {.max = 1, .policy = wisp::scaling::Fixed{1}}}};
  std::atomic<int> seen{-1};
  auto holder = runtime.start(hold);
  gate.await(1);
  // On the only worker, which finds a substitute: with a token that it has to give.
  holder.then([&] {
    auto next = runtime.start(pooled, 7);
    const wisp::Result<int>& result = next.wait_for(5s);
    seen = result.ok() ? *result : -2;
  });
  gate.open();
  CHECK(eventually([&] { return seen != -1; }));
  CHECK(seen == 7);
}

TEST_CASE("call_queue: a child after fork makes runtimes, whatever its parent was at",
          "[call_queue]") {
  const auto same = wisp::function("same", [](int n) { return n; });
  std::atomic<bool> over{false};
  std::thread other([&over] {
    std::uint64_t number = 0;
    while (!over) wisp::detail::Anchor::take(number).give_back();
  });
  int lost = 0;
  for (int i = 0; i < 50; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);  // a hang ends here, by SIGALRM
      wisp::Runtime runtime{wisp::Catalogue().add(same)};
      _exit(runtime.call(same, i).value_or(-1) == i ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    if (status != 0) ++lost;
    if (lost > 0) break;
  }
  over = true;
  other.join();
  CHECK(lost == 0);
}
