// What holds while there is no memory. A sanitizer brings its own operator new.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#include <cstdlib>
#include <new>

#include <wisp/engine/detail/ledger.hpp>
#include <wisp/engine/pool.hpp>

#include "catch.hpp"

namespace {

using namespace std::chrono_literals;

constexpr int kUnlimited = -1;
thread_local int allocations_left = kUnlimited;

}  // namespace

// Not inlined, or g++ takes one of a pair for its own and the other for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  void* const memory = allocations_left == 0 ? nullptr : std::malloc(size);
  if (allocations_left > 0) --allocations_left;
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

TEST_CASE("ledger: without memory a handler ends, and is counted once there is some", "[ledger]") {
  wisp::ManualClock clock;
  wisp::detail::Ledger ledger(clock, {});
  const int line = ledger.line({.function = "f"});
  wisp::detail::Shard& shard = ledger.shard();
  for (int i = 0; i < 100; ++i) {
    wisp::detail::Span span(shard, line, wisp::Meter::batched);
    clock.advance(1s);
    // Of the first one's cell.
    allocations_left = i > 0 && i < 90 ? 0 : kUnlimited;
    ledger.end_and_record(shard, span, true, false);
    allocations_left = kUnlimited;
    REQUIRE_FALSE(shard.timing());
  }
  const wisp::BillLine& all = ledger.bill(1h, {}).lines.at(0);
  CHECK(all.calls == 100);
  CHECK(all.wall == 100s);
}

TEST_CASE("pool: without memory a task is taken or left as it was", "[pool]") {
  int left = 0;
  for (int allocations = 0; allocations < 20; ++allocations) {
    wisp::Pool pool{{.workers = {.max = 1}}};
    bool ran = false;
    bool taken = false;
    wisp::Task task = [&ran] { ran = true; };
    allocations_left = allocations;
    try {
      taken = pool.submit(task).ok();
    } catch (const std::bad_alloc&) {
    }
    allocations_left = kUnlimited;
    REQUIRE(taken == !task);
    left += !taken;
    REQUIRE(pool.drain(wisp::Clock::system().now() + 20s));
    CHECK(ran == taken);
  }
  CHECK(left > 0);
  CHECK(left < 20);
}
#endif
