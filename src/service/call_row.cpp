// Started calls that a worker runs one after the other.
#include <utility>

#include <wisp/base/readers.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

// Calls of one function in one frame, with one mark.
class Invoker::CallRow {
 public:
  CallRow(Invoker& invoker, FunctionState& function, const RunVersion& version, Shard& shard)
      : invoker_(invoker),
        definition_(*version.definition),
        shard_(shard),
        frame_({.runtime = invoker.parts_.runtime, .function = definition_.name}, &invoker,
               nullptr),
        context_(invoker, frame_) {
    frame_.on_executor = true;
    frame_.push();
    running_.function = definition_.name;
    running_.before = std::exchange(frame_.running, &running_);
    running_.calls = true;
    running_.late = &function.late;
    shard.set_running(&running_);
  }
  ~CallRow() { shard_.set_running(running_.before); }
  CallRow(const CallRow&) = delete;
  CallRow& operator=(const CallRow&) = delete;

  // False once the runtime stops.
  bool enter(CallNode& node) {
    running_.node.store(&node, std::memory_order_relaxed);
    // After the mark: either stop() sees this handler, or the handler is not entered.
    light_barrier();
    return !invoker_.calls_.closed();
  }

  Outcome run(CallNode& node, Status& why) {
    frame_.lineage = &node.lineage();
    frame_.cancellation = &node.cancellation_;
    frame_.deadline = node.deadline_;
    const Duration timeout = definition_.options.timeout;
    if (timeout != Duration()) [[unlikely]]
      frame_.deadline = earlier(frame_.deadline, Deadline::after(invoker_.parts_.clock, timeout));
    if (!frame_.deadline.none()) [[unlikely]]
      invoker_.watchdog_.begins(running_, frame_.deadline.at());
    Attempted failed;
    const bool well = definition_.run(definition_, node.input, node.result, &context_, failed);
    if (well && frame_.deadline.none()) [[likely]]
      return Outcome::ok;
    running_.deadline.store(Watchdog::kNever);
    const Outcome outcome = invoker_.judge(frame_, failed);
    if (outcome == Outcome::timed_out) definition_.fail(node.result, failed.status);
    why = std::move(failed.status);
    return outcome;
  }

  // Between two calls: what ends the last one is inside of neither. After this, stop() does not
  // look at its node any more.
  void pause() {
    frame_.pop();
    if (frame_.stops != nullptr) [[unlikely]]
      invoker_.forget_stops(frame_);
    running_.node.store(nullptr, std::memory_order_relaxed);
    light_barrier();
    // Else stop(), or the watchdog, may be about to take its own share in the node, under the lock
    // of the mark.
    if (invoker_.calls_.closed() || !frame_.deadline.none()) [[unlikely]] {
      shard_.set_running(&running_);
      if (std::exchange(running_.lent, false)) invoker_.calls_.take_token_back();
    }
  }
  void resume() { frame_.push(); }

 private:
  Invoker& invoker_;
  const Definition& definition_;
  Shard& shard_;
  ActiveFrame frame_;
  Context context_;
  Running running_;
};

void Invoker::run_calls(CallBlock& block, std::uint64_t until) {
  Errand errand(*this);
  while (true) {
    std::shared_ptr<CallNode> node = next_call(block);
    if (node == nullptr) return;
    while (node != nullptr) node = run_call_row(block, std::move(node), until);
    if (parts_.ledger.ticks().now() >= until) return;
  }
}

std::shared_ptr<CallNode> Invoker::next_call(CallBlock& block) {
  std::shared_ptr<CallNode> node = block.take();
  // A waiter may have run it, or somebody cancelled it.
  while (node != nullptr && (!node->claim_by_row() || shed(*node) || turned_away(*node)))
    node = block.take();
  return node;
}

// Until there is none left, or no more time, or the next one is another function's or perhaps
// another version's: that is returned, claimed. One reading of the clock ends a call and begins the
// next, so what lies between them, some tens of nanoseconds, counts as the later one's.
std::shared_ptr<CallNode> Invoker::run_call_row(CallBlock& block, std::shared_ptr<CallNode> node,
                                                std::uint64_t until) {
  Ledger& ledger = parts_.ledger;
  FunctionState& function = *node->function_;
  const VersionUse version(function, function.directions, {.draw = node->draw_}, parts_.random);
  const int first_line = node->line_;
  const int line = &*version == &function ? first_line : line_of(*version, node->lineage());
  const Definition& definition = *version->definition;
  const Meter meter = definition.options.meter;
  const Ledger::Use use(ledger);
  Shard& shard = use.shard();
  CallRow row(*this, function, *version, shard);
  Span span(shard, line, meter);
  while (true) {
    const std::uint64_t began = span.started();
    const std::uint64_t waited = ledger.ticks().to_ns(ticks_between(node->accepted_, began));
    if (!row.enter(*node)) [[unlikely]] {
      span.abandon();
      row.pause();
      drop(*node);
      return nullptr;
    }
    node->attempts_ = 1;
    node->version_ = version.share();
    Ended ended{.outcome = Outcome::ok,
                .status = {},
                .taken = {},
                .waited_ns = waited,
                .version = version->version,
                .memory_mb = definition.options.memory_mb};
    ended.outcome = row.run(*node, ended.status);
    // Who waits, or goes on from here, takes longer than what may count as the next call's; so does
    // who is turned away on the way to it.
    const bool on = meter == Meter::batched && ended.outcome == Outcome::ok && began < until &&
                    !node->attended() && function.accounts.empty();
    ended.taken = on ? span.next_taken() : span.end();
    ledger.record(shard, line,
                  {.taken = ended.taken,
                   .failed = ended.outcome != Outcome::ok,
                   .waited = true,
                   .wait_ns = waited});
    row.pause();
    if (version.shadowed()) [[unlikely]]
      Shadow::follow(*this, function, version, node->input, node->result, ended.outcome);
    if (!function.accounts.empty()) [[unlikely]]
      spend(function, *version, node->lineage(), ended.taken);
    end_attempt(node, ended);
    node.reset();
    // What goes with this version may wait for the next: none is taken before.
    if (on && function.directions.only() != &*version) {
      span.abandon();
      return nullptr;
    }
    // Not before: a continuation of this one may wait for the next.
    if (on) node = next_call(block);
    if (node == nullptr || node->function_ != &function || node->line_ != first_line ||
        function.directions.only() != &*version) {
      if (on) span.abandon();
      return node;
    }
    row.resume();
  }
}

}  // namespace wisp::inline v0::detail
