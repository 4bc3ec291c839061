// A value for each thread that uses its owner, found without a lock.
//
//   PerThread<Count> counts;
//   { const PerThread<Count>::Use mine(counts); mine->grow(); }      // on any thread
//   counts.for_each([&](const Count& each) { sum += each.read(); });
//
// A thread's value is its own from its first use on and is given back when the thread ends: then a
// later thread takes it over as it stands, so that there are never more values than there were
// threads at once. The owner and the thread may end in either order. A thread on its way out, whose
// values have been given back, borrows one for the length of each use.
//
// T is constructible from nothing. What one thread writes and another reads in it has to be atomic.
//
// Threads: any; a Use belongs to the thread that made it. Requires: the owner outlives each Use.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <wisp/base/mutex.hpp>

namespace wisp::inline v0::detail {

// Never the same twice in a process. Relaxed: only uniqueness matters.
inline std::uint64_t next_owner() {
  static std::atomic<std::uint64_t> owners{0};
  return owners.fetch_add(1, std::memory_order_relaxed) + 1;
}

template <class T>
class PerThread {
  // Kept apart, so that no two threads write to one cache line.
  struct alignas(128) Held {
    T value{};
    std::atomic<bool> in_use{true};  // release by who gives it back, acquire by who takes it over
  };

 public:
  class Use {
   public:
    explicit Use(PerThread& owner) {
      Last& last = last_;
      if (last.owner == owner.id_) [[likely]] {
        held_ = last.held;
      } else {
        held_ = owner.find(&borrowed_);
      }
    }
    ~Use() {
      if (borrowed_) [[unlikely]]
        held_->in_use.store(false, std::memory_order_release);
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

    T& operator*() const { return held_->value; }
    T* operator->() const { return &held_->value; }

   private:
    Held* held_;
    bool borrowed_ = false;
  };

  PerThread() = default;
  PerThread(const PerThread&) = delete;
  PerThread& operator=(const PerThread&) = delete;

  // The calling thread's, its own for as long as it lives. Null once the thread is on its way out.
  T* lasting() {
    Last& last = last_;
    if (last.owner == id_) [[likely]]
      return &last.held->value;
    bool borrowed = false;
    return last.thread_ends ? nullptr : &find(&borrowed)->value;
  }

  // Calls visit for every value that there has been, whoever has it now. New ones wait meanwhile.
  template <class Visitor>
  void for_each(const Visitor& visit) const {
    const MutexLock lock(mutex_);
    for (const auto& each : all_) visit(static_cast<const T&>(each->value));
  }

 private:
  struct Last {
    std::uint64_t owner = 0;
    Held* held = nullptr;
    bool thread_ends = false;
  };
  struct Mine {
    struct Entry {
      std::uint64_t owner;
      std::shared_ptr<Held> held;  // shared with the owner, which may end first
    };
    std::vector<Entry> entries;

    ~Mine() {
      for (const Entry& each : entries) each.held->in_use.store(false, std::memory_order_release);
    }
    static Mine& get() {
      // Destructors of older thread-local objects may still come.
      struct OfThread : Mine {
        ~OfThread() { last_ = {.thread_ends = true}; }
      };
      thread_local OfThread mine;
      return mine;
    }
  };

 public:
  // See ThreadLocals in service/detail/thread_locals.hpp.
  class Aside {
   public:
    void swap() {
      std::swap(last, last_);
      mine.entries.swap(Mine::get().entries);
    }

   private:
    Last last;
    Mine mine;
  };

 private:
  Held* find(bool* borrowed) {
    if (last_.thread_ends) {
      *borrowed = true;
      return take().get();
    }
    std::vector<typename Mine::Entry>& entries = Mine::get().entries;
    // Bounded: those of ended owners go first.
    std::erase_if(entries, [](const auto& each) { return each.held.use_count() == 1; });
    auto found = std::find_if(entries.begin(), entries.end(),
                              [this](const auto& each) { return each.owner == id_; });
    if (found == entries.end()) found = entries.insert(found, {id_, take()});
    last_ = {id_, found->held.get()};
    return last_.held;
  }

  std::shared_ptr<Held> take() {
    const MutexLock lock(mutex_);
    for (const std::shared_ptr<Held>& each : all_) {
      bool unused = false;
      // Acquire: the last holder's plain writes are seen.
      if (each->in_use.compare_exchange_strong(unused, true, std::memory_order_acquire))
        return each;
    }
    return all_.emplace_back(std::make_shared<Held>());
  }

  static thread_local Last last_;

  const std::uint64_t id_ = next_owner();
  mutable Mutex mutex_;
  std::vector<std::shared_ptr<Held>> all_ ABSL_GUARDED_BY(mutex_);
};

template <class T>
thread_local typename PerThread<T>::Last PerThread<T>::last_;

}  // namespace wisp::inline v0::detail
