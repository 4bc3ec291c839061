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
using wisp::Context;
using wisp::Duration;
using wisp::Overflow;
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

// Deliveries by number, and their bytes.
struct Some {
  std::map<int, std::size_t> numbers;
  std::size_t bytes = 0;

  void add(int number, std::size_t size) {
    numbers[number] = size;
    bytes += size;
  }
  void remove(int number) {
    const auto place = numbers.find(number);
    if (place == numbers.end()) return;
    bytes -= place->second;
    numbers.erase(place);
  }
};

// A subscription with a bounded queue, and publishers that do not slow down.
struct Feed {
  Feed(std::uint64_t seed, Overflow act)
      : world(seed, {.threads_max = kThreads}), queue{any_queue(act)}, runtime(world.options()) {
    REQUIRE(runtime.registry().add(take).ok());
    on = runtime.on("work").deliver({.queue = queue}).to(take);
    REQUIRE(on.status().ok());
  }

  int pick(int low, int high) { return static_cast<int>(wisp::uniform(world.random(), low, high)); }
  wisp::Queue any_queue(Overflow act) {
    wisp::Queue any{.act = act};
    if (pick(0, 1) == 0) any.count = pick(20, 200);
    else any.bytes = static_cast<std::size_t>(pick(5'000, 40'000));
    return any;
  }

  Status handle(const std::string& text, Context& context) {
    ++(context.attempt() == 1 ? began : retried);
    waiting.remove(std::stoi(text));
    if (down) return wisp::unavailable("down");
    if (Status slept = context.sleep(kRun); !slept.ok()) return slept;
    held.remove(std::stoi(text));
    last_done = world.clock().now();
    ++done;
    check_bounds();
    return Status();
  }

  void emit() {
    std::string text = std::to_string(sent) + " ";
    text.resize(static_cast<std::size_t>(pick(20, kBytesMost)), '.');
    const Status status = runtime.emit("work", text).status();
    const wisp::EventStats now = runtime.stats().events;
    if (!status.ok()) {
      ++refused;
      CHECK(status.code() == StatusCode::kResourceExhausted);
      CHECK(wisp::reason_of(status) == wisp::Reason::full);
    } else if (now.dropped_newest == before.dropped_newest) {
      for (Some* each : {&held, &waiting}) each->add(sent, wisp::Payload::of(text).bytes());
      for (auto gone = now.dropped_oldest - before.dropped_oldest; gone > 0; --gone) {
        const int oldest = waiting.numbers.begin()->first;
        for (Some* each : {&held, &waiting}) each->remove(oldest);
      }
    }
    ++sent;
    before = now;
    check_bounds();
  }

  // What never began is within the bound. What is tried again was so too, but for what ran when its
  // place was given away.
  void check_bounds() const {
    const auto count = static_cast<std::size_t>(queue.count);
    const auto queued = static_cast<std::size_t>(on.queued());
    if (queued == waiting.numbers.size() && queued <= count && waiting.bytes <= queue.bytes &&
        held.numbers.size() <= count + kThreads &&
        held.bytes <= queue.bytes + kThreads * kPayloadMost)
      return;
    FAIL_CHECK(queued << " queued, " << waiting.numbers.size() << " of " << waiting.bytes
                      << " bytes wait, " << held.numbers.size() << " of " << held.bytes
                      << " bytes are held");
  }

  void load(Duration how_long) {
    const Time end = world.clock().now() + how_long;
    while (world.clock().now() < end) {
      emit();
      world.advance(pick(0, 2 * (kCapacity / 10) / 1us) * 1us);
    }
  }

  static constexpr int kBytesMost = 400;
  static constexpr std::size_t kPayloadMost = 2 * kBytesMost;

  World world;
  const wisp::Queue queue;
  wisp::Runtime runtime;
  bool down = false;
  int sent = 0, refused = 0;
  int began = 0, retried = 0, done = 0;
  Time last_done;
  wisp::EventStats before;
  Some held;     // that have not come to an end
  Some waiting;  // that never began
  wisp::Function<void, std::string> take = wisp::function(
      "take", [this](const std::string& text, Context& context) { return handle(text, context); },
      {.retry = {.attempts = wisp::kAttemptsMax, .first_delay = 50ms, .max_delay = 100ms}});
  wisp::Subscription on;
};

// At ten times its capacity, first well, then down; the load ends, and what failed comes back.
void feed(std::uint64_t seed, Overflow act) {
  Feed feed(seed, act);
  const Duration how_long = 2s;
  feed.load(how_long);
  const auto peak = static_cast<int>(how_long / kCapacity);
  CHECK(feed.done * 100 >= peak * 95);
  CHECK(feed.done <= peak + kThreads);
  CHECK(feed.retried == 0);

  const Time broke = feed.world.clock().now();
  feed.down = true;
  feed.load(500ms);
  const int tried = feed.began + feed.retried;
  const auto left = static_cast<int>(feed.held.numbers.size());
  feed.world.advance(5s);
  feed.down = false;
  const Time mended = feed.world.clock().now();
  feed.world.advance(10min);
  CHECK(feed.held.numbers.empty());
  // A minute's worth of retries, ten a second after it, and a fifth of the first attempts.
  const auto budget = static_cast<int>(600 + (feed.last_done - broke) / 100ms + feed.began / 5);
  CHECK(feed.retried <= budget);
  CHECK(feed.began + feed.retried - tried <= left + budget);
  // Each has booked a retry, one after the other.
  CHECK(feed.last_done - mended <= left * 100ms + 1s);

  const wisp::RuntimeStats stats = feed.runtime.stats();
  CHECK(stats.queued == 0);
  CHECK(stats.dead_letters == 0);
  const wisp::EventStats& events = stats.events;
  wisp::test::conserved_at_rest(events);
  CHECK(events.refused == static_cast<std::uint64_t>(feed.refused));
  CHECK(events.accepted + events.refused == static_cast<std::uint64_t>(feed.sent));
  CHECK(events.done == static_cast<std::uint64_t>(feed.done));
  CHECK(events.dead == events.dropped);
  CHECK(events.dropped == (act == Overflow::drop_oldest   ? events.dropped_oldest
                           : act == Overflow::drop_newest ? events.dropped_newest
                                                          : 0));
  if (act == Overflow::drop_newest) CHECK(feed.refused == 0);
  // Or there was no overload.
  CHECK(events.refused + events.dropped >= static_cast<std::uint64_t>(peak));
}

}  // namespace

TEST_CASE("overload: at ten times its capacity a server still serves in time what it can",
          "[overload]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    Server server(seed);
    const Duration how_long = 5s;
    const auto served = server.load(kCapacity / 10, how_long, true);
    const auto peak = static_cast<int>(how_long / kCapacity);
    // But for the interval in which it has to find out: at first, and again, seldom, once a call
    // has by chance waited for less than the target.
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

TEST_CASE(
    "overload: at ten times its capacity a subscription does what it can, and refuses the rest",
    "[overload]") {
  wisp::test::for_each_seed([](std::uint64_t seed) { feed(seed, Overflow::reject); });
}

TEST_CASE("overload: the same where the queue drops the oldest", "[overload]") {
  wisp::test::for_each_seed([](std::uint64_t seed) { feed(seed, Overflow::drop_oldest); });
}

TEST_CASE("overload: the same where the queue drops the newest", "[overload]") {
  wisp::test::for_each_seed([](std::uint64_t seed) { feed(seed, Overflow::drop_newest); });
}
