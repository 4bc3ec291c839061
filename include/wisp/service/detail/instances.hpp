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
// Threads: any. No lock is held while an instance is built, entered or destroyed.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/base/status.hpp>
#include <wisp/engine/detail/ticks.hpp>
#include <wisp/engine/timer.hpp>
#include <wisp/model/detail/definition.hpp>

namespace wisp::inline v0::detail {

class Invoker;

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

  std::uint64_t cold_starts() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Idle {
    void* instance;
    Time since;
  };
  struct Own;
  struct Sweep;

  // Definition::run of the runtime's own.
  static bool run(const Definition& self, const void* in, void* result, Context* context,
                  Attempted& failed);
  void* take() ABSL_LOCKS_EXCLUDED(mutex_);
  void* build_for_call(Attempted& failed);
  void* build(Attempted& failed);
  // One whose handler threw is broken, and goes.
  void give_back(void* instance, bool broken = false) ABSL_LOCKS_EXCLUDED(mutex_);
  // Those that alive_ counts no more.
  void destroy(const std::vector<void*>& gone) ABSL_LOCKS_EXCLUDED(mutex_);
  void sweep() ABSL_LOCKS_EXCLUDED(mutex_);
  // Moves what has been idle for too long to `old`, uncounted; when to look again.
  std::optional<Time> pick_old(std::vector<void*>& old) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void look_later(Time at);

  const std::shared_ptr<const Definition> definition_;  // the user's
  const Instances rules_;
  Clock& clock_;
  Timer& timer_;
  const Ticks& ticks_;
  const std::weak_ptr<Invoker> keep_;

  mutable Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool timed_ ABSL_GUARDED_BY(mutex_) = false;  // a timer is set, or about to be
  int alive_ ABSL_GUARDED_BY(mutex_) = 0;       // those being built too
  std::uint64_t cold_starts_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<Idle> idle_ ABSL_GUARDED_BY(mutex_);  // the last is taken next
};

}  // namespace wisp::inline v0::detail
