// A started call: what its Pending, its place in the executor's queue and its retry timer share.
//
// One of them at a time may run it: who moves the state from queued or delayed to running. The
// state and the waiter are guarded by the node's mutex; the input never changes; the result belongs
// to the runner until the state is done.
//
// Threads: any.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include <wisp/base/allocations.hpp>
#include <wisp/base/callable.hpp>
#include <wisp/base/money.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/base/park.hpp>
#include <wisp/engine/executor.hpp>
#include <wisp/engine/meter.hpp>
#include <wisp/model/event.hpp>
#include <wisp/service/detail/frame.hpp>
#include <wisp/service/detail/rate.hpp>

namespace wisp::inline v0::detail {

struct FunctionState;
struct RunVersion;

// The row of an idempotency key, and who holds it: the number differs for each.
struct KeyHold {
  std::string id;
  std::uint64_t holder = 0;
};

// What `then` is given: one slot, bounded size. Larger callables go through wisp::boxed.
using Continuation = InlineFunction<void(), 64>;

// How a started call finds the runtime whose pool is to run it, which may be gone: a share of it in
// each call would be the one word that all threads write. One for each runtime that lives, used
// again by later ones under another number, and never freed.
class Anchor {
 public:
  // For a runtime to come, which gives it back. `number` is what its calls know it by.
  static Anchor& take(std::uint64_t& number);
  void give_back() ABSL_LOCKS_EXCLUDED(mutex_);

  void hold(std::weak_ptr<Invoker> invoker) ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<Invoker> find(std::uint64_t number) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  BriefMutex mutex_;
  std::uint64_t number_ ABSL_GUARDED_BY(mutex_) = 0;
  std::weak_ptr<Invoker> invoker_ ABSL_GUARDED_BY(mutex_);
};

class CallNode : public std::enable_shared_from_this<CallNode> {
 public:
  CallNode() = default;
  virtual ~CallNode();
  CallNode(const CallNode&) = delete;
  CallNode& operator=(const CallNode&) = delete;

  // Attached: to the row of its idempotency key, whose holder's end will be its own.
  enum class State { queued, running, delayed, attached, done };

  // Done: the result is there, or the runtime gave the call up while its handler went on.
  bool ready() const { return ready_.load(std::memory_order_acquire); }
  // Done because the runtime stopped while the handler was running: the result still belongs to the
  // handler.
  bool abandoned() const { return abandoned_.load(std::memory_order_acquire); }

  // See Pending.
  void wait();
  void wait_until(Time until);
  void cancel();
  // The handler that waits for it was cancelled.
  void cancel_from_above();
  void then(Continuation continuation);
  // Requires: ready, and not abandoned.
  Receipt receipt() const;
  const std::string& name() const { return name_; }
  const Clock& clock() const { return *clock_; }

  // Assigns an error to the result. Requires: not done, and the caller is the runner.
  virtual void fail(Status error) = 0;
  // The same as it is. Requires: the caller is the runner.
  virtual const Status& error() const = 0;

  // Its own in records and explain(), given at first use. Empty once the runtime has gone.
  EventId id();
  EventId id(Invoker& invoker);

  // Set by who makes the node.
  const void* input = nullptr;
  void* result = nullptr;
  std::size_t bytes_in = 0;

 private:
  friend class CallQueue;
  friend class IdempotencyTable;
  friend class InstancePool;
  friend class Invoker;
  friend class Keyed;

  class Inherited;
  // What a receipt says beyond what is known anyway.
  struct Charged {
    std::uint64_t queued_ns = 0;
    std::uint64_t wall_ns = 0;
    std::uint64_t cpu_ns = 0;
    Allocations allocated{};
    int version = 0;
    Outcome outcome = Outcome::rejected;
    Quality wall_quality = Quality::unavailable;
    Quality cpu_quality = Quality::unavailable;
    bool cold = false;
    std::uint64_t init_ns = 0;
  };

  // Moves from queued or delayed to running; null if somebody else has. `due` is when a delayed one
  // wanted to run. For all but a task of the executor: that of a queued one is spare from now on,
  // or gone.
  std::shared_ptr<Invoker> claim(Time* due) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same for its task, or for the spare one that it lodges in.
  std::shared_ptr<Invoker> claim_by_task(bool lodger) ABSL_LOCKS_EXCLUDED(mutex_);
  // Destroys a task of it that no executor took, without an end of the call. Requires: nobody else
  // knows the node yet.
  void withdraw(Task& task) ABSL_LOCKS_EXCLUDED(mutex_);
  // From attached to running, for whoever ends it or has it run.
  bool claim_attached() ABSL_LOCKS_EXCLUDED(mutex_);
  // The same for a token of the queue of calls.
  bool claim_by_row() ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether somebody waits, or goes on from here. Relaxed: it may change at any time.
  bool attended() const { return attended_.load(std::memory_order_relaxed); }
  // If the call's task is spare: whose, once.
  std::shared_ptr<Invoker> spare_task() ABSL_LOCKS_EXCLUDED(mutex_);
  // From running to delayed; false if it shall not be tried again.
  bool delay(Time due) ABSL_LOCKS_EXCLUDED(mutex_);
  bool can_be_claimed() ABSL_LOCKS_EXCLUDED(mutex_);
  // Or the holder of the key that it waits for.
  bool run_here(bool even_on_pool = false);
  bool attached() ABSL_LOCKS_EXCLUDED(mutex_);
  // To its end, once: true for the caller that ended it.
  bool finish(bool abandoned) ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<Invoker> invoker() ABSL_LOCKS_EXCLUDED(mutex_);
  bool given_up_by_fork();
  // Until the call is done or, if `claimable`, somebody may run it.
  void park(Time until, bool claimable = false) ABSL_LOCKS_EXCLUDED(mutex_);
  const Lineage& lineage() const;

  // Constant once started.
  Clock* clock_ = nullptr;
  std::uint64_t forks_ = 0;
  FunctionState* function_ = nullptr;
  int line_ = 0;            // of its first version
  std::uint32_t draw_ = 0;  // of its key; see draw_of()
  std::string name_;
  std::unique_ptr<Lineage> lineage_;  // if it is not empty
  // Of a runtime with its own pool; of others, see invoker_.
  Anchor* anchor_ = nullptr;
  std::uint64_t anchored_ = 0;
  Deadline deadline_;
  std::uint64_t accepted_ = 0;  // ticks
  // In the queue of calls; block 0: not there, but a task of the executor. The queue's.
  struct Place {
    std::uint64_t block = 0;
    std::uint32_t slot = 0;
  };
  Place place_;
  Cancellation cancellation_;

  // Release in finish(), acquire in ready() and abandoned().
  std::atomic<bool> ready_{false};
  std::atomic<bool> abandoned_{false};

  // Belong to the runner, then to the Pending.
  int attempts_ = 0;
  std::shared_ptr<const RunVersion> version_;  // of the last attempt; null: the first
  bool counted_ = false;                       // as one that is outstanding; else its queue is
  bool keyed_ = false;                         // holds the row of its idempotency key
  bool sheddable_ = false;                     // constant in its queue
  bool nested_ = false;                        // constant: a handler started it
  Charged charged_;
  std::unique_ptr<Money> cost_;   // under a tariff, once charged
  std::unique_ptr<KeyHold> key_;  // of one with an idempotency key
  // What it took of rates as it was accepted; null: nothing.
  std::unique_ptr<Pace::Turns> turns_;

  std::atomic<bool> attended_{false};  // a hint; under the mutex but for attended()
  // Of the one that waits. Not on its stack: it would have to stay there until who wakes it is back
  // from the kernel.
  Parker parker_;
  BriefMutex mutex_;
  // Until the call is done; a Pending may outlive the Runtime. Null with an anchor.
  std::shared_ptr<Invoker> invoker_ ABSL_GUARDED_BY(mutex_);
  State state_ ABSL_GUARDED_BY(mutex_) = State::queued;
  EventId id_ ABSL_GUARDED_BY(mutex_);           // empty: not given yet
  Time due_ ABSL_GUARDED_BY(mutex_);             // of a delayed retry
  bool parked_ ABSL_GUARDED_BY(mutex_) = false;  // somebody waits on parker_
  std::unique_ptr<Continuation> then_ ABSL_GUARDED_BY(mutex_);
  bool lodges_ ABSL_GUARDED_BY(mutex_) = false;  // see Invoker::lodge
  std::weak_ptr<Invoker> spare_of_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t number_ ABSL_GUARDED_BY(mutex_) = 0;  // in the FairQueue, of its task; 0: none
};

// With its types: the input by value and the result.
template <class R>
class ResultCall : public CallNode {
 public:
  ResultCall() { result = &output; }
  void fail(Status error) override { output = std::move(error); }
  const Status& error() const override { return status_of(output); }
  // What a result is until somebody assigns it.
  static Result<R> unset() { return Status(StatusCode::kUnknown, ""); }
  Result<R> output = unset();
};

template <class R, class In>
class TypedCall final : public ResultCall<R> {
 public:
  template <class Given>
  explicit TypedCall(Given&& given) : stored(std::forward<Given>(given)) {
    this->input = &stored;
    this->bytes_in = type_info<In>().bytes(&stored);
  }
  const In stored;
};

template <class R>
class TypedCall<R, void> final : public ResultCall<R> {};

}  // namespace wisp::inline v0::detail
