// A run from the first reading to the last worker: steady, burst, steady, quiet.
//
//   Run run{runtime, subscriptions, {.seconds = 10}};
//   run.go();
//   run.fill(outcome);
//
// Threads: one-at-a-time; interrupt() any, also a signal's handler.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <wisp/wisp.hpp>

#include "gateway.hpp"
#include "report.hpp"
#include "sensors.hpp"

namespace gateway {

struct RunOptions {
  int seconds = 10;
  bool silent = false;  // prints nothing
};

// Ends every run early, but in order.
void interrupt();

class Run {
 public:
  // Both outlive the run.
  Run(wisp::Runtime& runtime, const Subscriptions& subscriptions, const RunOptions& options);

  void go();
  void fill(Outcome& outcome);

 private:
  struct Phase;

  void go_through(const Phase& phase);
  void read_sensors(wisp::Time now);
  void burst(wisp::Time now);
  void emit_all();
  void look(wisp::Time now);
  void show(wisp::Time now, const wisp::RuntimeStats& stats);
  void settle();
  void wait(wisp::Time until);
  double rate() const;
  wisp::Duration share(double part) const;

  wisp::Runtime& runtime_;
  const Subscriptions& subscriptions_;
  const RunOptions options_;
  const bool terminal_;
  const wisp::Duration length_;
  wisp::Clock& clock_ = wisp::Clock::system();

  Sensors sensors_;
  LiveTable table_;
  std::string_view phase_, shown_;
  std::vector<Sample> samples_;  // the newest
  std::vector<Moment> moments_;
  wisp::Time start_, next_reading_, next_look_, next_draw_;
  std::uint64_t emitted_ = 0;
  std::uint64_t refused_ = 0;
  // The burst.
  wisp::Time allowed_at_;  // when `allowance_` was true
  double allowance_ = 0;   // events that may be emitted by then
  std::optional<double> burst_rate_;
};

}  // namespace gateway
