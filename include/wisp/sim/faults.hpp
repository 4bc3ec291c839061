// What goes wrong in a simulated world, and how often.
//
//   wisp::sim::World world{seed, {.faults = {.slow = 100, .throws = 50, .late = 100}}};
//   ...                       // whatever happens, nothing may be lost or done out of turn
//   world.faults({});         // and once nothing goes wrong any more,
//   world.advance(24h);       // everything comes to rest
//
// Chances are per mille of each run of a handler, task, or step of time; 0 is never. What they
// decide is drawn from a sequence of the world's own, so the same seed and options strike at the
// same places.
//
// Threads: value.
#pragma once

#include <chrono>

#include <wisp/base/clock.hpp>

namespace wisp::inline v0::sim {

// Set by designated initialisers; members are only ever appended. Chances are 0 to 1000, durations
// at least 1 ns: a world ends the process over others, with a report that names them.
struct Faults {
  // Of each run of a handler, named or not. The handler itself knows nothing of them.
  int slow = 0;  // works for up to slow_max, before or after what it does: see Context::elapse
  Duration slow_max = std::chrono::seconds(1);
  int throws = 0;  // throws, before it has done anything or once it has done all
  int hangs = 0;   // first waits to be cancelled, and gives way then; for at most hang_max
  Duration hang_max = std::chrono::minutes(10);
  int ignores = 0;  // first works for up to ignore_max, cancelled or not
  Duration ignore_max = std::chrono::minutes(1);

  // Of each task that the world's executor is given.
  int late = 0;  // begins only after a while, of up to late_max
  Duration late_max = std::chrono::seconds(1);
  int full = 0;  // is refused, as if the queue were full

  // Of each step of time: the wall clock, not the steady one, is now up to wall_jump_max wrong.
  int wall_jumps = 0;
  Duration wall_jump_max = std::chrono::hours(24);
};

}  // namespace wisp::inline v0::sim
