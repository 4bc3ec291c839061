// Knative's pod autoscaler, for comparison with wisp's own policy: examples/scaling_lab.
//
//   scaling::Kpa kpa;
//   int workers = kpa.decide({.queued = 40, .running = 4, .now = clock.now()}, {.max = 64});
//
// Unlike other policies it remembers: the mean number of calls in the system, queued or running, in
// the last 60 s and 6 s. Every 2 s it wants the longer mean over 0.7 of a worker for each call;
// while the shorter one asks for twice as many as there are or more, it panics: it follows the
// shorter one, and only upward, until 60 s after the last time. It moves to no less than half of
// the workers there are, and to none after 60 s without a call and 30 s of grace.
//
// Its means are as good as its samples are dense: asked at each change, they are exact. A pool of
// wisp's asks its policy only while calls are queued, which is too seldom for it.
//
// Source: Knative Serving, "About autoscaling" and pkg/autoscaler/scaling/autoscaler.go: stable
// window 60 s, panic window 10 % of it, panic threshold 200 %, target utilisation 70 %.
//
// Threads: one-at-a-time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include <wisp/base/clock.hpp>
#include <wisp/engine/scaling.hpp>

namespace wisp::inline v0::scaling {

class Kpa {
 public:
  static constexpr Duration kTick = std::chrono::seconds(2);
  static constexpr Duration kStable = std::chrono::seconds(60);
  static constexpr Duration kPanic = std::chrono::seconds(6);
  static constexpr Duration kGrace = std::chrono::seconds(30);
  static constexpr double kTarget = 0.7;
  static constexpr double kRateMax = 1000;

  // Requires: bounds.min <= bounds.max. A time earlier than the last one counts as that one.
  // Between two ticks the same answer again. Returns a count within the bounds.
  int decide(const Sample& sample, Bounds bounds);

  struct Ref {
    Kpa* kpa;
    int decide(const Sample& sample, Bounds bounds) const { return kpa->decide(sample, bounds); }
  };

 private:
  void account(Time now);
  double mean(Duration window, Time now);
  // In a second since the clock's origin, of the last 61: calls × ns.
  double& held_in(std::int64_t second);

  std::array<double, 61> seconds_{};
  std::int64_t second_ = 0;    // that of last_
  std::optional<Time> first_;  // sample
  Time last_ = Time(Duration::min());
  int held_ = 0;  // calls in the system since last_
  Time due_ = Time(Duration::min());
  int want_ = 0;
  std::optional<Time> panics_since_;  // the last excess
  int panic_want_ = 0;
  std::optional<Time> held_at_;  // the last time that there was a call
};

}  // namespace wisp::inline v0::scaling
