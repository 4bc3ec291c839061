// Who reads a structure without a lock, so that its writers know what they may free.
//
//   { Readers::Look look(readers); node = find(); hold = look.hold(node->list); }   // a reader
//   readers.unused(retired_at, list)    // a writer, after taking `list` out: may it be deleted?
//
// A look is short: whatever was in the structure when it began stays until it ends. A hold is as
// long as its holder likes and keeps one object alone, so that a handler which blocks for an hour
// keeps that one and nothing else.
//
// Readers write to a word of their own thread only. In place of the fence between that word and
// the structure stands a compiler barrier; the writer makes up for it with membarrier(2), which
// runs a full fence on every thread of the process. Where the kernel refuses, readers fence.
//
// Threads: any; a Look belongs to the thread that made it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include <wisp/base/per_thread.hpp>

namespace wisp::inline v0::detail {

// Whether heavy_barrier() also fences the threads that only call light_barrier(). Set before
// main(), while there is one thread: later the kernel would take milliseconds for it, in which all
// readers would wait. Relaxed: who reads false fences, which is right at any time.
extern constinit std::atomic<bool> asymmetric_barriers;

// Between a store and a load that must not pass it; the other side calls heavy_barrier().
inline void light_barrier() {
#if defined(__SANITIZE_THREAD__)
  std::atomic_signal_fence(std::memory_order_seq_cst);  // it knows no fences
#else
  if (asymmetric_barriers.load(std::memory_order_relaxed)) [[likely]]
    std::atomic_signal_fence(std::memory_order_seq_cst);
  else std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}
void heavy_barrier();

class Readers {
 public:
  // Holds of one thread at a time; who wants more copies what it reads.
  static constexpr int kHolds = 24;

 private:
  struct Slot {
    std::atomic<std::uint64_t> since{0};  // the age at which the outermost look began; 0: none
    std::array<std::atomic<const void*>, kHolds> holds{};
    int looks = 0;  // the owner's alone, as the next
    int held = 0;
  };

 public:
  class Look {
   public:
    explicit Look(Readers& readers) : slot_(readers.slots_) {
      if (slot_->looks++ > 0) return;
      // Acquire: what was taken out before this age is not found.
      // Release, acquire in unused(): holds of looks before this one are seen.
      slot_->since.store(readers.age_.load(std::memory_order_acquire), std::memory_order_release);
      light_barrier();  // pairs with the heavy one in advance()
    }
    ~Look() { end(); }
    Look(const Look&) = delete;
    Look& operator=(const Look&) = delete;

    // Ends it early; holds stay.
    void end() {
      if (ended_) return;
      ended_ = true;
      // Release, acquire in unused(): what this look read is read, and its holds are seen.
      if (--slot_->looks == 0) slot_->since.store(0, std::memory_order_release);
    }
    // The age at which it, or the outermost one of this thread, began. Requires: not ended.
    std::uint64_t began() const { return slot_->since.load(std::memory_order_relaxed); }
    // Keeps `object`, found by this look. False: too many holds.
    bool hold(const void* object) {
      if (slot_->held == kHolds) return false;
      slot_->holds[static_cast<std::size_t>(slot_->held++)].store(object,
                                                                  std::memory_order_relaxed);
      return true;
    }
    // The last one held. Holds end in the opposite order of their beginning.
    void let_go() {
      // Release, acquire in unused().
      slot_->holds[static_cast<std::size_t>(--slot_->held)].store(nullptr,
                                                                  std::memory_order_release);
    }

   private:
    const PerThread<Slot>::Use slot_;
    bool ended_ = false;
  };

  // Whether something was taken out since a look began.
  bool passed(std::uint64_t began) const { return age_.load(std::memory_order_acquire) != began; }

  // What was taken out of the structure before is of the age returned. Writers only, one at a time.
  std::uint64_t advance() {
    const std::uint64_t age = age_.load(std::memory_order_relaxed);
    age_.store(age + 1, std::memory_order_release);
    return age;
  }

  // Whether nobody reads `object`, taken out at `age`. After a heavy_barrier() since then.
  bool unused(std::uint64_t age, const void* object) const {
    bool used = false;
    slots_.for_each([&](const Slot& slot) {
      const std::uint64_t since = slot.since.load(std::memory_order_acquire);
      used = used || (since != 0 && since <= age);
      for (const auto& each : slot.holds)
        used = used || each.load(std::memory_order_acquire) == object;
    });
    return !used;
  }

 private:
  std::atomic<std::uint64_t> age_{1};
  PerThread<Slot> slots_;
};

}  // namespace wisp::inline v0::detail
