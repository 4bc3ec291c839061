// Calls, posts and emits that have an idempotency key.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

using Answer = IdempotencyTable::Answer;
using Kept = IdempotencyTable::Kept;

// A worker that nobody can stand in for looks this often whether what it waits for wants to be run.
constexpr Duration kRetryAlone = std::chrono::milliseconds(10);

Status check_key(std::string_view key) {
  if (key.size() <= kIdempotencyKeyMax) return Status();
  return invalid_argument("an idempotency key of {} bytes: at most {}", key.size(),
                          kIdempotencyKeyMax);
}

Status check_key(std::string_view key, const Definition& definition) {
  WISP_TRY(check_key(key));
  if (definition.results->keep != nullptr) return Status();
  return unimplemented(
      "function '{}' takes no idempotency key: its result, {}, cannot be copied for whoever comes "
      "with the same key",
      definition.name, definition.out->name());
}

Status too_late(std::string_view function) {
  return deadline_exceeded("'{}' waited into its deadline for the holder of its idempotency key",
                           function);
}

// What the first leaves to others. The copy of its value may throw.
Kept keep(const Definition& definition, const void* result, std::size_t& bytes) {
  Kept kept{.status = definition.results->status(result)};
  if (!kept.status.ok() || definition.out == nullptr) return kept;
  Attempted failed;
  const bool well = guarded(failed, [&] {
    kept.value = definition.results->keep(result);
    return true;
  });
  if (well) bytes = definition.out->bytes(kept.value.get());
  else kept.status = internal("the result of '{}' could not be copied", definition.name);
  return kept;
}

void give(const Definition& definition, void* result, const Kept& kept) {
  if (!kept.status.ok()) return definition.fail(result, kept.status);
  Attempted failed;
  const bool well = guarded(failed, [&] {
    definition.results->give(result, kept.value.get());
    return true;
  });
  if (!well) {
    definition.fail(result, internal("the result of '{}' could not be copied", definition.name));
  }
}

IdempotencyTable::Wanted wanted(const FunctionState& function, std::string_view key,
                                Deadline deadline) {
  return {.space = IdempotencyTable::Space::function,
          .name = function.definition->name,
          .key = key,
          .out = function.definition->out,
          .version = function.version,
          .deadline = deadline};
}

}  // namespace

IdempotencyTable::Joined Keyed::claim(const IdempotencyTable::Wanted& wanted) {
  IdempotencyTable::Waiter waiter;
  IdempotencyTable::Joined joined = invoker_.keys().join(wanted, waiter);
  if (joined.answer != Answer::waits) return joined;
  return wait(waiter, std::move(joined), wanted.name);
}

IdempotencyTable::Joined Keyed::wait(IdempotencyTable::Waiter& waiter,
                                     IdempotencyTable::Joined joined, std::string_view name) {
  Clock& clock = invoker_.parts().clock;
  Executor& executor = invoker_.parts().executor;
  ActiveFrame* const top = ActiveFrame::top();
  ActiveFrame* const frame = top != nullptr && top->invoker == &invoker_ ? top : nullptr;
  const auto wake = [&clock, &waiter] { clock.wake(waiter.parker); };
  std::optional<std::stop_callback<decltype(wake)>> stops;
  if (frame != nullptr) stops.emplace(invoker_.stop_token(*frame), wake);
  const bool on_worker = executor.on_executor_thread() || (top != nullptr && top->on_executor);
  // As Pending::wait() does, but not if it is to come back in time.
  const bool runs = waiter.deadline.none() || invoker_.parts().manual;
  while (joined.answer == Answer::waits) {
    const bool late = waiter.deadline.passed(clock);
    const bool over = late || (frame != nullptr && invoker_.cancelled(*frame));
    if (over && invoker_.keys().leave(waiter)) {
      Status why = late ? too_late(name)
                        : cancelled(
                              "cancelled while '{}' waited for the holder of its idempotency "
                              "key",
                              name);
      return {.answer = Answer::refused, .kept = {.status = std::move(why)}};
    }
    if (!over && !(runs && run(joined.holder, false))) {
      const Blocking blocking(executor);
      const bool alone = on_worker && !blocking.substituted();
      if (!alone || !run(joined.holder, true)) {
        const Time again = alone ? clock.now() + kRetryAlone : Time::never();
        clock.park(waiter.parker, std::min({joined.until, waiter.deadline.at(), again}));
      }
    }
    joined = invoker_.keys().look(waiter);
  }
  if (joined.answer == Answer::refused && joined.kept.status.ok())
    joined.kept.status = too_late(name);
  return joined;
}

bool Keyed::run(const std::shared_ptr<CallNode>& holder, bool even_on_pool) {
  if (holder == nullptr) return false;
  if (holder->function_->definition->options.pool_only && !even_on_pool) return false;
  return holder->run_here();
}

void Keyed::call(FunctionState& function, const void* in, void* result,
                 const CallOptions& options) {
  const Definition& definition = *function.definition;
  Status bad = check_key(options.idempotency_key, definition);
  if (!bad.ok()) return definition.fail(result, std::move(bad));
  Clock& clock = invoker_.parts().clock;
  const Deadline deadline = invoker_.deadline(options);
  const IdempotencyTable::Joined joined =
      claim(wanted(function, options.idempotency_key, deadline));
  if (joined.answer != Answer::first) return give(definition, result, joined.kept);
  IdempotencyTable::Holding holding(invoker_.keys(), joined.hold);
  const Lineage labelled = invoker_.lineage(options);
  Status entered = function.limited() ? invoker_.enter(function, labelled) : Status();
  if (!entered.ok()) {
    definition.fail(result, std::move(entered));
  } else {
    // It may have waited for another one that was late.
    const Duration left =
        deadline.none() ? Duration() : std::max(deadline.remaining(clock), Duration(1));
    invoker_.call_either(labelled, function, in, result, {.timeout = left, .key = options.key});
  }
  std::size_t bytes = 0;
  const Kept kept = keep(definition, result, bytes);
  settle(holding.end(kept, bytes), kept);
}

void Keyed::start(const std::shared_ptr<CallNode>& node, const Definition& function,
                  const CallOptions& options) {
  const auto refuse = [&](Status why) {
    invoker_.note_refused(function.name, "", why);
    node->fail(std::move(why));
    node->finish(false);
  };
  Status admitted = invoker_.admit();
  if (!admitted.ok()) return refuse(std::move(admitted));
  const Result<const Registered*> entry = invoker_.registry().resolve(function);
  if (!entry.ok()) return refuse(entry.status());
  auto& state = static_cast<FunctionState&>(*(*entry)->attachment);
  Status bad = check_key(options.idempotency_key, *state.definition);
  if (!bad.ok()) return refuse(std::move(bad));
  node->function_ = &state;
  node->lineage_ = std::make_unique<Lineage>(invoker_.lineage(options));
  node->line_ = invoker_.line_of(state, *node->lineage_);
  node->deadline_ = invoker_.deadline(options);
  node->draw_ = draw_of(state.definition->name, options.key);
  node->accepted_ = invoker_.parts().ledger.ticks().now();
  const IdempotencyTable::Wanted asked = wanted(state, options.idempotency_key, node->deadline_);
  node->key_ = std::make_unique<KeyHold>(KeyHold{IdempotencyTable::id_of(asked)});
  // From attach() on others may know it.
  node->counted_ = true;
  invoker_.one_more();
  {
    const BriefLock lock(node->mutex_);
    node->state_ = CallNode::State::attached;
    node->invoker_ = invoker_.shared_from_this();
  }
  IdempotencyTable::Joined joined = invoker_.keys().attach(asked, node);
  if (joined.answer == Answer::waits)
    return look_later(node, std::min(joined.until, node->deadline_.at()));
  if (joined.answer != Answer::first) {
    const bool done = joined.answer == Answer::done;
    return finish(*node, done ? Outcome::ok : Outcome::rejected, joined.kept);
  }
  *node->key_ = std::move(joined.hold);
  node->keyed_ = true;
  begin(node, false);
}

// What holds its key now runs: the first time at all, or as it was attached and has taken over.
void Keyed::begin(const std::shared_ptr<CallNode>& node, bool attached) {
  FunctionState& function = *node->function_;
  Status entered = function.limited() ? invoker_.try_enter(function, *node) : Status();
  if (!entered.ok()) {
    invoker_.note_refused(function.definition->name, "", entered);
    Kept kept{.status = std::move(entered)};
    settle(invoker_.keys().end(*node->key_, kept, 0), kept);
    return finish(*node, Outcome::rejected, kept);
  }
  if (attached) {
    node->sheddable_ = false;  // it did not wait in a queue
    return invoker_.begin_later(node);
  }
  const std::shared_ptr<Invoker> self = invoker_.shared_from_this();
  {
    const BriefLock lock(node->mutex_);
    node->state_ = CallNode::State::queued;
    node->invoker_.reset();
  }
  node->counted_ = false;
  invoker_.enqueue(node);
  invoker_.keys().can_run(node);
  invoker_.one_less();
}

void Keyed::look_later(const std::shared_ptr<CallNode>& node, Time at) {
  struct Look {
    std::shared_ptr<CallNode> node;
    std::shared_ptr<Invoker> invoker;
    void operator()() { Keyed(*invoker).look(node); }
  };
  Timer& timer = invoker_.parts().timer;
  const Result<TimerId> id = timer.schedule(at, Task(Look{node, invoker_.shared_from_this()}));
  if (id.ok()) {
    if (!invoker_.keys().keep_timer(*node, *id)) timer.cancel(*id);
    return;
  }
  // It would wait for ever, should the holder.
  if (!node->claim_attached()) return;
  (void)invoker_.keys().detach(*node);
  finish(*node, Outcome::rejected, {.status = id.status()});
}

void Keyed::look(const std::shared_ptr<CallNode>& node) {
  const IdempotencyTable::Joined joined = invoker_.keys().look(node);
  switch (joined.answer) {
    case Answer::done:
      return;
    case Answer::waits:
      return look_later(node, std::min(joined.until, node->deadline_.at()));
    case Answer::refused:
      return finish(*node, Outcome::timed_out, {.status = too_late(node->name_)});
    case Answer::first:
      break;
  }
  node->key_->holder = joined.hold.holder;
  node->keyed_ = true;
  begin(node, true);
}

Result<EventId> Keyed::publish(IdempotencyTable::Space space, std::string_view name,
                               const CallOptions& options, Publish publish) {
  WISP_TRY(invoker_.admit());
  WISP_TRY(check_key(options.idempotency_key));
  const Deadline deadline = invoker_.deadline(options);
  const IdempotencyTable::Joined joined = claim({.space = space,
                                                 .name = name,
                                                 .key = options.idempotency_key,
                                                 .event = true,
                                                 .deadline = deadline});
  if (joined.answer == Answer::refused) return joined.kept.status;
  if (joined.answer == Answer::done) {
    count(invoker_.counters().duplicates);
    return joined.kept.event;
  }
  IdempotencyTable::Holding holding(invoker_.keys(), joined.hold);
  CallOptions without = options;
  without.idempotency_key = {};
  if (!deadline.none())
    without.timeout = std::max(deadline.remaining(invoker_.parts().clock), Duration(1));
  const Result<Published> published = publish(without);
  Kept kept{.status = published.status()};
  if (published.ok()) kept.event = published->id;
  kept.passing = published.ok() && !published->matched;
  (void)holding.end(kept, 0);
  WISP_TRY(published.status());
  return kept.event;
}

void Keyed::end(CallNode& holder) {
  std::size_t bytes = 0;
  const Kept kept = keep(*holder.function_->definition, holder.result, bytes);
  settle(invoker_.keys().end(*holder.key_, kept, bytes), kept);
}

void Keyed::settle(IdempotencyTable::AllAttached attached, const Kept& kept) {
  for (const IdempotencyTable::Attached& each : attached) {
    if (each.timer) invoker_.parts().timer.cancel(*each.timer);
    if (!each.node->claim_attached()) continue;
    finish(*each.node, kept.status.ok() ? Outcome::ok : Outcome::error, kept);
  }
}

// Of a call that never began. Requires: claimed.
void Keyed::finish(CallNode& node, Outcome outcome, const Kept& kept) {
  const std::shared_ptr<Invoker> self = invoker_.shared_from_this();
  node.charged_.version = node.function_->version;
  node.charged_.outcome = outcome;
  const Errand errand(invoker_, nullptr);
  give(*node.function_->definition, node.result, kept);
  node.finish(false);
  invoker_.one_less();
}

void Keyed::cancel(CallNode& attached) {
  if (const std::optional<TimerId> timer = invoker_.keys().detach(attached))
    invoker_.parts().timer.cancel(*timer);
  finish(attached, Outcome::cancelled,
         {.status = Status(StatusCode::kCancelled, "cancelled before it began")});
}

bool Keyed::run_holder(CallNode& attached, bool even_on_pool) {
  return run(invoker_.keys().holder_of(attached), even_on_pool);
}

void Keyed::close() {
  settle(invoker_.keys().close(), {.status = refused(StatusCode::kCancelled, Reason::stopped,
                                                     "the runtime stopped before the call began")});
}

}  // namespace wisp::inline v0::detail
