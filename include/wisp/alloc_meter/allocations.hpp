// How often and how much each call allocates, for programs that ask for it.
//
//   target_link_libraries(my_server PRIVATE wisp::core wisp::alloc_meter)     # CMake
//
//   pending.receipt().allocations;                // of one call
//   runtime.bill(1h).lines[0].allocated_bytes;    // of a function, tenant and tag
//   const wisp::Allocations mine = wisp::allocations();    // of this thread, since it began
//
// Linking it is all: it replaces the program's operator new and operator delete by malloc and free
// and two additions to counters of the thread's own. Without it the figures read unavailable.
//
// A call's are those of the handler's thread while it is inside the handler, and counted as its
// wall time is: calls that it makes on that thread have theirs and it has them too, what it starts
// elsewhere it has not. Between posts in a row wisp's own, a few where a worker is new, are the
// later one's, as its time is. What malloc is asked for directly is not seen, and what is freed is
// not taken off. Functions of the sampled meter are timed as batched ones are, so that none is
// missed.
//
// A program that replaces operator new itself, or runs under a tool that does, cannot link this.
//
// Threads: any.
#pragma once

#include <wisp/base/allocations.hpp>

namespace wisp::inline v0 {

// Of the calling thread so far. Only in programs that link wisp::alloc_meter.
Allocations allocations();

}  // namespace wisp::inline v0
