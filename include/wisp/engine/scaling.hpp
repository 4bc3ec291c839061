// How many workers a pool should have: a pure function of what the pool has seen.
//
//   scaling::TargetWait policy{.wait_target = 200us, .cores = 2};
//   int workers = policy.decide({.queued = 40, .oldest_wait = 3ms, .running = 2, .blocked = 2},
//                               {.min = 0, .max = 64});    // 5: two sleep, three more may run
//
// A policy holds no clock, lock or thread. The pool samples, the policy answers, and equal inputs
// give equal answers, so that a test or the simulator can replay any decision that a pool ever
// took.
//
// Threads: value.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <type_traits>

#include <wisp/base/clock.hpp>

namespace wisp::inline v0::scaling {

// What a pool sees. Counts are workers or calls, never negative. A worker that waits for another
// call of wisp has told the pool so; it is in no count here, and outside the bounds.
struct Sample {
  int queued = 0;          // accepted and not yet running
  Duration oldest_wait{};  // age of the oldest queued call
  int running = 0;         // workers inside a handler, blocked ones included
  int blocked = 0;         // of those, asleep in the kernel at both ends; a preempted one is not
  int starting = 0;        // woken or created, and not yet at their first call
  int cores = 1;           // that the process may use
  Duration mean_run{};     // that a call lately held its worker, asleep or not; 0: unknown
  int idle = 0;            // workers that wait for a call
  Time now{};              // on the pool's clock
};

struct Bounds {
  int min = 0;
  int max = 0;
};

// The same number whatever happens. The pool still starts a worker only when there is a call for
// it.
struct Fixed {
  int workers = 1;

  // Requires: bounds.min <= bounds.max. Returns a count within the bounds.
  int decide(const Sample& sample, Bounds bounds) const;
};

// Wants every queued call begun within `wait_target`. By Little's law a runnable worker begins
// target / mean run time calls in that time; those that start take one more each, and are counted,
// or every burst would overshoot. What these leave asks for workers. Once the oldest call has
// waited longer than the target, or while no run time is known, busy workers are trusted with
// nothing.
//
// Workers asleep in the kernel come on top; runnable ones never exceed cores + 1, so that blocked
// handlers make a pool grow beyond the cores and CPU-bound ones do not. Of those that start as many
// will block as of those that run: else workers that are slow to start would come three at a time.
// A pool that has more is told so, and lets the surplus rest. Only bounds.min stands above this
// rule. Source: Little (1961); counting those that start answers knative/serving#13284.
struct TargetWait {
  Duration wait_target = std::chrono::microseconds{200};
  int cores = 0;  // 0: the sample's

  // Requires: bounds.min <= bounds.max. Returns a count within the bounds.
  int decide(const Sample& sample, Bounds bounds) const;
};

// Knative's pod autoscaler, for comparison and for hosts that know its ways. Unlike the others it
// remembers: the mean number of calls in the system, queued or running, in the last 60 s and 6 s.
// Every 2 s it wants the longer mean over 0.7 of a worker for each call; while the shorter one asks
// for twice as many as there are or more, it panics: it follows the shorter one, and only upward,
// until 60 s after the last time. It moves to no less than half of the workers there are, and to
// none after 60 s without a call and 30 s of grace. Calls that wait for no tick of it, wait.
//
//   scaling::Kpa kpa;                                  // outlives the Runtime
//   wisp::Runtime runtime{functions, {.workers = {.policy = scaling::Kpa::Ref{&kpa}}}};
//
// Source: Knative Serving, "About autoscaling" and pkg/autoscaler/scaling/autoscaler.go (v1.12),
// stable window 60 s, panic window 10 % of it, panic threshold 200 %, target utilisation 70 %.
// Threads: one-at-a-time; a pool's own lock will do.
class Kpa {
 public:
  static constexpr Duration kTick = std::chrono::seconds(2);
  static constexpr Duration kStable = std::chrono::seconds(60);
  static constexpr Duration kPanic = std::chrono::seconds(6);
  static constexpr Duration kGrace = std::chrono::seconds(30);
  static constexpr double kTarget = 0.7;
  static constexpr double kRateMax = 1000;

  // Requires: bounds.min <= bounds.max, and a time no earlier than the last one's. Between two
  // ticks the same answer again. Returns a count within the bounds.
  int decide(const Sample& sample, Bounds bounds);

  struct Ref {
    Kpa* kpa;
    int decide(const Sample& sample, Bounds bounds) const { return kpa->decide(sample, bounds); }
  };

 private:
  // What the pool held in each of the last seconds: calls × ns.
  void account(Time now);
  double mean(Duration window, Time now) const;

  std::array<double, 61> seconds_{};
  std::int64_t second_ = -1;  // that of last_, since the epoch of the clock
  std::optional<Time> first_;
  Time last_{};
  int held_ = 0;  // calls in the system since last_
  Time due_{};
  int want_ = 0;
  std::optional<Time> panics_since_;  // the last excess
  int panic_want_ = 0;
  std::optional<Time> idle_since_;
};

class Policy;

template <class T>
concept Decider = !std::same_as<T, Policy> && std::copy_constructible<T> &&
                  requires(const T& decider, const Sample& sample, Bounds bounds) {
                    { decider.decide(sample, bounds) } -> std::same_as<int>;
                  };

// Any of the above, or a host's own, as a value. A host's decide() runs under the pool's lock: it
// answers at once and calls nothing of wisp. The pool clamps what it says to the bounds.
class Policy {
 public:
  Policy() : Policy(TargetWait{}) {}

  // At most 32 bytes, copied like memory; a larger decider points to what it needs.
  template <Decider T>
  Policy(T decider) : decide_(&decide_with<T>) {  // NOLINT(google-explicit-constructor)
    static_assert(sizeof(T) <= kSize && std::is_trivially_copyable_v<T>,
                  "wisp: a scaling policy is at most 32 bytes and trivially copyable: let it point "
                  "to larger state");
    ::new (object_) T(decider);
  }

  int decide(const Sample& sample, Bounds bounds) const { return decide_(object_, sample, bounds); }

 private:
  template <class T>
  static int decide_with(const void* object, const Sample& sample, Bounds bounds) {
    return std::launder(static_cast<const T*>(object))->decide(sample, bounds);
  }

  static constexpr std::size_t kSize = 32;
  alignas(std::max_align_t) std::byte object_[kSize]{};
  int (*decide_)(const void* object, const Sample& sample, Bounds bounds);
};

// How long a pool's supervisor waits until it samples again.
struct Pace {
  // Right after growth, which two samples have to confirm before more may follow, and while every
  // worker sleeps: then the processor is free.
  Duration fast = std::chrono::microseconds{50};
  // While some of them do.
  Duration steady = std::chrono::milliseconds{1};
  // Reached by doubling while none does, or none may be added.
  Duration slow = std::chrono::milliseconds{10};
  // Unless fast, it waits at least this many times as long as the last sample took.
  int rest = 20;
  // The same while no worker may be added: then it only looks for a surplus.
  int rest_at_max = 100;
  // But no longer than this: a sample that a busy machine held up costs less than it took.
  Duration rest_max = std::chrono::milliseconds{100};

  struct Seen {
    int running = 0;
    int asleep = 0;        // of those, at this end of the sample
    bool grew = false;     // after this sample or the one before
    bool may_grow = true;  // the pool is below its maximum
    Duration cost{};       // of taking the sample
  };
  // Requires: fast <= slow.
  Duration next(Duration last, const Seen& seen) const;
};

}  // namespace wisp::inline v0::scaling
