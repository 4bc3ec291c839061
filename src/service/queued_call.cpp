// A started call that is a task of an executor's, that somebody waits for, or that is tried again.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

// A queue that moves on meanwhile is full at each of these looks only if it is well-nigh always.
constexpr int kSubmitTries = 3;

}  // namespace

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
      node = invoker->lodgers_.take();
      if (node == nullptr) return nullptr;
    }
  }
};

std::shared_ptr<Flow> Invoker::flow_of(const CallNode& node) const {
  return sharing_.flow(node.function_->definition->options.lane, node.lineage().tenant);
}

bool Invoker::lodge(const std::shared_ptr<CallNode>& node, Task& task) {
  if (!lodgers_.any_spare()) return false;
  {
    const BriefLock lock(node->mutex_);
    node->lodges_ = true;
  }
  task.reset();  // leaves a call that lodges alone
  return lodgers_.add(node);
}

// As a task of the executor, which is not wisp's own pool, or is watched.
void Invoker::enqueue_task(const std::shared_ptr<CallNode>& node) {
  {
    const BriefLock lock(node->mutex_);
    node->invoker_ = shared_from_this();
  }
  node->counted_ = true;
  outstanding_.fetch_add(1);
  note(Step::accepted, *node);
  const std::shared_ptr<Flow> flow = flow_of(*node);
  for (int tries = 1;; ++tries) {
    Task task{QueuedCall(node)};
    const Result<std::uint64_t> submitted = sharing_.submit(*this, task, flow);
    if (submitted.ok()) {
      const BriefLock lock(node->mutex_);
      node->number_ = *submitted;
      return;
    }
    const Status& why = submitted.status();
    const bool full = why.code() == StatusCode::kResourceExhausted;
    if (full && flow == nullptr && lodge(node, task)) return;
    // The tasks that filled the queue, and that it might have lodged in, may be gone by now.
    if (full && tries < kSubmitTries) {
      node->withdraw(task);
      continue;
    }
    if (node->claim_by_task(true) == nullptr) return;
    return refuse(*node, Outcome::rejected,
                  full ? refused(why.code(), Reason::full, message(why)) : why);
  }
}

Invoker::Ended Invoker::attempt_call(CallNode& node, bool on_executor) {
  ++node.attempts_;
  Ended ended = attempt({.function = *node.function_,
                         .line = node.line_,
                         .in = node.input,
                         .result = node.result,
                         .lineage = &node.lineage(),
                         .event = {},
                         .deadline = node.deadline_,
                         .attempt = node.attempts_,
                         .cancellation = &node.cancellation_,
                         .route = nullptr,
                         .parent = nullptr,
                         .accepted_ticks = node.attempts_ == 1 ? node.accepted_ : 0,
                         .node = &node,
                         .on_executor = on_executor,
                         .version = &node.version_,
                         .chosen_by = {.draw = node.draw_}});
  if (!ended.began) --node.attempts_;
  return ended;
}

void Invoker::abandoned(Abandoned what) {
  // While stop() drains, what ends unrun ends with its own subscription or schedule.
  if (phase_.load(std::memory_order_acquire) != Phase::stopped) return;
  const MutexLock lock(mutex_);
  if (abandoned_.size() < kAbandonedMax) abandoned_.push_back(std::move(what));
}

// The runtime stopped before the call began, or between two attempts: then the last one's error
// stands. Requires: claimed.
void Invoker::drop(CallNode& node) {
  abandoned({node.function_->definition->name, {}, "queued"});
  if (node.attempts_ > 0) return complete(node, node.charged_.outcome);
  refuse(node, Outcome::cancelled,
         refused(StatusCode::kCancelled, Reason::stopped,
                 "the runtime stopped before the call began"));
}

bool Invoker::shed_late(CallNode& node) {
  const Ticks& ticks = parts_.ledger.ticks();
  const Duration wait(
      static_cast<Duration::rep>(ticks.to_ns(ticks_between(node.accepted_, ticks.now()))));
  if (node.attempts_ > 0) return false;
  // Each flow stands by itself: where others' calls go first, theirs say nothing about its own.
  const std::shared_ptr<Flow> flow = flow_of(node);
  if (!(flow != nullptr ? flow->codel : codel_).sheds(wait, parts_.clock.now())) return false;
  count(counters_.shed);
  refuse(node, Outcome::rejected,
         refused(StatusCode::kUnavailable, Reason::overload,
                 fmt::format("'{}' was shed: it had waited for {} us, and so have all in the last "
                             "{} ms",
                             node.name_, wait.count() / 1'000,
                             Codel::kInterval / std::chrono::milliseconds(1))));
  return true;
}

void Invoker::run_claimed(CallNode& node, bool inline_retries) {
  // A waiter has come for it just now.
  if (!inline_retries && shed(node)) return;
  while (true) {
    if (node.attempts_ > 0 && node.cancellation_.requested()) {
      return refuse(
          node, Outcome::cancelled,
          Status(StatusCode::kCancelled, "cancelled while it waited for its next attempt"));
    }
    // Another attempt is not made then, a first one refused: others have spent it since.
    if (turned_away(node)) return;
    const Ended ended = attempt_call(node, !inline_retries);
    // A host's executor, and a waiter, may come to it after the runtime's end.
    if (!ended.began) return drop(node);
    charge(node, ended);
    const std::optional<Time> due =
        next_attempt(*node.function_, node.lineage(), node.attempts_, ended, node.deadline_);
    // A waiter on the only thread makes no further attempts: nobody would move time on meanwhile.
    const bool last = !due || node.cancellation_.requested() || (inline_retries && parts_.manual);
    if (last) return complete(node, ended.outcome);
    if (inline_retries) {
      count(node.function_->retries);
      note(Step::retrying, node, node.error(), *due);
      wait_for_retry(node.cancellation_, *due);
      continue;
    }
    return retry_later(node.shared_from_this(), *due, ended.outcome);
  }
}

void Invoker::retry_later(const std::shared_ptr<CallNode>& node, Time due, Outcome outcome) {
  struct Later {
    QueuedCall call;
    std::shared_ptr<Invoker> invoker;
    void operator()() {
      const std::shared_ptr<Flow> flow = invoker->flow_of(*call.node);
      invoker->sharing().submit_surely(*invoker, Task(std::move(call)), flow);
    }
  };
  Task task(Later{QueuedCall(node), shared_from_this()});
  // Before others may claim it, and write to its result.
  note(Step::retrying, *node, node->error(), due);
  if (!node->delay(due)) return complete(*node, outcome);
  count(node->function_->retries);
  // A timer that refuses destroys the task, which ends the call with this attempt's error.
  (void)parts_.timer.schedule(due, std::move(task));
}

void Invoker::begin_later(const std::shared_ptr<CallNode>& node) {
  Task task{QueuedCall(node)};
  if (!node->delay(Time())) {
    return refuse(*node, Outcome::cancelled,
                  Status(StatusCode::kCancelled, "cancelled before it began"));
  }
  sharing_.submit_surely(*this, std::move(task), flow_of(*node));
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

}  // namespace wisp::inline v0::detail
