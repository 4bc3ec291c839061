#include <wisp/service/invoker.hpp>

#include <pthread.h>

#include <mutex>
#include <utility>

#include <fmt/format.h>

namespace wisp::inline v0::detail {

constinit std::atomic<std::uint64_t> forks{0};

namespace {

// A full executor is asked again this much later.
constexpr Duration kSubmitAgain = std::chrono::milliseconds(1);
// And one that found no thread, as when the system is out of them.
constexpr Duration kServeAgain = std::chrono::milliseconds(50);

// A call ends on the version that it began on.
VersionUse version_of(const AttemptRules& what, Random& random) {
  if (what.version != nullptr && (what.attempt > 1 || what.shadow))
    return {what.function, *what.version};
  return {what.function, what.function.directions, what.chosen_by, random};
}

Running mark_of(const AttemptRules& what, const Definition& definition, const ActiveFrame& frame) {
  return {.function = definition.name,
          .event = what.event,
          .node = what.node,
          .before = frame.running,
          .first = what.items + static_cast<int>(what.items == 0 && what.attempt == 1)};
}

Status refuse_stopped(std::string_view why) {
  return refused(StatusCode::kUnavailable, Reason::stopped, why);
}

}  // namespace

std::uint64_t fork_generation() {
  // Once a process: a handler of fork cannot be taken back, and needs no more than this word.
  static std::once_flag once;
  std::call_once(once, [] {
    pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
  });
  return forks.load(std::memory_order_relaxed);
}

Invoker::Invoker(Parts parts)
    : parts_(std::move(parts)),
      origin_(parts_.random.next()),
      forks_(fork_generation()),
      anchor_(Anchor::take(anchored_)) {}

bool Invoker::inside() const {
  for (const ActiveFrame* frame = ActiveFrame::top(); frame != nullptr; frame = frame->outer) {
    if (frame->invoker == this) return true;
  }
  return false;
}

Status Invoker::admit() const {
  if (forks.load(std::memory_order_relaxed) != forks_) {
    return refuse_stopped("this process was forked from the runtime's: start a runtime of its own");
  }
  const Phase phase = phase_.load(std::memory_order_acquire);
  if (phase <= Phase::observed) return Status();
  if (phase == Phase::draining && inside()) return Status();
  return born_stopped_.ok() ? refuse_stopped("the runtime has stopped") : born_stopped_;
}

// Of handlers, and of what becomes of their deliveries.
bool Invoker::accepts_late() const {
  const Phase phase = phase_.load(std::memory_order_acquire);
  return phase == Phase::observed ||
         (phase == Phase::draining && (inside() || Errand::count(*this) > 0));
}

Lineage Invoker::lineage(const CallOptions& options) const {
  Lineage lineage;
  const ActiveFrame* frame = ActiveFrame::top();
  if (frame != nullptr && frame->invoker == this) {
    lineage = *frame->lineage;
    if (!frame->event.empty()) lineage.cause = frame->event;
  }
  if (!options.tenant.empty()) lineage.tenant = options.tenant;
  if (!options.tag.empty()) lineage.tag = options.tag;
  if (!options.traceparent.empty())
    lineage.trace = parse_traceparent(options.traceparent).value_or(lineage.trace);
  return lineage;
}

Deadline Invoker::deadline(const CallOptions& options) const {
  const ActiveFrame* frame = ActiveFrame::top();
  const Deadline own = Deadline::after(parts_.clock, options.timeout);
  return frame != nullptr && frame->invoker == this ? earlier(frame->deadline, own) : own;
}

int Invoker::labelled_line(const RunVersion& version, const Lineage& lineage) {
  const std::string_view function = version.definition->name;
  const std::optional<int> known =
      parts_.ledger.line({function, version.version, lineage.tenant, lineage.tag});
  if (known) return *known;
  const FunctionOptions& options = version.definition->options;
  const int line = parts_.ledger.line({.function = version.definition->name,
                                       .version = version.version,
                                       .tenant = lineage.tenant,
                                       .tag = lineage.tag,
                                       .memory_mb = options.memory_mb,
                                       .meter = options.meter});
  return line == kOthersLine ? version.line : line;
}

Outcome Invoker::judge(const ActiveFrame& frame, Attempted& attempted) const {
  if (attempted.threw) return Outcome::threw;
  if (attempted.status.ok()) {
    if (!frame.deadline.passed(parts_.clock)) return Outcome::ok;
    // A result that comes after the deadline is none: the caller may have gone on without it.
    attempted.status = deadline_exceeded("'{}' came back after its deadline", frame.function);
    return Outcome::timed_out;
  }
  switch (attempted.status.code()) {
    case StatusCode::kDeadlineExceeded:
      return frame.deadline.passed(parts_.clock) ? Outcome::timed_out : Outcome::error;
    case StatusCode::kCancelled:
      if (frame.cancel_requested()) return Outcome::cancelled;
      if (!frame.deadline.passed(parts_.clock)) return Outcome::error;
      // It was asked to stop by its deadline alone.
      attempted.status = deadline_exceeded("'{}' gave way at its deadline: {}", frame.function,
                                           message(attempted.status));
      return Outcome::timed_out;
    default:
      return Outcome::error;
  }
}

void Invoker::enter(ActiveFrame& frame, const Attempt& what) {
  const Definition& definition = *what.function.definition;  // its versions have name and timeout
  frame.runtime = parts_.runtime;
  frame.function = definition.name;
  frame.deadline =
      earlier(what.deadline, Deadline::after(parts_.clock, definition.options.timeout));
  frame.attempt = what.attempt;
  frame.event = what.event;
  frame.lineage = what.lineage;
  frame.invoker = this;
  frame.parent = what.parent;
  frame.cancellation = what.cancellation;
  frame.token = what.token;
  frame.on_executor = what.on_executor;
  frame.push();
}

void Invoker::forget_stops(ActiveFrame& frame) {
  ActiveFrame::Stops& stops = *frame.stops;
  if (stops.deadline_timer) parts_.timer.cancel(*stops.deadline_timer);
  stops.parent_stops.reset();
  stops.call_stops.reset();
  forget_token(&frame);
  frame.stops.reset();
}

Invoker::Ended Invoker::attempt(const Attempt& what) {
  const VersionUse version = version_of(what, parts_.random);
  if (what.version != nullptr && !what.shadow) *what.version = version.share();
  const Definition& definition = *version->definition;
  const bool first = &*version == &what.function;
  const int line = first ? what.line : line_of(*version, *what.lineage);
  ActiveFrame frame;
  enter(frame, what);
  const Ticks& ticks = parts_.ledger.ticks();
  const Ledger::Use use(parts_.ledger);
  Shard& shard = use.shard();
  const std::uint64_t waited_until = what.accepted_ticks == 0 ? 0 : ticks.now();
  Context context(*this, frame);
  Running running = mark_of(what, definition, frame);  // whole before others can see it
  const bool marked = what.node != nullptr || what.route != nullptr;
  // Not the frame's: a row that is between two handlers has a mark, and no frame.
  void* marked_before = nullptr;
  if (marked) {
    frame.running = &running;
    marked_before = shard.set_running(&running);
    // After the mark: either stop() sees this handler, or the handler is not entered.
    if (phase_.load() == Phase::stopped) {
      shard.set_running(marked_before);
      leave(frame);
      return {.outcome = Outcome::cancelled,
              .status = refused(StatusCode::kCancelled, Reason::stopped, "the runtime stopped"),
              .taken = {},
              .began = false};
    }
  }
  if (marked && !frame.deadline.none()) {
    running.late = &what.function.late;
    running.token = what.token;
    watchdog_.begins(running, frame.deadline.at());
  }
  const bool watched = observers_.any() && !what.shadow;
  if (watched) [[unlikely]]
    note_attempt(Step::began, what, nullptr);
  Span span(shard, line, definition.options.meter);
  Attempted attempted = definition.invoke(what.in, what.result, context);
  const Outcome outcome = judge(frame, attempted);
  if (outcome != Outcome::ok && !what.shadow) what.function.note_failed(outcome);
  Ended ended{.outcome = outcome, .status = std::move(attempted.status), .taken = span.end()};
  ended.version = version->version;
  ended.memory_mb = definition.options.memory_mb;
  if (outcome == Outcome::timed_out && what.result != nullptr)
    definition.fail(what.result, ended.status);

  const bool waited = what.accepted_ticks != 0 && waited_until >= what.accepted_ticks;
  ended.waited_ns = waited ? ticks.to_ns(waited_until - what.accepted_ticks) : 0;
  leave(frame);
  if (marked) shard.set_running(marked_before);
  if (running.lent) what.token->take_token_back();
  if (!what.function.accounts.empty()) [[unlikely]]
    spend(what.function, *version, *what.lineage, ended.taken);
  if (what.lineage->hops >= kLoopHops) [[unlikely]]
    loop_costs_.add(what.lineage->trace, cost_of(definition, ended.taken));
  parts_.ledger.record(shard, line,
                       {.taken = ended.taken,
                        .first = what.attempt == 1,
                        .failed = outcome != Outcome::ok,
                        .waited = waited,
                        .wait_ns = ended.waited_ns});
  if (watched) [[unlikely]]
    note_attempt(Step::ended, what, &ended);
  if (version.shadowed()) [[unlikely]]
    Shadow::follow(*this, what.function, version, what.in, what.result, outcome);
  return ended;
}

void Invoker::submit_surely(Task task) {
  const Status submitted = parts_.executor.submit(task);
  if (submitted.ok() || reason_of(submitted) == Reason::stopped) return;
  if (phase_.load(std::memory_order_acquire) == Phase::stopped) return;
  // Full, or without a thread for the moment. The timer holds the task meanwhile; the keeper asks
  // again.
  struct Again {
    std::shared_ptr<Invoker> invoker;
    std::unique_ptr<Task> task;
    void operator()() { invoker->submit_surely(std::move(*task)); }
  };
  Task later(Again{shared_from_this(), std::make_unique<Task>(std::move(task))});
  // Should the timer be full or closed too, the task is destroyed here, which counts what it stands
  // for.
  const bool full = submitted.code() == StatusCode::kResourceExhausted;
  (void)parts_.timer.schedule(parts_.clock.now() + (full ? kSubmitAgain : kServeAgain),
                              std::move(later));
}

void Invoker::one_less() {
  if (outstanding_.fetch_sub(1) != 1) return;
  if (stopping()) wake_drainer();
}

void Invoker::wake_drainer() {
  const MutexLock lock(mutex_);
  if (drainer_ != nullptr) parts_.clock.wake(*drainer_);
}

EventId Invoker::next_id_here() {
  const PerThread<Publishers::Slot>::Use slot(publishers_.slots());
  return next_id(*slot);
}

}  // namespace wisp::inline v0::detail
