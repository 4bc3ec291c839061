// A function's concurrency limit, and what it shares with others.
#include <algorithm>
#include <list>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/detail/instances.hpp>
#include <wisp/service/detail/route.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

constinit thread_local Leaving* Leaving::top = nullptr;

void SlotQueue::push(FunctionState& function, const Route& route, Task& resume) {
  All one;
  one.push_back({&function, &route, BlockedFlow(route.flow()), Task(), 0, ++numbers_});
  const WaitsForSlot& waits = one.front();
  auto list = std::find_if(lists_.begin(), lists_.end(), [&waits](const All& each) {
    return each.front().function == waits.function && each.front().flow == waits.flow;
  });
  if (list == lists_.end()) list = lists_.emplace(lists_.end());
  one.front().resume = std::move(resume);
  list->splice(list->end(), one);
}

template <class May>
SlotQueue::All SlotQueue::take(FairQueue* queue, const May& may) {
  if (lists_.empty()) return {};
  All& only = lists_.front();
  if (lists_.size() == 1) return may(only.front()) ? take_first(only) : All();
  // Of each flow, the list with the oldest that may.
  std::vector<All*> found;
  for (All& each : lists_) {
    if (!may(each.front())) continue;
    const auto same = std::find_if(found.begin(), found.end(), [&each](const All* other) {
      return other->front().flow == each.front().flow;
    });
    if (same == found.end()) found.push_back(&each);
    else if (each.front().number < (*same)->front().number) *same = &each;
  }
  if (found.empty()) return {};
  if (found.size() == 1) return take_first(*found.front());
  std::vector<Flow*> flows;
  for (const All* each : found) flows.push_back(each->front().flow.get());
  const FairQueue::Chosen chosen = queue->choose(flows);
  found[chosen.which]->front().prepaid = chosen.prepaid;
  return take_first(*found[chosen.which]);
}

SlotQueue::All SlotQueue::take_first(All& from) {
  All taken;
  taken.splice(taken.begin(), from, from.begin());
  if (from.empty()) lists_.erase(lists_.begin() + (&from - lists_.data()));
  return taken;
}

template <class Gone>
SlotQueue::All SlotQueue::take_out(const Gone& gone) {
  All out;
  for (All& from : lists_) {
    for (auto next = from.begin(); next != from.end();) {
      const auto each = next++;
      if (gone(*each)) out.splice(out.end(), from, each);
    }
  }
  std::erase_if(lists_, [](const All& each) { return each.empty(); });
  return out;
}

void FunctionState::limit_to(const Limits& limits, const std::shared_ptr<Shares>& all) {
  if (!limits.reserved) shares = all;
  adjust(limits.concurrency, std::nullopt);
  const bool adjustable = owner.parts().adjustable;
  if (adjustable || limits.per_second > 0) rate = std::make_unique<Rate>(limits.per_second);
  narrow = adjustable || limit != kUnlimited || shares != nullptr || rate != nullptr ||
           !accounts.empty();
}

int FunctionState::concurrency() const {
  const int most = unpaused.load();
  return most == kUnlimited ? 0 : most;
}

void FunctionState::adjust(std::optional<int> concurrency, std::optional<bool> pause) {
  if (concurrency) {
    const FunctionOptions& options = definition->options;
    int most = *concurrency > 0 ? *concurrency : kUnlimited;
    most = std::min(most, options.limits.reserved.value_or(kUnlimited));
    if (options.instances.max > 0) most = std::min(most, options.instances.max);
    unpaused = most;
  }
  if (pause) paused_ = *pause;
  limit = paused() ? 0 : unpaused.load();
}

// After a change: who found no room before it waits by now. No more at once than of a route; each
// that leaves lets the next in, so the others still wait where their order is, and for a pause.
void FunctionState::let_in() {
  FairQueue* const queue = owner.sharing().queue();
  for (int more = owner.tokens_max(); more > 0; --more) {
    SlotQueue::All next;
    if (shares != nullptr) {
      const MutexLock lock(shares->mutex);
      next = next_shared(queue);
    } else {
      const MutexLock lock(mutex);
      if (inside < limit) next = waiting.take(queue, [](const WaitsForSlot&) { return true; });
      if (!next.empty()) ++inside;
    }
    if (next.empty()) return;
    WaitsForSlot& first = next.front();
    owner.sharing().submit_surely(owner, std::move(first.resume), first.flow.share(),
                                  first.prepaid);
  }
}

Status FunctionState::prepare() {
  if (!late_option.empty()) {
    return failed_precondition(
        "function '{}': {} has to be known when the Runtime starts: add it to the catalogue",
        definition->name, late_option);
  }
  return instances != nullptr ? instances->provision() : Status();
}

// Not before: others come to this by its route, and what is refused goes at once.
void FunctionState::published() { owner.add_route(posts); }

bool FunctionState::try_enter(int left) {
  if (shares != nullptr) {
    const MutexLock lock(shares->mutex);
    if (!room_shared(*shares, left)) return false;
    ++inside_shared;
    ++shares->inside;
    return true;
  }
  const MutexLock lock(mutex);
  if (inside >= limit - left) return false;
  ++inside;
  return true;
}

Status FunctionState::limit_reached() const {
  if (paused()) {
    return refused(StatusCode::kResourceExhausted, Reason::limit,
                   fmt::format("function '{}' is paused", definition->name));
  }
  if (limit == 0) {
    return refused(
        StatusCode::kResourceExhausted, Reason::limit,
        fmt::format("function '{}' is switched off: limits.reserved is 0", definition->name));
  }
  if (shares != nullptr) {
    const MutexLock lock(shares->mutex);
    if (inside_shared < limit) {
      return refused(StatusCode::kResourceExhausted, Reason::limit,
                     fmt::format("function '{}' has no reservation, and the {} workers that are "
                                 "left beside those of others are in use",
                                 definition->name, shares->max));
    }
  }
  return refused(StatusCode::kResourceExhausted, Reason::limit,
                 fmt::format("function '{}' is at its concurrency limit ({})", definition->name,
                             limit.load()));
}

bool FunctionState::enter_or_wait(Task& resume, const Route& route) {
  if (shares != nullptr) {
    const MutexLock lock(shares->mutex);
    if (closed_shared || room_shared(*shares)) {
      ++inside_shared;
      ++shares->inside;
      return true;
    }
    shares->waiting.push(*this, route, resume);
    return false;
  }
  const MutexLock lock(mutex);
  // Once closed, all may enter: what they stand for is cancelled.
  if (closed || inside < limit) {
    ++inside;
    return true;
  }
  waiting.push(*this, route, resume);
  return false;
}

void FunctionState::drop(const Route& route, Invoker& invoker) { take_out(&route, invoker); }

void FunctionState::close(Invoker& invoker) {
  for (const auto& each : all_pools()) each->close();
  take_out(nullptr, invoker);
}

std::vector<std::shared_ptr<InstancePool>> FunctionState::all_pools() {
  std::vector<std::shared_ptr<InstancePool>> all;
  if (instances != nullptr) all.push_back(instances);
  const MutexLock lock(mutex);
  for (const auto& each : pools)
    if (std::shared_ptr<InstancePool> alive = each.lock()) all.push_back(std::move(alive));
  return all;
}

std::string_view FunctionState::busy() {
  for (const std::shared_ptr<InstancePool>& each : all_pools())
    if (const std::string_view what = each->busy(); !what.empty()) return what;
  return {};
}

// Destroys what waits: of one route, or all and for good.
[[gnu::cold]] void FunctionState::take_out(const Route* route, Invoker& invoker) {
  SlotQueue::All gone;
  const auto goes = [this, route](const WaitsForSlot& each) {
    return each.function == this && (route == nullptr || each.route == route);
  };
  if (shares != nullptr) {
    const MutexLock lock(shares->mutex);
    closed_shared = closed_shared || route == nullptr;
    gone = shares->waiting.take_out(goes);
  } else {
    const MutexLock lock(mutex);
    closed = closed || route == nullptr;
    gone = waiting.take_out(goes);
  }
  // Each leaves in its destructor, here, a slot that it never had.
  Leaving mine{.function = this, .slots = -static_cast<int>(gone.size()), .outer = Leaving::top};
  Leaving::top = &mine;
  gone.clear();
  Leaving::top = mine.outer;
  for (; mine.slots > 0; --mine.slots) leave(invoker);
}

// The first that waits, and has room in its own function, in a slot if there is one.
SlotQueue::All FunctionState::next_shared(FairQueue* queue) {
  if (shares->inside >= shares->max) return {};
  SlotQueue::All next = shares->waiting.take(queue, [](const WaitsForSlot& each) {
    return each.function->inside_shared < each.function->limit;
  });
  if (next.empty()) return next;
  ++next.front().function->inside_shared;
  ++shares->inside;
  return next;
}

// Frees a slot, or hands it on.
SlotQueue::All FunctionState::leave_shared(FairQueue* queue) {
  const MutexLock lock(shares->mutex);
  --inside_shared;
  --shares->inside;
  return next_shared(queue);
}

void FunctionState::hand_on(Invoker& invoker) {
  FairQueue* const queue = owner.sharing().queue();
  SlotQueue::All next;
  if (shares != nullptr) {
    next = leave_shared(queue);
  } else {
    const MutexLock lock(mutex);
    if (inside <= limit) next = waiting.take(queue, [](const WaitsForSlot&) { return true; });
    if (next.empty()) --inside;
  }
  if (next.empty()) return;
  WaitsForSlot& first = next.front();
  invoker.sharing().submit_surely(invoker, std::move(first.resume), first.flow.share(),
                                  first.prepaid);
}

void FunctionState::leave(Invoker& invoker) {
  for (Leaving* each = Leaving::top; each != nullptr; each = each->outer) {
    if (each->function != this) continue;
    ++each->slots;
    return;
  }
  Leaving mine{.function = this, .slots = 1, .outer = Leaving::top};
  Leaving::top = &mine;
  for (; mine.slots > 0; --mine.slots) hand_on(invoker);
  Leaving::top = mine.outer;
}

}  // namespace wisp::inline v0::detail
