#include <wisp/engine/scaling.hpp>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <iterator>

namespace wisp::inline v0::scaling {

int Fixed::decide(const Sample&, Bounds bounds) const {
  assert(bounds.min <= bounds.max);
  return std::clamp(workers, bounds.min, bounds.max);
}

int TargetWait::decide(const Sample& sample, Bounds bounds) const {
  assert(bounds.min <= bounds.max);
  using Count = std::int64_t;
  const Count runnable_max = Count{std::max(1, cores > 0 ? cores : sample.cores)} + 1;
  const Count active = Count{sample.running} + sample.starting;
  const Count runnable = Count{sample.running} - sample.blocked;

  // Calls that one worker begins within the target, after the one that it runs. More than the
  // largest queue would say nothing new.
  const bool trusted = sample.mean_run > Duration::zero() && sample.oldest_wait <= wait_target;
  const Count each = trusted ? std::clamp<Count>(wait_target / sample.mean_run, 0, 1'000'000) : 0;
  const Count left = sample.queued - runnable * each - sample.starting * (1 + each);
  const Count more = left > 0 ? (left + each) / (1 + each) : 0;

  // Those that start will block as those that run do.
  const Count will_block =
      sample.running > 0 ? Count{sample.starting} * sample.blocked / sample.running : 0;
  const Count want = std::min(active + more, sample.blocked + will_block + runnable_max);
  return static_cast<int>(std::clamp<Count>(want, bounds.min, bounds.max));
}

namespace {

constexpr Duration kSecond = std::chrono::seconds(1);

std::int64_t second_of(Time time) { return time.since_origin() / kSecond; }

}  // namespace

void Kpa::account(Time now) {
  if (!first_) {
    first_ = last_ = now;
    second_ = second_of(now);
  }
  // A long time between two samples is no longer than the window.
  const std::int64_t size = std::ssize(seconds_);
  const std::int64_t end = second_of(now);
  if (end - second_ >= size) {
    seconds_.fill(held_ * static_cast<double>(kSecond.count()));
    second_ = end;
    last_ = Time(end * kSecond);
    seconds_[static_cast<std::size_t>(end % size)] = 0;
  }
  while (last_ < now) {
    const Time until = std::min(now, Time((second_ + 1) * kSecond));
    seconds_[static_cast<std::size_t>(second_ % size)] +=
        held_ * static_cast<double>((until - last_).count());
    last_ = until;
    if (last_ < Time((second_ + 1) * kSecond)) break;
    ++second_;
    seconds_[static_cast<std::size_t>(second_ % size)] = 0;
  }
}

double Kpa::mean(Duration window, Time now) const {
  // Whole seconds and the current one, as far as anything has been seen.
  const std::int64_t size = std::ssize(seconds_);
  const std::int64_t count = std::min<std::int64_t>(window / kSecond, size - 1);
  double sum = 0;
  for (std::int64_t i = 0; i <= count; ++i)
    sum += seconds_[static_cast<std::size_t>((second_ - i + size) % size)];
  const Time from = std::max(*first_, Time((second_ - count) * kSecond));
  const auto span = static_cast<double>((now - from).count());
  return span > 0 ? sum / span : held_;
}

int Kpa::decide(const Sample& sample, Bounds bounds) {
  assert(bounds.min <= bounds.max);
  account(sample.now);
  held_ = sample.queued + sample.running;
  if (held_ > 0) idle_since_ = std::nullopt;
  else if (!idle_since_) idle_since_ = sample.now;
  if (sample.now < due_ && want_ > 0) return std::clamp(want_, bounds.min, bounds.max);
  // From zero the first call is not kept waiting for a tick: it activates one worker.
  due_ = sample.now + kTick;

  const int ready = std::max(1, sample.running + sample.idle);
  const auto wanted = [&](double calls) {
    return static_cast<double>(std::ceil(std::min(calls / kTarget, 1e9)));
  };
  const auto moved = [&](double want) {
    return static_cast<int>(std::clamp(want, std::floor(ready / 2.0), std::ceil(kRateMax * ready)));
  };
  const double panic = wanted(mean(kPanic, sample.now));
  if (panic >= 2.0 * ready) {
    if (!panics_since_) panic_want_ = 0;
    panics_since_ = sample.now;
  } else if (panics_since_ && sample.now - *panics_since_ >= kStable) {
    panics_since_ = std::nullopt;
  }
  want_ = moved(wanted(mean(kStable, sample.now)));
  if (panics_since_) want_ = panic_want_ = std::max({panic_want_, want_, moved(panic)});
  if (want_ == 0 && held_ > 0) want_ = 1;
  if (want_ == 0 && idle_since_ && sample.now - *idle_since_ < kStable + kGrace) want_ = 1;
  return std::clamp(want_, bounds.min, bounds.max);
}

Duration Pace::next(Duration last, const Seen& seen) const {
  const bool all = seen.running > 0 && seen.asleep == seen.running;
  if (seen.may_grow && (seen.grew || all)) return fast;
  const bool some = seen.may_grow && seen.asleep > 0;
  const Duration calm = some ? steady : std::clamp(2 * last, fast, slow);
  const Duration cost = std::min(seen.cost, rest_max);
  return std::max(calm, std::min((seen.may_grow ? rest : rest_at_max) * cost, rest_max));
}

}  // namespace wisp::inline v0::scaling
