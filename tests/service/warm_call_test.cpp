// What a warm call costs beyond its handler: no allocation, no lock, and no reading of the thread's
// clock but for the exact meter. The counts are those of this program's operator new,
// pthread_mutex_lock and clock_gettime, on this thread; a sanitizer brings its own of these, and
// its own bookkeeping.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <ctime>
#include <new>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"

namespace {

using namespace wisp::literals;

thread_local long allocations = 0;
thread_local long locks = 0;
thread_local long cpu_readings = 0;
std::atomic<long> allocations_of_all{0};

// Stands still, or a new second would make the ledger write the old one down. No lock, unlike
// ManualClock.
class StillClock final : public wisp::Clock {
 public:
  wisp::Time now() const override { return wisp::Time(1h); }
  wisp::WallTime wall() const override { return wisp::WallTime(); }
};

struct Load {
  double kg = 0;
};
WISP_FIELDS(Load, kg)

// What runs of `body` add to `counter`.
template <class Body>
long counted(const long& counter, Body body, int runs = 1'000) {
  const long before = counter;
  for (int i = 0; i < runs; ++i) body();
  return counter - before;
}

}  // namespace

// Not inlined, or g++ takes one of a pair for its own and the other for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  allocations_of_all.fetch_add(1, std::memory_order_relaxed);
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  ++allocations;
  allocations_of_all.fetch_add(1, std::memory_order_relaxed);
  const auto align = static_cast<std::size_t>(alignment);
  if (void* const memory = std::aligned_alloc(align, (size + align - 1) / align * align))
    return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

extern "C" int pthread_mutex_lock(pthread_mutex_t* mutex) {
  using Lock = int (*)(pthread_mutex_t*);
  static const Lock real = reinterpret_cast<Lock>(dlsym(RTLD_NEXT, "pthread_mutex_lock"));
  ++locks;
  return real(mutex);
}

extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  using Read = int (*)(clockid_t, timespec*);
  static const Read real = reinterpret_cast<Read>(dlsym(RTLD_NEXT, "clock_gettime"));
  cpu_readings += clock == CLOCK_THREAD_CPUTIME_ID ? 1 : 0;
  return real(clock, now);
}

TEST_CASE("warm call: it neither allocates nor locks", "[warm_call]") {
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
  double sum = 0;
  const auto sampled = wisp::function("sampled", [&sum](const Load& load) { sum += load.kg; },
                                      {.meter = wisp::Meter::sampled});
  StillClock clock;
  wisp::Runtime runtime{
      wisp::Catalogue().add(weigh).add(timed).add(fails).add(narrow).add(nested).add(exact).add(
          sampled),
      {.clock = &clock}};
  const auto calls = [&] {
    sum += *runtime.call(weigh, {1});
    sum += *runtime.call(timed, 1);
    sum += runtime.call(fails).ok() ? 1 : 0;
    sum += *runtime.call(nested, {1});
    sum += *runtime.call(exact, 1);
    sum += *runtime.call<double>("weigh", Load{1});
  };
  const auto limited = [&] { sum += *runtime.call(narrow, 1); };
  calls();  // warm from here on
  limited();
  CHECK(counted(allocations, calls) == 0);
  CHECK(counted(locks, calls) == 0);
  CHECK(counted(allocations, limited) == 0);
  CHECK(sum == 2'001 * (2 + 1 + 0 + 2 + 1 + 2) + 1'001);
  std::vector<wisp::Subscription> here;
  for (int i = 0; i < 8; ++i) {
    here.push_back(
        runtime.on("weighed").deliver({.synchronous = true}).to([&sum](const Load& load) {
          sum += load.kg;
        }));
  }
  for (int i = 0; i < 8; ++i)
    here.push_back(runtime.on("weighed").deliver({.synchronous = true}).to(sampled));
  const auto publish = [&] { (void)runtime.emit("weighed", Load{1}); };
  publish();
  CHECK(counted(allocations, publish) == 0);
  CHECK(counted(locks, publish) == 0);
  // The counters count: a concurrency limit is kept under a lock, a started call allocates.
  CHECK(counted(locks, limited) >= 2'000);
  CHECK(counted(allocations, [&] { (void)runtime.start(weigh, {1}); }) >= 1'000);
}

TEST_CASE("warm call: a million by handle and by name neither allocate nor lock", "[warm_call]") {
  const auto twice = wisp::function("twice", [](int n) { return 2 * n; });
  const auto sampled =
      wisp::function("sampled", [](int n) { return 2 * n; }, {.meter = wisp::Meter::sampled});
  StillClock clock;
  wisp::Runtime runtime{wisp::Catalogue().add(twice).add(sampled), {.clock = &clock}};
  constexpr int kRuns = 1'000'000;
  std::int64_t sum = 0;
  const auto calls = [&] {
    sum += *runtime.call(twice, 1);
    sum += *runtime.call(sampled, 1);
    sum += *runtime.call<int>("twice", 1);
  };
  calls();  // warm from here on
  const long locked = locks;
  CHECK(counted(allocations, calls, kRuns) == 0);
  CHECK(locks == locked);
  CHECK(sum == 6 * (std::int64_t{kRuns} + 1));
  // Each of them is on the bill.
  const wisp::Bill bill = runtime.bill(1h);
  REQUIRE(bill.lines.size() == 2);
  CHECK(bill.lines[0].calls == kRuns + 1);  // sampled
  CHECK(bill.lines[1].calls == 2 * (kRuns + 1));
}

TEST_CASE("warm call: the exact meter reads the thread's clock around each, the others do not",
          "[warm_call]") {
  const auto exact =
      wisp::function("exact", [](int n) { return n; }, {.meter = wisp::Meter::exact});
  const auto batched = wisp::function("batched", [](int n) { return n; });
  const auto sampled =
      wisp::function("sampled", [](int n) { return n; }, {.meter = wisp::Meter::sampled});
  const auto nested = wisp::function(
      "nested",
      [&exact](int n, wisp::Context& context) { return *context.runtime().call(exact, n); },
      {.meter = wisp::Meter::exact});
  wisp::Runtime runtime{wisp::Catalogue().add(exact).add(batched).add(sampled).add(nested)};
  long sum = 0;
  const auto readings = [&](const auto& function) {
    sum += *runtime.call(function, 1);
    return counted(cpu_readings, [&] { sum += *runtime.call(function, 1); }, 10'000);
  };
  // Also where a call was long because the thread was preempted, and where a second turns.
  constexpr long kMore = 1'000;
  CHECK(readings(exact) >= 20'000);
  CHECK(readings(exact) <= 20'000 + kMore);
  CHECK(readings(nested) >= 40'000);
  CHECK(readings(nested) <= 40'000 + kMore);
  CHECK(readings(batched) <= kMore);
  CHECK(readings(sampled) <= kMore);
  CHECK(sum == 6 * 10'001);
}

TEST_CASE("warm timer: a million re-arms allocate nothing", "[warm_call]") {
  wisp::ManualClock clock;
  wisp::Timer timer{clock, nullptr};
  constexpr long kRuns = 1'000'000;
  constexpr int kPending = 1'000;
  long fired = 0;
  std::vector<wisp::TimerId> ids;
  for (int i = 0; i < kPending; ++i)
    ids.push_back(*timer.schedule(clock.now() + 1h, wisp::Task([&fired] { ++fired; })));
  // Put off, each in turn: what a timeout per request does.
  std::size_t next = 0;
  const auto put_off = [&] {
    if (!timer.cancel(ids[next])) std::abort();
    const wisp::Time at = clock.now() + 1h + std::chrono::microseconds(next);
    ids[next] = *timer.schedule(at, wisp::Task([&fired] { ++fired; }));
    next = (next + 1) % kPending;
  };
  (void)counted(allocations, put_off, kPending);  // warm from here on
  CHECK(counted(allocations, put_off, kRuns) == 0);
  CHECK(timer.count() == kPending);
  CHECK(fired == 0);

  // A task that schedules itself: what `every` does.
  struct Again {
    wisp::Timer& timer;
    wisp::Clock& clock;
    long& ran;
    void operator()() {
      ++ran;
      if (!timer.schedule(clock.now() + 1ms, wisp::Task(Again{timer, clock, ran})).ok())
        std::abort();
    }
  };
  long ran = 0;
  Again{timer, clock, ran}();
  const auto tick = [&] {
    clock.advance(1ms);
    timer.fire(clock.now());
  };
  (void)counted(allocations, tick, 100);  // warm from here on
  CHECK(counted(allocations, tick, kRuns) == 0);
  CHECK(ran == 1 + 100 + kRuns);
}

TEST_CASE("warm post: a million to workers allocate nothing", "[warm_call]") {
  struct Reading {
    int sensor = 0;
    double value = 0;
  };
  std::atomic<long> ran{0};
  const auto take = wisp::function("take", [&ran](const Reading&) { ++ran; });
  // A backlog has a bound, and so does the memory for it.
  wisp::Runtime runtime{
      wisp::Catalogue().add(take),
      {.workers = {.max = 2, .policy = wisp::scaling::Fixed{2}},
       .queue = {.count = 1'000, .bytes = 1'000'000, .act = wisp::Overflow::block}}};
  constexpr long kRuns = 1'000'000;
  long refused = 0;
  const auto post = [&] {
    if (!runtime.post(take, {1, 0.5}).ok()) ++refused;
  };
  (void)counted(allocations, post, 200'000);  // warm from here on
  const long before = allocations_of_all;
  const long mine = counted(allocations, post, kRuns);
  const long all = allocations_of_all - before;
  CHECK(refused == 0);
  // But for blocks beyond the most that there were at once so far, and what each worker writes down
  // once a second.
  CHECK(mine <= wisp::detail::PostBlocks::kKept);
  CHECK(all <= mine + 20);
  CHECK(runtime.stop(60s).status.ok());
  CHECK(ran == kRuns + 200'000);
}

#endif
