// Runs tasks at given times, in order of time and then of scheduling.
//
//   wisp::Timer timer{clock, &executor};
//   wisp::Result<wisp::TimerId> id = timer.schedule(clock.now() + 200ms, [] { std::puts("due"); });
//   if (id.ok() && timer.cancel(*id)) std::puts("it will not run");
//
// With an executor the timer has a thread, from executor->start_thread: it starts with the first
// timer, parks until the earliest one, and ends after ten seconds without any. Without an executor
// the owner calls fire(). There is no tick: a timer costs nothing until it is due. Tasks run one
// after another, so they are short, and hand longer work to an executor. None runs before its time.
//
// A wheel of buckets that are opened when their time is wanted: schedule and cancel take O(1), each
// firing O(1) amortized. See timer_wheel.hpp for the bound and the sources.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>
#include <wisp/engine/executor.hpp>

namespace wisp::inline v0 {

// One scheduled task. Never given out twice by one Timer; the default one is no timer's.
struct TimerId {
  std::uint32_t slot = 0;
  std::uint64_t order = 0;  // of scheduling, from 1

  friend constexpr bool operator==(TimerId, TimerId) = default;
};

namespace detail {
class TimerState;
}

class Timer {
 public:
  // Starts nothing. At most `count_max` timers are pending. Both outlive the Timer.
  explicit Timer(Clock& clock, Executor* executor, int count_max = 1'000'000);

  // close(), unless it was called before.
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Runs `task` once `at` has come, on the timer's thread or the one that calls fire(), with no
  // lock held. A refusal destroys `task`: kResourceExhausted when full, kUnavailable once closed,
  // and what start_thread said when there is no thread. The executor's start_thread must not come
  // back here.
  Result<TimerId> schedule(Time at, Task task);

  // True: the task will not run, and has been destroyed. False: it has run, runs, or never was.
  bool cancel(TimerId id);

  // The same, but the task is the caller's. Empty: it has run, runs, or never was.
  Task remove(TimerId id);

  // When the earliest timer is due; nothing if there is none.
  std::optional<Time> next() const;

  // Runs what is due at `now`, at most `max` tasks and at most as many as were pending at the
  // start, so that a task which schedules itself does not hold up the caller. Returns how many ran.
  // One at a time: a fire within a timer's task, or beside another fire, runs nothing. Nor does it
  // with an executor.
  int fire(Time now, int max = std::numeric_limits<int>::max());

  // Refuses from now on, destroys all pending tasks (on this thread, with no lock held), and waits
  // for the running task and the timer's thread, for at most `bound` if a task does not return.
  // True if nothing runs any more. From within a timer's task, that task is not waited for. A
  // thread left behind owns what it needs, and ends with its task. Bounded in the timer's clock.
  bool close(Duration bound = std::chrono::seconds{1});

  // Pending timers.
  int count() const;

  // Whether the timer's thread exists.
  bool threaded() const;

 private:
  const std::shared_ptr<detail::TimerState> state_;  // co-owned by the thread, see close()
};

}  // namespace wisp::inline v0
