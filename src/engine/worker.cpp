// What a worker of the pool does, from its first step to its last.
#include <algorithm>
#include <cassert>
#include <utility>

#include "pool_state.hpp"

namespace wisp::inline v0::detail {
namespace {

// The worker that the calling thread is, of whatever pool.
thread_local void* current_worker = nullptr;

}  // namespace

PoolState::Aside::Aside(const PoolState& pool)
    : worker_(pool.on_worker() ? static_cast<Worker*>(current_worker) : nullptr) {
  if (worker_ != nullptr) worker_->turn();
}

PoolState::Aside::~Aside() {
  if (worker_ != nullptr) worker_->turn();
}

bool PoolState::on_worker() const {
  return current_worker != nullptr && &static_cast<Worker*>(current_worker)->pool == this;
}

// Not in a callback, where the worker is in neither count.
bool PoolState::inside_task() const {
  if (!on_worker()) return false;
  const Worker& self = *static_cast<Worker*>(current_worker);
  return self.is == Is::running || self.is == Is::waiting;
}

void PoolState::work(Worker& self) {
  current_worker = &self;
  call_back(options_.on_thread_start, self.index);
  Queued next;
  Time until{};
  while (true) {
    const Step to = step(self, next, until);
    if (to == Step::leave) break;
    if (to == Step::park) {
      clock_.park(self.parker, until);
      continue;
    }
    self.turn();
    next.task();
    next.task.reset();
    self.turn();
  }
  call_back(options_.on_thread_exit, self.index);
  current_worker = nullptr;
  Thread before;
  {
    const MutexLock lock(mutex_);
    self.is = Is::absent;
    self.id = 0;
    before = retire(self.thread);
  }
  if (before.started()) before.join();
}

// What a worker does next, which has just started, finished a task, or been woken.
PoolState::Step PoolState::step(Worker& self, Queued& next, Time& until) {
  WakeLock lock(mutex_, clock_);
  if (self.inside) {
    self.inside = false;
    --inside_;
  }
  if (std::exchange(self.unborn, false)) --unborn_;
  if (orphaned_) {
    uncount(self);
    return Step::leave;
  }
  const Time now = clock_.now();
  if (self.id == 0) self.id = current_thread_id();
  if (std::exchange(self.aside, false)) {
    --aside_;
    stop_waiting(self);
  }
  if (self.is == Is::running) finish(self, now);
  if (take(lock, self, next, now)) return Step::run;
  if (self.is == Is::parked) until = self.parked_at + rules_.keep_alive;
  const bool rested = self.is == Is::parked && now >= until;
  if (closed_ || (rested && workers_ > rules_.min)) {
    uncount(self);
    if (rested) note_decision("a worker was idle for its keep-alive", now);
    return Step::leave;
  }
  if (rested) until = Time::never();
  if (self.is == Is::parked) return Step::park;
  // Under the same hold of the lock as the look at the queue: MUTANT_PARK_UNSEEN in the model.
  uncount(self);
  self.is = Is::parked;
  ++workers_;
  parked_.push_back(&self);
  self.parked_at = now;
  until = now + rules_.keep_alive;
  return Step::park;
}

void PoolState::finish(Worker& self, Time now) {
  assert(self.waits == 0);
  const Duration run = now - self.began;
  mean_run_ = totals_.ran == 0 ? run : mean_run_ + (run - mean_run_) / 16;
  ++totals_.ran;
  if (std::exchange(self.blocked, false)) --blocked_;
}

bool PoolState::take(WakeLock& lock, Worker& self, Queued& next, Time now) {
  if (queue_.empty() || self.is == Is::parked) return false;
  if (self.is == Is::running && active() > 1) {
    // More run than should: after waits that ended, or when sleepers turned out to be burners.
    if (active() > rules_.max) return false;
    if (excess_ > 0) {
      --excess_;
      return false;
    }
  }
  next = queue_.pop_front();
  has_queued_.store(!queue_.empty(), std::memory_order_relaxed);
  if (self.is == Is::starting) {
    self.is = Is::running;
    --starting_;
    ++running_;
  }
  self.began = now;
  self.inside = true;
  ++inside_;
  serve(lock, now).IgnoreError();  // somebody serves the queue: this one
  lock.flush();                    // inside already: see WakeLock
  return true;
}

// Takes a worker that neither runs a task nor waits out of all counts.
void PoolState::uncount(Worker& self) {
  if (self.is == Is::starting) --starting_;
  if (self.is == Is::running) --running_;
  if (self.is == Is::waiting) --waiting_;
  if (self.is == Is::parked) std::erase(parked_, &self);
  if (std::exchange(self.blocked, false)) --blocked_;
  self.is = Is::leaving;
  --workers_;
  wake_waiters();
}

void PoolState::call_back(const std::function<void(int)>& hook, int index) {
  if (!hook) return;
  {
    const MutexLock lock(mutex_);
    if (orphaned_) return;
    ++inside_;
    wake_waiters();
  }
  hook(index);
  const MutexLock lock(mutex_);
  --inside_;
}

// The calling thread's last step with the lock: from then on only its own stack. Returns the thread
// to join.
Thread PoolState::retire(Thread& thread) {
  --threads_;
  Thread before;
  if (thread.started()) {  // and not left behind
    before = std::move(ended_);
    ended_ = std::move(thread);
  }
  // Under the lock: once it is gone, so may be the clock.
  if (workers_ == 0 && !orphaned_) clock_.wake(supervisor_parker_);
  wake_waiters();
  return before;
}

bool PoolState::begin_blocking() {
  if (!on_worker()) return false;
  Worker& self = *static_cast<Worker*>(current_worker);
  const Aside aside(*this);
  WakeLock lock(mutex_, clock_);
  const bool waits = start_waiting(lock, self);
  if (waits) lock.flush();
  return waits;
}

bool PoolState::set_aside(int thread) {
  WakeLock lock(mutex_, clock_);
  const auto found = std::find_if(records_.begin(), records_.end(), [thread](const auto& each) {
    return each->id == thread && (each->is == Is::running || each->is == Is::waiting);
  });
  if (found == records_.end()) return false;
  Worker& worker = **found;  // what follows may add records
  if (worker.aside || !start_waiting(lock, worker)) return false;
  worker.aside = true;
  ++aside_;
  return true;
}

bool PoolState::start_waiting(WakeLock& lock, Worker& self) {
  if (closed_) return false;
  if (self.is == Is::waiting) {
    ++self.waits;
    return true;
  }
  if (self.is != Is::running) return false;
  --running_;
  if (std::exchange(self.blocked, false)) --blocked_;
  // Either somebody serves what is queued now, or there is room for one to serve what comes.
  const bool room = active() > 0 || !parked_.empty() || workers_ < threads_max();
  if (!room || !serve(lock, clock_.now()).ok()) {
    ++running_;
    return false;
  }
  self.is = Is::waiting;
  self.waits = 1;
  ++waiting_;
  return true;
}

void PoolState::end_blocking() {
  assert(on_worker());
  Worker& self = *static_cast<Worker*>(current_worker);
  const Aside aside(*this);
  const MutexLock lock(mutex_);
  stop_waiting(self);
}

void PoolState::stop_waiting(Worker& self) {
  assert(self.waits > 0);
  if (--self.waits > 0) return;
  self.is = Is::running;
  --waiting_;
  ++running_;
}

}  // namespace wisp::inline v0::detail
