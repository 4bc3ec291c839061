// What holds while there is no memory. A sanitizer brings its own operator new.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#include <cstdlib>
#include <new>

#include <wisp/engine/detail/ledger.hpp>

#include "catch.hpp"

namespace {

using namespace std::chrono_literals;

thread_local bool out_of_memory = false;

}  // namespace

// Not inlined, or g++ takes one of a pair for its own and the other for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  void* const memory = out_of_memory ? nullptr : std::malloc(size);
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
    out_of_memory = i > 0 && i < 90;
    ledger.end_and_record(shard, span, true, false);
    out_of_memory = false;
    REQUIRE_FALSE(shard.timing());
  }
  const wisp::BillLine& all = ledger.bill(1h, {}).lines.at(0);
  CHECK(all.calls == 100);
  CHECK(all.wall == 100s);
}
#endif
