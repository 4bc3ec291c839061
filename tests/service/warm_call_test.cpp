// What a warm call costs beyond its handler: no allocation. The count is this program's operator
// new, on this thread.
#include <cstdlib>
#include <new>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "sanitized.hpp"

namespace {

using namespace wisp::literals;

thread_local long allocations = 0;

struct Load {
  double kg = 0;
};
WISP_FIELDS(Load, kg)

template <class Body>
long allocations_in(Body body) {
  const long before = allocations;
  for (int i = 0; i < 1'000; ++i) body();
  return allocations - before;
}

}  // namespace

// A sanitizer brings its own, and its own bookkeeping.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)

void* operator new(std::size_t size) {
  ++allocations;
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

TEST_CASE("warm call: it allocates nothing", "[warm_call]") {
  const auto weigh = wisp::function("weigh", [](const Load& load) { return 2 * load.kg; });
  const auto timed = wisp::function("timed", [](int n) { return n; }, {.timeout = 1s});
  const auto fails =
      wisp::function("fails", [] { return wisp::Status(wisp::StatusCode::kAborted, ""); });
  const auto narrow =
      wisp::function("narrow", [](int n) { return n; }, {.limits = {.concurrency = 2}});
  const auto nested = wisp::function("nested", [&weigh](const Load& load, wisp::Context& context) {
    return *context.runtime().call(weigh, load);
  });
  const auto exact =
      wisp::function("exact", [](int n) { return n; }, {.meter = wisp::Meter::exact});
  // A clock that stands still has no new second, whose growth a ledger writes down.
  wisp::ManualClock clock;
  wisp::Runtime runtime{
      wisp::Catalogue().add(weigh).add(timed).add(fails).add(narrow).add(nested).add(exact),
      {.clock = &clock}};
  double sum = 0;
  const auto calls = [&] {
    sum += *runtime.call(weigh, {1});
    sum += *runtime.call(timed, 1);
    sum += runtime.call(fails).ok() ? 1 : 0;
    sum += *runtime.call(narrow, 1);
    sum += *runtime.call(nested, {1});
    sum += *runtime.call(exact, 1);
    sum += *runtime.call<double>("weigh", Load{1});
  };
  calls();  // warm from here on
  CHECK(allocations_in(calls) == 0);
  CHECK(sum == 1'001 * (2 + 1 + 0 + 1 + 2 + 1 + 2));
  // The counter counts.
  CHECK(allocations_in([] { delete new Load; }) >= 0);
  CHECK(allocations_in([&] { (void)runtime.start(weigh, {1}); }) >= 1'000);
}

#endif
