// The started calls that wait, and the tokens that run them.
#include <wisp/service/detail/call_queue.hpp>

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

// How long one token keeps its worker before it goes to the back of the executor's queue: so many
// claims or so much time if others wait there, else longer.
constexpr int kClaimsPerToken = 16;
constexpr std::uint64_t kNsPerToken = 100'000;
constexpr std::uint64_t kNsPerTokenMax = 1'000'000;

}  // namespace

std::shared_ptr<CallNode> CallBlock::take() {
  std::uint32_t at = cursor_.load(std::memory_order_relaxed);
  while (at < end_) {
    if (!cursor_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) continue;
    if (nodes_[at] != nullptr) return std::move(nodes_[at]);
    ++at;
  }
  return nullptr;
}

int CallBlock::left() const {
  const std::uint32_t from = cursor_.load(std::memory_order_relaxed);
  if (from >= end_) return 0;
  // Where nothing was forgotten, which is most of the time, there is nothing to count.
  const std::uint64_t gone = gone_ & ((std::uint64_t{1} << end_) - 1) & (~std::uint64_t{0} << from);
  return static_cast<int>(end_ - from) - (gone == 0 ? 0 : std::popcount(gone));
}

// Runs calls; lost when the executor drops it.
struct CallQueue::Token {
  CallQueue* queue;
  std::shared_ptr<Invoker> keep;  // the queue's

  explicit Token(CallQueue& q) : queue(&q), keep(q.invoker_.shared_from_this()) {}
  Token(Token&& other) noexcept
      : queue(std::exchange(other.queue, nullptr)), keep(std::move(other.keep)) {}
  Token& operator=(Token&&) = delete;
  ~Token() {
    if (queue != nullptr) queue->token_lost();
  }
  void operator()() { std::exchange(queue, nullptr)->run_token(); }
};

CallQueue::~CallQueue() {
  assert(waiting_.empty());
  assert(claimed_ == nullptr);
}

Status CallQueue::append(const std::shared_ptr<CallNode>& node) {
  bool stopped = false;
  bool no_room = false;
  bool wanted = false;
  {
    std::shared_ptr<CallNode> entry = node;
    const BriefLock lock(mutex_);
    stopped = closed() || !invoker_.accepts();
    no_room = full();
    if (!stopped && !no_room) [[likely]]
      wanted = append_within(std::move(entry));
  }
  if (stopped) [[unlikely]]
    return refused(StatusCode::kUnavailable, Reason::stopped, "the runtime has stopped");
  if (no_room) [[unlikely]] {
    return refused(
        StatusCode::kResourceExhausted, Reason::full,
        fmt::format("the queue of started calls is full ({})", invoker_.parts().queue.count));
  }
  Status why;
  if (wanted && !submit_for(*node, why)) [[unlikely]]
    return why;
  return Status();
}

// Whether a token is wanted, which is counted then.
inline bool CallQueue::append_within(std::shared_ptr<CallNode> entry) {
  CallBlock& block = with_room();
  entry->place_ = {.block = block.number_, .slot = block.end_};
  block.nodes_[block.end_++] = std::move(entry);
  ++block.held_;
  ++held_;
  // Before others can see it: the queue does not come to rest before it was counted.
  if (!std::exchange(counted_, true)) [[unlikely]]
    invoker_.one_more();
  // One token that is free is enough here: it asks for more when it begins, if they are wanted.
  const bool wanted = tokens_ == busy_ && tokens_ < invoker_.tokens_max();
  if (wanted) ++tokens_;
  return wanted;
}

// False: the executor refuses, nobody else runs the call, and it is the caller's again.
bool CallQueue::submit_for(CallNode& node, Status& why) {
  Task task{Token(*this)};
  why = invoker_.parts().executor.submit(task);
  if (why.ok()) return true;
  if (why.code() == StatusCode::kResourceExhausted)
    why = refused(why.code(), Reason::full, message(why));
  const bool mine = node.claim_by_row();
  if (mine) forget(node);
  bool alone = false;
  {
    const BriefLock lock(mutex_);
    alone = left() == 0;
    // What is started from now on brings a token of its own.
    if (alone) {
      --tokens_;
      ++withdrawn_;
    }
  }
  // What others started meanwhile counts on this one.
  if (!alone) invoker_.submit_surely(std::move(task));
  return !mine;
}

CallBlock& CallQueue::with_room() {
  if (!waiting_.empty() && waiting_.back()->end_ < CallBlock::kRecords) return *waiting_.back();
  waiting_.push_back(spares_ > 0 ? std::move(spare_[--spares_]) : std::make_unique<CallBlock>());
  waiting_.back()->number_ = ++blocks_;
  some_wait_.store(true, std::memory_order_relaxed);
  return *waiting_.back();
}

int CallQueue::left() const {
  int taken = 0;
  for (const CallBlock* each = claimed_; each != nullptr; each = each->next_)
    taken += each->held_ - each->left();
  return held_ - taken;
}

bool CallQueue::unread() const {
  for (const CallBlock* each = claimed_; each != nullptr; each = each->next_) {
    if (each->readers_ == 0) return true;
  }
  return false;
}

bool CallQueue::full() const {
  const int most = invoker_.parts().queue.count;
  return held_ >= most && left() >= most;
}

CallBlock* CallQueue::find_claimed(std::uint64_t number) {
  CallBlock* each = claimed_;
  while (each != nullptr && each->number_ != number) each = each->next_;
  return each;
}

void CallQueue::forget(const CallNode& node) {
  std::shared_ptr<CallNode> entry;  // released outside of the lock
  bool rest = false;
  {
    const BriefLock lock(mutex_);
    const auto [number, slot] = node.place_;
    // Most are of the last block, or of the first.
    auto place = std::lower_bound(
        waiting_.begin(), waiting_.end(), number,
        [](const auto& each, std::uint64_t wanted) { return each->number_ < wanted; });
    if (place == waiting_.end() || (*place)->number_ != number) {
      // Whoever is at the block passes it over.
      CallBlock* const block = find_claimed(number);
      if (block != nullptr) block->gone_ |= std::uint64_t{1} << slot;
      return;
    }
    CallBlock& block = **place;
    entry = std::move(block.nodes_[slot]);
    block.gone_ |= std::uint64_t{1} << slot;
    --block.held_;
    --held_;
    if (block.held_ > 0) {
      // The last slots are used again, if they are free.
      while (block.nodes_[block.end_ - 1] == nullptr)
        block.gone_ &= ~(std::uint64_t{1} << --block.end_);
      return;
    }
    std::unique_ptr<CallBlock> empty = std::move(*place);
    waiting_.erase(place);
    some_wait_.store(!waiting_.empty(), std::memory_order_relaxed);
    put_away(std::move(empty));
    rest = at_rest();
  }
  if (rest) invoker_.one_less();
}

void CallQueue::put_away(std::unique_ptr<CallBlock> block) {
  if (spares_ == kSpareMax) return;
  block->gone_ = 0;
  block->next_ = nullptr;
  block->end_ = 0;
  block->readers_ = 0;
  block->held_ = 0;
  block->cursor_.store(0, std::memory_order_relaxed);
  spare_[spares_++] = std::move(block);
}

bool CallQueue::at_rest() {
  return waiting_.empty() && claimed_ == nullptr && std::exchange(counted_, false);
}

CallBlock* CallQueue::claim() {
  if (closed()) return nullptr;
  CallBlock* left = nullptr;
  CallBlock* shared = nullptr;
  for (CallBlock* each = claimed_; each != nullptr; each = each->next_) {
    if (each->has_more()) (each->readers_ == 0 ? left : shared) = each;
  }
  if (left == nullptr && !waiting_.empty()) return claim_next();
  CallBlock* const block = left != nullptr ? left : shared;
  if (block != nullptr) ++block->readers_;
  return block;
}

CallBlock* CallQueue::claim_next() {
  CallBlock* const block = waiting_.front().release();
  waiting_.pop_front();
  some_wait_.store(!waiting_.empty(), std::memory_order_relaxed);
  block->next_ = std::exchange(claimed_, block);
  block->readers_ = 1;
  return block;
}

bool CallQueue::leave(CallBlock* block) {
  if (--block->readers_ > 0 || block->has_more()) return false;
  CallBlock** link = &claimed_;
  while (*link != block) link = &(*link)->next_;
  *link = block->next_;
  held_ -= block->held_;
  put_away(std::unique_ptr<CallBlock>(block));
  return at_rest();
}

void CallQueue::top_up(int served) {
  int wanted = 0;
  {
    const BriefLock lock(mutex_);
    // A block that nobody is at has to be seen through, even if all that it has left is gone.
    const int calls = std::max(left() - served, unread() ? 1 : 0);
    const int most = std::min(calls + busy_, invoker_.tokens_max());
    wanted = closed() ? 0 : std::max(most - tokens_, 0);
    tokens_ += wanted;
  }
  submit_tokens(wanted);
}

void CallQueue::submit_tokens(int count) {
  for (int i = 0; i < count; ++i) invoker_.submit_surely(Task(Token(*this)));
}

void CallQueue::token_lost() {
  {
    const BriefLock lock(mutex_);
    // One is as good as another.
    if (withdrawn_ > 0) {
      --withdrawn_;
      return;
    }
    if (--tokens_ != 0) return;
  }
  // Nobody would come for what is queued. A later call may find the executor well again.
  drop_queued();
}

CallBlock* CallQueue::claim_for_token() {
  const BriefLock lock(mutex_);
  CallBlock* const block = claim();
  if (block == nullptr) {
    --tokens_;
  } else {
    ++busy_;
    ++rows_;
  }
  return block;
}

void CallQueue::run_token() {
  const Ticks& ticks = invoker_.parts().ledger.ticks();
  const std::uint64_t last = ticks.now() + ticks.from_ns(kNsPerTokenMax);
  int claims = 0;
  while (CallBlock* const block = claim_for_token()) {
    // For what is queued behind the call that it runs: that one may hold it up.
    top_up(1);
    if (!run_blocks(block, claims, last)) return top_up(0);
    // Who waited for a call often starts the next at once, and then counts on this token.
    if (invoker_.parts().clock.real())
      (void)Patience::look([this] { return some_wait_.load(std::memory_order_relaxed); });
  }
}

// False: its time is over, and the token given back.
bool CallQueue::run_blocks(CallBlock* block, int& claims, std::uint64_t last) {
  const Executor& executor = invoker_.parts().executor;
  const Ticks& ticks = invoker_.parts().ledger.ticks();
  const std::uint64_t turn = ticks.from_ns(kNsPerToken);
  std::uint64_t stop = ticks.now() + turn;
  while (true) {
    invoker_.run_calls(*block, stop);
    const std::uint64_t now = ticks.now();
    const bool turn_over = now >= stop || ++claims >= kClaimsPerToken;
    const bool over = now >= last || (turn_over && executor.has_queued());
    if (now >= stop) stop = now + turn;
    if (!over && block->few()) ticks.stand_back();
    bool rest = false;
    {
      const BriefLock lock(mutex_);
      rest = leave(block);
      block = over ? nullptr : claim();
      if (block == nullptr) {
        --busy_;
        --rows_;
        tokens_ -= over ? 1 : 0;
      }
    }
    if (rest) invoker_.one_less();
    if (block == nullptr) return !over;
  }
}

void CallQueue::see_accepted() { const BriefLock lock(mutex_); }

void CallQueue::close() {
  const BriefLock lock(mutex_);
  closed_.store(true, std::memory_order_release);
}

void CallQueue::drop_queued() {
  std::vector<CallBlock*> blocks;
  {
    const BriefLock lock(mutex_);
    for (CallBlock* each = claimed_; each != nullptr; each = each->next_) {
      if (!each->has_more()) continue;
      ++each->readers_;
      blocks.push_back(each);
    }
    while (!waiting_.empty()) blocks.push_back(claim_next());
  }
  for (CallBlock* const block : blocks) {
    while (const std::shared_ptr<CallNode> node = block->take()) {
      if (node->claim_by_row()) invoker_.drop(*node);
    }
    bool rest = false;
    {
      const BriefLock lock(mutex_);
      rest = leave(block);
    }
    if (rest) invoker_.one_less();
  }
}

std::int64_t CallQueue::uncounted() {
  const BriefLock lock(mutex_);
  return counted_ ? left() + rows_ - 1 : 0;
}

void CallQueue::lend_token() {
  {
    const BriefLock lock(mutex_);
    --tokens_;
    --busy_;
  }
  top_up(0);
}

void CallQueue::take_token_back() {
  const BriefLock lock(mutex_);
  ++tokens_;
  ++busy_;
}

}  // namespace wisp::inline v0::detail
