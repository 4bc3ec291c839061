#include <wisp/service/schedule.hpp>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <wisp/base/random.hpp>

#include "dues.hpp"

namespace wisp::inline v0 {
namespace detail {
namespace {

// The wall clock's line, on which sums and differences saturate.
Time line(WallTime wall) { return Time(wall.time_since_epoch()); }

// Requires: by cron.
CronTimes times_of(const When& when) {
  return {*when.cron, when.zone == nullptr ? Zone::utc() : *when.zone, when.gap};
}

}  // namespace

class Scheduled : public std::enable_shared_from_this<Scheduled> {
 public:
  Scheduled(Invoker& invoker, When when, std::shared_ptr<Route> route, Payload input)
      : invoker_(invoker),
        when_(std::move(when)),
        route_(std::move(route)),
        input_(std::move(input)) {}

  Status begin() {
    if (when_.cron) return aim(clock().wall());
    if (!when_.wall) return arm_at(when_.first);
    const Duration off = put_off(Duration::max());
    {
      const MutexLock lock(mutex_);
      put_off_ = off;
    }
    return look_at(line(*when_.wall) + off, clock().wall());
  }

  std::optional<Time> next() const {
    const std::shared_ptr<Invoker> keep = route_keep_.lock();
    if (keep == nullptr || keep->stopping()) return std::nullopt;
    const MutexLock lock(mutex_);
    return next_;
  }

  std::shared_ptr<const Receipt> receipt() const { return route_->receipt(); }
  bool over() const {
    const std::shared_ptr<Invoker> keep = route_keep_.lock();
    const bool stops = keep == nullptr || keep->stopping();
    {
      // Together: the last firing is one or the other until the route has it.
      const MutexLock lock(mutex_);
      if (firing_ || (next_ && !stops)) return false;
    }
    return route_->idle();
  }

  void cancel() {
    // Gone: the timer and its task went with it.
    const std::shared_ptr<Invoker> keep = route_keep_.lock();
    if (keep != nullptr && keep->forked()) {
      // The parent's threads, and perhaps locks that they held, are gone: touch nothing.
      new std::shared_ptr<Scheduled>(shared_from_this());
      return;
    }
    std::optional<TimerId> timer;
    {
      const MutexLock lock(mutex_);
      cancelled_ = true;
      next_ = std::nullopt;
      timer = timer_;
    }
    if (keep != nullptr && timer) keep->parts().timer.cancel(*timer);
    route_->close();
  }

 private:
  static constexpr Duration kLookAgain = std::chrono::minutes(1);
  static constexpr std::chrono::hours kSetBackMax{3};

  const Clock& clock() const { return invoker_.parts().clock; }

  // How long to put off a firing that the next one follows after `gap`.
  Duration put_off(Duration gap) {
    const Duration most = std::min(when_.firing.jitter, gap - Duration(1));
    return most <= Duration::zero() ? Duration::zero()
                                    : Duration(uniform(invoker_.parts().random, 0, most.count()));
  }

  // At a moment of the grid, or the only one.
  Status arm_at(Time due) {
    const Duration off = put_off(when_.period > Duration::zero() ? when_.period : Duration::max());
    {
      const MutexLock lock(mutex_);
      due_ = due;
      put_off_ = off;
    }
    return arm(due + off, due + off);
  }

  // By a cron expression: at its next time after `wall`, which is now.
  Status aim(WallTime wall) {
    auto after = std::chrono::floor<std::chrono::seconds>(wall);
    Duration off;
    Instant aimed;
    {
      const MutexLock lock(mutex_);
      if (after < seen_ && seen_ - after <= kSetBackMax) after = seen_;
      seen_ = after;
      aimed = due_wall_;
      off = put_off_;
    }
    const std::optional<Instant> at = times().next(after);
    if (!at) {
      end();
      return Status();
    }
    // Already, so that it has been put off.
    if (*at == aimed) return look_at(line(*at) + off, wall);
    const std::optional<Instant> then = times().next(*at);
    off = put_off(then ? *then - *at : Duration::max());
    {
      const MutexLock lock(mutex_);
      due_wall_ = *at;
      put_off_ = off;
    }
    return look_at(line(*at) + off, wall);
  }

  // When the clock on the wall shows `at`, or soon, to see whether it was set.
  Status look_at(Time at, WallTime wall) {
    const Time now = clock().now();
    const Time due = now + std::max(at - line(wall), Duration::zero());
    return arm(due, std::min(due, now + kLookAgain));
  }

  Status arm(Time at, Time look) {
    Task task([weak = weak_from_this(), keep = invoker_.shared_from_this()] {
      if (const std::shared_ptr<Scheduled> self = weak.lock()) self->go_off();
    });
    std::uint64_t number = 0;
    {
      const MutexLock lock(mutex_);
      if (cancelled_) return Status();
      next_ = at;
      number = ++arms_;
    }
    // Without the lock: the timer may ask the host for its thread.
    Timer& timer = invoker_.parts().timer;
    const Result<TimerId> id = timer.schedule(look, std::move(task));
    bool unwanted = false;
    {
      const MutexLock lock(mutex_);
      // Else it has gone off, and the next one is armed.
      const bool last = arms_ == number;
      if (last && id.ok()) timer_ = *id;
      else if (last) next_ = std::nullopt;
      unwanted = cancelled_ && id.ok();
    }
    if (unwanted) timer.cancel(*id);
    return id.status();
  }

  // What fires now is the last.
  void end() {
    const MutexLock lock(mutex_);
    next_ = std::nullopt;
  }

  // Armed again before it fires, so that next() never shows a gap to whom the firing itself wakes.
  void arm_again(const Status& armed) {
    if (armed.ok()) return;
    invoker_.log(LogLevel::error, route_->function().definition->name,
                 fmt::format("schedule '{}' fires no more: {}", when_.name, message(armed)));
  }

  // On the timer's thread, or the pump's: one at a time.
  void go_off() {
    Time due;
    Duration off;
    {
      const MutexLock lock(mutex_);
      if (cancelled_) return;
      firing_ = true;
      due = due_;
      off = put_off_;
    }
    go_off(due, off);
    const MutexLock lock(mutex_);
    firing_ = false;
  }

  void go_off(Time due, Duration off) {
    if (when_.cron) return go_off_by_cron(off);
    if (when_.wall) {
      const WallTime wall = clock().wall();
      // The wall clock went back meanwhile.
      const Time at = line(*when_.wall) + off;
      if (line(wall) < at) return arm_again(look_at(at, wall));
      end();
      return fire({1, {line(wall) - at}});
    }
    const Time now = clock().now();
    if (when_.period == Duration::zero()) {
      end();
      return fire({1, {now - due - off}});
    }
    const std::int64_t more = now > due ? (now - due) / when_.period : 0;
    Dues dues{.count = static_cast<std::uint64_t>(more) + 1, .late = {}};
    for (std::int64_t i = std::max(more + 1 - kept(), std::int64_t{0}); i <= more; ++i)
      dues.late.push_back(now - due - i * when_.period - (more == 0 ? off : Duration::zero()));
    arm_again(arm_at(due + (more + 1) * when_.period));
    fire(dues);
  }

  void go_off_by_cron(Duration off) {
    const WallTime wall = clock().wall();
    Instant due;
    {
      const MutexLock lock(mutex_);
      due = due_wall_;
      if (wall >= due + off) seen_ = std::chrono::floor<std::chrono::seconds>(wall);
    }
    if (wall < due) return arm_again(aim(wall));
    if (wall < due + off) return arm_again(look_at(line(due) + off, wall));
    Dues dues = times().dues(due, wall, kept());
    if (dues.count == 1) dues.late.front() -= off;
    arm_again(aim(wall));
    fire(dues);
  }

  // Requires: by cron.
  CronTimes times() const { return times_of(when_); }
  std::int64_t kept() const { return std::max(when_.firing.make_up, 1); }

  // That which came in time, and of the missed as many as are to be made up for.
  void fire(const Dues& dues) {
    const bool in_time = dues.late.back() <= kMissedAfter;
    std::int64_t firings = std::max<std::int64_t>(when_.firing.make_up, in_time ? 1 : 0);
    firings = std::min(firings, std::ssize(dues.late));
    // Each would but replace the one before.
    if (when_.firing.overlap == Overlap::replace) firings = std::min<std::int64_t>(firings, 1);
    count(invoker_.counters().missed, dues.count - static_cast<std::uint64_t>(firings));
    if (firings == 0 || !invoker_.admit().ok()) return;
    const std::int64_t fits = std::min(firings, room());
    count(invoker_.counters().skipped, static_cast<std::uint64_t>(firings - fits));
    if (fits > 0 && when_.firing.overlap == Overlap::replace) route_->replace();
    for (auto late = dues.late.end() - fits; late != dues.late.end(); ++late) post(*late);
  }

  // How many the last one lets fire.
  std::int64_t room() const {
    switch (when_.firing.overlap) {
      case Overlap::allow:
      case Overlap::replace:
        break;
      case Overlap::forbid:
        return route_->idle() ? kMakeUpMax : 0;
      case Overlap::queue_one:
        if (route_->idle()) break;
        return route_->on_their_way() == 1 ? 1 : 0;
    }
    return kMakeUpMax;
  }

  void post(Duration late) {
    const std::size_t bytes = input_.bytes();
    if (!route_->reserve(bytes, {}, Time()).ok()) return count(invoker_.counters().refused);
    auto event = std::make_shared<Event>();
    event->id = invoker_.next_id();
    event->source = invoker_.parts().source;
    event->time = clock().wall() - late;
    event->payload = input_;
    event->lineage.trace = event->id;
    invoker_.deliver(*route_, std::move(event), bytes, late);
  }

  Invoker& invoker_;  // alive while fire() runs and while route_keep_ can be locked
  const std::weak_ptr<Invoker> route_keep_ = invoker_.weak_from_this();
  const When when_;
  const std::shared_ptr<Route> route_;  // shared with what the executor holds of it
  const Payload input_;
  mutable Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool firing_ ABSL_GUARDED_BY(mutex_) = false;
  std::uint64_t arms_ ABSL_GUARDED_BY(mutex_) = 0;
  // The next firing, before it was put off.
  Time due_ ABSL_GUARDED_BY(mutex_);
  Instant due_wall_ ABSL_GUARDED_BY(mutex_);  // of cron
  Duration put_off_ ABSL_GUARDED_BY(mutex_){};
  // Of cron: no time up to here is still to come, unless the clock is set back by more than it may.
  Instant seen_ ABSL_GUARDED_BY(mutex_) = Instant::min();
  std::optional<Time> next_ ABSL_GUARDED_BY(mutex_);
  std::optional<TimerId> timer_ ABSL_GUARDED_BY(mutex_);
};

Result<std::shared_ptr<Scheduled>> Schedules::add(When when,
                                                  std::shared_ptr<const Definition> definition,
                                                  bool registered, Payload input) {
  WISP_TRY(invoker_.admit());
  if (!when.bad.ok()) return when.bad;
  WISP_TRY(check(when.firing, when.name));
  if (when.cron) {
    const WallTime wall = invoker_.parts().clock.wall();
    if (!times_of(when).next(std::chrono::floor<std::chrono::seconds>(wall)))
      return invalid_argument("cron '{}': no day ever fits", when.cron->text());
  }
  FunctionState* function = nullptr;
  std::unique_ptr<FunctionState> own;
  if (registered) {
    WISP_TRY(const Registered* entry, invoker_.registry().resolve(*definition));
    function = static_cast<FunctionState*>(entry->attachment.get());
  } else {
    own = invoker_.anonymous(definition);
  }
  auto route =
      std::make_shared<Route>(invoker_,
                              Route::Rules{.name = "schedule '" + when.name + "'",
                                           .serial = when.firing.overlap != Overlap::allow,
                                           .receipts = true,
                                           .replaces = when.firing.overlap == Overlap::replace},
                              function, std::move(own));
  invoker_.add_route(route);
  auto scheduled =
      std::make_shared<Scheduled>(invoker_, std::move(when), std::move(route), std::move(input));
  WISP_TRY(scheduled->begin());
  return scheduled;
}

Status Schedules::detach(std::shared_ptr<Scheduled> scheduled) {
  std::shared_ptr<Scheduled> refused;
  // Destroyed outside of the lock: what their handlers captured may come back here.
  std::vector<std::shared_ptr<Scheduled>> over;
  {
    const MutexLock lock(mutex_);
    const auto first = std::partition(detached_.begin(), detached_.end(),
                                      [](const auto& each) { return !each->over(); });
    std::move(first, detached_.end(), std::back_inserter(over));
    detached_.erase(first, detached_.end());
    if (detached_.size() < kDetachedMax) {
      detached_.push_back(std::move(scheduled));
    } else {
      refused = std::move(scheduled);
    }
  }
  if (refused == nullptr) return Status();
  refused->cancel();
  return resource_exhausted("a runtime holds at most {} schedules without an owner", kDetachedMax);
}

}  // namespace detail

std::optional<Time> Schedule::next() const {
  return scheduled_ == nullptr ? std::nullopt : scheduled_->next();
}

std::optional<Receipt> Schedule::receipt() const {
  const auto last = scheduled_ == nullptr ? nullptr : scheduled_->receipt();
  return last == nullptr ? std::nullopt : std::optional<Receipt>(*last);
}

void Schedule::cancel() {
  if (const std::shared_ptr<detail::Scheduled> mine = std::exchange(scheduled_, nullptr))
    mine->cancel();
}

Status Schedule::detach() {
  const std::shared_ptr<detail::Schedules> schedules = schedules_.lock();
  std::shared_ptr<detail::Scheduled> mine = std::exchange(scheduled_, nullptr);
  if (mine == nullptr) return status_;
  if (schedules == nullptr) return failed_precondition("the runtime has ended");
  return schedules->detach(std::move(mine));
}

Schedule ScheduleBuilder::make(std::shared_ptr<const detail::Definition> definition,
                               bool registered, Payload input) {
  const std::shared_ptr<detail::Schedules> schedules = schedules_.lock();
  if (schedules == nullptr) return Schedule(failed_precondition("the runtime has ended"));
  auto scheduled =
      schedules->add(std::move(when_), std::move(definition), registered, std::move(input));
  if (!scheduled.ok()) return Schedule(scheduled.status());
  return Schedule(schedules_, *std::move(scheduled));
}

}  // namespace wisp::inline v0
