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
using wisp::Overflow;
using wisp::Status;
using wisp::sim::World;

constexpr int kOrderPublishers = 3;
constexpr int kOrderKeys = 3;
constexpr int kOrderEach = 12;

struct Sent {
  int key;  // 0: none
  int publisher;
  int number;
};

std::string order_key(int key) { return key == 0 ? std::string() : "key-" + std::to_string(key); }

// When a publisher was at it.
struct Stamps {
  int begun = 0;
  int ended = 0;
};

// What the handlers of one route saw.
struct OrderSeen {
  std::map<int, int> inside{};
  int all_inside = 0;
  std::map<int, std::vector<std::pair<int, int>>> order{};  // by key, each once
  std::map<std::pair<int, int>, int> succeeded{};

  void enter(const Sent& sent) {
    ++all_inside;
    const int inside_now = ++inside[sent.key];
    if (sent.key == 0) return;
    CHECK(inside_now == 1);
    const std::pair<int, int> its{sent.publisher, sent.number};
    auto& list = order[sent.key];
    // Another attempt of the last one, or one that was never seen.
    if (!list.empty() && list.back() == its) return;
    CHECK(std::find(list.begin(), list.end(), its) == list.end());
    list.push_back(its);
  }
  void leave(const Sent& sent) {
    --all_inside;
    --inside[sent.key];
  }
};

struct OrderScene {
  explicit OrderScene(std::uint64_t seed, wisp::Threads threads = wisp::Threads::pool)
      : pumped(threads == wisp::Threads::none),
        world(seed),
        runtime(world.options(
            {.threads = threads, .queue = {.count = pick(2, 30), .act = any_act()}})) {}

  bool pumped;
  World world;
  wisp::Runtime runtime;
  std::optional<wisp::Observation> watch = wisp::test::watch_some(world, runtime);
  int now = 0;
  std::map<std::pair<int, int>, Stamps> stamps;
  std::vector<std::unique_ptr<OrderSeen>> routes;
  bool overlapped = false;

  int pick(int low, int high) { return static_cast<int>(wisp::uniform(world.random(), low, high)); }
  Overflow any_act() { return static_cast<Overflow>(pick(0, 4)); }

  Status handle(OrderSeen& seen, const Sent& sent, wisp::Context& context) {
    seen.enter(sent);
    overlapped = overlapped || seen.all_inside > 1;
    const Status slept = pumped ? Status() : context.sleep(pick(0, 3) * 10ms);
    seen.leave(sent);
    WISP_TRY(slept);
    const int luck = pick(0, 11);
    if (luck < 4) return wisp::unavailable("not yet");
    if (luck == 4) return wisp::invalid_argument("never");
    CHECK(++seen.succeeded[{sent.publisher, sent.number}] == 1);
    return Status();
  }

  auto handler() {
    routes.push_back(std::make_unique<OrderSeen>());
    return [this, &seen = *routes.back()](const Sent& sent, wisp::Context& context) {
      return handle(seen, sent, context);
    };
  }

  void send(int publisher, int number, const auto& posted, wisp::Runtime& to) {
    const Sent sent{pick(0, kOrderKeys), publisher, number};
    const std::string key = order_key(sent.key);
    Stamps& its = stamps[{publisher, number}];
    its.begun = ++now;
    const wisp::CallOptions options{.timeout = 1min, .key = key};
    if (pick(0, 1) == 0) (void)to.post(posted, sent, options).ok();
    else (void)to.emit("work", sent, options).ok();
    its.ended = ++now;
  }

  // Some of it is blocked by full queues.
  void publish(int publisher, const auto& posted, wisp::Context& context) {
    for (int number = 0; number < kOrderEach; ++number) {
      send(publisher, number, posted, context.runtime());
      if (!context.sleep(pick(0, 2) * 5ms).ok()) return;
    }
  }

  // What was sent once another one had been accepted comes after it.
  void check_order() const {
    for (const auto& seen : routes) {
      for (const auto& [key, list] : seen->order) {
        int latest = 0;
        for (const auto& each : list) {
          const Stamps& its = stamps.at(each);
          // 0: its emit never came back.
          if (its.ended != 0) CHECK(its.ended > latest);
          latest = std::max(latest, its.begun);
        }
      }
    }
  }
};

bool run_ordered(std::uint64_t seed) {
  OrderScene scene(seed);
  const auto limited = wisp::function("limited", scene.handler(), {.limits = {.concurrency = 2}});
  const auto posted = wisp::function("posted", scene.handler(), {.retry = {.attempts = 3}});
  const auto publish = wisp::function("publish", [&](int publisher, wisp::Context& context) {
    scene.publish(publisher, posted, context);
  });
  wisp::Runtime& runtime = scene.runtime;
  for (const Status& added : {runtime.registry().add(limited), runtime.registry().add(posted),
                              runtime.registry().add(publish)})
    REQUIRE(added.ok());
  std::vector<wisp::Subscription> subscriptions;
  const auto subscribe = [&](const auto& to, bool serial) {
    subscriptions.push_back(
        runtime.on("work")
            .deliver({.attempts = scene.pick(1, 4),
                      .serial = serial,
                      .queue = {.count = scene.pick(1, 30), .act = scene.any_act()}})
            .to(to));
    REQUIRE(subscriptions.back().status().ok());
  };
  subscribe(scene.handler(), false);
  subscribe(scene.handler(), scene.pick(0, 1) == 0);
  subscribe(limited, false);
  std::vector<wisp::Pending<void>> publishers;
  for (int i = 0; i < kOrderPublishers; ++i) publishers.push_back(runtime.start(publish, i));
  scene.world.advance(scene.pick(1, 200) * 1ms);
  const int end = scene.pick(0, 3);
  if (end == 0) subscriptions.pop_back();
  if (end == 1) (void)runtime.stop(scene.pick(0, 100) * 1ms);
  scene.world.advance(1h);
  scene.check_order();
  const wisp::EventStats events = runtime.stats().events;
  CHECK(events.accepted == events.done + events.dead + events.expired + events.cancelled);
  CHECK(runtime.stats().queued == 0);
  std::size_t succeeded = 0;
  for (const auto& seen : scene.routes) succeeded += seen->succeeded.size();
  CHECK(events.done == succeeded);
  return scene.overlapped;
}

}  // namespace

TEST_CASE("order: one of a key at a time and in the order accepted, through retries and ends",
          "[order]") {
  int overlapped = 0;
  wisp::test::for_each_seed([&](std::uint64_t seed) { overlapped += run_ordered(seed) ? 1 : 0; });
  if (wisp::test::many_seeds()) CHECK(overlapped >= wisp::test::seeds_here().count() * 9 / 10);
}

TEST_CASE("order: under a pump too", "[order]") {
  wisp::test::for_each_seed([&](std::uint64_t seed) {
    OrderScene scene(seed, wisp::Threads::none);
    const auto posted = wisp::function("posted", scene.handler(), {.retry = {.attempts = 3}});
    wisp::Runtime& runtime = scene.runtime;
    REQUIRE(runtime.registry().add(posted).ok());
    auto subscription =
        runtime.on("work")
            .deliver({.serial = scene.pick(0, 1) == 0,
                      .queue = {.count = scene.pick(1, 30), .act = scene.any_act()}})
            .to(scene.handler());
    for (int number = 0; number < 3 * kOrderEach; ++number) {
      scene.send(0, number, posted, runtime);
      if (scene.pick(0, 2) == 0) runtime.pump({.tasks = scene.pick(1, 5)});
      if (scene.pick(0, 4) == 0) scene.world.advance(scene.pick(0, 100) * 1ms);
    }
    for (int i = 0; i < 1000 && runtime.stats().queued > 0; ++i) {
      runtime.pump();
      scene.world.advance(100ms);
    }
    scene.check_order();
    const wisp::EventStats events = runtime.stats().events;
    CHECK(events.accepted == events.done + events.dead + events.expired + events.cancelled);
    CHECK(runtime.stats().queued == 0);
  });
}

TEST_CASE("order: a poison event holds up its own key alone", "[order]") {
  wisp::test::for_each_seed([&](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    std::vector<Sent> done;
    auto subscription = runtime.on("work").deliver({.attempts = 4}).to([&](const Sent& sent) {
      if (sent.key == 1 && sent.number == 0) return wisp::unavailable("poison");
      // Not before the last attempt of what came before it.
      if (sent.key == 1 && sent.number < 3) CHECK(runtime.stats().dead_letters == 1);
      done.push_back(sent);
      return Status();
    });
    for (int number = 0; number < 3; ++number) {
      for (int key = 0; key <= kOrderKeys; ++key)
        REQUIRE(runtime.emit("work", Sent{key, 0, number}, {.key = order_key(key)}).ok());
    }
    world.run_until_idle();
    CHECK(done.size() == 3 * kOrderKeys);  // all others, at once
    world.advance(1h);
    CHECK(done.size() == 3 * kOrderKeys + 2);
    // Anew, and behind what its key has meanwhile.
    REQUIRE(runtime.dead_letters().list().front().event->key == order_key(1));
    REQUIRE(runtime.emit("work", Sent{1, 0, 3}, {.key = order_key(1)}).ok());
    CHECK(runtime.dead_letters().redrive(1) == 1);
    REQUIRE(runtime.emit("work", Sent{1, 0, 4}, {.key = order_key(1)}).ok());
    world.run_until_idle();
    CHECK(done.back().number == 3);
  });
}
