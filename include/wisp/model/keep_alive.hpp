// How long an instance that nobody uses is kept, and when one is built before it is asked for: pure
// functions of how long it was idle before.
//
//   keep_alive::IdleTimes seen;
//   seen.add(30min);
//   seen.add(30min);
//   keep_alive::Predictive{}.next(seen, 0s);     // kept for the first 30 s; then freed ...
//   keep_alive::Predictive{}.next(seen, 30s);    // ... until 29 min 30 s, and kept for a minute
//
// Equal inputs give equal answers, so a test, a simulation or a replayed trace can ask what a
// runtime would have done.
//
// Threads: value.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include <wisp/base/clock.hpp>

namespace wisp::inline v0::keep_alive {

// How long something was idle before it was used again: a histogram, in bins of a minute, each
// around a whole number of them, as most periods are one. Times of less than a half are left out:
// nobody frees anything for so long, and a busy function has too many. Its memory does not grow.
class IdleTimes {
 public:
  static constexpr Duration kBin = std::chrono::minutes(1);
  static constexpr int kBins = 241;  // beyond four hours one is only counted

  // Where `idle` lies; kBins if it is longer than all. Negative counts as 0.
  static int bin(Duration idle);

  void add(Duration idle);

  // How many there were, older ones by half of their number whenever a count would overflow.
  std::int64_t count() const { return count_; }
  // Those in a bin of [0, kBins); none in the first.
  int in_bin(int bin) const { return ended_[static_cast<std::size_t>(bin)]; }

 private:
  std::array<std::uint16_t, kBins> ended_{};
  std::int64_t count_ = 0;
};

// Since its last use: kept, or built for, from `from` until `until`.
struct Span {
  Duration from{};
  Duration until{};
};

// As long each time.
struct Fixed {
  Duration keep = std::chrono::minutes(10);

  // The span that `idle` lies in, or the next one; none if it is freed for good. Requires: idle >=
  // 0.
  std::optional<Span> next(const IdleTimes& seen, Duration idle) const;
};

// Kept in those minutes in which a use is likely enough, given that none came before: that many of
// the idle times which lasted until then ended in it. So an instance whose uses come every half an
// hour is freed for 29 minutes of them, and there again a half before the next. It is not freed for
// a shorter time than `keep`, and kept for `keep` each time until `known` idle times have been
// seen. The first half of a minute is always likely enough.
//
// The histogram is that of Shahrad et al., "Serverless in the Wild" (USENIX ATC 2020), which keeps
// one span, from its 5th to its 99th percentile. This rule spends the same minutes better, as
// examples/replay_trace shows on the trace of that paper: bench/README.md.
struct Predictive {
  Duration keep = std::chrono::minutes(10);
  int known = 2;
  // What a minute of an instance costs beside a cold start.
  double chance = 0.015;

  // As Fixed::next(). 241 additions at most.
  std::optional<Span> next(const IdleTimes& seen, Duration idle) const;
};

}  // namespace wisp::inline v0::keep_alive
