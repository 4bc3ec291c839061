#include <wisp/service/detail/instances.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::Context;
using wisp::Result;
using wisp::Status;
using wisp::StatusCode;
using wisp::test::Pumped;
using wisp::test::says;

// What all instances of a test have done.
struct Lived {
  int built = 0;
  int alive = 0;
  int inside = 0;
  int inside_most = 0;
};

Status& last_inner() {
  static Status status;
  return status;
}

// Counts its own calls. Neither copied nor moved: it stays where it was built.
class CountsCalls {
 public:
  explicit CountsCalls(Lived& seen) : seen_(seen) {
    ++seen_.built;
    ++seen_.alive;
  }
  ~CountsCalls() { --seen_.alive; }
  CountsCalls(const CountsCalls&) = delete;
  CountsCalls& operator=(const CountsCalls&) = delete;

  Result<int> operator()(int n, Context& context) {
    seen_.inside_most = std::max(seen_.inside_most, ++seen_.inside);
    const int calls = ++calls_;
    // As deep as it is told to.
    if (n > 0) last_inner() = context.runtime().call<int>("count", n - 1).status();
    --seen_.inside;
    if (n == -1) return wisp::invalid_argument("an error");
    if (n == -2) throw std::runtime_error("a throw");
    return calls;
  }

 private:
  Lived& seen_;
  int calls_ = 0;
};

auto counting(Lived& seen, wisp::FunctionOptions options = {}) {
  return wisp::function("count", wisp::stateful<CountsCalls>([&seen] { return CountsCalls(seen); }),
                        options);
}

}  // namespace

TEST_CASE("instances: one is built on first need and kept", "[instances]") {
  Lived seen;
  {
    Pumped p{wisp::Catalogue().add(counting(seen))};
    CHECK(seen.built == 0);
    CHECK(*p.runtime.call<int>("count", 0) == 1);
    CHECK(*p.runtime.call<int>("count", 0) == 2);
    CHECK(seen.built == 1);
    auto warm = p.runtime.start<int>("count", 0);
    CHECK(*warm.wait() == 3);
    CHECK_FALSE(warm.receipt().cold);
    CHECK(warm.receipt().init == 0s);
    CHECK(p.runtime.stats().functions.front().cold_starts == 1);
    // Two that are inside at once, the one given back last first.
    CHECK(*p.runtime.call<int>("count", 1) == 4);
    CHECK(seen.built == 2);
    CHECK(seen.inside_most == 2);
    CHECK(*p.runtime.call<int>("count", 0) == 5);
    CHECK(p.runtime.stats().functions.front().cold_starts == 2);
    p.runtime.stop(1s);
    CHECK(seen.alive == 0);
  }
  CHECK(seen.alive == 0);
}

TEST_CASE("instances: two runtimes of one handle have their own", "[instances]") {
  Lived seen;
  const auto count = counting(seen);
  Pumped p{wisp::Catalogue().add(count)};
  Pumped q{wisp::Catalogue().add(count)};
  CHECK(*p.runtime.call(count, 0) == 1);
  CHECK(*q.runtime.call(count, 0) == 1);
  CHECK(seen.alive == 2);
}

TEST_CASE("instances: every path enters one", "[instances]") {
  Lived seen;
  const auto count = counting(seen);
  Pumped p{wisp::Catalogue().add(count)};
  auto queued = p.runtime.on("queued").to(count);
  auto here = p.runtime.on("here").deliver({.synchronous = true}).to(count);
  auto own =
      p.runtime.on("own").deliver({.synchronous = true}).to(wisp::stateful<CountsCalls>([&seen] {
        return std::make_unique<CountsCalls>(seen);
      }));
  CHECK(*p.runtime.start(count, 0).wait() == 1);
  CHECK(p.runtime.post(count, 0).ok());
  CHECK(p.runtime.emit("queued", 0).ok());
  CHECK(p.runtime.emit("here", 0).ok());
  CHECK(p.settled().done == 3);
  CHECK(*p.runtime.call(count, 0) == 5);
  CHECK(seen.built == 1);
  CHECK(p.runtime.emit("own", 0).ok());
  CHECK(p.runtime.emit("own", 0).ok());
  CHECK(p.settled().done == 5);
  CHECK(seen.built == 2);
  own.cancel();
  p.runtime.stop(0s);
  CHECK(seen.alive == 0);
}

TEST_CASE("instances: idle ones go after keep_alive, provisioned ones stay", "[instances]") {
  Lived seen;
  Pumped p{
      wisp::Catalogue().add(counting(seen, {.instances = {.provisioned = 1, .keep_alive = 1min}}))};
  CHECK(seen.built == 1);
  CHECK(*p.runtime.call<int>("count", 2) == 1);
  CHECK(seen.alive == 3);
  CHECK(p.runtime.stats().functions.front().cold_starts == 2);
  p.clock.advance(30s);
  CHECK(p.runtime.call<int>("count", 1).ok());
  p.clock.advance(30s);
  CHECK(p.runtime.pump().ran == 1);  // what destroys one
  CHECK(seen.alive == 2);
  p.clock.advance(30s);
  p.runtime.pump();
  CHECK(seen.alive == 1);
  p.clock.advance(24h);
  p.runtime.pump();
  CHECK(seen.alive == 1);
  CHECK(seen.built == 3);
  p.runtime.stop(0s);
  CHECK(seen.alive == 0);
}

TEST_CASE("instances: one whose call threw is destroyed, one that gave an error is kept",
          "[instances]") {
  Lived seen;
  Pumped p{wisp::Catalogue().add(counting(seen))};
  CHECK(p.runtime.call<int>("count", -1).status().code() == StatusCode::kInvalidArgument);
  CHECK(*p.runtime.call<int>("count", 0) == 2);
  CHECK(says(p.runtime.call<int>("count", -2).status(), "a throw"));
  CHECK(seen.alive == 0);
  CHECK(*p.runtime.call<int>("count", 0) == 1);
  CHECK(seen.built == 2);
}

TEST_CASE("instances: at their maximum calls are refused and deliveries wait", "[instances]") {
  Lived seen;
  Pumped p{wisp::Catalogue().add(counting(seen, {.instances = {.max = 1}}))};
  CHECK(p.runtime.call<int>("count", 1).ok());
  CHECK(last_inner().code() == StatusCode::kResourceExhausted);
  CHECK(wisp::reason_of(last_inner()) == wisp::Reason::limit);
  CHECK(says(last_inner(), "at its concurrency limit (1)"));
  CHECK(seen.built == 1);
  CHECK(seen.inside_most == 1);
  for (int i = 0; i < 4; ++i) CHECK(p.runtime.post(wisp::named<int(int)>("count"), 0).ok());
  CHECK(p.settled().done == 4);
  CHECK(seen.built == 1);
}

TEST_CASE("instances: a factory that fails or throws fails the attempt", "[instances]") {
  Lived seen;
  int failures = 2;
  const auto count = wisp::function(
      "count", wisp::stateful<CountsCalls>([&]() -> Result<std::unique_ptr<CountsCalls>> {
        if (failures > 1) {
          --failures;
          return wisp::unavailable("no room");
        }
        if (failures == 1) {
          --failures;
          throw std::runtime_error("a bad day");
        }
        return std::make_unique<CountsCalls>(seen);
      }));
  Pumped p{wisp::Catalogue().add(count)};
  const Status failed = p.runtime.call(count, 0).status();
  CHECK(failed.code() == StatusCode::kUnavailable);
  CHECK(wisp::message(failed) == "an instance of 'count' could not be built: no room");
  auto thrown = p.runtime.start(count, 0);
  CHECK(thrown.wait().status().code() == StatusCode::kInternal);
  CHECK(says(thrown.wait().status(), "could not be built: the handler threw: a bad day"));
  CHECK(thrown.receipt().outcome == wisp::Outcome::threw);
  CHECK(thrown.receipt().attempts == 1);
  CHECK(thrown.receipt().cold);
  failures = 2;
  CHECK(p.runtime.post(count, 0).ok());
  CHECK(p.settled().done == 1);  // at its third attempt
  CHECK(seen.built == 1);
}

TEST_CASE("instances: a slow factory counts as init, and against the deadline", "[instances]") {
  Lived seen;  // outlives the instances
  Pumped p;
  const auto slow = wisp::function("count", wisp::stateful<CountsCalls>([&] {
                                     p.clock.advance(2s);
                                     return CountsCalls(seen);
                                   }));
  REQUIRE(p.runtime.registry().add(slow).ok());
  auto late = p.runtime.start(slow, 0, {.timeout = 1s});
  CHECK(late.wait().status().code() == StatusCode::kDeadlineExceeded);
  CHECK(late.receipt().outcome == wisp::Outcome::timed_out);
  CHECK(late.receipt().cold);
  CHECK(late.receipt().init == 2s);
  CHECK(late.receipt().init_quality == wisp::Quality::measured);
  CHECK(late.receipt().wall == 2s);
  // What was built is there for the next.
  CHECK(*p.runtime.call(slow, 0) == 1);
  CHECK(seen.built == 1);
}

TEST_CASE("instances: provisioned ones are built before the first call, or the add fails",
          "[instances]") {
  Lived seen;
  int left = 2;
  const auto count = wisp::function(
      "count", wisp::stateful<CountsCalls>([&]() -> Result<std::unique_ptr<CountsCalls>> {
        if (--left < 0) return wisp::unavailable("no more");
        return std::make_unique<CountsCalls>(seen);
      }),
      {.instances = {.provisioned = 3}});
  wisp::Runtime broken{wisp::Catalogue().add(count), {.threads = wisp::Threads::none}};
  CHECK(says(broken.status(), "an instance of 'count' could not be built: no more"));
  Pumped p;
  left = 2;
  CHECK(p.runtime.registry().add(count).code() == StatusCode::kUnavailable);
  CHECK_FALSE(p.runtime.registry().find("count").has_value());
  CHECK(seen.alive == 0);
  left = 3;
  CHECK(p.runtime.registry().add(count).ok());
  CHECK(p.runtime.registry().add(count).ok());
  CHECK(seen.alive == 3);
  auto warm = p.runtime.start(count, 0);
  CHECK(warm.wait().ok());
  CHECK_FALSE(warm.receipt().cold);
  CHECK(p.runtime.stats().functions.front().cold_starts == 0);
}

TEST_CASE("instances: bad options are refused", "[instances]") {
  Lived seen;
  Pumped p;
  const auto refusal = [&](wisp::Instances instances) {
    return p.runtime.registry().add(counting(seen, {.instances = instances}));
  };
  CHECK(says(refusal({.provisioned = -1}), "instances.provisioned is -1"));
  CHECK(says(refusal({.provisioned = 2, .max = 1}), "more than instances.max (1)"));
  CHECK(says(refusal({.max = -1}), "instances.max is -1"));
  CHECK(says(refusal({.keep_alive = -1s}), "instances.keep_alive"));
  CHECK(refusal({.keep_alive = 0s}).ok());
  const auto plain = wisp::function("plain", [] {}, {.instances = {.max = 1}});
  CHECK(says(p.runtime.registry().add(plain), "it is not stateful"));
  const auto foreseen = wisp::function("foreseen", [] {}, {.instances = {.predictive = true}});
  CHECK(says(p.runtime.registry().add(foreseen), "it is not stateful"));
  CHECK(p.runtime.call<int>("count", 0).ok());
  CHECK(seen.alive == 0);  // kept for no time at all
}

namespace {

struct SharedInstance {
  static std::atomic<int> alive;
  static std::atomic<int> overlaps;
  std::atomic<bool> entered{false};
  int value = 0;  // the thread sanitizer sees it if two are inside
  SharedInstance() { ++alive; }
  ~SharedInstance() { --alive; }
  SharedInstance(const SharedInstance&) = delete;
  SharedInstance& operator=(const SharedInstance&) = delete;
  void operator()() {
    if (entered.exchange(true)) ++overlaps;
    ++value;
    std::this_thread::yield();
    entered = false;
  }
};
std::atomic<int> SharedInstance::alive{0};
std::atomic<int> SharedInstance::overlaps{0};

}  // namespace

TEST_CASE("instances: threads enter each by themselves", "[instances]") {
  const auto shared = wisp::function("shared", wisp::stateful<SharedInstance>(),
                                     {.instances = {.provisioned = 1, .keep_alive = 50us}});
  const auto narrow =
      wisp::function("narrow", wisp::stateful<SharedInstance>(), {.instances = {.max = 2}});
  {
    wisp::Runtime runtime{wisp::Catalogue().add(shared).add(narrow), {.workers = {.max = 4}}};
    auto here = runtime.on("here").deliver({.synchronous = true}).to(shared);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 100; ++i) {
          auto started = runtime.start(shared);
          if (!runtime.call(shared).ok()) ++wrong;
          if (!runtime.post(shared).ok()) ++wrong;
          if (!runtime.post(narrow).ok()) ++wrong;
          if (!runtime.emit("here", i).ok()) ++wrong;
          if (!started.wait().ok()) ++wrong;
        }
      });
    }
    for (std::thread& each : threads) each.join();
    CHECK(wrong == 0);
    CHECK(runtime.stop(10s).status.ok());
    CHECK(runtime.stats().events.done == 1'200);
    CHECK(SharedInstance::alive == 0);
  }
  CHECK(SharedInstance::overlaps == 0);
}

TEST_CASE("instances: predictive ones met by several threads at once are all given back") {
  std::atomic<int> alive{0};
  struct Used {
    std::atomic<int>* alive;
    explicit Used(std::atomic<int>& count) : alive(&count) { ++*alive; }
    Used(const Used&) = delete;
    Used& operator=(const Used&) = delete;
    ~Used() { --*alive; }
    void operator()(int n) const {
      if (n % 3 == 0) throw std::runtime_error("broken");
    }
  };
  constexpr int kRounds = 100;
  wisp::ManualClock clock;
  for (int round = 0; round < kRounds; ++round) {
    const auto work = wisp::function(
        "work", wisp::stateful<Used>([&alive, round]() -> Result<std::unique_ptr<Used>> {
          if (round % 4 == 3) return wisp::unavailable("no parts");
          return std::make_unique<Used>(alive);
        }),
        {.instances = {.keep_alive = 1s, .predictive = true}});
    wisp::Runtime runtime{wisp::Catalogue().add(work), {.workers = {.max = 4}, .clock = &clock}};
    std::vector<wisp::Pending<void>> pending;
    for (int n = 0; n < 8; ++n) pending.push_back(runtime.start(work, n));
    std::thread beside([&] { (void)runtime.call(work, round); });
    for (wisp::Pending<void>& each : pending) (void)each.wait();
    beside.join();
    clock.advance(1min);
    pending.clear();
    CHECK(runtime.stop(5s).status.ok());
    CHECK(alive == 0);
  }
}
