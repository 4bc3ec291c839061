#include <wisp/runtime.hpp>

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <wisp/base/agent.hpp>
#include <wisp/engine/detail/ledger.hpp>
#include <wisp/engine/detail/metered_threads.hpp>
#include <wisp/engine/timer.hpp>
#include <wisp/service/detail/instances.hpp>
#include <wisp/service/detail/tuning.hpp>

namespace wisp::inline v0 {
namespace {

constexpr Duration kStopInDestructor = std::chrono::seconds(5);
// What handlers that were asked to stop get before they are given up.
constexpr Duration kGrace = std::chrono::seconds(1);
constexpr Duration kLookAgain = std::chrono::milliseconds(1);
constexpr Duration kPeriodMin = std::chrono::microseconds(1);

std::string in_words(Duration d) {
  const std::int64_t ns = d.count();
  if (ns % 1'000'000'000 == 0) return fmt::format("{}s", ns / 1'000'000'000);
  if (ns % 1'000'000 == 0) return fmt::format("{}ms", ns / 1'000'000);
  return ns % 1'000 == 0 ? fmt::format("{}us", ns / 1'000) : fmt::format("{}ns", ns);
}

Status check(const RuntimeOptions& options) {
  WISP_TRY(check(options.workers));
  WISP_TRY(check(options.queue, "RuntimeOptions::queue"));
  WISP_TRY(check(options.tariff));
  if (options.threads == Threads::none && options.executor != nullptr) {
    return invalid_argument(
        "RuntimeOptions: threads = none runs nothing on an executor; set one of both");
  }
  if (options.idempotency.rows < 1) {
    return invalid_argument("RuntimeOptions::idempotency: rows = {} must be 1 or more",
                            options.idempotency.rows);
  }
  if (options.store != nullptr)
    return unimplemented("RuntimeOptions: there is no durable store yet");
  return Status();
}

}  // namespace

// Everything, in the order of its making.
struct Runtime::Core {
  explicit Core(RuntimeOptions&& given)
      : options(std::move(given)),
        born(fork()),
        clock(options.clock != nullptr ? *options.clock : Clock::system()),
        seeded(options.random == nullptr ? SeededRandom::entropy() : 0),
        owned_ledger(std::make_shared<detail::Ledger>(clock, options.tariff)),
        ledger(*owned_ledger),
        manual(options.threads == Threads::none
                   ? std::make_unique<ManualExecutor>(clock, options.queue.count)
                   : nullptr),
        pool(manual == nullptr && options.executor == nullptr
                 ? std::make_unique<Pool>(pool_options())
                 : nullptr),
        executor(manual != nullptr ? static_cast<Executor&>(*manual)
                 : pool != nullptr ? *pool
                                   : *options.executor),
        threads(executor, owned_ledger),
        timer(clock, manual != nullptr ? nullptr : &threads),
        invoker({.clock = clock,
                 .executor = executor,
                 .timer = timer,
                 .random = options.random != nullptr ? *options.random : seeded,
                 .ledger = ledger,
                 .registry = registry,
                 .runtime = &for_handlers,
                 .source = std::string(options.source),
                 .log = options.log,
                 .queue = options.queue,
                 .manual = manual != nullptr,
                 .pooled = pool != nullptr,
                 .tokens_max = std::max(options.workers.max, 1),
                 .simulator = options.simulator,
                 .idempotency = options.idempotency,
                 .tuner = &tuner,
                 .adjustable = options.adjustable}),
        registry([this](const detail::Registered& entry) { return invoker.attach(entry); }),
        bus(invoker),
        schedules(invoker),
        for_handlers(*this) {}

  static std::uint64_t fork() { return detail::fork_generation(); }

  PoolOptions pool_options() {
    PoolOptions made{.workers = options.workers, .queue_max = options.queue.count, .clock = &clock};
    // The check that makes the runtime stop at birth comes later; until then the pool needs options
    // that can be.
    if (!wisp::check(options.workers).ok()) made.workers = {};
    // A worker that the pool leaves behind may still be inside of them.
    made.on_thread_start = [ledger = owned_ledger, hook = options.on_thread_start](int index) {
      ledger->thread_begins();
      if (hook) hook(index);
    };
    made.on_thread_exit = [ledger = owned_ledger](int) { ledger->thread_ends(); };
    return made;
  }

  Status start(const Catalogue& functions) {
    WISP_TRY(check(options));
    WISP_TRY(invoker.open_catalogue(functions, options.budgets, options.tenants));
    for (const auto& each : functions.definitions) {
      if (!each->reference()) WISP_TRY(registry.add(each));
    }
    WISP_TRY(invoker.close_catalogue());
    for (const auto& each : functions.definitions) {
      if (!each->expected) continue;
      if (const Status bad = registry.resolve(*each).status(); !bad.ok()) {
        return detail::make_status(bad.code(), "{} (expected at {})",
                                   fmt::make_format_args(message(bad), each->place()));
      }
    }
    return Status();
  }

  RuntimeOptions options;
  const std::uint64_t born;
  Clock& clock;
  SeededRandom seeded;
  Status status;
  // Shared with wisp's threads: one that is left behind ends later.
  const std::shared_ptr<detail::Ledger> owned_ledger;
  detail::Ledger& ledger;
  std::unique_ptr<ManualExecutor> manual;
  std::unique_ptr<Pool> pool;
  Executor& executor;
  detail::MeteredThreads threads;
  Timer timer;
  detail::Invoker invoker;
  // Ends before the invoker: what a handler captured may call the runtime in its destructor, and is
  // refused.
  Registry registry;
  detail::Bus bus;
  detail::Schedules schedules;
  detail::Tuner tuner{invoker, pool.get(), options.workers};
  // What a Context refers to: a handler that stop() left behind may outlive the host's Runtime.
  Runtime for_handlers;

  // One stop at a time. Not nothing: there is nothing to do, and how the stop before ended; or,
  // inside of what another stop may be waiting for or is doing, nothing to wait for.
  std::optional<Status> begin_stop(bool inside) {
    Parker parker;
    while (true) {
      {
        const MutexLock lock(mutex);
        std::erase(stop_waiters, &parker);
        if (stopped) return how_stopped;
        if (!std::exchange(stopping, true)) {
          stopper = detail::current_agent();
          return std::nullopt;
        }
        if (inside || stopper == detail::current_agent()) return Status();
        stop_waiters.push_back(&parker);
      }
      clock.park(parker, Time::never());
    }
  }

  // A stop from inside a handler leaves the waiting to a later one, the destructor's at the latest.
  void end_stop(bool over, const Status& how) {
    const MutexLock lock(mutex);
    stopping = false;
    stopper = nullptr;
    stopped = over;
    how_stopped = how;
    for (Parker* each : stop_waiters) clock.wake(*each);
  }

  bool forked() const { return fork() != born; }

  // A part that keeps the whole. Null once the whole is being destroyed: what a handler captured
  // may call the runtime even then.
  template <class Part>
  std::shared_ptr<Part> part(Part Core::* member) {
    const std::shared_ptr<detail::Invoker> alive = invoker.shared_from_this();
    if (alive == nullptr) return nullptr;
    return std::shared_ptr<Part>(alive, &(this->*member));
  }

  Mutex mutex;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  detail::AgentId stopper ABSL_GUARDED_BY(mutex) = nullptr;  // whose callbacks may stop again
  bool stopped ABSL_GUARDED_BY(mutex) = false;
  Status how_stopped ABSL_GUARDED_BY(mutex);
  std::vector<Parker*> stop_waiters ABSL_GUARDED_BY(mutex);
};

Runtime::Runtime(Catalogue functions, RuntimeOptions options)
    : core_(std::make_shared<Core>(std::move(options))), invoker_(&core_->invoker) {
  invoker_->owned_by(std::shared_ptr<detail::Invoker>(core_, invoker_));
  core_->status = core_->start(functions);
  if (!core_->status.ok()) invoker_->refuse_all(core_->status);
}

Runtime::Runtime(Core& core) : core_(std::shared_ptr<Core>(), &core), invoker_(&core.invoker) {}

Runtime::~Runtime() {
  // The one of its handlers goes with its Core.
  if (core_.use_count() == 0) return;
  if (core_->forked()) {
    // A forked child has none of the threads, and perhaps locks that nobody will ever release:
    // touch nothing.
    new std::shared_ptr<Core>(std::move(core_));
    return;
  }
  stop(kStopInDestructor);
}

const Status& Runtime::status() const { return core_->status; }

Registry& Runtime::registry() { return core_->registry; }

DeadLetters& Runtime::dead_letters() { return core_->invoker.dead_letters(); }

Status Runtime::expect(std::initializer_list<std::string_view> names) const {
  std::string missing;
  for (const std::string_view name : names) {
    if (core_->registry.lookup(name) != nullptr) continue;
    missing += fmt::format("{}'{}'", missing.empty() ? "" : ", ", name);
  }
  if (missing.empty()) return Status();
  return not_found(
      "not in this runtime: {}; a static archive drops functions that nothing refers to, see "
      "wisp_add_functions()",
      missing);
}

Result<EventId> Runtime::emit_value(std::string_view topic, const detail::Given& value,
                                    const CallOptions& options) {
  return core_->bus.emit(topic, value, options);
}

SubscriptionBuilder Runtime::on(std::string_view pattern) {
  return {core_->part(&Core::bus), pattern};
}

ScheduleBuilder Runtime::after(Duration d) {
  detail::When when{.first = core_->clock.now() + std::max(d, Duration::zero()), .name = "after"};
  if (d < Duration::zero())
    when.bad = invalid_argument("after({}): the duration is negative", in_words(d));
  return {core_->part(&Core::schedules), std::move(when)};
}

ScheduleBuilder Runtime::every(Duration period) {
  detail::When when{
      .first = core_->clock.now() + period, .period = period, .name = "every " + in_words(period)};
  if (period < kPeriodMin) {
    when.bad = invalid_argument("every({}): the period must be {} or more", in_words(period),
                                in_words(kPeriodMin));
  }
  return {core_->part(&Core::schedules), std::move(when)};
}

ScheduleBuilder Runtime::every(const Cron& cron, const Result<std::shared_ptr<const Zone>>& zone,
                               Gap gap) {
  detail::When when{.cron = cron, .gap = gap, .name = fmt::format("cron {}", cron.text())};
  if (zone.ok()) when.zone = *zone;
  else when.bad = zone.status();
  return {core_->part(&Core::schedules), std::move(when)};
}

ScheduleBuilder Runtime::at(WallTime time) {
  const WallTime now = core_->clock.wall();
  const Duration left = time > now ? Duration(time - now) : Duration::zero();
  return {core_->part(&Core::schedules),
          detail::When{.first = core_->clock.now() + left, .wall = time, .name = "at"}};
}

const Tariff& Runtime::tariff() const { return core_->options.tariff; }

Bill Runtime::bill(Duration window) const { return bill(window, core_->options.tariff); }

Bill Runtime::bill(Duration window, const Tariff& tariff, const Units& month_so_far) const {
  if (core_->forked()) return {};
  const Tariff none;
  return core_->ledger.bill(window, check(tariff).ok() ? tariff : none, month_so_far);
}

RuntimeStats Runtime::stats() const {
  RuntimeStats stats;
  if (core_->forked()) return stats;
  stats.functions = core_->ledger.functions();
  // What a handler captured may ask when it is destroyed, and the registry with it.
  if (core_->invoker.shared_from_this() != nullptr) core_->invoker.complete(stats.functions);
  stats.events = core_->invoker.events();
  if (core_->pool != nullptr) {
    const PoolStats pool = core_->pool->stats();
    stats.workers = {.current = pool.workers,
                     .running = pool.running,
                     .peak = pool.peak,
                     .blocked = pool.blocked,
                     .parked = pool.parked,
                     .aside = pool.aside,
                     .last_decision = pool.last};
  }
  stats.queued = std::max<std::int64_t>(core_->invoker.outstanding() - stats.workers.running, 0);
  stats.dead_letters = core_->invoker.dead_letters().size();
  stats.idempotency = core_->invoker.keys().stats();
  stats.shed = core_->invoker.counters().shed.load(std::memory_order_relaxed);
  stats.budgets = core_->invoker.budgets();
  return stats;
}

Observation Runtime::observe(RecordSink sink) {
  const std::shared_ptr<detail::Invoker> invoker = core_->invoker.shared_from_this();
  if (core_->forked() || invoker == nullptr)
    return Observation(refused(StatusCode::kUnavailable, Reason::stopped,
                               "the runtime is another process's, or gone"));
  std::shared_ptr<detail::Observer> observer = invoker->observe(std::move(sink));
  if (observer == nullptr) {
    const Status full =
        resource_exhausted("a runtime has at most {} observers", detail::Observers::kObserversMax);
    core_->invoker.log(LogLevel::error, "", message(full));
    return Observation(full);
  }
  return {invoker, std::move(observer)};
}

std::string Runtime::explain(EventId id) const {
  if (core_->forked()) return "this process was forked from the runtime's";
  return core_->invoker.explain(id);
}

Pumped Runtime::pump(PumpBudget budget) {
  if (core_->manual == nullptr || core_->forked()) return {};
  if (core_->manual->on_executor_thread()) return {.ran = 0, .left = core_->manual->queued()};
  core_->timer.fire(core_->clock.now());
  const ManualExecutor::Pumped pumped = core_->manual->pump(budget.time, budget.tasks);
  return {pumped.ran, pumped.left};
}

Stopped Runtime::stop(Duration deadline) {
  Core& core = *core_;
  if (core.forked()) {
    return {refused(StatusCode::kUnavailable, Reason::stopped,
                    "this process was forked from the runtime's"),
            {}};
  }
  const bool inside = core.invoker.inside() || detail::Errand::count(core.invoker) > 0;
  if (std::optional<Status> before = core.begin_stop(inside)) return {*std::move(before), {}};
  const Time now = core.clock.now();
  // Until when nothing will happen, or nothing if this pass did something.
  const auto pump = [this, &core]() -> std::optional<Time> {
    const Pumped pumped = this->pump();
    if (pumped.ran > 0) return std::nullopt;
    // Another thread is inside a pump.
    if (pumped.left > 0) return core.clock.now() + kLookAgain;
    return core.timer.next().value_or(Time::never());
  };
  core.invoker.drain(inside ? now : now + deadline,
                     core.manual != nullptr ? pump : detail::Invoker::Pump());
  core.invoker.abort();
  core.timer.close();
  if (core.manual != nullptr) core.manual->close();
  const Time late = core.clock.now() + (inside ? Duration::zero() : kGrace);
  if (core.pool != nullptr) core.pool->close(late);
  Stopped stopped;
  if (inside) {
    // What runs is not given up: a later stop waits for it.
    stopped.abandoned = core.invoker.take_abandoned();
  } else {
    // What runs on threads of the host's has the same time, unless this thread alone moves it.
    const bool waits = core.manual == nullptr || core.clock.real();
    const auto stuck = core.invoker.settle(waits ? late : core.clock.now());
    stopped.abandoned = core.invoker.give_up_running(stuck);
  }
  if (!stopped.abandoned.empty()) {
    stopped.status =
        deadline_exceeded("{}{} calls or deliveries were abandoned, the first of '{}' while {}",
                          stopped.abandoned.size() < detail::kAbandonedMax ? "" : "at least ",
                          stopped.abandoned.size(), stopped.abandoned.front().function,
                          stopped.abandoned.front().state);
  }
  core.end_stop(!inside, stopped.status);
  return stopped;
}

}  // namespace wisp::inline v0
