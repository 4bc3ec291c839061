// Who reads a structure without a lock, so that its writers know what they may free.
//
//   { Readers::Look look(readers); node = find(); hold = look.hold(node->list); }   // a reader
//   look.remember("a.b", node->list);   // and later, on this thread, in place of a look:
//   { Readers::Recall recall(readers, "a.b"); use(recall.object()); }   // null: to be found again
//   readers.unused(retired_at, list)    // a writer, after taking `list` out: may it be deleted?
//
// A look is short: whatever was in the structure when it began stays until it ends. A hold is as
// long as its holder likes and keeps one object alone, so that a handler which blocks for an hour
// keeps that one and nothing else.
//
// A thread remembers what a few texts led it to. That holds for as long as nothing at all has been
// taken out of the structure, which is one comparison, after the hold.
//
// Readers write to a word of their own thread only. In place of the fence between that word and
// the structure stands a compiler barrier; the writer makes up for it with membarrier(2), which
// runs a full fence on every thread of the process. Where the kernel refuses, readers fence; where
// it does so only later, for a filter of system calls that the host has installed, the writer waits
// for a millisecond in its place.
//
// Threads: any; a Look belongs to the thread that made it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <wisp/base/per_thread.hpp>
#include <wisp/base/text.hpp>

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
  // Longer texts are not remembered, and of each thread so many are.
  static constexpr std::size_t kTextMax = 64;
  static constexpr std::size_t kMemories = 8;

 private:
  struct Memory {
    std::uint64_t age = 0;  // at which the object was in the structure; 0: none
    const void* object = nullptr;
    std::size_t size = 0;
    std::array<char, kTextMax> text;

    bool of(std::string_view other) const { return same_text({text.data(), size}, other); }
  };
  struct Slot {
    std::atomic<std::uint64_t> since{0};  // the age at which the outermost look began; 0: none
    std::array<std::atomic<const void*>, kHolds> holds{};
    int looks = 0;  // the owner's alone, as the next
    int held = 0;
    std::array<Memory, kMemories> memories;

    // False: no room.
    bool hold(const void* object) {
      if (held == kHolds) return false;
      holds[static_cast<std::size_t>(held++)].store(object, std::memory_order_relaxed);
      return true;
    }
    void let_go() {
      // Release, acquire in unused().
      holds[static_cast<std::size_t>(--held)].store(nullptr, std::memory_order_release);
    }
    // Null: not to be remembered.
    Memory* memory(std::string_view text) {
      const std::size_t size = text.size();
      if (size == 0 || size > kTextMax) return nullptr;
      const auto at = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
      return &memories[(at(0) + 3U * at(size / 2) + 5U * at(size - 1) + size) % kMemories];
    }
  };

 public:
  using Aside = PerThread<Slot>::Aside;  // see ThreadLocals in service/detail/thread_locals.hpp

  class Look {
   public:
    explicit Look(Readers& readers) : slot_(readers.slots_) {
      if (slot_->looks++ > 0) return;
      // Acquire: what was taken out before this age is not found.
      // Release, acquire in unused(): holds of looks before this one are seen.
      slot_->since.store(readers.age_.load(std::memory_order_acquire), std::memory_order_release);
      light_barrier();  // pairs with the heavy one between advance() and unused()
    }
    ~Look() { end(); }
    Look(const Look&) = delete;
    Look& operator=(const Look&) = delete;

    // For later looks of this thread. `object` was found by this look, which has not ended.
    void remember(std::string_view text, const void* object) {
      Memory* const memory = slot_->memory(text);
      if (memory == nullptr) return;
      memory->age = began();
      memory->object = object;
      memory->size = text.size();
      std::memcpy(memory->text.data(), text.data(), text.size());
    }
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
    bool hold(const void* object) { return slot_->hold(object); }
    // The last one held. Holds end in the opposite order of their beginning.
    void let_go() { slot_->let_go(); }

   private:
    const PerThread<Slot>::Use slot_;
    bool ended_ = false;
  };

  // A hold of what this thread remembers for a text, if nothing has been taken out since. On its
  // way out it remembers nothing.
  class Recall {
   public:
    Recall(Readers& readers, std::string_view text) : slot_(readers.slots_.lasting()) {
      if (slot_ == nullptr) [[unlikely]]
        return;
      const Memory* const memory = slot_->memory(text);
      if (memory == nullptr || memory->age == 0 || !memory->of(text)) return;
      if (!slot_->hold(memory->object)) return;
      // As for a look: either the writer sees the hold, or this the age.
      light_barrier();
      object_ = memory->object;
      began_ = memory->age;
      if (readers.passed(began_)) [[unlikely]]
        let_go();
    }
    ~Recall() { let_go(); }
    Recall(const Recall&) = delete;
    Recall& operator=(const Recall&) = delete;

    // Null: nothing, or no more.
    const void* object() const { return object_; }
    // The age of the memory, also if that has passed: a writer may have seen the hold that was in
    // vain, and waits. 0: it held nothing.
    std::uint64_t began() const { return began_; }
    // Ends the hold early, in the opposite order of their beginning.
    void let_go() {
      if (object_ != nullptr) slot_->let_go();
      object_ = nullptr;
    }

   private:
    Slot* const slot_;
    const void* object_ = nullptr;
    std::uint64_t began_ = 0;
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
