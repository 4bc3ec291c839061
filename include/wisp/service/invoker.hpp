// Runs functions: admission, deadlines, attempts, retries, dead letters. The typed verbs of Runtime
// stand on it.
//
// Threads: any. No wisp lock is held while a handler, a continuation, a log sink or an executor is
// called.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <wisp/base/id.hpp>
#include <wisp/base/random.hpp>
#include <wisp/engine/detail/ledger.hpp>
#include <wisp/engine/executor.hpp>
#include <wisp/engine/timer.hpp>
#include <wisp/model/context.hpp>
#include <wisp/model/declare.hpp>
#include <wisp/model/registry.hpp>
#include <wisp/service/call_options.hpp>
#include <wisp/service/dead_letters.hpp>
#include <wisp/service/detail/attempt.hpp>
#include <wisp/service/detail/call_node.hpp>
#include <wisp/service/detail/call_queue.hpp>
#include <wisp/service/detail/codel.hpp>
#include <wisp/service/detail/counters.hpp>
#include <wisp/service/detail/frame.hpp>
#include <wisp/service/detail/idempotency.hpp>
#include <wisp/service/detail/invoker_parts.hpp>
#include <wisp/service/detail/lodgers.hpp>
#include <wisp/service/detail/loop_costs.hpp>
#include <wisp/service/detail/observers.hpp>
#include <wisp/service/detail/publishing.hpp>
#include <wisp/service/detail/route.hpp>
#include <wisp/service/detail/sharing.hpp>
#include <wisp/service/event_stats.hpp>

namespace wisp::inline v0 {

namespace detail {

class Invoker final : public ContextHost {
 public:
  using Parts = InvokerParts;
  explicit Invoker(Parts parts);
  ~Invoker() { anchor_.give_back(); }

  // With the parts that it stands on; whoever holds it keeps them all. Set by the owner at first.
  void owned_by(std::weak_ptr<Invoker> self) {
    self_ = std::move(self);
    anchor_.hold(self_);
  }
  std::shared_ptr<Invoker> shared_from_this() const { return self_.lock(); }
  const std::weak_ptr<Invoker>& weak_from_this() const { return self_; }

  // What the functions that are added now have reserved of the workers, which no other will, what
  // they may spend, and who shares the threads.
  Status open_catalogue(const Catalogue& functions, const std::vector<Budget>& budgets,
                        const std::vector<Tenant>& tenants);
  // It holds from now on. kNotFound: a budget is of a function that is not here.
  Status close_catalogue();
  std::vector<BudgetStats> budgets() const;

  // Every verb refuses with `why` from now on.
  void refuse_all(Status why);

  // Ok while verbs are accepted. While stop() drains, only from inside handlers.
  Status admit() const;

  // The same for a delivery, under its route's lock; what is not yet accepted when stop() begins is
  // not accepted any more.
  bool accepts() const { return open() || accepts_late(); }

  // Whether stop() has not begun, and nobody watches: the fast paths are open.
  bool open() const { return phase_.load(std::memory_order_acquire) == Phase::open; }
  // Whether stop() has begun.
  bool stopping() const { return phase_.load(std::memory_order_acquire) >= Phase::draining; }
  // Whether somebody watches. Relaxed, and a line that every call reads.
  bool watched() const {
    return phase_.load(std::memory_order_relaxed) != Phase::open && observers_.any();
  }
  // See Runtime. Null if there are too many observers.
  std::shared_ptr<Observer> observe(RecordSink sink);
  void unobserve(const std::shared_ptr<Observer>& observer);
  std::string explain(EventId id) const;
  // What the ledger does not know of a function.
  void complete(std::vector<FunctionStats>& functions);

  // Whether the calling thread is inside a handler.
  bool inside() const;

  // Whether this process is a child of the one that made the runtime: then no lock of it may be
  // taken.
  bool forked() const { return forks.load(std::memory_order_relaxed) != forks_; }

  // The state that the registry keeps beside a function.
  std::unique_ptr<Attachment> attach(const Registered& entry);
  // That of a handler without a name in the registry.
  std::unique_ptr<FunctionState> anonymous(std::shared_ptr<const Definition> definition);
  // To run that definition. What is `bare` may still have a limit.
  Status make_ready(RunVersion& version, std::shared_ptr<const Definition> definition);

  using Out = CallOut;
  using Called = CalledName;
  // On the calling thread. Assigns the result, or why the call was refused.
  void call(const Definition& function, const void* in, Out out, const CallOptions& options);
  // By name: refused too if it takes no `in` or gives no `out`.
  void call(const Called& called, const void* in, Out out, const CallOptions& options);
  // On the executor. A refusal is the node's result.
  void start(const std::shared_ptr<CallNode>& node, const Definition& function,
             const CallOptions& options);
  Result<EventId> post(const Definition& function, const Given& input, const CallOptions& options);

  // On `route`, whose place is reserved already. `late`: so long ago it should have come.
  void deliver(Route& route, std::shared_ptr<const Event> event, std::size_t bytes,
               Duration late = {});
  // The same on this thread, one attempt; false if the route has closed. `event` may lack its
  // payload, which `in` points into; `keep` makes it whole for the dead letters, and may throw what
  // the payload's copy does.
  using Keep = std::function<std::shared_ptr<const Event>()>;
  bool deliver_now(Route& route, const void* in, const Event& event, const Keep& keep);
  // Accepted and dead at once: `event` never came near the route's handler.
  void bury(Route& route, std::shared_ptr<const Event> event, Status error);

  // Accepted and dropped at once.
  void drop_new(Route& route, const Event& event);

  // What the verbs of this thread inherit.
  Lineage lineage(const CallOptions& options) const;
  Deadline deadline(const CallOptions& options) const;
  // From a block of the calling thread's, for publishers: no shared line is written.
  EventId next_id_here();
  EventId next_id(Publishers::Slot& slot) {
    if (slot.next_id == slot.last_id) [[unlikely]] {
      // Relaxed: only uniqueness matters.
      slot.next_id = sequence_.fetch_add(Publishers::kIds, std::memory_order_relaxed);
      slot.last_id = slot.next_id + Publishers::kIds;
    }
    return {origin_, ++slot.next_id};
  }
  EventId next_id() { return {origin_, sequence_.fetch_add(1, std::memory_order_relaxed) + 1}; }

  // These ask whether anybody wants to know. Requires: no lock is held.
  void note(Step step, const Route& route, const Event& event, int attempts, Status error = {},
            Time due = {});
  void note(Step step, CallNode& node, Status error = {}, Time due = {});
  void note_late(std::string_view function, EventId id);
  void note_refused(std::string_view function, std::string_view topic, const Status& why,
                    EventId id = {});

  // Sends dead letters to a topic: true if some subscription took it. Set by the bus before the
  // first verb.
  std::function<bool(const Event&)> emit_dead_letter;

  void add_route(const std::shared_ptr<Route>& route);
  // Submits, however full the executor is, by trying again later; destroys the task once it has
  // closed.
  void submit_surely(Task task);
  const Sharing& sharing() const { return sharing_; }
  // Of one route in the executor. Relaxed: it may change at any time.
  int tokens_max() const { return tokens_max_.load(std::memory_order_relaxed); }

  // Shutdown, in this order; see Runtime::stop.
  using Pump =
      std::function<std::optional<Time>()>;  // nothing: something ran; else when to look again
  void drain(Time until, const Pump& pump);
  void abort();
  // Waits until nothing is on its way, or `until`. The synchronous deliveries that did not end.
  Publishers::Marks settle(Time until);
  // Names what still runs, `stuck` among it, and ends its calls; what was cancelled besides.
  std::vector<Abandoned> give_up_running(const Publishers::Marks& stuck);
  std::vector<Abandoned> take_abandoned();

  // ContextHost.
  bool cancelled(const Frame& frame) const override;
  std::stop_token stop_token(Frame& frame) override;
  Status sleep(Frame& frame, Duration d) override;
  void elapse(Duration d) override;
  Duration remaining(const Frame& frame) const override;
  void log(const Frame& frame, LogLevel level, std::string_view text) override;
  void log(LogLevel level, std::string_view function, std::string_view text) const;

  EventStats events() const;
  // Accepted calls and deliveries that have not come to an end.
  std::int64_t outstanding();
  DeadLetters& dead_letters() { return dead_letters_; }
  Registry& registry() { return parts_.registry; }
  const Parts& parts() const { return parts_; }
  Counters& counters() { return counters_; }
  // Of publishers: added to counters().
  CounterShards& sums() { return sums_; }
  Publishers& publishers() { return publishers_; }
  PostBlocks& post_blocks() { return post_blocks_; }
  CallQueue& calls() { return calls_; }
  IdempotencyTable& keys() { return keys_; }
  const LoopCosts& loop_costs() const { return loop_costs_; }
  // After a delivery, once open() is false.
  void wake_drainer();

 private:
  friend class BareFrame;
  friend class CallNode;
  friend class CallQueue;
  friend class InstancePool;
  friend class Keyed;
  friend class PublishHere;
  friend class Route;
  friend struct Shadow;
  friend class Tuning;

  using Attempt = AttemptRules;
  using Ended = AttemptEnded;
  using Here = CallHere;
  Ended attempt(const Attempt& what);
  void enter(ActiveFrame& frame, const Attempt& what);
  void leave(ActiveFrame& frame) {
    frame.pop();
    if (frame.stops != nullptr) [[unlikely]]
      forget_stops(frame);
  }
  void forget_stops(ActiveFrame& frame);
  // Sources that abort() stops.
  void keep_token(const void* owner, std::stop_source source);
  void forget_token(const void* owner);
  Outcome judge(const ActiveFrame& frame, Attempted& attempted) const;
  int line_of(const RunVersion& version, const Lineage& lineage) {
    const bool plain = lineage.tenant.empty() && lineage.tag.empty();
    return plain ? version.line : labelled_line(version, lineage);
  }
  int labelled_line(const RunVersion& version, const Lineage& lineage);

  void note_end(CallNode& node, Outcome outcome);
  void note_attempt(Step step, const Attempt& what, const Ended* ended);

  void call_here(FunctionState& function, const void* in, Out out, const CallOptions& options);
  void call_admitted(FunctionState& function, const void* in, Out out, const CallOptions& options);
  // Where there is more to ask than admitted_at_once() does.
  template <class Resolve>
  void call_resolved(const Resolve& resolve, const void* in, Out out, const CallOptions& options);
  // These where a BareFrame will do.
  void call_bare(FunctionState& function, const RunVersion& version, Shard& shard, const void* in,
                 void* result);
  void call_bare_timed(FunctionState& state, const RunVersion& version, Shard& shard, Cell& cell,
                       const void* in, void* result);
  void call_bare_again(FunctionState& function, const RunVersion& version, const void* in,
                       void* result, Attempted failed);
  // The same of a later version. False: it will not do, or the calls go elsewhere by now.
  bool call_marked(FunctionState& function, const void* in, void* result);
  void call_labelled(FunctionState& function, const void* in, Out out, const CallOptions& options);
  void call_under(const Lineage& lineage, FunctionState& function, const void* in, void* result,
                  const CallOptions& options);
  void call_again(const Here& call, Outcome outcome, Status why);
  // These while somebody watches, or perhaps.
  void call_watched(const Lineage& lineage, FunctionState& function, const void* in, void* result,
                    const CallOptions& options);
  void call_either(const Lineage& lineage, FunctionState& function, const void* in, void* result,
                   const CallOptions& options);
  void call_observed(FunctionState& function, const void* in, Out out, const CallOptions& options);
  Outcome attempt_of(const Here& call, int attempts, Status& why);
  // Whether to try once more, after having waited for it.
  bool again(const Here& call, int attempts, const Ended& ended);

  struct QueuedCall;
  template <class Key>
  const Registered* admitted_at_once(const Key& key) const;
  Result<FunctionState*> admitted(const Definition& function, CallNode& node);
  // Of a function with a limit; the first notes a refusal, the node keeps what it took of rates.
  Status enter(FunctionState& function, const Lineage& lineage);
  Result<Pace::Turns> try_enter(FunctionState& function, const Lineage& lineage);
  Status try_enter(FunctionState& function, CallNode& node);
  // Budgets (budgets.cpp). One that has no money left; of several the one that waits longest.
  std::optional<Broke> broke(const FunctionState& function, const Lineage& lineage) const;
  Status refuse_for(const Broke& broke) const;
  // Ends a call that there is no money for any more: true.
  bool turned_away(CallNode& node) { return !node.function_->accounts.empty() && turn_away(node); }
  bool turn_away(CallNode& node);
  Money cost_of(const Definition& definition, const Span::Taken& taken) const;
  void spend(const FunctionState& function, const RunVersion& version, const Lineage& lineage,
             const Span::Taken& taken);
  // How much longer a retry has to wait for its budget, which it takes if that is `most` at most;
  // nothing: it may not wait, and gets none.
  std::optional<Duration> put_off(FunctionState& function, Duration most);
  std::optional<Time> next_attempt(FunctionState& function, const Lineage& lineage, int attempts,
                                   const Ended& ended, Deadline deadline);
  // Accepted: on its way to a thread, its slot taken. Nobody else knows it yet.
  void enqueue(const std::shared_ptr<CallNode>& node);
  void enqueue_task(const std::shared_ptr<CallNode>& node);
  std::shared_ptr<Flow> flow_of(const CallNode& node) const;
  // The same for one that is counted, running to others, and has a slot.
  void begin_later(const std::shared_ptr<CallNode>& node);
  // See lodgers.hpp. False: there is no place.
  bool lodge(const std::shared_ptr<CallNode>& node, Task& task);
  // With `inline_retries` on this thread to the end, else later attempts go through the timer and
  // the executor.
  void run_claimed(CallNode& node, bool inline_retries);
  void retry_later(const std::shared_ptr<CallNode>& node, Time due, Outcome outcome);
  // The calls of a block, until none is left or the ticks are over (call_row.cpp).
  class CallRow;
  void run_calls(CallBlock& block, std::uint64_t until);
  std::shared_ptr<CallNode> next_call(CallBlock& block);
  // Ends a call that has waited for too long and may be shed: true.
  bool shed(CallNode& node) { return node.sheddable_ && shed_late(node); }
  bool shed_late(CallNode& node);
  std::shared_ptr<CallNode> run_call_row(CallBlock& block, std::shared_ptr<CallNode> node,
                                         std::uint64_t until);
  void end_attempt(const std::shared_ptr<CallNode>& node, const Ended& ended);
  void drop(CallNode& node);
  Ended attempt_call(CallNode& node, bool on_executor);
  void charge(CallNode& node, const Ended& ended) const;
  void charge(Route& route, Shipment& delivery, const Ended& ended) const;
  void complete(CallNode& node, Outcome outcome);
  void refuse(CallNode& node, Outcome outcome, Status why);
  // On this thread, until `due`, a cancellation or the runtime's end.
  void wait_for_retry(Cancellation& cancellation, Time due);

  // One attempt. True: the delivery came to its end and is counted, and the caller lets it go; else
  // its `due` says when to try again.
  bool attempt_delivery(Route& route, Shipment& delivery);
  // Without a shipment: on the publisher's thread.
  Ended attempt_event(Route& route, const void* in, const Event& event, const Shipment* shipment);
  // Posts (posts.cpp). False: `input` or its circumstances are no record's.
  bool prepare(Route& route, const Given& input, const CallOptions& options, Post& post);
  Result<EventId> post_late(Route& route, const Given& input, const CallOptions& options,
                            bool record, Post& post);
  static bool inherit(const ActiveFrame& frame, std::uint64_t origin, Post& post);
  // Runs the block's posts until none is left, the ticks are over or the route has closed; what
  // fails goes the way of other deliveries.
  void run_posts(Route& route, PostBlock& block, std::uint64_t until);
  struct RowEnd;
  class Row;
  RowEnd run_row(Route& route, PostBlock& block, std::uint64_t until);
  void see_off(Route& route, PostBlock& block, RowEnd& end);
  void cancel_post(const Route& route, PostRecord& record);
  class BatchRun;  // batches.cpp
  // After an attempt that was not ok: as attempt_delivery().
  bool settle_failed(Route& route, Shipment& delivery, const Ended& ended);
  bool retries(const Route& route, Shipment& delivery, const Ended& ended);
  // These count it: the caller lets it go.
  void give_up(Route& route, Shipment& delivery, bool expired);
  void note_cancelled(const Route& route, const Shipment& delivery);
  // These are its end.
  void cancel_delivery(const Route& route, const Shipment& delivery);
  void end_delivery(std::atomic<std::uint64_t>& counter);
  void keep_letter(Route& route, DeadLetter letter);
  bool accepts_late() const;
  void one_more() { outstanding_.fetch_add(1); }
  void one_less();
  bool busy() const { return outstanding_.load() > 0 || publishers_.any_inside(); }
  void abandoned(Abandoned what);
  std::vector<std::shared_ptr<Route>> routes();
  void list_route(const std::shared_ptr<Route>& route);

  const Parts parts_;
  std::weak_ptr<Invoker> self_;
  Status born_stopped_;  // constant after construction
  // Constant once the runtime has started.
  std::shared_ptr<Shares> shares_;  // null: nobody has a reservation
  bool catalogue_open_ = true;
  Sharing sharing_;
  bool calls_in_rows_ = false;  // started calls go by calls_
  std::atomic<int> tokens_max_{parts_.tokens_max};
  std::vector<std::unique_ptr<BudgetAccount>> accounts_;
  const std::uint64_t origin_;
  const std::uint64_t forks_;
  std::atomic<std::uint64_t> sequence_{0};
  enum class Phase : int { open, observed, draining, stopped };
  // Release in drain() and abort(), acquire in admit(). Observed is open, but for the fast paths.
  std::atomic<Phase> phase_{Phase::open};
  // Accepted calls and deliveries without an end yet, of the posts in a log one for all;
  // sequentially consistent with the drainer's parker.
  std::atomic<std::int64_t> outstanding_{0};
  Counters counters_;
  CounterShards sums_;
  Publishers publishers_;
  PostBlocks post_blocks_;
  DeadLetters dead_letters_{parts_.clock};
  Observers observers_{parts_.clock};
  CallQueue calls_{*this};
  Watchdog watchdog_{*this};
  Codel codel_;  // of started calls, where they have no flows
  IdempotencyTable keys_{parts_.clock, parts_.idempotency};
  std::uint64_t anchored_ = 0;  // constant after construction
  Anchor& anchor_;

  Lodgers lodgers_;
  LoopCosts loop_costs_;
  Mutex mutex_;
  Parker* drainer_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::vector<std::weak_ptr<Route>> routes_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<const void*, std::stop_source>> tokens_ ABSL_GUARDED_BY(mutex_);
  std::vector<Abandoned> abandoned_ ABSL_GUARDED_BY(mutex_);  // at most kAbandonedMax
};

}  // namespace detail
}  // namespace wisp::inline v0
