#include <wisp/service/detail/post_log.hpp>

#include <sys/mman.h>

#include <cassert>
#include <utility>

namespace wisp::inline v0::detail {

PostBlock::Pointer PostBlock::make(std::size_t size) {
  void* memory = nullptr;
  if (size == kLarge) {
    memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                  -1, 0);
    if (memory == MAP_FAILED) size = kSmall;
  }
  if (size != kLarge) memory = operator new(size, std::align_val_t{alignof(PostBlock)});
  Pointer made(new (memory) PostBlock(size));
  *(static_cast<volatile std::byte*>(memory) + size - 1) = std::byte{};
  return made;
}

void PostBlock::Delete::operator()(PostBlock* block) const {
  while (block != nullptr) {
    PostBlock* const one = std::exchange(block, block->next_);
    const std::size_t size = one->size_;
    one->~PostBlock();
    if (size == kLarge) munmap(one, size);
    else operator delete(one, std::align_val_t{alignof(PostBlock)});
  }
}

PostLog::~PostLog() {
  assert(at_rest());
  for (PostBlock* list : {full_, filling_, claimed_}) PostBlock::Delete()(list);
}

PostBlock::Pointer PostBlocks::take(std::size_t size) {
  const bool large = size == PostBlock::kLarge;
  const BriefLock lock(mutex_);
  PostBlock::Pointer taken = std::move(kept_[large]);
  if (taken == nullptr) return taken;
  kept_[large].reset(std::exchange(taken->next_, nullptr));
  --count_[large];
  return taken;
}

void PostBlocks::put(PostBlock::Pointer block) {
  if (block == nullptr) return;
  block->end_ = 0;
  block->seen_ = 0;
  block->cursor_.store(0, std::memory_order_relaxed);
  const bool large = block->size_ == PostBlock::kLarge;
  const BriefLock lock(mutex_);
  // Freed by the caller's hand, without the lock.
  if (count_[large] == (large ? kKeptLarge : kKept)) return;
  block->next_ = kept_[large].release();
  kept_[large] = std::move(block);
  ++count_[large];
}

bool PostLog::begin_block() {
  const bool backlog = filling_ != nullptr;
  PostBlock::Pointer made = backlog ? blocks_.take(PostBlock::kLarge) : nullptr;
  const bool low = backlog && made == nullptr;
  if (made == nullptr) made = blocks_.take(PostBlock::kSmall);
  if (made == nullptr) made = PostBlock::make(PostBlock::kSmall);
  if (backlog) {
    (full_ == nullptr ? full_ : last_full_->next_) = filling_;
    last_full_ = filling_;
  }
  filling_ = made.release();
  return low;
}

PostBlock* PostLog::claim() {
  refresh();
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
  block->listed_ = true;
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

// Amortised constant, but for the blocks that have records left: the others are taken out, by what
// look() saw, so that each is looked at once more only by its last reader.
void PostLog::refresh() {
  PostBlock** link = &claimed_;
  while (PostBlock* const each = *link) {
    look(*each);
    if (PostBlock::offset_of(each->seen_) < each->end_) {
      link = &each->next_;
      continue;
    }
    *link = std::exchange(each->next_, nullptr);
    each->listed_ = false;
    ++finished_;
  }
}

PostBlock::Pointer PostLog::leave(PostBlock* block) {
  look(*block);
  if (--block->readers_ > 0 || block->has_more()) return nullptr;
  if (block->listed_) refresh();
  --finished_;
  return PostBlock::Pointer(block);
}

}  // namespace wisp::inline v0::detail
