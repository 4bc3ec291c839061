#include <wisp/service/detail/codel.hpp>

#include <cmath>

namespace wisp::inline v0::detail {

Duration Codel::law(std::uint64_t count) {
  const double interval = static_cast<double>(kInterval.count());
  return Duration(static_cast<Duration::rep>(interval / std::sqrt(static_cast<double>(count))));
}

bool Codel::standing(Duration wait, Time now) {
  if (wait < kTarget) {
    standing_at_ = Time::never();
    return false;
  }
  if (standing_at_ == Time::never()) standing_at_ = now + kInterval;
  return now >= standing_at_;
}

void Codel::begin(Time now) {
  shedding_ = true;
  // Where it left off, if that is not long ago.
  const std::uint64_t lately = count_ - last_count_;
  count_ = lately > 1 && now - next_ < 16 * kInterval ? lately : 1;
  last_count_ = count_;
  next_ = now + law(count_);
}

bool Codel::sheds(Duration wait, Time now) {
  const BriefLock lock(mutex_);
  if (!standing(wait, now)) {
    shedding_ = false;
    return false;
  }
  bool sheds = wait > 2 * kTarget;
  if (!shedding_) {
    begin(now);
    sheds = true;
  } else if (now >= next_) {
    ++count_;
    next_ = next_ + law(count_);
    sheds = true;
  }
  shed_ += sheds ? 1 : 0;
  return sheds;
}

std::uint64_t Codel::shed() const {
  const BriefLock lock(mutex_);
  return shed_;
}

}  // namespace wisp::inline v0::detail
