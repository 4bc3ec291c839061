// A function's rate: who begins when.
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

constexpr Duration kTurnKept = std::chrono::seconds(1);

}  // namespace

Status FunctionState::enter(const Clock& clock) {
  std::optional<Rate::Turn> turn;
  if (rate != nullptr && !(turn = rate->try_take(clock.now()))) {
    return refused(StatusCode::kResourceExhausted, Reason::rate,
                   fmt::format("function '{}' is at its rate limit ({} per second)",
                               definition->name, definition->options.limits.per_second));
  }
  if (try_enter()) return Status();
  if (turn) rate->give_back(*turn);
  return limit_reached();
}

bool Route::in_turn() {
  if (function_->rate == nullptr) return true;
  const Time now = invoker_.parts().clock.now();
  // One that nobody came for is not kept for later.
  if (turn_ && now - turn_->at > kTurnKept) turn_ = std::nullopt;
  if (!turn_) turn_ = function_->rate->reserve(now);
  return turn_->at <= now;
}

bool Route::before_turn() const { return turn_ && turn_->at > invoker_.parts().clock.now(); }

// For another attempt, as a first one had its turn when it left the queue. False: it is due then.
bool Route::has_turn(Shipment& delivery) const {
  if (function_->rate == nullptr || delivery.turn) return true;
  const Time now = invoker_.parts().clock.now();
  delivery.turn = function_->rate->reserve(now);
  delivery.due = delivery.turn->at;
  return delivery.due <= now;
}

void Route::give_turn_back(Shipment& delivery) const {
  if (!delivery.turn) return;
  function_->rate->give_back(*delivery.turn);
  delivery.turn = std::nullopt;
}

// After a look at the queue that found nothing to begin. The clock is asked once: what was before
// its turn then, and has it by now, is begun here.
void Route::arm_turn() {
  if (function_->rate == nullptr) return;
  Time turn;
  bool arms = false;
  {
    const BriefLock lock(mutex_);
    if (!turn_ || turn_armed_ || closed_) return;
    turn = turn_->at;
    arms = turn_armed_ = before_turn();
  }
  if (!arms) return top_up();
  Task task([weak = weak_from_this(), keep = keep_] {
    const std::shared_ptr<Invoker> invoker = keep.lock();
    const std::shared_ptr<Route> route = invoker == nullptr ? nullptr : weak.lock();
    if (route != nullptr) route->turn_came();
  });
  if (invoker_.parts().timer.schedule(turn, std::move(task)).ok()) return;
  // No timer has room: it goes as it is.
  {
    const BriefLock lock(mutex_);
    if (turn_) turn_->at = invoker_.parts().clock.now();
  }
  turn_came();
}

void Route::turn_came() {
  {
    const BriefLock lock(mutex_);
    turn_armed_ = false;
    // Dropped, or replaced, meanwhile.
    if (turn_ && queue_.ready() == 0) {
      function_->rate->give_back(*turn_);
      turn_ = std::nullopt;
    }
  }
  top_up();
  arm_turn();
}

}  // namespace wisp::inline v0::detail
