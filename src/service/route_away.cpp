// What is away from its route: for the timer until it is due.
#include <utility>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

// A delivery on its way back: from the timer to the queue; or to the executor, then to its handler.
struct Route::Away {
  std::shared_ptr<Route> route;
  std::shared_ptr<Invoker> keep;
  std::unique_ptr<Shipment> delivery;
  bool on_timer = false;

  Away(std::shared_ptr<Route> r, std::shared_ptr<Invoker> k, std::unique_ptr<Shipment> d,
       bool timer)
      : route(std::move(r)), keep(std::move(k)), delivery(std::move(d)), on_timer(timer) {}
  Away(Away&&) noexcept = default;
  Away& operator=(Away&&) = delete;
  ~Away() {
    if (delivery != nullptr) route->lost(std::move(delivery));
  }
  void operator()() {
    if (!std::exchange(on_timer, false)) return route->resume(std::move(delivery));
    if (route->rejoin(delivery)) return;
    keep->sharing().submit_surely(*keep, Task(Away(route, keep, std::move(delivery), false)),
                                  route->flow());
  }
};

std::unique_ptr<Shipment> Route::delay(std::unique_ptr<Shipment> delivery) {
  delivery->token = false;
  const Time due = delivery->due;
  const bool put_off = std::exchange(delivery->put_off, false);
  const std::uint64_t asked = delivery->asked;
  std::uint64_t number = 0;
  {
    const BriefLock lock(mutex_);
    if (!closed_ && !replaced()) {
      go_away(*delivery);
      ++leaving_;
      number = delivery->delay = ++delays_;
      delayed_.emplace_hint(delayed_.end(), number, Delayed{.timer = {}, .put_off = put_off});
    }
  }
  if (number == 0) {
    invoker_.note_cancelled(*this, *delivery);
    return delivery;
  }
  Task task(Away(shared_from_this(), invoker_.shared_from_this(), std::move(delivery), true));
  // A timer that refuses destroys the task, and lost() sees to the delivery.
  const Result<TimerId> id = invoker_.parts().timer.schedule(due, std::move(task));
  if (!id.ok()) return nullptr;
  bool here = false;
  {
    const BriefLock lock(mutex_);
    const auto found = delayed_.find(number);
    here = found != delayed_.end();
    if (here) found->second.timer = *id;
  }
  // Back already, or the route was closed before it could know the timer.
  if (!here) invoker_.parts().timer.cancel(*id);
  // What put it off has changed before ask_again() could know the timer.
  if (here && put_off && asked_.load() != asked)
    if (Task back = invoker_.parts().timer.remove(*id)) back();
  return nullptr;
}

std::unique_ptr<Shipment> Route::delay_post(std::unique_ptr<Shipment> delivery) {
  delivery = delay(std::move(delivery));
  if (delivery != nullptr) return delivery;
  const BriefLock lock(mutex_);
  --leaving_;  // a post among others was not active by itself
  return nullptr;
}

bool Route::rejoin(std::unique_ptr<Shipment>& delivery) {
  if (rules_.batch == 0 && !function_->limited()) return false;
  {
    const BriefLock lock(mutex_);
    if (closed_ || replaced()) return false;
    come_back(*delivery);
    ++count_;
    again_ += static_cast<int>(delivery->attempts > 0);
    bytes_ += delivery->bytes;
    queue_.put_back(std::move(delivery));
  }
  top_up();
  return true;
}

void Route::resume(std::unique_ptr<Shipment> delivery) {
  bool ended = false;
  {
    const BriefLock lock(mutex_);
    come_back(*delivery);
    ended = closed_ || replaced();
    ++active_;
  }
  if (ended) {
    invoker_.cancel_delivery(*this, *delivery);
    const BriefLock lock(mutex_);
    queue_.release(*delivery);
    end();
  } else {
    run(std::move(delivery));
  }
  top_up();
}

void Route::lost(std::unique_ptr<Shipment> delivery) {
  bool ended = false;
  {
    const BriefLock lock(mutex_);
    come_back(*delivery);
    ended = closed_ || replaced();
  }
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

}  // namespace wisp::inline v0::detail
