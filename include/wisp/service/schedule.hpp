// Functions that run by the clock: after a while, every so often, at a moment.
//
//   wisp::Schedule tick = runtime.every(1s).run(report);
//   auto nightly = runtime.every("0 3 * * mon-fri"_cron, "Europe/Lisbon").run(compact_logs);
//   auto soon = runtime.after(200ms).run(price_parcel, {1.0, "ES"});
//   auto sync = runtime.every(5min).fire({.overlap = wisp::Overlap::queue_one, .jitter = 30s})
//       .run(synchronise);
//   soon.cancel();
//
// A firing is posted to the function: it runs on the pool, under the function's retry rule. `every`
// keeps to its grid: a firing that comes late does not shift the next. What becomes of those that
// were missed, and of one that finds the last still on its way, is up to Firing (model/policy.hpp):
// by default one of the missed is made up for, and the other is skipped; both are counted.
//
// A cron expression is about the wall clock, which may be set: each minute, and when its time seems
// to have come, it is looked at again. Set forward past several times, these were missed. Set back
// by up to three hours, no time comes twice; by more, and the new time counts, as cron(8) has it.
//
// While the machine sleeps its steady clock stands still, and what goes by that: `after`, `every`
// of a period, timeouts, rates. They miss nothing, and go on where they were: `every(24h)` is later
// each day by what the machine slept. A cron expression and `at` go by the wall, and see within a
// minute of its waking what came meanwhile.
//
// Threads: any for the schedules; a Schedule is one-at-a-time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/model/cron.hpp>
#include <wisp/model/function.hpp>
#include <wisp/model/policy.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0 {

namespace detail {

// When to fire: `first`, `wall` or `cron`.
struct When {
  Time first;  // on the steady line
  // A moment that people mean: looked at again when its time seems to have come.
  std::optional<WallTime> wall{};
  Duration period{};  // 0: once
  std::optional<Cron> cron{};
  std::shared_ptr<const Zone> zone{};  // of cron; null: UTC
  Gap gap = Gap::at_end;
  Firing firing{};
  Status bad{};        // a duration that makes no sense
  std::string name{};  // "every 1s", for a handler without a name
};

class Scheduled;

// The schedules of one Runtime that their owners let go.
class Schedules {
 public:
  explicit Schedules(Invoker& invoker) : invoker_(invoker) {}
  Result<std::shared_ptr<Scheduled>> add(When when, std::shared_ptr<const Definition> definition,
                                         bool registered, Payload input);
  Status detach(std::shared_ptr<Scheduled> scheduled);

  static constexpr std::size_t kDetachedMax = 10'000;

 private:
  Invoker& invoker_;
  Mutex mutex_;
  // Shared with the timer's tasks.
  std::vector<std::shared_ptr<Scheduled>> detached_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace detail

// While it lives, its firings happen. Its end waits for the one that runs, as a Subscription's
// does.
class [[nodiscard]] Schedule {
 public:
  Schedule() = default;
  explicit Schedule(Status why) : status_(std::move(why)) {}
  Schedule(std::weak_ptr<detail::Schedules> schedules, std::shared_ptr<detail::Scheduled> scheduled)
      : schedules_(std::move(schedules)), scheduled_(std::move(scheduled)) {}
  Schedule(Schedule&&) noexcept = default;
  Schedule& operator=(Schedule&& other) noexcept {
    cancel();
    schedules_ = std::move(other.schedules_);
    scheduled_ = std::move(other.scheduled_);
    status_ = std::move(other.status_);
    return *this;
  }
  ~Schedule() { cancel(); }

  // Why it will never fire: a bad duration, an expression that no day ever fits, an unknown
  // function; ok for one that does.
  const Status& status() const { return status_; }

  // When it fires next; nothing once it is over.
  std::optional<Time> next() const;

  // What the firing that was last attempted cost, with the attempts before that one; nothing before
  // the first. `queued` is from when it was due, or was put off to: how late it was. `init` is
  // unavailable, being part of `wall`.
  std::optional<Receipt> receipt() const;

  // Ends it now, as the destructor would.
  void cancel();

  // Lets it go on without an owner until the Runtime stops. kResourceExhausted, and it is
  // cancelled, beyond Schedules::kDetachedMax.
  [[nodiscard]] Status detach();

 private:
  std::weak_ptr<detail::Schedules> schedules_;  // gone with the runtime
  std::shared_ptr<detail::Scheduled> scheduled_;
  Status status_;
};

// Says when; `.fire` how, and `.run` what.
//
// Threads: one-at-a-time.
class [[nodiscard]] ScheduleBuilder {
 public:
  ScheduleBuilder(std::weak_ptr<detail::Schedules> schedules, detail::When when)
      : schedules_(std::move(schedules)), when_(std::move(when)) {}

  ScheduleBuilder&& fire(const Firing& firing) && {
    when_.firing = firing;
    return std::move(*this);
  }

  // A function of this runtime.
  template <class R>
  Schedule run(const Function<R, void>& function) && {
    return make(function.definition(), true, Payload());
  }
  template <class R, class In>
    requires(!std::is_void_v<In>)
  Schedule run(const Function<R, In>& function, const std::type_identity_t<In>& in) && {
    return make(function.definition(), true, Payload::of(in));
  }
  // A handler without a name and input, billed as "every 1s" and the like.
  template <class F, bool = WISP_EXCEPTIONS>
    requires(!detail::FunctionHandle<std::decay_t<F>>)
  Schedule run(F&& handler) && {
    auto made = detail::make_function(when_.name, std::forward<F>(handler), {},
                                      std::source_location::current());
    static_assert(std::is_void_v<typename decltype(made)::Input>,
                  "wisp: a scheduled handler takes nothing or a wisp::Context&");
    return make(made.definition(), false, Payload());
  }

 private:
  Schedule make(std::shared_ptr<const detail::Definition> definition, bool registered,
                Payload input);

  std::weak_ptr<detail::Schedules> schedules_;
  detail::When when_;
};

}  // namespace wisp::inline v0
