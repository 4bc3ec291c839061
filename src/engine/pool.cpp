#include <wisp/engine/pool.hpp>

#include <errno.h>
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "has_memory.hpp"
#include "pool_state.hpp"

namespace wisp::inline v0 {
namespace detail {
namespace {

constexpr Duration kCloseBound = std::chrono::seconds{1};
// A thread that has nothing of the host's left to run ends within that.
constexpr Duration kEndBound = std::chrono::milliseconds{100};

// The kernel wants room for all that the machine may have, which may be more than 1,024.
int usable_cores() {
  for (std::size_t most = CPU_SETSIZE; most <= 1U << 20U; most *= 2) {
    std::vector<cpu_set_t> cores(most / CPU_SETSIZE);
    const std::size_t bytes = cores.size() * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, cores.data()) == 0)
      return std::max(1, CPU_COUNT_S(bytes, cores.data()));
    if (errno != EINVAL) break;
  }
  return 1;
}

}  // namespace

void WakeLock::wake(Parker& parker) {
  if (count_ == kHeldMax) flush();
  parkers_[count_++] = &parker;
}

void WakeLock::flush() {
  while (count_ > 0) clock_.wake(*parkers_[--count_]);
}

PoolState::PoolState(PoolOptions options)
    : options_(std::move(options)),
      rules_(options_.workers),
      clock_(options_.clock != nullptr ? *options_.clock : Clock::system()),
      cores_(options_.cores > 0 ? options_.cores : usable_cores()) {}

Status PoolState::submit(Task& task) {
  // Before the lock, which others wait for: so a task may bear an earlier time than the one ahead.
  const Time now = clock_.now();
  const Aside aside(*this);
  WakeLock lock(mutex_, clock_);
  if (closed_) return refused(StatusCode::kUnavailable, Reason::stopped, "the pool has closed");
  if (static_cast<int>(queue_.size()) >= options_.queue_max) {
    return refused(StatusCode::kResourceExhausted, Reason::full,
                   fmt::format("queue of the pool is full ({})", options_.queue_max));
  }
  queue_.push_back(std::move(task), now);
  Status served = serve(lock, now);
  if (!served.ok()) {
    // Nobody serves the queue, so nothing else is in it.
    task = queue_.pop_back();
  }
  has_queued_.store(!queue_.empty(), std::memory_order_relaxed);
  return served;
}

// Brings one more worker on its way if the policy wants one, and has what remains watched. An error
// if nobody serves the queue.
Status PoolState::serve(WakeLock& lock, Time now) {
  // One at a time: who starts serves again once it has found work. But a worker at hand does not
  // wait for a thread that is being born: that takes as long as the host's callback does. (The
  // model's assertion on starting_ - unborn_, and MUTANT_TWO_WOKEN.)
  const bool woken = starting_ > unborn_;
  if (queue_.empty() || woken || (unborn_ > 0 && parked_.empty())) return Status();
  if (active() - unborn_ < wanted(now, 0)) {
    Status added = add_worker(
        lock, now,
        active() == 0 ? "tasks are queued and nobody runs" : "the queue is more than the target");
    if (!added.ok()) return added;
  }
  if (starting_ == 0) watch(lock, now);
  return Status();
}

void PoolState::resize(const Workers& workers) {
  WakeLock lock(mutex_, clock_);
  rules_.min = workers.min;
  rules_.max = workers.max;
  rules_.keep_alive = workers.keep_alive;
  most_ = std::max(most_, workers.max);
  for (Worker* const each : parked_) clock_.wake(each->parker);
  if (!closed_ && !queue_.empty()) serve(lock, clock_.now()).IgnoreError();
}

int PoolState::wanted(Time now, int starting) const {
  const Workers& workers = rules_;
  const int want = workers.policy.decide(
      {.queued = static_cast<int>(queue_.size()),
       .oldest_wait = queue_.empty() ? Duration{} : std::max(Duration{}, now - queue_.front().at),
       .running = running_,
       .blocked = blocked_,
       .starting = starting,
       .cores = cores_,
       .mean_run = mean_run_,
       .idle = static_cast<int>(parked_.size()),
       .now = now},
      {.min = workers.min, .max = workers.max});
  return std::clamp(want, std::max(1, workers.min), workers.max);
}

// Wakes the last worker that parked, or starts one. An error only if nobody else serves the queue.
Status PoolState::add_worker(WakeLock& lock, Time now, std::string_view why) {
  const bool served = active() > 0;
  if (!parked_.empty()) {
    Worker& worker = *parked_.back();
    parked_.pop_back();
    worker.is = Is::starting;
    note_decision(why, now);
    ++starting_;
    lock.wake(worker.parker);
    return Status();
  }
  if (served && now < retry_at_) return Status();
  if (workers_ >= threads_max()) {
    return served ? Status() : resource_exhausted("all {} workers of the pool wait", workers_);
  }
  Worker* worker = nullptr;
  Status started = no_memory_;
  (void)has_memory([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    worker = &unused_record();
    started = start(
        worker->thread, fmt::format("wisp-{}", worker->index),
        [state = shared_from_this(), worker] { state->work(*worker); }, now);
  });
  if (!started.ok()) return served ? Status() : started;
  worker->is = Is::starting;
  worker->unborn = true;
  totals_.peak = std::max(totals_.peak, ++workers_);
  note_decision(why, now);
  ++starting_;
  ++unborn_;
  return Status();
}

void PoolState::note_decision(std::string_view why, Time now) {
  totals_.last = {
      .why = why,
      .at = now,
      .workers = workers_,
      .queued = static_cast<int>(queue_.size()),
      .oldest_wait = queue_.empty() ? Duration{} : std::max(Duration{}, now - queue_.front().at),
      .running = running_,
      .blocked = blocked_};
}

PoolState::Worker& PoolState::unused_record() {
  for (const auto& worker : records_) {
    if (worker->is == Is::absent) return *worker;
  }
  // Room for every worker, so that one that parks never allocates.
  if (records_.size() == parked_.capacity()) parked_.reserve(2 * (records_.size() + 1));
  records_.push_back(std::make_unique<Worker>(*this, static_cast<int>(records_.size())));
  return *records_.back();
}

// The new thread waits for the lock, which its starter holds: what it is gets set before it looks.
Status PoolState::start(Thread& thread, std::string_view name, Task body, Time now) {
  const int fault = options_.thread_fault ? options_.thread_fault() : 0;
  Result<Thread> started = fault == 0 ? Thread::start(name, std::move(body)) : no_thread(fault);
  if (!started.ok()) {
    ++totals_.thread_failures;
    retry_at_ = now + kRetryAfter;
    return started.status();
  }
  thread = *std::move(started);
  retry_at_ = Time{};
  ++threads_;
  ++totals_.threads_started;
  return Status();
}

// Whether drain or close may return. The calling worker does not wait for itself.
bool PoolState::settled(bool closing, bool late) const {
  if (!closing) return queue_.empty() && running_ + waiting_ == (inside_task() ? 1 : 0);
  return threads_ == (on_worker() ? 1 : 0) || (late && threads_ == inside_);
}

// A task of this pool lets others take its place meanwhile: it may be them that it waits for.
bool PoolState::drain(Time until) {
  const bool blocks = begin_blocking();
  const bool drained = await(until, false);
  if (blocks) end_blocking();
  return drained;
}

bool PoolState::await(Time until, bool closing) {
  Parker parker;
  while (true) {
    bool late = false;
    {
      const MutexLock lock(mutex_);
      std::erase(waiters_, &parker);
      late = clock_.now() >= until;
      if (settled(closing, late)) return true;
      if (late && !closing) return false;
      waiters_.push_back(&parker);
    }
    // Late, it waits for threads that are ours, and come back by themselves.
    clock_.park(parker, late ? Time::never() : until);
  }
}

void PoolState::wake_waiters() {
  for (Parker* waiter : waiters_) clock_.wake(*waiter);
}

int PoolState::close(Time until) {
  TaskQueue dropped;
  {
    WakeLock lock(mutex_, clock_);
    closed_ = true;
    dropped.swap(queue_);
    has_queued_.store(false, std::memory_order_relaxed);
    for (Worker* worker : parked_) lock.wake(worker->parker);
    lock.wake(supervisor_parker_);
  }
  while (!dropped.empty()) dropped.pop_front();
  await(until, true);
  Thread last;
  int left = 0;
  {
    const MutexLock lock(mutex_);
    left = threads_ - (on_worker() ? 1 : 0);
    last = std::move(ended_);
  }
  if (!last.started() || join(last, until)) return left;
  const MutexLock lock(mutex_);
  if (ended_.started()) last.detach();
  else ended_ = std::move(last);
  return left + 1;
}

// The destructors of the host's thread-local objects come after the thread's last step with the
// lock. A clock that is not real does not bound them.
bool PoolState::join(Thread& thread, Time until) {
  if (clock_.real()) return thread.join_within(std::max(until - clock_.now(), kEndBound));
  thread.join();
  return true;
}

void PoolState::abandon() {
  bool closed = false;
  {
    const MutexLock lock(mutex_);
    closed = closed_;
  }
  close(closed ? Time{} : clock_.now() + kCloseBound);
  Thread last;
  {
    const MutexLock lock(mutex_);
    orphaned_ = true;
    for (const auto& worker : records_) {
      if (worker->thread.started()) worker->thread.detach();
    }
    if (supervisor_thread_.started()) supervisor_thread_.detach();
    last = std::move(ended_);
  }
  if (last.started() && !join(last, Time{})) last.detach();
}

PoolStats PoolState::stats() const {
  const MutexLock lock(mutex_);
  PoolStats stats = totals_;
  stats.queued = static_cast<int>(queue_.size());
  if (!queue_.empty()) stats.oldest_wait = clock_.now() - queue_.front().at;
  stats.workers = workers_;
  stats.running = running_ + waiting_;
  stats.blocked = blocked_;
  stats.waiting = waiting_;
  stats.aside = aside_;
  stats.starting = starting_;
  stats.parked = static_cast<int>(parked_.size());
  stats.supervised = supervisor_ != Is::absent;
  return stats;
}

}  // namespace detail

Status check(const Workers& workers) {
  constexpr int kMax = 32'768;
  if (workers.max < 1 || workers.max > kMax) {
    return invalid_argument("workers.max is {}: from 1 to {}", workers.max, kMax);
  }
  if (workers.min < 0 || workers.min > workers.max) {
    return invalid_argument("workers.min is {}: from 0 to workers.max ({})", workers.min,
                            workers.max);
  }
  if (workers.keep_alive < Duration::zero()) {
    return invalid_argument("workers.keep_alive is {} ns: not negative",
                            workers.keep_alive.count());
  }
  return Status();
}

Pool::Pool(PoolOptions options) : state_(std::make_shared<detail::PoolState>(std::move(options))) {}
Pool::~Pool() { state_->abandon(); }
Status Pool::submit(Task& task) { return state_->submit(task); }
bool Pool::begin_blocking() { return state_->begin_blocking(); }
void Pool::end_blocking() { state_->end_blocking(); }
bool Pool::set_aside(int thread) { return state_->set_aside(thread); }
bool Pool::has_queued() const { return state_->has_queued(); }
bool Pool::on_executor_thread() const { return state_->on_worker(); }
bool Pool::drain(Time until) { return state_->drain(until); }
int Pool::close(Time until) { return state_->close(until); }
void Pool::resize(const Workers& workers) { state_->resize(workers); }
PoolStats Pool::stats() const { return state_->stats(); }

}  // namespace wisp::inline v0
