// A rate limit: a bucket of one second's worth of tokens, one at least, that fills at its rate.
//
//   if (!rate.try_take(now)) return refusal;        // who does not wait
//   const wisp::Time turn = rate.reserve(now);      // who waits until then
//
// Kept as one moment, that at which the bucket would be full again. Source: the generic cell rate
// algorithm, ITU-T I.371 (2004), annex A.
//
// Threads: any.
#pragma once

#include <algorithm>

#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>

namespace wisp::inline v0::detail {

class Rate {
 public:
  // Requires: kRateMin <= per_second <= kRateMax.
  explicit Rate(double per_second)
      : interval_(static_cast<Duration::rep>(1e9 / per_second)),
        tolerance_(std::max(Duration::zero(), std::chrono::seconds(1) - interval_)) {}

  bool try_take(Time now) {
    const BriefLock lock(mutex_);
    if (full_ - now > tolerance_) return false;
    full_ = std::max(full_, now) + interval_;
    return true;
  }

  // The next token, whose time is the result: now or later. Each has a later one than those before
  // it, and who calls holds few.
  Time reserve(Time now) {
    const BriefLock lock(mutex_);
    const Time turn = std::max(now, full_ + -tolerance_);
    full_ = std::max(full_, now) + interval_;
    return turn;
  }

  // How many there are to take.
  int ready(Time now) const {
    const BriefLock lock(mutex_);
    const Duration left = tolerance_ - std::max(full_ - now, Duration::zero());
    if (left < Duration::zero()) return 0;
    return static_cast<int>(left / interval_) + 1;
  }

  // A token that was not used.
  void give_back() {
    const BriefLock lock(mutex_);
    full_ = full_ + -interval_;
  }

 private:
  const Duration interval_;
  const Duration tolerance_;
  mutable BriefMutex mutex_;
  Time full_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace wisp::inline v0::detail
