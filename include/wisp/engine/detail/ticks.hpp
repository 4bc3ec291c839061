// The meter's stopwatch: the processor's cycle counter beside a real clock, the injected clock
// otherwise.
//
// The counter is used only where it is invariant (CPUID 8000_0007h EDX[8]; on AArch64 always).
// AArch64 tells its frequency. Elsewhere it is calibrated once a process against the steady clock
// over about 200 µs, the best of several brackets, which leaves an error of about 1e-4. Without one
// the steady clock serves, at some 20 ns a reading.
//
// Threads: any.
#pragma once

#include <cstdint>

#include <wisp/base/clock.hpp>

namespace wisp::inline v0::detail {

// Nanoseconds per tick of the cycle counter; 0 where it cannot be used.
double cycle_counter_period();

inline std::uint64_t cycle_counter() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();  // <x86intrin.h> has a name for it, and much else
#elif defined(__aarch64__)
  std::uint64_t value;
  asm volatile("mrs %0, cntvct_el0" : "=r"(value));
  return value;
#else
  return 0;
#endif
}

class Ticks {
 public:
  explicit Ticks(const Clock& clock)
      : clock_(clock), period_(clock.real() ? cycle_counter_period() : 0), cycles_(period_ != 0) {}

  std::uint64_t now() const {
    return cycles_ ? cycle_counter()
                   : static_cast<std::uint64_t>(clock_.now().since_origin().count());
  }

  // Whether now() counts cycles; else nanoseconds of the clock.
  bool cycles() const { return cycles_; }
  // What has taken time has taken at least so many nanoseconds, also between two ticks.
  std::uint64_t least_ns() const { return cycles_ ? 1 : 0; }

  // By way of signed integers, which a processor converts in one instruction. Requires, of cycles:
  // ticks < 2^63.
  std::uint64_t to_ns(std::uint64_t ticks) const {
    if (!cycles_) return ticks;
    const auto cycles = static_cast<double>(static_cast<std::int64_t>(ticks));
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(cycles * period_));
  }
  std::uint64_t from_ns(std::uint64_t ns) const {
    return cycles_ ? static_cast<std::uint64_t>(static_cast<double>(ns) / period_) : ns;
  }

  // Lets some 2 us pass; none where no cycles are counted. For who has caught up with others that
  // go on producing: each look takes from them the cache lines that they write, so that they fall
  // behind further, and the next look finds still less. Left alone they get ahead.
  void stand_back() const;

 private:
  const Clock& clock_;
  const double period_;
  const bool cycles_;
};

}  // namespace wisp::inline v0::detail
