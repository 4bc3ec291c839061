#include <wisp/engine/timer.hpp>

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <semaphore>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "seeds.hpp"

using namespace std::chrono_literals;
using wisp::Clock;
using wisp::Duration;
using wisp::ManualClock;
using wisp::ManualExecutor;
using wisp::Result;
using wisp::Status;
using wisp::StatusCode;
using wisp::Task;
using wisp::Time;
using wisp::Timer;
using wisp::TimerId;
using wisp::test::AtEnd;
using wisp::test::eventually;
using wisp::test::Seeded;
using wisp::test::test_seeds;
using wisp::test::threads;
using wisp::test::threads_at_rest;

namespace {

TimerId scheduled(Timer& timer, Time at, Task task) {
  const Result<TimerId> id = timer.schedule(at, std::move(task));
  REQUIRE(id.ok());
  return *id;
}

// Refuses threads while told to.
class Host final : public wisp::Executor {
 public:
  Status submit(Task&) override { return wisp::unimplemented("no tasks here"); }
  Status start_thread(std::string_view name, Task body) override {
    ++starts;
    if (refuse && throws) throw std::runtime_error("out of threads");
    if (refuse) return wisp::unavailable("no thread for {}", name);
    return Executor::start_thread(name, std::move(body));
  }
  std::atomic<bool> refuse{false};
  bool throws = false;  // in place of saying so
  std::atomic<int> starts{0};
};

}  // namespace

TEST_CASE("timer: tasks run in order of time and then of scheduling, and never early", "[timer]") {
  ManualClock clock;
  Timer timer(clock, nullptr);
  const Time start = clock.now();
  std::vector<int> ran;
  const auto note = [&ran](int i) { return [&ran, i] { ran.push_back(i); }; };
  CHECK(timer.next() == std::nullopt);
  scheduled(timer, start + 2s, note(3));
  scheduled(timer, start + 1s, note(1));
  scheduled(timer, start + 1s, note(2));
  scheduled(timer, start, note(0));
  CHECK(timer.count() == 4);
  CHECK(timer.next() == start);

  CHECK(timer.fire(clock.now()) == 1);
  CHECK(timer.next() == start + 1s);
  CHECK(timer.fire(start + (1s - 1ns)) == 0);
  CHECK(timer.fire(start + 1s) == 2);
  CHECK(ran == std::vector<int>{0, 1, 2});
  CHECK(timer.fire(Time::never()) == 1);
  CHECK(ran.back() == 3);
  CHECK_FALSE(timer.threaded());
}

TEST_CASE("timer: a cancelled task is destroyed before cancel returns, with no lock held",
          "[timer]") {
  ManualClock clock;
  Timer timer(clock, nullptr);
  bool destroyed = false;
  AtEnd end([&] {
    destroyed = true;
    CHECK(timer.count() == 0);
  });
  const TimerId id = scheduled(timer, clock.now(), [end = std::move(end)] { FAIL("ran"); });
  CHECK_FALSE(timer.cancel({}));
  CHECK_FALSE(timer.cancel({.slot = id.slot, .order = id.order + 1}));
  CHECK_FALSE(timer.cancel({.slot = id.slot + 1, .order = id.order}));
  CHECK(timer.cancel(id));
  CHECK(destroyed);
  CHECK_FALSE(timer.cancel(id));
  CHECK(timer.fire(Time::never()) == 0);

  // The slot is used again, the id is not.
  const TimerId second = scheduled(timer, clock.now(), [] {});
  CHECK(second.slot == id.slot);
  CHECK_FALSE(second == id);
  CHECK_FALSE(timer.cancel(id));
  std::optional<bool> itself;
  const TimerId third = scheduled(timer, clock.now() + 1s, [] {});
  scheduled(timer, clock.now(), [&] { itself = timer.cancel(second) || !timer.cancel(third); });
  CHECK(timer.fire(Time::never()) == 2);
  CHECK(itself == false);
}

TEST_CASE("timer: it does what a multimap does", "[timer]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    ManualClock clock;
    Timer timer(clock, nullptr);
    std::multimap<Time, int> oracle;
    std::map<int, TimerId> ids;
    std::set<std::pair<std::uint32_t, std::uint64_t>> seen;
    std::vector<int> ran;
    int next = 0;
    for (int step = 0; step < 2'000; ++step) {
      const std::uint64_t kind = random.below(10);
      if (kind < 6) {
        const Time at = clock.now() + Duration(random.between(-10, 100));
        const int number = next++;
        const TimerId id = scheduled(timer, at, [&ran, number] { ran.push_back(number); });
        REQUIRE(seen.emplace(id.slot, id.order).second);
        oracle.emplace(at, number);
        ids.emplace(number, id);
      } else if (kind < 9 && next > 0) {
        const int number = static_cast<int>(random.between(0, next - 1));
        bool pending = false;
        for (auto it = oracle.begin(); it != oracle.end(); ++it) {
          if (it->second != number) continue;
          oracle.erase(it);
          pending = true;
          break;
        }
        REQUIRE(timer.cancel(ids.at(number)) == pending);
      } else {
        clock.advance(Duration(random.between(0, 30)));
        const int most = static_cast<int>(random.between(0, 20));
        std::vector<int> expected;
        while (!oracle.empty() && oracle.begin()->first <= clock.now() &&
               static_cast<int>(expected.size()) < most) {
          expected.push_back(oracle.begin()->second);
          oracle.erase(oracle.begin());
        }
        ran.clear();
        REQUIRE(timer.fire(clock.now(), most) == static_cast<int>(expected.size()));
        REQUIRE(ran == expected);
      }
      REQUIRE(timer.count() == static_cast<int>(oracle.size()));
      REQUIRE(timer.next() ==
              (oracle.empty() ? std::nullopt : std::optional(oracle.begin()->first)));
    }
  }
}

TEST_CASE("timer: a task that schedules itself does not hold up fire", "[timer]") {
  ManualClock clock;
  Timer timer(clock, nullptr);
  int ran = 0;
  std::function<void()> again = [&] {
    ++ran;
    CHECK(timer.fire(Time::never()) == 0);  // one at a time
    scheduled(timer, clock.now(), [&] { again(); });
  };
  scheduled(timer, clock.now(), [&] { again(); });
  CHECK(timer.fire(clock.now()) == 1);
  CHECK(timer.fire(clock.now()) == 1);
  CHECK(ran == 2);
  CHECK(timer.count() == 1);
  CHECK(timer.fire(clock.now(), -1) == 0);
}

TEST_CASE("timer: it is bounded, and closed it refuses", "[timer]") {
  ManualClock clock;
  Timer timer(clock, nullptr, 2);
  int destroyed = 0;
  const auto counted = [&] { return AtEnd([&destroyed] { ++destroyed; }); };
  scheduled(timer, clock.now(), [end = counted()] {});
  const TimerId second = scheduled(timer, clock.now(), [end = counted()] {});
  const Result<TimerId> full = timer.schedule(clock.now(), [end = counted()] {});
  CHECK(full.status().code() == StatusCode::kResourceExhausted);
  CHECK(wisp::reason_of(full.status()) == wisp::Reason::full);
  CHECK(wisp::message(full.status()) == "the timer is full (2)");
  CHECK(destroyed == 1);

  REQUIRE(timer.cancel(second));
  scheduled(timer, clock.now(), [end = AtEnd([&] {
                                   ++destroyed;
                                   CHECK(timer.count() == 0);
                                   CHECK_FALSE(timer.schedule(clock.now(), [] {}).ok());
                                 })] {});
  CHECK(timer.close());
  CHECK(destroyed == 4);
  const Status closed = timer.schedule(clock.now(), [] {}).status();
  CHECK(closed.code() == StatusCode::kUnavailable);
  CHECK(wisp::reason_of(closed) == wisp::Reason::stopped);
  CHECK(timer.fire(Time::never()) == 0);
  CHECK(timer.close());
}

TEST_CASE("timer: a burst's memory goes back, and its ids stay unique", "[timer]") {
  ManualClock clock;
  Timer timer(clock, nullptr);
  std::vector<TimerId> ids;
  for (int i = 0; i < 5'000; ++i) ids.push_back(scheduled(timer, clock.now(), [] {}));
  CHECK(timer.fire(clock.now()) == 5'000);
  const TimerId after = scheduled(timer, clock.now(), [] {});
  CHECK(after.order == 5'001);
  for (const TimerId id : ids) REQUIRE_FALSE(timer.cancel(id));
  CHECK(timer.cancel(after));
}

TEST_CASE("timer: its thread starts with the first timer and ends without any", "[timer]") {
  const int before = threads_at_rest();
  ManualClock clock;
  Host host;
  Timer timer(clock, &host);
  CHECK_FALSE(timer.threaded());
  for (int round = 1; round <= 2; ++round) {
    std::atomic<bool> ran{false};
    Time at{};
    scheduled(timer, clock.now() + 1h, [&] { at = clock.now(), ran = true; });
    CHECK(timer.threaded());
    const Time due = clock.now() + 1h;
    clock.advance(1h - 1ns);
    CHECK_FALSE(ran);
    CHECK(timer.fire(Time::never()) == 0);  // its thread does
    clock.advance(1ns);
    REQUIRE(eventually([&] { return ran.load(); }));
    CHECK(at == due);
    REQUIRE(eventually([&] {
      clock.advance(1s);
      return !timer.threaded();
    }));
    CHECK(host.starts == round);
  }
  CHECK(eventually([&] { return threads() == before; }));
}

TEST_CASE("timer: an earlier timer wakes the thread, a cancelled one does not keep it", "[timer]") {
  ManualClock clock;
  Host host;
  Timer timer(clock, &host);
  std::atomic<int> ran{0};
  const TimerId late = scheduled(timer, clock.now() + 24h, [&ran] { ++ran; });
  for (int i = 1; i <= 50; ++i) {
    scheduled(timer, clock.now() + 1ms, [&ran] { ++ran; });
    clock.advance(1ms);
    REQUIRE(eventually([&] { return ran == i; }));
  }
  CHECK(host.starts == 1);
  REQUIRE(timer.cancel(late));
  CHECK(eventually([&] {
    clock.advance(1s);  // ten of these at the least, and far less than 24 h
    return !timer.threaded();
  }));
  CHECK(ran == 50);
}

TEST_CASE("timer: without a thread nothing is accepted", "[timer]") {
  ManualClock clock;
  Host host;
  host.throws = GENERATE(false, true);
  host.refuse = true;
  Timer timer(clock, &host);
  bool destroyed = false;
  const Status status =
      timer.schedule(clock.now(), [end = AtEnd([&] { destroyed = true; })] { FAIL("ran"); })
          .status();
  CHECK(wisp::message(status) ==
        (host.throws ? "no thread could be started: out of threads" : "no thread for wisp-timer"));
  CHECK(destroyed);
  CHECK(timer.count() == 0);
  CHECK_FALSE(timer.threaded());
  host.refuse = false;
  std::binary_semaphore done(0);
  scheduled(timer, clock.now(), [&done] { done.release(); });
  done.acquire();
}

TEST_CASE("timer: close waits for the running task, but not for ever", "[timer]") {
  const int before = threads_at_rest();
  std::binary_semaphore stuck(0);
  std::atomic<bool> returned{false};
  Host host;
  {
    ManualClock clock;
    Timer timer(clock, &host);
    std::binary_semaphore began(0);
    scheduled(timer, clock.now(), [&] {
      began.release();
      stuck.acquire();
      returned = true;
    });
    bool destroyed = false;
    scheduled(timer, clock.now() + 1s, [end = AtEnd([&] { destroyed = true; })] {});
    began.acquire();
    CHECK_FALSE(timer.close(0s));
    CHECK(destroyed);
  }
  // The timer and its clock are gone.
  stuck.release();
  CHECK(eventually([&] { return returned.load(); }));
  CHECK(eventually([&] { return threads() == before; }));
  {
    Timer timer(Clock::system(), &host);
    returned = false;
    std::binary_semaphore began(0);
    scheduled(timer, Time{}, [&] {
      began.release();
      stuck.acquire();
      returned = true;
    });
    began.acquire();
    std::thread later([&] { stuck.release(); });
    CHECK(timer.close(30s));
    CHECK(returned);
    later.join();
  }
  CHECK(eventually([&] { return threads() == before; }));
}

TEST_CASE("timer: a task may close its timer", "[timer]") {
  Host host;
  auto timer = std::make_unique<Timer>(Clock::system(), &host);
  std::binary_semaphore done(0);
  std::optional<bool> closed;
  scheduled(*timer, Time{}, [&] { closed = timer->close(30s), timer.reset(), done.release(); });
  done.acquire();
  CHECK(closed == true);
}

TEST_CASE("timer: many schedule and cancel while it fires", "[timer][stress]") {
  Host host;
  std::atomic<int> ran{0};
  std::atomic<int> cancelled{0};
  std::atomic<int> ended{0};
  std::atomic<int> early{0};
  constexpr int kThreads = 4;
  constexpr int kEach = 1'000;
  Timer timer(Clock::system(), &host);
  std::vector<std::thread> all;
  for (int t = 0; t < kThreads; ++t) {
    all.emplace_back([&, t] {
      Seeded random(t);
      for (int i = 0; i < kEach; ++i) {
        const Time at = Clock::system().now() + Duration(random.between(-10'000, 200'000));
        const Result<TimerId> id = timer.schedule(at, [&, at, end = AtEnd([&] { ++ended; })] {
          ++ran;
          if (Clock::system().now() < at) ++early;
        });
        if (!id.ok()) std::abort();
        if (random.below(2) == 0) std::this_thread::yield();
        if (random.below(2) == 0 && timer.cancel(*id)) ++cancelled;
      }
    });
  }
  for (std::thread& thread : all) thread.join();
  CHECK(eventually([&] { return ran + cancelled == kThreads * kEach; }));
  CHECK(eventually([&] { return ended == kThreads * kEach; }));
  CHECK(early == 0);
  CHECK(timer.count() == 0);
  CHECK(host.starts == 1);
  CHECK(timer.close());
}

TEST_CASE("timer: schedule races with close", "[timer][stress]") {
  for (int round = 0; round < 50; ++round) {
    Host host;
    std::atomic<int> ended{0};
    Timer timer(Clock::system(), &host);
    std::vector<std::thread> all;
    for (int t = 0; t < 3; ++t) {
      all.emplace_back([&] {
        for (int i = 0; i < 20; ++i) {
          const Time at = i % 2 == 0 ? Time{} : Time::never();
          timer.schedule(at, [end = AtEnd([&ended] { ++ended; })] {}).status().IgnoreError();
        }
      });
    }
    CHECK(timer.close(30s));
    for (std::thread& thread : all) thread.join();
    CHECK(ended == 60);
    CHECK_FALSE(timer.threaded());
  }
}
