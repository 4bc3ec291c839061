// What the gateway shows: a live table or plain lines while it runs, a summary or JSON at the end.
//
// Threads: one-at-a-time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/wisp.hpp>

#include "gateway.hpp"

namespace gateway {

// One look at the runtime while it ran.
struct Moment {
  double seconds = 0;  // since the start
  int workers = 0;
  std::uint64_t emitted = 0;
};

// All that there is to tell at the end.
struct Outcome {
  wisp::RuntimeStats stats;
  int workers_at_end = 0;
  std::vector<wisp::Bill> bills;     // under different tariffs; the usage is the same
  std::vector<std::string> sources;  // of each bill's prices
  std::vector<Moment> moments;
  std::int64_t process_cpu_ns = 0;
  std::uint64_t emitted = 0;
  std::uint64_t refused = 0;
  std::optional<double> burst_rate;  // events per second that the burst reached, if there was one
  Counts counts;
};

// The table of a terminal, each time in place of the last one.
class LiveTable {
 public:
  std::string draw(double share_done, std::string_view phase, double rate, const Report& report);

 private:
  int lines_ = 0;  // of the table that stands there
};

// One line of what the table would show.
std::string plain_line(double seconds, std::string_view phase, double rate, const Report& report);

std::string summary(const Outcome& outcome);
std::string json(const Outcome& outcome);

// Writes to the standard output; false if that fails.
[[nodiscard]] bool put(std::string_view text);

}  // namespace gateway
