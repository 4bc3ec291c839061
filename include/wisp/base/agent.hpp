// Who runs: what the standard calls an execution agent ([thread.req.lockable.general]), a thread or
// a fiber that a simulator lets run on one.
//
//   if (firing_ == current_agent()) return;     // inside of its own callback
//
// Threads: any.
#pragma once

namespace wisp::inline v0::detail {

// Different for any two that are alive at once; null is nobody's.
using AgentId = const void*;

// The fiber that runs on the calling thread, written by who lets it; null: none does. Constant at
// first, so that no access has to ask whether it has been initialised.
extern constinit thread_local AgentId current_fiber;

inline AgentId current_agent() {
  return current_fiber != nullptr ? current_fiber : static_cast<AgentId>(&current_fiber);
}

}  // namespace wisp::inline v0::detail
