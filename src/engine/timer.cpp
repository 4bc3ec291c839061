#include <wisp/engine/timer.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/base/park.hpp>

namespace wisp::inline v0 {
namespace detail {
namespace {

constexpr Duration kIdleMax = std::chrono::seconds{10};  // of the thread, without a timer
constexpr std::size_t kSlotsKept = 1024;                 // when no timer is pending

// Pending tasks by time and order. Not thread-safe.
class TimerHeap {
 public:
  std::size_t size() const { return heap_.size(); }
  bool empty() const { return heap_.empty(); }
  Time next() const { return heap_.front().at; }

  TimerId add(Time at, Task task);
  // The task, if the timer is pending; else an empty one.
  Task remove(TimerId id);
  Task remove_next() { return take(0); }
  // All tasks.
  std::deque<Task> clear();

 private:
  static constexpr std::size_t kArity = 4;
  struct Node {
    Time at{};
    std::uint64_t order = 0;
    std::uint32_t slot = 0;
    bool before(const Node& other) const {
      return at != other.at ? at < other.at : order < other.order;
    }
  };
  struct Slot {
    Task task;
    std::uint64_t order = 0;     // of the timer that it holds; 0: none
    std::uint32_t position = 0;  // in heap_
  };

  Task take(std::size_t position);
  void put(std::size_t position, Node node) {
    heap_[position] = node;
    slots_[node.slot].position = static_cast<std::uint32_t>(position);
  }
  void rise(std::size_t position, Node node);
  void sink(std::size_t position, Node node);

  std::vector<Node> heap_;
  std::deque<Slot> slots_;
  std::vector<std::uint32_t> unused_;
  std::uint64_t order_ = 0;
};

TimerId TimerHeap::add(Time at, Task task) {
  std::uint32_t slot = 0;
  if (unused_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = unused_.back();
    unused_.pop_back();
  }
  slots_[slot].task = std::move(task);
  slots_[slot].order = ++order_;
  heap_.emplace_back();
  rise(heap_.size() - 1, {.at = at, .order = order_, .slot = slot});
  return {.slot = slot, .order = order_};
}

Task TimerHeap::remove(TimerId id) {
  if (id.order == 0 || id.slot >= slots_.size() || slots_[id.slot].order != id.order) return {};
  return take(slots_[id.slot].position);
}

Task TimerHeap::take(std::size_t position) {
  const std::uint32_t slot = heap_[position].slot;
  const Node last = heap_.back();
  heap_.pop_back();
  if (position < heap_.size()) {
    if (position > 0 && last.before(heap_[(position - 1) / kArity])) {
      rise(position, last);
    } else {
      sink(position, last);
    }
  }
  Task task = std::move(slots_[slot].task);
  slots_[slot].order = 0;
  unused_.push_back(slot);
  // A burst's memory goes back; ids stay unique, since the order does.
  if (heap_.empty() && slots_.size() > kSlotsKept) clear();
  return task;
}

std::deque<Task> TimerHeap::clear() {
  std::deque<Task> tasks;
  for (const Node& node : heap_) tasks.push_back(std::move(slots_[node.slot].task));
  std::vector<Node>().swap(heap_);
  std::deque<Slot>().swap(slots_);
  std::vector<std::uint32_t>().swap(unused_);
  return tasks;
}

void TimerHeap::rise(std::size_t position, Node node) {
  while (position > 0) {
    const std::size_t parent = (position - 1) / kArity;
    if (!node.before(heap_[parent])) break;
    put(position, heap_[parent]);
    position = parent;
  }
  put(position, node);
}

void TimerHeap::sink(std::size_t position, Node node) {
  while (true) {
    const std::size_t first = position * kArity + 1;
    if (first >= heap_.size()) break;
    std::size_t least = first;
    for (std::size_t i = first + 1; i < std::min(first + kArity, heap_.size()); ++i) {
      if (heap_[i].before(heap_[least])) least = i;
    }
    if (!heap_[least].before(node)) break;
    put(position, heap_[least]);
    position = least;
  }
  put(position, node);
}

}  // namespace

// All of a timer but its handle. Whoever has run a task touches the clock only under the lock and
// while not closed: close() may have given up waiting, and the clock be gone.
class TimerState : public std::enable_shared_from_this<TimerState> {
 public:
  TimerState(Clock& clock, Executor* executor, int count_max)
      : clock_(clock), executor_(executor), count_max_(count_max) {}

  Result<TimerId> schedule(Time at, Task task);
  bool cancel(TimerId id);
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
  TimerHeap heap_ ABSL_GUARDED_BY(mutex_);
  bool looping_ ABSL_GUARDED_BY(mutex_) = false;   // the thread exists, or is being started
  bool starting_ ABSL_GUARDED_BY(mutex_) = false;  // by one that calls start_thread
  // The loop parks until then: only an earlier timer wakes it. In the past while it does not park.
  Time parked_until_ ABSL_GUARDED_BY(mutex_){};
  std::optional<Time> idle_until_ ABSL_GUARDED_BY(mutex_);
  std::thread::id firing_ ABSL_GUARDED_BY(mutex_);  // of nobody: no fire runs
  std::vector<Parker*> waiters_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

Result<TimerId> TimerState::schedule(Time at, Task task) {
  const MutexLock lock(mutex_);
  if (Status status = ensure_loop(); !status.ok()) return status;
  if (closed_) return refused(StatusCode::kUnavailable, Reason::stopped, "the timer has closed");
  if (heap_.size() >= static_cast<std::size_t>(count_max_)) {
    return refused(StatusCode::kResourceExhausted, Reason::full,
                   fmt::format("the timer is full ({})", count_max_));
  }
  const TimerId id = heap_.add(at, std::move(task));
  if (at < parked_until_) {
    parked_until_ = at;
    clock_.wake(loop_parker_);
  }
  return id;
}

// Returns with a thread that will see what is added under the lock; lets go of the lock meanwhile.
Status TimerState::ensure_loop() {
  while (executor_ != nullptr && !closed_) {
    if (starting_) {
      wait(Time::never());
      continue;
    }
    if (looping_) break;
    looping_ = starting_ = true;
    mutex_.unlock();
    Status started =
        executor_->start_thread("wisp-timer", [self = shared_from_this()] { self->loop(); });
    mutex_.lock();
    starting_ = false;
    if (!started.ok()) looping_ = false;
    wake_waiters();
    if (!started.ok()) return started;
  }
  return Status();
}

bool TimerState::cancel(TimerId id) {
  Task task;
  const MutexLock lock(mutex_);
  task = heap_.remove(id);
  const bool found = static_cast<bool>(task);
  // A loop that parks for what is gone would outstay its idle time. At most one wake in that time.
  if (found && heap_.empty() && parked_until_ > clock_.now() + kIdleMax) {
    parked_until_ = Time(Duration::min());
    clock_.wake(loop_parker_);
  }
  return found;
}

std::optional<Time> TimerState::next() const {
  const MutexLock lock(mutex_);
  return heap_.empty() ? std::nullopt : std::optional(heap_.next());
}

int TimerState::fire(Time now, int max) {
  int most = 0;
  {
    const MutexLock lock(mutex_);
    if (firing_ != std::thread::id()) return 0;
    firing_ = std::this_thread::get_id();
    most = static_cast<int>(std::min(heap_.size(), static_cast<std::size_t>(std::max(max, 0))));
  }
  int ran = 0;
  while (ran < most) {
    Task task;
    {
      const MutexLock lock(mutex_);
      if (heap_.empty() || heap_.next() > now) break;
      task = heap_.remove_next();
    }
    task();
    ++ran;
  }
  const MutexLock lock(mutex_);
  firing_ = std::thread::id();
  wake_waiters();
  return ran;
}

void TimerState::loop() {
  mutex_.lock();
  while (!closed_) {
    const Time now = clock_.now();
    const Time until = idle_or_next(now);
    if (until <= now && heap_.empty()) break;
    if (until > now) parked_until_ = until;
    mutex_.unlock();
    if (until > now) {
      clock_.park(loop_parker_, until);
    } else {
      fire(now, std::numeric_limits<int>::max());
    }
    mutex_.lock();
    parked_until_ = Time(Duration::min());
  }
  looping_ = false;
  idle_until_.reset();
  wake_waiters();
  mutex_.unlock();
}

// When there is something to do: the next timer, or the end for want of one.
Time TimerState::idle_or_next(Time now) {
  if (!heap_.empty()) {
    idle_until_.reset();
    return heap_.next();
  }
  if (!idle_until_) idle_until_ = now + kIdleMax;
  return *idle_until_;
}

// A task that closes its own timer does not wait for itself. A loop that runs none ends by itself.
bool TimerState::settled(bool late) const {
  const bool firing = firing_ != std::thread::id();
  if (firing) return late || firing_ == std::this_thread::get_id();
  return !looping_ && !starting_;
}

bool TimerState::close(Duration bound) {
  std::deque<Task> dropped;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    dropped = heap_.clear();
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
  return firing_ == std::thread::id() || firing_ == std::this_thread::get_id();
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
  return static_cast<int>(heap_.size());
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
bool Timer::cancel(TimerId id) { return state_->cancel(id); }
std::optional<Time> Timer::next() const { return state_->next(); }
int Timer::fire(Time now, int max) { return state_->manual() ? state_->fire(now, max) : 0; }
bool Timer::close(Duration bound) { return state_->close(bound); }
int Timer::count() const { return state_->count(); }
bool Timer::threaded() const { return state_->threaded(); }

}  // namespace wisp::inline v0
