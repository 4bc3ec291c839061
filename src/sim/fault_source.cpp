#include "fault_source.hpp"

#include <cassert>

namespace wisp::inline v0::sim {

void FaultSource::set(const Faults& faults) {
  for ([[maybe_unused]] const int chance :
       {faults.slow, faults.throws, faults.hangs, faults.ignores, faults.late, faults.full,
        faults.wall_jumps})
    assert(chance >= 0 && chance <= 1000);
  for ([[maybe_unused]] const Duration most :
       {faults.slow_max, faults.hang_max, faults.ignore_max, faults.late_max, faults.wall_jump_max})
    assert(most > Duration());
  faults_ = faults;
}

Strike FaultSource::handler() {
  Strike strike;
  strike.hangs = strikes(faults_.hangs);
  strike.hang_max = faults_.hang_max;
  if (strikes(faults_.ignores)) strike.before = up_to(faults_.ignore_max);
  if (strikes(faults_.slow)) {
    const Duration work = up_to(faults_.slow_max);
    (strikes(500) ? strike.before : strike.after) += work;
  }
  if (strikes(faults_.throws)) (strikes(500) ? strike.throws_before : strike.throws_after) = true;
  return strike;
}

std::optional<Duration> FaultSource::wall() {
  if (!strikes(faults_.wall_jumps)) return std::nullopt;
  const auto most = faults_.wall_jump_max.count();
  return Duration(uniform(random_, -most, most));
}

}  // namespace wisp::inline v0::sim
