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
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>

namespace wisp::inline v0::detail {

class Rate {
 public:
  // Requires: kRateMin <= per_second <= kRateMax, or 0: unlimited.
  explicit Rate(double per_second) { set(per_second, Time(Duration::min())); }

  // Another rate from now on. What is left in the bucket stays, as far as it fits, and so does the
  // part of the next token that has come; turns that are to come are void, and whoever holds one
  // takes another.
  void set(double per_second, Time now) {
    const BriefLock lock(mutex_);
    if (made_ > 0 && per_second == per_second_) return;
    const bool fresh = made_ == 0 || per_second_ == 0;
    const double left = fresh ? 0 : level(now);
    ++made_;
    per_second_ = per_second;
    full_ = now;
    interval_ = Duration::zero();
    tolerance_ = std::chrono::seconds(1);
    if (per_second == 0) return;
    interval_ = Duration(static_cast<Duration::rep>(std::ceil(1e9 / per_second)));
    // All that a second is worth at once, whatever rounding up has added to the interval.
    const auto beside = static_cast<Duration::rep>(std::max(per_second, 1.0)) - 1;
    tolerance_ = std::max(std::chrono::seconds(1) - interval_, beside * interval_);
    if (fresh) return;
    const double missing = std::ceil((1 - left) * static_cast<double>(interval_.count()));
    full_ = std::max(now, now + tolerance_ + Duration(static_cast<Duration::rep>(missing)));
  }
  double per_second() const {
    const BriefLock lock(mutex_);
    return per_second_;
  }

  // A token taken: from when on it counts, the bucket after it, and of which rate it is.
  struct Turn {
    Time at;
    Time full;
    std::uint64_t made;
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

  // Whether there was no other rate since.
  bool holds(const Turn& turn) const {
    const BriefLock lock(mutex_);
    return turn.made == made_;
  }

  // How many there are to take, up to kMany.
  static constexpr int kMany = 1'000'000'000;
  int ready(Time now) const {
    const BriefLock lock(mutex_);
    if (interval_ == Duration::zero()) return kMany;
    const Duration left = tolerance_ - std::max(full_ - now, Duration::zero());
    return left < Duration::zero() ? 0 : static_cast<int>(left / interval_) + 1;
  }

  // A token that was not used. Lost where a later one was taken: two would have the same time.
  void give_back(const Turn& turn) {
    const BriefLock lock(mutex_);
    if (turn.made == made_ && full_ == turn.full) full_ = full_ + -interval_;
  }

  // One that has come, whatever was taken after it.
  void untake(const Turn& turn) {
    const BriefLock lock(mutex_);
    if (turn.made == made_) full_ = full_ + -interval_;
  }

 private:
  // Tokens in the bucket and the part that has come of the next, also while some are owed.
  // Requires: limited.
  double level(Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const Duration left = tolerance_ - std::max(full_ - now, Duration::zero());
    const double level =
        static_cast<double>(left.count()) / static_cast<double>(interval_.count()) + 1;
    return level < 0 ? level - std::floor(level) : level;
  }
  Turn take(Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const Time at = std::max(now, full_ + -tolerance_);
    full_ = std::max(full_, now) + interval_;
    return {at, full_, made_};
  }

  mutable BriefMutex mutex_;
  std::uint64_t made_ ABSL_GUARDED_BY(mutex_) = 0;  // how often it was set
  double per_second_ ABSL_GUARDED_BY(mutex_) = 0;
  Duration interval_ ABSL_GUARDED_BY(mutex_){};
  Duration tolerance_ ABSL_GUARDED_BY(mutex_){};
  Time full_ ABSL_GUARDED_BY(mutex_){Duration::min()};
};

// The rates that a delivery keeps to: its tenant's and its function's. A turn of the second is
// taken once that of the first has come, so that who waits for its own rate takes nothing of a rate
// that is others' too.
//
// Threads: value; the turns belong to one at a time.
class Pace {
 public:
  struct Turns {
    // From when on what was taken last may be used; nothing: none was taken.
    std::optional<Time> at() const {
      for (const auto& turn : {each[1], each[0]})
        if (turn) return turn->at;
      return std::nullopt;
    }
    bool empty() const { return !each[0] && !each[1]; }

    std::array<std::optional<Rate::Turn>, 2> each{};
  };

  // Null: unlimited.
  Pace(Rate* tenant, Rate* function) : rates_{tenant, function} {}

  bool unlimited() const { return rates_[0] == nullptr && rates_[1] == nullptr; }

  // Takes what is missing or void, up to the first that is still to come. True: all have come.
  bool take(Turns& turns, Time now) const {
    for (std::size_t i = 0; i < rates_.size(); ++i) {
      if (rates_[i] == nullptr) continue;
      if (turns.each[i] && is_void(i, *turns.each[i], now)) turns.each[i] = std::nullopt;
      if (!turns.each[i]) turns.each[i] = rates_[i]->reserve(now);
      if (turns.each[i]->at > now) return false;
    }
    return true;
  }
  // Whether one is to come, and not void.
  bool waits(const Turns& turns, Time now) const {
    for (std::size_t i = 0; i < rates_.size(); ++i) {
      const auto& turn = turns.each[i];
      if (turn && turn->at > now && !is_void(i, *turn, now)) return true;
    }
    return false;
  }
  // Of a delivery that does not begin after all. A turn that has come is whole again, as others
  // have taken theirs beside it.
  void give_back(Turns& turns, Time now) const {
    for (std::size_t i = 0; i < rates_.size(); ++i) {
      const auto turn = std::exchange(turns.each[i], std::nullopt);
      if (!turn) continue;
      if (turn->at <= now) rates_[i]->untake(*turn);
      else rates_[i]->give_back(*turn);
    }
  }
  int ready(Time now) const {
    int ready = Rate::kMany;
    for (const Rate* const rate : rates_)
      if (rate != nullptr) ready = std::min(ready, rate->ready(now));
    return ready;
  }

 private:
  bool is_void(std::size_t which, const Rate::Turn& turn, Time now) const {
    return turn.at > now && !rates_[which]->holds(turn);
  }

  std::array<Rate*, 2> rates_;
};

}  // namespace wisp::inline v0::detail
