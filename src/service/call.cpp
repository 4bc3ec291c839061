// call: one caller, one result.
#include <algorithm>
#include <utility>

#include <wisp/base/readers.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

FunctionState& state_of(const Registered& entry) {
  return static_cast<FunctionState&>(*entry.attachment);
}

bool plain(const CallOptions& options) {
  return &options == &kNoOptions || (unlabelled(options) && options.timeout == Duration());
}

}  // namespace

Status Invoker::enter(FunctionState& function, const Lineage& lineage) {
  Status entered = try_enter(function, lineage).status();
  if (!entered.ok()) note_refused(function.definition->name, "", entered);
  return entered;
}

// In the plain case: a function of this runtime, open. Null: ask admitted(). The registry is looked
// at last: once the runtime has stopped, it may be on its way out.
template <class Key>
const Registered* Invoker::admitted_at_once(const Key& key) const {
  if (forked() || !open()) [[unlikely]]
    return nullptr;
  return parts_.registry.lookup(key);
}

Result<FunctionState*> Invoker::admitted(const Definition& function, CallNode& node) {
  WISP_TRY(admit());
  WISP_TRY(const Registered* entry, parts_.registry.resolve(function));
  FunctionState& state = state_of(*entry);
  if (state.limited()) WISP_TRY(try_enter(state, node));
  return &state;
}

// Calls give up, deliveries wait.
std::optional<Duration> Invoker::put_off(FunctionState& function, Duration most) {
  const Time now = parts_.clock.now();
  const auto calls = [&] {
    return parts_.ledger.calls_within(function.definition->name, RetryBudget::kWindow);
  };
  std::optional<Duration> wait;
  if (most > Duration::zero()) wait = function.budget().take(now, most, calls);
  else if (function.budget().try_take(now, calls)) wait = Duration::zero();
  if (wait != Duration::zero()) count(function.withheld);
  return wait;
}

// When to try again; nothing if this was the last attempt.
std::optional<Time> Invoker::next_attempt(FunctionState& function, const Lineage& lineage,
                                          int attempts, const Ended& ended, Deadline deadline) {
  const Retry& retry = function.definition->options.retry;
  if (ended.outcome == Outcome::ok || ended.outcome == Outcome::cancelled) return std::nullopt;
  if (ended.outcome == Outcome::error && !retryable(ended.status.code())) return std::nullopt;
  if (attempts >= retry.attempts.value_or(kAttemptsOfCalls)) return std::nullopt;
  if (phase_.load(std::memory_order_acquire) == Phase::stopped) return std::nullopt;
  if (retry_after_of(ended.status) > std::max(retry.max_delay, Duration::zero()))
    return std::nullopt;
  const Time due = parts_.clock.now() + retry_delay(retry, attempts, ended.status, parts_.random);
  if (due >= deadline.at() || broke(function, lineage)) return std::nullopt;
  if (!put_off(function, Duration::zero())) return std::nullopt;
  return due;
}

// As attempt(), for what is neither marked nor cancelled by anybody. The error, if it is one, is
// left in `why`. Inlined by force: its two callers are the warm path and the next attempts.
[[gnu::always_inline]] inline Outcome Invoker::attempt_of(const Here& call, int attempts,
                                                          Status& why) {
  const Definition& definition = *call.version.definition;
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
  Attempted attempted = definition.invoke(call.in, call.result, context);
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

void Invoker::call_under(const Lineage& lineage, FunctionState& state, const void* in, void* result,
                         const CallOptions& options) {
  ActiveFrame* const top = ActiveFrame::top();
  ActiveFrame* const parent = top != nullptr && top->invoker == this ? top : nullptr;
  const Deadline own = Deadline::after(parts_.clock, options.timeout);
  const VersionUse version(state, state.directions, {.key = options.key}, parts_.random);
  const Here call{.function = state,
                  .version = *version,
                  .line = line_of(*version, lineage),
                  .in = in,
                  .result = result,
                  .lineage = lineage,
                  .parent = parent,
                  .deadline = parent != nullptr ? earlier(parent->deadline, own) : own};
  Status why;
  const Outcome outcome = attempt_of(call, 1, why);
  if (version.shadowed()) [[unlikely]]
    Shadow::follow(*this, state, version, in, result, outcome);
  if (outcome != Outcome::ok) [[unlikely]]
    call_again(call, outcome, std::move(why));
  if (state.limited()) [[unlikely]]
    state.leave(*this);
}

// As call_under(), for what needs no more: nobody can cancel it, and it has no deadline to miss.
// Most calls of the sampled meter end here, so that nothing else is.
[[gnu::always_inline]] inline void Invoker::call_bare(FunctionState& state,
                                                      const RunVersion& version, Shard& shard,
                                                      const void* in, void* result) {
  Cell& cell = shard.cell(version.line);
  if (!version.sampled || !shard.counts_only(cell)) [[unlikely]]
    return call_bare_timed(state, version, shard, cell, in, result);
  const Definition& definition = *version.definition;
  Attempted failed;
  --cell.untimed;  // first: the handler may come here too
  BareFrame frame(*this);
  frame.enter(definition);
  const bool well = definition.run(definition, in, result, nullptr, failed);
  frame.leave();
  cell.add(Count::untimed, 1);
  if (well) [[likely]]
    return;
  cell.add(Count::errors, 1);
  call_bare_again(state, version, in, result, std::move(failed));
}

[[gnu::noinline]] void Invoker::call_bare_timed(FunctionState& state, const RunVersion& version,
                                                Shard& shard, Cell& cell, const void* in,
                                                void* result) {
  const Definition& definition = *version.definition;
  Attempted failed;
  BareFrame frame(*this);
  frame.enter(definition);
  Span span(shard, cell, definition.options.meter);
  const bool well = definition.run(definition, in, result, nullptr, failed);
  frame.leave();
  parts_.ledger.end_and_record(shard, span, true, !well);
  if (!well) [[unlikely]]
    call_bare_again(state, version, in, result, std::move(failed));
}

[[gnu::noinline]] void Invoker::call_bare_again(FunctionState& state, const RunVersion& version,
                                                const void* in, void* result, Attempted failed) {
  const Here call{.function = state,
                  .version = version,
                  .line = version.line,
                  .in = in,
                  .result = result,
                  .lineage = kPlainLineage,
                  .parent = nullptr,
                  .deadline = Deadline()};
  call_again(call, failed.threw ? Outcome::threw : Outcome::error, std::move(failed.status));
}

void Invoker::call_again(const Here& call, Outcome outcome, Status why) {
  for (int attempts = 1; outcome != Outcome::ok; ++attempts) {
    call.function.note_failed(outcome);
    const Ended ended{.outcome = outcome, .status = std::move(why), .taken = {}};
    if (!again(call, attempts, ended)) return;
    outcome = attempt_of(call, attempts + 1, why);
  }
}

inline void Invoker::call_here(FunctionState& state, const void* in, Out out,
                               const CallOptions& options) {
  if (plain(options) && BareFrame::possible()) [[likely]] {
    if (state.shortest.load(std::memory_order_relaxed)) [[likely]]
      return call_bare(state, state, parts_.ledger.shard(), in, out.result);
    if (state.directions.only() != &state && call_marked(state, in, out.result)) return;
  }
  call_admitted(state, in, out, options);
}

// Frames do not nest where a BareFrame will do, and so one mark is enough for a thread.
[[gnu::noinline]] bool Invoker::call_marked(FunctionState& state, const void* in, void* result) {
  Shard* const shard = parts_.ledger.lasting_shard();
  const RunVersion* const version = state.directions.only();
  if (shard == nullptr) return false;
  shard->mark(version);
  // Between the mark and the look: who directs the calls elsewhere sees the one, or this the other.
  light_barrier();
  const bool there = version != nullptr && state.directions.only() == version && version->bare;
  if (there) call_bare(state, *version, *shard, in, result);
  shard->unmark();
  light_barrier();
  if (state.directions.leaving() && state.directions.only() != version) [[unlikely]] {
    const Errand errand(*this, nullptr);  // what a handler captured may stop the runtime
    state.let_go();
  }
  return there;
}

[[gnu::noinline]] void Invoker::call_admitted(FunctionState& state, const void* in, Out out,
                                              const CallOptions& options) {
  if (!unlabelled(options)) [[unlikely]]
    return call_labelled(state, in, out, options);
  const ActiveFrame* const top = ActiveFrame::top();
  const bool nested = top != nullptr && top->invoker == this;
  const Lineage& lineage = nested ? *top->lineage : kPlainLineage;
  if (state.limited()) [[unlikely]] {
    Status full = enter(state, lineage);
    if (!full.ok()) return out.fail(out.result, std::move(full));
    return call_either(lineage, state, in, out.result, options);
  }
  call_under(lineage, state, in, out.result, options);
}

[[gnu::noinline]] void Invoker::call_labelled(FunctionState& state, const void* in, Out out,
                                              const CallOptions& options) {
  Status bad = check_call(options);
  if (!bad.ok()) return out.fail(out.result, std::move(bad));
  if (!options.idempotency_key.empty()) return Keyed(*this).call(state, in, out.result, options);
  const Lineage labelled = lineage(options);
  if (state.limited()) {
    if (Status full = enter(state, labelled); !full.ok())
      return out.fail(out.result, std::move(full));
  }
  call_either(labelled, state, in, out.result, options);
}

void Invoker::call_either(const Lineage& lineage, FunctionState& state, const void* in,
                          void* result, const CallOptions& options) {
  if (watched() || !state.accounts.empty()) call_watched(lineage, state, in, result, options);
  else call_under(lineage, state, in, result, options);
}

template <class Resolve>
[[gnu::noinline]] void Invoker::call_resolved(const Resolve& resolve, const void* in, Out out,
                                              const CallOptions& options) {
  Status why = admit();
  if (!why.ok()) return out.fail(out.result, std::move(why));
  const Result<const Registered*> entry = resolve(parts_.registry);
  if (!entry.ok()) return out.fail(out.result, entry.status());
  if (observers_.any()) return call_observed(state_of(**entry), in, out, options);
  call_admitted(state_of(**entry), in, out, options);
}

void Invoker::call(const Definition& function, const void* in, Out out,
                   const CallOptions& options) {
  if (const Registered* const entry = admitted_at_once(function)) [[likely]]
    return call_here(state_of(*entry), in, out, options);
  const auto resolve = [&](const Registry& registry) { return registry.resolve(function); };
  call_resolved(resolve, in, out, options);
}

void Invoker::call(const Called& called, const void* in, Out out, const CallOptions& options) {
  const Registered* const named = admitted_at_once(called.name);
  // Types that are the same, but known to two shared objects, differ here.
  if (named != nullptr && named->definition->in == called.in &&
      named->definition->out == called.out) [[likely]]
    return call_here(state_of(*named), in, out, options);
  const auto resolve = [&](const Registry& registry) {
    return registry.resolve(called.name, called.in, called.out);
  };
  call_resolved(resolve, in, out, options);
}

bool Invoker::again(const Here& call, int attempts, const Ended& ended) {
  if (parts_.manual) return false;
  const std::optional<Time> due =
      next_attempt(call.function, call.lineage, attempts, ended, call.deadline);
  if (!due) return false;
  count(call.function.retries);
  if (call.parent != nullptr) {
    if (!sleep(*call.parent, *due - parts_.clock.now()).ok()) return false;
  } else {
    Cancellation nobody;
    wait_for_retry(nobody, *due);
  }
  return phase_.load(std::memory_order_acquire) != Phase::stopped &&
         !broke(call.function, call.lineage);
}

}  // namespace wisp::inline v0::detail
