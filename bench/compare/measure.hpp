// What every contender of bench/compare shares: clocks, the countdown that proves the work was
// done, and the one JSON line that it prints.
//
// Threads: see each.
#pragma once

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace compare {

inline double seconds_of(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}
inline double wall_ns() { return seconds_of(CLOCK_MONOTONIC); }
inline double cpu_ns() { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }

// A contender that did not do the work has no result: the process fails, the driver says so.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

template <class T>
void keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

// From here on the compiler has to believe that others read and write what `address` leads to:
// otherwise it sees through a floor's std::function, and the floor is free.
inline void escape(const void* address) { asm volatile("" : : "g"(address) : "memory"); }

// Per operation, but for wakeups and bytes, which say so.
using Outcome = std::map<std::string, double>;

struct Options {
  bool quick = false;
  int pick(int full, int fewer) const { return quick ? fewer : full; }
};

class Stopwatch {
 public:
  Outcome per(double operations) const {
    return {{"ns", (wall_ns() - wall_) / operations}, {"cpu_ns", (cpu_ns() - cpu_) / operations}};
  }

 private:
  double wall_ = wall_ns();
  double cpu_ = cpu_ns();
};

// Adds p50 and p99 of what single operations took; ns is then the median.
inline void add_percentiles(Outcome& outcome, std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  outcome["p50"] = samples[samples.size() / 2];
  outcome["p99"] = samples[samples.size() * 99 / 100];
  outcome["ns"] = outcome["p50"];
}

// Counts executions and tells the one that waits about the last. Threads: any.
class Countdown {
 public:
  explicit Countdown(int count) : left_(count) {}
  // Release here, acquire in wait(). One past the last would be work done twice: it fails there.
  void one() {
    if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) left_.notify_all();
  }
  void wait() const {
    for (int left = left_.load(); left > 0; left = left_.load()) left_.wait(left);
  }
  void check() const { require(left_.load() == 0, "the work was not done exactly once"); }

 private:
  std::atomic<int> left_;
};

using Workloads = std::map<std::string, std::function<Outcome(const Options&)>>;

// `program WORKLOAD [--quick]`. Prints one JSON object; 3 if it has no such workload.
inline int run(const Workloads& workloads, int argc, char** argv) {
  const auto found = argc < 2 ? workloads.end() : workloads.find(argv[1]);
  if (found == workloads.end()) {
    for (const auto& [name, unused] : workloads) std::fprintf(stderr, "%s\n", name.c_str());
    return 3;
  }
  const Outcome outcome = found->second({argc > 2 && std::string_view(argv[2]) == "--quick"});
  const char* separator = "{";
  for (const auto& [name, value] : outcome) {
    std::printf("%s\"%s\": %.6g", separator, name.c_str(), value);
    separator = ", ";
  }
  std::printf("}\n");
  std::fflush(stdout);
  // Skips destructors: how a contender shuts down is no row.
  std::_Exit(0);
}

}  // namespace compare
