// A rate limit: a bucket of one second's worth of tokens, one at least, that fills at its rate.
//
//   const std::optional<Rate::Turn> turn = rate.try_take(now);  // who does not wait
//   const Rate::Turn turn = rate.reserve(now);                  // who waits until turn.at
//   if (!used) rate.give_back(turn);
//
// Kept as one moment, that at which the bucket would be full again. Source: the generic cell rate
// algorithm, ITU-T I.371 (2004), annex A.
//
// Threads: any.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>

namespace wisp::inline v0::detail {

class Rate {
 public:
  // Requires: kRateMin <= per_second <= kRateMax.
  explicit Rate(double per_second)
      : interval_(static_cast<Duration::rep>(std::ceil(1e9 / per_second))),
        tolerance_(std::max(Duration::zero(), std::chrono::seconds(1) - interval_)) {}

  // A token taken: from when on it counts, and the bucket after it.
  struct Turn {
    Time at;
    Time full;
  };

  std::optional<Turn> try_take(Time now) {
    const BriefLock lock(mutex_);
    if (full_ - now > tolerance_) return std::nullopt;
    return take(now);
  }

  // The next token, now or later. Each is later than those before it, of which who calls holds few.
  Turn reserve(Time now) {
    const BriefLock lock(mutex_);
    return take(now);
  }

  // How many there are to take.
  int ready(Time now) const {
    const BriefLock lock(mutex_);
    const Duration left = tolerance_ - std::max(full_ - now, Duration::zero());
    if (left < Duration::zero()) return 0;
    return static_cast<int>(left / interval_) + 1;
  }

  // A token that was not used. Lost where a later one was taken: two would have the same time.
  void give_back(const Turn& turn) {
    const BriefLock lock(mutex_);
    if (full_ == turn.full) full_ = full_ + -interval_;
  }

 private:
  Turn take(Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const Time at = std::max(now, full_ + -tolerance_);
    full_ = std::max(full_, now) + interval_;
    return {at, full_};
  }

  const Duration interval_;
  const Duration tolerance_;
  mutable BriefMutex mutex_;
  Time full_ ABSL_GUARDED_BY(mutex_){Duration::min()};
};

}  // namespace wisp::inline v0::detail
