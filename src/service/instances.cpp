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
      executor_(invoker.parts().executor),
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
  const Taken taken = pool.take();
  void* instance = taken.instance;
  if (instance == nullptr) instance = pool.take_cold(taken.awaits, context->deadline(), failed);
  if (instance == nullptr) {
    if (result != nullptr) self.fail(result, failed.status);
    return false;
  }
  const bool well = self.instances->enter(instance, in, result, context, failed);
  pool.give_back(instance, failed.threw);
  return well;
}

InstancePool::Taken InstancePool::take() {
  const MutexLock lock(mutex_);
  if (++inside_ == 1 && predicts()) {
    if (idle_since_) seen_.add(clock_.now() - *idle_since_);
    ahead_at_ = std::nullopt;
  }
  if (!idle_.empty()) return {.instance = pop()};
  // One call waits for it, as another could not have it; and not its own factory's.
  if (building_ && !awaited_ && builder_ != current_agent()) {
    awaited_ = true;
    return {.awaits = true};
  }
  begin_cold();
  return {};
}

void* InstancePool::pop() {
  void* const instance = idle_.back().instance;
  idle_.pop_back();
  return instance;
}

void InstancePool::begin_cold() {
  ++alive_;
  count(starts_->cold);
}

void* InstancePool::take_cold(bool awaits, Deadline deadline, Attempted& failed) {
  void* instance = nullptr;
  if (!awaits || !await_ahead(deadline, instance)) instance = build_for_call(failed);
  if (!failed.status.ok() || !deadline.passed(clock_)) return instance;
  failed.status =
      deadline_exceeded("'{}' had its deadline while an instance was built", definition_->name);
  if (instance != nullptr) give_back(instance);
  return nullptr;
}

bool InstancePool::await_ahead(Deadline deadline, void*& instance) {
  Parker parker;
  std::optional<Look> again;
  for (bool over = false; !over;) {
    {
      const MutexLock lock(mutex_);
      const bool late = deadline.passed(clock_);
      over = handed_ != nullptr || !idle_.empty() || !building_ || late;
      waiter_ = over ? nullptr : &parker;
      if (over) awaited_ = false;
      if (handed_ != nullptr) {
        instance = std::exchange(handed_, nullptr);
      } else if (!idle_.empty()) {
        instance = pop();
      } else if (over && !late) {
        begin_cold();
        return false;
      } else if (over) {
        again = leave(clock_.now());
      }
    }
    if (over) break;
    const Blocking blocking(executor_);
    clock_.park(parker, deadline.at());
  }
  arm(again);
  return true;
}

// Requires: counted in alive_.
void* InstancePool::build(Attempted& failed) {
  void* const instance = definition_->instances->build(*definition_, failed);
  if (instance != nullptr) return instance;
  failed.status =
      Status(failed.status.code(), fmt::format("an instance of '{}' could not be built: {}",
                                               definition_->name, message(failed.status)));
  return nullptr;
}

void* InstancePool::build_for_call(Attempted& failed) {
  const std::uint64_t began = ticks_.now();
  void* const instance = build(failed);
  if (instance == nullptr) give_back(nullptr);
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
    {
      const MutexLock lock(mutex_);
      if (instance != nullptr && !closed_) {
        idle_.push_back({instance, clock_.now()});
        continue;
      }
      --alive_;
    }
    if (instance == nullptr) return failed.status;
    destroy({instance});
  }
  return Status();
}

void InstancePool::destroy(const std::vector<void*>& gone) {
  for (void* const each : gone) definition_->instances->destroy(each);
}

// A call that had one, or found none.
std::optional<InstancePool::Look> InstancePool::leave(Time now) {
  if (--inside_ > 0 || !predicts()) return std::nullopt;
  idle_since_ = now;
  if (closed_) return std::nullopt;
  return look(now + std::min(keep_alive::IdleTimes::kBin / 2, rules_.keep_alive));
}

// `instance` is null if none could be built.
void InstancePool::give_back(void* instance, bool broken) {
  std::vector<void*> old;
  std::optional<Look> again;
  {
    const MutexLock lock(mutex_);
    const Time now = clock_.now();
    again = leave(now);
    if (closed_ || broken || instance == nullptr) {
      if (instance != nullptr) old.push_back(instance);
      --alive_;
      none_left(now);
    } else {
      idle_.push_back({instance, now});
      if (waiter_ != nullptr) clock_.wake(*waiter_);
      if (predicts() && inside_ > 0) again = look(now + rules_.keep_alive);
      else if (looks_at_ == Time::never() && !freeing_) again = look(pick_old(old));
    }
  }
  destroy(old);
  arm(again);
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

std::string_view InstancePool::busy() const {
  const MutexLock lock(mutex_);
  if (building_) return "building an instance";
  return destroying_ > 0 ? "destroying an instance" : std::string_view();
}

}  // namespace wisp::inline v0::detail
