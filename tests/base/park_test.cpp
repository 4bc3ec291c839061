#include <wisp/base/park.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <thread>
#include <vector>

#include <wisp/base/mutex.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "seeds.hpp"

using namespace std::chrono_literals;
using wisp::Clock;
using wisp::Duration;
using wisp::ManualClock;
using wisp::Mutex;
using wisp::MutexLock;
using wisp::Parker;
using wisp::Time;

namespace {

// A one-place mailbox that hands plain integers over: what the thread sanitizer has to accept.
struct Mailbox {
  Parker parker;
  int value = 0;  // written before unblock(), read after block()
};

}  // namespace

TEST_CASE("park: a wake before the park ends it at once", "[park]") {
  ManualClock clock;
  Parker parker;
  clock.wake(parker);
  CHECK(clock.park(parker, Time::never()));
  CHECK_FALSE(parker.take());
  Clock& system = Clock::system();
  system.wake(parker);
  CHECK(system.park(parker, Time::never()));
  parker.unblock();
  CHECK(parker.block(Duration::max()));
  CHECK_FALSE(parker.take());
}

TEST_CASE("park: two wakes count once", "[park]") {
  Parker parker;
  parker.unblock();
  parker.unblock();
  CHECK(parker.take());
  CHECK_FALSE(parker.take());
  CHECK_FALSE(parker.block(0ns));
  ManualClock clock;
  clock.wake(parker);
  clock.wake(parker);
  CHECK(clock.park(parker, clock.now() + 1h));
  CHECK_FALSE(clock.park(parker, clock.now()));
}

TEST_CASE("park: a time that has come ends the park, a wake goes first", "[park]") {
  ManualClock clock;
  Parker parker;
  CHECK_FALSE(clock.park(parker, clock.now()));
  CHECK_FALSE(clock.park(parker, clock.now() + -1h));
  clock.wake(parker);
  CHECK(clock.park(parker, clock.now()));
  CHECK_FALSE(clock.park(parker, clock.now()));

  Clock& system = Clock::system();
  CHECK_FALSE(system.park(parker, system.now()));
  CHECK_FALSE(parker.block(-1s));
  parker.unblock();
  CHECK(parker.block(-1s));
}

TEST_CASE("park: a native limit is kept, and leaves nothing behind", "[park]") {
  Parker parker;
  Clock& clock = Clock::system();
  const Time start = clock.now();
  CHECK_FALSE(parker.block(1ms));
  CHECK(clock.now() - start >= 1ms);
  CHECK_FALSE(clock.park(parker, clock.now() + 1ms));
  CHECK_FALSE(parker.take());
  parker.unblock();
  CHECK(parker.block(1ms));
}

TEST_CASE("park: under a manual clock only its time or a wake end a park", "[park]") {
  ManualClock clock;
  const Time until = clock.now() + 10s;
  Parker parker;
  std::atomic<int> returns{0};
  std::atomic<bool> timed_out{false};
  std::thread sleeper([&] {
    while (clock.park(parker, until)) ++returns;
    timed_out = true;
  });
  for (int i = 1; i <= 3; ++i) {
    const int before = returns;
    clock.wake(parker);
    CHECK(wisp::test::eventually([&] { return returns > before; }));
    clock.advance(3s);
    CHECK_FALSE(timed_out);
  }
  clock.advance(1s);
  sleeper.join();
  CHECK(timed_out);
}

TEST_CASE("park: what the waker wrote is seen by the woken", "[park]") {
  Mailbox there;
  Mailbox back;
  constexpr int kRounds = 2'000;
  std::thread echo([&] {
    for (int i = 0; i < kRounds; ++i) {
      (void)there.parker.block(Duration::max());
      back.value = there.value + 1;
      back.parker.unblock();
    }
  });
  int wrong = 0;
  for (int i = 0; i < kRounds; ++i) {
    there.value = i;
    there.parker.unblock();
    (void)back.parker.block(Duration::max());
    wrong += back.value != i + 1;
  }
  echo.join();
  CHECK(wrong == 0);
}

TEST_CASE("park: no wake is lost between limits, time and several wakers", "[park]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    constexpr int kWakers = 3;
    constexpr int kPosts = 200;
    ManualClock clock;
    Parker parker;
    Mutex mutex;
    int posted = 0;  // guarded by mutex
    std::vector<std::thread> wakers;
    for (int w = 0; w < kWakers; ++w) {
      wakers.emplace_back([&] {
        for (int i = 0; i < kPosts; ++i) {
          const MutexLock lock(mutex);
          ++posted;
          clock.wake(parker);
        }
      });
    }
    std::thread time([&clock] {
      for (int i = 0; i < 200; ++i) clock.advance(1ms);
    });
    int taken = 0;
    while (taken < kWakers * kPosts) {
      switch (random.below(3)) {
        case 0:
          (void)clock.park(parker, Time::never());
          break;
        case 1:
          (void)clock.park(parker, clock.now() + 1ms);
          break;
        default:
          (void)parker.block(Duration(static_cast<std::int64_t>(random.below(20'000))));
          break;
      }
      const MutexLock lock(mutex);
      taken = posted;
    }
    for (std::thread& each : wakers) each.join();
    time.join();
    CHECK(taken == kWakers * kPosts);
  }
}

TEST_CASE("park: a parker may end as soon as its owner is woken", "[park]") {
  // The waker still is in wake() when the owner returns: under the address sanitizer this touches
  // nothing of the dead Parker.
  ManualClock clock;
  Mutex mutex;
  std::deque<Parker*> waiting;  // guarded by mutex
  std::atomic<bool> done{false};
  std::thread waker([&] {
    while (!done) {
      Parker* next = nullptr;
      {
        const MutexLock lock(mutex);
        if (!waiting.empty()) {
          next = waiting.front();
          waiting.pop_front();
          clock.wake(*next);
        }
      }
      if (next == nullptr) std::this_thread::yield();
    }
  });
  for (int i = 0; i < 2'000; ++i) {
    Parker parker;
    {
      const MutexLock lock(mutex);
      waiting.push_back(&parker);
    }
    while (true) {
      (void)clock.park(parker, Time::never());
      const MutexLock lock(mutex);
      if (std::find(waiting.begin(), waiting.end(), &parker) == waiting.end()) break;
    }
  }
  done = true;
  waker.join();
  CHECK(waiting.empty());
}

TEST_CASE("park: the word of a simulator stays as it was set", "[park]") {
  ManualClock clock;
  Parker parker;
  CHECK(parker.tag == nullptr);
  parker.tag = &clock;
  clock.wake(parker);
  (void)clock.park(parker, Time::never());
  CHECK(parker.tag == &clock);
}

TEST_CASE("park: a thread whose last look was in vain does not look again before it has slept",
          "[park]") {
  std::thread other([] {
    const auto looks_of = [] {
      int looks = 0;
      CHECK_FALSE(wisp::Patience::look([&looks] { return ++looks < 0; }));
      return looks;
    };
    CHECK(looks_of() > 10);
    CHECK(looks_of() == 1);
    int looks = 0;
    CHECK(wisp::Patience::look([&looks] { return ++looks == 1; }));
    // A sleep that was long: the next one will be, too.
    Parker parker;
    CHECK_FALSE(parker.block(1ms));
    CHECK(looks_of() == 1);
  });
  other.join();
}
