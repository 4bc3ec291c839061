// What time it is, and how a thread waits for it. Steady time orders and measures; wall time names
// a moment to people.
//
//   wisp::ManualClock clock;                       // a test owns time
//   wisp::Deadline deadline = wisp::Deadline::after(clock, 200ms);
//   clock.advance(1s);
//   assert(deadline.passed(clock));
//
// Nothing in wisp reads the time but through a Clock, and nothing waits but through Clock::park
// (see park.hpp), so whoever supplies the clock owns both: a simulator runs a month in a blink, a
// test never sleeps.
//
// Threads: any.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include <wisp/base/mutex.hpp>

namespace wisp::inline v0 {

using Duration = std::chrono::nanoseconds;
using WallTime = std::chrono::system_clock::time_point;

// A point on a Clock's steady line. Its origin means nothing; two clocks' times do not compare.
class Time {
 public:
  constexpr Time() = default;
  constexpr explicit Time(Duration since_origin) : since_origin_(since_origin) {}

  // Later than every moment that a clock reaches; adding to it stays there.
  static constexpr Time never() { return Time(Duration::max()); }

  constexpr Duration since_origin() const { return since_origin_; }

  friend constexpr auto operator<=>(Time, Time) = default;
  // Saturates at both ends.
  friend constexpr Duration operator-(Time a, Time b) {
    Duration::rep difference = 0;
    if (!__builtin_sub_overflow(a.since_origin_.count(), b.since_origin_.count(), &difference))
      return Duration(difference);
    return a < b ? Duration::min() : Duration::max();
  }
  // Saturates at never(), and at the other end.
  friend constexpr Time operator+(Time a, Duration d) {
    if (a == never()) return a;
    if (d > Duration::zero() && a.since_origin_ > Duration::max() - d) return never();
    if (d < Duration::zero() && a.since_origin_ < Duration::min() - d) return Time(Duration::min());
    return Time(a.since_origin_ + d);
  }

 private:
  Duration since_origin_{};
};

class Parker;

class Clock {
 public:
  virtual ~Clock() = default;

  // Never goes back.
  virtual Time now() const = 0;

  // May jump either way, as the machine's clock does.
  virtual WallTime wall() const = 0;

  // Whether time passes on its own. Meters read the processor's cycle counter only beside a real
  // clock.
  virtual bool real() const { return false; }

  // Blocks the calling thread until `parker` is woken or now() >= until. Consumes the wake. False
  // says that the time has come; true may be spurious, so callers look at their condition again.
  // The default serves clocks that follow real time. Called with no wisp lock held.
  virtual bool park(Parker& parker, Time until);

  // Ends the park of whoever waits on `parker`, now or at its next park. May run on any thread, and
  // under a lock. As soon as it is woken that thread may go on to end a Runtime of this clock, and
  // the clock: an override touches nothing of its own after it has unblocked.
  virtual void wake(Parker& parker);

  // The machine's clocks. Immutable and shared by the process. The steady one stands still while
  // the machine sleeps.
  static Clock& system();
};

// A moment by which something has to end; none by default.
class Deadline {
 public:
  constexpr Deadline() = default;
  constexpr explicit Deadline(Time at) : at_(at) {}

  // `timeout` from now; zero or less means none.
  static Deadline after(const Clock& clock, Duration timeout) {
    return timeout > Duration::zero() ? Deadline(clock.now() + timeout) : Deadline();
  }

  constexpr Time at() const { return at_; }
  constexpr bool none() const { return at_ == Time::never(); }
  bool passed(const Clock& clock) const { return !none() && clock.now() >= at_; }

  // Until the deadline, never negative; Duration::max() if there is none.
  Duration remaining(const Clock& clock) const {
    if (none()) return Duration::max();
    const Duration left = at_ - clock.now();
    return left > Duration::zero() ? left : Duration::zero();
  }

  friend constexpr Deadline earlier(Deadline a, Deadline b) { return a.at_ <= b.at_ ? a : b; }
  friend constexpr bool operator==(Deadline, Deadline) = default;

 private:
  Time at_ = Time::never();
};

// A clock that stands still until told: advance() moves both lines and wakes every parked thread
// whose time has come.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(WallTime wall = WallTime{std::chrono::hours(24 * 365 * 50)});

  Time now() const override;
  WallTime wall() const override;
  bool park(Parker& parker, Time until) override;

  // Saturates, on both lines. Requires: d >= 0.
  void advance(Duration d);

  // Moves only the wall time, either way, as an operator or NTP does.
  void jump_wall(Duration d);

 private:
  struct Sleeper {
    Parker* parker;
    Time until;
  };

  mutable Mutex mutex_;
  Time now_ ABSL_GUARDED_BY(mutex_){Duration{std::chrono::hours(1)}};
  WallTime wall_ ABSL_GUARDED_BY(mutex_);
  std::vector<Sleeper> sleepers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace wisp::inline v0
