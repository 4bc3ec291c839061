// The instances of one stateful function in one runtime.
//
//   InstancePool::adopt(invoker, definition, pool);   // `definition` is the runtime's own now
//   definition->run(*definition, in, result, &context, failed);   // on an instance, of its own
//
//   built -> entered <-> idle -> destroyed
//               |                    ^
//               +--(its call threw)--+
//
// The idle ones are a stack: what a call gives back the next one takes, so that under a low load
// the same few stay warm and the others grow old at the bottom. One timer for each pool is enough:
// it is set for the oldest.
//
// With Instances::predictive the last one, while no call is inside any, is kept as
// keep_alive::Predictive says: freed between two spans of it and built anew, by a task of its own,
// where the next one begins. What has been idle for too long is destroyed by such a task too: a
// destructor may take its time, and the timer has none. These tasks are outstanding for their
// runtime, whose stop() waits for them.
//
// Threads: any. No lock is held while an instance is built, entered or destroyed.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <wisp/base/agent.hpp>
#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/base/park.hpp>
#include <wisp/base/status.hpp>
#include <wisp/engine/detail/ticks.hpp>
#include <wisp/engine/executor.hpp>
#include <wisp/engine/timer.hpp>
#include <wisp/model/detail/definition.hpp>
#include <wisp/model/keep_alive.hpp>

namespace wisp::inline v0::detail {

class Invoker;

// How many were built; relaxed. They are read after the pool's end too.
struct InstanceStarts {
  std::atomic<std::uint64_t> cold{0};   // for a call
  std::atomic<std::uint64_t> ahead{0};  // before one
};

class InstancePool : public std::enable_shared_from_this<InstancePool> {
 public:
  InstancePool(Invoker& invoker, std::shared_ptr<const Definition> definition);
  ~InstancePool() { close(); }
  InstancePool(const InstancePool&) = delete;
  InstancePool& operator=(const InstancePool&) = delete;

  // Of a stateful function: puts a definition in place of `definition` that is the same but runs on
  // instances of `pool`, which is made, and whose concurrency is limited by Instances::max too.
  static void adopt(Invoker& invoker, std::shared_ptr<const Definition>& definition,
                    std::shared_ptr<InstancePool>& pool);

  // Builds those that are to be there before the first call.
  Status provision();
  // Destroys what is idle, and from now on what comes back.
  void close() ABSL_LOCKS_EXCLUDED(mutex_);

  std::shared_ptr<const InstanceStarts> starts() const { return starts_; }
  // What its tasks are doing, as in Abandoned::state; empty: nothing.
  std::string_view busy() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Idle {
    void* instance;
    Time since;
  };
  struct Look {
    Time at;
    std::uint64_t number;
  };
  struct Own;
  struct Sweep;
  struct Chore;

  // Definition::run of the runtime's own.
  static bool run(const Definition& self, const void* in, void* result, Context* context,
                  Attempted& failed);
  struct Taken {
    void* instance = nullptr;
    bool awaits = false;  // the one that is being built ahead
  };
  // Without either, the caller builds one.
  Taken take() ABSL_LOCKS_EXCLUDED(mutex_);
  // Null: `failed` says why.
  void* take_cold(bool awaits, Deadline deadline, Attempted& failed) ABSL_LOCKS_EXCLUDED(mutex_);
  // False: the caller builds one. True with none: it came too late.
  bool await_ahead(Deadline deadline, void*& instance) ABSL_LOCKS_EXCLUDED(mutex_);
  void* pop() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void begin_cold() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // When to look, now that a call is over.
  std::optional<Look> leave(Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void* build_for_call(Attempted& failed);
  void* build(Attempted& failed);
  // One whose handler threw is broken, and goes.
  void give_back(void* instance, bool broken = false) ABSL_LOCKS_EXCLUDED(mutex_);
  // Those that alive_ counts no more.
  void destroy(const std::vector<void*>& gone) ABSL_LOCKS_EXCLUDED(mutex_);
  void sweep(const std::shared_ptr<Invoker>& invoker) ABSL_LOCKS_EXCLUDED(mutex_);
  void build_ahead(Invoker& invoker) ABSL_LOCKS_EXCLUDED(mutex_);
  void free_old() ABSL_LOCKS_EXCLUDED(mutex_);
  std::optional<Time> goes_at(Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Moves what has been idle for too long to `old`, uncounted; when to look again.
  std::optional<Time> pick_old(std::vector<void*>& old) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Foresees when one is to be there again, if there is none.
  void none_left(Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // When the next span begins, if one is to be built for it.
  std::optional<Time> next_span(Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool in_span(Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether to build one now.
  bool due_ahead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What to arm() for: none if a timer looks before that.
  std::optional<Look> look(std::optional<Time> at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void arm(std::optional<Look> look) ABSL_LOCKS_EXCLUDED(mutex_);
  keep_alive::Predictive policy() const { return {.keep = rules_.keep_alive}; }
  bool predicts() const { return rules_.predictive && rules_.provisioned == 0; }

  const std::shared_ptr<const Definition> definition_;  // the user's
  const Instances rules_;
  Clock& clock_;
  Executor& executor_;
  Timer& timer_;
  const Ticks& ticks_;
  const std::weak_ptr<Invoker> keep_;

  mutable Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  Time looks_at_ ABSL_GUARDED_BY(mutex_) = Time::never();
  std::uint64_t looks_ ABSL_GUARDED_BY(mutex_) = 0;          // that were wanted so far
  std::optional<TimerId> timer_id_ ABSL_GUARDED_BY(mutex_);  // which does
  int alive_ ABSL_GUARDED_BY(mutex_) = 0;                    // those being built too
  int inside_ ABSL_GUARDED_BY(mutex_) = 0;             // calls, of the instances that are not idle
  bool freeing_ ABSL_GUARDED_BY(mutex_) = false;       // a task is to look for old ones
  int destroying_ ABSL_GUARDED_BY(mutex_) = 0;         // tasks that destroy them
  int ahead_ ABSL_GUARDED_BY(mutex_) = 0;              // tasks that are to build one without a call
  bool building_ ABSL_GUARDED_BY(mutex_) = false;      // one does,
  AgentId builder_ ABSL_GUARDED_BY(mutex_) = nullptr;  // that one
  bool awaited_ ABSL_GUARDED_BY(mutex_) = false;       // by a call,
  void* handed_ ABSL_GUARDED_BY(mutex_) = nullptr;     // which has it, once it is built
  Parker* waiter_ ABSL_GUARDED_BY(mutex_) = nullptr;   // which parks
  const std::shared_ptr<InstanceStarts> starts_ = std::make_shared<InstanceStarts>();
  // If predictive: since when no call is inside, and when to build one.
  keep_alive::IdleTimes seen_ ABSL_GUARDED_BY(mutex_);
  std::optional<Time> idle_since_ ABSL_GUARDED_BY(mutex_);
  std::optional<Time> ahead_at_ ABSL_GUARDED_BY(mutex_);
  std::deque<Idle> idle_ ABSL_GUARDED_BY(mutex_);  // the last is taken next
};

}  // namespace wisp::inline v0::detail
