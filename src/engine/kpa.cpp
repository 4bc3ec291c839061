#include <wisp/engine/kpa.hpp>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cmath>
#include <iterator>

namespace wisp::inline v0::scaling {
namespace {

constexpr Duration kSecond = std::chrono::seconds(1);

std::int64_t second_of(Time time) {
  return std::chrono::floor<std::chrono::seconds>(time.since_origin()).count();
}

// Saturates.
Time end_of(std::int64_t second) { return Time(second * kSecond) + kSecond; }

}  // namespace

double& Kpa::held_in(std::int64_t second) {
  const std::int64_t size = std::ssize(seconds_);
  return seconds_[static_cast<std::size_t>((second % size + size) % size)];
}

void Kpa::account(Time now) {
  if (!first_) {
    first_ = last_ = now;
    second_ = second_of(now);
  }
  const std::int64_t end = second_of(now);
  // A long time between two samples is no longer than the window.
  if (end - second_ >= std::ssize(seconds_)) {
    seconds_.fill(held_ * static_cast<double>(kSecond.count()));
    second_ = end;
    last_ = Time(end * kSecond);
    held_in(end) = 0;
  }
  while (last_ < now) {
    const Time until = std::min(now, end_of(second_));
    held_in(second_) += held_ * static_cast<double>((until - last_).count());
    last_ = until;
    if (last_ < end_of(second_)) break;
    held_in(++second_) = 0;
  }
}

// Over whole seconds and the current one, as far as anything has been seen.
double Kpa::mean(Duration window, Time now) {
  const std::int64_t count = window / kSecond;
  double sum = 0;
  for (std::int64_t i = 0; i <= count; ++i) sum += held_in(second_ - i);
  const Time from = std::max(*first_, Time((second_ - count) * kSecond));
  const auto span = static_cast<double>((now - from).count());
  return span > 0 ? sum / span : held_;
}

int Kpa::decide(const Sample& sample, Bounds bounds) {
  assert(bounds.min <= bounds.max);
  const Time now = std::max(sample.now, last_);
  account(now);
  held_ = sample.queued + sample.running;
  if (held_ > 0) held_at_ = now;
  // From none the first call is not kept waiting for a tick: it activates one worker.
  if (now < due_ && want_ > 0) return std::clamp(want_, bounds.min, bounds.max);
  due_ = now + kTick;

  const int ready = std::max(1, sample.running + sample.idle);
  const auto wanted = [](double calls) { return std::ceil(std::min(calls / kTarget, 1e9)); };
  const auto moved = [ready](double want) {
    return static_cast<int>(std::clamp(want, std::floor(ready / 2.0), std::ceil(kRateMax * ready)));
  };
  const double panic = wanted(mean(kPanic, now));
  if (panic >= 2.0 * ready) {
    if (!panics_since_) panic_want_ = 0;
    panics_since_ = now;
  } else if (panics_since_ && now - *panics_since_ >= kStable) {
    panics_since_ = std::nullopt;
  }
  want_ = moved(wanted(mean(kStable, now)));
  if (panics_since_) want_ = panic_want_ = std::max({panic_want_, want_, moved(panic)});
  if (want_ == 0 && held_at_ && now - *held_at_ < kStable + kGrace) want_ = 1;
  return std::clamp(want_, bounds.min, bounds.max);
}

}  // namespace wisp::inline v0::scaling
