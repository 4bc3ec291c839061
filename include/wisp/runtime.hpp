// The runtime that a program links: functions, the events that trigger them, the workers that run
// them, the bill.
//
//   int main() {
//     wisp::Runtime runtime{wisp::linked_functions(), {.tariff = wisp::tariffs::aws_lambda_x86()}};
//     if (!runtime.status().ok()) return report(runtime.status());
//     wisp::Result<wisp::Money> price = runtime.call(price_parcel, {2.5, "PT"});
//   }
//
// Nothing here throws but what the copy of an input or a payload throws, and nothing starts a
// thread before there is work for it. A Runtime that cannot start, because two functions share a
// name or an option makes no sense, is born stopped: status() says why, and every verb refuses. In
// a child after fork every verb refuses too, and the destructor leaves the parent's things alone;
// registry() and dead_letters() are the parent's, and may not be used there.
//
// A verb that is called inside a handler of the same Runtime inherits its lineage, tenant and tag,
// and a call or a start its deadline. Once stop() has begun, verbs are refused but for those of
// handlers that still run; once it has ended, all are.
//
// Threads: any, except pump() and the destructor: see there. Handlers run on the pool's threads,
// those of `call` and of a synchronous subscription on the caller's, those of an unstarted call
// perhaps in wait(). No wisp lock is held meanwhile.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/payload.hpp>
#include <wisp/base/random.hpp>
#include <wisp/base/status.hpp>
#include <wisp/engine/budget.hpp>
#include <wisp/engine/executor.hpp>
#include <wisp/engine/meter.hpp>
#include <wisp/engine/pool.hpp>
#include <wisp/model/declare.hpp>
#include <wisp/model/registry.hpp>
#include <wisp/model/settings.hpp>
#include <wisp/model/tariff.hpp>
#include <wisp/model/tenant.hpp>
#include <wisp/service/bus.hpp>
#include <wisp/service/invoker.hpp>
#include <wisp/service/pending.hpp>
#include <wisp/service/record.hpp>
#include <wisp/service/schedule.hpp>
#include <wisp/zones.hpp>

namespace wisp::inline v0 {

class Store;  // where a durable runtime keeps its events; none exists yet

enum class Threads : std::uint8_t {
  pool,  // workers of wisp's own, or the executor's
  // No thread at all: everything runs on the thread that calls pump(), and nobody waits for
  // anything: call() and a call that runs in wait() have one attempt, Overflow::block refuses.
  none,
};

// Set by designated initialisers; members are only ever appended.
struct RuntimeOptions {
  Threads threads = Threads::pool;
  Workers workers{};
  Tariff tariff{};  // none: costs read unavailable
  Queue queue{};    // of posts, for each function; its count also bounds what the pool holds
  // These outlive the Runtime, the handlers that stop() had to abandon, and the waits on its
  // Pendings.
  Clock* clock{};  // null: the machine's
  // Null: a pool. Of `workers`, a host's is bound by `max` alone: so many tasks of one function are
  // with it at once.
  Executor* executor{};
  Random* random{};  // null: seeded by the kernel
  Store* store{};    // not implemented yet: must be null
  LogSink log{};     // none: log lines go nowhere
  // First thing on each worker, with its number; -1 on the supervisor.
  std::function<void(int)> on_thread_start{};
  std::string_view source = "wisp";  // of this runtime's events, as in CloudEvents
  detail::Simulator* simulator{};    // see wisp::sim::World::options
  Idempotency idempotency{};         // what is remembered of idempotency keys
  // Their costs are the tariff's. Calls that one may cover take the long way, as those that an
  // observer sees.
  std::vector<Budget> budgets{};
  // Who shares the threads. Where some are set, or a function has another lane than normal, started
  // calls and deliveries wait in a queue of their tenant and lane, which costs each some hundreds
  // of nanoseconds. `queue` then bounds the posts of each tenant apart.
  std::vector<Tenant> tenants{};
  // Whether configure() may change the limits of functions and the rates of tenants. All calls then
  // take the long way, as those that a budget may cover.
  bool adjustable = false;
};

struct WorkerStats {
  int current = 0;
  int running = 0;  // inside a handler
  int peak = 0;
  int blocked = 0;  // of the running: asleep in the kernel when last looked at
  int parked = 0;
  int aside = 0;  // of the running: past their deadline, others run in their place
  ScalingDecision last_decision;
};

struct RuntimeStats {
  std::vector<FunctionStats> functions;
  EventStats events;
  WorkerStats workers;  // zeros with a host's executor
  // Started calls and deliveries that wait, for a worker or for their next attempt: all that have
  // not ended but what the own pool's workers run. What runs elsewhere, on a host's executor or in
  // a pump, counts too; FunctionStats::queued never counts what runs.
  std::int64_t queued = 0;
  std::uint64_t dead_letters = 0;
  IdempotencyStats idempotency;
  std::uint64_t shed = 0;  // sheddable calls that were, see CallOptions
  std::vector<BudgetStats> budgets;
};

struct PumpBudget {
  Duration time{};  // looked at between tasks; 0: no limit
  int tasks = 0;    // 0: no limit
};

struct Pumped {
  int ran = 0;
  int left = 0;  // queued for the next pass
};

struct Stopped {
  // kDeadlineExceeded if anything was abandoned, be it by the stop before, which alone names it.
  Status status;
  std::vector<Abandoned> abandoned;  // at most 1,000 queued ones are named; EventStats counts all
};

class Runtime {
 public:
  explicit Runtime(Catalogue functions, RuntimeOptions options = {});
  explicit Runtime(RuntimeOptions options = {}) : Runtime(Catalogue(), std::move(options)) {}
  // Stops with a bound of 5 s, then leaves handlers that do not return behind, with what they need
  // to end by themselves. After a stop() that left some it does not wait for them again. The host's
  // last use of the Runtime comes before.
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Ok, or why the Runtime was born stopped.
  const Status& status() const;

  Registry& registry();

  // Ok if all these functions are here; kNotFound naming those that are not. For functions in
  // static archives.
  [[nodiscard]] Status expect(std::initializer_list<std::string_view> names) const;

  // Runs the function here and now, with all its attempts, and returns what it returned.
  // kDeadlineExceeded after its timeout, kResourceExhausted at its concurrency limit, kNotFound if
  // it is not in this Runtime.
  template <class R, class In>
    requires(!std::is_void_v<In>)
  Result<R> call(const Function<R, In>& function, const std::type_identity_t<In>& in,
                 const CallOptions& options = kNoOptions) {
    return call_on<R>(*function.definition(), &in, options);
  }
  template <class R>
  Result<R> call(const Function<R, void>& function, const CallOptions& options = kNoOptions) {
    return call_on<R>(*function.definition(), nullptr, options);
  }
  // By name: kNotFound, or kInvalidArgument naming both types if it takes no `In` or returns no R.
  template <class R, class In>
    requires(!std::is_same_v<In, CallOptions>)
  Result<R> call(std::string_view name, const In& in, const CallOptions& options = kNoOptions) {
    if constexpr (std::is_same_v<In, detail::stored_t<In>>)
      return call_named<R>(name, &in, &type_info<In>(), options);
    else return call<R>(name, detail::stored_t<In>(in), options);
  }
  template <class R>
  Result<R> call(std::string_view name, const CallOptions& options = kNoOptions) {
    return call_named<R>(name, nullptr, nullptr, options);
  }

  // Runs the function on the pool. Always returns a Pending: a refusal is its result.
  template <class R, class In>
    requires(!std::is_void_v<In>)
  [[nodiscard]] Pending<R> start(const Function<R, In>& function, std::type_identity_t<In> in,
                                 const CallOptions& options = kNoOptions) {
    return start_on<R>(*function.definition(),
                       std::make_shared<detail::TypedCall<R, In>>(std::move(in)), options);
  }
  template <class R>
  [[nodiscard]] Pending<R> start(const Function<R, void>& function,
                                 const CallOptions& options = kNoOptions) {
    return start_on<R>(*function.definition(), std::make_shared<detail::TypedCall<R, void>>(),
                       options);
  }
  template <class R, class In>
    requires(!std::is_same_v<std::remove_cvref_t<In>, CallOptions>)
  [[nodiscard]] Pending<R> start(std::string_view name, In&& in,
                                 const CallOptions& options = kNoOptions) {
    using Stored = detail::stored_t<In>;
    return start_on<R>(detail::reference<R, Stored>(name),
                       std::make_shared<detail::TypedCall<R, Stored>>(std::forward<In>(in)),
                       options);
  }
  template <class R>
  [[nodiscard]] Pending<R> start(std::string_view name, const CallOptions& options = kNoOptions) {
    return start_on<R>(detail::reference<R, void>(name),
                       std::make_shared<detail::TypedCall<R, void>>(), options);
  }

  // Accepts, then runs at least once under the function's retry rule while this process lives; the
  // result is not kept. kResourceExhausted when its queue is full.
  template <class R, class In>
    requires(!std::is_void_v<In>)
  Result<EventId> post(const Function<R, In>& function, const std::type_identity_t<In>& in,
                       const CallOptions& options = kNoOptions) {
    using Stored = detail::stored_t<In>;
    if constexpr (std::is_same_v<In, Stored>) {
      return post_on(*function.definition(), detail::Given::of(in), options);
    } else {
      const Stored stored(in);
      return post_on(*function.definition(), detail::Given::of(stored), options);
    }
  }
  template <class R>
  Result<EventId> post(const Function<R, void>& function, const CallOptions& options = kNoOptions) {
    return post_on(*function.definition(), {}, options);
  }

  // Publishes a value to a topic; see bus.hpp. No subscriber is not an error. kInvalidArgument for
  // a bad topic, kResourceExhausted if a matching subscription's queue is full, kFailedPrecondition
  // beyond kHopsMax hops, which under a tariff says what the second half of them has cost. If the
  // copy of T throws, so does emit, and nobody gets the event; but a synchronous handler takes the
  // value as it is, and when the copy for its dead letter throws, it and the queues have had the
  // event, and synchronous handlers after it have not.
  template <class T>
  Result<EventId> emit(std::string_view topic, const T& value,
                       const CallOptions& options = kNoOptions) {
    static_assert(!std::is_same_v<T, Payload>,
                  "wisp: emit what the payload holds, such as *event.payload.as<Order>()");
    using Stored = detail::stored_t<T>;
    if constexpr (std::is_same_v<T, Stored>) {
      return emit_value(topic, detail::Given::of(value), options);
    } else {
      return emit(topic, Stored(value), options);
    }
  }

  SubscriptionBuilder on(std::string_view pattern);

  // Once, `d` from now.
  ScheduleBuilder after(Duration d);
  // Every `period`, the first time one period from now; the time that the machine sleeps does not
  // count. Requires for an active one: period >= 1 us.
  ScheduleBuilder every(Duration period);
  // The zone is one of the IANA database's, or any other; see model/cron.hpp and zones.hpp.
  ScheduleBuilder every(const Cron& cron, std::string_view zone, Gap gap = Gap::at_end) {
    return every(cron, load_zone(zone), gap);
  }
  ScheduleBuilder every(const Cron& cron, const Result<std::shared_ptr<const Zone>>& zone = nullptr,
                        Gap gap = Gap::at_end);
  // Once, when the wall clock says so; at once if it already does. That it was set forward
  // meanwhile is noticed within a minute.
  ScheduleBuilder at(WallTime time);

  // RuntimeOptions::tariff.
  const Tariff& tariff() const;
  // What the last `window` cost, under the Runtime's tariff or another; where check() refuses that
  // one, as without any. A sheet's tiers and free allowance go by the month: `month_so_far` is what
  // came before the window, the sum of the `units` of its bills. See Bill. Requires: window > 0;
  // beyond 768 hours it is 768.
  Bill bill(Duration window) const;
  Bill bill(Duration window, const Tariff& tariff, const Units& month_so_far = {}) const;

  // A snapshot: counts that were read in one order, in which nothing ends before it was accepted.
  RuntimeStats stats() const;

  // Changes what the settings name, all or nothing, and each change has a line in the log and a
  // record; see model/settings.hpp. kNotFound for what is not here, kInvalidArgument naming the
  // member; kFailedPrecondition for a function, and for the rate of a tenant that has none, unless
  // RuntimeOptions::adjustable is set, and for workers that are not wisp's own; kUnavailable once
  // it has stopped.
  [[nodiscard]] Status configure(const Settings& settings);
  // What may be changed, as it is.
  Settings settings() const;

  // Calls `sink` for each step of each call and delivery that begins from now on; see record.hpp.
  // Meanwhile every call and delivery takes the long way, which costs it some hundreds of
  // nanoseconds. At most 16 observers; the next one gets nothing, and a line in the log.
  Observation observe(RecordSink sink);

  // What happened to an event, post or started call, in words, a line for each step. Steps that
  // went wrong are always remembered, others while an observer watches; the last 4,096 of them.
  std::string explain(EventId id) const;
  DeadLetters& dead_letters();

  // Runs what is queued, timers that are due first, on this thread. One pass: work added meanwhile
  // waits for the next. Runs nothing unless threads is Threads::none, and nothing inside a pump.
  // One thread at a time.
  Pumped pump(PumpBudget budget = {});

  // Stops accepting, lets what was accepted run until `deadline` from now, then cancels what is
  // queued, asks what runs to stop and gives it one more second. Under Threads::none it pumps
  // meanwhile. A call beside another waits for that one; later calls return at once, with the
  // status of the one that stopped it. A call from inside a handler or a continuation of this
  // Runtime, or of what it destroys after either, stops accepting and cancels, and waits for
  // nobody: a later one, or the destructor, does. One from inside of what stop() itself runs or
  // destroys changes nothing.
  Stopped stop(Duration deadline);

 private:
  // `function` is a Definition, or how it is called.
  template <class R, class Which>
  Result<R> call_on(const Which& function, const void* in, const CallOptions& options) {
    // One object from here to the caller. A value to begin with, where that is nothing, spares the
    // handler's the question whether there was an error.
    Result<R> result = [] {
      if constexpr (std::is_trivially_default_constructible_v<R>) return Result<R>(R{});
      else return detail::ResultCall<R>::unset();
    }();
    const auto fail = [](void* failed, Status why) {
      *static_cast<Result<R>*>(failed) = std::move(why);
    };
    invoker_->call(function, in, {&result, fail}, options);
    return result;
  }
  template <class R>
  Result<R> call_named(std::string_view name, const void* in, const TypeInfo* type,
                       const CallOptions& options) {
    return call_on<R>(detail::Invoker::Called{name, type, detail::type_or_null<R>()}, in, options);
  }
  template <class R, class Node>
  Pending<R> start_on(const detail::Definition& function, std::shared_ptr<Node> node,
                      const CallOptions& options) {
    invoker_->start(node, function, options);
    return Pending<R>(std::move(node));
  }
  Result<EventId> post_on(const detail::Definition& function, const detail::Given& input,
                          const CallOptions& options) {
    return invoker_->post(function, input, options);
  }
  Result<EventId> emit_value(std::string_view topic, const detail::Given& value,
                             const CallOptions& options);

  struct Core;
  // What handlers are given: it refers to the Core and ends with it.
  explicit Runtime(Core& core);

  // Shared with whatever is still queued or running when a stop had to give up on it.
  std::shared_ptr<Core> core_;
  detail::Invoker* invoker_;  // core_'s
};

}  // namespace wisp::inline v0
