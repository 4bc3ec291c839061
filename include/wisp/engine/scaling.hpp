// How many workers a pool should have: a pure function of what the pool has seen.
//
//   scaling::TargetWait policy{.wait_target = 200us, .cores = 2};
//   int workers = policy.decide({.queued = 40, .oldest_wait = 3ms, .running = 2, .blocked = 2},
//                               {.min = 0, .max = 64});    // 4: two sleep, two more may run
//
// A policy holds no clock, lock or thread. The pool samples, the policy answers, and equal inputs
// give equal answers, so that a test or the simulator can replay any decision that a pool ever
// took.
//
// Threads: value.
#pragma once

#include <concepts>
#include <cstddef>
#include <new>
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
// Workers asleep in the kernel come on top; of runnable ones there is one for each core, so that
// blocked handlers make a pool grow beyond the cores and CPU-bound ones do not. One more where a
// call has waited for four times a run, 50 targets at least and 250 ms at most: it is behind longer
// ones, and may share a core with them. Of those that start as many are taken to block as of those
// that run, at most one for each that does: else a sleeper would let a burst of computing calls
// start them all. While nobody computes, as many more may start for each 100 ms that the oldest
// call has waited: workers that are slow to start would come a few at a time.
//
// A pool that has more is told so, and lets the surplus rest. Only bounds.min stands above this
// rule. Source: Little (1961); counting those that start answers knative/serving#13284; the figures
// are what examples/scaling_lab found, see bench/README.md.
struct TargetWait {
  Duration wait_target = std::chrono::microseconds{200};
  int cores = 0;  // 0: the sample's

  // Requires: bounds.min <= bounds.max. Returns a count within the bounds.
  int decide(const Sample& sample, Bounds bounds) const;
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
