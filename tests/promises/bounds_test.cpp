#include <wisp/sim/world.hpp>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Duration;
using wisp::Overflow;
using wisp::Status;
using wisp::sim::World;

constexpr int kBoundsPublishers = 3;
constexpr int kBoundsEach = 10;
constexpr std::size_t kBytesMost = 400;

std::size_t bytes_of(const std::string& text) { return wisp::Payload::of(text).bytes(); }

// What a bounded queue is to do, done on a list.
struct Model {
  struct Sent {
    std::string text;
    std::string key;
    std::size_t bytes;
  };
  enum class Says { accepted, refused, waits };

  wisp::Queue queue;
  std::vector<Sent> waiting{};
  std::size_t used = 0;
  std::uint64_t accepted = 0, refused = 0;
  std::uint64_t dropped_oldest = 0, dropped_newest = 0, coalesced = 0;

  bool full(std::size_t bytes, std::size_t without_count = 0, std::size_t without_bytes = 0) const {
    const std::size_t held = waiting.size() - without_count;
    return held >= static_cast<std::size_t>(queue.count) ||
           (held > 0 && used - without_bytes + bytes > queue.bytes);
  }
  void remove(std::vector<Sent>::iterator each) {
    used -= each->bytes;
    waiting.erase(each);
  }
  bool make_room(const Sent& sent) {
    const bool any = queue.act == Overflow::drop_oldest;
    const auto goes = [&](const Sent& each) { return any || each.key == sent.key; };
    if (!any && sent.key.empty()) return false;
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (const Sent& each : waiting) {
      if (!goes(each)) continue;
      ++count;
      bytes += each.bytes;
    }
    if (count == 0 || full(sent.bytes, count, bytes)) return false;
    while (full(sent.bytes)) {
      remove(std::find_if(waiting.begin(), waiting.end(), goes));
      ++(any ? dropped_oldest : coalesced);
    }
    return true;
  }
  Says publish(const Sent& sent) {
    const bool drops = queue.act == Overflow::drop_oldest || queue.act == Overflow::coalesce;
    if (full(sent.bytes) && !(drops && make_room(sent))) {
      if (queue.act == Overflow::block) return Says::waits;
      if (queue.act == Overflow::drop_newest) {
        ++accepted;
        ++dropped_newest;
        return Says::accepted;
      }
      ++refused;
      return Says::refused;
    }
    add(sent);
    return Says::accepted;
  }
  void add(const Sent& sent) {
    ++accepted;
    used += sent.bytes;
    waiting.push_back(sent);
  }
  // False: it should not be there any more.
  bool begin(const std::string& text) {
    const auto each = std::find_if(waiting.begin(), waiting.end(),
                                   [&](const Sent& sent) { return sent.text == text; });
    if (each == waiting.end()) return false;
    remove(each);
    return true;
  }
  std::uint64_t dropped() const { return dropped_oldest + dropped_newest + coalesced; }
};

// Publishers and a slow route with one bounded queue, beside its model.
struct BoundsScene {
  explicit BoundsScene(std::uint64_t seed)
      : world(seed, {.threads_max = kBoundsPublishers + 2}),
        model{any_queue()},
        runtime(world.options({.queue = posts ? model.queue : wisp::Queue()})) {}

  World world;
  bool posts = pick(0, 1) == 0;
  Model model;
  wisp::Runtime runtime;
  std::optional<wisp::Observation> watch = wisp::test::watch_some(world, runtime);
  std::uint64_t ran = 0;
  std::uint64_t mismatched = 0;
  int blocked = 0;
  wisp::Subscription subscription;
  std::map<std::string, std::string> last_of_key;  // accepted
  std::vector<std::string> seen;

  int pick(int low, int high) { return static_cast<int>(wisp::uniform(world.random(), low, high)); }
  wisp::Queue any_queue() {
    wisp::Queue queue{.act = static_cast<Overflow>(pick(0, 4))};
    if (pick(0, 1) == 0) queue.count = pick(1, 5);
    else queue.bytes = static_cast<std::size_t>(pick(100, 1000));
    return queue;
  }

  void check_counts() {
    const wisp::EventStats events = runtime.stats().events;
    CHECK(events.accepted == model.accepted + mismatched);
    CHECK(events.refused == model.refused);
    CHECK(events.dropped_oldest == model.dropped_oldest);
    CHECK(events.dropped_newest == model.dropped_newest);
    CHECK(events.coalesced == model.coalesced);
    CHECK(events.dropped == model.dropped());
    CHECK(model.waiting.size() <= static_cast<std::size_t>(model.queue.count));
    CHECK((model.used <= model.queue.bytes || model.waiting.size() == 1));
    if (!posts) CHECK(subscription.queued() == static_cast<int>(model.waiting.size()));
  }

  Status handle(const std::string& text, wisp::Context& context) {
    INFO(text);
    CHECK(model.begin(text));
    ++ran;
    seen.push_back(text);
    check_counts();
    return context.sleep(pick(0, 4) * 10ms);
  }

  // Requires: `text` is its own.
  void send(const Model::Sent& sent, const auto& function, wisp::Context& context) {
    const Duration patience = pick(0, 2) * 20ms;
    const wisp::CallOptions options{.timeout = patience, .key = sent.key};
    const Duration limit = patience == 0ms ? wisp::kBlockMax : patience;
    const wisp::Time began = world.clock().now();
    const auto publish = [&] {
      if (posts) return context.runtime().post(function, sent.text, options);
      return context.runtime().emit("work", sent.text, options);
    };
    // A publisher that is let in has its place before anything else happens.
    Model::Says says = model.publish(sent);
    const Status status = publish().status();
    const Duration took = world.clock().now() - began;
    if (says == Model::Says::waits) {
      ++blocked;
      if (status.ok()) model.add(sent);
      else ++model.refused;
      CHECK(took <= limit);
      if (!status.ok()) CHECK(took == limit);
    } else {
      CHECK(status.ok() == (says == Model::Says::accepted));
      CHECK(took == 0ms);
    }
    if (!status.ok()) CHECK(wisp::reason_of(status) == wisp::Reason::full);
    else if (!sent.key.empty()) last_of_key[sent.key] = sent.text;
    check_counts();
  }

  void publish(int publisher, const auto& function, wisp::Context& context) {
    for (int number = 0; number < kBoundsEach; ++number) {
      const int key = pick(0, 3);
      std::string text = std::to_string(publisher) + "." + std::to_string(number) + " ";
      text.resize(static_cast<std::size_t>(pick(20, kBytesMost)), '.');
      const std::size_t bytes = bytes_of(text);
      send({std::move(text), key == 0 ? "" : std::to_string(key), bytes}, function, context);
      if (!posts && pick(0, 9) == 0) {
        // Not the queue's matter, however full.
        CHECK(context.runtime().emit("work", number).ok());
        ++mismatched;
      }
      if (!context.sleep(pick(0, 3) * 5ms).ok()) return;
    }
  }
};

int run_bounded(std::uint64_t seed) {
  BoundsScene scene(seed);
  wisp::Runtime& runtime = scene.runtime;
  const auto take = wisp::function(
      "take",
      [&](const std::string& text, wisp::Context& context) { return scene.handle(text, context); },
      {.retry = {.attempts = 1}});
  const auto publish = wisp::function("publish", [&](int publisher, wisp::Context& context) {
    scene.publish(publisher, take, context);
  });
  REQUIRE(runtime.registry().add(take).ok());
  REQUIRE(runtime.registry().add(publish).ok());
  if (!scene.posts) {
    scene.subscription = runtime.on("work")
                             .deliver({.serial = scene.pick(0, 1) == 0, .queue = scene.model.queue})
                             .to(take);
    REQUIRE(scene.subscription.status().ok());
  }
  std::vector<wisp::Pending<void>> publishers;
  for (int i = 0; i < kBoundsPublishers; ++i) publishers.push_back(runtime.start(publish, i));
  const bool ends = scene.pick(0, 3) == 0;
  scene.world.advance(ends ? scene.pick(1, 150) * 1ms : 1h);
  if (ends) {
    // Its end cancels what waits: the model knows how many.
    for (auto& each : publishers) (void)each.wait();
    const std::size_t left = scene.model.waiting.size();
    (void)runtime.stop(0ms);
    CHECK(runtime.stats().events.cancelled >= left);
  } else {
    CHECK(scene.model.waiting.empty());
    CHECK(runtime.stats().events.done == scene.ran);
    CHECK(scene.model.accepted == scene.ran + scene.model.dropped());
    if (scene.model.queue.act == Overflow::coalesce) {
      for (const auto& [key, text] : scene.last_of_key)
        CHECK(std::find(scene.seen.begin(), scene.seen.end(), text) != scene.seen.end());
    }
    CHECK(runtime.dead_letters().size() == scene.mismatched);
    for (const wisp::DeadLetter& letter : runtime.dead_letters().list())
      CHECK(letter.error.code() == wisp::StatusCode::kInvalidArgument);
  }
  const wisp::EventStats events = runtime.stats().events;
  CHECK(events.accepted == events.done + events.dead + events.expired + events.cancelled);
  CHECK(events.dead == events.dropped + scene.mismatched);
  return scene.blocked;
}

}  // namespace

TEST_CASE("bounds: each overflow act does what it says, to the last delivery", "[bounds]") {
  int blocked = 0;
  wisp::test::for_each_seed([&](std::uint64_t seed) { blocked += run_bounded(seed); });
  if (wisp::test::many_seeds()) CHECK(blocked > 0);
}

TEST_CASE("bounds: a key that is sent again and again comes to its turn", "[bounds]") {
  wisp::test::for_each_seed([&](std::uint64_t seed) {
    World world{seed, {.threads_max = 1}};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    constexpr int kCount = 4;
    std::vector<int> begun;
    auto slow = runtime.on("work")
                    .deliver({.queue = {.count = kCount, .act = Overflow::coalesce}})
                    .to([&](int n, wisp::Context& context) {
                      begun.push_back(n);
                      return context.sleep(100ms);
                    });
    int others = 0;
    int hot = 0;
    for (int round = 0; round < 3 * (kCount + 1); ++round) {
      // The others have whatever room there is.
      const bool waits = std::find(begun.begin(), begun.end(), hot) == begun.end() && hot != 0;
      if (!waits && runtime.emit("work", hot - 1, {.key = "hot"}).ok()) --hot;
      while (runtime.emit("work", others, {.key = std::to_string(others)}).ok()) ++others;
      for (auto i = wisp::uniform(world.random(), 1, 3); i > 0; --i) {
        if (runtime.emit("work", hot - 1, {.key = "hot"}).ok()) --hot;
      }
      world.advance(100ms);
    }
    std::vector<int> turns;
    std::copy_if(begun.begin(), begun.end(), std::back_inserter(turns),
                 [](int n) { return n < 0; });
    CHECK(turns.size() >= 3);
    CHECK(std::is_sorted(turns.rbegin(), turns.rend()));
    CHECK(runtime.stats().events.coalesced > 0);
  });
}

TEST_CASE("bounds: what waits for a pause or a slot to end makes room as in any queue",
          "[bounds]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.threads_max = 4}};
    const bool paused = seed % 2 == 0;
    const bool coalesces = seed % 4 < 2;
    const int count = static_cast<int>(wisp::uniform(world.random(), 1, 5));
    bool held = true;
    std::vector<int> begun;
    const auto narrow = wisp::function("narrow",
                                       [&](int n, wisp::Context& context) {
                                         begun.push_back(n);
                                         return context.sleep(held ? 1h : 1ms);
                                       },
                                       {.limits = {.concurrency = 1}});
    wisp::Runtime runtime{wisp::Catalogue().add(narrow), world.options({.adjustable = true})};
    const auto watch = wisp::test::watch_some(world, runtime);
    const auto pause = [&](bool now) {
      return runtime.configure({.functions = {{.name = "narrow", .paused = now}}});
    };
    if (paused) REQUIRE(pause(true).ok());
    else REQUIRE(runtime.post(narrow, -1).ok());
    world.run_until_idle();
    const Overflow act = coalesces ? Overflow::coalesce : Overflow::drop_oldest;
    auto full = runtime.on("work").deliver({.queue = {.count = count, .act = act}}).to(narrow);
    int seen = 0;
    auto other = runtime.on("work").to([&seen](int) { ++seen; });
    constexpr int kEvents = 12;
    for (int n = 0; n < kEvents; ++n) {
      CHECK(runtime.emit("work", n, {.key = "same"}).ok());
      if (wisp::uniform(world.random(), 0, 1) == 0) world.run_until_idle();
    }
    CHECK(full.queued() == count);
    const wisp::EventStats events = runtime.stats().events;
    CHECK(events.dropped == static_cast<std::uint64_t>(kEvents - count));
    CHECK((coalesces ? events.coalesced : events.dropped_oldest) == events.dropped);
    held = false;
    if (paused) REQUIRE(pause(false).ok());
    world.advance(2h);
    CHECK(seen == kEvents);
    std::vector<int> latest;
    if (!paused) latest.push_back(-1);
    for (int n = kEvents - count; n < kEvents; ++n) latest.push_back(n);
    CHECK(begun == latest);
    wisp::test::conserved_at_rest(runtime);
  });
}
