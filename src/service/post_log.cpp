#include <wisp/service/detail/post_log.hpp>

#include <cassert>
#include <cstring>
#include <new>
#include <utility>

namespace wisp::inline v0::detail {
namespace {

constexpr std::size_t in_words(std::size_t bytes) { return (bytes + 7) / 8 * 8; }

}  // namespace

PostLog::~PostLog() {
  assert(at_rest());
  for (PostBlock* list : {full_, filling_, claimed_}) {
    while (list != nullptr) delete std::exchange(list, list->next_);
  }
}

void PostLog::begin_block() {
  // Not cleared: records are written before they are read.
  PostBlock* const made = spare_ != nullptr ? spare_.release() : new PostBlock;
  if (filling_ != nullptr) {
    (full_ == nullptr ? full_ : last_full_->next_) = filling_;
    last_full_ = filling_;
  }
  filling_ = made;
}

void PostLog::append(Post post) {
  const bool boxed = !post.boxed.empty();
  const std::size_t input = boxed ? sizeof(Payload) : post.input.flat;
  assert(input <= kInputMax && post.bytes <= kBytesMax);
  const std::size_t size =
      sizeof(PostRecord) + (post.cause ? sizeof(PostRecord::Cause) : 0) + in_words(input);
  if (filling_ == nullptr || filling_->end_ + size > PostBlock::kRoom) [[unlikely]]
    begin_block();
  const PostRecord::Input kind = boxed        ? PostRecord::Input::boxed
                                 : input == 0 ? PostRecord::Input::none
                                              : PostRecord::Input::flat;
  auto* record =
      new (filling_->at(filling_->end_)) PostRecord{.size = static_cast<std::uint16_t>(size),
                                                    .bytes = static_cast<std::uint16_t>(post.bytes),
                                                    .hops = post.hops,
                                                    .caused = post.cause.has_value(),
                                                    .kind = kind,
                                                    .accepted_ticks = post.accepted_ticks,
                                                    .sequence = post.sequence};
  if (post.cause) *record->cause() = *post.cause;
  if (boxed) {
    new (record->input()) Payload(std::move(post.boxed));
  } else if (input != 0) {
    std::memcpy(record->input(), post.input.data, input);
    filling_->keep_ = post.input.keep;
  }
  filling_->end_ += size;
  ++count_;
  bytes_ += post.bytes;
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
