#include <wisp/base/readers.hpp>

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "refuse_call.hpp"

namespace {

using wisp::detail::Readers;

// Another translation unit's start may come before the library's: asked in main() at the earliest.
bool registered() { return wisp::detail::asymmetric_barriers.load(); }

}  // namespace

TEST_CASE("readers: the process was registered before it had threads, if the kernel can",
          "[readers]") {
#if defined(SYS_membarrier)
  constexpr int kRegister = 1 << 4;  // MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED
  const bool can = syscall(SYS_membarrier, kRegister, 0, 0) == 0;
#else
  const bool can = false;
#endif
  CHECK(registered() == can);
}

TEST_CASE("readers: what a look found stays until it ends, what it holds until that does",
          "[readers]") {
  Readers readers;
  const int object = 0;
  const int other = 0;
  {
    Readers::Look look(readers);
    CHECK_FALSE(readers.passed(look.began()));
    const std::uint64_t age = readers.advance();
    CHECK(readers.passed(look.began()));
    CHECK_FALSE(readers.unused(age, &object));
    // What is taken out later than a look began is not waited for by looks that begin after it.
    REQUIRE(look.hold(&object));
    look.end();
    CHECK_FALSE(readers.unused(age, &object));
    CHECK(readers.unused(age, &other));
    look.let_go();
    CHECK(readers.unused(age, &object));
  }
  {
    const std::uint64_t age = readers.advance();
    const Readers::Look late(readers);
    CHECK(readers.unused(age, &object));
  }
}

TEST_CASE("readers: more holds than there is room for are refused", "[readers]") {
  Readers readers;
  std::array<int, Readers::kHolds + 1> objects{};
  Readers::Look look(readers);
  for (int i = 0; i < Readers::kHolds; ++i)
    REQUIRE(look.hold(&objects[static_cast<std::size_t>(i)]));
  CHECK_FALSE(look.hold(&objects.back()));
  const std::uint64_t age = readers.advance();
  look.end();
  CHECK_FALSE(readers.unused(age, &objects.front()));
  for (int i = 0; i < Readers::kHolds; ++i) look.let_go();
  CHECK(readers.unused(age, &objects.front()));
}

TEST_CASE("readers: nobody reads what its writer has freed", "[readers][stress]") {
  struct Object {
    std::atomic<bool> alive{true};
  };
  Readers readers;
  std::vector<std::unique_ptr<Object>> all;
  all.push_back(std::make_unique<Object>());
  std::atomic<Object*> current{all.back().get()};
  std::atomic<bool> stop{false};
  std::atomic<int> dead{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (!stop) {
        Readers::Look look(readers);
        Object* const found = current.load(std::memory_order_acquire);
        if (!found->alive.load(std::memory_order_relaxed)) ++dead;
        if (!look.hold(found)) ++dead;
        look.end();
        if (!found->alive.load(std::memory_order_relaxed)) ++dead;
        look.let_go();
      }
    });
  }
  for (int i = 0; i < 2'000; ++i) {
    all.push_back(std::make_unique<Object>());
    Object* const old = current.exchange(all.back().get(), std::memory_order_acq_rel);
    const std::uint64_t age = readers.advance();
    wisp::detail::heavy_barrier();
    while (!readers.unused(age, old)) std::this_thread::yield();
    old->alive.store(false, std::memory_order_relaxed);
  }
  stop = true;
  for (std::thread& each : threads) each.join();
  CHECK(dead == 0);
}

#if defined(SYS_membarrier)
// It returned at once, as if it had fenced.
TEST_CASE("readers: once the kernel refuses membarrier, a heavy barrier waits for all stores",
          "[readers]") {
  if (!registered()) return;
  bool refused = false;
  std::chrono::steady_clock::duration took{};
  std::thread([&] {
    refused = wisp::test::refuse_call(SYS_membarrier);
    const auto start = std::chrono::steady_clock::now();
    wisp::detail::heavy_barrier();
    took = std::chrono::steady_clock::now() - start;
  }).join();
  if (refused) CHECK(took >= std::chrono::milliseconds(1));
}
#endif
