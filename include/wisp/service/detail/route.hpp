// The way of a delivery to its handler: a bounded queue, as many tokens in the executor as may run
// at once, retries.
//
// A delivery waits in its route's queue; the executor holds only tokens, each of which runs the
// queue's head and then the next, for a while. So a queue can drop its oldest, a closed route
// cancels what it holds at once, and a backlog does not crowd other routes out of the executor. A
// serial route has one token and keeps it through a retry's delay; of a key one delivery is on its
// way at a time, see backlog.hpp.
//
//   accepted: in the queue -> running -> done | dead | expired | cancelled
//                    ^         ^    |
//                    +---------+-delayed (timer)
//
// Where the function has a limit, a rate or a budget, it is the token that waits for a slot, and
// what was delayed joins the queue again: so what never began can be dropped for another, and a
// route holds one turn of a rate at most that is to come.
//
// Plain posts wait in a log beside the queue, as records; one that fails becomes a delivery then.
//
// Threads: any.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/base/park.hpp>
#include <wisp/engine/meter.hpp>
#include <wisp/engine/timer.hpp>
#include <wisp/service/detail/backlog.hpp>
#include <wisp/service/detail/fair_queue.hpp>
#include <wisp/service/detail/function_state.hpp>
#include <wisp/service/detail/post_log.hpp>
#include <wisp/service/detail/rate.hpp>

namespace wisp::inline v0::detail {

class Cancellation;
class Invoker;

// Whether a handler's input, or what its batches are of, is the event as a whole.
bool takes_event(const Definition& definition);

class Route : public std::enable_shared_from_this<Route> {
 public:
  struct Rules {
    std::string name;  // for messages: "subscription 'orders.*'"
    std::optional<int> attempts;
    std::string dead_letter;
    bool serial = false;
    Queue queue;
    int batch = 0;  // at most so many at once; 0: one by one, to a handler of one
    Duration window{};
    bool receipts = false;  // the last one is kept
    bool replaces = false;  // replace() may be called; serial
  };

  // `own` is the state of a handler without a name, which lives here; else null and `function`
  // outlives the invoker.
  Route(Invoker& invoker, Rules rules, FunctionState* function, std::unique_ptr<FunctionState> own);
  // A tenant's part of another.
  Route(Route& whole, std::string_view tenant);

  // Which route the deliveries for a tenant take: where tenants share, one with a queue of its own,
  // in `keep`, which ends with this; else this. Those of a serial route, of batches and of
  // schedules go together whosever they are.
  Route& of(std::string_view tenant, std::shared_ptr<Route>& keep);
  // Of which this is a part, if it has not gone; or this.
  std::shared_ptr<Route> whole();
  bool part() const { return part_; }
  const std::shared_ptr<Flow>& flow() const { return flow_; }

  const Rules& rules() const { return rules_; }
  FunctionState& function() const { return *function_; }

  enum class Room { taken, dropped };
  // A place in the queue, or what the overflow rule says: kResourceExhausted, or dropped. Blocks at
  // most until `deadline`.
  Result<Room> reserve(std::size_t bytes, std::string_view key, Time deadline);
  // Gives a place back that nothing was pushed to.
  void unreserve(std::size_t bytes, std::string_view key);
  // Requires: a reserved place.
  void push(std::unique_ptr<Shipment> delivery);

  // Whether posts may go into the log.
  const bool takes_records;
  // Accepts and counts it. False, and `post` as it was: no room, or closed, as reserve() will say,
  // or the runtime has begun to stop. Requires: takes_records.
  bool append(Post& post);
  // Into a place that was reserved. False: closed meanwhile, and the place given back.
  bool append_reserved(Post& post);
  // Once the runtime has begun to stop: what was being accepted is outstanding.
  void see_accepted();

  // Whether nothing is queued, running or delayed.
  bool idle() const;
  // The same as a count of deliveries. Requires: not takes_records.
  int on_their_way() const;
  int queued(int* again = nullptr);
  // With its parts.
  int queued_in_all();
  // Posts in the log and their handlers that run, beyond the one that outstanding() knows of.
  std::int64_t uncounted();

  // Around a wait inside a handler that runs under a token: another delivery may run meanwhile.
  void lend_token();
  void take_token_back();

  // What is queued, and what waits for another attempt, is cancelled; what runs is asked to stop
  // and tried no more. Requires: Rules::replaces.
  void replace();
  // Of the delivery that is on its way; null unless it may be replaced. Requires: the caller has
  // it.
  Cancellation* cancellation() const { return current_.get(); }
  // Whether that one is to come to its end. Requires: the caller has it, or the lock.
  bool replaced() const;

  // Of the attempt that ended last, with those of its delivery before it; null before the first.
  std::shared_ptr<const Receipt> receipt() const;
  void keep_receipt(std::shared_ptr<const Receipt> receipt);

  // Limits, rates or budgets have changed: what waits for them asks again.
  void ask_again();

  // Around a delivery that runs on the publisher's thread. False once closed.
  bool enter();
  void leave();

  // Of a publisher that marks what it is inside of; see publishing.hpp.
  bool closed() const { return (notice_.load(std::memory_order_acquire) & kClosed) != 0; }
  void wake_closers();
  // Whether who takes posts has to look at the above, or to tell publishers that there is room.
  bool noticed() const { return notice_.load(std::memory_order_acquire) != 0; }
  void tell_of_room();

  // Queued and delayed deliveries are cancelled and no new one begins. Returns once none runs but
  // those that the calling thread is inside of; says so in the log after each 10 s. Does not wait
  // once the runtime has given them up.
  void close();
  // The same without waiting: the runtime stops.
  void cancel();
  // Whoever waits in close() goes on, now and later: the runtime gave up what runs.
  void abandon();

 private:
  friend class Invoker;

  using Shipments = std::vector<std::unique_ptr<Shipment>>;
  struct Parts;

  // What a token does next, and then has done.
  struct Work {
    std::unique_ptr<Shipment> delivery;
    PostBlock* block = nullptr;
    bool posts_next = false;  // queue and log take turns
    bool slot = false;        // of a function with limits: the token has one
    bool full = false;        // there was none for a delivery that may begin

    bool none() const { return delivery == nullptr && block == nullptr; }
  };
  void run_token(bool slot_taken);
  // A slot of before a pause goes back: whether there is one still.
  bool keeps(bool slot_taken);
  // The token waits for a slot, with which it comes to the executor again.
  void await_slot() ABSL_LOCKS_EXCLUDED(mutex_);
  // Batches (batches.cpp). Whether one is to begin, and how many.
  bool batch_due() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::int64_t batches_due() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Empty: none is.
  Shipments begin_batch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void run_batch_token(bool slot_taken);
  void run_batch(Shipments batch);
  std::optional<Time> window_to_arm() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void arm_window(Time due);
  void window_over(Time due, bool hurried = false);
  // What is left to do without the lock once a post is in the log.
  struct After {
    bool done = false;
    bool low = false;     // on blocks
    bool wanted = false;  // a token, which is counted
  };
  After append_within(Post& post) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void see_to(const After& after);
  // None: the token is no more, or waits for a slot.
  void pick(Work& work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends a claim. What is to be deleted without the lock; `rest`: the log has come to rest.
  PostBlock::Pointer leave_log(PostBlock* block, bool* rest) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void cancel_posts();
  std::shared_ptr<Parts> make_parts() const;
  std::vector<std::shared_ptr<Route>> parts();
  std::unique_ptr<Shipment> begin(Work& work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Of its rates. Whether something may begin now, which then takes turns_.
  bool in_turn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Of one that does not enter its handler after all.
  void give_turn_back(Shipment& delivery) const { give_back(delivery.turns); }
  void give_back(Pace::Turns& turns) const;
  // False: it is due when its budgets have money again, and has given its turn back.
  bool affords(Shipment& delivery) const;
  bool before_turn() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void arm_turn();
  void turn_came(std::uint64_t number);
  // A serial route's next delivery waits for the one that is on its way, also through a retry's
  // delay.
  bool held() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return rules_.serial && active_ + away_ > 0;
  }
  void go_away(const Shipment& delivery) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void come_back(const Shipment& delivery) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void end() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int tokens_wanted(int own) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void submit_tokens(int count);
  void token_lost(bool slot_taken);
  // `own`: of what is queued, what the caller takes itself at once.
  void top_up(int own = 0);
  // The delivery leaves this thread for the timer until it is due. Given back, counted as
  // cancelled, if the route has closed.
  std::unique_ptr<Shipment> delay(std::unique_ptr<Shipment> delivery);
  // The same of one that ran as one of a row of posts.
  std::unique_ptr<Shipment> delay_post(std::unique_ptr<Shipment> delivery);
  // As it leaves the queue.
  void uncount(const Shipment& delivery) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Of one that is due: into the queue, where those of this route begin from there alone. False,
  // and `delivery` as it was: they do not, or it has ended.
  bool rejoin(std::unique_ptr<Shipment>& delivery);
  void resume(std::unique_ptr<Shipment> delivery);
  void lost(std::unique_ptr<Shipment> delivery);
  // Requires: a slot, of a function with limits.
  void run(std::unique_ptr<Shipment> delivery);
  bool others_active(int own) const;
  // Empties it.
  Shipments take_queue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void wake_waiters() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Drops what the overflow rule lets go into `dropped`, if that makes room.
  bool make_room(std::size_t bytes, std::string_view key, Shipments& dropped)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void note_dropped(const Shipments& dropped);
  Status has_ended() const;
  Status is_full() const;
  // Whether so many bytes more would not fit, were some of the queue not there.
  bool over(std::size_t bytes, const Waiting& without) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool full(std::size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // What a queued token and a delivery that is away are to the executor and the timer.
  struct Token;
  struct Away;

  Invoker& invoker_;  // alive while a token, a delivery that is away, or a verb is; see keep_
  const std::weak_ptr<Invoker> keep_;
  const Rules rules_;
  const std::shared_ptr<FunctionState> own_;  // with its parts
  FunctionState* const function_;
  const Pace pace_;
  std::atomic<std::uint64_t> asked_{0};  // how often ask_again() was called
  // Constant. Null: neither lanes nor tenants.
  const std::shared_ptr<Flow> flow_;
  const std::shared_ptr<Parts> parts_;  // its own; null: it has none
  const bool part_ = false;
  const std::weak_ptr<Route> whole_;       // of a part
  static constexpr unsigned kClosed = 1;   // closed_, for publishers
  static constexpr unsigned kAwaited = 2;  // by publishers: room
  std::atomic<unsigned> notice_{0};        // release in cancel() and reserve()

  // Apart from what is read for each delivery. Taken before a function's.
  alignas(64) mutable BriefMutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
  bool log_counted_ ABSL_GUARDED_BY(mutex_) = false;  // as one that is outstanding
  int tokens_ ABSL_GUARDED_BY(mutex_) = 0;            // in the executor or running
  int busy_ ABSL_GUARDED_BY(mutex_) = 0;              // of those, running a delivery
  int awaiting_slot_ ABSL_GUARDED_BY(mutex_) = 0;     // and waiting for one; not of batches
  int count_ ABSL_GUARDED_BY(mutex_) = 0;             // queued and reserved
  int away_ ABSL_GUARDED_BY(mutex_) = 0;              // delayed
  int leaving_ ABSL_GUARDED_BY(mutex_) = 0;           // active, and away or back already
  int again_ ABSL_GUARDED_BY(mutex_) = 0;     // of those that are queued: back, after an attempt
  int awaiting_ ABSL_GUARDED_BY(mutex_) = 0;  // those that never began
  // Of all those: what is away takes room too, or retries would pile up without a bound.
  std::size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  PostLog log_ ABSL_GUARDED_BY(mutex_);
  // Deliveries inside the handler or on their way in or out; tokens that run posts of the log.
  int active_ ABSL_GUARDED_BY(mutex_) = 0;
  int rows_ ABSL_GUARDED_BY(mutex_) = 0;  // the latter alone
  Backlog queue_ ABSL_GUARDED_BY(mutex_);
  std::vector<Parker*> waiters_ ABSL_GUARDED_BY(mutex_);  // closers, and publishers that block
  struct Delayed {
    TimerId timer;
    bool put_off = false;  // by a budget, rather than for a retry
  };
  // By number: an address comes back, a number does not.
  std::map<std::uint64_t, Delayed> delayed_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t delays_ ABSL_GUARDED_BY(mutex_) = 0;  // the last number
  // When a timer looks whether a batch is due.
  std::optional<Time> window_due_ ABSL_GUARDED_BY(mutex_);
  std::optional<TimerId> window_timer_ ABSL_GUARDED_BY(mutex_);
  bool hurried_ ABSL_GUARDED_BY(mutex_) = false;  // the next one does not wait
  // Under a rate: when the next one may begin, and whether a timer looks.
  Pace::Turns turns_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t turn_armed_ ABSL_GUARDED_BY(mutex_) = 0;  // 0: none does
  std::uint64_t arms_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<TimerId> turn_timer_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const Receipt> receipt_ ABSL_GUARDED_BY(mutex_);
  // Changed as a delivery leaves the queue; read by who has that, and under the lock.
  std::shared_ptr<Cancellation> current_;
};

}  // namespace wisp::inline v0::detail
