#include <wisp/sim/world.hpp>

#include <algorithm>
#include <optional>
#include <vector>

#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::Duration;
using wisp::Status;
using wisp::StatusCode;
using wisp::Time;
using wisp::sim::World;

constexpr int kThreads = 2;
constexpr Duration kRun = 20ms;       // of each call
constexpr Duration kPatience = 50ms;  // of each client

// A server of some threads, and clients that do not slow down.
struct Server {
  explicit Server(std::uint64_t seed)
      : world(seed, {.threads_max = kThreads}), runtime(world.options()) {
    REQUIRE(runtime.registry().add(serve).ok());
  }

  struct Served {
    int in_time = 0;
    int late = 0;
    int shed = 0;
    int other = 0;
    Duration queued_most{};
  };

  // One call each `every` on average, for so long; then until all is over.
  Served load(Duration every, Duration how_long, bool sheddable) {
    Served served;
    const Time end = world.clock().now() + how_long;
    while (world.clock().now() < end) {
      const Time sent = world.clock().now();
      auto pending = runtime.start(serve, {.sheddable = sheddable});
      pending.then([this, &served, sent](const Status& result) {
        const Duration took = world.clock().now() - sent;
        if (result.ok()) {
          ++(took <= kPatience ? served.in_time : served.late);
          served.queued_most = std::max(served.queued_most, took - kRun);
        } else if (wisp::reason_of(result) == wisp::Reason::overload) {
          CHECK(result.code() == StatusCode::kUnavailable);
          ++served.shed;
        } else {
          ++served.other;
        }
      });
      world.advance(wisp::uniform(world.random(), 0, 2 * every / 1us) * 1us);
    }
    world.advance(1min);
    CHECK(runtime.stats().queued == 0);
    return served;
  }

  World world;
  wisp::Runtime runtime;
  std::optional<wisp::Observation> watch = wisp::test::watch_some(world, runtime);
  wisp::Function<void, void> serve =
      wisp::function("serve", [](Context& context) { return context.sleep(kRun); });
};

constexpr Duration kCapacity = kRun / kThreads;  // between two calls

}  // namespace

TEST_CASE("overload: at ten times its capacity a server still serves in time what it can",
          "[overload]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    Server server(seed);
    const Duration how_long = 2s;
    const auto served = server.load(kCapacity / 10, how_long, true);
    const auto peak = static_cast<int>(how_long / kCapacity);
    // But for the interval in which it has to find out.
    CHECK(served.in_time * 100 >= peak * 95);
    CHECK(served.other == 0);
    CHECK(served.queued_most <= 100ms + 2 * kRun);
    CHECK(served.late * 10 <= peak);
    CHECK(server.runtime.stats().shed == static_cast<std::uint64_t>(served.shed));
    // A shed call is no attempt.
    const wisp::FunctionStats stats = server.runtime.stats().functions.front();
    CHECK(stats.attempts == static_cast<std::uint64_t>(served.in_time + served.late));

    // And when the load has fallen, nothing is refused any more.
    const auto after = server.load(6 * kCapacity, 1s, true);
    CHECK(after.shed == 0);
    CHECK(after.late == 0);
  });
}

TEST_CASE("overload: a call that may not be shed never is", "[overload]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    Server server(seed);
    const auto served = server.load(kCapacity / 3, 200ms, false);
    CHECK(served.shed == 0);
    CHECK(served.other == 0);
    CHECK(served.late > 0);
  });
}

TEST_CASE("overload: a burst that the queue takes up is not shed", "[overload]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    Server server(seed);
    for (int burst = 0; burst < 5; ++burst) {
      const auto served = server.load(1ms, 3ms, true);
      CHECK(served.shed == 0);
      CHECK(served.other == 0);
    }
  });
}
