// What a thread has allocated, if somebody counts.
//
//   const Allocations before = thread_allocations;
//   handler();
//   const Allocations own = thread_allocations - before;
//
// The target wisp::alloc_meter counts: it replaces operator new. Without it nothing does, and
// alloc_meter_linked is false.
//
// Threads: value; thread_allocations belongs to its thread.
#pragma once

#include <cstdint>

namespace wisp::inline v0 {

// Successful calls of operator new, and the bytes that they asked for. What is freed stays counted.
struct Allocations {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;

  friend Allocations operator-(Allocations a, Allocations b) {
    return {a.count - b.count, a.bytes - b.bytes};
  }
  friend Allocations operator+(Allocations a, Allocations b) {
    return {a.count + b.count, a.bytes + b.bytes};
  }
  friend bool operator==(Allocations, Allocations) = default;
};

namespace detail {

// Constant from the first instruction on: functions are declared before main(). In a program that
// links wisp::alloc_meter its true one takes the place of the weak one of the core.
extern const bool alloc_meter_linked;

// Constant at first and found without a call, or counting would cost more than the allocation. So a
// bundle that is loaded later cannot have a core of its own.
extern constinit thread_local Allocations thread_allocations
    __attribute__((tls_model("initial-exec")));

}  // namespace detail
}  // namespace wisp::inline v0
