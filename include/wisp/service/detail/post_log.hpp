// The posts that wait for one function, as records in blocks of memory.
//
//   const bool low = log.append(post);              // a producer, under the lock of the log
//   PostBlock* block = log.claim();                 // a consumer, under the same lock
//   while (PostRecord* record = block->take()) {    // without it
//     run(*record);
//     PostBlock::release(*record);
//   }
//   const auto unused = log.leave(block);           // under it again
//
// A queue of bytes rather than of tasks: a small post is 24 bytes and its input, in a block that is
// allocated once and used again. A consumer claims a whole block, so that the lock is taken once
// for some hundred posts; but each post is taken by itself, and whoever finds nothing else to claim
// joins in a block that others are at, so that a post never waits behind a handler that blocks
// while somebody is free. Blocks are given back as they are finished.
//
// Posts are begun in the order of the records, as far as several consumers at once have one.
//
// Threads: one-at-a-time (the owner's lock); PostBlock::take() any that has claimed the block.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/base/payload.hpp>

namespace wisp::inline v0::detail {

// One post; its cause and its input follow it in the block.
struct PostRecord {
  // Of a post made by a handler: sequences of the event or post that it was handling, and of the
  // first one of its chain; both of the runtime that has the log.
  struct Cause {
    std::uint64_t event;
    std::uint64_t trace;
  };
  enum class Input : std::uint8_t { none, flat, boxed };  // bytes of the value, or a Payload

  std::uint16_t size;   // with all that follows
  std::uint16_t bytes;  // as the queue's limit counts them
  std::uint8_t hops;    // of the lineage
  bool caused;          // a Cause follows
  Input kind;
  std::uint64_t accepted_ticks;
  std::uint64_t sequence;  // of its id

  Cause* cause() { return reinterpret_cast<Cause*>(this + 1); }
  void* input() { return reinterpret_cast<std::byte*>(this + 1) + (caused ? sizeof(Cause) : 0); }
  Payload& boxed() { return *static_cast<Payload*>(input()); }
  // What the handler gets.
  const void* value() {
    if (kind == Input::flat) return input();
    return kind == Input::boxed ? boxed().data() : nullptr;
  }
};
static_assert(sizeof(PostRecord) == 24 && alignof(PostRecord) == 8);

// What a producer appends.
struct Post {
  Given input{};    // flat and at most PostLog::kInputMax bytes, or nothing
  Payload boxed{};  // instead of it
  std::size_t bytes = 0;
  std::uint64_t accepted_ticks = 0;
  std::uint64_t sequence = 0;
  std::optional<PostRecord::Cause> cause{};
  std::uint8_t hops = 0;
};

// Some records. Filled by producers, then claimed, and not filled any more.
class PostBlock {
 public:
  // A small one is the heap's. A large one is for a backlog, and the kernel's own: so that all of
  // its memory goes back at once, whatever the heap has put beside it meanwhile.
  static constexpr std::size_t kSmall = 4096;
  static constexpr std::size_t kLarge = 65'536;
  static constexpr std::size_t kHeader = 128;

  // Deletes those that follow as well.
  struct Delete {
    void operator()(PostBlock* block) const;
  };
  using Pointer = std::unique_ptr<PostBlock, Delete>;
  // Its memory is there from the start, not only when it is first written. Throws std::bad_alloc.
  static Pointer make(std::size_t size);

  // The next record, which is the caller's alone from now on; null if all are taken. Requires: the
  // caller has claimed the block and not left it.
  PostRecord* take() {
    std::uint64_t at = cursor_.load(std::memory_order_relaxed);
    while (offset_of(at) < end_) {
      PostRecord* record = this->at(offset_of(at));
      // Relaxed: the records were written before the claim, under the log's lock.
      if (cursor_.compare_exchange_weak(at, at + step(*record), std::memory_order_relaxed))
        return record;
    }
    return nullptr;
  }
  bool has_more() const { return offset_of(cursor_.load(std::memory_order_relaxed)) < end_; }
  // How many records were taken, by whomever, and the bytes of all that were put in.
  std::uint64_t taken() const { return count_of(cursor_.load(std::memory_order_relaxed)); }
  std::size_t filled() const { return end_; }
  // Lets the input of a record go, which the caller took.
  static void release(PostRecord& record) {
    if (record.kind == PostRecord::Input::boxed) record.boxed().~Payload();
  }
  // The input of such a record, made to last. Throws what its allocation does.
  Payload keep(PostRecord& record) const {
    if (record.kind == PostRecord::Input::flat) return keep_(record.input());
    return record.kind == PostRecord::Input::boxed ? record.boxed() : Payload();
  }

 private:
  friend class PostBlocks;
  friend class PostLog;

  // The cursor: bytes of records taken, their number, and what the queue's limit counts of them.
  static constexpr int kCountShift = 16;
  static constexpr int kBytesShift = 32;
  static std::size_t offset_of(std::uint64_t cursor) { return cursor & 0xffff; }
  static std::uint64_t count_of(std::uint64_t cursor) { return cursor >> kCountShift & 0xffff; }
  static std::uint64_t bytes_of(std::uint64_t cursor) { return cursor >> kBytesShift; }
  static std::uint64_t step(const PostRecord& record) {
    return std::uint64_t{record.bytes} << kBytesShift | std::uint64_t{1} << kCountShift |
           record.size;
  }

  explicit PostBlock(std::size_t size) : size_(size) {}
  PostRecord* at(std::size_t offset) {
    return reinterpret_cast<PostRecord*>(reinterpret_cast<std::byte*>(this) + kHeader + offset);
  }
  std::size_t room() const { return size_ - kHeader; }

  // The lock's: but for `end_`, which stands still once the block is claimed.
  const std::size_t size_;
  PostBlock* next_ = nullptr;
  std::size_t end_ = 0;
  int readers_ = 0;
  bool listed_ = false;                     // among claimed_
  std::uint64_t seen_ = 0;                  // the cursor when the log last looked
  Payload (*keep_)(const void*) = nullptr;  // of flat inputs: the same for all posts of a function
  // Kept apart from what producers write.
  alignas(64) std::atomic<std::uint64_t> cursor_{0};
};
static_assert(sizeof(PostBlock) == PostBlock::kHeader);
static_assert(PostBlock::kLarge - PostBlock::kHeader < 1 << 16);  // fits the cursor

// Blocks that nobody uses, for all logs of a runtime: a few of each size, the rest is freed.
//
// Threads: any.
class PostBlocks {
 public:
  static constexpr int kKept = 16;       // small ones
  static constexpr int kKeptLarge = 12;  // 768 KiB

  // Null: there is none.
  PostBlock::Pointer take(std::size_t size);
  void put(PostBlock::Pointer block);

 private:
  BriefMutex mutex_;
  // Chains, and how long they are: of small ones, of large ones.
  PostBlock::Pointer kept_[2] ABSL_GUARDED_BY(mutex_);
  int count_[2] ABSL_GUARDED_BY(mutex_) = {};
};

class PostLog {
 public:
  // The largest input that is stored in a record, and the most that one may count as.
  static constexpr std::size_t kInputMax = 256;
  static constexpr std::size_t kBytesMax = 65'535;

  // `blocks` outlives the last append().
  explicit PostLog(PostBlocks& blocks) : blocks_(blocks) {}
  ~PostLog();
  PostLog(const PostLog&) = delete;
  PostLog& operator=(const PostLog&) = delete;

  // Takes the post. True: there is a backlog, and no block for more of it: put a large one among
  // the blocks, made without the lock, lest the next one be made under it. Requires: bytes <=
  // kBytesMax. Throws std::bad_alloc, nothing appended.
  bool append(Post& post) {
    const bool boxed = !post.boxed.empty();
    const std::size_t input = boxed ? sizeof(Payload) : in_words(post.input.flat);
    const std::size_t size =
        sizeof(PostRecord) + (post.cause ? sizeof(PostRecord::Cause) : 0) + input;
    bool low = false;
    if (filling_ == nullptr || filling_->end_ + size > filling_->room()) [[unlikely]]
      low = begin_block();
    PostRecord* const record = filling_->at(filling_->end_);
    filling_->end_ += size;
    ++count_;
    bytes_ += post.bytes;
    write(post, record, size);
    return low;
  }
  // A block that has records left, which the caller then is a reader of: one that was left, else
  // the oldest, else one that others read. Null: there is none.
  PostBlock* claim();
  // Every block that has records left: the caller is a reader of each.
  std::vector<PostBlock*> claim_all();
  // Ends it. The block, once it is finished, to be put among the others without the lock.
  PostBlock::Pointer leave(PostBlock* block);

  // Looks how far the readers are.
  void refresh();
  // Records that nobody had taken at the last refresh(), or never so many.
  int count() const { return count_; }
  std::size_t bytes() const { return bytes_; }
  // Whether every record was taken and its reader has left.
  bool at_rest() const {
    return filling_ == nullptr && full_ == nullptr && claimed_ == nullptr && finished_ == 0;
  }

 private:
  static constexpr std::size_t in_words(std::size_t bytes) { return (bytes + 7) / 8 * 8; }
  bool begin_block();
  void write(Post& post, PostRecord* place, std::size_t size) {
    // The next one's, before it is needed.
    __builtin_prefetch(reinterpret_cast<std::byte*>(place) + 128, 1);
    const bool boxed = !post.boxed.empty();
    auto kind = boxed ? PostRecord::Input::boxed : PostRecord::Input::flat;
    if (!boxed && post.input.flat == 0) kind = PostRecord::Input::none;
    auto* record = new (place) PostRecord{.size = static_cast<std::uint16_t>(size),
                                          .bytes = static_cast<std::uint16_t>(post.bytes),
                                          .hops = post.hops,
                                          .caused = post.cause.has_value(),
                                          .kind = kind,
                                          .accepted_ticks = post.accepted_ticks,
                                          .sequence = post.sequence};
    if (post.cause) *record->cause() = *post.cause;
    if (boxed) {
      new (record->input()) Payload(std::move(post.boxed));
    } else if (post.input.flat != 0) {
      std::memcpy(record->input(), post.input.data, post.input.flat);
      filling_->keep_ = post.input.keep;
    }
  }
  PostBlock* claim_next();
  void look(PostBlock& block);

  PostBlocks& blocks_;
  PostBlock* full_ = nullptr;  // the oldest of those that nobody claimed, without filling_
  PostBlock* last_full_ = nullptr;
  PostBlock* filling_ = nullptr;
  PostBlock* claimed_ = nullptr;  // and had records left at the last look
  int finished_ = 0;              // had none, and have a reader still
  int count_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace wisp::inline v0::detail
