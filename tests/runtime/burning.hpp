// Handlers that use CPU, and what it was by the thread's own clock.
//
//   Truth truth;
//   const auto work = wisp::function("work", [&](int us) { burn(us * 1000, truth); });
//   ...
//   in_a_quiet_moment([&](Verdict& verdict) {
//     ...
//     verdict.check(pays_for(line_of(runtime.bill(1h), "work").cpu, truth), "work");
//   });
//
// Threads: any.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

#include <wisp/engine/meter.hpp>

#include "catch.hpp"
#include "sanitized.hpp"

namespace wisp::test {

inline constexpr double kTolerance = kSanitized ? 0.25 : 0.05;

// What lies between the meter's reading and the handler's own is billed as well, call by call: a
// few instructions, unless a sanitizer works there (5 us on a slow machine) or nothing was
// optimised away (1 us).
inline constexpr std::int64_t kBetweenReadingsNs = kSanitized ? 10'000 : kOptimised ? 0 : 3'000;

inline std::int64_t cpu_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

inline std::int64_t thread_cpu_ns() { return cpu_ns(CLOCK_THREAD_CPUTIME_ID); }

// CPU that handlers used, by the thread's own clock: the truth that a bill is held to.
struct Truth {
  std::atomic<std::int64_t> ns{0};
  std::atomic<std::int64_t> least_ns{0};  // surely: what lies between two readings
  std::atomic<std::int64_t> calls{0};
};

inline void burn(std::int64_t ns, Truth& truth) {
  const std::int64_t start = thread_cpu_ns();
  std::int64_t now = start;
  std::int64_t readings = 0;
  while (now - start < ns) {
    now = thread_cpu_ns();
    ++readings;
  }
  // From the first reading to the last is one reading short of what was used: the first one's
  // beginning and the last one's end are the handler's as well, and 0.4 us, or 1 us on a day when
  // the machine reads its clock slowly, is 5 % of a short call. All that was done was readings.
  truth.ns += now - start + (now - start) / std::max<std::int64_t>(readings, 1);
  truth.least_ns += now - start;
  ++truth.calls;
}

inline const BillLine& line_of(const Bill& bill, std::string_view function) {
  for (const BillLine& each : bill.lines)
    if (each.function == function) return each;
  FAIL("no line for " << function);
  return bill.lines.front();
}

// What one round of a measurement found.
class Verdict {
 public:
  void check(bool holds, const std::string& figures) {
    if (!holds) faults_ += figures + "; ";
  }
  const std::string& faults() const { return faults_; }

 private:
  std::string faults_;
};

// Figures within a few percent need a machine that does nothing else for a moment: a neighbour that
// preempts a reading shows in it. A meter that is wrong is wrong in each of five rounds. What holds
// beside a neighbour too is checked in each round, by CHECK.
template <class Round>
void in_a_quiet_moment(Round round) {
  std::string faults;
  for (int i = 0; i < 5; ++i) {
    Verdict verdict;
    round(verdict);
    if (verdict.faults().empty()) return;
    faults += "\n" + verdict.faults();
  }
  FAIL_CHECK("in each round:" << faults);
}

inline bool within(double value, double expected, double share) {
  return value >= expected * (1 - share) && value <= expected * (1 + share);
}

// Whether `billed` is what the handlers used, within `share` of it and what each call adds.
inline bool pays_for(std::chrono::nanoseconds billed, const Truth& truth,
                     double share = kTolerance) {
  const auto used = static_cast<double>(truth.ns);
  const auto paid = static_cast<double>(billed.count());
  return paid >= used * (1 - share) &&
         paid <= used * (1 + share) + static_cast<double>(truth.calls * kBetweenReadingsNs);
}

}  // namespace wisp::test
