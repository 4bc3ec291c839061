// Pending tasks by time and then by order of scheduling.
//
//   TimerWheel wheel;
//   TimerId id = wheel.add(at, std::move(task));
//   while (!wheel.empty() && wheel.next() <= now) wheel.remove_next()();
//
// A wheel of 11 levels of 64 buckets. A timer's level is the highest group of six bits in which its
// time differs from the base, its bucket is that group's value: so the earliest bucket of the
// lowest level holds the earliest timer, and neither the base nor a bucket follows the clock. A
// bucket whose earliest timer is wanted is opened: that timer's time becomes the base, and the rest
// goes to lower levels. Add and remove take O(1); next and remove_next O(1) amortized, since a
// timer changes its bucket at most ten times. What is added before the base waits in a heap, O(log)
// of what waits there; so next() leaves a bucket of few timers closed, and the base where it is.
// Sources: Varghese & Lauck, "Hashed and hierarchical timing wheels" (1987); for the base that
// moves only when it must, Ahuja, Mehlhorn, Orlin & Tarjan, "Faster algorithms for the shortest
// path problem" (1990).
//
// Threads: one-at-a-time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <new>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/engine/executor.hpp>
#include <wisp/engine/timer.hpp>

namespace wisp::inline v0::detail {

class TimerWheel {
 public:
  TimerWheel() = default;
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;
  ~TimerWheel() { clear(); }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // The earliest time, exactly. May open a bucket. Requires: not empty.
  Time next();

  TimerId add(Time at, Task&& task);
  // The task, if the timer is pending; else an empty one.
  Task remove(TimerId id);
  // Requires: not empty.
  Task remove_next();
  // All tasks, in no order. Gives all memory back.
  std::deque<Task> clear();

 private:
  using Index = std::uint32_t;  // of a node

  static constexpr int kLevelBits = 6;
  static constexpr int kLevels = 11;
  static constexpr Index kBuckets = kLevels << kLevelBits;
  static constexpr int kChunkBits = 10;
  static constexpr Index kChunk = 1U << kChunkBits;
  static constexpr Index kSlotFirst = kBuckets;    // before it are the buckets' heads
  static constexpr std::size_t kChunksKept = 2;    // without a timer: enough for 1024 again
  static constexpr std::size_t kChunksSingle = 8;  // from there on, a huge page's worth at a time
  static constexpr Index kNone = UINT32_MAX;
  static_assert(kSlotFirst + 1024 <= kChunksKept * kChunk);

  // A bucket's head, a timer in its ring (in order of scheduling, as far as times are equal), a
  // timer in the heap, or an unused slot.
  struct Node {
    std::uint64_t key;    // the time, as an unsigned number that sorts alike
    std::uint64_t order;  // 0: unused
    Index next;           // kNone: in the heap
    Index previous;       // in the heap: the position
  };
  // Apart from the nodes, so that a walk through a bucket does not load what is not due.
  struct Cell {
    Cell() {}   // NOLINT(modernize-use-equals-default): leaves the task raw
    ~Cell() {}  // NOLINT(modernize-use-equals-default)
    union {
      Task task;  // alive while the node's order is not 0
    };
  };
  struct Chunk {
    Node nodes[kChunk];
    Cell cells[kChunk];  // those of the heads stay raw
  };
  struct FreeBlock {
    std::align_val_t alignment{};
    void operator()(void* block) const { ::operator delete(block, alignment); }
  };
  using Block = std::unique_ptr<void, FreeBlock>;
  struct Early {
    std::uint64_t key = 0;
    std::uint64_t order = 0;
    Index slot = 0;
    bool before(const Early& other) const {
      return key != other.key ? key < other.key : order < other.order;
    }
  };

  Node& node(Index i) { return chunks_[i >> kChunkBits]->nodes[i & (kChunk - 1)]; }
  Task& task(Index slot) { return chunks_[slot >> kChunkBits]->cells[slot & (kChunk - 1)].task; }

  [[gnu::noinline]] void grow();
  void link(Index slot);
  Index first_bucket();
  Index earliest(int steps_max);
  void open(Index head, std::uint64_t earliest, bool soon);
  bool early_first(Index slot);
  Task take(Index slot);
  [[gnu::noinline]] void settle();

  void put(std::size_t position, const Early& early) {
    heap_[position] = early;
    node(early.slot).previous = static_cast<Index>(position);
  }
  [[gnu::noinline]] void rise(std::size_t position, Early early);
  void sink(std::size_t position, Early early);
  [[gnu::noinline]] void unheap(std::size_t position);

  std::vector<Block> blocks_;  // of chunks
  std::vector<Chunk*> chunks_;
  Index used_ = kSlotFirst;  // slots from here on never held a timer
  Index unused_ = kNone;     // the last slot given back, and so on through `next`
  std::size_t size_ = 0;
  std::uint64_t order_ = 0;
  std::uint64_t base_ = 0;  // no key in a bucket is below
  // Which buckets may hold timers, and which levels such buckets: a bucket that has become empty is
  // struck off when it is met.
  std::uint32_t levels_ = 0;
  std::array<std::uint64_t, kLevels> buckets_{};
  std::vector<Early> heap_;  // 4-ary
};

}  // namespace wisp::inline v0::detail
