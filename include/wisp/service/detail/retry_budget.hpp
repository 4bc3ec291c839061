// How many retries a function gets: 10 a second, and one for each five of its calls in the last
// minute. A retry storm ends here, and a lone failing call does not notice.
//
//   if (!budget.try_take(now, calls)) return last_error;      // a call gives up
//   due = due + budget.take(now, most, calls);                // a delivery waits its turn
//
// The 10 a second are a bucket of a minute's worth, kept as the moment up to which it is taken
// (GCRA; ITU-T I.371, 1996). What is taken beyond it is booked on the next free moments, so that
// nobody asks twice, and after an outage the retries come back at that rate. The share of calls is
// counted by the second.
//
// Threads: any.
#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>

namespace wisp::inline v0::detail {

class RetryBudget {
 public:
  static constexpr int kPerSecond = 10;
  static constexpr int kCallsPerRetry = 5;
  static constexpr Duration kWindow = std::chrono::seconds(60);
  static constexpr Duration kEach = Duration(std::chrono::seconds(1)) / kPerSecond;

  // `calls` says how many calls there were in the window; it is asked at most once a second, with
  // no lock held. Takes a retry now, or says no.
  template <class Calls>
  bool try_take(Time now, const Calls& calls) {
    look(now, calls);
    const MutexLock lock(mutex_);
    return wait(now) == Duration::zero() ? book(now) : take_share(now);
  }

  // Takes a retry: at once, or after the time that is returned. Takes none if that is more than
  // `most`.
  template <class Calls>
  Duration take(Time now, Duration most, const Calls& calls) {
    look(now, calls);
    const MutexLock lock(mutex_);
    const Duration left = wait(now);
    if (left > Duration::zero() && take_share(now)) return Duration::zero();
    if (left <= most) book(now);
    return left;
  }

 private:
  static std::int64_t second_of(Time time) {
    return std::chrono::floor<std::chrono::seconds>(time.since_origin()).count();
  }

  template <class Calls>
  void look(Time now, const Calls& calls) {
    const std::int64_t second = second_of(now);
    {
      const MutexLock lock(mutex_);
      if (looked_ == second) return;
      looked_ = second;
    }
    const std::uint64_t fresh = calls();
    const MutexLock lock(mutex_);
    calls_ = fresh;
  }

  // Until the bucket has one.
  Duration wait(Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const Time next = std::max(taken_until_, now) + kEach;
    return std::max(next - now - kWindow, Duration::zero());
  }
  bool book(Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    taken_until_ = std::max(taken_until_, now) + kEach;
    return true;
  }
  bool take_share(Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const std::int64_t second = second_of(now);
    std::uint64_t taken = 0;
    for (const Second& each : seconds_)
      if (each.number > second - kSeconds && each.number <= second) taken += each.taken;
    if (taken >= calls_ / kCallsPerRetry) return false;
    // Rounded down on either side of the origin.
    const std::int64_t place = (second % kSeconds + kSeconds) % kSeconds;
    Second& mine = seconds_[static_cast<std::size_t>(place)];
    if (mine.number != second) mine = {.number = second};
    ++mine.taken;
    return true;
  }

  static constexpr std::int64_t kSeconds = 60;
  static constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::min();
  struct Second {
    std::int64_t number = kNone;
    std::uint64_t taken = 0;
  };

  Mutex mutex_;
  Time taken_until_ ABSL_GUARDED_BY(mutex_){Duration::min()};
  std::int64_t looked_ ABSL_GUARDED_BY(mutex_) = kNone;
  std::uint64_t calls_ ABSL_GUARDED_BY(mutex_) = 0;
  std::array<Second, kSeconds> seconds_ ABSL_GUARDED_BY(mutex_){};
};

}  // namespace wisp::inline v0::detail
