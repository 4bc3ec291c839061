// The rates of functions and tenants: who begins when.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

constexpr Duration kTurnKept = std::chrono::seconds(1);

}  // namespace

Result<std::optional<Rate::Turn>> FunctionState::enter(const Clock& clock) {
  std::optional<Rate::Turn> turn;
  if (rate != nullptr && !(turn = rate->try_take(clock.now()))) {
    return refused(StatusCode::kResourceExhausted, Reason::rate,
                   fmt::format("function '{}' is at its rate limit ({} per second)",
                               definition->name, rate->per_second()));
  }
  if (try_enter()) return turn;
  if (turn) rate->untake(*turn);  // another may have taken one meanwhile
  return limit_reached();
}

bool Route::in_turn() {
  if (pace_.unlimited()) return true;
  const Time now = invoker_.parts().clock.now();
  // Those that nobody came for are not kept for later, but are not lost to those who come late.
  if (!turns_.empty() && now - *turns_.at() > kTurnKept) pace_.give_back(turns_, now);
  return pace_.take(turns_, now);
}

void Route::give_back(Pace::Turns& turns) const {
  if (!turns.empty()) pace_.give_back(turns, invoker_.parts().clock.now());
}

bool Route::before_turn() const {
  return !turns_.empty() && pace_.waits(turns_, invoker_.parts().clock.now());
}

// After a look at the queue that found nothing to begin. The clock is asked once: what was before
// its turn then, and has it by now, is begun here.
void Route::arm_turn() {
  if (pace_.unlimited()) return;
  Time turn;
  std::uint64_t number = 0;
  {
    const BriefLock lock(mutex_);
    if (turns_.empty() || turn_armed_ != 0 || closed_) return;
    turn = *turns_.at();
    if (before_turn()) number = turn_armed_ = ++arms_;
  }
  if (number == 0) return top_up();
  Task task([weak = weak_from_this(), keep = keep_, number] {
    const std::shared_ptr<Invoker> invoker = keep.lock();
    const std::shared_ptr<Route> route = invoker == nullptr ? nullptr : weak.lock();
    if (route != nullptr) route->turn_came(number);
  });
  const Result<TimerId> id = invoker_.parts().timer.schedule(turn, std::move(task));
  if (id.ok()) {
    bool here = false;
    {
      const BriefLock lock(mutex_);
      here = turn_armed_ == number;
      if (here) turn_timer_ = *id;
    }
    if (!here) invoker_.parts().timer.cancel(*id);
    return;
  }
  // No timer has room: it goes as it is.
  {
    const BriefLock lock(mutex_);
    const Time now = invoker_.parts().clock.now();
    for (auto& each : turns_.each)
      if (each) each->at = std::min(each->at, now);
  }
  turn_came(number);
}

void Route::ask_again() {
  std::vector<TimerId> put_off;
  std::optional<TimerId> turn;
  asked_.fetch_add(1);
  {
    const BriefLock lock(mutex_);
    turn_armed_ = 0;
    turn = std::exchange(turn_timer_, std::nullopt);
    for (const auto& [number, each] : delayed_)
      if (each.put_off) put_off.push_back(each.timer);
  }
  if (turn) invoker_.parts().timer.cancel(*turn);
  for (const TimerId timer : put_off)
    if (Task back = invoker_.parts().timer.remove(timer)) back();
  top_up();
  arm_turn();
}

void Route::turn_came(std::uint64_t number) {
  {
    const BriefLock lock(mutex_);
    // Another one has been armed, or will be.
    if (turn_armed_ != number) return;
    turn_armed_ = 0;
    turn_timer_ = std::nullopt;
    // Dropped, or replaced, meanwhile.
    if (queue_.ready() == 0) give_back(turns_);
  }
  top_up();
  arm_turn();
}

}  // namespace wisp::inline v0::detail
