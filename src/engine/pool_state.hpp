// All of a pool but its handle: co-owned by the Pool and each of its threads, so that a thread
// which the Pool has to leave behind finds everything in place when its task returns.
//
//   auto state = std::make_shared<detail::PoolState>(options);
//   Status accepted = state->submit(task);               // starts a thread that runs state->work()
//
// One mutex guards everything. Whoever runs host code (a task, a callback) is counted as inside;
// all others come back on their own, so close() waits for them without limit. Once the Pool has
// been destroyed, only threads that were inside are left, and these look at orphaned_ before they
// touch the clock or a callback.
//
// While a task is queued, somebody is starting or the supervisor is armed: else it could wait
// unseen behind busy workers. And there is a worker that runs or starts, so that it is served at
// all. (If the system refuses both a worker and the supervisor, they are tried again with the next
// submit or finished task.)
//
// tests/model_check/pool_wake.pml has Spin check this, and how workers park and are woken: its
// inlines and labels bear the names of the functions here.
//
// Threads: any.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/base/park.hpp>
#include <wisp/engine/detail/thread.hpp>
#include <wisp/engine/pool.hpp>

#include "task_queue.hpp"

namespace wisp::inline v0::detail {

// Holds the lock for its scope, then wakes whom it was told: a thread woken under the lock would
// only wait for it.
class ABSL_SCOPED_LOCKABLE WakeLock {
 public:
  WakeLock(Mutex& mutex, Clock& clock) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex)
      : mutex_(mutex), clock_(clock) {
    mutex_.lock();
  }
  ~WakeLock() ABSL_UNLOCK_FUNCTION() {
    mutex_.unlock();
    flush();
  }
  WakeLock(const WakeLock&) = delete;
  WakeLock& operator=(const WakeLock&) = delete;

  // Requires: `parker` outlives this.
  void wake(Parker& parker);
  // Wakes them now. For a thread inside host code, which must not touch the clock without the lock.
  void flush();

 private:
  static constexpr int kHeldMax = 4;
  Mutex& mutex_;
  Clock& clock_;
  Parker* parkers_[kHeldMax] = {};
  int count_ = 0;
};

class PoolState : public std::enable_shared_from_this<PoolState> {
 public:
  explicit PoolState(PoolOptions options);

  Status submit(Task& task);
  bool begin_blocking();
  void end_blocking();
  bool set_aside(int thread);
  bool has_queued() const { return has_queued_.load(std::memory_order_relaxed); }
  bool on_worker() const;
  bool drain(Time until);
  void resize(const Workers& workers);
  int close(Time until);
  // The Pool goes: closes if nobody has, and leaves behind who is inside.
  void abandon();
  PoolStats stats() const;

 private:
  static constexpr int kSubstitutesMax = 256;
  static constexpr Duration kRetryAfter = std::chrono::milliseconds{1};  // to start a thread

  enum class Is : std::uint8_t { absent, starting, running, waiting, parked, leaving };
  enum class Step : std::uint8_t { run, park, leave };

  // Stays in place, and serves later threads of the same index. Guarded by mutex_, but for `runs`.
  struct Worker {
    Worker(PoolState& p, int i) : pool(p), index(i) {}
    PoolState& pool;
    const int index;
    Parker parker;
    Thread thread;
    Is is = Is::absent;
    pid_t id = 0;
    bool unborn = false;   // counted in unborn_
    bool inside = false;   // counted in inside_
    bool blocked = false;  // counted in blocked_
    int waits = 0;         // begin_blocking less end_blocking, and if it is aside
    bool aside = false;    // counted in aside_
    Time began{};          // its task
    Time parked_at{};
    Time looked_at{};                    // by the supervisor
    std::int64_t asleep = -1;            // the last sample that found it so
    std::uint32_t looked_run = 0;        // the value of `runs` then
    std::atomic<std::uint32_t> runs{0};  // odd inside a task; written by its own thread only

    // Odd before the task and even after it, and while the task is at the pool's own lock: the
    // supervisor's look between two equal odd values was one at this task, not at a wait for that.
    // Its thread alone writes it, so a load and a store will do. Release: neither passes what comes
    // before it, a lock that was let go or the task; pairs with the loads in supervise(). And the
    // kernel has put out all stores of who it calls asleep, so that no value is seen late from
    // within the next wait.
    void turn() { runs.store(runs.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  };

  // Around what a task of the pool does with the pool's lock.
  class Aside {
   public:
    explicit Aside(const PoolState& pool);
    ~Aside();
    Aside(const Aside&) = delete;
    Aside& operator=(const Aside&) = delete;

   private:
    Worker* const worker_;
  };

  // What the supervisor wants to know of a running worker.
  struct Look {
    Worker* worker;
    pid_t id;
    bool known;  // by a look at the same run not long ago, or the last one if there can be none
    bool asleep;
    std::uint32_t run;
  };

  // The workers' threads.
  void work(Worker& self);
  Step step(Worker& self, Queued& next, Time& until);
  void finish(Worker& self, Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool take(WakeLock& lock, Worker& self, Queued& next, Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool start_waiting(WakeLock& lock, Worker& self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void stop_waiting(Worker& self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void uncount(Worker& self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Everybody's.
  Status serve(WakeLock& lock, Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Status add_worker(WakeLock& lock, Time now, std::string_view why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void note_decision(std::string_view why, Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Worker& unused_record() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Status start(Thread& thread, std::string_view name, Task body, Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int wanted(Time now, int starting) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The rest is room for substitutes of those that wait.
  int threads_max() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return most_ + kSubstitutesMax; }
  int active() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return running_ + starting_; }
  void call_back(const std::function<void(int)>& hook, int index);
  bool join(Thread& thread, Time until) ABSL_LOCKS_EXCLUDED(mutex_);
  Thread retire(Thread& thread) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool await(Time until, bool closing);
  bool inside_task() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);  // this thread
  bool settled(bool closing, bool late) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void wake_waiters() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The supervisor (supervisor.cpp).
  void watch(WakeLock& lock, Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void supervise();
  std::optional<Time> plan(std::vector<Look>& looks);
  Time judge(const std::vector<Look>& looks, Time began);
  int count_blocked(const std::vector<Look>& looks, Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void leave_supervision();

  const PoolOptions options_;
  Workers rules_ ABSL_GUARDED_BY(mutex_);          // those of the options at first
  int most_ ABSL_GUARDED_BY(mutex_) = rules_.max;  // the highest maximum that there was
  Clock& clock_;
  const int cores_;
  const Status no_memory_ = resource_exhausted("there is no memory for a thread of the pool");
  Parker supervisor_parker_;

  mutable Mutex mutex_;
  TaskQueue queue_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> has_queued_{false};  // what it is to those without the lock; relaxed: a hint
  std::vector<std::unique_ptr<Worker>> records_ ABSL_GUARDED_BY(mutex_);
  std::vector<Worker*> parked_ ABSL_GUARDED_BY(mutex_);   // the last one is woken first
  std::vector<Parker*> waiters_ ABSL_GUARDED_BY(mutex_);  // in drain and close
  // The last thread that ended. The next one joins it, close() the last: at most one stays
  // unjoined.
  Thread ended_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool orphaned_ ABSL_GUARDED_BY(mutex_) = false;
  int threads_ ABSL_GUARDED_BY(mutex_) = 0;  // all, also the supervisor and those that leave
  int inside_ ABSL_GUARDED_BY(mutex_) = 0;   // of those, in host code
  int workers_ ABSL_GUARDED_BY(mutex_) = 0;  // that do not leave
  int starting_ ABSL_GUARDED_BY(mutex_) = 0;
  int unborn_ ABSL_GUARDED_BY(mutex_) = 0;  // of those, threads before their first step
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  int blocked_ ABSL_GUARDED_BY(mutex_) = 0;
  int aside_ ABSL_GUARDED_BY(mutex_) = 0;
  Duration mean_run_ ABSL_GUARDED_BY(mutex_){};  // over some 16 tasks
  Time retry_at_ ABSL_GUARDED_BY(mutex_){};      // to start a thread, after a failure
  PoolStats totals_ ABSL_GUARDED_BY(mutex_);     // ran, threads_started, thread_failures, peak

  Is supervisor_ ABSL_GUARDED_BY(mutex_) = Is::absent;
  Thread supervisor_thread_ ABSL_GUARDED_BY(mutex_);
  bool armed_ ABSL_GUARDED_BY(mutex_) = false;  // it samples, or is about to
  bool fresh_ ABSL_GUARDED_BY(mutex_) = false;  // armed and has not slept since
  std::int64_t sample_ ABSL_GUARDED_BY(mutex_) = 0;
  Duration interval_ ABSL_GUARDED_BY(mutex_){};  // until the next sample
  Time disarmed_at_ ABSL_GUARDED_BY(mutex_){};
  bool grew_ ABSL_GUARDED_BY(mutex_) = false;  // at the last sample
  int too_many_ ABSL_GUARDED_BY(mutex_) = 0;   // samples in a row that said so
  int excess_ ABSL_GUARDED_BY(mutex_) = 0;     // workers to park when their tasks end
};

}  // namespace wisp::inline v0::detail
