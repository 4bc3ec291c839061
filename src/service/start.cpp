// start: a call's way to a thread that runs it, its attempts and its end.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

void Invoker::start(const std::shared_ptr<CallNode>& node, const Definition& function,
                    const CallOptions& options) {
  node->clock_ = &parts_.clock;
  node->forks_ = forks_;
  node->name_ = function.name;
  node->sheddable_ = options.sheddable;
  node->nested_ = ActiveFrame::top() != nullptr;
  const bool plain = !node->nested_ && unlabelled(options);
  const Status bad = plain ? Status() : check_call(options);
  if (!plain && bad.ok() && !options.idempotency_key.empty())
    return Keyed(*this).start(node, function, options);
  if (!plain && bad.ok()) node->lineage_ = std::make_unique<Lineage>(lineage(options));
  const Result<FunctionState*> state = bad.ok() ? admitted(function, *node) : bad;
  if (!state.ok()) {
    note_refused(function.name, "", state.status());
    node->fail(state.status());
    node->finish(false);
    return;
  }
  node->function_ = *state;
  node->line_ = line_of(**state, node->lineage());
  if (!plain) node->draw_ = draw_of(function.name, options.key);
  node->deadline_ = deadline(options);
  node->accepted_ = parts_.ledger.ticks().now();
  enqueue(node);
}

void Invoker::enqueue(const std::shared_ptr<CallNode>& node) {
  if (!calls_in_rows_ || watched()) [[unlikely]]
    return enqueue_task(node);
  node->anchor_ = &anchor_;
  node->anchored_ = anchored_;
  Status queued = calls_.append(node);
  if (!queued.ok()) [[unlikely]]
    refuse(*node, Outcome::rejected, std::move(queued));
}

// After a first attempt on a worker.
void Invoker::end_attempt(const std::shared_ptr<CallNode>& node, const Ended& ended) {
  charge(*node, ended);
  if (ended.outcome == Outcome::ok) return complete(*node, ended.outcome);
  node->function_->note_failed(ended.outcome);
  const std::optional<Time> due =
      next_attempt(*node->function_, node->lineage(), 1, ended, node->deadline_);
  if (!due || node->cancellation_.requested()) return complete(*node, ended.outcome);
  // From here on it is by itself.
  one_more();
  node->counted_ = true;
  retry_later(node, *due, ended.outcome);
}

void Invoker::charge(CallNode& node, const Ended& ended) const {
  CallNode::Charged& charged = node.charged_;
  const auto worse = [](Quality a, Quality b) { return std::min(a, b); };
  const bool first = node.attempts_ == 1;
  charged.version = ended.version;
  charged.outcome = ended.outcome;
  if (first) charged.queued_ns = ended.waited_ns;
  charged.wall_ns += ended.taken.wall_ns;
  charged.wall_quality =
      first ? ended.taken.wall_quality : worse(charged.wall_quality, ended.taken.wall_quality);
  charged.cpu_ns += ended.taken.cpu_ns;
  charged.allocated = charged.allocated + ended.taken.allocated;
  charged.cpu_quality =
      first ? ended.taken.cpu_quality : worse(charged.cpu_quality, ended.taken.cpu_quality);
  const Tariff& tariff = parts_.ledger.tariff();
  if (tariff.empty()) return;
  const Usage usage =
      Usage::of({.wall = Duration(ended.taken.wall_ns), .cpu = Duration(ended.taken.cpu_ns)});
  if (node.cost_ == nullptr) node.cost_ = std::make_unique<Money>();
  *node.cost_ = *node.cost_ + tariff.marginal(usage, ended.memory_mb);
}

void Invoker::complete(CallNode& node, Outcome outcome) {
  node.charged_.outcome = outcome;
  if (outcome != Outcome::ok || watched()) [[unlikely]]
    note_end(node, outcome);
  FunctionState& function = *node.function_;
  // First, so that who waited for this call may at once make the next.
  if (function.limited()) function.leave(*this);
  const Errand errand(*this, nullptr);
  node.version_ = nullptr;  // its Pending may be kept for long
  // For what its queue counts, its token or who stops keeps the runtime.
  if (!(node.counted_ | node.keyed_)) return static_cast<void>(node.finish(false));
  const std::shared_ptr<Invoker> self = shared_from_this();
  // First: who has waited for it and asks again gets what is remembered.
  if (node.keyed_) Keyed(*this).end(node);
  node.finish(false);
  if (node.counted_) one_less();
}

void Invoker::refuse(CallNode& node, Outcome outcome, Status why) {
  node.fail(std::move(why));
  if (node.turns_ != nullptr && node.attempts_ == 0)
    sharing_.give_back(*node.function_, node.lineage().tenant, *node.turns_, parts_.clock.now());
  complete(node, outcome);
}

}  // namespace wisp::inline v0::detail
