// The trace through a Runtime, in virtual time: each of its functions is one of the runtime's, with
// instances, called as often in each minute as the trace says, at random moments of it, for times
// drawn from its percentiles.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <wisp/wisp.hpp>

#include "trace.hpp"

namespace replay {

struct DayOptions {
  std::uint64_t seed = 1;
  // Functions with more calls are left out.
  std::uint64_t calls_max = std::numeric_limits<std::uint64_t>::max();
  wisp::Instances instances{};
  bool samples = false;  // fills Day::samples
};

// Of kSample minutes.
struct Sample {
  int in_flight = 0;  // the most calls at once
  int instances = 0;  // the most alive at once
  wisp::Money spent;  // since the day began, by spent_by()
};

inline constexpr int kSample = 10;
inline wisp::Tariff spent_by() { return wisp::tariffs::aws_lambda_x86(); }

struct Day {
  std::uint64_t functions = 0;  // that were not left out
  // Those that were as they have more calls in flight by themselves than a runtime has workers.
  std::vector<std::string> too_many;
  std::uint64_t calls = 0;  // of those
  std::uint64_t cold = 0;
  std::uint64_t ahead = 0;    // instances built ahead of their calls
  int workers_most = 0;       // calls in flight at once
  int instances_most = 0;     // alive at once
  double instance_hours = 0;  // alive, in use or not
  wisp::Histogram::Snapshot wait;
  std::vector<std::pair<std::string, wisp::Money>> bills;  // by the name of the tariff
  std::vector<Sample> samples;
};

// An error if a call is refused or does not come to its end.
wisp::Result<Day> replay_day(const Trace& trace, const DayOptions& options);

}  // namespace replay
