// How many deliveries there were, and what became of them.
//
//   const wisp::EventStats events = runtime.stats().events;
//   fmt::print("{} of {} done\n", events.done, events.accepted);
//
// Threads: value.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include <wisp/base/id.hpp>

namespace wisp::inline v0 {

// Counts of deliveries since the Runtime began. accepted = done + dead + expired + cancelled +
// those still on their way.
struct EventStats {
  std::uint64_t accepted = 0;
  std::uint64_t done = 0;
  std::uint64_t dead = 0;       // out of attempts, not to be mended, of a wrong type, or dropped
  std::uint64_t expired = 0;    // older than kAgeMax
  std::uint64_t cancelled = 0;  // their subscription, schedule or runtime ended first
  std::uint64_t unmatched = 0;  // emits that no subscription matched
  std::uint64_t dropped = 0;    // of the dead: by a full queue, in all
  std::uint64_t refused = 0;    // never accepted
  std::uint64_t skipped = 0;    // firings of a schedule whose last one was still running
  // Of the dropped, by what the queue does when full; see Overflow.
  std::uint64_t dropped_oldest = 0;
  std::uint64_t dropped_newest = 0;
  std::uint64_t coalesced = 0;
  // Posts and emits of an idempotency key that was remembered: none of the above.
  std::uint64_t duplicates = 0;
  // Firings of schedules that came too late and were not made up for; see Firing. Those of a cron
  // expression are counted up to kMakeUpMax at once.
  std::uint64_t missed = 0;
};

// What stop() could not finish.
struct Abandoned {
  std::string function;
  EventId event{};  // empty for a call
  // "queued", "running", "building an instance" or "destroying an instance".
  std::string_view state{};
};

namespace detail {

struct Counters {
  std::atomic<std::uint64_t> accepted{0}, done{0}, dead{0}, expired{0}, cancelled{0};
  std::atomic<std::uint64_t> unmatched{0}, refused{0}, skipped{0}, missed{0}, duplicates{0};
  std::atomic<std::uint64_t> dropped_oldest{0}, dropped_newest{0}, coalesced{0};
  std::atomic<std::uint64_t> shed{0};  // started calls
};
inline void count(std::atomic<std::uint64_t>& counter, std::uint64_t times = 1) {
  counter.fetch_add(times, std::memory_order_relaxed);
}

}  // namespace detail
}  // namespace wisp::inline v0
