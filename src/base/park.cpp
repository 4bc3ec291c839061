#include <wisp/base/park.hpp>

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <ctime>

namespace wisp::inline v0 {
namespace {

timespec to_timespec(Duration d) {
  return {.tv_sec = static_cast<time_t>(d.count() / 1'000'000'000),
          .tv_nsec = static_cast<long>(d.count() % 1'000'000'000)};
}

// Wall time is as coarse as the standard library makes it, and saturates as Time does.
WallTime moved(WallTime wall, Duration d) {
  const Duration since = wall.time_since_epoch();
  return WallTime(std::chrono::duration_cast<WallTime::duration>((Time(since) + d).since_origin()));
}

Duration steady_now() { return std::chrono::steady_clock::now().time_since_epoch(); }

constexpr Duration kLook = std::chrono::microseconds(4);
constexpr Duration kShortSleep = std::chrono::microseconds(200);

class SystemClock final : public Clock {
 public:
  Time now() const override { return Time(steady_now()); }
  WallTime wall() const override { return std::chrono::system_clock::now(); }
  bool real() const override { return true; }
};

}  // namespace

constinit thread_local bool Patience::patient_ = true;

Duration Patience::begin() { return steady_now() + kLook; }

bool Patience::goes_on(Duration until) {
  if (steady_now() < until) return true;
  // Until the sleep that follows has shown what it is like.
  patient_ = false;
  return false;
}

void Patience::slept(Duration how_long, int woken_from) {
  patient_ = how_long < kShortSleep && woken_from != sched_getcpu();
}

bool Parker::take() {
  std::uint32_t expected = kWoken;
  return state_.compare_exchange_strong(expected, kEmpty, std::memory_order_acquire,
                                        std::memory_order_relaxed);
}

bool Parker::block(Duration timeout) {
  if (take()) return true;
  if (timeout <= Duration::zero()) return false;
  const auto there = [this] { return state_.load(std::memory_order_relaxed) == kWoken; };
  if (Patience::look(there) && take()) return true;
  const Duration began = steady_now();
  const bool woken = sleep(timeout, began);
  Patience::slept(woken ? steady_now() - began : Duration::max(),
                  waker_core_.load(std::memory_order_relaxed));
  return woken;
}

bool Parker::sleep(Duration timeout, Duration began) {
  std::uint32_t expected = kEmpty;
  if (!state_.compare_exchange_strong(expected, kParked, std::memory_order_acquire)) return take();
  const bool limited = timeout != Duration::max();
  const Duration end =
      limited ? began + std::min(timeout, Duration(std::chrono::hours(24 * 365))) : Duration::max();
  while (true) {
    // Does not sleep unless the word still says parked: MUTANT_NO_RECHECK in
    // tests/model_check/pool_wake.pml.
    // FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, so a spurious wake does not stretch
    // the limit.
    const timespec limit = limited ? to_timespec(end) : timespec{};
    syscall(SYS_futex, &state_, FUTEX_WAIT_BITSET_PRIVATE, kParked, limited ? &limit : nullptr,
            nullptr, FUTEX_BITSET_MATCH_ANY);
    if (take()) return true;
    if (limited && steady_now() >= end) {
      expected = kParked;
      if (state_.compare_exchange_strong(expected, kEmpty, std::memory_order_acquire)) return false;
      return take();
    }
  }
}

void Parker::unblock() {
  waker_core_.store(sched_getcpu(), std::memory_order_relaxed);
  // Release: pairs with the acquire in take(). Whatever the word said, the wake stays in it:
  // MUTANT_WAKE_ONLY_PARKED in the model.
  if (state_.exchange(kWoken, std::memory_order_acq_rel) != kParked) return;
  syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

bool Clock::park(Parker& parker, Time until) {
  while (true) {
    if (parker.take()) return true;
    if (until == Time::never()) return parker.block(Duration::max());
    const Duration left = until - now();
    if (left <= Duration::zero()) return false;
    if (parker.block(left)) return true;
  }
}

void Clock::wake(Parker& parker) { parker.unblock(); }

Clock& Clock::system() {
  // Never destroyed, so that nothing runs at exit.
  static SystemClock& clock = *new SystemClock;
  return clock;
}

void elapse(Clock& clock, Duration d) {
  const Time until = clock.now() + d;
  Parker parker;
  while (clock.now() < until) {
    if (clock.real()) detail::relax();
    else clock.park(parker, until);
  }
}

ManualClock::ManualClock(WallTime wall) : wall_(wall) {}

Time ManualClock::now() const {
  const MutexLock lock(mutex_);
  return now_;
}

WallTime ManualClock::wall() const {
  const MutexLock lock(mutex_);
  return wall_;
}

bool ManualClock::park(Parker& parker, Time until) {
  {
    const MutexLock lock(mutex_);
    if (parker.take()) return true;
    if (now_ >= until) return false;
    sleepers_.push_back({&parker, until});
  }
  parker.block(Duration::max());
  const MutexLock lock(mutex_);
  std::erase_if(sleepers_, [&parker](const Sleeper& s) { return s.parker == &parker; });
  // Woken, or the time came; the caller's next look at the clock tells.
  return true;
}

void ManualClock::advance(Duration d) {
  assert(d >= Duration::zero());
  const MutexLock lock(mutex_);
  now_ = now_ + d;
  wall_ = moved(wall_, d);
  std::erase_if(sleepers_, [now = now_](const Sleeper& sleeper) {
    if (sleeper.until > now) return false;
    // Under the lock: the sleeper cannot leave park(), and free its Parker, before this has
    // returned.
    sleeper.parker->unblock();
    return true;
  });
}

void ManualClock::jump_wall(Duration d) {
  const MutexLock lock(mutex_);
  wall_ = moved(wall_, d);
}

}  // namespace wisp::inline v0
