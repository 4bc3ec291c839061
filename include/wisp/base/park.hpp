// The one place where a thread of wisp waits, and therefore the one place where a simulator
// switches.
//
//   wisp::Parker parker;                       // on the waiter's stack, published under a lock
//   bool woken = clock.park(parker, until);    // waiter
//   clock.wake(parker);                        // waker
//
// A Parker holds at most one wake: a wake before the park makes the park return at once, a second
// wake changes nothing. One thread parks; any thread wakes. The waker may find the Parker's memory
// already reused by the time the kernel hears of it; a futex wake looks at an address, not at what
// lies there, so that is harmless (at worst somebody else's spurious wake, which every futex user
// has to expect).
//
// Threads: see methods.
#pragma once

#include <atomic>
#include <cstdint>

#include <wisp/base/clock.hpp>

namespace wisp::inline v0 {

class Parker {
 public:
  Parker() = default;
  Parker(const Parker&) = delete;
  Parker& operator=(const Parker&) = delete;

  // Blocks natively until woken, or until `timeout` has passed on the machine's steady clock;
  // Duration::max() is no limit. True if woken. Only the owning thread. Clocks build park() from
  // this; everybody else calls Clock::park. Looks for the wake before it sleeps: see Patience.
  bool block(Duration timeout);

  // Any thread. Release: what the waker wrote is visible to the woken (acquire in block and take).
  void unblock();

  // Takes a wake that is already there, without waiting. Only the owning thread.
  bool take();

  // Any word that the clock of a simulator hangs on a parked thread; wisp's own clocks leave it
  // alone.
  std::atomic<void*> tag{nullptr};

 private:
  // empty -> woken (unblock), empty -> parked (block) -> woken (unblock), woken -> empty (block,
  // take).
  static constexpr std::uint32_t kEmpty = 0;
  static constexpr std::uint32_t kWoken = 1;
  static constexpr std::uint32_t kParked = 2;

  // From `began` on, the machine's steady clock.
  bool sleep(Duration timeout, Duration began);

  std::atomic<std::uint32_t> state_{kEmpty};
  std::atomic<int> waker_core_{-1};  // a hint
};

// Lets `d` pass as work does: on a clock of real time the thread is busy for as long, on another it
// waits until the clock has moved. Nothing ends it early.
void elapse(Clock& clock, Duration d);

// Whether the calling thread looks for what it waits for before it sleeps: for at most 4 us a wait,
// and only if its last sleep was a short one, of less than 200 us, and ended from another core. To
// be woken takes 4 to 50 us, so while work comes and goes quickly both sides save most of that time
// and of its CPU. A thread that sleeps for long does not burn its core, nor one whose waker could
// not run meanwhile.
//
//   if (Patience::look([&] { return call.ready(); })) return;   // else clock.park(…)
class Patience {
 public:
  // True as soon as `there()` is; false once it has looked for long enough.
  template <class There>
  static bool look(There there) {
    if (!patient_) return there();
    const Duration until = begin();
    do {
      for (int i = 0; i < kLooks; ++i) {
        if (there()) return true;
        detail::relax();
      }
    } while (goes_on(until));
    return there();
  }

 private:
  friend class Parker;
  static constexpr int kLooks = 16;  // between two looks at the clock

  static Duration begin();
  static bool goes_on(Duration until);
  // The calling thread has; max() if nobody woke it.
  static void slept(Duration how_long, int woken_from);

  static constinit thread_local bool patient_;
};

}  // namespace wisp::inline v0
