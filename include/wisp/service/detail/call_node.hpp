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
#include <optional>
#include <utility>

#include <wisp/base/callable.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/base/park.hpp>
#include <wisp/engine/executor.hpp>
#include <wisp/engine/meter.hpp>
#include <wisp/model/event.hpp>
#include <wisp/service/detail/frame.hpp>

namespace wisp::inline v0::detail {

struct FunctionState;

// What `then` is given: one slot, bounded size. Larger callables go through wisp::boxed.
using Continuation = InlineFunction<void(), 64>;

class CallNode : public std::enable_shared_from_this<CallNode> {
 public:
  CallNode() = default;
  virtual ~CallNode() = default;
  CallNode(const CallNode&) = delete;
  CallNode& operator=(const CallNode&) = delete;

  enum class State { queued, running, delayed, done };

  // Done: the result is there, or the runtime gave the call up while its handler went on.
  bool ready() const { return ready_.load(std::memory_order_acquire); }
  // Done because the runtime stopped while the handler was running: the result still belongs to the
  // handler.
  bool abandoned() const { return abandoned_.load(std::memory_order_acquire); }

  // See Pending.
  void wait();
  void wait_until(Time until);
  void cancel();
  void then(Continuation continuation);
  const Receipt& receipt() const { return receipt_; }
  const Clock& clock() const { return *clock_; }

  // Assigns an error to the result. Requires: not done, and the caller is the runner.
  virtual void fail(Status error) = 0;

  // Set by who makes the node.
  const void* input = nullptr;
  void* result = nullptr;
  std::size_t bytes_in = 0;

 private:
  friend class Invoker;

  // Moves from queued or delayed to running; null if somebody else has. `due` is when a delayed one
  // wanted to run. For all but a task of the executor: that of a queued one is spare from now on.
  std::shared_ptr<Invoker> claim(Time* due) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same for its task, or for the spare one that it lodges in.
  std::shared_ptr<Invoker> claim_by_task(bool lodger) ABSL_LOCKS_EXCLUDED(mutex_);
  // Destroys a task of it that no executor took, without an end of the call. Requires: nobody else
  // knows the node yet.
  void withdraw(Task& task) ABSL_LOCKS_EXCLUDED(mutex_);
  // If the call's task is spare: whose, once.
  std::shared_ptr<Invoker> spare_task() ABSL_LOCKS_EXCLUDED(mutex_);
  // From running to delayed; false if it shall not be tried again.
  bool delay(Time due) ABSL_LOCKS_EXCLUDED(mutex_);
  bool can_be_claimed() ABSL_LOCKS_EXCLUDED(mutex_);
  bool run_here();
  // To its end, once: true for the caller that ended it.
  bool finish(bool abandoned) ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<Invoker> invoker() ABSL_LOCKS_EXCLUDED(mutex_);
  bool given_up_by_fork();
  // Until the call is done or, if `claimable`, somebody may run it.
  void park(Time until, bool claimable = false) ABSL_LOCKS_EXCLUDED(mutex_);

  // Constant once started.
  Clock* clock_ = nullptr;
  std::uint64_t forks_ = 0;
  FunctionState* function_ = nullptr;
  int line_ = 0;
  Lineage lineage_;
  Deadline deadline_;
  std::uint64_t accepted_ = 0;  // ticks
  Cancellation cancellation_;

  // Release in finish(), acquire in ready() and abandoned().
  std::atomic<bool> ready_{false};
  std::atomic<bool> abandoned_{false};

  // Belong to the runner, then to the Pending.
  int attempts_ = 0;
  Receipt receipt_;

  Mutex mutex_;
  // Until the call is done; a Pending may outlive the Runtime.
  std::shared_ptr<Invoker> invoker_ ABSL_GUARDED_BY(mutex_);
  State state_ ABSL_GUARDED_BY(mutex_) = State::queued;
  Time due_ ABSL_GUARDED_BY(mutex_);  // of a delayed retry
  Parker* waiter_ ABSL_GUARDED_BY(mutex_) = nullptr;
  Continuation then_ ABSL_GUARDED_BY(mutex_);
  bool lodges_ ABSL_GUARDED_BY(mutex_) = false;  // see Invoker::lodge
  std::weak_ptr<Invoker> spare_of_ ABSL_GUARDED_BY(mutex_);
};

// With its types: the input by value and the result.
template <class R>
class ResultCall : public CallNode {
 public:
  ResultCall() { result = &output; }
  void fail(Status error) override { output = std::move(error); }
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
