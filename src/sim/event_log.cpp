#include "event_log.hpp"

#include <chrono>
#include <utility>

#include <fmt/format.h>

#include <wisp/base/id.hpp>
#include <wisp/base/random.hpp>

namespace wisp::inline v0::sim {

std::string moment(Time time) {
  using std::chrono::days;
  const auto since = std::chrono::floor<std::chrono::milliseconds>(time - kStart);
  const auto whole = std::chrono::floor<days>(since);
  const std::chrono::hh_mm_ss clock(since - whole);
  return fmt::format("{}d {:02}:{:02}:{:02}.{:03}", whole.count(), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

// SplitMix64's mixing function, over the hash so far and the word.
void EventLog::mix(std::uint64_t word) { hash_ = SeededRandom(hash_ ^ word).next(); }

void EventLog::choice(Time now, std::uint64_t chosen) {
  mix(chosen);
  mix(static_cast<std::uint64_t>(now.since_origin().count()));
}

void EventLog::line(Time now, int thread, std::string text) {
  mix(stable_hash(text));
  choice(now, static_cast<std::uint64_t>(thread));
  lines_.push_back({now, thread, std::move(text)});
  if (lines_.size() <= lines_max_) return;
  lines_.pop_front();
  ++forgotten_;
}

Log EventLog::read() const {
  Log log{.lines = {}, .forgotten = forgotten_};
  log.lines.reserve(lines_.size());
  for (const Line& each : lines_) {
    const std::string who = each.thread == 0  ? "main"
                            : each.thread < 0 ? "outside"
                                              : fmt::format("thread {}", each.thread);
    log.lines.push_back(fmt::format("{} {}: {}", moment(each.time), who, each.text));
  }
  return log;
}

}  // namespace wisp::inline v0::sim
