// What happened in a world: the last lines, and a hash of everything.
//
// Threads: one-at-a-time, under the scheduler's mutex.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include <wisp/base/clock.hpp>
#include <wisp/sim/world.hpp>

namespace wisp::inline v0::sim {

// The steady line's, so that what is subtracted from it is still a time.
inline constexpr Time kStart{Duration{std::chrono::hours(1)}};

// Since the world began: "30d 07:05:00.250".
std::string moment(Time time);

class EventLog {
 public:
  explicit EventLog(int lines_max) : lines_max_(static_cast<std::size_t>(lines_max)) {}

  // Who goes on is hashed only.
  void choice(Time now, std::uint64_t chosen);
  // By the thread of that number; -1: none of the world's.
  void line(Time now, int thread, std::string text);

  std::uint64_t hash() const { return hash_; }
  Log read() const;

 private:
  struct Line {
    Time time;
    int thread;
    std::string text;
  };
  void mix(std::uint64_t word);

  const std::size_t lines_max_;
  std::deque<Line> lines_;  // at most lines_max_
  std::uint64_t forgotten_ = 0;
  std::uint64_t hash_ = 0;
};

}  // namespace wisp::inline v0::sim
