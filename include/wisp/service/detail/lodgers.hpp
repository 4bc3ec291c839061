// Calls that found an executor's queue full, and took a place in it whose own call is gone: a
// waiter ran that, or it was cancelled, and its task is spare.
//
// Threads: any.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <utility>

#include <wisp/base/mutex.hpp>

namespace wisp::inline v0::detail {

class CallNode;

class Lodgers {
 public:
  // A hint: relaxed, and it may change at any time.
  bool any_spare() const { return spare_.load(std::memory_order_relaxed) > 0; }
  void add_spare() { spare_.fetch_add(1); }

  // False: no place is left.
  bool add(const std::shared_ptr<CallNode>& node) ABSL_LOCKS_EXCLUDED(mutex_) {
    const MutexLock lock(mutex_);
    if (nodes_.size() >= spare_.load()) return false;
    nodes_.push_back(node);
    return true;
  }
  // Uses up a spare task: the call that has waited for longest, or null.
  std::shared_ptr<CallNode> take() ABSL_LOCKS_EXCLUDED(mutex_) {
    const MutexLock lock(mutex_);
    spare_.fetch_sub(1);
    if (nodes_.empty()) return nullptr;
    std::shared_ptr<CallNode> node = std::move(nodes_.front());
    nodes_.pop_front();
    return node;
  }
  void forget(const CallNode& node) ABSL_LOCKS_EXCLUDED(mutex_) {
    std::shared_ptr<CallNode> found;  // released outside of the lock
    const MutexLock lock(mutex_);
    const auto place = std::find_if(nodes_.begin(), nodes_.end(),
                                    [&node](const auto& each) { return each.get() == &node; });
    if (place == nodes_.end()) return;
    found = std::move(*place);
    nodes_.erase(place);
  }

 private:
  // Grows at any time, shrinks under the mutex.
  std::atomic<std::size_t> spare_{0};
  Mutex mutex_;
  // Never more than spare tasks, each of which takes one when its turn comes.
  std::deque<std::shared_ptr<CallNode>> nodes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace wisp::inline v0::detail
