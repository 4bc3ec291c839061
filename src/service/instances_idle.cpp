// Which idle instances go, and when one is built ahead of its call.
#include <algorithm>
#include <utility>

#include <wisp/service/detail/instances.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

// When the one that has been idle for longest goes, perhaps at once.
std::optional<Time> InstancePool::goes_at(Time now) const {
  if (idle_.empty() || alive_ <= rules_.provisioned) return std::nullopt;
  if (!predicts() || alive_ > 1) return idle_.front().since + rules_.keep_alive;
  if (inside_ > 0) return std::nullopt;
  const std::optional<keep_alive::Span> span = policy().next(seen_, now - *idle_since_);
  return span && *idle_since_ + span->from <= now ? *idle_since_ + span->until : now;
}

std::optional<Time> InstancePool::pick_old(std::vector<void*>& old) {
  const Time now = clock_.now();
  std::optional<Time> due = goes_at(now);
  for (; due && *due <= now; due = goes_at(now)) {
    old.push_back(idle_.front().instance);
    idle_.pop_front();
    if (--alive_ == 0 && predicts()) ahead_at_ = next_span(now);
  }
  return alive_ == 0 ? ahead_at_ : due;
}

// Requires, as the next one does: no call is inside, and one has been.
std::optional<Time> InstancePool::next_span(Time now) const {
  std::optional<keep_alive::Span> span = policy().next(seen_, now - *idle_since_);
  if (span && *idle_since_ + span->from <= now) span = policy().next(seen_, span->until);
  return span ? std::optional<Time>(*idle_since_ + span->from) : std::nullopt;
}

bool InstancePool::in_span(Time now) const {
  const std::optional<keep_alive::Span> span = policy().next(seen_, now - *idle_since_);
  return span && *idle_since_ + span->from <= now;
}

void InstancePool::none_left(Time now) {
  if (alive_ == 0 && inside_ == 0 && predicts()) ahead_at_ = next_span(now);
}

// On the timer's thread.
struct InstancePool::Sweep {
  std::weak_ptr<InstancePool> pool;
  std::weak_ptr<Invoker> invoker;

  void operator()() {
    // In this order: the pool goes before what it stands on.
    const std::shared_ptr<Invoker> keep = invoker.lock();
    const std::shared_ptr<InstancePool> alive = keep == nullptr ? nullptr : pool.lock();
    if (alive != nullptr) alive->sweep(keep);
  }
};

// A task that builds one, or destroys old ones. Unrun, it is as if it had not been due.
struct InstancePool::Chore {
  std::shared_ptr<Invoker> invoker;
  std::shared_ptr<InstancePool> pool;
  const bool builds;
  bool run = false;

  Chore(std::shared_ptr<Invoker> i, std::shared_ptr<InstancePool> p, bool b)
      : invoker(std::move(i)), pool(std::move(p)), builds(b) {
    invoker->one_more();
  }
  Chore(Chore&&) noexcept = default;
  Chore& operator=(Chore&&) = delete;
  ~Chore() {
    if (pool == nullptr) return;
    {
      const MutexLock lock(pool->mutex_);
      if (builds) --pool->ahead_;
      else if (!run) pool->freeing_ = false;
    }
    pool.reset();
    invoker->one_less();
  }
  void operator()() {
    run = true;
    // A factory or a destructor that stops the runtime need not wait for itself.
    const Errand errand(*invoker, nullptr);
    if (builds) pool->build_ahead(*invoker);
    else pool->free_old();
  }
};

std::optional<InstancePool::Look> InstancePool::look(std::optional<Time> at) {
  if (!at || *at >= looks_at_) return std::nullopt;
  looks_at_ = *at;
  return Look{*at, ++looks_};
}

// Of several that arm at once the last that wanted to has the timer.
void InstancePool::arm(std::optional<Look> look) {
  if (!look) return;
  const Result<TimerId> id = timer_.schedule(look->at, Task(Sweep{weak_from_this(), keep_}));
  std::optional<TimerId> unwanted;
  {
    const MutexLock lock(mutex_);
    const bool last = look->number == looks_ && looks_at_ == look->at;
    // The last one was refused, and this one has not gone off meanwhile.
    const bool only = looks_at_ == Time::never() && look->at > clock_.now();
    if (!id.ok()) {
      // No timer has room: whoever comes back next asks again.
      if (last) looks_at_ = Time::never();
    } else if (last || only) {
      unwanted = std::exchange(timer_id_, *id);
      looks_at_ = look->at;
    } else {
      unwanted = *id;
    }
  }
  if (unwanted) timer_.cancel(*unwanted);
}

void InstancePool::sweep(const std::shared_ptr<Invoker>& invoker) {
  std::optional<Look> again;
  Task chore;
  {
    const MutexLock lock(mutex_);
    if (closed_) return;
    const Time now = clock_.now();
    // One that was to be cancelled looks as well.
    if (now >= looks_at_) {
      looks_at_ = Time::never();
      timer_id_ = std::nullopt;
    }
    if (due_ahead()) {
      ++ahead_;
      chore = Task(Chore(invoker, shared_from_this(), true));
    }
    const std::optional<Time> due = goes_at(now);
    if (!due || *due > now) {
      again = look(alive_ == 0 ? ahead_at_ : due);
    } else if (!std::exchange(freeing_, true)) {
      // Not here: destructors may take their time. Calls take what is old until then.
      chore = Task(Chore(invoker, shared_from_this(), false));
    }
  }
  arm(again);
  if (chore) invoker->submit_surely(std::move(chore));
}

void InstancePool::free_old() {
  std::vector<void*> old;
  std::optional<Look> again;
  {
    const MutexLock lock(mutex_);
    freeing_ = false;
    if (closed_) return;
    again = look(pick_old(old));
    ++destroying_;
  }
  arm(again);
  destroy(old);
  const MutexLock lock(mutex_);
  --destroying_;
}

// If not now, at the beginning of another span.
bool InstancePool::due_ahead() {
  const Time now = clock_.now();
  if (!ahead_at_ || *ahead_at_ > now) return false;
  ahead_at_ = next_span(now);
  return alive_ == 0 && ahead_ == 0 && in_span(now);
}

void InstancePool::build_ahead(Invoker& invoker) {
  if (invoker.stopping()) return;
  {
    const MutexLock lock(mutex_);
    // A call came first, or the time has passed.
    if (closed_ || alive_ > 0 || inside_ > 0 || !in_span(clock_.now())) return;
    building_ = true;
    builder_ = current_agent();
    ++alive_;
    count(starts_->ahead);
  }
  Attempted failed;
  void* const instance = build(failed);
  std::vector<void*> old;
  std::optional<Look> again;
  {
    const MutexLock lock(mutex_);
    building_ = false;
    if (waiter_ != nullptr) clock_.wake(*waiter_);
    if (closed_ || instance == nullptr) {
      if (instance != nullptr) old.push_back(instance);
      --alive_;
      none_left(clock_.now());
    } else if (awaited_) {
      handed_ = instance;  // nobody else may take it
    } else {
      idle_.push_back({instance, clock_.now()});
    }
    if (!closed_) again = look(pick_old(old));
  }
  destroy(old);
  arm(again);
  if (instance == nullptr)
    invoker.log(LogLevel::warning, definition_->name, message(failed.status));
}

}  // namespace wisp::inline v0::detail
