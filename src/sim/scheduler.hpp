// Fibers that take turns on the main thread, and the virtual time that passes when none can run.
//
// Who gives way (it parks, yields, or its task ends) chooses itself who goes on, under the mutex,
// and switches to it. The mutex is there for the program's other threads, which may submit tasks
// and wake. It is a leaf: nothing of wisp's is called under it, and wake() may come under any lock.
//
// Threads: any, but park(), yield(), advance(), advance_one() and close(): the world's.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/agent.hpp>
#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/base/park.hpp>
#include <wisp/base/random.hpp>
#include <wisp/engine/executor.hpp>
#include <wisp/sim/world.hpp>

#include "event_log.hpp"
#include "fault_source.hpp"
#include "fiber.hpp"

namespace wisp::inline v0::sim {

// One simulated thread. But for the fiber, everything is guarded by the scheduler's mutex.
struct Simulated {
  enum class State { idle, ready, waiting, running };
  enum class Job { none, main, task, loop };

  int number = 0;                         // 0: the main thread
  wisp::detail::AgentId agent = nullptr;  // constant
  std::unique_ptr<Fiber> fiber;
  State state = State::idle;
  bool able = false;  // may be chosen
  Job job = Job::none;
  bool exiting = false;
  Task body;
  // While waiting.
  Time until;
  bool woken = false;
  Time since;
  std::string name;  // of a loop, for reports
};

class Scheduler {
 public:
  Scheduler(std::uint64_t seed, const WorldOptions& options);

  Time now() const;
  // What the wall clock is ahead of the steady one's line.
  Duration wall_error() const;
  bool park(Parker& parker, Time until);
  void wake(Parker& parker);
  void yield();
  void advance(Duration d);
  // Lets one thread go on until it gives way, once time has come to whatever is due, or to
  // `limit`. False: nobody can run, and that is where time is.
  bool advance_one(Time limit);

  Status submit(Task& task);
  Status start_thread(std::string_view name, Task body);
  bool on_task() const;
  // Whether a thread is left for a task that the caller is about to wait for.
  bool thread_left() const;

  void set_faults(const Faults& faults);
  // What the run of a handler that begins meets with.
  Strike strike();

  // Into the log, as from the calling thread.
  void record(std::string text);
  Log log() const;
  std::uint64_t hash() const;
  std::uint64_t seed() const { return seed_; }

  // Refuses tasks from now on, and ends the threads. False if some never end: their stacks go on
  // using the scheduler.
  bool close();

 private:
  enum class Mode {
    waiting,    // the main thread is one among others
    advancing,  // it goes on when nothing is left to do until limit_
    stepping,   // or when one other thread has run
    closing,    // the same, without reports
  };

  void run(Simulated& self);  // the body of its fiber
  // Null on any thread or fiber that is not the world's.
  Simulated* self() const;
  Simulated& self_or_die(std::string_view what) const;
  // It may be chosen, from now on; or once its time has come. Requires: neither yet.
  void may_run(Simulated& thread) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void await_time(Simulated& thread) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Lets another go on; returns once `self` is chosen, which may be at once.
  void hand_over(Simulated& self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The main thread stands back until nothing is left to do, up to `limit`. Whether another ran.
  bool stand_back(Mode mode, Time limit);
  Simulated& choose() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Counts one; true if this was one too many and the world is closing.
  bool step() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void begin_late_tasks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Moves time to the next deadline. False if the main thread goes on instead.
  bool pass_time() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Simulated& begin(std::size_t task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One without a job, made if there is none.
  Result<Simulated*> idle_thread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string report(std::string_view what) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::uint64_t seed_;
  const WorldOptions options_;
  Simulated* const main_;  // the first of threads_
  // Release, acquire in self(): any thread looks at whose it is.
  std::atomic<Simulated*> running_;

  mutable Mutex mutex_;
  SeededRandom choices_ ABSL_GUARDED_BY(mutex_);
  FaultSource faults_ ABSL_GUARDED_BY(mutex_);
  EventLog log_ ABSL_GUARDED_BY(mutex_);
  Time now_ ABSL_GUARDED_BY(mutex_) = kStart;
  std::vector<std::unique_ptr<Simulated>> threads_ ABSL_GUARDED_BY(mutex_);  // by number
  std::vector<Simulated*> able_ ABSL_GUARDED_BY(mutex_);  // by number: those that may be chosen
  // Those that wait and may not; but who waits for ever, and the main thread while it stands back.
  std::set<std::pair<Time, Simulated*>> asleep_ ABSL_GUARDED_BY(mutex_);
  std::priority_queue<int, std::vector<int>, std::greater<>> idle_ ABSL_GUARDED_BY(mutex_);
  // Together at most kTasksMax.
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  std::multimap<Time, Task> late_ ABSL_GUARDED_BY(mutex_);  // when they join the others
  int tasks_begun_ ABSL_GUARDED_BY(mutex_) = 0;             // and not ended
  int loops_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  Mode mode_ ABSL_GUARDED_BY(mutex_) = Mode::waiting;
  Time limit_ ABSL_GUARDED_BY(mutex_) = Time::never();  // while the main thread stands back
  bool stepped_ ABSL_GUARDED_BY(mutex_) = false;        // since it did
  Duration wall_error_ ABSL_GUARDED_BY(mutex_){};
  std::int64_t steps_ ABSL_GUARDED_BY(mutex_) = 0;  // without progress
};

}  // namespace wisp::inline v0::sim
