// Versions come and go under threads that call as fast as they can.
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "sanitized.hpp"

namespace {

// Whether it is still there, as a call inside of it can tell.
class Canary {
 public:
  explicit Canary(std::atomic<int>& alive) : alive_(alive) { ++alive_; }
  ~Canary() {
    word_ = 0;
    --alive_;
  }
  bool sings() const { return word_ == kSong; }

 private:
  static constexpr std::uint64_t kSong = 0x5157'4953'5057'4953;
  std::atomic<int>& alive_;
  std::atomic<std::uint64_t> word_{kSong};
};

}  // namespace

TEST_CASE("versions: each is there while it runs, on threads that call as fast as they can",
          "[versions]") {
  std::atomic<int> alive{0};
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> silent{0};
  std::atomic<std::uint64_t> calls{0};
  const auto take = [&](int version) {
    const auto canary = std::make_shared<Canary>(alive);
    const auto look = [&, canary, version](int n) {
      if (!canary->sings()) ++silent;
      if (n % 4 == 0) std::this_thread::yield();
      if (!canary->sings()) ++silent;
      return version;
    };
    const auto meter = version % 2 == 0 ? wisp::Meter::sampled : wisp::Meter::batched;
    return wisp::function("f", look, {.meter = meter});
  };
  wisp::Runtime runtime;
  const auto f = take(1);
  const auto calling = wisp::function("calling", [&](int n, wisp::Context& context) {
    return context.runtime().call(f, n).value();  // not by the shortest way
  });
  REQUIRE(runtime.registry().add(f).ok());
  REQUIRE(runtime.registry().add(calling).ok());
  auto here = runtime.on("n").deliver({.synchronous = true}).to(f);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; !over.load(); ++n) {
        switch (i) {
          case 0:
            (void)runtime.call(f, n).value();
            break;
          case 1:
            (void)runtime.call(calling, n).value();
            break;
          default:
            (void)runtime.emit("n", n).value();
        }
        ++calls;
      }
    });
  }
  const int versions = wisp::test::kSanitized ? 200 : 2'000;
  for (int version = 2; version <= versions; ++version) {
    const std::uint64_t before = calls;
    CHECK(runtime.registry().publish(take(version)).value() == version);
    switch (version % 3) {
      case 0:
        CHECK(runtime.registry().alias("f", {{version - 1, 0.5}, {version, 0.5}}).ok());
        break;
      default:
        CHECK(runtime.registry().alias("f", {{version}}).ok());
    }
    while (calls < before + 4) std::this_thread::yield();
    if (version % 5 == 0) {
      CHECK(runtime.registry().rollback("f").ok());
      CHECK(runtime.registry().rollback("f").ok());
    }
  }
  over = true;
  for (std::thread& each : threads) each.join();
  CHECK(silent == 0);
  REQUIRE(runtime.registry().alias("f", {{1}}).ok());
  REQUIRE(runtime.registry().publish(take(0)).ok());
  REQUIRE(runtime.registry().alias("f", {{versions + 1}}).ok());
  CHECK(alive == 2);
}
