// Where faults strike: the dice of a world.
//
// Threads: one-at-a-time, under the scheduler's mutex.
#pragma once

#include <optional>

#include <wisp/base/random.hpp>
#include <wisp/base/status.hpp>
#include <wisp/sim/faults.hpp>

namespace wisp::inline v0::sim {

// kInvalidArgument naming the member and its bound.
Status check(const Faults& faults);

// What one run of a handler meets with.
struct Strike {
  bool hangs = false;
  Duration hang_max{};
  Duration before{};
  Duration after{};
  bool throws_before = false;
  bool throws_after = false;

  bool nothing() const {
    return !hangs && before == Duration() && after == Duration() && !throws_before && !throws_after;
  }
};

class FaultSource {
 public:
  // Requires, before anything is drawn: check(faults).ok().
  FaultSource(std::uint64_t seed, const Faults& faults) : random_(seed), faults_(faults) {}

  // Requires: check(faults).ok().
  void set(const Faults& faults) { faults_ = faults; }

  Strike handler();
  // How much later a task begins; nothing if at once.
  std::optional<Duration> late() { return chance(faults_.late, faults_.late_max); }
  bool full() { return strikes(faults_.full); }
  // How wrong the wall clock is from now on; nothing if as before.
  std::optional<Duration> wall();

 private:
  // Draws nothing for a chance of 0.
  bool strikes(int per_mille) { return per_mille > 0 && uniform(random_, 0, 999) < per_mille; }
  Duration up_to(Duration most) { return Duration(uniform(random_, 1, most.count())); }
  std::optional<Duration> chance(int per_mille, Duration most) {
    if (!strikes(per_mille)) return std::nullopt;
    return up_to(most);
  }

  SeededRandom random_;
  Faults faults_;
};

}  // namespace wisp::inline v0::sim
