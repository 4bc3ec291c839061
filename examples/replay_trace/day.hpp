// The trace through a Runtime, in virtual time: each of its functions is one of the runtime's, with
// instances, called as often in each minute as the trace says, at random moments of it, for times
// drawn from its percentiles.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <wisp/wisp.hpp>

#include "trace.hpp"

namespace replay {

struct DayOptions {
  std::uint64_t seed = 1;
  // Functions with more calls are left out: each call in flight takes a thread of the world's.
  std::uint64_t calls_max = 2'000;
  wisp::Instances instances{};
};

struct Day {
  std::uint64_t functions = 0;  // that were not left out
  std::uint64_t calls = 0;      // of those
  std::uint64_t cold = 0;
  std::uint64_t ahead = 0;    // instances built ahead of their calls
  int workers_most = 0;       // calls in flight at once
  int instances_most = 0;     // alive at once
  double instance_hours = 0;  // alive, in use or not
  wisp::Histogram::Snapshot wait;
  std::vector<std::pair<std::string, wisp::Money>> bills;  // by the name of the tariff
};

// An error if a call is refused or does not come to its end.
wisp::Result<Day> replay_day(const Trace& trace, const DayOptions& options);

}  // namespace replay
