// What is running on a thread: a stack of frames, one for each handler entered and not yet left.
//
// The innermost frame is how a verb called inside a handler inherits deadline, lineage and tenant,
// and how a waiter knows that it holds a worker. Where there is little to know, a BareFrame stands
// for it until somebody asks. An Errand is how stop() and a Subscription's
// destructor know that they run inside of what they would wait for. Thread-local pointers hold
// them: see thread_locals.hpp.
//
// Threads: one-at-a-time, except Cancellation: any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string_view>
#include <utility>

#include <wisp/base/mutex.hpp>
#include <wisp/engine/timer.hpp>
#include <wisp/model/context.hpp>
#include <wisp/model/function.hpp>
#include <wisp/service/detail/watchdog.hpp>

namespace wisp::inline v0::detail {

class CallNode;
class Invoker;
class PublishHere;
class Route;

// Of what comes from outside and has no labels.
extern const Lineage kPlainLineage;

// What a worker is inside of, as a shutdown that has to give it up sees it.
struct Running {
  std::string_view function;
  EventId event{};
  // Of a started call; of calls in a row the current one, null between two.
  std::atomic<CallNode*> node{nullptr};
  void* before = nullptr;
  int first = 1;       // of those inside, whose first attempt it is; in a row the current one's
  bool calls = false;  // in a row
  // Of posts in a row: the current one's, in place of the event's; 0 between two.
  bool post = false;
  std::atomic<std::uint64_t> sequence{0};
  // On the clock's steady line, while the handler has one. And the watchdog's: the last deadline
  // that it reported, and where that is counted.
  std::atomic<std::int64_t> deadline{Watchdog::kNever};
  std::int64_t reported = Watchdog::kNever;
  std::atomic<std::uint64_t>* late = nullptr;
  // The route's that it runs under, if any. `lent`, under the mark's lock: another may run.
  Route* token = nullptr;
  bool lent = false;
};

// A request to stop, for one call. The stop source exists only once somebody asked for a token.
class Cancellation {
 public:
  // Relaxed is not enough: what the canceller wrote before is visible to who sees the request
  // (release, acquire).
  bool requested() const { return requested_.load(std::memory_order_acquire); }

  // Runs the callbacks of its token, and cancels the calls that are waited for, on the calling
  // thread, with no lock held.
  void request();

  // Stopped already if it was requested.
  std::stop_source source();

  // A call that the handler waits for; on the waiting thread's stack.
  struct Wait {
    CallNode& node;
    Wait* before = nullptr;
  };
  // Whoever requests a stop from now on cancels it too. The call may still be on its way to its end
  // when forget() returns: nobody waits for that. Threads: of one handler, the last begun is the
  // first forgotten.
  void begin(Wait& wait);
  void forget(const Wait& wait);

 private:
  std::atomic<bool> requested_{false};
  BriefMutex mutex_;
  std::optional<std::stop_source> source_ ABSL_GUARDED_BY(mutex_);
  Wait* waits_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

struct ActiveFrame : Frame {
  ActiveFrame() = default;
  // Each field stored once: a cleared frame costs a warm call more than what it is filled with.
  ActiveFrame(const Frame& seen, Invoker* host, ActiveFrame* caller)
      : Frame(seen), invoker(host), parent(caller) {}

  Invoker* invoker = nullptr;
  ActiveFrame* outer = nullptr;   // of this thread, perhaps of another Runtime
  ActiveFrame* parent = nullptr;  // whose cancellation counts too: the caller of a nested call
  Cancellation* cancellation = nullptr;  // null: nobody can cancel this call but through the above
  void* running = nullptr;               // the thread's mark in the ledger meanwhile
  Route* token = nullptr;                // that it runs under, unless lent; see Blocking
  // Of a task of the executor, or of what such a handler calls or waits for.
  bool on_executor = false;
  // Made once the handler asked for a token. Each attempt has its own, or what stopped one by its
  // timeout would stop the next.
  using StopCallback = std::stop_callback<std::function<void()>>;
  struct Stops {
    std::stop_source source;
    std::optional<StopCallback> call_stops;  // the cancellation above
    std::optional<StopCallback> parent_stops;
    std::optional<TimerId> deadline_timer;
  };
  std::unique_ptr<Stops> stops;

  bool cancel_requested() const { return cancellation != nullptr && cancellation->requested(); }
  // Its own, or that of whom it was called by. Null: nobody can cancel it but the runtime.
  Cancellation* canceller() const {
    const ActiveFrame* frame = this;
    while (frame->cancellation == nullptr && frame->parent != nullptr) frame = frame->parent;
    return frame->cancellation;
  }

  // Makes this the thread's innermost one. Requires: invoker is set.
  void push() {
    outer = top();
    if (outer != nullptr) [[unlikely]]
      inherit();
    top_ = this;
  }
  void pop() { top_ = outer; }

  // The innermost frame of the calling thread, or null.
  static inline ActiveFrame* top();

 private:
  friend class BareFrame;
  friend class ThreadLocals;
  void inherit();

  // Constant at first, so that no access has to ask whether it has been initialised.
  static constinit thread_local ActiveFrame* top_;
};

// The frame of a handler of which all follows from its function, or from the publish that it is
// part of: it takes no Context, and has neither deadline nor label. Nothing is written until
// somebody looks. ActiveFrame::top() does, on the way of everything that such a handler may call,
// and makes an ordinary frame of it.
class BareFrame {
 public:
  // `publish`: null for a call.
  explicit BareFrame(Invoker& invoker, PublishHere* publish = nullptr)
      : invoker_(invoker), publish_(publish) {}
  ~BareFrame() {}
  BareFrame(const BareFrame&) = delete;
  BareFrame& operator=(const BareFrame&) = delete;

  // Whether the thread is inside of no frame at all.
  static bool possible() { return top_ == nullptr && ActiveFrame::top_ == nullptr; }

  // Around handlers. Requires: possible(), or that a frame around it has been looked for.
  void enter(const Definition& definition) {
    definition_ = &definition;
    top_ = this;
    if (ActiveFrame::top_ != nullptr) [[unlikely]]
      fill();
  }
  void leave() {
    if (top_ == this) [[likely]]
      top_ = nullptr;
    else leave_filled();
  }
  // The handler that it was last that of.
  const Definition& definition() const { return *definition_; }
  // Between enter() and leave().
  bool filled() const { return top_ != this; }
  ActiveFrame& whole() {
    if (!filled()) fill();
    return filled_;
  }
  // From now on it is that of another handler.
  void runs(const Definition& definition) {
    definition_ = &definition;
    if (filled()) [[unlikely]]
      filled_.function = definition.name;
  }

 private:
  friend struct ActiveFrame;
  friend class ThreadLocals;
  void fill();
  void leave_filled();

  Invoker& invoker_;
  PublishHere* const publish_;
  const Definition* definition_;  // while it is entered
  union {
    ActiveFrame filled_;
  };

  // The calling thread's, null once it has been filled. Constant at first, as above.
  static constinit thread_local BareFrame* top_;
};

inline ActiveFrame* ActiveFrame::top() {
  if (BareFrame::top_ != nullptr) [[unlikely]]
    BareFrame::top_->fill();
  return top_;
}

// Around what a thread does for an invoker on both sides of a handler: it sees a delivery through,
// or ends a call and runs its continuation. What it calls meanwhile (a continuation, the destructor
// of a payload, a log sink) may stop the runtime or end the route, and must not wait for its own
// thread.
class Errand {
 public:
  // `route`: that counts it among its active ones; null for a call.
  Errand(const Invoker& invoker, const Route* route) : Errand(invoker, route, nullptr) {}
  // Of a publisher: `route` is what it has marked, if anything; see publishing.hpp.
  Errand(const Invoker& invoker, const std::atomic<Route*>& route)
      : Errand(invoker, nullptr, &route) {}
  // Under a token of the invoker's queue of calls: all that happens at one of its blocks.
  explicit Errand(Invoker& invoker) : Errand(invoker, nullptr, nullptr) { call_token = &invoker; }
  ~Errand() { top_ = outer_; }
  Errand(const Errand&) = delete;
  Errand& operator=(const Errand&) = delete;

  // How many of the calling thread's are of this invoker, or of this route.
  static int count(const Invoker& invoker);
  static int count(const Route& route);
  // The one that has a token of a queue of calls, which is then its worker's outermost; or null.
  static Errand* under_call_token();

  // Whose queue's, unless lent; see Blocking. Not a frame's: a continuation may wait as well.
  Invoker* call_token = nullptr;

 private:
  friend class ThreadLocals;
  Errand(const Invoker& invoker, const Route* route, const std::atomic<Route*>* marked)
      : invoker_(invoker), route_(route), marked_(marked) {
    (void)ActiveFrame::top();  // that of a publish comes with its frame: first, as it is outside
    outer_ = std::exchange(top_, this);
  }

  const Invoker& invoker_;
  const Route* const route_;
  const std::atomic<Route*>* const marked_;
  Errand* outer_;

  static constinit thread_local Errand* top_;  // the innermost one
};

// Around a wait: whoever's worker the calling thread is, of this Runtime or of one whose handler
// called into it, finds a substitute for it, and the delivery or call that it sees through lends
// its place among its route's, or the started calls, to another.
class Blocking {
 public:
  explicit Blocking(Executor& executor);
  ~Blocking();
  Blocking(const Blocking&) = delete;
  Blocking& operator=(const Blocking&) = delete;

  bool substituted() const { return executor_ != nullptr; }

 private:
  Executor* executor_ = nullptr;  // whose begin_blocking said yes
  ActiveFrame* lender_ = nullptr;
  Route* lent_ = nullptr;
  Errand* call_lender_ = nullptr;
  Invoker* lent_call_ = nullptr;
};

}  // namespace wisp::inline v0::detail
