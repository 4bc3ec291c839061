// How a route ends: with its subscription or schedule, or with the runtime.
#include <utility>

#include <fmt/format.h>

#include <wisp/base/readers.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

constexpr Duration kReportEvery = std::chrono::seconds(10);

}  // namespace

bool Route::others_active(int own) const {
  const int publishers = invoker_.publishers().count(*this);
  const BriefLock lock(mutex_);
  return active_ + publishers > own && !abandoned_;
}

Route::Shipments Route::take_queue() {
  Shipments queued = queue_.take_all();
  for (const auto& each : queued) uncount(*each);
  wake_waiters();
  return queued;
}

void Route::cancel() {
  Shipments queued;
  std::map<std::uint64_t, Delayed> delayed;
  std::optional<TimerId> window;
  bool waiting = false;
  {
    const BriefLock lock(mutex_);
    closed_ = true;
    notice_.fetch_or(kClosed, std::memory_order_release);
    invoker_.publishers().note_closing();
    queued = take_queue();
    delayed.swap(delayed_);
    window = std::exchange(window_timer_, std::nullopt);
    give_back(turns_);
    waiting = tokens_ > 0;
  }
  for (const auto& each : queued) invoker_.cancel_delivery(*this, *each);
  // A token that begins to wait from now on sees that this has closed.
  if (waiting && function_->limited()) function_->drop(*this, invoker_);
  cancel_posts();
  for (const auto& [number, each] : delayed) invoker_.parts().timer.cancel(each.timer);
  if (window) invoker_.parts().timer.cancel(*window);
  // One that is made from now on sees that this has closed.
  for (const std::shared_ptr<Route>& part : parts()) part->cancel();
}

bool Route::replaced() const { return current_ != nullptr && current_->requested(); }

void Route::replace() {
  Shipments queued;
  std::map<std::uint64_t, Delayed> delayed;
  std::shared_ptr<Cancellation> current;
  {
    const BriefLock lock(mutex_);
    if (active_ + away_ > 0) current = current_;
    queued = take_queue();
    delayed.swap(delayed_);
  }
  for (const auto& each : queued) invoker_.cancel_delivery(*this, *each);
  if (current == nullptr) return;
  current->request();
  // They come back through lost(). One that begins to wait just now ends once its wait does; looked
  // for later, its successor might be there instead.
  for (const auto& [number, each] : delayed) invoker_.parts().timer.cancel(each.timer);
}

std::shared_ptr<const Receipt> Route::receipt() const {
  const BriefLock lock(mutex_);
  return receipt_;
}

void Route::keep_receipt(std::shared_ptr<const Receipt> receipt) {
  const BriefLock lock(mutex_);
  receipt_.swap(receipt);
}

// Also what others have claimed and not begun.
void Route::cancel_posts() {
  std::vector<PostBlock*> blocks;
  {
    const BriefLock lock(mutex_);
    blocks = log_.claim_all();
  }
  for (PostBlock* const block : blocks) {
    while (PostRecord* record = block->take()) invoker_.cancel_post(*this, *record);
    bool rest = false;
    PostBlock::Pointer unused;
    {
      const BriefLock lock(mutex_);
      unused = leave_log(block, &rest);
      wake_waiters();
    }
    invoker_.post_blocks().put(std::move(unused));
    if (rest) invoker_.one_less();
  }
}

void Route::wake_closers() {
  const BriefLock lock(mutex_);
  wake_waiters();
}

void Route::abandon() {
  const BriefLock lock(mutex_);
  abandoned_ = true;
  wake_waiters();
}

void Route::close() {
  const std::shared_ptr<Invoker> keep = keep_.lock();
  if (keep == nullptr)
    return;  // the runtime has ended, and with it every delivery that it did not give up
  cancel();
  heavy_barrier();  // pairs with the light ones of publishers
  for (const std::shared_ptr<Route>& part : parts()) part->close();
  const int own = Errand::count(*this);
  if (!others_active(own)) return;
  Parker parker;
  {
    const BriefLock lock(mutex_);
    waiters_.push_back(&parker);
  }
  Clock& clock = keep->parts().clock;
  const Blocking blocking(keep->parts().executor);
  for (Time report = clock.now() + kReportEvery; others_active(own);) {
    clock.park(parker, report);
    if (clock.now() < report || !others_active(own)) continue;
    report = report + kReportEvery;
    keep->log(
        LogLevel::warning, function_->definition->name,
        fmt::format("{} cannot end: a delivery of it has been running for 10 s more", rules_.name));
  }
  const BriefLock lock(mutex_);
  std::erase(waiters_, &parker);
}

}  // namespace wisp::inline v0::detail
