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
  // this; everybody else calls Clock::park.
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

  std::atomic<std::uint32_t> state_{kEmpty};
};

}  // namespace wisp::inline v0
