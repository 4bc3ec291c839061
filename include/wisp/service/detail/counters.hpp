// Counts of deliveries, by thread.
//
//   counters.add(Counter::accepted, 8);                 // no read-modify-write, no shared line
//   std::uint64_t all = counters.sum(Counter::accepted);
//
// Each thread counts with relaxed stores into words of its own; a reader adds the words up. A sum
// holds every add that happened before it, and words only grow, so two sums in turn never fall. A
// thread that ends gives its words to a later one; what it counted stays.
//
// Who compares two reads `accepted` last: then what it misses is seen as still on its way.
//
// Threads: any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include <wisp/base/per_thread.hpp>

namespace wisp::inline v0::detail {

enum class Counter : std::uint8_t { accepted, done, dead };
inline constexpr std::size_t kCounters = 3;

class CounterShards {
  using Words = std::array<std::atomic<std::uint64_t>, kCounters>;

 public:
  using Aside = PerThread<Words>::Aside;  // see ThreadLocals in thread_locals.hpp

  void add(Counter counter, std::uint64_t n = 1) {
    const PerThread<Words>::Use words(words_);
    std::atomic<std::uint64_t>& word = (*words)[static_cast<std::size_t>(counter)];
    // Only this thread writes it. Release, acquire in sum(): what was done before is seen.
    word.store(word.load(std::memory_order_relaxed) + n, std::memory_order_release);
  }

  // Takes a mutex that no add() takes once its thread is known.
  std::uint64_t sum(Counter counter) const {
    std::uint64_t sum = 0;
    words_.for_each([&sum, counter](const Words& each) {
      sum += each[static_cast<std::size_t>(counter)].load(std::memory_order_acquire);
    });
    return sum;
  }

 private:
  PerThread<Words> words_;
};

}  // namespace wisp::inline v0::detail
