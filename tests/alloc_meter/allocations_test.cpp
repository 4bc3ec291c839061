#include <wisp/alloc_meter/allocations.hpp>

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <string_view>
#include <thread>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "catch.hpp"

namespace {

using namespace wisp::literals;
using wisp::Allocations;

// Not optimised away, as a pair of new and delete may be.
thread_local void* volatile kept = nullptr;

template <class Body>
Allocations allocated_by(Body body) {
  const Allocations before = wisp::allocations();
  body();
  return wisp::allocations() - before;
}

void allocate(int times, std::size_t bytes) {
  for (int i = 0; i < times; ++i) {
    kept = ::operator new(bytes);
    ::operator delete(kept, bytes);
  }
}

bool aligned(void* memory, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(memory) % alignment == 0;
}

const wisp::BillLine& line_of(const wisp::Bill& bill, std::string_view function) {
  for (const wisp::BillLine& each : bill.lines)
    if (each.function == function) return each;
  FAIL("no line for " << function);
  return bill.lines.front();
}

}  // namespace

TEST_CASE("alloc_meter: every form of new is counted, and deleted by its own", "[alloc_meter]") {
  constexpr auto kLine = std::align_val_t{64};
  constexpr auto kByte = std::align_val_t{1};
  CHECK(allocated_by([] { allocate(3, 100); }) == Allocations{3, 300});
  CHECK(allocated_by([] {
          kept = ::operator new[](10);
          ::operator delete[](kept);
          kept = ::operator new(0);
          ::operator delete(kept);
        }) == Allocations{2, 10});
  bool on_line = false;
  CHECK(allocated_by([&on_line] {
          kept = ::operator new(10, kLine);
          on_line = aligned(kept, 64);
          ::operator delete(kept, std::size_t{10}, kLine);
        }) == Allocations{1, 10});
  CHECK(on_line);
  CHECK(allocated_by([] {
          kept = ::operator new[](10, kLine);
          ::operator delete[](kept, kLine);
          kept = ::operator new(7, kByte);
          ::operator delete(kept, kByte);
        }) == Allocations{2, 17});
  CHECK(allocated_by([] {
          kept = ::operator new(10, std::nothrow);
          ::operator delete(kept, std::nothrow);
          kept = ::operator new[](10, std::nothrow);
          ::operator delete[](kept, std::size_t{10});
          kept = ::operator new(10, kLine, std::nothrow);
          ::operator delete(kept, kLine, std::nothrow);
          kept = ::operator new[](10, kLine, std::nothrow);
          ::operator delete[](kept, std::size_t{10}, kLine);
        }) == Allocations{4, 40});
  // What the library allocates comes here too.
  CHECK(allocated_by([] { kept = std::make_unique<std::vector<int>>(100).get(); }).count == 2);
  const Allocations none = allocated_by([] { kept = std::malloc(10), std::free(kept); });
  CHECK(none == Allocations{});
}

// A sanitizer's malloc ends the program rather than fail.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static int handlers_left = 0;
static void give_up() {
  if (--handlers_left == 0) std::set_new_handler(nullptr);
}

TEST_CASE("alloc_meter: what fails is not counted, and asks the handler first", "[alloc_meter]") {
  const volatile std::size_t too_much = std::numeric_limits<std::size_t>::max() / 4;
  constexpr auto kLine = std::align_val_t{64};
  bool threw = false;
  bool nothing = false;
  const Allocations failed = allocated_by([&] {
    handlers_left = 2;
    std::set_new_handler(give_up);
    try {
      kept = ::operator new(too_much);
    } catch (const std::bad_alloc&) {
      threw = true;
    }
    nothing = ::operator new(too_much, std::nothrow) ==
              nullptr&& ::operator new(too_much, kLine, std::nothrow) == nullptr;
  });
  CHECK(threw);
  CHECK(handlers_left == 0);
  CHECK(nothing);
  CHECK(failed == Allocations{});
}
#endif

TEST_CASE("alloc_meter: a call's are its receipt's and its line's", "[alloc_meter]") {
  const auto meter = GENERATE(wisp::Meter::batched, wisp::Meter::exact, wisp::Meter::sampled);
  const auto works =
      wisp::function("works", [](int times) { allocate(times, 100); }, {.meter = meter});
  const auto quiet = wisp::function("quiet", [](int n) { return n; }, {.meter = meter});
  wisp::Runtime runtime{wisp::Catalogue().add(works).add(quiet),
                        {.workers = {.max = 1, .policy = wisp::scaling::Fixed{1}}}};
  // Between posts in a row wisp's own work is the later one's, the worker's first one too.
  for (int i = 0; i < 50; ++i) REQUIRE(runtime.post(works, 0).ok());
  while (runtime.stats().events.done < 50) std::this_thread::yield();
  const std::uint64_t own = line_of(runtime.bill(1h), "works").allocations;
  const std::uint64_t own_bytes = line_of(runtime.bill(1h), "works").allocated_bytes;
  CHECK(own <= 5);
  for (int i = 0; i < 50; ++i) {
    REQUIRE(runtime.call(works, i).ok());
    REQUIRE(runtime.call(quiet, i).ok());
    auto started = runtime.start(works, 3);
    REQUIRE(started.wait().ok());
    const wisp::Receipt& receipt = started.receipt();
    CHECK(receipt.allocations == 3);
    CHECK(receipt.allocated_bytes == 300);
    CHECK(receipt.allocations_quality == wisp::Quality::measured);
  }
  for (int i = 0; i < 50; ++i) REQUIRE(runtime.post(works, 1).ok());
  auto here = runtime.on("work.*").deliver({.synchronous = true}).to(works);
  for (int i = 0; i < 50; ++i) REQUIRE(runtime.emit("work.now", 1).ok());
  REQUIRE(runtime.stop(60s).status.ok());
  const wisp::Bill bill = runtime.bill(1h);
  const std::uint64_t expected = 49 * 50 / 2 + 50 * 3 + 50 + 50;
  CHECK(line_of(bill, "works").calls == 250);
  CHECK(line_of(bill, "works").allocations == own + expected);
  CHECK(line_of(bill, "works").allocated_bytes == own_bytes + 100 * expected);
  CHECK(line_of(bill, "works").allocations_quality == wisp::Quality::measured);
  CHECK(line_of(bill, "quiet").allocations == 0);
  CHECK(line_of(bill, "quiet").allocations_quality == wisp::Quality::measured);
  auto refused = runtime.start(works, 1);
  CHECK(refused.receipt().allocations_quality == wisp::Quality::unavailable);
}

TEST_CASE("alloc_meter: nested calls count as their wall time does", "[alloc_meter]") {
  const auto inner = wisp::function("inner", [](int times) { allocate(times, 10); });
  const auto outer = wisp::function("outer", [&inner](int times, wisp::Context& context) {
    allocate(1, 1'000);
    (void)context.runtime().call(inner, times);
    // On a thread that the handler does not run on: nobody's.
    std::thread([] { allocate(100, 10'000); }).join();
  });
  wisp::Runtime runtime{wisp::Catalogue().add(inner).add(outer)};
  // A thread's creation allocates as well.
  const Allocations thread = allocated_by([] { std::thread([] {}).join(); });
  REQUIRE(runtime.call(inner, 1).ok());  // warm from here on
  for (int i = 0; i < 10; ++i) REQUIRE(runtime.call(outer, 5).ok());
  const wisp::Bill bill = runtime.bill(1h);
  CHECK(line_of(bill, "inner").allocations == 1 + 50);
  CHECK(line_of(bill, "inner").allocated_bytes == 10 * (1 + 50));
  CHECK(line_of(bill, "outer").allocations == 10 * (1 + 5 + thread.count));
  CHECK(line_of(bill, "outer").allocated_bytes == 10 * (1'000 + 50 + thread.bytes));
}

TEST_CASE("alloc_meter: what follows the last call of a row is nobody's", "[alloc_meter]") {
  wisp::detail::Ledger ledger(wisp::Clock::system(), {});
  const int line = ledger.line({.function = "f"});
  wisp::detail::Shard& shard = ledger.shard();
  wisp::detail::Span span(shard, line, wisp::Meter::batched);
  allocate(2, 10);
  const wisp::detail::Span::Taken taken = span.next_taken();
  CHECK(taken.allocated == Allocations{2, 20});
  ledger.record(shard, line, {.taken = taken});
  allocate(3, 10);
  span.abandon();
  CHECK(line_of(ledger.bill(1h, {}), "f").calls == 1);
  CHECK(line_of(ledger.bill(1h, {}), "f").allocations == 2);
  CHECK(line_of(ledger.bill(1h, {}), "f").allocated_bytes == 20);
}

TEST_CASE("alloc_meter: of two simulated threads each is billed for its own", "[alloc_meter]") {
  wisp::sim::World world{1};
  // A wait allocates a little as well.
  const auto waits = wisp::function(
      "waits", [](wisp::Context& context) { return context.sleep(std::chrono::milliseconds(2)); });
  const auto big = wisp::function("big", [](wisp::Context& context) {
    if (wisp::Status waited = context.sleep(std::chrono::milliseconds(1)); !waited.ok())
      return waited;
    allocate(100, 10'000);
    return wisp::Status();
  });
  wisp::Runtime runtime{wisp::Catalogue().add(waits).add(big), world.options()};
  auto first = runtime.start(waits);
  auto second = runtime.start(big);
  REQUIRE(first.wait().ok());
  REQUIRE(second.wait().ok());
  CHECK(first.receipt().allocated_bytes < 100'000);
  CHECK(second.receipt().allocated_bytes >= 1'000'000);
}
