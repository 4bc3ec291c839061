// The rows of idempotency keys of one runtime, and the verbs that have one. See idempotency.hpp for
// the rules.
//
//   IdempotencyTable::Waiter waiter;
//   IdempotencyTable::Joined joined = table.join(wanted, waiter);
//   if (joined.answer == Answer::first) { ...; table.end(hold, {.event = id}, 0); }
//
//   in progress(until: its holder's deadline) -> done(until: the end of its window) | gone
//
// Rows in progress stand in the order of their first callers, done ones in that of their ends,
// which is also that of their windows.
//
// Threads: any. Lock order: a table, then a node.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/functional/function_ref.h>

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/fields.hpp>
#include <wisp/base/id.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/base/park.hpp>
#include <wisp/base/status.hpp>
#include <wisp/engine/timer.hpp>
#include <wisp/model/detail/definition.hpp>
#include <wisp/service/call_options.hpp>
#include <wisp/service/detail/call_node.hpp>
#include <wisp/service/idempotency.hpp>

namespace wisp::inline v0::detail {

class Invoker;
struct Given;

class IdempotencyTable {
  struct Row;

 public:
  IdempotencyTable(Clock& clock, Idempotency bounds) : clock_(clock), bounds_(bounds) {}
  IdempotencyTable(const IdempotencyTable&) = delete;
  IdempotencyTable& operator=(const IdempotencyTable&) = delete;

  // Who may share a key.
  enum class Space : char { function = 'f', topic = 't' };
  struct Wanted {
    Space space;
    std::string_view name;
    std::string_view key;
    bool event = false;             // a post or an emit; else a call
    const TypeInfo* out = nullptr;  // of a call
    int version = 0;
    Deadline deadline{};  // of who asks: of the holder, should it be one
  };

  // How a holder ended.
  struct Kept {
    Status status{};
    std::shared_ptr<const void> value{};  // shared by all that are given it; see ResultOps
    EventId event{};
    bool passing = false;  // for those that wait at that moment alone
  };

  enum class Answer { first, done, waits, refused };
  struct Joined {
    Answer answer;
    KeyHold hold{};                      // of the first
    Kept kept{};                         // of what is done; or why it was refused
    Time until{};                        // when to look again at the latest, for who waits
    std::shared_ptr<CallNode> holder{};  // of who waits, if it is a started call
  };

  // On the stack of who waits.
  struct Waiter {
    Parker parker;
    Row* row = nullptr;  // while it waits
    std::optional<Kept> answer{};
    Deadline deadline{};
  };

  // One of those that wait is on the list of its row until it is answered.
  Joined join(const Wanted& wanted, Waiter& waiter) ABSL_LOCKS_EXCLUDED(mutex_);
  // For a waiter: first, if the holder is late and this one takes over. Refused without an error:
  // its own time is over, too.
  Joined look(Waiter& waiter) ABSL_LOCKS_EXCLUDED(mutex_);
  // False: it has been answered.
  bool leave(Waiter& waiter) ABSL_LOCKS_EXCLUDED(mutex_);

  static std::string id_of(const Wanted& wanted);
  // The same for a started call that waits without a thread. Requires: attached, and key_ names the
  // row.
  Joined attach(const Wanted& wanted, const std::shared_ptr<CallNode>& node)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Now that the holder may be claimed.
  void can_run(const std::shared_ptr<CallNode>& holder) ABSL_LOCKS_EXCLUDED(mutex_);
  // That of the row that it waits for; null: a call on some thread, or it does not wait any more.
  std::shared_ptr<CallNode> holder_of(const CallNode& attached) ABSL_LOCKS_EXCLUDED(mutex_);
  // When it is to be looked at. False: it does not wait any more.
  bool keep_timer(const CallNode& node, TimerId timer) ABSL_LOCKS_EXCLUDED(mutex_);
  // `first`: it was attached and takes over. Refused: so it was, and its time is over. Done: not
  // attached any more. In the first two cases it is the caller's, claimed.
  Joined look(const std::shared_ptr<CallNode>& node) ABSL_LOCKS_EXCLUDED(mutex_);
  // The timer that it had, if it was attached.
  std::optional<TimerId> detach(const CallNode& node) ABSL_LOCKS_EXCLUDED(mutex_);

  // What a holder leaves to its caller: calls that are to be ended in the same way.
  struct Attached {
    std::shared_ptr<CallNode> node;
    std::optional<TimerId> timer{};
  };
  using AllAttached = std::vector<Attached>;
  // Remembers an ok end that is not passing, whose value has so many bytes, or forgets the key.
  // Changes nothing once somebody else holds it.
  AllAttached end(const KeyHold& hold, const Kept& kept, std::size_t bytes)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The runtime stops: who waits is refused, now and from now on.
  AllAttached close() ABSL_LOCKS_EXCLUDED(mutex_);

  IdempotencyStats stats() const ABSL_LOCKS_EXCLUDED(mutex_);

  // A verb that holds a key, on the stack of its thread; see holds().
  class Holding {
   public:
    Holding(IdempotencyTable& table, KeyHold hold);
    // Nobody came to end it: something was thrown.
    ~Holding();
    Holding(const Holding&) = delete;
    Holding& operator=(const Holding&) = delete;
    AllAttached end(const Kept& kept, std::size_t bytes);

   private:
    friend class IdempotencyTable;
    friend class ThreadLocals;
    IdempotencyTable& table_;
    const KeyHold hold_;
    bool ended_ = false;
    Holding* const outer_;

    static constinit thread_local Holding* top_;
  };

 private:
  struct Row {
    std::string id;
    std::string name;  // for messages: "'4711' of function 'charge'"
    bool event = false;
    const TypeInfo* out = nullptr;
    int version = 0;
    bool done = false;
    Time until;  // in progress: its holder is late then; done: it is over
    std::uint64_t holder = 0;
    const CallNode* holder_node = nullptr;  // compared only
    std::shared_ptr<CallNode> runnable{};   // the same, once it may be claimed
    Kept kept{};
    std::size_t bytes = 0;
    std::vector<Waiter*> waiters{};
    AllAttached attached{};
  };
  using Rows = std::list<Row>;

  // Who waits has its row in `found`.
  Joined look_up(std::string id, const Wanted& wanted, const CallNode* node, Row** found,
                 Rows& gone) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Joined add(std::string id, const Wanted& wanted, const CallNode* node, Rows& gone)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // To a new holder, `node` or a thread.
  Joined hold(Row& row, Deadline deadline, const CallNode* node)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Row* in_progress(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void remove(Rows& from, Rows::iterator row, Rows& gone) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void forget_oldest(Rows& gone) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void answer_all(Row& row, const Kept& kept) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the calling thread is inside of what holds the row.
  bool holds(const Row& row) const;

  Clock& clock_;
  const Idempotency bounds_;

  mutable Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::uint64_t holders_ ABSL_GUARDED_BY(mutex_) = 0;  // so far: numbers them
  Rows in_progress_ ABSL_GUARDED_BY(mutex_);
  Rows done_ ABSL_GUARDED_BY(mutex_);
  // By the rows' ids.
  absl::flat_hash_map<std::string_view, Rows::iterator> by_id_ ABSL_GUARDED_BY(mutex_);
  IdempotencyStats stats_ ABSL_GUARDED_BY(mutex_);
};

// The verbs of calls that have a key.
class Keyed {
 public:
  explicit Keyed(Invoker& invoker) : invoker_(invoker) {}

  // On this thread. Assigns the result, the remembered one perhaps, or why it was refused.
  void call(FunctionState& function, const void* in, void* result, const CallOptions& options);
  void start(const std::shared_ptr<CallNode>& node, const Definition& function,
             const CallOptions& options);
  // A post or an emit: `publish` does it, without the key.
  struct Published {
    EventId id;
    bool matched = true;  // somebody is to get it: else the key is forgotten
  };
  using Publish = absl::FunctionRef<Result<Published>(const CallOptions& without)>;
  Result<EventId> publish(IdempotencyTable::Space space, std::string_view name,
                          const CallOptions& options, Publish publish);

  // The holder has come to its end.
  void end(CallNode& holder);
  // Claimed, and detached or about to be.
  void cancel(CallNode& attached);
  // Runs, on this thread, the holder that it waits for. False: somebody else does.
  bool run_holder(CallNode& attached, bool even_on_pool);
  void close();

 private:
  IdempotencyTable::Joined claim(const IdempotencyTable::Wanted& wanted);
  IdempotencyTable::Joined wait(IdempotencyTable::Waiter& waiter, IdempotencyTable::Joined joined,
                                std::string_view name);
  static bool run(const std::shared_ptr<CallNode>& holder, bool even_on_pool);
  void begin(const std::shared_ptr<CallNode>& node, bool attached);
  void look_later(const std::shared_ptr<CallNode>& node, Time at);
  void look(const std::shared_ptr<CallNode>& node);
  void settle(IdempotencyTable::AllAttached attached, const IdempotencyTable::Kept& kept);
  void finish(CallNode& node, Outcome outcome, const IdempotencyTable::Kept& kept);

  Invoker& invoker_;
};

}  // namespace wisp::inline v0::detail
