#include <wisp/sim/world.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Batch;
using wisp::Duration;
using wisp::Failed;
using wisp::Result;
using wisp::sim::World;

constexpr int kBatchPublishers = 3;
constexpr int kBatchEach = 20;
constexpr int kBatchAttempts = 3;

struct Item {
  int key;  // 0: none
  int number;
};

std::string batch_key(int key) { return key == 0 ? std::string() : "key-" + std::to_string(key); }

// A subscription of batches, and what its handler saw.
struct BatchScene {
  explicit BatchScene(std::uint64_t seed)
      : world(seed),
        runtime(world.options()),
        size(pick(1, 8)),
        window(pick(0, 2) * 40ms),
        serial(pick(0, 2) == 0) {}

  World world;
  wisp::Runtime runtime;
  std::optional<wisp::Observation> watch = wisp::test::watch_some(world, runtime);
  int size;
  Duration window;
  bool serial;
  bool stopping = false;
  int sent = 0;

  int inside = 0;
  std::set<int> keys_inside;
  std::map<int, int> attempts;              // that counted, by number
  std::map<int, std::vector<int>> order{};  // by key, each once
  std::set<int> over;
  std::map<int, wisp::Time> accepted;
  std::set<std::set<int>> failed_whole;  // whose halves are to come
  int partial = 0;

  int pick(int low, int high) { return static_cast<int>(wisp::uniform(world.random(), low, high)); }

  void publish(wisp::Context& context) {
    for (int i = 0; i < kBatchEach; ++i) {
      const Item item{pick(0, 4), sent++};
      accepted[item.number] = world.clock().now();
      CHECK(context.runtime().emit("work", item, {.key = batch_key(item.key)}).ok());
      if (!context.sleep(pick(0, 2) * 10ms).ok()) return;
    }
  }

  // Whether it is the half of one that failed as a whole.
  bool is_half(const std::set<int>& numbers) {
    for (const auto& each : failed_whole) {
      if (each.size() > numbers.size() &&
          std::includes(each.begin(), each.end(), numbers.begin(), numbers.end()))
        return true;
    }
    return false;
  }

  void check_begins(const Batch<Item>& batch, bool half) {
    CHECK(batch.size() <= static_cast<std::size_t>(size));
    wisp::Time oldest = wisp::Time::never();
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const Item& item = batch[i];
      oldest = std::min(oldest, accepted[item.number]);
      CHECK_FALSE(over.contains(item.number));
      CHECK(batch.event(i).key == batch_key(item.key));
      if (item.key == 0) continue;
      CHECK(keys_inside.insert(item.key).second);
      auto& list = order[item.key];
      if (list.empty() || list.back() != item.number) list.push_back(item.number);
    }
    if (half || stopping) return;
    const bool whole = batch.size() == static_cast<std::size_t>(size);
    CHECK((whole || world.clock().now() - oldest >= window));
  }

  Result<Failed> handle(const Batch<Item>& batch, wisp::Context& context) {
    std::set<int> numbers;
    for (const Item& item : batch) numbers.insert(item.number);
    CHECK(numbers.size() == batch.size());
    CHECK(++inside <= (serial ? 1 : 1000));
    const wisp::RuntimeStats stats = runtime.stats();
    for (const wisp::FunctionStats& each : stats.functions)
      if (each.name == "on work") CHECK(each.accepted <= stats.events.accepted);
    check_begins(batch, is_half(numbers));
    const wisp::Status slept = context.sleep(pick(0, 2) * 10ms);
    --inside;
    for (const Item& item : batch) keys_inside.erase(item.key);
    WISP_TRY(slept);
    const bool whole = pick(0, 5) == 0;
    if (whole || batch.size() == 1) {
      const bool fails = whole || pick(0, 3) == 0;
      if (fails && batch.size() > 1) failed_whole.insert(numbers);
      if (fails && batch.size() == 1) spend(batch[0], batch.event(0), context);
      if (fails) return wisp::unavailable("all of them");
    }
    Failed failed;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (batch.size() > 1 && pick(0, 4) == 0) {
        ++partial;
        failed.add(i);
        ++attempts[batch[i].number];
      } else {
        ++attempts[batch[i].number];
        over.insert(batch[i].number);
      }
    }
    return failed;
  }

  // The attempt of a delivery by itself is its own.
  void spend(const Item& item, const wisp::Event&, wisp::Context& context) {
    CHECK(context.attempt() == ++attempts[item.number]);
  }
};

void run_batches(std::uint64_t seed, int& partial, std::size_t& bisected) {
  BatchScene scene(seed);
  const auto publish =
      wisp::function("publish", [&](wisp::Context& context) { scene.publish(context); });
  REQUIRE(scene.runtime.registry().add(publish).ok());
  auto subscription = scene.runtime.on("work")
                          .deliver({.attempts = kBatchAttempts,
                                    .serial = scene.serial,
                                    .batch = {.size = scene.size, .window = scene.window}})
                          .to([&](const Batch<Item>& batch, wisp::Context& context) {
                            return scene.handle(batch, context);
                          });
  REQUIRE(subscription.status().ok());
  std::vector<wisp::Pending<void>> publishers;
  for (int i = 0; i < kBatchPublishers; ++i) publishers.push_back(scene.runtime.start(publish));
  const int end = scene.pick(0, 3);
  scene.world.advance(end == 0 ? scene.pick(1, 300) * 1ms : 1h);
  if (end == 0) {
    scene.stopping = true;
    (void)scene.runtime.stop(scene.pick(0, 1) * 1h);
  }
  const wisp::EventStats events = scene.runtime.stats().events;
  CHECK(events.accepted == events.done + events.dead + events.expired + events.cancelled);
  CHECK(events.done == scene.over.size());
  for (const wisp::FunctionStats& each : scene.runtime.stats().functions)
    if (each.name == "on work") CHECK(each.accepted == events.accepted);
  for (const wisp::DeadLetter& letter : scene.runtime.dead_letters().list()) {
    const int number = letter.event->as<Item>()->number;
    CHECK(letter.attempts == kBatchAttempts);
    CHECK(scene.attempts[number] == kBatchAttempts);
    CHECK_FALSE(scene.over.contains(number));
  }
  if (end != 0) {
    CHECK(events.accepted == kBatchPublishers * kBatchEach);
    CHECK(events.dead == scene.runtime.dead_letters().size());
    for (const auto& [key, list] : scene.order) CHECK(std::is_sorted(list.begin(), list.end()));
  }
  partial += scene.partial;
  bisected += scene.failed_whole.size();
}

}  // namespace

TEST_CASE("batch: sizes, windows, partial and whole failures, and order by key", "[batch]") {
  int partial = 0;
  std::size_t bisected = 0;
  wisp::test::for_each_seed([&](std::uint64_t seed) { run_batches(seed, partial, bisected); });
  if (!wisp::test::many_seeds()) return;
  CHECK(partial > 0);
  CHECK(bisected > 0);
}

TEST_CASE("batch: halves find the poison, at once and without an attempt of the others",
          "[batch]") {
  wisp::test::for_each_seed([&](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    const int poison = static_cast<int>(wisp::uniform(world.random(), 0, 49));
    int calls = 0;
    std::set<int> done;
    auto subscription =
        runtime.on("work")
            .deliver({.attempts = 2, .batch = {.size = 50, .window = 1s}})
            .to([&](const Batch<int>& batch, wisp::Context& context) -> wisp::Status {
              ++calls;
              if (std::find(batch.begin(), batch.end(), poison) != batch.end()) {
                // Spent by the poison alone, and only where it stood alone.
                CHECK((batch.size() == 1 || context.attempt() == 1));
                return wisp::unavailable("poison");
              }
              CHECK(context.attempt() == 1);
              for (const int each : batch) CHECK(done.insert(each).second);
              return wisp::Status();
            });
    for (int i = 0; i < 50; ++i) REQUIRE(runtime.emit("work", i).ok());
    world.run_until_idle();
    CHECK(done.size() == 49);
    CHECK(calls <= 13);  // twice the depth of the halves, and the whole
    world.advance(1h);
    CHECK(runtime.stats().events.done == 49);
    REQUIRE(runtime.dead_letters().size() == 1);
    CHECK(*runtime.dead_letters().list().front().event->as<int>() == poison);
    CHECK(runtime.dead_letters().list().front().attempts == 2);
  });
}
