// What happens to calls and deliveries, step by step.
//
//   auto watch = runtime.observe([](const wisp::Record& record) {
//     fmt::print("{} {}\n", record.id, wisp::to_string(record));
//   });
//   fmt::print("{}\n", runtime.explain(id));
//
// A delivery is accepted, then begun and ended once for each attempt, and comes to exactly one end:
// done, dead, expired, cancelled or dropped. A call is the same, but that its other ends are failed
// and cancelled. What is refused was never accepted.
//
// Threads: value.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>
#include <wisp/base/id.hpp>
#include <wisp/base/status.hpp>
#include <wisp/engine/meter.hpp>
#include <wisp/model/event.hpp>

namespace wisp::inline v0 {

enum class Step : std::uint8_t {
  accepted,
  refused,    // without an id, but for an event that was a hop too far, which is a dead letter then
  began,      // an attempt enters the handler
  ended,      // and has left it
  retrying,   // the attempt failed, another one is due
  late,       // the handler has not come back by its deadline; see Runtime::stats
  done,       // well
  failed,     // a call, with its last attempt's error
  dead,       // a delivery: out of attempts, not to be mended, or of a wrong type
  expired,    // older than kAgeMax
  cancelled,  // by its caller, or its subscription, schedule or runtime ended first
  dropped,    // by a full queue
  changed,    // a setting, while the runtime runs: `topic` says which, from what to what
};

std::string_view to_string(Step step);

// One step. What it refers to is valid while the sink runs.
struct Record {
  Step step = Step::accepted;
  Time at;
  EventId id{};                      // of a direct call: the event whose handler makes it, or empty
  std::string_view function;         // "" where there is none: an event refused at its publish
  std::string_view topic;            // "" for calls and posts
  int attempt = 0;                   // of began, ended and retrying; else how many there were
  Outcome outcome = Outcome::ok;     // of ended
  Duration wall{};                   // of ended
  Time due;                          // of retrying
  Status error;                      // of the last attempt, or why it was refused
  const Lineage* lineage = nullptr;  // null where nothing is known of it
};

// In words, without the id and the time: "attempt 2 in 'charge' failed, the next is due in 1.200 s:
// …".
std::string to_string(const Record& record);

// Runs on the thread where the step happens, with no wisp lock held, before what follows from the
// step. Must not throw, and should be quick: the call waits for it. It may call the runtime.
using RecordSink = std::function<void(const Record&)>;

namespace detail {
class Invoker;
struct Observer;
}  // namespace detail

// An observer in place; its end takes it away, and waits until no other thread is inside of the
// sink. May outlive the Runtime.
//
// Threads: one-at-a-time.
class [[nodiscard]] Observation {
 public:
  explicit Observation(Status why) : status_(std::move(why)) {}
  Observation(std::weak_ptr<detail::Invoker> invoker, std::shared_ptr<detail::Observer> observer);
  Observation(Observation&&) noexcept = default;
  Observation& operator=(Observation&& other) noexcept;
  ~Observation() { end(); }

  // Why the sink will be told nothing: there are as many observers as may be, or the runtime has
  // gone; ok for one in place.
  const Status& status() const { return status_; }

  void end();

 private:
  Status status_;
  std::weak_ptr<detail::Invoker> invoker_;
  std::shared_ptr<detail::Observer> observer_;
};

}  // namespace wisp::inline v0
