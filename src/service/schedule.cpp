#include <wisp/service/schedule.hpp>

#include <algorithm>
#include <iterator>
#include <utility>

namespace wisp::inline v0 {
namespace detail {

class Scheduled : public std::enable_shared_from_this<Scheduled> {
 public:
  Scheduled(Invoker& invoker, When when, std::shared_ptr<Route> route, Payload input)
      : invoker_(invoker),
        when_(std::move(when)),
        route_(std::move(route)),
        input_(std::move(input)) {}

  // By a cron expression: at its next time.
  Status aim() {
    const Clock& clock = invoker_.parts().clock;
    const WallTime wall = clock.wall();
    auto after = std::chrono::floor<std::chrono::seconds>(wall);
    const Zone& zone = when_.zone == nullptr ? Zone::utc() : *when_.zone;
    {
      const MutexLock lock(mutex_);
      if (fired_ > after && fired_ - after <= kSetBackMax) after = fired_;
    }
    const std::optional<Instant> at = when_.cron->next(after, zone, when_.gap);
    if (!at) return Status();
    const Time now = clock.now();
    const Time due = now + std::chrono::duration_cast<Duration>(*at - wall);
    {
      const MutexLock lock(mutex_);
      due_ = *at;
    }
    return arm(due, std::min(due, now + kLookAgain));
  }

  Status arm(Time at) { return arm(at, at); }

  Status arm(Time at, Time look) {
    Task task([weak = weak_from_this(), keep = invoker_.shared_from_this()] {
      if (const std::shared_ptr<Scheduled> self = weak.lock()) self->fire();
    });
    const MutexLock lock(mutex_);
    if (cancelled_) return Status();
    next_ = at;
    WISP_TRY(timer_, invoker_.parts().timer.schedule(look, std::move(task)));
    return Status();
  }

  std::optional<Time> next() const {
    const std::shared_ptr<Invoker> keep = route_keep_.lock();
    if (keep == nullptr || keep->stopping()) return std::nullopt;
    const MutexLock lock(mutex_);
    return next_;
  }

  bool by_cron() const { return when_.cron.has_value(); }
  bool over() const { return !next().has_value() && route_->idle(); }

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

  void fire() {
    const Clock& clock = invoker_.parts().clock;
    if (when_.cron) return fire_by_cron();
    Time due;
    {
      const MutexLock lock(mutex_);
      if (cancelled_) return;
      due = next_.value_or(Time());
      next_ = std::nullopt;
    }
    if (when_.wall && clock.wall() < *when_.wall) {
      // The wall clock went back meanwhile.
      (void)arm(clock.now() + (*when_.wall - clock.wall()));
      return;
    }
    // Armed before the post, so that next() never shows a gap to whom the firing itself wakes.
    if (when_.period > Duration::zero()) {
      const Time now = clock.now();
      Time next = due + when_.period;
      if (next <= now) next = next + (now - next) / when_.period * when_.period + when_.period;
      if (const Status armed = arm(next); !armed.ok()) {
        invoker_.log(LogLevel::error, route_->function().definition->name, message(armed));
      }
    }
    post();
  }

  void fire_by_cron() {
    const auto wall = std::chrono::floor<std::chrono::seconds>(invoker_.parts().clock.wall());
    bool due = false;
    {
      const MutexLock lock(mutex_);
      if (cancelled_) return;
      next_ = std::nullopt;
      due = wall >= due_;
      if (due) fired_ = wall;
    }
    if (const Status armed = aim(); !armed.ok())
      invoker_.log(LogLevel::error, route_->function().definition->name, message(armed));
    if (due) post();
  }

  void post() {
    if (!invoker_.admit().ok()) return;
    if (!route_->idle()) return count(invoker_.counters().skipped);
    const std::size_t bytes = input_.bytes();
    if (!route_->reserve(bytes, {}, Time()).ok()) return count(invoker_.counters().refused);
    auto event = std::make_shared<Event>();
    event->id = invoker_.next_id();
    event->source = invoker_.parts().source;
    event->time = invoker_.parts().clock.wall();
    event->payload = input_;
    event->lineage.trace = event->id;
    invoker_.deliver(*route_, std::move(event), bytes);
  }

  Invoker& invoker_;  // alive while fire() runs and while route_keep_ can be locked
  const std::weak_ptr<Invoker> route_keep_ = invoker_.weak_from_this();
  const When when_;
  const std::shared_ptr<Route> route_;  // shared with what the executor holds of it
  const Payload input_;
  mutable Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  Instant due_ ABSL_GUARDED_BY(mutex_);                     // of cron
  Instant fired_ ABSL_GUARDED_BY(mutex_) = Instant::min();  // up to here
  std::optional<Time> next_ ABSL_GUARDED_BY(mutex_);
  std::optional<TimerId> timer_ ABSL_GUARDED_BY(mutex_);
};

Result<std::shared_ptr<Scheduled>> Schedules::add(When when,
                                                  std::shared_ptr<const Definition> definition,
                                                  bool registered, Payload input) {
  WISP_TRY(invoker_.admit());
  if (!when.bad.ok()) return when.bad;
  FunctionState* function = nullptr;
  std::unique_ptr<FunctionState> own;
  if (registered) {
    WISP_TRY(const Registered* entry, invoker_.registry().resolve(*definition));
    function = static_cast<FunctionState*>(entry->attachment.get());
  } else {
    own = invoker_.anonymous(definition);
  }
  auto route = std::make_shared<Route>(
      invoker_, Route::Rules{.name = "schedule '" + when.name + "'"}, function, std::move(own));
  invoker_.add_route(route);
  const Time first = when.first;
  auto scheduled =
      std::make_shared<Scheduled>(invoker_, std::move(when), std::move(route), std::move(input));
  WISP_TRY(scheduled->by_cron() ? scheduled->aim() : scheduled->arm(first));
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
