#include <wisp/service/detail/instances.hpp>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

// What a runtime has in place of the user's definition.
struct InstancePool::Own final : Definition {
  Own(const Definition& users, std::shared_ptr<InstancePool> p)
      : Definition(users), pool(std::move(p)) {}
  const std::shared_ptr<InstancePool> pool;
};

InstancePool::InstancePool(Invoker& invoker, std::shared_ptr<const Definition> definition)
    : definition_(std::move(definition)),
      rules_(definition_->options.instances),
      clock_(invoker.parts().clock),
      timer_(invoker.parts().timer),
      ticks_(invoker.parts().ledger.ticks()),
      keep_(invoker.weak_from_this()) {}

void InstancePool::adopt(Invoker& invoker, std::shared_ptr<const Definition>& definition,
                         std::shared_ptr<InstancePool>& pool) {
  if (definition->instances == nullptr) return;
  pool = std::make_shared<InstancePool>(invoker, definition);
  auto own = std::make_shared<Own>(*definition, pool);
  own->run = &run;
  int& limit = own->options.limits.concurrency;
  const int max = own->options.instances.max;
  if (max > 0) limit = limit > 0 ? std::min(limit, max) : max;
  definition = std::move(own);
}

bool InstancePool::run(const Definition& self, const void* in, void* result, Context* context,
                       Attempted& failed) {
  InstancePool& pool = *static_cast<const Own&>(self).pool;
  void* instance = pool.take();
  if (instance == nullptr) {
    instance = pool.build_for_call(failed);
    if (instance != nullptr && context->deadline().passed(pool.clock_)) {
      pool.give_back(instance);
      instance = nullptr;
      failed.status =
          deadline_exceeded("'{}' had its deadline while an instance was built", self.name);
    }
    if (instance == nullptr) {
      if (result != nullptr) self.fail(result, failed.status);
      return false;
    }
  }
  const bool well = self.instances->enter(instance, in, result, context, failed);
  pool.give_back(instance, failed.threw);
  return well;
}

void* InstancePool::take() {
  const MutexLock lock(mutex_);
  if (idle_.empty()) {
    ++alive_;
    return nullptr;
  }
  void* const instance = idle_.back().instance;
  idle_.pop_back();
  return instance;
}

// Requires: counted in alive_.
void* InstancePool::build(Attempted& failed) {
  void* const instance = definition_->instances->build(*definition_, failed);
  if (instance != nullptr) return instance;
  failed.status =
      Status(failed.status.code(), fmt::format("an instance of '{}' could not be built: {}",
                                               definition_->name, message(failed.status)));
  const MutexLock lock(mutex_);
  --alive_;
  return nullptr;
}

void* InstancePool::build_for_call(Attempted& failed) {
  {
    const MutexLock lock(mutex_);
    ++cold_starts_;
  }
  const std::uint64_t began = ticks_.now();
  void* const instance = build(failed);
  // A started call's receipt, and not that of one which it is made in.
  const ActiveFrame* const frame = ActiveFrame::top();
  const auto* const running = static_cast<const Running*>(frame->running);
  CallNode* const node =
      running == nullptr ? nullptr : running->node.load(std::memory_order_relaxed);
  if (node != nullptr && frame->cancellation == &node->cancellation_) {
    node->charged_.cold = true;
    node->charged_.init_ns += ticks_.to_ns(ticks_between(began, ticks_.now()));
  }
  return instance;
}

Status InstancePool::provision() {
  for (int i = 0; i < rules_.provisioned; ++i) {
    {
      const MutexLock lock(mutex_);
      ++alive_;
    }
    Attempted failed;
    void* const instance = build(failed);
    if (instance == nullptr) return failed.status;
    give_back(instance);
  }
  return Status();
}

void InstancePool::destroy(const std::vector<void*>& gone) {
  for (void* const each : gone) definition_->instances->destroy(each);
}

std::optional<Time> InstancePool::pick_old(std::vector<void*>& old) {
  const Time now = clock_.now();
  while (!idle_.empty() && alive_ > rules_.provisioned) {
    const Time due = idle_.front().since + rules_.keep_alive;
    if (due > now) return due;
    old.push_back(idle_.front().instance);
    idle_.pop_front();
    --alive_;
  }
  return std::nullopt;
}

void InstancePool::give_back(void* instance, bool broken) {
  std::vector<void*> old;
  std::optional<Time> again;
  {
    const MutexLock lock(mutex_);
    if (closed_ || broken) {
      old.push_back(instance);
      --alive_;
    } else {
      idle_.push_back({instance, clock_.now()});
      again = timed_ ? std::nullopt : pick_old(old);
      timed_ = timed_ || again.has_value();
    }
  }
  destroy(old);
  if (again) look_later(*again);
}

// On the timer's thread.
struct InstancePool::Sweep {
  std::weak_ptr<InstancePool> pool;
  std::weak_ptr<Invoker> invoker;

  void operator()() {
    // In this order: the pool goes before what it stands on.
    const std::shared_ptr<Invoker> keep = invoker.lock();
    const std::shared_ptr<InstancePool> alive = keep == nullptr ? nullptr : pool.lock();
    if (alive != nullptr) alive->sweep();
  }
};

void InstancePool::look_later(Time at) {
  if (timer_.schedule(at, Task(Sweep{weak_from_this(), keep_})).ok()) return;
  // No timer has room: whoever comes back next asks again.
  const MutexLock lock(mutex_);
  timed_ = false;
}

void InstancePool::sweep() {
  std::vector<void*> old;
  std::optional<Time> again;
  {
    const MutexLock lock(mutex_);
    again = pick_old(old);
    timed_ = again.has_value();
  }
  destroy(old);
  if (again) look_later(*again);
}

void InstancePool::close() {
  std::vector<void*> idle;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    for (const Idle& each : idle_) idle.push_back(each.instance);
    alive_ -= static_cast<int>(idle_.size());
    idle_.clear();
  }
  destroy(idle);
}

std::uint64_t InstancePool::cold_starts() const {
  const MutexLock lock(mutex_);
  return cold_starts_;
}

}  // namespace wisp::inline v0::detail
