// How a call of the client's waits for what another thread does: until then, its time is over, or
// it is told to stop.
//
//   const auto signal = std::make_shared<Signal>(wait.clock);
//   socket.async_wait(…, [signal](…) { signal->fire(); });
//   WISP_TRY(wait.until_fired(signal));
//
// Threads: a Signal any, a Wait value.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <stop_token>
#include <string_view>

#include <wisp/base/clock.hpp>
#include <wisp/base/park.hpp>
#include <wisp/base/status.hpp>

namespace wisp::inline v0::http {

// Shared by who waits and who fires, as either may be the last to look at it.
class Signal {
 public:
  // Requires: `clock` outlives this.
  explicit Signal(Clock& clock) : clock_(clock) {}

  void fire() {
    fired_.store(true);  // release; acquire in fired()
    wake();
  }
  void wake() { clock_.wake(parker_); }
  bool fired() const { return fired_.load(); }
  // Only the one thread that waits.
  void park(Time until) { clock_.park(parker_, until); }

 private:
  Clock& clock_;
  std::atomic<bool> fired_{false};
  Parker parker_;
};

struct Wait {
  Clock& clock;
  Time until;
  std::stop_token stop;
  std::string_view what;  // that is not in time: "no response"

  // The same with an end that may be earlier.
  Wait within(Duration time, std::string_view for_what) const {
    return {clock, std::min(until, clock.now() + time), stop, for_what};
  }

  // Whether to go on: kCancelled, kDeadlineExceeded.
  Status check() const {
    if (clock.now() >= until) return deadline_exceeded("{} in time", what);
    if (stop.stop_requested()) return cancelled("cancelled, with {} yet", what);
    return Status();
  }

  Status until_fired(const std::shared_ptr<Signal>& signal) const {
    const std::stop_callback wake(stop, [signal] { signal->wake(); });
    while (!signal->fired()) {
      WISP_TRY(check());
      signal->park(until);
    }
    return Status();
  }
};

}  // namespace wisp::inline v0::http
