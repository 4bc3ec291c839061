#include <wisp/engine/detail/ticks.hpp>

#include <wisp/base/mutex.hpp>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace wisp::inline v0::detail {
namespace {

std::int64_t steady_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / Duration(1);
}

bool invariant() {
#if defined(__x86_64__)
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & (1U << 8)) != 0;
#elif defined(__aarch64__)
  return true;
#else
  return false;
#endif
}

struct Bracket {
  std::uint64_t cycles;
  std::int64_t ns;
};

// The tightest of some pairs, so that a preemption between its two readings does not count.
Bracket bracket() {
  Bracket best{};
  std::uint64_t width = UINT64_MAX;
  for (int i = 0; i < 8; ++i) {
    const std::uint64_t before = cycle_counter();
    const std::int64_t ns = steady_ns();
    const std::uint64_t after = cycle_counter();
    if (after - before < width) {
      width = after - before;
      best = {before + width / 2, ns};
    }
  }
  return best;
}

// In ticks a second, where the processor tells; else 0.
std::uint64_t told_frequency() {
  std::uint64_t frequency = 0;
#if defined(__aarch64__)
  asm("mrs %0, cntfrq_el0" : "=r"(frequency));
#endif
  return frequency;
}

double calibrate() {
  constexpr std::int64_t kSpanNs = 200'000;
  if (!invariant()) return 0;
  if (const std::uint64_t told = told_frequency(); told != 0)
    return 1e9 / static_cast<double>(told);
  const Bracket first = bracket();
  while (steady_ns() - first.ns < kSpanNs) {
  }
  const Bracket last = bracket();
  if (last.cycles <= first.cycles) return 0;
  return static_cast<double>(last.ns - first.ns) / static_cast<double>(last.cycles - first.cycles);
}

}  // namespace

double cycle_counter_period() {
  static const double period = calibrate();
  return period;
}

void Ticks::stand_back() const {
  constexpr std::uint64_t kStandBackNs = 2'000;
  if (!cycles_) return;
  const std::uint64_t began = now();
  const std::uint64_t most = from_ns(kStandBackNs);
  // Unsigned: over at once if the counter went back.
  while (now() - began < most) relax();
}

}  // namespace wisp::inline v0::detail
