#include <wisp/service/invoker.hpp>

#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include <fmt/format.h>
#include <wisp/base/readers.hpp>
#include <wisp/service/detail/instances.hpp>

namespace wisp::inline v0::detail {

constinit std::atomic<std::uint64_t> forks{0};

namespace {

// A full executor is asked again this much later.
constexpr Duration kSubmitAgain = std::chrono::milliseconds(1);
// And one that found no thread, as when the system is out of them.
constexpr Duration kServeAgain = std::chrono::milliseconds(50);

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

void Invoker::refuse_all(Status why) {
  born_stopped_ = refuse_stopped(fmt::format("the runtime did not start: {}", message(why)));
  phase_.store(Phase::stopped);
}

std::unique_ptr<FunctionState> Invoker::anonymous(std::shared_ptr<const Definition> definition) {
  auto state = std::make_unique<FunctionState>();
  InstancePool::adopt(*this, definition, state->instances);
  const FunctionOptions& options = definition->options;
  state->line = parts_.ledger.line(
      {.function = definition->name, .memory_mb = options.memory_mb, .meter = options.meter});
  state->limit_to(options.limits, shares_);
  state->reserved_late = options.limits.reserved && !open_to_reservations_;
  state->bare = !definition->takes_context && options.timeout == Duration() && !state->limited();
  state->sampled = options.meter == Meter::sampled;
  // Last: around all that a run is.
  if (parts_.simulator != nullptr) definition = parts_.simulator->around(std::move(definition));
  state->definition = std::move(definition);
  return state;
}

std::unique_ptr<Attachment> Invoker::attach(const Registered& entry) {
  std::unique_ptr<FunctionState> state = anonymous(entry.definition);
  state->version = entry.version;
  Route::Rules rules{.name = fmt::format("function '{}'", entry.definition->name),
                     .queue = parts_.queue};
  state->posts = std::make_shared<Route>(*this, std::move(rules), state.get(), nullptr);
  add_route(state->posts);
  return state;
}

void Invoker::add_route(const std::shared_ptr<Route>& route) {
  list_route(route);
  // Perhaps too late for abort(): nothing may begin.
  if (phase_.load() == Phase::stopped) route->cancel();
}

void Invoker::list_route(const std::shared_ptr<Route>& route) {
  const MutexLock lock(mutex_);
  // Amortised: the list is swept when it would grow.
  if (routes_.size() == routes_.capacity()) {
    std::erase_if(routes_, [](const std::weak_ptr<Route>& each) { return each.expired(); });
    routes_.reserve(std::max<std::size_t>(16, 2 * routes_.size()));
  }
  routes_.push_back(route);
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

int Invoker::labelled_line(const FunctionState& function, const Lineage& lineage) {
  const FunctionOptions& options = function.definition->options;
  const int line = parts_.ledger.line({.function = function.definition->name,
                                       .version = function.version,
                                       .tenant = lineage.tenant,
                                       .tag = lineage.tag,
                                       .memory_mb = options.memory_mb,
                                       .meter = options.meter});
  return line == kOthersLine ? function.line : line;
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
  const Definition& definition = *what.function.definition;
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
  const Definition& definition = *what.function.definition;
  ActiveFrame frame;
  enter(frame, what);
  const Ticks& ticks = parts_.ledger.ticks();
  const Meter meter = definition.options.meter;
  Shard& shard = parts_.ledger.shard();
  const std::uint64_t waited_until = what.accepted_ticks == 0 ? 0 : ticks.now();
  Context context(*this, frame);
  // Whole before others can see it.
  Running running{.function = definition.name,
                  .event = what.event,
                  .node = what.node,
                  .before = frame.running,
                  .first = what.items + static_cast<int>(what.items == 0 && what.attempt == 1)};
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
  if (observers_.any()) [[unlikely]]
    note_attempt(Step::began, what, nullptr);
  Span span(shard, what.line, meter);
  Attempted attempted = definition.invoke(what.in, what.result, context);
  const Outcome outcome = judge(frame, attempted);
  if (outcome != Outcome::ok) what.function.note_failed(outcome);
  Ended ended{.outcome = outcome, .status = std::move(attempted.status), .taken = span.end()};
  if (outcome == Outcome::timed_out && what.result != nullptr)
    definition.fail(what.result, ended.status);

  const bool waited = what.accepted_ticks != 0 && waited_until >= what.accepted_ticks;
  ended.waited_ns = waited ? ticks.to_ns(waited_until - what.accepted_ticks) : 0;
  leave(frame);
  if (marked) shard.set_running(marked_before);
  if (running.lent) what.token->take_token_back();
  // Last: a thread on its way out gives the shard back.
  parts_.ledger.record(shard, what.line,
                       {.taken = ended.taken,
                        .first = what.attempt == 1,
                        .failed = outcome != Outcome::ok,
                        .waited = waited,
                        .wait_ns = ended.waited_ns});
  if (observers_.any()) [[unlikely]]
    note_attempt(Step::ended, what, &ended);
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

void Invoker::drain(Time until, const Pump& pump) {
  Parker parker;
  {
    const MutexLock lock(mutex_);
    drainer_ = &parker;
    if (!stopping()) phase_.store(Phase::draining);  // observers come and go under this lock
  }
  heavy_barrier();  // pairs with the light ones of publishers
  for (const std::shared_ptr<Route>& each : routes()) each->see_accepted();
  calls_.see_accepted();
  while (busy() && parts_.clock.now() < until) {
    const std::optional<Time> next = pump ? pump() : std::optional<Time>(until);
    if (!next) continue;
    // A clock that only the pump's own thread could move would let it wait for ever.
    if (pump && !parts_.clock.real()) break;
    parts_.clock.park(parker, std::min(until, *next));
  }
  const MutexLock lock(mutex_);
  drainer_ = nullptr;
}

void Invoker::abort() {
  std::vector<std::stop_source> tokens;
  {
    const MutexLock lock(mutex_);
    phase_.store(Phase::stopped);
    for (const auto& [owner, source] : tokens_) tokens.push_back(source);
  }
  calls_.close();  // what ends now makes no room for the next
  for (std::stop_source& each : tokens) each.request_stop();
  const std::vector<std::shared_ptr<Route>> all = routes();
  for (const std::shared_ptr<Route>& each : all) each->cancel();
  calls_.drop_queued();
  Keyed(*this).close();
  heavy_barrier();  // a publisher is seen in settle(), or sees that its route has closed
  for (const std::shared_ptr<Route>& each : all) each->function().close(*this);
}

std::int64_t Invoker::outstanding() {
  std::int64_t all = outstanding_.load(std::memory_order_relaxed) + calls_.uncounted();
  for (const std::shared_ptr<Route>& each : routes()) all += each->uncounted();
  return all;
}

std::vector<std::shared_ptr<Route>> Invoker::routes() {
  std::vector<std::shared_ptr<Route>> alive;
  const MutexLock lock(mutex_);
  for (const std::weak_ptr<Route>& each : routes_) {
    if (std::shared_ptr<Route> route = each.lock()) alive.push_back(std::move(route));
  }
  return alive;
}

Publishers::Marks Invoker::settle(Time until) {
  Parker parker;
  {
    const MutexLock lock(mutex_);
    drainer_ = &parker;
  }
  Publishers::Marks stuck = publishers_.inside();
  while (busy() && parts_.clock.now() < until) parts_.clock.park(parker, until);
  // A mark that came later is of a publisher that finds its route closed and goes.
  const Publishers::Marks left = publishers_.inside();
  std::erase_if(stuck, [&left](const auto& mark) {
    return std::find(left.begin(), left.end(), mark) == left.end();
  });
  const MutexLock lock(mutex_);
  drainer_ = nullptr;
  return stuck;
}

std::vector<Abandoned> Invoker::give_up_running(const Publishers::Marks& stuck) {
  std::vector<std::shared_ptr<CallNode>> nodes;
  std::vector<Abandoned> running;
  parts_.ledger.for_each_running([&nodes, &running](void* mark, int) {
    for (auto* each = static_cast<Running*>(mark); each != nullptr;
         each = static_cast<Running*>(each->before)) {
      EventId event = each->event;
      if (each->post) {
        event.sequence = each->sequence.load(std::memory_order_relaxed);
        if (event.sequence == 0) continue;
      }
      // It lets its share in the node go under the lock that is held here, or did before.
      CallNode* const node = each->node.load(std::memory_order_relaxed);
      if (each->calls && node == nullptr) continue;
      running.push_back({std::string(each->function), event, "running"});
      if (node != nullptr) nodes.push_back(node->shared_from_this());
    }
  });
  for (const std::shared_ptr<CallNode>& each : nodes) each->finish(true);
  for (const std::shared_ptr<Route>& each : routes()) {
    for (const auto& [route, sequence] : stuck) {
      if (route == each.get())
        running.push_back({each->function().definition->name, {origin_, sequence}, "running"});
    }
    const FunctionState& function = each->function();
    const bool first = function.posts == nullptr || function.posts == each;
    if (first && function.instances != nullptr && function.instances->building())
      running.push_back({function.definition->name, {}, "building an instance"});
    each->abandon();
  }
  std::vector<Abandoned> queued = take_abandoned();
  std::move(queued.begin(), queued.end(), std::back_inserter(running));
  return running;
}

}  // namespace wisp::inline v0::detail
