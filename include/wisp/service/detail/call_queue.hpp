// The started calls of one runtime that wait for a worker of its own pool.
//
//   Status taken = calls.append(node);            // a starter; refused when full or closed
//   calls.forget(*node);                          // a waiter, or a canceller, that claimed it
//
// A call is a pointer in a block; the executor holds only tokens, as many as may run at once, each
// of which claims a whole block, so that the lock is taken once for some dozens of calls. But each
// call is taken by itself, and a token that finds nothing else joins in a block that others are at,
// so that a call never waits behind a handler that blocks while somebody is free. One that its
// waiter runs leaves at once, so that what is queued is exact and a dead entry takes no room.
//
// Calls are begun in the order of their starts, as far as several workers at once have one.
//
// Threads: any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>

#include <wisp/base/mutex.hpp>
#include <wisp/base/status.hpp>
#include <wisp/engine/executor.hpp>

namespace wisp::inline v0::detail {

class CallNode;
class Invoker;

// Filled by starters, then claimed, and not filled any more.
class CallBlock {
 public:
  static constexpr std::uint32_t kRecords = 60;
  // Who claims a block with so few has caught up with those who start calls; see
  // Ticks::stand_back().
  static constexpr std::uint32_t kFew = 45;

  // The next call, null if all are taken. Requires: the caller has claimed the block.
  std::shared_ptr<CallNode> take();

 private:
  friend class CallQueue;

  // Whether it held more than one call, but not many.
  bool few() const { return end_ >= 2 && end_ <= kFew; }
  bool has_more() const { return cursor_.load(std::memory_order_relaxed) < end_; }
  // Those that nobody took or forgot.
  int left() const;

  // The lock's: but for `end_` and `nodes_`, which the readers have once the block is claimed.
  std::uint64_t number_ = 0;
  std::uint64_t gone_ = 0;  // a bit for each that was forgotten
  CallBlock* next_ = nullptr;
  std::uint32_t end_ = 0;
  int readers_ = 0;
  int held_ = 0;  // as the queue's: appended and not forgotten
  // Relaxed: the records were written before the claim, under the lock.
  std::atomic<std::uint32_t> cursor_{0};
  std::array<std::shared_ptr<CallNode>, kRecords> nodes_;
};

class CallQueue {
 public:
  explicit CallQueue(Invoker& invoker) : invoker_(invoker) {}
  ~CallQueue();
  CallQueue(const CallQueue&) = delete;
  CallQueue& operator=(const CallQueue&) = delete;

  // Takes the call, or says why not.
  Status append(const std::shared_ptr<CallNode>& node);
  // The call was claimed by somebody else than a token: it leaves.
  void forget(const CallNode& node);

  // stop() has begun, and what was being accepted is counted.
  void see_accepted();
  // The runtime stops: nothing begins any more, and then what is queued is dropped.
  void close();
  // Also what others have claimed and not begun.
  void drop_queued();
  // Release in close(): who enters a handler looks at it after its mark.
  bool closed() const { return closed_.load(std::memory_order_acquire); }
  // Calls that are queued here or run from here, beyond the one that outstanding() knows of.
  std::int64_t uncounted();

  // There may be more tokens than before.
  void ask_again() { top_up(0); }

  // Around a wait inside a handler that runs under a token: another call may run meanwhile.
  void lend_token();
  void take_token_back();

 private:
  // What a queued token is to the executor.
  struct Token;
  static constexpr std::size_t kSpareMax = 4;

  void run_token();
  bool run_blocks(CallBlock* block, int& claims, std::uint64_t last);
  // Null: the token is given back.
  CallBlock* claim_for_token();
  bool submit_for(CallNode& node, Status& why);
  void submit_tokens(int count);
  void token_lost();
  // Asks for a token for each queued call, but for `served` ones, that no free one stands for.
  void top_up(int served);
  bool append_within(std::shared_ptr<CallNode> entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool full() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Calls that nobody took or forgot: as long as blocks are claimed.
  int left() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether a claimed block has nobody at it.
  bool unread() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  CallBlock& with_room() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  CallBlock* claim() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  CallBlock* claim_next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  CallBlock* find_claimed(std::uint64_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // True: the queue has come to rest, and the caller says so to the invoker, without the lock.
  bool leave(CallBlock* block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void put_away(std::unique_ptr<CallBlock> block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool at_rest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Invoker& invoker_;  // which holds this
  std::atomic<bool> closed_{false};
  // A hint for a token that looks: relaxed, since it then claims under the lock, or does not.
  std::atomic<bool> some_wait_{false};

  alignas(64) mutable BriefMutex mutex_;
  bool counted_ ABSL_GUARDED_BY(mutex_) = false;  // as one that is outstanding
  int tokens_ ABSL_GUARDED_BY(mutex_) = 0;        // in the executor or running
  int busy_ ABSL_GUARDED_BY(mutex_) = 0;          // of those, at a block
  int withdrawn_ ABSL_GUARDED_BY(mutex_) = 0;     // will be lost, and are not in tokens_ any more
  int rows_ ABSL_GUARDED_BY(mutex_) = 0;          // at a block, lent ones included
  int held_ ABSL_GUARDED_BY(mutex_) = 0;  // in blocks, taken ones too until their block is left
  std::uint64_t blocks_ ABSL_GUARDED_BY(mutex_) = 0;  // made so far: numbers them
  // Unclaimed, by number: only the last is filled.
  std::deque<std::unique_ptr<CallBlock>> waiting_ ABSL_GUARDED_BY(mutex_);
  CallBlock* claimed_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::array<std::unique_ptr<CallBlock>, kSpareMax> spare_ ABSL_GUARDED_BY(mutex_);
  std::size_t spares_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace wisp::inline v0::detail
