#include <wisp/sim/world.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::CallOptions;
using wisp::Context;
using wisp::Duration;
using wisp::Result;
using wisp::Status;
using wisp::StatusCode;
using wisp::Time;
using wisp::sim::World;

struct Order {
  int number = 0;
  std::string key;
};

// A run of the handler that came to its end, and what a caller was given.
struct Ran {
  std::string key;
  Time at;
  int value;  // 0: it failed
};
struct Charged {
  std::string key;
  Time at;
  Result<int> result;
};

constexpr int kKeys = 3;

// A shop whose charges are slow, fail, and hang until they are told to stop; and its callers.
class ChargingShop {
 public:
  ChargingShop(std::uint64_t seed, int rows)
      : world_(seed), runtime_(world_.options({.idempotency = {.rows = rows}})) {
    REQUIRE(runtime_.registry().add(charge_).ok());
    REQUIRE(runtime_.registry().add(caller_).ok());
  }

  World& world() { return world_; }
  wisp::Runtime& runtime() { return runtime_; }
  int any(int low, int high) { return static_cast<int>(wisp::uniform(world_.random(), low, high)); }

  // By call or by start, with a deadline perhaps, cancelled perhaps.
  void come(wisp::Runtime& runtime) {
    const std::string key = std::to_string(any(1, kKeys));
    const Order order{++orders_, key};
    CallOptions options{.idempotency_key = key};
    if (any(0, 3) == 0) options.timeout = any(1, 40) * 1ms;
    if (any(0, 1) == 0) {
      const Result<int> result = runtime.call(charge_, order, options);
      seen.push_back({key, world_.clock().now(), result});
      return;
    }
    auto pending = runtime.start(charge_, order, options);
    if (any(0, 5) == 0) pending.cancel();
    const Result<int> result = pending.wait();
    seen.push_back({key, world_.clock().now(), result});
    if (result.ok() && pending.receipt().attempts == 0) ++remembered;
  }

  void crowd(int callers) {
    for (int i = 0; i < callers; ++i) (void)runtime_.post(caller_);
    come(runtime_);
    world_.advance(1h);
  }

  std::vector<Ran> ran;
  std::vector<Charged> seen;
  int remembered = 0;
  int late = 0;  // runs that lasted longer than their holder may

 private:
  Result<int> run(const Order& order, Context& context) {
    const Time began = world_.clock().now();
    Result<int> result = charge(order, context);
    const bool over = world_.clock().now() - began >= wisp::kIdempotencyHolderMax;
    if (over || context.deadline().passed(world_.clock())) ++late;
    return result;
  }
  Result<int> charge(const Order& order, Context& context) {
    const int how = any(0, 9);
    if (how < 3) WISP_TRY(context.sleep(any(0, 20) * 1ms));
    if (how == 3) WISP_TRY(context.sleep(20min));  // beyond what a holder is given
    if (how == 4 || how == 5) {
      ran.push_back({order.key, world_.clock().now(), 0});
      return wisp::unavailable("failed {}", order.number);
    }
    if (how == 6) world_.yield();
    // What comes back too late is no result.
    if (!context.deadline().passed(world_.clock()) && !context.cancelled())
      ran.push_back({order.key, world_.clock().now(), order.number});
    return order.number;
  }

  World world_;
  wisp::Runtime runtime_;
  std::optional<wisp::Observation> watch_ = wisp::test::watch_some(world_, runtime_);
  int orders_ = 0;
  wisp::Function<int, Order> charge_ = wisp::function(
      "charge", [this](const Order& order, Context& context) { return run(order, context); });
  wisp::Function<void, void> caller_ = wisp::function("caller", [this](Context& context) {
    (void)context.sleep(any(0, 30) * 1ms);
    come(context.runtime());
  });
};

// Values of a key that somebody was given in a window, and those that ran.
void check_window(const ChargingShop& shop, std::size_t ran_from, std::size_t seen_from,
                  bool exact) {
  std::map<std::string, std::vector<int>> values;
  std::map<std::string, std::vector<int>> runs;
  for (std::size_t i = ran_from; i < shop.ran.size(); ++i)
    if (shop.ran[i].value != 0) runs[shop.ran[i].key].push_back(shop.ran[i].value);
  for (std::size_t i = seen_from; i < shop.seen.size(); ++i) {
    const Charged& seen = shop.seen[i];
    if (!seen.result.ok()) continue;
    std::vector<int>& all = values[seen.key];
    if (std::find(all.begin(), all.end(), *seen.result) == all.end()) all.push_back(*seen.result);
    // Nobody is given what no handler of that key has made.
    const std::vector<int>& made = runs[seen.key];
    CHECK(std::find(made.begin(), made.end(), *seen.result) != made.end());
  }
  if (!exact) return;
  for (const auto& [key, all] : values) {
    INFO("key " << key);
    CHECK(all.size() == 1);
    CHECK(runs[key].size() == 1);
  }
}

}  // namespace

TEST_CASE("idempotency: one run and one result for each key and window", "[idempotency]") {
  int windows = 0;
  int remembered = 0;
  wisp::test::for_each_seed([&](std::uint64_t seed) {
    ChargingShop shop(seed, wisp::kIdempotencyRowsMax);
    for (int window = 0; window < 2; ++window) {
      const int late = shop.late;
      const std::size_t ran = shop.ran.size();
      const std::size_t seen = shop.seen.size();
      const std::uint64_t taken_over = shop.runtime().stats().idempotency.taken_over;
      shop.crowd(10);
      const wisp::IdempotencyStats stats = shop.runtime().stats().idempotency;
      CHECK(shop.seen.size() == seen + 11);
      CHECK(stats.forgotten == 0);
      // Who is taken over may come to its own end beside the one that holds the key then.
      const bool exact = shop.late == late;
      if (exact) CHECK(stats.taken_over == taken_over);
      check_window(shop, ran, seen, exact);
      windows += exact ? 1 : 0;
      shop.world().advance(25h);
    }
    CHECK(shop.runtime().stats().queued == 0);
    remembered += shop.remembered;
  });
  if (!wisp::test::many_seeds()) return;
  CHECK(windows > 0);
  CHECK(remembered > 0);
}

TEST_CASE("idempotency: a table at its bound gives nobody a wrong result", "[idempotency]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    ChargingShop shop(seed, 2);
    shop.crowd(10);
    check_window(shop, 0, 0, false);
    CHECK(shop.runtime().stats().idempotency.rows <= 2);
    for (const Charged& each : shop.seen) {
      if (wisp::reason_of(each.result.status()) == wisp::Reason::full)
        CHECK(each.result.status().code() == StatusCode::kResourceExhausted);
    }
    CHECK(shop.runtime().stats().queued == 0);
  });
}

TEST_CASE("idempotency: who waits for a first that fails is given its error", "[idempotency]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    int runs = 0;
    const auto fail = wisp::function("fail", [&runs](int n, Context& context) -> Result<int> {
      ++runs;
      WISP_TRY(context.sleep(10ms));
      return wisp::unavailable("failed {}", n);
    });
    std::vector<Status> errors;
    const auto caller = wisp::function("caller", [&](Context& context) {
      errors.push_back(context.runtime().call(fail, 2, {.idempotency_key = "a"}).status());
    });
    REQUIRE(runtime.registry().add(fail).ok());
    REQUIRE(runtime.registry().add(caller).ok());
    auto first = runtime.start(fail, 1, {.idempotency_key = "a"});
    world.advance(1ms);
    for (int i = 0; i < 3; ++i) REQUIRE(runtime.post(caller).ok());
    auto second = runtime.start(fail, 3, {.idempotency_key = "a"});
    world.advance(1min);
    REQUIRE(second.ready());
    CHECK(runs == 1);
    CHECK(wisp::message(second.wait().status()) == "failed 1");
    REQUIRE(errors.size() == 3);
    for (const Status& each : errors) CHECK(wisp::message(each) == "failed 1");
    // And the next one tries again.
    CHECK_FALSE(runtime.call(fail, 4, {.idempotency_key = "a"}).ok());
    CHECK(runs == 2);
  });
}

TEST_CASE("idempotency: of posts and emits of a key one is delivered in each window",
          "[idempotency]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    int posted = 0;
    int emitted = 0;
    const auto count = wisp::function("count", [&posted](Context& context) {
      ++posted;
      (void)context.sleep(1ms);
    });
    REQUIRE(runtime.registry().add(count).ok());
    auto all = runtime.on("a.>").to([&emitted](int) { ++emitted; });
    auto here =
        runtime.on("a.>").deliver({.synchronous = true}).to([&world](int, Context& context) {
          return context.sleep(wisp::uniform(world.random(), 0, 2) * 1ms);
        });
    std::vector<wisp::EventId> posts;
    std::vector<wisp::EventId> emits;
    const auto publish = wisp::function("publish", [&](int n, Context& context) {
      (void)context.sleep(wisp::uniform(world.random(), 0, 3) * 1ms);
      const auto post = context.runtime().post(count, {.idempotency_key = "a"});
      const auto emit = context.runtime().emit("a.b", n, {.idempotency_key = "a"});
      CHECK(post.ok());
      CHECK(emit.ok());
      posts.push_back(*post);
      emits.push_back(*emit);
    });
    REQUIRE(runtime.registry().add(publish).ok());
    for (int window = 1; window <= 2; ++window) {
      posts.clear();
      emits.clear();
      for (int n = 0; n < 6; ++n) REQUIRE(runtime.post(publish, n).ok());
      world.advance(1h);
      CHECK(posted == window);
      CHECK(emitted == window);
      REQUIRE(posts.size() == 6);
      for (const wisp::EventId each : posts) CHECK(each == posts.front());
      for (const wisp::EventId each : emits) CHECK(each == emits.front());
      CHECK(runtime.stats().events.duplicates == static_cast<std::uint64_t>(10 * window));
      world.advance(25h);
    }
    wisp::test::conserved_at_rest(runtime);
  });
}
