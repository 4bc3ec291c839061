#include "timer_wheel.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

namespace wisp::inline v0::detail {
namespace {

constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
constexpr std::size_t kArity = 4;
constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
// How many timers next() looks at before it opens their bucket: opened, it moves the base, and what
// is added before the base costs more.
constexpr int kLookMax = 64;
constexpr int kLookMaxToRemove = 4;
// Of so few in an opened bucket the tasks run soon: they are fetched meanwhile.
constexpr int kSoonMax = 128;

std::uint64_t key_of(Time at) {
  return static_cast<std::uint64_t>(at.since_origin().count()) ^ kSign;
}
Time time_of(std::uint64_t key) { return Time(Duration(static_cast<std::int64_t>(key ^ kSign))); }

}  // namespace

// Appends to the bucket that its time has, seen from the base.
inline void TimerWheel::link(Index slot) {
  Node& node = this->node(slot);
  const int level = (63 - std::countl_zero((node.key ^ base_) | 1)) / kLevelBits;
  const auto digit = static_cast<Index>(node.key >> (level * kLevelBits)) & 63U;
  const Index head = (static_cast<Index>(level) << kLevelBits) + digit;
  Node& ring = this->node(head);
  node.next = head;
  node.previous = ring.previous;
  this->node(ring.previous).next = slot;
  ring.previous = slot;
  levels_ |= 1U << level;
  buckets_[static_cast<std::size_t>(level)] |= std::uint64_t{1} << digit;
}

TimerId TimerWheel::add(Time at, Task&& task) {
  const std::uint64_t key = key_of(at);
  const bool early = key < base_;
  if (unused_ == kNone && used_ >= chunks_.size() * kChunk) [[unlikely]]
    grow();
  if (early) [[unlikely]]
    heap_.emplace_back();
  const Index slot = unused_ == kNone ? used_++ : unused_;
  Node& node = this->node(slot);
  if (slot == unused_) unused_ = node.next;
  std::construct_at(&this->task(slot), std::move(task));
  node.key = key;
  node.order = ++order_;
  ++size_;
  if (early) [[unlikely]] {
    node.next = kNone;
    rise(heap_.size() - 1, {.key = key, .order = order_, .slot = slot});
  } else {
    link(slot);
  }
  return {.slot = slot, .order = order_};
}

inline Task TimerWheel::take(Index slot) {
  Node& node = this->node(slot);
  if (node.next == kNone) [[unlikely]] {
    unheap(node.previous);
  } else {
    this->node(node.previous).next = node.next;
    this->node(node.next).previous = node.previous;
  }
  Task& cell = this->task(slot);
  Task task = std::move(cell);
  std::destroy_at(&cell);
  node.order = 0;
  node.next = std::exchange(unused_, slot);
  if (--size_ == heap_.size()) [[unlikely]]
    settle();
  return task;
}

Task TimerWheel::remove(TimerId id) {
  if (id.order == 0 || id.slot < kSlotFirst || id.slot >= used_) return {};
  if (node(id.slot).order != id.order) return {};
  return take(id.slot);
}

Time TimerWheel::next() {
  assert(!empty());
  // Nothing in a bucket is below the base.
  if (!heap_.empty() && heap_.front().key < base_) return time_of(heap_.front().key);
  const Index slot = earliest(kLookMax);
  return time_of(early_first(slot) ? heap_.front().key : node(slot).key);
}

Task TimerWheel::remove_next() {
  assert(!empty());
  if (!heap_.empty() && heap_.front().key < base_) return take(heap_.front().slot);
  const Index slot = earliest(kLookMaxToRemove);
  return take(early_first(slot) ? heap_.front().slot : slot);
}

// Whether the heap's first comes before that timer in a bucket, if there is one.
bool TimerWheel::early_first(Index slot) {
  if (heap_.empty()) return false;
  if (slot == kNone) return true;
  return heap_.front().before({.key = node(slot).key, .order = node(slot).order});
}

// No bucket holds a timer: the base is free, and as low as can be nothing comes before it.
void TimerWheel::settle() {
  base_ = 0;
  // A burst's memory goes back; ids stay unique, since the order does.
  if (size_ == 0 && chunks_.size() > kChunksKept) clear();
}

std::deque<Task> TimerWheel::clear() {
  std::deque<Task> tasks;
  for (Index slot = kSlotFirst; size_ > 0 && slot < used_; ++slot) {
    if (std::exchange(node(slot).order, 0) == 0) continue;
    tasks.push_back(std::move(task(slot)));
    std::destroy_at(&task(slot));
    --size_;
  }
  std::vector<Chunk*>().swap(chunks_);
  std::vector<Block>().swap(blocks_);
  std::vector<Early>().swap(heap_);
  used_ = kSlotFirst;
  unused_ = kNone;
  base_ = 0;
  levels_ = 0;
  buckets_ = {};
  return tasks;
}

// More slots, untouched until a timer needs them. A burst takes its memory a huge page at a time,
// where the system has them: the page faults of small pages cost more than all else that a timer
// does, scheduled and cancelled.
void TimerWheel::grow() {
  const bool first = chunks_.empty();
  const bool huge = chunks_.size() >= kChunksSingle;
  const std::size_t count = huge ? kHugePage / sizeof(Chunk) : first ? kChunksKept : 1;
  const FreeBlock free{std::align_val_t{huge ? kHugePage : kCacheLine}};
  const std::size_t size = huge ? kHugePage : count * sizeof(Chunk);
  chunks_.reserve(std::max(chunks_.size() + count, 2 * chunks_.size()));
  blocks_.reserve(chunks_.capacity());
  blocks_.emplace_back(::operator new(size, free.alignment), free);
  void* const block = blocks_.back().get();
  // A hint: a refusal changes no more than the time that it takes.
  if (huge) static_cast<void>(madvise(block, size, MADV_HUGEPAGE));
  auto* const chunks = static_cast<Chunk*>(block);
  for (std::size_t i = 0; i < count; ++i) chunks_.push_back(::new (chunks + i) Chunk);
  for (Index head = 0; first && head < kBuckets; ++head) {
    node(head) = {.key = 0, .order = 0, .next = head, .previous = head};
  }
}

// The bucket that holds the earliest timer of all buckets; kNone: they are empty.
TimerWheel::Index TimerWheel::first_bucket() {
  while (levels_ != 0) {
    const int level = std::countr_zero(levels_);
    std::uint64_t& buckets = buckets_[static_cast<std::size_t>(level)];
    while (buckets != 0) {
      const Index head =
          (static_cast<Index>(level) << kLevelBits) + static_cast<Index>(std::countr_zero(buckets));
      if (node(head).next != head) return head;
      buckets &= buckets - 1;
    }
    levels_ &= levels_ - 1;
  }
  return kNone;
}

// The earliest timer in a bucket. Opens a bucket of more than `steps_max`, unless its times are
// equal, as they are on the lowest level.
TimerWheel::Index TimerWheel::earliest(int steps_max) {
  while (true) {
    const Index head = first_bucket();
    if (head == kNone) return kNone;
    Index first = node(head).next;
    if (head < 64) return first;
    int steps = 1;
    for (Index i = node(first).next; i != head; i = node(i).next, ++steps) {
      if (node(i).key < node(first).key) first = i;
    }
    if (steps <= steps_max) return first;
    open(head, node(first).key, steps <= kSoonMax);
  }
}

// All of them go to a lower level, since they share this bucket's bits with the new base. In their
// order, so that equal times keep theirs.
void TimerWheel::open(Index head, std::uint64_t earliest, bool soon) {
  base_ = earliest;
  Index i = node(head).next;
  node(head).next = node(head).previous = head;
  while (i != head) {
    const Index following = node(i).next;
    if (soon) __builtin_prefetch(&task(i));
    link(i);
    i = following;
  }
}

void TimerWheel::rise(std::size_t position, Early early) {
  while (position > 0) {
    const std::size_t parent = (position - 1) / kArity;
    if (!early.before(heap_[parent])) break;
    put(position, heap_[parent]);
    position = parent;
  }
  put(position, early);
}

void TimerWheel::sink(std::size_t position, Early early) {
  while (true) {
    const std::size_t first = position * kArity + 1;
    if (first >= heap_.size()) break;
    std::size_t least = first;
    for (std::size_t i = first + 1; i < std::min(first + kArity, heap_.size()); ++i) {
      if (heap_[i].before(heap_[least])) least = i;
    }
    if (!heap_[least].before(early)) break;
    put(position, heap_[least]);
    position = least;
  }
  put(position, early);
}

void TimerWheel::unheap(std::size_t position) {
  const Early last = heap_.back();
  heap_.pop_back();
  if (position == heap_.size()) return;
  if (position > 0 && last.before(heap_[(position - 1) / kArity])) {
    rise(position, last);
  } else {
    sink(position, last);
  }
}

}  // namespace wisp::inline v0::detail
