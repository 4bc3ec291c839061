#include <wisp/service/detail/route.hpp>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

namespace {

// Whether a queue that holds so many, and their bytes, has no room for so many bytes more.
inline bool exceeds(const Queue& queue, int held, std::size_t used, std::size_t bytes) {
  return held >= queue.count || (held > 0 && used + bytes > queue.bytes);
}

}  // namespace

// A delivery on its way back: from the timer to the executor, then to its handler.
struct Route::Away {
  std::shared_ptr<Route> route;
  std::shared_ptr<Invoker> keep;
  std::unique_ptr<Shipment> delivery;
  bool on_timer = false;
  bool slot_taken = false;

  Away(std::shared_ptr<Route> r, std::shared_ptr<Invoker> k, std::unique_ptr<Shipment> d,
       bool timer, bool slot)
      : route(std::move(r)),
        keep(std::move(k)),
        delivery(std::move(d)),
        on_timer(timer),
        slot_taken(slot) {}
  Away(Away&&) noexcept = default;
  Away& operator=(Away&&) = delete;
  ~Away() {
    if (delivery != nullptr) route->lost(std::move(delivery), slot_taken);
  }
  void operator()() {
    if (on_timer) {
      on_timer = false;
      keep->sharing().submit_surely(
          *keep, Task(Away(route, keep, std::move(delivery), false, slot_taken)), route->flow());
    } else {
      route->resume(std::move(delivery), slot_taken);
    }
  }
};

Route::Route(Invoker& invoker, Rules rules, FunctionState* function,
             std::unique_ptr<FunctionState> own)
    : takes_records(own == nullptr && !rules.serial && !invoker.parts().manual &&
                    rules.queue.act != Overflow::drop_oldest && !function->limited() &&
                    invoker.sharing().queue() == nullptr),
      invoker_(invoker),
      keep_(invoker.weak_from_this()),
      rules_(std::move(rules)),
      own_(std::move(own)),
      function_(own_ != nullptr ? own_.get() : function),
      pace_(nullptr, function_->rate.get()),
      flow_(invoker.sharing().flow(function_->definition->options.lane, "")),
      parts_(make_parts()),
      log_(invoker.post_blocks()),
      queue_(rules_.serial) {}

bool Route::over(std::size_t bytes, const Waiting& without) const {
  return exceeds(rules_.queue, count_ + away_ + log_.count() - without.count,
                 bytes_ + log_.bytes() - without.bytes, bytes);
}

bool Route::full(std::size_t bytes) {
  if (!exceeds(rules_.queue, count_ + away_ + log_.count(), bytes_ + log_.bytes(), bytes))
    return false;
  log_.refresh();
  return over(bytes, {});
}

bool Route::make_room(std::size_t bytes, std::string_view key, Shipments& dropped) {
  const bool any = rules_.queue.act == Overflow::drop_oldest;
  if (!any && rules_.queue.act != Overflow::coalesce) return false;
  const Waiting most = any ? queue_.waiting() : queue_.waiting(key);
  // None is dropped in vain.
  if (most.count == 0 || over(bytes, most)) return false;
  do {
    dropped.push_back(any ? queue_.drop_oldest() : queue_.displace(key));
    uncount(*dropped.back());
  } while (over(bytes, {}));
  return true;
}

Status Route::has_ended() const {
  return refused(StatusCode::kCancelled, Reason::stopped, fmt::format("{} has ended", rules_.name));
}

Status Route::is_full() const {
  return refused(StatusCode::kResourceExhausted, Reason::full,
                 fmt::format("the queue of {} is full ({} deliveries, {} bytes)", rules_.name,
                             rules_.queue.count, rules_.queue.bytes));
}

Result<Route::Room> Route::reserve(std::size_t bytes, std::string_view key, Time deadline) {
  Clock& clock = invoker_.parts().clock;
  const Time until = std::min(deadline, clock.now() + kBlockMax);
  const Overflow act = rules_.queue.act;
  while (true) {
    Shipments dropped;
    Parker parker;
    bool taken = false;
    {
      const BriefLock lock(mutex_);
      if (closed_) return has_ended();
      if (!invoker_.accepts())
        return refused(StatusCode::kUnavailable, Reason::stopped, "the runtime has stopped");
      taken = !full(bytes) || make_room(bytes, key, dropped);
      if (taken) {
        ++count_;
        bytes_ += bytes;
        invoker_.one_more();
      } else if (act == Overflow::drop_newest) {
        return Room::dropped;
      } else if (act == Overflow::block && !invoker_.parts().manual && clock.now() < until) {
        waiters_.push_back(&parker);
        notice_.fetch_or(kAwaited, std::memory_order_release);
      } else {
        return is_full();
      }
    }
    if (taken) {
      note_dropped(dropped);
      return Room::taken;
    }
    {
      const Blocking blocking(invoker_.parts().executor);
      clock.park(parker, until);
    }
    const BriefLock lock(mutex_);
    std::erase(waiters_, &parker);
  }
}

void Route::note_dropped(const Shipments& dropped) {
  Counters& counters = invoker_.counters();
  for (std::size_t i = 0; i < dropped.size(); ++i) {
    count(rules_.queue.act == Overflow::coalesce ? counters.coalesced : counters.dropped_oldest);
    invoker_.note(Step::dropped, *this, *dropped[i]->event, dropped[i]->attempts);
    if (dropped[i]->attempts == 0) count(function_->unbegun);
    invoker_.end_delivery(counters.dead);
  }
}

void Route::unreserve(std::size_t bytes, std::string_view key) {
  {
    const BriefLock lock(mutex_);
    --count_;
    bytes_ -= bytes;
    if (!key.empty()) queue_.give_place_up(key);
    wake_waiters();
  }
  invoker_.one_less();
}

void Route::push(std::unique_ptr<Shipment> delivery) {
  {
    const BriefLock lock(mutex_);
    if (!closed_) {
      queue_.push(std::move(delivery));
    } else {
      --count_;
      bytes_ -= delivery->bytes;
    }
  }
  if (delivery != nullptr) return invoker_.cancel_delivery(*this, *delivery);
  top_up();
}

void Route::uncount(const Shipment& delivery) {
  --count_;
  again_ -= static_cast<int>(delivery.attempts > 0);
  bytes_ -= delivery.bytes;
}

std::unique_ptr<Shipment> Route::begin() {
  if (closed_ || queue_.ready() == 0 || held() || !in_turn()) return nullptr;
  std::unique_ptr<Shipment> head = queue_.take();
  head->turns = std::exchange(turns_, {});
  uncount(*head);
  ++active_;
  if (rules_.replaces) current_ = std::make_shared<Cancellation>();
  wake_waiters();
  return head;
}

void Route::end() {
  --active_;
  wake_waiters();
}

void Route::go_away(const Shipment& delivery) {
  ++away_;
  awaiting_ += static_cast<int>(delivery.attempts == 0);
  bytes_ += delivery.bytes;
}

void Route::come_back(const Shipment& delivery) {
  --away_;
  awaiting_ -= static_cast<int>(delivery.attempts == 0);
  bytes_ -= delivery.bytes;
  std::erase_if(delayed_, [&delivery](const auto& each) { return each.first == delivery.delay; });
  wake_waiters();
}

// Requires: counted in active_.
void Route::run(std::unique_ptr<Shipment> delivery, bool slot_taken) {
  {
    const Errand errand(invoker_, this);
    if (!affords(*delivery) || !has_turn(*delivery)) {
      if (slot_taken) function_->leave(invoker_);
      delivery = delay(std::move(delivery));
    } else if (function_->limited() && !slot_taken && !function_->try_enter()) {
      delivery = await_slot(std::move(delivery));
    } else {
      const bool over = invoker_.attempt_delivery(*this, *delivery);
      if (function_->limited()) function_->leave(invoker_);
      if (!over) delivery = delay(std::move(delivery));
    }
    const BriefLock lock(mutex_);
    if (delivery != nullptr) queue_.release(*delivery);
    end();
  }
  if (delivery == nullptr) return;
  // Its payload goes now that it is not active: it may hold the last reference to a subscription,
  // whose end waits for those that are.
  const Errand errand(invoker_, nullptr);
  delivery.reset();
  invoker_.one_less();
}

std::unique_ptr<Shipment> Route::delay(std::unique_ptr<Shipment> delivery) {
  delivery->token = false;
  const Time due = delivery->due;
  std::uint64_t number = 0;
  {
    const BriefLock lock(mutex_);
    if (!closed_ && !replaced()) {
      go_away(*delivery);
      number = delivery->delay = ++delays_;
      delayed_.emplace_back(number, TimerId());
    }
  }
  if (number == 0) {
    invoker_.note_cancelled(*this, *delivery);
    return delivery;
  }
  Task task(
      Away(shared_from_this(), invoker_.shared_from_this(), std::move(delivery), true, false));
  // A timer that refuses destroys the task, and lost() sees to the delivery.
  const Result<TimerId> id = invoker_.parts().timer.schedule(due, std::move(task));
  if (!id.ok()) return nullptr;
  {
    const BriefLock lock(mutex_);
    for (auto& [each, timer] : delayed_) {
      if (each != number) continue;
      timer = *id;
      return nullptr;
    }
  }
  // Back already, or the route was closed before it could know the timer.
  invoker_.parts().timer.cancel(*id);
  return nullptr;
}

std::unique_ptr<Shipment> Route::await_slot(std::unique_ptr<Shipment> delivery) {
  bool ended = false;
  {
    const BriefLock lock(mutex_);
    ended = closed_ || replaced();
    if (!ended) go_away(*delivery);
  }
  // Those that wait here would else all begin at once.
  give_turn_back(*delivery);
  if (ended) {
    invoker_.note_cancelled(*this, *delivery);
    return delivery;
  }
  Shipment& mine = *delivery;
  const bool token = std::exchange(mine.token, false);
  Task task(
      Away(shared_from_this(), invoker_.shared_from_this(), std::move(delivery), false, true));
  if (!slot_or_wait(task)) return nullptr;
  // A slot came free a moment ago: it goes on here, under the token that it has.
  mine.token = token;
  task();
  return nullptr;
}

bool Route::slot_or_wait(Task& task) {
  if (function_->enter_or_wait(task, *this)) return true;
  if (closed()) function_->drop(*this, invoker_);  // cancel() has looked too early for it
  return false;
}

void Route::resume(std::unique_ptr<Shipment> delivery, bool slot_taken) {
  if (rules_.batch > 0) return rejoin(std::move(delivery));
  bool ended = false;
  {
    const BriefLock lock(mutex_);
    come_back(*delivery);
    ended = closed_;
    ++active_;
  }
  if (ended) {
    if (slot_taken) function_->leave(invoker_);
    give_turn_back(*delivery);
    invoker_.cancel_delivery(*this, *delivery);
    const BriefLock lock(mutex_);
    queue_.release(*delivery);
    end();
    return;
  }
  run(std::move(delivery), slot_taken);
  top_up();
}

void Route::lost(std::unique_ptr<Shipment> delivery, bool slot_taken) {
  bool ended = false;
  {
    const BriefLock lock(mutex_);
    come_back(*delivery);
    ended = closed_ || replaced();
  }
  if (slot_taken) function_->leave(invoker_);
  give_turn_back(*delivery);
  if (ended || delivery->error.ok()) {
    invoker_.cancel_delivery(*this, *delivery);
  } else {
    // No timer has room for the retry: the last error stands.
    invoker_.give_up(*this, *delivery, false);
    invoker_.one_less();
  }
  {
    const BriefLock lock(mutex_);
    queue_.release(*delivery);
  }
  top_up();
}

bool Route::enter() {
  const BriefLock lock(mutex_);
  if (closed_) return false;
  ++active_;
  return true;
}

void Route::leave() {
  const BriefLock lock(mutex_);
  end();
}

bool Route::idle() const {
  const BriefLock lock(mutex_);
  return count_ == 0 && active_ == 0 && away_ == 0 && log_.at_rest();
}

int Route::on_their_way() const {
  const BriefLock lock(mutex_);
  return count_ + active_ + away_;
}

int Route::queued(int* again) {
  const BriefLock lock(mutex_);
  log_.refresh();
  if (again != nullptr) *again = again_;
  return count_ + log_.count() + awaiting_;
}

std::int64_t Route::uncounted() {
  const BriefLock lock(mutex_);
  log_.refresh();
  return log_counted_ ? log_.count() + rows_ - 1 : 0;
}

void Route::tell_of_room() {
  const BriefLock lock(mutex_);
  notice_.fetch_and(~kAwaited, std::memory_order_relaxed);
  wake_waiters();
}

void Route::wake_waiters() {
  for (Parker* each : waiters_) invoker_.parts().clock.wake(*each);
}

}  // namespace wisp::inline v0::detail
