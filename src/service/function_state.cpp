// A function's concurrency limit, and what it shares with others.
#include <algorithm>
#include <list>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/detail/instances.hpp>
#include <wisp/service/detail/route.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

// A leave() that the thread is inside of. A task that no executor takes leaves in its destructor,
// which hands its slot to this one: or what waits would be dropped each inside of the one before.
struct Leaving {
  FunctionState* function;
  int slots;  // to hand on or free; below 0, so many yet to be left that were never had
  Leaving* outer;
};

thread_local Leaving* leaving = nullptr;

}  // namespace

Status Invoker::reserve(int workers) {
  if (workers == 0) return Status();
  const int all = parts_.tokens_max;
  if (workers >= all) {
    return invalid_argument(
        "limits.reserved: the functions reserve {} of {} workers, and at least one has to be left",
        workers, all);
  }
  shares_ = std::make_shared<Shares>(all - workers);
  return Status();
}

void FunctionState::limit_to(const Limits& limits, const std::shared_ptr<Shares>& all) {
  if (limits.concurrency > 0) limit = limits.concurrency;
  if (limits.reserved) limit = std::min(limit, *limits.reserved);
  else shares = all;
  if (limits.per_second > 0) rate = std::make_unique<Rate>(limits.per_second);
  narrow = limit != kUnlimited || shares != nullptr || rate != nullptr || !accounts.empty();
}

Status FunctionState::prepare() {
  if (reserved_late) {
    return failed_precondition(
        "function '{}': limits.reserved has to be known when the Runtime starts: add it to the "
        "catalogue",
        definition->name);
  }
  return instances == nullptr ? Status() : instances->provision();
}

bool FunctionState::try_enter() {
  if (shares != nullptr) {
    const MutexLock lock(shares->mutex);
    if (!room_shared(*shares)) return false;
    ++inside_shared;
    ++shares->inside;
    return true;
  }
  const MutexLock lock(mutex);
  if (inside >= limit) return false;
  ++inside;
  return true;
}

Status FunctionState::limit_reached() const {
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
  return refused(
      StatusCode::kResourceExhausted, Reason::limit,
      fmt::format("function '{}' is at its concurrency limit ({})", definition->name, limit));
}

bool FunctionState::enter_or_wait(Task& resume, const Route& route) {
  if (shares != nullptr) {
    const MutexLock lock(shares->mutex);
    if (closed_shared || room_shared(*shares)) {
      ++inside_shared;
      ++shares->inside;
      return true;
    }
    shares->waiting.push_back({this, &route, std::move(resume)});
    return false;
  }
  const MutexLock lock(mutex);
  // Once closed, all may enter: what they stand for is cancelled.
  if (closed || inside < limit) {
    ++inside;
    return true;
  }
  waiting.push_back({this, &route, std::move(resume)});
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

bool FunctionState::building() {
  const auto all = all_pools();
  return std::any_of(all.begin(), all.end(), [](const auto& each) { return each->building(); });
}

// Destroys what waits: of one route, or all and for good.
[[gnu::cold]] void FunctionState::take_out(const Route* route, Invoker& invoker) {
  std::list<WaitsForSlot> gone;
  const auto take = [&](std::list<WaitsForSlot>& from) {
    for (auto next = from.begin(); next != from.end();) {
      const auto each = next++;
      if (each->function == this && (route == nullptr || each->route == route))
        gone.splice(gone.end(), from, each);
    }
  };
  if (shares != nullptr) {
    const MutexLock lock(shares->mutex);
    closed_shared = closed_shared || route == nullptr;
    take(shares->waiting);
  } else {
    const MutexLock lock(mutex);
    closed = closed || route == nullptr;
    take(waiting);
  }
  // Each leaves in its destructor, here, a slot that it never had.
  Leaving mine{.function = this, .slots = -static_cast<int>(gone.size()), .outer = leaving};
  leaving = &mine;
  gone.clear();
  leaving = mine.outer;
  for (; mine.slots > 0; --mine.slots) leave(invoker);
}

// Frees a slot, or hands it to the first that waits and has room in its own function.
bool FunctionState::leave_shared(Task& next) {
  const MutexLock lock(shares->mutex);
  --inside_shared;
  --shares->inside;
  const auto found = std::find_if(
      shares->waiting.begin(), shares->waiting.end(),
      [](const WaitsForSlot& each) { return each.function->inside_shared < each.function->limit; });
  if (found == shares->waiting.end() || shares->inside >= shares->max) return false;
  ++found->function->inside_shared;
  ++shares->inside;
  next = std::move(found->resume);
  shares->waiting.erase(found);
  return true;
}

void FunctionState::hand_on(Invoker& invoker) {
  Task next;
  if (shares != nullptr) {
    if (!leave_shared(next)) return;
  } else {
    const MutexLock lock(mutex);
    if (waiting.empty()) {
      --inside;
      return;
    }
    next = std::move(waiting.front().resume);
    waiting.pop_front();
  }
  invoker.submit_surely(std::move(next));
}

void FunctionState::leave(Invoker& invoker) {
  for (Leaving* each = leaving; each != nullptr; each = each->outer) {
    if (each->function != this) continue;
    ++each->slots;
    return;
  }
  Leaving mine{.function = this, .slots = 1, .outer = leaving};
  leaving = &mine;
  for (; mine.slots > 0; --mine.slots) hand_on(invoker);
  leaving = mine.outer;
}

}  // namespace wisp::inline v0::detail
