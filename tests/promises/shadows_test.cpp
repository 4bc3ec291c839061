#include <cstdint>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::sim::World;

constexpr int kCalls = 25;

// What the two versions of a function make of a number.
class Versions {
 public:
  Versions(World& world, wisp::FunctionOptions options) : world_(world), options_(options) {}

  wisp::Function<int, int> version(int number) {
    return wisp::function(
        "f",
        [this, number](int n, Context& context) -> wisp::Result<int> {
          if (number == 1) first(n, context);
          else shadow(context);
          wisp::test::pass(world_.clock(), wisp::uniform(world_.random(), 0, 2) * 1ms);
          context.elapse(number * 1ms);
          return answer(number, n);
        },
        options_);
  }

  static wisp::Result<int> answer(int version, int n) {
    const int last = n % 10;
    if (last < 2 && version == 2) return wisp::internal("not yet");
    if (last == 2 || last == 3) return version * n;
    if (last == 4 || last == 5) return wisp::invalid_argument("no {}", n);
    if (last == 6 || last == 7) return wisp::unavailable("not now");
    return n;
  }

  std::uint64_t attempts() const { return attempts_; }
  std::uint64_t different() const { return different_; }

 private:
  void first(int n, const Context& context) {
    ++attempts_;
    CHECK((context.tenant() == "acme") == (n < 50));
    // Of odd ones it is known what came back, of even ones whether it went well.
    const int last = n % 10;
    different_ += last < 2 || last == 3 ? 1 : 0;
  }

  static void shadow(const Context& context) {
    CHECK(context.tenant().empty());
    CHECK(context.attempt() == 1);
  }

  World& world_;
  wisp::FunctionOptions options_;
  std::uint64_t attempts_ = 0;
  std::uint64_t different_ = 0;
};

void is_of_first(int n, const wisp::Result<int>& result) {
  const wisp::Result<int> expected = Versions::answer(1, n);
  CHECK(result.status().code() == expected.status().code());
  if (expected.ok() && result.ok()) CHECK(*result == *expected);
}

wisp::FunctionStats stats_of(const wisp::Runtime& runtime, int version) {
  for (const wisp::FunctionStats& each : runtime.stats().functions)
    if (each.name == "f" && each.version == version) return each;
  return {};
}

}  // namespace

TEST_CASE("shadows: each attempt is compared, on a line of its own, and no caller notices",
          "[versions]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options({.tariff = wisp::tariffs::aws_lambda_x86()})};
    const auto watch = wisp::test::watch_some(world, runtime);
    Versions versions(world, {.retry = {.attempts = 2, .first_delay = 2ms},
                              .meter = seed % 3 == 0 ? wisp::Meter::exact : wisp::Meter::batched});
    const auto f = versions.version(1);
    REQUIRE(runtime.registry().add(f).ok());
    REQUIRE(runtime.registry().publish(versions.version(2)).ok());
    auto queued = runtime.on("n").to(f);
    auto here = runtime.on("here").deliver({.synchronous = true}).to(f);
    REQUIRE(runtime.registry().shadow("f", 2).ok());
    std::uint64_t again = 0;  // second attempts of calls, which have no shadow
    for (int i = 0; i < kCalls; ++i) {
      const int n = 4 * i + 1;
      const wisp::CallOptions options{.tenant = n < 50 ? "acme" : ""};
      auto pending = runtime.start(f, n, options);
      is_of_first(n, runtime.call(f, n, options));
      is_of_first(n, pending.wait());
      again += n % 10 == 7 ? 2 : 0;
      REQUIRE(runtime.post(f, n - 1, options).ok());
      REQUIRE(runtime.emit("n", n - 1, options).ok());
      REQUIRE(runtime.emit("here", n - 1, options).ok());
      world.advance(10ms);
    }
    world.advance(1h);
    CHECK(versions.attempts() >= 5 * kCalls + again);
    const wisp::FunctionStats own = stats_of(runtime, 2);
    CHECK(own.shadowed == versions.attempts() - again);
    CHECK(own.shadow_skipped == 0);
    CHECK(own.differed == versions.different());
    CHECK(stats_of(runtime, 1).attempts == versions.attempts());
    CHECK(stats_of(runtime, 1).shadowed == 0);
    for (const wisp::BillLine& each : runtime.bill(2h).lines) {
      if (each.version != 2) continue;
      CHECK(each.tenant.empty());
      CHECK(each.attempts == own.shadowed);
    }
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("shadows: a share of the attempts, as far as there is room, and none once it has calls",
          "[versions]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const int limit = seed % 2 == 0 ? 0 : 2;
    int inside = 0;
    const auto take = [&] {
      return wisp::function("f",
                            [&](Context& context) {
                              CHECK((++inside <= limit || limit == 0));
                              (void)context.sleep(1ms);
                              --inside;
                            },
                            {.limits = {.concurrency = limit}});
    };
    const auto f = take();
    REQUIRE(runtime.registry().add(f).ok());
    REQUIRE(runtime.registry().publish(take()).ok());
    REQUIRE(runtime.registry().shadow("f", 2, 0.5).ok());
    for (int i = 0; i < 200; ++i) REQUIRE(runtime.post(f).ok());
    world.advance(1min);
    const wisp::FunctionStats own = stats_of(runtime, 2);
    CHECK(own.shadowed + own.shadow_skipped > 100 - 50);
    CHECK(own.shadowed + own.shadow_skipped < 100 + 50);
    CHECK(own.shadowed == own.attempts);
    CHECK(own.differed == 0);
    REQUIRE(runtime.registry().alias("f", {{2}}).ok());
    CHECK_FALSE(runtime.registry().find("f")->shadow.has_value());
    REQUIRE(runtime.registry().rollback("f").ok());
    // What is on its way when the runtime stops is waited for, or left out.
    REQUIRE(runtime.registry().shadow("f", 2).ok());
    for (int i = 0; i < 100; ++i) REQUIRE(runtime.post(f).ok());
    world.advance(wisp::uniform(world.random(), 0, 3) * 1ms);
    CHECK(runtime.stop(1min).status.ok());
    const wisp::FunctionStats last = stats_of(runtime, 2);
    CHECK(last.shadowed + last.shadow_skipped == own.shadowed + own.shadow_skipped + 100);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("shadows: none takes the slot that a call would have had", "[versions]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    const int limit = static_cast<int>(wisp::uniform(world.random(), 1, 3));
    const bool shared = seed % 2 == 0;  // no limit of its own, but what another leaves
    const auto version = [&](wisp::Duration takes) {
      return wisp::function("f", [takes](Context& context) { (void)context.sleep(takes); },
                            {.limits = {.concurrency = shared ? 0 : limit}});
    };
    const auto f = version(1ms);
    wisp::Catalogue functions;
    functions.add(f);
    if (shared) functions.add(wisp::function("kept", [] {}, {.limits = {.reserved = 4 - limit}}));
    wisp::Runtime runtime{functions, world.options({.workers = {.max = 4}})};
    REQUIRE(runtime.status().ok());
    REQUIRE(runtime.registry().publish(version(30ms)).ok());
    REQUIRE(runtime.registry().shadow("f", 2).ok());
    for (int n = 0; n < 20; ++n) {
      CHECK(runtime.call(f).ok());
      world.advance(wisp::uniform(world.random(), 0, 5) * 1ms);
    }
    world.advance(1s);
    const wisp::FunctionStats own = stats_of(runtime, 2);
    CHECK(own.shadowed + own.shadow_skipped == 20);
    CHECK((own.shadowed > 0) == (limit > 1));
    wisp::test::conserved_at_rest(runtime);
  });
}
