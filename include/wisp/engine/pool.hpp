// The autoscaling workers: from none to `max` and back, as the policy says.
//
//   wisp::Pool pool{{.workers = {.min = 0, .max = 64}, .queue_max = 10'000}};
//   wisp::Task task = [] { std::puts("on wisp-0"); };
//   wisp::Status accepted = pool.submit(task);            // the first one starts the first thread
//   bool empty = pool.drain(wisp::Clock::system().now() + 1s);
//   int stuck = pool.close(wisp::Clock::system().now() + 1s);
//
// A task goes to a worker that is free, the last one parked first, or to one that the policy adds.
// While calls are queued and nobody is on the way to them, one more thread, the supervisor, looks
// every 0.1 to 100 ms which workers sleep in the kernel, and lets the policy add to those. A
// worker without work parks, and ends after `keep_alive`, down to `min`; an idle pool wakes for
// nothing else. The supervisor ends with the last worker.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>
#include <wisp/engine/executor.hpp>
#include <wisp/engine/scaling.hpp>

namespace wisp::inline v0 {

struct Workers {
  int min = 0;  // kept once started; none starts before there is work
  int max = 64;
  // Of a worker without work. More is worth its while where threads take long to start, or
  // on_thread_start does.
  Duration keep_alive = std::chrono::seconds{2};
  scaling::Policy policy{};
};

// kInvalidArgument naming the member unless 0 <= min <= max, 1 <= max <= 32768 and keep_alive >= 0.
Status check(const Workers& workers);

struct PoolOptions {
  Workers workers{};
  int queue_max = 65'536;  // tasks accepted and not yet running; submit refuses the next
  Clock* clock = nullptr;  // null: the system's
  int cores = 0;           // 0: as many as the process may run on
  // On each thread of the pool, first and last; with no lock held. The index is a worker's (the N
  // of its name, reused), or kSupervisor. A thread that the pool had to leave behind does not call
  // back.
  std::function<void(int index)> on_thread_start{};
  std::function<void(int index)> on_thread_exit{};
  // Asked under the pool's lock before each thread is started: an errno stands for that failure, 0
  // goes on. For tests.
  std::function<int()> thread_fault{};
};

inline constexpr int kSupervisor = -1;

namespace detail {
class PoolState;
}

// Why a worker came or went.
struct ScalingDecision {
  std::string_view why;  // "" before the first one
  Time at;
  int workers = 0;  // after it
  // What was seen.
  int queued = 0;
  Duration oldest_wait{};
  int running = 0;
  int blocked = 0;
};

struct PoolStats {
  int queued = 0;
  Duration oldest_wait{};  // age of the oldest queued task
  int workers = 0;         // started and not ended: running, waiting, starting and parked
  int running = 0;         // inside a task, blocked ones included
  int blocked = 0;         // of those, asleep in the kernel when last looked at
  int waiting = 0;         // inside a task, between begin_blocking and end_blocking
  int starting = 0;        // woken or created, and not yet at a task
  int parked = 0;
  bool supervised = false;  // the supervisor's thread exists
  int peak = 0;             // the most workers at one time
  std::int64_t ran = 0;     // tasks
  std::int64_t threads_started = 0;
  std::int64_t thread_failures = 0;
  int aside = 0;  // of the waiting: set aside by set_aside
  ScalingDecision last;
};

class Pool : public Executor {
 public:
  // Starts nothing. Requires: check(options.workers).ok().
  explicit Pool(PoolOptions options = {});

  // close() with a bound of a second, unless it was called before. Threads that are still inside a
  // task then, or not at their end, are left behind: they own what they need of the pool and end
  // when the task returns, but a task must not call the pool any more. Bounded in the pool's clock,
  // so one that stands still does not bound. Not for a child after fork, whose threads are gone:
  // see Runtime.
  ~Pool() override;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Beyond Executor's errors: kUnavailable naming errno's text if no worker serves the queue and no
  // thread can be started. With workers at hand such a failure is only counted, and tried again: by
  // the supervisor, or if that has no thread either, with the next submit or finished task.
  Status submit(Task& task) override;

  // The waiting worker no longer counts against max, and another takes its place when tasks are
  // queued. False off the pool's workers, after close, or when nobody would serve the queue: at
  // most max + 256 workers exist, and the system may refuse a thread.
  bool begin_blocking() override;
  void end_blocking() override;
  bool set_aside(int thread) override;
  bool has_queued() const override;
  bool on_executor_thread() const override;

  // Waits until no task is queued or running; false if `until` comes first. Tasks are accepted
  // meanwhile. From within a task of this pool, that one is not waited for, and another worker may
  // take its place, see begin_blocking().
  bool drain(Time until);

  // Refuses from now on, destroys what is queued (on this thread, with no lock held), and waits
  // until `until` for the workers. Returns how many are still inside a task or a callback, and one
  // more if threads have not come to their end: destructors of thread-local objects may take long.
  // From within a task of this pool, its worker is neither waited for nor counted. May be called
  // again to wait longer.
  int close(Time until);

  // Other bounds and another keep-alive from now on; the policy stays. Workers beyond the maximum
  // end their tasks first. Requires: check(workers).ok().
  void resize(const Workers& workers);

  PoolStats stats() const;

 private:
  const std::shared_ptr<detail::PoolState> state_;  // co-owned by the threads, see ~Pool
};

}  // namespace wisp::inline v0
