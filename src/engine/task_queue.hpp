// The tasks that wait in a pool, first in first out, each with the time at which it came.
//
//   queue.push_back(std::move(task), now);
//   Queued next = queue.pop_front();
//
// In blocks of 64, of which an empty queue keeps at most two: a queue that stays short never
// allocates, under the lock least of all, and one that was long gives its memory back as it drains.
//
// Threads: one-at-a-time.
#pragma once

#include <cassert>
#include <cstddef>
#include <deque>
#include <memory>
#include <utility>

#include <wisp/base/clock.hpp>
#include <wisp/engine/executor.hpp>

namespace wisp::inline v0::detail {

struct Queued {
  Task task;
  Time at{};
};

class TaskQueue {
 public:
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

  void push_back(Task&& task, Time at) {
    if (end_ == blocks_.size() * kBlock) blocks_.push_back(fresh());
    Queued& place = at_index(end_++);
    place.task = std::move(task);
    place.at = at;
    ++size_;
  }

  // All of these require: not empty.
  const Queued& front() const { return blocks_.front()[begin_]; }

  Queued pop_front() {
    assert(size_ > 0);
    Queued next = std::move(at_index(begin_++));
    --size_;
    if (begin_ == kBlock) {
      spare_ = std::move(blocks_.front());
      blocks_.pop_front();
      begin_ = 0;
      end_ -= kBlock;
    } else if (size_ == 0) {
      begin_ = end_ = 0;
    }
    return next;
  }

  Task pop_back() {
    assert(size_ > 0);
    --size_;
    return std::move(at_index(--end_).task);
  }

  void swap(TaskQueue& other) noexcept {
    blocks_.swap(other.blocks_);
    spare_.swap(other.spare_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(size_, other.size_);
  }

 private:
  static constexpr std::size_t kBlock = 64;
  using BlockPointer = std::unique_ptr<Queued[]>;

  BlockPointer fresh() {
    return spare_ != nullptr ? std::move(spare_) : std::make_unique<Queued[]>(kBlock);
  }
  Queued& at_index(std::size_t i) { return blocks_[i / kBlock][i % kBlock]; }

  std::deque<BlockPointer> blocks_;
  BlockPointer spare_;
  std::size_t begin_ = 0;  // in the first block
  std::size_t end_ = 0;    // counted from the first block's start
  std::size_t size_ = 0;
};

}  // namespace wisp::inline v0::detail
