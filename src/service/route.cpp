#include <wisp/service/detail/route.hpp>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/base/readers.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

namespace {

// Whether a queue that holds so many, and their bytes, has no room for so many bytes more.
inline bool exceeds(const Queue& queue, int held, std::size_t used, std::size_t bytes) {
  return held >= queue.count || (held > 0 && used + bytes > queue.bytes);
}

}  // namespace

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
    bool waits = false;
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
        // Pairs with the light one of who takes posts: it sees the notice, or is seen here.
        if (takes_records) heavy_barrier();
        waits = full(bytes);
      } else {
        return is_full();
      }
    }
    if (taken) {
      note_dropped(dropped);
      return Room::taken;
    }
    if (waits) {
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
    count(function_->dead);
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

std::unique_ptr<Shipment> Route::begin(Work& work) {
  // Tokens that wait for a slot stand for as many: one that found nothing would hold it in vain.
  const int others = work.slot ? 0 : awaiting_slot_;
  if (closed_ || std::cmp_less_equal(queue_.ready(), others) || held() || !in_turn())
    return nullptr;
  if (function_->limited() && !work.slot) {
    work.slot = function_->try_enter();
    work.full = !work.slot;
    if (work.full) return nullptr;
  }
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
  delayed_.erase(delivery.delay);
  wake_waiters();
}

// Requires: counted in active_.
void Route::run(std::unique_ptr<Shipment> delivery) {
  {
    const Errand errand(invoker_, this);
    const bool over = affords(*delivery) && invoker_.attempt_delivery(*this, *delivery);
    if (function_->limited()) function_->leave(invoker_);
    if (!over) delivery = delay(std::move(delivery));
    const BriefLock lock(mutex_);
    if (delivery != nullptr) queue_.release(*delivery);
    else --leaving_;
    end();
  }
  if (delivery == nullptr) return;
  // Its payload goes now that it is not active: it may hold the last reference to a subscription,
  // whose end waits for those that are.
  const Errand errand(invoker_, nullptr);
  delivery.reset();
  invoker_.one_less();
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
  return count_ + active_ + away_ - leaving_;
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
