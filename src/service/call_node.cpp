#include <wisp/service/detail/call_node.hpp>

#include <utility>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

std::shared_ptr<Invoker> CallNode::invoker() {
  const MutexLock lock(mutex_);
  return invoker_;
}

std::shared_ptr<Invoker> CallNode::claim(Time* due) {
  std::shared_ptr<Invoker> invoker;
  bool lodges = false;
  {
    const MutexLock lock(mutex_);
    if (state_ != State::queued && state_ != State::delayed) return nullptr;
    if (due != nullptr) *due = state_ == State::delayed ? due_ : Time();
    invoker = invoker_;
    lodges = lodges_;
    if (state_ == State::queued && !lodges_) {
      // Its task stays in the executor's queue.
      spare_of_ = invoker;
      invoker->spare_tasks_.fetch_add(1);
    }
    state_ = State::running;
  }
  if (lodges) invoker->forget_lodger(*this);
  return invoker;
}

std::shared_ptr<Invoker> CallNode::claim_by_task(bool lodger) {
  const MutexLock lock(mutex_);
  if (lodger) lodges_ = false;
  if (lodges_ || (state_ != State::queued && state_ != State::delayed)) return nullptr;
  state_ = State::running;
  return invoker_;
}

void CallNode::withdraw(Task& task) {
  {
    const MutexLock lock(mutex_);
    lodges_ = true;
  }
  task.reset();  // leaves a call that lodges alone
  const MutexLock lock(mutex_);
  lodges_ = false;
}

std::shared_ptr<Invoker> CallNode::spare_task() {
  const MutexLock lock(mutex_);
  return std::exchange(spare_of_, {}).lock();
}

bool CallNode::delay(Time due) {
  const MutexLock lock(mutex_);
  // Not if it was cancelled, or given up, a moment ago.
  if (state_ != State::running || cancellation_.requested()) return false;
  state_ = State::delayed;
  due_ = due;
  // Perhaps the waiter has to run it.
  if (waiter_ != nullptr) clock_->wake(*waiter_);
  return true;
}

bool CallNode::finish(bool abandoned) {
  Continuation then;
  std::shared_ptr<Invoker> last;  // released outside of the lock
  {
    const MutexLock lock(mutex_);
    if (state_ == State::done) return false;
    state_ = State::done;
    abandoned_.store(abandoned, std::memory_order_release);
    ready_.store(true, std::memory_order_release);
    // Under the lock: the waiter cannot leave, and take its Parker along, before this has returned.
    if (waiter_ != nullptr) clock_->wake(*waiter_);
    then = std::move(then_);
    last = std::move(invoker_);
  }
  if (then) then();
  return true;
}

void CallNode::then(Continuation continuation) {
  if (given_up_by_fork()) return;
  {
    const MutexLock lock(mutex_);
    if (state_ != State::done) {
      // The one that it replaces goes once the lock is gone.
      std::swap(then_, continuation);
      return;
    }
  }
  continuation();
}

void CallNode::cancel() {
  if (given_up_by_fork()) return;
  std::shared_ptr<Invoker> invoker = claim(nullptr);
  if (invoker == nullptr) {
    cancellation_.request();
    // An attempt may have ended meanwhile, and the next one wait for its time.
    invoker = claim(nullptr);
  }
  if (invoker == nullptr) return;
  invoker->refuse(*this, Outcome::cancelled,
                  Status(StatusCode::kCancelled,
                         attempts_ == 0 ? "cancelled before it began"
                                        : "cancelled while it waited for its next attempt"));
}

// In a child after fork nobody runs the call, and whoever held the lock is gone.
bool CallNode::given_up_by_fork() {
  if (forks_ == fork_generation()) return false;
  if (!ready()) {
    abandoned_.store(true, std::memory_order_release);
    ready_.store(true, std::memory_order_release);
  }
  return true;
}

void CallNode::wait_until(Time until) {
  if (given_up_by_fork()) return;
  std::shared_ptr<Invoker> invoker = this->invoker();
  if (invoker == nullptr) return park(until);  // it is ending right now
  const Blocking blocking(invoker->parts_.executor);
  // Or this thread, the last to hold the runtime's parts, would end them when their owner and its
  // clock have gone.
  invoker.reset();
  park(until);
}

void CallNode::park(Time until, bool claimable) {
  Parker parker;
  const auto over = [&] { return ready() || (claimable && can_be_claimed()); };
  {
    const MutexLock lock(mutex_);
    if (state_ == State::done) return;
    waiter_ = &parker;
  }
  while (!over() && clock_->now() < until) clock_->park(parker, until);
  const MutexLock lock(mutex_);
  waiter_ = nullptr;
}

bool CallNode::can_be_claimed() {
  const MutexLock lock(mutex_);
  return state_ == State::queued || state_ == State::delayed;
}

bool CallNode::run_here() {
  Time due;
  const std::shared_ptr<Invoker> invoker = claim(&due);
  if (invoker == nullptr) return false;
  if (due != Time() && invoker->parts_.manual) {
    invoker->complete(*this, receipt_.outcome);
    return true;
  }
  if (due != Time()) invoker->wait_for_retry(cancellation_, due);
  invoker->run_claimed(*this, true);
  return true;
}

void CallNode::wait() {
  if (ready() || given_up_by_fork()) return;
  std::shared_ptr<Invoker> invoker = this->invoker();
  if (invoker == nullptr) return park(Time::never());  // it is ending right now
  if (!function_->definition->options.pool_only && run_here()) return;
  Executor& executor = invoker->parts_.executor;
  const Blocking blocking(executor);
  const ActiveFrame* frame = ActiveFrame::top();
  // A host's executor may not know its threads; what runs on them does.
  const bool on_worker = executor.on_executor_thread() || (frame != nullptr && frame->on_executor);
  invoker.reset();  // see wait_until()
  if (!on_worker || blocking.substituted()) return park(Time::never());
  // A worker that nobody can stand in for runs even what should stay on the pool, and what fails
  // meanwhile and is to be tried again: waiting might be for ever.
  while (!ready() && !run_here()) park(Time::never(), true);
}

}  // namespace wisp::inline v0::detail
