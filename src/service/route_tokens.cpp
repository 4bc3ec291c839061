// The tokens of a route: how many there are, and what one does.
#include <algorithm>
#include <climits>
#include <utility>

#include <wisp/service/invoker.hpp>

#include "route_token.hpp"

namespace wisp::inline v0::detail {
namespace {

// How long one token keeps its worker before it goes to the back of the executor's queue: so many
// deliveries or claims of the log, or so much time; less where others have their turns.
constexpr int kRunsPerToken = 16;
constexpr std::uint64_t kNsPerRouteToken = 100'000;
constexpr std::uint64_t kNsPerTurn = 20'000;
// Bytes of a block that holds 3,968 or more: a hundred small posts. Who takes one behind the other,
// but finds no more than that, has caught up with those who post; see Ticks::stand_back().
constexpr std::size_t kFewBytes = 2'400;

bool few(const PostBlock& block) { return block.taken() >= 2 && block.filled() <= kFewBytes; }

}  // namespace

void Route::see_accepted() {
  if (rules_.batch > 0) return top_up();  // none waits for more
  const BriefLock lock(mutex_);
}

int Route::tokens_wanted(int own) {
  if (before_turn()) return 0;
  const bool manual = invoker_.parts().manual;
  int most = invoker_.tokens_max();
  if (rules_.serial) most = held() ? 0 : 1;
  // A pump runs what was queued when it began, so there each delivery has a token of its own from
  // the start.
  if (manual) most = INT_MAX;
  // One that runs a delivery may be held up in it for long: it does not stand for what is queued.
  log_.refresh();
  const auto ready = rules_.batch > 0 ? batches_due() : static_cast<std::int64_t>(queue_.ready());
  const std::int64_t queued = ready + log_.count() - own;
  const int wanted = static_cast<int>(std::min<std::int64_t>(queued + busy_, most)) - tokens_;
  if (pace_.unlimited()) return wanted;
  // The others would find nothing to do; one has to see when there will be.
  return std::min(wanted, pace_.ready(invoker_.parts().clock.now()) + 1);
}

void Route::top_up(int own) {
  int wanted = 0;
  std::optional<Time> window;
  {
    const BriefLock lock(mutex_);
    wanted = closed_ ? 0 : std::max(tokens_wanted(own), 0);
    tokens_ += wanted;
    if (rules_.batch > 0) window = window_to_arm();
  }
  submit_tokens(wanted);
  if (window) arm_window(*window);
}

void Route::submit_tokens(int count) {
  for (int i = 0; i < count; ++i)
    invoker_.sharing().submit_surely(
        invoker_, Task(Token(shared_from_this(), invoker_.shared_from_this())), flow_);
}

void Route::token_lost(bool slot_taken) {
  Shipments dropped;
  {
    const BriefLock lock(mutex_);
    awaiting_slot_ -= static_cast<int>(slot_taken && rules_.batch == 0);
    // Nobody would come for what is queued. A later delivery may find the executor well again.
    if (--tokens_ != 0) return;
    dropped = take_queue();
  }
  for (const auto& each : dropped) invoker_.cancel_delivery(*this, *each);
  cancel_posts();
}

void Route::pick(Work& work) {
  if (!work.posts_next) work.delivery = begin(work);
  if (work.delivery == nullptr && !closed_) work.block = log_.claim();
  if (work.none()) work.delivery = begin(work);
  awaiting_slot_ += static_cast<int>(work.full);
  tokens_ -= static_cast<int>(work.none() && !work.full);
  if (work.none()) return;
  work.posts_next = work.block == nullptr;
  ++busy_;
  if (work.block == nullptr) return;
  ++active_;
  ++rows_;
}

PostBlock::Pointer Route::leave_log(PostBlock* block, bool* rest) {
  PostBlock::Pointer unused = log_.leave(block);
  if (log_counted_ && log_.at_rest()) {
    log_counted_ = false;
    *rest = true;
  }
  return unused;
}

bool Route::keeps(bool slot_taken) {
  // Once it has closed, a slot may be had in spite of the pause.
  if (!slot_taken || !function_->paused() || closed()) return slot_taken;
  function_->leave(invoker_);
  return false;
}

void Route::await_slot() {
  Task task(Token(shared_from_this(), invoker_.shared_from_this(), true));
  if (function_->enter_or_wait(task, *this)) {
    // One came free a moment ago.
    invoker_.sharing().submit_surely(invoker_, std::move(task), flow_);
  } else if (closed()) {
    function_->drop(*this, invoker_);  // cancel() has looked too early for it
  }
}

void Route::run_token(bool slot_taken) {
  const Ticks& ticks = invoker_.parts().ledger.ticks();
  const int runs = invoker_.parts().manual ? 1 : kRunsPerToken;
  const std::uint64_t ns = flow_ != nullptr ? kNsPerTurn : kNsPerRouteToken;
  std::uint64_t stop = 0;
  Work work{.slot = keeps(slot_taken)};
  {
    const BriefLock lock(mutex_);
    awaiting_slot_ -= static_cast<int>(slot_taken);
    pick(work);
  }
  // For what is queued beside: this one may be held up.
  if (!work.none()) top_up(work.block != nullptr ? 1 : 0);
  bool over = false;
  for (int i = 1; !work.none(); ++i) {
    if (stop == 0) stop = ticks.now() + ticks.from_ns(ns);
    if (work.delivery != nullptr) {
      work.delivery->token = true;
      work.slot = false;
      run(std::move(work.delivery));
    } else {
      invoker_.run_posts(*this, *work.block, stop);
    }
    over = i >= runs || ticks.now() >= stop || invoker_.sharing().above(flow_);
    if (!over && work.block != nullptr && few(*work.block)) ticks.stand_back();
    bool rest = false;
    PostBlock::Pointer unused;
    {
      const BriefLock lock(mutex_);
      --busy_;
      if (PostBlock* const block = std::exchange(work.block, nullptr)) {
        --rows_;
        end();
        unused = leave_log(block, &rest);
      }
      if (over) --tokens_;
      else pick(work);
    }
    invoker_.post_blocks().put(std::move(unused));
    if (rest) invoker_.one_less();
  }
  if (work.full) return await_slot();
  if (work.slot) function_->leave(invoker_);
  if (over) top_up();
  arm_turn();
}

void Route::lend_token() {
  {
    const BriefLock lock(mutex_);
    --tokens_;
    --busy_;
  }
  top_up();
}

void Route::take_token_back() {
  const BriefLock lock(mutex_);
  ++tokens_;
  ++busy_;
}

}  // namespace wisp::inline v0::detail
