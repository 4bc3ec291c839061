#include "fault_source.hpp"

#include <string_view>
#include <utility>

namespace wisp::inline v0::sim {

Status check(const Faults& faults) {
  const std::pair<std::string_view, int> chances[] = {{"slow", faults.slow},
                                                      {"throws", faults.throws},
                                                      {"hangs", faults.hangs},
                                                      {"ignores", faults.ignores},
                                                      {"late", faults.late},
                                                      {"full", faults.full},
                                                      {"wall_jumps", faults.wall_jumps}};
  for (const auto& [name, chance] : chances) {
    if (chance < 0 || chance > 1000)
      return invalid_argument("Faults::{} is {}, it must be 0 to 1000", name, chance);
  }
  const std::pair<std::string_view, Duration> bounds[] = {{"slow_max", faults.slow_max},
                                                          {"hang_max", faults.hang_max},
                                                          {"ignore_max", faults.ignore_max},
                                                          {"late_max", faults.late_max},
                                                          {"wall_jump_max", faults.wall_jump_max}};
  for (const auto& [name, most] : bounds) {
    if (most <= Duration::zero())
      return invalid_argument("Faults::{} is {} ns, it must be 1 ns or more", name, most.count());
  }
  return Status();
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
