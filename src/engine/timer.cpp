#include <wisp/engine/timer.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <exception>
#include <limits>
#include <utility>
#include <vector>

#include <wisp/base/agent.hpp>
#include <wisp/base/config.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/base/park.hpp>

#include "timer_wheel.hpp"

namespace wisp::inline v0 {
namespace detail {
namespace {

constexpr Duration kIdleMax = std::chrono::seconds{10};  // of the thread, without a timer
constexpr Time kNotParked = Time(Duration::min());

// Runs what is the host's; what it throws, or null.
template <class Body>
std::exception_ptr thrown_by(const Body& body) {
#if WISP_EXCEPTIONS
  try {
    body();
  } catch (...) {
    return std::current_exception();
  }
#else
  body();
#endif
  return nullptr;
}

Status no_loop([[maybe_unused]] const std::exception_ptr& thrown) {
#if WISP_EXCEPTIONS
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& error) {
    return unavailable("no thread could be started: {}", error.what());
  } catch (...) {
  }
#endif
  return unavailable("no thread could be started: start_thread threw no std::exception");
}

}  // namespace

// All of a timer but its handle. Whoever has run a task touches the clock only under the lock and
// while not closed: close() may have given up waiting, and the clock be gone.
class TimerState : public std::enable_shared_from_this<TimerState> {
 public:
  TimerState(Clock& clock, Executor* executor, int count_max)
      : clock_(clock), executor_(executor), count_max_(count_max) {}

  Result<TimerId> schedule(Time at, Task&& task);
  Task remove(TimerId id);
  std::optional<Time> next() const;
  int fire(Time now, int max);
  bool close(Duration bound);
  void abandon();
  int count() const;
  bool threaded() const;
  bool manual() const { return executor_ == nullptr; }

 private:
  void loop();
  Status ensure_loop() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Time idle_or_next(Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool settled(bool late) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void wait(Time until) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void wake_waiters() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock& clock_;
  Executor* const executor_;
  const int count_max_;
  Parker loop_parker_;

  mutable Mutex mutex_;
  mutable TimerWheel wheel_ ABSL_GUARDED_BY(mutex_);  // a look at the next may reorder it
  bool looping_ ABSL_GUARDED_BY(mutex_) = false;      // the thread exists, or is being started
  bool starting_ ABSL_GUARDED_BY(mutex_) = false;     // by one that calls start_thread
  // The loop parks until then: only an earlier timer wakes it. Else kNotParked, before every time.
  Time parked_until_ ABSL_GUARDED_BY(mutex_) = kNotParked;
  std::optional<Time> idle_until_ ABSL_GUARDED_BY(mutex_);
  detail::AgentId firing_ ABSL_GUARDED_BY(mutex_) = nullptr;  // null: no fire runs
  std::vector<Parker*> waiters_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

Result<TimerId> TimerState::schedule(Time at, Task&& task) {
  const MutexLock lock(mutex_);
  if (executor_ != nullptr) {
    if (Status status = ensure_loop(); !status.ok()) return status;
  }
  if (closed_) [[unlikely]]
    return refused(StatusCode::kUnavailable, Reason::stopped, "the timer has closed");
  if (wheel_.size() >= static_cast<std::size_t>(count_max_)) [[unlikely]] {
    return refused(StatusCode::kResourceExhausted, Reason::full,
                   fmt::format("the timer is full ({})", count_max_));
  }
  const TimerId id = wheel_.add(at, std::move(task));
  if (at < parked_until_) {
    parked_until_ = at;
    clock_.wake(loop_parker_);
  }
  return id;
}

// Returns with a thread that will see what is added under the lock; lets go of the lock meanwhile.
// Requires: an executor.
Status TimerState::ensure_loop() {
  while (!closed_) {
    if (starting_) {
      wait(Time::never());
      continue;
    }
    if (looping_) break;
    looping_ = starting_ = true;
    mutex_.unlock();
    Status started;
    const std::exception_ptr thrown = thrown_by([this, &started] {
      started =
          executor_->start_thread("wisp-timer", [self = shared_from_this()] { self->loop(); });
    });
    mutex_.lock();
    starting_ = false;
    if (thrown || !started.ok()) looping_ = false;
    wake_waiters();
    if (thrown) return no_loop(thrown);
    if (!started.ok()) return started;
  }
  return Status();
}

Task TimerState::remove(TimerId id) {
  const MutexLock lock(mutex_);
  Task task = wheel_.remove(id);
  // A loop that parks for what is gone would outstay its idle time. At most one wake in that time.
  if (task && wheel_.empty() && parked_until_ != kNotParked && !idle_until_ &&
      parked_until_ > clock_.now() + kIdleMax) {
    parked_until_ = kNotParked;
    clock_.wake(loop_parker_);
  }
  return task;
}

std::optional<Time> TimerState::next() const {
  const MutexLock lock(mutex_);
  return wheel_.empty() ? std::nullopt : std::optional(wheel_.next());
}

int TimerState::fire(Time now, int max) {
  int most = 0;
  {
    const MutexLock lock(mutex_);
    if (firing_ != nullptr) return 0;
    firing_ = detail::current_agent();
    most = static_cast<int>(std::min(wheel_.size(), static_cast<std::size_t>(std::max(max, 0))));
  }
  int ran = 0;
  while (ran < most) {
    MutexLock lock(mutex_);
    if (wheel_.empty() || wheel_.next() > now) break;
    Task task = wheel_.remove_next();
    lock.unlock();
    task();
    ++ran;
  }
  const MutexLock lock(mutex_);
  firing_ = nullptr;
  wake_waiters();
  return ran;
}

void TimerState::loop() {
  mutex_.lock();
  while (!closed_) {
    const Time now = clock_.now();
    const Time until = idle_or_next(now);
    if (until <= now && wheel_.empty()) break;
    if (until > now) parked_until_ = until;
    mutex_.unlock();
    if (until > now) {
      clock_.park(loop_parker_, until);
    } else {
      fire(now, std::numeric_limits<int>::max());
    }
    mutex_.lock();
    parked_until_ = kNotParked;
  }
  looping_ = false;
  idle_until_.reset();
  wake_waiters();
  mutex_.unlock();
}

// When there is something to do: the next timer, or the end for want of one.
Time TimerState::idle_or_next(Time now) {
  if (!wheel_.empty()) {
    idle_until_.reset();
    return wheel_.next();
  }
  if (!idle_until_) idle_until_ = now + kIdleMax;
  return *idle_until_;
}

// A task that closes its own timer does not wait for itself. A loop that runs none ends by itself.
bool TimerState::settled(bool late) const {
  const bool firing = firing_ != nullptr;
  if (firing) return late || firing_ == detail::current_agent();
  return !looping_ && !starting_;
}

bool TimerState::close(Duration bound) {
  std::deque<Task> dropped;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    dropped = wheel_.clear();
    clock_.wake(loop_parker_);
    wake_waiters();
  }
  dropped.clear();
  const MutexLock lock(mutex_);
  const Time until = clock_.now() + bound;
  bool late = false;
  while (!settled(late)) {
    wait(late ? Time::never() : until);
    late = clock_.now() >= until;
  }
  return firing_ == nullptr || firing_ == detail::current_agent();
}

void TimerState::abandon() {
  bool closed = false;
  {
    const MutexLock lock(mutex_);
    closed = closed_;
  }
  closed ? close(Duration::zero()) : close(std::chrono::seconds{1});
}

// Lets go of the lock until something may have changed.
void TimerState::wait(Time until) {
  Parker parker;
  waiters_.push_back(&parker);
  mutex_.unlock();
  clock_.park(parker, until);
  mutex_.lock();
  std::erase(waiters_, &parker);
}

void TimerState::wake_waiters() {
  for (Parker* waiter : waiters_) clock_.wake(*waiter);
}

int TimerState::count() const {
  const MutexLock lock(mutex_);
  return static_cast<int>(wheel_.size());
}

bool TimerState::threaded() const {
  const MutexLock lock(mutex_);
  return looping_;
}

}  // namespace detail

Timer::Timer(Clock& clock, Executor* executor, int count_max)
    : state_(std::make_shared<detail::TimerState>(clock, executor, count_max)) {}
Timer::~Timer() { state_->abandon(); }
Result<TimerId> Timer::schedule(Time at, Task task) {
  return state_->schedule(at, std::move(task));
}
bool Timer::cancel(TimerId id) { return static_cast<bool>(state_->remove(id)); }
Task Timer::remove(TimerId id) { return state_->remove(id); }
std::optional<Time> Timer::next() const { return state_->next(); }
int Timer::fire(Time now, int max) { return state_->manual() ? state_->fire(now, max) : 0; }
bool Timer::close(Duration bound) { return state_->close(bound); }
int Timer::count() const { return state_->count(); }
bool Timer::threaded() const { return state_->threaded(); }

}  // namespace wisp::inline v0
