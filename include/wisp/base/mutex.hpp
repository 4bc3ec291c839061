// std::mutex with the attributes that let clang check locking at compile time (-Wthread-safety).
//
//   mutable wisp::Mutex mutex_;
//   int count_ ABSL_GUARDED_BY(mutex_) = 0;
//   ...
//   const wisp::MutexLock lock(mutex_);
//
// Not absl::Mutex: the thread sanitizer reports false races on it when the library was built
// without the sanitizer.
//
// Threads: any.
#pragma once

#include <absl/base/thread_annotations.h>

#include <atomic>
#include <mutex>

namespace wisp::inline v0 {

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }
  bool try_lock() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) { return mutex_.try_lock(); }

 private:
  std::mutex mutex_;
};

// Holds the mutex for its scope, or until unlock().
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(&mutex) {
    mutex.lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() {
    if (mutex_ != nullptr) mutex_->unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  // Requires: still held.
  void unlock() ABSL_UNLOCK_FUNCTION() {
    mutex_->unlock();
    mutex_ = nullptr;
  }

 private:
  Mutex* mutex_;
};

namespace detail {
// Between two looks at a word that another thread is about to change.
void relax();
}  // namespace detail

// A mutex for what is done in an instant, rare turns apart, and never while a thread waits: where
// nobody else is at it, one read-modify-write instead of two. Who finds it taken looks again for a
// moment, then lets other threads run between looks, then sleeps between them, so that a holder of
// lower priority on the same core comes to its end.
class ABSL_LOCKABLE BriefMutex {
 public:
  BriefMutex() = default;
  BriefMutex(const BriefMutex&) = delete;
  BriefMutex& operator=(const BriefMutex&) = delete;

  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    // Acquire, release in unlock().
    if (taken_.exchange(true, std::memory_order_acquire)) [[unlikely]]
      wait();
  }
  void unlock() ABSL_UNLOCK_FUNCTION() { taken_.store(false, std::memory_order_release); }

 private:
  void wait();

  std::atomic<bool> taken_{false};
};

class ABSL_SCOPED_LOCKABLE BriefLock {
 public:
  explicit BriefLock(BriefMutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) {
    mutex.lock();
  }
  ~BriefLock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }
  BriefLock(const BriefLock&) = delete;
  BriefLock& operator=(const BriefLock&) = delete;

 private:
  BriefMutex& mutex_;
};

}  // namespace wisp::inline v0
