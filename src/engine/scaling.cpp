#include <wisp/engine/scaling.hpp>

#include <algorithm>
#include <cassert>
#include <cstdint>

namespace wisp::inline v0::scaling {
namespace {

constexpr Duration kStuckMax = std::chrono::milliseconds{250};
constexpr Duration kSlowStart = std::chrono::milliseconds{100};

}  // namespace

int Fixed::decide(const Sample&, Bounds bounds) const {
  assert(bounds.min <= bounds.max);
  return std::clamp(workers, bounds.min, bounds.max);
}

int TargetWait::decide(const Sample& sample, Bounds bounds) const {
  assert(bounds.min <= bounds.max);
  using Count = std::int64_t;
  const Count active = Count{sample.running} + sample.starting;
  const Count runnable = Count{sample.running} - sample.blocked;

  // Calls that one worker begins within the target, after the one that it runs. More than the
  // largest queue would say nothing new.
  const bool trusted = sample.mean_run > Duration::zero() && sample.oldest_wait <= wait_target;
  const Count each = trusted ? std::clamp<Count>(wait_target / sample.mean_run, 0, 1'000'000) : 0;
  const Count left = sample.queued - runnable * each - sample.starting * (1 + each);
  const Count more = left > 0 ? (left + each) / (1 + each) : 0;

  // Those that start will block as those that run do, as far as those bear witness.
  const Count will_block =
      sample.running > 0 ? std::min<Count>(Count{sample.starting} * sample.blocked / sample.running,
                                           sample.blocked)
                         : 0;
  // A call behind longer ones, and calls that nobody gets to.
  const Duration run = std::clamp(sample.mean_run, Duration::zero(), kStuckMax);
  const Duration least = std::min(wait_target, kStuckMax / 50) * 50;
  const bool stuck = sample.oldest_wait > std::min(std::max(4 * run, least), kStuckMax);
  const Count may_run = Count{std::max(1, cores > 0 ? cores : sample.cores)} + (stuck ? 1 : 0);
  const Count waited = runnable > 0 ? 0 : sample.oldest_wait / kSlowStart;
  const Count most = sample.blocked + will_block + may_run * (1 + waited);
  const Count want = std::min(active + more, most);
  return static_cast<int>(std::clamp<Count>(want, bounds.min, bounds.max));
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
