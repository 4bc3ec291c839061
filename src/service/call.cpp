// call and start: one caller, one result.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

const Lineage kNoLineage;

// A queue that moves on meanwhile is full at each of these looks only if it is well-nigh always.
constexpr int kSubmitTries = 3;

FunctionState& state_of(const Registered& entry) {
  return static_cast<FunctionState&>(*entry.attachment);
}

Status limit_reached(const FunctionState& function) {
  return refused(
      StatusCode::kResourceExhausted, Reason::limit,
      fmt::format("function '{}' is at its concurrency limit ({})", function.definition->name,
                  function.definition->options.limits.concurrency));
}

}  // namespace

// In the plain case: a function of this runtime, open, without a limit. Null: ask admitted(). The
// registry is looked at last: once the runtime has stopped, it may be on its way out.
template <class Key>
const Registered* Invoker::admitted_at_once(const Key& key) const {
  if (forked() || !open()) [[unlikely]]
    return nullptr;
  const Registered* entry = parts_.registry.lookup(key);
  if (entry == nullptr) [[unlikely]]
    return nullptr;
  return state_of(*entry).limited() ? nullptr : entry;
}

Result<FunctionState*> Invoker::admitted(const Definition& function) {
  WISP_TRY(admit());
  WISP_TRY(const Registered* entry, parts_.registry.resolve(function));
  FunctionState& state = state_of(*entry);
  if (state.limited() && !state.try_enter()) return limit_reached(state);
  return &state;
}

// When to try again; nothing if this was the last attempt.
std::optional<Time> Invoker::next_attempt(const FunctionState& function, int attempts,
                                          const Ended& ended, Deadline deadline) {
  const Retry& retry = function.definition->options.retry;
  if (ended.outcome == Outcome::ok || ended.outcome == Outcome::cancelled) return std::nullopt;
  if (ended.outcome == Outcome::error && !retryable(ended.status.code())) return std::nullopt;
  if (attempts >= retry.attempts.value_or(kAttemptsOfCalls)) return std::nullopt;
  if (phase_.load(std::memory_order_acquire) == Phase::stopped) return std::nullopt;
  const Time due = parts_.clock.now() + backoff(retry, attempts, parts_.random);
  if (due >= deadline.at()) return std::nullopt;
  return due;
}

// As attempt(), for what is neither marked nor cancelled by anybody. The error, if it is one, is
// left in `why`. Inlined by force: its two callers are the warm path and the next attempts.
[[gnu::always_inline]] inline Outcome Invoker::attempt_of(const Here& call, int attempts,
                                                          Status& why) {
  const Definition& definition = *call.function.definition;
  ActiveFrame frame({.runtime = parts_.runtime,
                     .function = definition.name,
                     .deadline = earlier(call.deadline,
                                         Deadline::after(parts_.clock, definition.options.timeout)),
                     .attempt = attempts,
                     .event = call.parent != nullptr ? call.parent->event : EventId(),
                     .lineage = &call.lineage},
                    this, call.parent);
  frame.push();
  Shard& shard = parts_.ledger.shard();
  Context context(*this, frame);
  Span span(shard, call.line, definition.options.meter);
  Attempted attempted = definition.invoke(definition, call.in, call.result, context);
  const bool plain = attempted.status.ok() && !attempted.threw && frame.deadline.none();
  const Outcome outcome = plain ? Outcome::ok : judge(frame, attempted);
  frame.pop();
  // The last use of the shard: a thread on its way out gives it back.
  parts_.ledger.end_and_record(shard, span, attempts == 1, outcome != Outcome::ok);
  if (frame.stops != nullptr) [[unlikely]]
    forget_stops(frame);
  if (outcome == Outcome::ok) [[likely]]
    return outcome;
  if (outcome == Outcome::timed_out) definition.fail(call.result, attempted.status);
  why = std::move(attempted.status);
  return outcome;
}

Status Invoker::call_under(const Lineage& lineage, FunctionState& state, const void* in,
                           void* result, Duration timeout) {
  ActiveFrame* const top = ActiveFrame::top();
  ActiveFrame* const parent = top != nullptr && top->invoker == this ? top : nullptr;
  const Deadline own = Deadline::after(parts_.clock, timeout);
  const Here call{.function = state,
                  .line = line_of(state, lineage),
                  .in = in,
                  .result = result,
                  .lineage = lineage,
                  .parent = parent,
                  .deadline = parent != nullptr ? earlier(parent->deadline, own) : own};
  Status why;
  const Outcome outcome = attempt_of(call, 1, why);
  if (outcome != Outcome::ok) [[unlikely]]
    call_again(call, outcome, std::move(why));
  if (state.limited()) [[unlikely]]
    state.leave(*this);
  return Status();
}

void Invoker::call_again(const Here& call, Outcome outcome, Status why) {
  for (int attempts = 1; outcome != Outcome::ok; ++attempts) {
    const Ended ended{.outcome = outcome, .status = std::move(why), .taken = {}};
    if (!again(call, attempts, ended)) return;
    outcome = attempt_of(call, attempts + 1, why);
  }
}

inline Status Invoker::call_admitted(FunctionState& state, const void* in, void* result,
                                     const CallOptions& options) {
  if (!options.tenant.empty() || !options.tag.empty()) [[unlikely]]
    return call_labelled(state, in, result, options);
  const ActiveFrame* const top = ActiveFrame::top();
  const bool nested = top != nullptr && top->invoker == this;
  return call_under(nested ? *top->lineage : kNoLineage, state, in, result, options.timeout);
}

Status Invoker::call_labelled(FunctionState& state, const void* in, void* result,
                              const CallOptions& options) {
  const Lineage labelled = lineage(options);
  return call_under(labelled, state, in, result, options.timeout);
}

Status Invoker::call(const Definition& function, const void* in, void* result,
                     const CallOptions& options) {
  if (const Registered* entry = admitted_at_once(function)) [[likely]]
    return call_admitted(state_of(*entry), in, result, options);
  WISP_TRY(FunctionState * state, admitted(function));
  return call_admitted(*state, in, result, options);
}

Status Invoker::call(const Called& called, const void* in, void* result,
                     const CallOptions& options) {
  const Registered* entry = admitted_at_once(called.name);
  // Types that are the same, but known to two shared objects, differ here.
  if (entry != nullptr && entry->definition->in == called.in &&
      entry->definition->out == called.out) [[likely]]
    return call_admitted(state_of(*entry), in, result, options);
  WISP_TRY(admit());
  WISP_TRY(entry, parts_.registry.resolve(called.name, called.in, called.out));
  WISP_TRY(FunctionState * state, admitted(*entry->definition));
  return call_admitted(*state, in, result, options);
}

bool Invoker::again(const Here& call, int attempts, const Ended& ended) {
  if (parts_.manual) return false;
  const std::optional<Time> due = next_attempt(call.function, attempts, ended, call.deadline);
  if (!due) return false;
  if (call.parent != nullptr) {
    if (!sleep(*call.parent, *due - parts_.clock.now()).ok()) return false;
  } else {
    Cancellation nobody;
    wait_for_retry(nobody, *due);
  }
  return phase_.load(std::memory_order_acquire) != Phase::stopped;
}

// A started call in the executor's queue; cancelled when the executor drops it.
struct Invoker::QueuedCall {
  std::shared_ptr<CallNode> node;

  explicit QueuedCall(std::shared_ptr<CallNode> n) : node(std::move(n)) {}
  QueuedCall(QueuedCall&&) noexcept = default;
  QueuedCall& operator=(QueuedCall&&) = delete;
  ~QueuedCall() {
    if (node == nullptr) return;
    if (const std::shared_ptr<Invoker> invoker = claim()) invoker->drop(*node);
  }
  void operator()() {
    if (const std::shared_ptr<Invoker> invoker = claim())
      invoker->run_claimed(*std::exchange(node, nullptr), false);
    node = nullptr;
  }

 private:
  // Its call, or one that lodges here.
  std::shared_ptr<Invoker> claim() {
    for (bool lodger = false;; lodger = true) {
      if (std::shared_ptr<Invoker> invoker = node->claim_by_task(lodger)) return invoker;
      const std::shared_ptr<Invoker> invoker = node->spare_task();
      if (invoker == nullptr) return nullptr;
      std::shared_ptr<CallNode> gone;  // released outside of the lock
      const MutexLock lock(invoker->mutex_);
      invoker->spare_tasks_.fetch_sub(1);
      if (invoker->lodgers_.empty()) return nullptr;
      gone = std::exchange(node, std::move(invoker->lodgers_.front()));
      invoker->lodgers_.pop_front();
    }
  }
};

bool Invoker::lodge(const std::shared_ptr<CallNode>& node, Task& task) {
  if (spare_tasks_.load() == 0) return false;
  {
    const MutexLock lock(node->mutex_);
    node->lodges_ = true;
  }
  task.reset();  // leaves a call that lodges alone
  const MutexLock lock(mutex_);
  if (lodgers_.size() >= spare_tasks_.load()) return false;
  lodgers_.push_back(node);
  return true;
}

void Invoker::forget_lodger(const CallNode& node) {
  std::shared_ptr<CallNode> found;  // released outside of the lock
  const MutexLock lock(mutex_);
  const auto place = std::find_if(lodgers_.begin(), lodgers_.end(),
                                  [&node](const auto& each) { return each.get() == &node; });
  if (place == lodgers_.end()) return;
  found = std::move(*place);
  lodgers_.erase(place);
}

void Invoker::start(const std::shared_ptr<CallNode>& node, const Definition& function,
                    const CallOptions& options) {
  node->clock_ = &parts_.clock;
  node->forks_ = forks_;
  node->receipt_.function = function.name;
  const Result<FunctionState*> state = admitted(function);
  if (!state.ok()) {
    node->fail(state.status());
    node->finish(false);
    return;
  }
  node->function_ = *state;
  node->lineage_ = lineage(options);
  node->line_ = line_of(**state, node->lineage_);
  node->deadline_ = deadline(options);
  node->accepted_ = parts_.ledger.ticks().now();
  {
    const MutexLock lock(node->mutex_);
    node->invoker_ = shared_from_this();
  }
  outstanding_.fetch_add(1);
  for (int tries = 1;; ++tries) {
    Task task{QueuedCall(node)};
    const Status submitted = parts_.executor.submit(task);
    if (submitted.ok()) return;
    const bool full = submitted.code() == StatusCode::kResourceExhausted;
    if (full && lodge(node, task)) return;
    // The tasks that filled the queue, and that it might have lodged in, may be gone by now.
    if (full && tries < kSubmitTries) {
      node->withdraw(task);
      continue;
    }
    if (node->claim_by_task(true) == nullptr) return;
    return refuse(*node, Outcome::rejected,
                  full ? refused(submitted.code(), Reason::full, message(submitted)) : submitted);
  }
}

Invoker::Ended Invoker::attempt_call(CallNode& node, bool on_executor) {
  ++node.attempts_;
  Ended ended = attempt({.function = *node.function_,
                         .line = node.line_,
                         .in = node.input,
                         .result = node.result,
                         .lineage = &node.lineage_,
                         .event = {},
                         .deadline = node.deadline_,
                         .attempt = node.attempts_,
                         .cancellation = &node.cancellation_,
                         .route = nullptr,
                         .parent = nullptr,
                         .accepted_ticks = node.attempts_ == 1 ? node.accepted_ : 0,
                         .node = &node,
                         .on_executor = on_executor});
  if (!ended.began) --node.attempts_;
  return ended;
}

// The runtime stopped before the call began, or between two attempts: then the last one's error
// stands. Requires: claimed.
void Invoker::drop(CallNode& node) {
  abandoned({node.function_->definition->name, {}, "queued"});
  if (node.attempts_ > 0) return complete(node, node.receipt_.outcome);
  refuse(node, Outcome::cancelled,
         refused(StatusCode::kCancelled, Reason::stopped,
                 "the runtime stopped before the call began"));
}

void Invoker::run_claimed(CallNode& node, bool inline_retries) {
  while (true) {
    if (node.attempts_ > 0 && node.cancellation_.requested()) {
      return refuse(
          node, Outcome::cancelled,
          Status(StatusCode::kCancelled, "cancelled while it waited for its next attempt"));
    }
    const Ended ended = attempt_call(node, !inline_retries);
    // A host's executor, and a waiter, may come to it after the runtime's end.
    if (!ended.began) return drop(node);
    charge(node, ended);
    const std::optional<Time> due =
        next_attempt(*node.function_, node.attempts_, ended, node.deadline_);
    // A waiter on the only thread makes no further attempts: nobody would move time on meanwhile.
    const bool last = !due || node.cancellation_.requested() || (inline_retries && parts_.manual);
    if (last) return complete(node, ended.outcome);
    if (inline_retries) {
      wait_for_retry(node.cancellation_, *due);
      continue;
    }
    struct Later {
      QueuedCall call;
      std::shared_ptr<Invoker> invoker;
      void operator()() { invoker->submit_surely(Task(std::move(call))); }
    };
    Task task(Later{QueuedCall(node.shared_from_this()), shared_from_this()});
    if (!node.delay(*due)) return complete(node, ended.outcome);
    // A timer that refuses destroys the task, which ends the call with this attempt's error.
    (void)parts_.timer.schedule(*due, std::move(task));
    return;
  }
}

void Invoker::wait_for_retry(Cancellation& cancellation, Time due) {
  Parker parker;
  Clock& clock = parts_.clock;
  const std::stop_source source = cancellation.source();
  keep_token(&parker, source);
  {
    const std::stop_callback wake(source.get_token(), [&clock, &parker] { clock.wake(parker); });
    const Blocking blocking(parts_.executor);
    // The end of the runtime stops the source, after it has changed the phase.
    const auto wanted = [&] {
      return !cancellation.requested() && phase_.load() != Phase::stopped;
    };
    while (wanted() && clock.now() < due) clock.park(parker, due);
  }
  forget_token(&parker);
}

void Invoker::charge(CallNode& node, const Ended& ended) const {
  Receipt& receipt = node.receipt_;
  const Definition& definition = *node.function_->definition;
  const auto worse = [](Quality a, Quality b) { return std::min(a, b); };
  const bool first = node.attempts_ == 1;
  receipt.version = node.function_->version;
  receipt.outcome = ended.outcome;
  receipt.attempts = node.attempts_;
  if (first) {
    receipt.queued = Duration(ended.waited_ns);
    receipt.queued_quality = Quality::measured;
    receipt.bytes_in = node.bytes_in;
    receipt.bytes_in_quality = Quality::measured;
  }
  receipt.wall += Duration(ended.taken.wall_ns);
  receipt.wall_quality =
      first ? ended.taken.wall_quality : worse(receipt.wall_quality, ended.taken.wall_quality);
  receipt.cpu += Duration(ended.taken.cpu_ns);
  receipt.cpu_quality =
      first ? ended.taken.cpu_quality : worse(receipt.cpu_quality, ended.taken.cpu_quality);
  const Tariff& tariff = parts_.ledger.tariff();
  if (tariff.empty()) return;
  const Usage usage =
      Usage::of({.wall = Duration(ended.taken.wall_ns), .cpu = Duration(ended.taken.cpu_ns)});
  receipt.cost = receipt.cost + tariff.marginal(usage, definition.options.memory_mb);
  receipt.cost_quality = Quality::estimated;
}

void Invoker::complete(CallNode& node, Outcome outcome) {
  node.receipt_.outcome = outcome;
  FunctionState& function = *node.function_;
  const std::shared_ptr<Invoker> self = shared_from_this();
  const Errand errand(*this, nullptr);
  // First, so that who waited for this call may at once make the next.
  if (function.limited()) function.leave(*this);
  node.finish(false);
  one_less();
}

void Invoker::refuse(CallNode& node, Outcome outcome, Status why) {
  node.fail(std::move(why));
  complete(node, outcome);
}

}  // namespace wisp::inline v0::detail
