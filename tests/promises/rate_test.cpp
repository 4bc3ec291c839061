#include <algorithm>
#include <array>
#include <atomic>
#include <string>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "engine/waiting.hpp"
#include "promise.hpp"
#include "rates.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::Duration;
using wisp::Time;
using wisp::sim::World;
using wisp::test::check_rate;

constexpr Duration kLateMax = 5ms;

// Each look at it takes some time, which passes for all.
class SlowClock final : public wisp::Clock {
 public:
  explicit SlowClock(Duration look) : look_(look) {}

  Time now() const override {
    clock_.advance(look_);
    return clock_.now();
  }
  wisp::WallTime wall() const override { return clock_.wall(); }
  bool park(wisp::Parker& parker, Time until) override { return clock_.park(parker, until); }
  void wake(wisp::Parker& parker) override { clock_.wake(parker); }
  void advance(Duration d) { clock_.advance(d); }

 private:
  const Duration look_;
  mutable wisp::ManualClock clock_;
};

double any_rate(wisp::Random& random) {
  constexpr std::array kRates = {0.5, 1.0, 3.0, 20.0, 250.0};
  return kRates[static_cast<std::size_t>(wisp::uniform(random, 0, 4))];
}

Duration interval(double per_second) {
  return Duration(static_cast<Duration::rep>(1e9 / per_second));
}

}  // namespace

TEST_CASE("rate: no more calls and attempts begin than a function's rate, whatever the verb",
          "[rate]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    const double rate = any_rate(world.random());
    const bool narrow = seed % 3 == 0;  // a slot is wanted too
    std::vector<Time> entries;
    const auto paced =
        wisp::function("paced",
                       [&](int n, Context& context) -> wisp::Status {
                         entries.push_back(world.clock().now());
                         WISP_TRY(context.sleep(n % 3 * 1ms));
                         if (n % 4 == 0 && context.attempt() == 1)
                           return wisp::unavailable("not now");
                         return wisp::Status();
                       },
                       {.retry = {.attempts = 3, .first_delay = 10ms},
                        .limits = {.concurrency = narrow ? 2 : 0, .per_second = rate}});
    wisp::Runtime runtime{wisp::Catalogue().add(paced), world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    // Retries of calls are part of them, and of the rate.
    const auto direct = [&](const wisp::Status& status) {
      if (wisp::reason_of(status) == wisp::Reason::rate)
        CHECK(status.code() == wisp::StatusCode::kResourceExhausted);
      else if (!status.ok()) CHECK(wisp::reason_of(status) == wisp::Reason::limit);
    };
    auto queued = runtime.on("paced").to(paced);
    auto serial = runtime.on("paced").deliver({.serial = true}).to(paced);
    world.faults({.late = 200, .late_max = kLateMax});
    for (int n = 0; n < 6; ++n) {
      (void)runtime.emit("paced", n);
      (void)runtime.post(paced, n);
      direct(runtime.call(paced, 4 * n + 1));
      auto started = runtime.start(paced, 4 * n + 1);
      world.advance(wisp::uniform(world.random(), 0, 2) * 20ms);
      direct(started.wait());
    }
    world.advance(5min);
    check_rate(entries, rate, kLateMax);
    const wisp::EventStats events = runtime.stats().events;
    CHECK(events.accepted == 18);
    CHECK(events.done == 18);
    // Two events and a post of each fourth number were tried twice.
    CHECK(entries.size() >= 18 + 3 * 2);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("rate: a backlog goes at the whole of the rate, and each route has its turn", "[rate]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    const double rate = any_rate(world.random());
    std::vector<Time> entries;
    std::array<int, 2> of{};
    int apart = 0;
    const auto paced = wisp::function("paced",
                                      [&](const wisp::Event& event) {
                                        entries.push_back(world.clock().now());
                                        ++of[event.topic == "a" ? 0 : 1];
                                        if (of[0] < 40 && of[1] < 40)
                                          apart = std::max(apart, std::abs(of[0] - of[1]));
                                      },
                                      {.limits = {.per_second = rate}});
    wisp::Runtime runtime{wisp::Catalogue().add(paced), world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    auto a = runtime.on("a").to(paced);
    auto b = runtime.on("b").to(paced);
    for (int n = 0; n < 40; ++n) {
      REQUIRE(runtime.emit("a", n).ok());
      REQUIRE(runtime.emit("b", n).ok());
    }
    world.advance(10min);
    REQUIRE(entries.size() == 80);
    check_rate(entries, rate, {});
    const double most = std::max(80 - std::max(1.0, rate), 0.0);
    CHECK(static_cast<double>((entries.back() - entries.front()).count()) <=
          most * 1e9 / rate + 1e6);
    // Beyond the bucket's content they take turns.
    CHECK(apart <= static_cast<int>(rate) + 2);
    // Who goes while the other waits for its turn holds nobody up.
    for (int n = 0; n < 3; ++n) REQUIRE(runtime.emit("a", n).ok());
    REQUIRE(runtime.emit("b", 0).ok());
    world.advance(interval(rate) / 2);
    a.cancel();
    world.advance(10 * interval(rate) + 1s);
    CHECK(of[1] == 41);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("rate: a batch is one of the rate, and goes when its turn comes", "[rate]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    const double rate = any_rate(world.random());
    std::vector<Time> entries;
    std::size_t items = 0;
    const auto paced = wisp::function("paced",
                                      [&](const wisp::Batch<int>& batch) {
                                        entries.push_back(world.clock().now());
                                        items += batch.size();
                                      },
                                      {.limits = {.per_second = rate}});
    wisp::Runtime runtime{wisp::Catalogue().add(paced), world.options()};
    auto queued = runtime.on("n").deliver({.batch = {.size = 4}}).to(paced);
    REQUIRE(queued.status().ok());
    for (int n = 0; n < 100; ++n) {
      REQUIRE(runtime.emit("n", n).ok());
      if (n % 10 == 0) world.advance(wisp::uniform(world.random(), 0, 300) * 1ms);
    }
    world.advance(10min);
    check_rate(entries, rate, {});
    CHECK(items == 100);
    CHECK(entries.size() >= 25);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("rate: a call that finds no slot takes nothing of the rate", "[rate]") {
  World world{1};
  const auto paced = wisp::function("paced", [](Context& context) { return context.sleep(1h); },
                                    {.limits = {.concurrency = 1, .per_second = 10}});
  wisp::Runtime runtime{wisp::Catalogue().add(paced), world.options()};
  auto first = runtime.start(paced);
  world.advance(1ms);
  for (int n = 0; n < 30; ++n) CHECK(wisp::reason_of(runtime.call(paced)) == wisp::Reason::limit);
  first.cancel();
  world.advance(1ms);
  // The nine that are left.
  for (int n = 0; n < 9; ++n) {
    auto next = runtime.start(paced);
    world.advance(1ms);
    CHECK_FALSE(next.ready());
    next.cancel();
    world.advance(1ms);
  }
  CHECK(wisp::reason_of(runtime.call(paced)) == wisp::Reason::rate);
}

TEST_CASE("rate: a start that ends before it has begun takes nothing of the rate", "[rate]") {
  wisp::ManualClock clock;
  const auto paced = wisp::function("paced", [] {}, {.limits = {.per_second = 10}});
  wisp::Runtime runtime{wisp::Catalogue().add(paced),
                        {.threads = wisp::Threads::none, .queue = {.count = 4}, .clock = &clock}};
  const auto begins = [&] {
    const wisp::Status status = runtime.call(paced);
    CHECK((status.ok() || wisp::reason_of(status) == wisp::Reason::rate));
    return status.ok();
  };
  std::vector<wisp::Pending<void>> started;
  for (int n = 0; n < 10; ++n) started.push_back(runtime.start(paced));
  for (std::size_t n = 4; n < 10; ++n) {
    REQUIRE(started[n].ready());
    CHECK(wisp::reason_of(started[n].wait()) == wisp::Reason::full);
  }
  // The six that found no room, then the four that are cancelled.
  for (int n = 0; n < 6; ++n) CHECK(begins());
  CHECK_FALSE(begins());
  for (std::size_t n = 0; n < 4; ++n) started[n].cancel();
  for (int n = 0; n < 4; ++n) CHECK(begins());
  CHECK_FALSE(begins());
  // What has come again meanwhile does not come twice.
  clock.advance(1s);
  auto late = runtime.start(paced);
  clock.advance(1s);
  for (int n = 0; n < 10; ++n) CHECK(begins());
  late.cancel();
  CHECK_FALSE(begins());
}

TEST_CASE("rate: those that wait for a slot have no turns meanwhile", "[rate]") {
  World world{1};
  std::vector<Time> entries;
  const auto paced = wisp::function("paced",
                                    [&](int n, Context& context) {
                                      entries.push_back(world.clock().now());
                                      return n == 0 ? context.sleep(1min) : wisp::Status();
                                    },
                                    {.limits = {.concurrency = 1, .per_second = 1}});
  wisp::Runtime runtime{wisp::Catalogue().add(paced), world.options()};
  for (int n = 0; n <= 60; ++n) REQUIRE(runtime.post(paced, n).ok());
  world.advance(5min);
  CHECK(entries.size() == 61);
  check_rate(entries, 1, {});
}

TEST_CASE("rate: what is cancelled or replaced before its turn takes nothing of it", "[rate]") {
  World world{1};
  int begun = 0;
  const auto paced =
      wisp::function("paced",
                     [&begun] {
                       ++begun;
                       return wisp::unavailable("not now");
                     },
                     {.retry = {.attempts = 3, .first_delay = 300ms}, .limits = {.per_second = 1}});
  wisp::Runtime runtime{wisp::Catalogue().add(paced), world.options()};
  auto every = runtime.every(1s).fire({.overlap = wisp::Overlap::replace}).run(paced);
  world.advance(100s);
  CHECK(begun >= 90);
  CHECK(begun <= 101);
  every.cancel();
  world.advance(1s);
  CHECK_FALSE(wisp::reason_of(runtime.call(paced)) == wisp::Reason::rate);
}

TEST_CASE("rate: on threads and the machine's clock, a backlog comes to its end", "[rate]") {
  std::atomic<int> begun{0};
  constexpr int kMany = 20'000;
  const auto paced =
      wisp::function("paced", [&begun](int) { ++begun; }, {.limits = {.per_second = kMany}});
  wisp::Runtime runtime{wisp::Catalogue().add(paced), {.workers = {.max = 4}}};
  for (int n = 0; n < 2 * kMany; ++n) REQUIRE(runtime.post(paced, n).ok());
  CHECK(wisp::test::eventually([&] { return begun == 2 * kMany; }));
}

TEST_CASE("rate: in a pump, what waits for its turn takes no task each time", "[rate]") {
  wisp::ManualClock clock;
  int begun = 0;
  const auto paced =
      wisp::function("paced", [&begun](int) { ++begun; }, {.limits = {.per_second = 1}});
  wisp::Runtime runtime{wisp::Catalogue().add(paced),
                        {.threads = wisp::Threads::none, .clock = &clock}};
  for (int n = 0; n < 1'000; ++n) REQUIRE(runtime.post(paced, n).ok());
  const auto pump = [&runtime] {
    int ran = 0;
    for (wisp::Pumped pumped{.ran = 0, .left = 1}; pumped.left > 0; ran += pumped.ran)
      pumped = runtime.pump();
    return ran;
  };
  (void)pump();
  for (int second = 1; second <= 5; ++second) {
    CHECK(begun == second);
    clock.advance(1s);
    CHECK(pump() <= 5);
  }
}

TEST_CASE("rate: a turn that comes between two looks at the clock is seen", "[rate]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    wisp::SeededRandom random{seed};
    SlowClock clock{wisp::uniform(random, 1, 1'000) * 1us};
    constexpr int kMany = 400;
    int begun = 0;
    const auto paced =
        wisp::function("paced", [&begun](int) { ++begun; }, {.limits = {.per_second = 100}});
    wisp::Runtime runtime{wisp::Catalogue().add(paced),
                          {.threads = wisp::Threads::none, .clock = &clock}};
    auto serial = runtime.on("n").deliver({.serial = true}).to(paced);
    for (int n = 0; n < kMany; ++n) REQUIRE(runtime.emit("n", n).ok());
    for (int n = 0; n < 10'000 && begun < kMany; ++n) {
      (void)runtime.pump();
      clock.advance(wisp::uniform(random, 0, 3'000) * 1us);
    }
    CHECK(begun == kMany);
  });
}

TEST_CASE("rate: on threads, one of many posts begins with each token", "[rate]") {
  wisp::ManualClock clock;
  std::atomic<int> begun{0};
  const auto paced =
      wisp::function("paced", [&begun](int) { ++begun; }, {.limits = {.per_second = 1}});
  wisp::Runtime runtime{wisp::Catalogue().add(paced), {.workers = {.max = 4}, .clock = &clock}};
  for (int n = 0; n < 20; ++n) REQUIRE(runtime.post(paced, n).ok());
  for (int n = 1; n <= 20; ++n) {
    CHECK(wisp::test::eventually([&] { return begun == n; }));
    const wisp::Status refused = runtime.call(paced, n);
    CHECK(wisp::reason_of(refused) == wisp::Reason::rate);
    CHECK(wisp::message(refused) == "function 'paced' is at its rate limit (1 per second)");
    // Armed by the token that found the next one's turn to come.
    CHECK(wisp::test::eventually([&] { return n == 20 || runtime.stats().queued == 20 - n; }));
    clock.advance(999ms);
    CHECK(begun == n);
    clock.advance(1ms);
  }
  CHECK(runtime.stop(1s).status.ok());
  CHECK(runtime.stats().events.done == 20);
}
