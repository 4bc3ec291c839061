// Whether what a function's calls cost is what they usually do.
//
//   CostBand band;
//   if (std::optional<Money> usual = band.look(cost, calls)) warn(*usual);   // each period
//
// Kept in logarithms, as a cost that doubles is as far off as one that halves: the smoothed mean of
// the periods' costs per call, and the smoothed distance from it. A period is outside of the band
// that is further from the mean than 4 such distances, and half as much again at least: what hardly
// ever differs is not alarming when it does a little. What is outside does not move the band; but
// when kSettle periods in a row were, what they cost is the usual, and is learnt anew.
//
// Source: the mean and its deviation as in Jacobson, "Congestion Avoidance and Control" (SIGCOMM
// 1988), with its gains of 1/8 and 1/4 and its factor of 4; but a deviation that shrinks does so by
// 1/16. Of what varies at random some values in a row are close together, and with one gain the
// next that is ordinary would be outside: 14 in 1,000 periods of log-normal costs, 0.1 with two.
//
// Threads: one-at-a-time.
#pragma once

#include <cstdint>
#include <optional>

#include <wisp/base/money.hpp>

namespace wisp::inline v0 {

class CostBand {
 public:
  // Periods without a judgement, at first.
  static constexpr int kLearn = 12;
  static constexpr int kSettle = 12;
  // Fewer calls, or what cost nothing, say nothing: such a period is passed over.
  static constexpr std::uint64_t kCallsMin = 20;

  // The calls of a period, and what they cost together. What a call usually costs, where this is
  // the first period outside of the band since one was inside.
  std::optional<Money> look(Money cost, std::uint64_t calls);

 private:
  void learn(double value);

  double mean_ = 0;
  double deviation_ = 0;
  int learnt_ = 0;   // periods, up to 16
  int outside_ = 0;  // periods in a row
};

}  // namespace wisp::inline v0
