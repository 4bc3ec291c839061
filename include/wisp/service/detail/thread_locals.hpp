// All that wisp keeps of a thread in thread-local variables, put aside and taken up again: for a
// simulator that lets several fibers take turns on one thread, each of which is a thread to wisp.
//
//   mine.swap();        // now the thread has none, as if it had just begun
//   next.swap();        // and now those of the next fiber
//
// Left out, as they tell of the kernel's thread: whether it looks before it sleeps (park.cpp),
// whose worker it is (worker.cpp), which fiber switched last (sim/fiber.cpp). No other file has
// thread-local variables.
//
// Threads: one-at-a-time.
#pragma once

#include <string_view>

#include <wisp/base/agent.hpp>
#include <wisp/base/allocations.hpp>
#include <wisp/base/readers.hpp>
#include <wisp/engine/detail/ledger.hpp>
#include <wisp/service/detail/counters.hpp>
#include <wisp/service/detail/frame.hpp>
#include <wisp/service/detail/function_state.hpp>
#include <wisp/service/detail/idempotency.hpp>
#include <wisp/service/detail/publishing.hpp>

namespace wisp::inline v0::detail {

class ThreadLocals {
 public:
  // Those of a thread that begins, or of the one that runs, until they are put aside.
  explicit ThreadLocals(AgentId fiber) : fiber_(fiber) {}
  // As a thread's end. Requires: they are aside.
  ~ThreadLocals() = default;
  ThreadLocals(const ThreadLocals&) = delete;
  ThreadLocals& operator=(const ThreadLocals&) = delete;

  // With those of the calling thread.
  void swap();

  // Of the innermost handler; empty: inside of none. Requires: they are aside.
  std::string_view function() const;

 private:
  AgentId fiber_;
  ActiveFrame* frame_ = nullptr;
  BareFrame* bare_frame_ = nullptr;
  Errand* errand_ = nullptr;
  IdempotencyTable::Holding* holding_ = nullptr;
  Leaving* leaving_ = nullptr;
  Allocations allocations_;
  Ledger::Aside ledger_;
  Readers::Aside readers_;
  CounterShards::Aside counters_;
  Publishers::Aside publishers_;
};

}  // namespace wisp::inline v0::detail
