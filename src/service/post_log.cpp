#include <wisp/service/detail/post_log.hpp>

#include <cassert>
#include <utility>

namespace wisp::inline v0::detail {
PostLog::~PostLog() {
  assert(at_rest());
  for (PostBlock* list : {full_, filling_, claimed_}) {
    while (list != nullptr) delete std::exchange(list, list->next_);
  }
}

bool PostLog::begin_block() {
  // Not cleared: records are written before they are read.
  PostBlock* const made = spare_ != nullptr ? spare_.release() : new PostBlock;
  if (filling_ != nullptr) {
    (full_ == nullptr ? full_ : last_full_->next_) = filling_;
    last_full_ = filling_;
  }
  filling_ = made;
  // One that follows on a full one will not be the last.
  return full_ != nullptr;
}

PostBlock* PostLog::claim() {
  // The newest comes first in the list.
  PostBlock* left = nullptr;
  PostBlock* shared = nullptr;
  for (PostBlock* each = claimed_; each != nullptr; each = each->next_) {
    if (each->has_more()) (each->readers_ == 0 ? left : shared) = each;
  }
  if (left != nullptr) {
    left->readers_ = 1;
    return left;
  }
  if (full_ != nullptr || filling_ != nullptr) return claim_next();
  if (shared != nullptr) ++shared->readers_;
  return shared;
}

PostBlock* PostLog::claim_next() {
  PostBlock* const block =
      full_ != nullptr ? std::exchange(full_, full_->next_) : std::exchange(filling_, nullptr);
  block->next_ = std::exchange(claimed_, block);
  block->readers_ = 1;
  return block;
}

std::vector<PostBlock*> PostLog::claim_all() {
  std::vector<PostBlock*> all;
  for (PostBlock* each = claimed_; each != nullptr; each = each->next_) {
    if (!each->has_more()) continue;
    ++each->readers_;
    all.push_back(each);
  }
  while (full_ != nullptr || filling_ != nullptr) all.push_back(claim_next());
  return all;
}

void PostLog::look(PostBlock& block) {
  const std::uint64_t now = block.cursor_.load(std::memory_order_relaxed);
  const std::uint64_t before = std::exchange(block.seen_, now);
  count_ -= static_cast<int>(PostBlock::count_of(now) - PostBlock::count_of(before));
  bytes_ -= PostBlock::bytes_of(now) - PostBlock::bytes_of(before);
}

void PostLog::refresh() {
  for (PostBlock* each = claimed_; each != nullptr; each = each->next_) look(*each);
}

std::unique_ptr<PostBlock> PostLog::leave(PostBlock* block) {
  look(*block);
  if (--block->readers_ > 0 || block->has_more()) return nullptr;
  PostBlock** link = &claimed_;
  while (*link != block) link = &(*link)->next_;
  *link = block->next_;
  std::unique_ptr<PostBlock> finished(block);
  if (spare_ != nullptr) return finished;
  block->next_ = nullptr;
  block->end_ = 0;
  block->seen_ = 0;
  block->cursor_.store(0, std::memory_order_relaxed);
  spare_ = std::move(finished);
  return nullptr;
}

}  // namespace wisp::inline v0::detail
