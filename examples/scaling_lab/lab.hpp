// A pool of workers in virtual time, a millisecond a step, whose policy is all that differs.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <wisp/engine/scaling.hpp>

namespace lab {

// Calls that compute share the cores; those that block need none.
inline constexpr int kCores = 2;
inline constexpr int kWorkersMax = 64;

struct Work {
  std::string name;
  wisp::Duration run{};    // of each call
  bool blocks = false;     // or computes
  wisp::Duration start{};  // what a new worker takes until its first call
  double peak = 1;         // workers that the highest load keeps busy, on average
};

struct Load {
  std::string name;
  int seconds = 0;
  std::function<double(double second)> level;  // 0 to 1, of the peak
};

// Who asks the policy, and when.
enum class Pool {
  // At each arrival and end, and each millisecond; an idle worker goes after its keep-alive.
  wisp,
  // In each step; workers come and go as it says, busy ones after their call.
  knative,
};

struct Contender {
  std::string name;
  Pool pool = Pool::wisp;
  std::function<wisp::scaling::Policy()> policy;  // a new one for each run
};

struct Second {
  double demand = 0;    // calls in the system, on average
  double capacity = 0;  // workers, those that start included
};

struct Result {
  std::uint64_t calls = 0;
  // From a call's arrival to its end, less what it takes by itself: a call that begins at once on a
  // core that others share has waited too.
  double wait_p50_ms = 0;
  double wait_p99_ms = 0;
  double over_provision = 0;  // worker-seconds beyond the calls in the system
  double to_capacity_s = -1;  // since the load was at its peak, until workers were; -1: never
  double changes = 0;         // workers that began or went, a minute
  int workers_most = 0;
  int workers_last = 0;  // two minutes after the load
  std::vector<Second> seconds;
};

// Calls arrive at random, the same ones for equal seeds, and the load begins at some moment of the
// first two seconds. Two minutes of silence follow it.
Result run(const Load& load, const Work& work, const Contender& contender, std::uint64_t seed);

}  // namespace lab
