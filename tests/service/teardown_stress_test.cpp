// What ends while it is in use, on more threads than the machine has cores. A delivery after the
// end finds its flag poisoned.
#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "sanitized.hpp"
#include "seeds.hpp"
#include "service/pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::test::check_conserved;
using wisp::test::eventually;
using wisp::test::Seeded;

constexpr int kRounds = wisp::test::kSanitized ? 60 : 200;

int publishers() { return static_cast<int>(std::thread::hardware_concurrency()) * 2 + 2; }

// Publishes until told to stop. The deliveries are what is under test, not their number.
class Publishers {
 public:
  explicit Publishers(wisp::Runtime& runtime) {
    for (int t = 0; t < publishers(); ++t) {
      threads_.emplace_back([this, &runtime, t] {
        for (int i = 0; go_ && i < 1'000'000; ++i) {
          if (runtime.emit(t % 2 == 0 ? "a.b" : "a.c", i).ok()) ++published_;
          if (i % 8 == 0) std::this_thread::yield();
        }
      });
    }
  }
  ~Publishers() {
    go_ = false;
    for (std::thread& each : threads_) each.join();
  }

  // Until some more have been published.
  void run_for(int count) {
    const std::int64_t until = published_ + count;
    while (published_ < until) std::this_thread::yield();
  }

 private:
  std::atomic<bool> go_{true};
  std::atomic<std::int64_t> published_{0};
  std::vector<std::thread> threads_;
};

// A value that a handler may touch while its subscription lives.
struct Alive {
  std::atomic<bool> poisoned{false};
  std::atomic<int> touched{0};
  void touch(std::atomic<int>& late) {
    if (poisoned) ++late;
    ++touched;
    // Long enough for the end to come in the middle.
    for (int i = 0; i < 50; ++i) {
      if (poisoned) ++late;
    }
  }
};

}  // namespace

TEST_CASE("teardown: no delivery runs once a subscription has ended", "[teardown]") {
  std::atomic<int> late{0};
  std::atomic<std::int64_t> touched{0};
  wisp::Runtime runtime{{.workers = {.max = 4}, .queue = {.count = 4'096}}};
  {
    Publishers publishing(runtime);
    Seeded random(1);
    for (int round = 0; round < kRounds; ++round) {
      Alive alive;
      {
        wisp::Delivery delivery{.queue = {.count = 64, .act = wisp::Overflow::drop_oldest}};
        const auto kind = random.below(3);
        delivery.serial = kind == 1;
        delivery.synchronous = kind == 2;
        auto scoped = runtime.on(round % 3 == 0 ? "a.>" : "a.b")
                          .deliver(delivery)
                          .to([&](const int& n) -> wisp::Status {
                            alive.touch(late);
                            return n % 5 == 0 ? wisp::unavailable("again") : wisp::Status();
                          });
        REQUIRE(scoped.status().ok());
        publishing.run_for(static_cast<int>(random.below(50)));
      }
      alive.poisoned = true;
      touched += alive.touched;
    }
  }
  CHECK(late == 0);
  CHECK(touched > 0);
  (void)runtime.stop(20s);
  check_conserved(runtime.stats().events);
  CHECK(runtime.stats().queued == 0);
}

TEST_CASE("teardown: subscriptions that end each other, and themselves, from their handlers",
          "[teardown]") {
  wisp::Runtime runtime{{.workers = {.max = 4}}};
  {
    Publishers publishing(runtime);
    for (int round = 0; round < kRounds / 2; ++round) {
      std::atomic<int> ended{0};
      // Slots that outlive the handlers; each is ended by one thread only.
      std::optional<wisp::Subscription> victim;
      std::atomic<bool> take_victim{true};
      std::atomic<bool> take_self{true};
      wisp::Subscription self;
      victim.emplace(runtime.on("a.b").to([](int) {}));
      std::atomic<bool> ready{false};
      self = runtime.on("a.c").to([&](int) {
        if (!ready) return;
        if (take_victim.exchange(false)) {
          victim.reset();
          ++ended;
        }
        if (take_self.exchange(false)) {
          self.cancel();
          ++ended;
        }
      });
      ready = true;
      CHECK(eventually([&] { return ended == 2; }));
    }
  }
  CHECK(runtime.stop(20s).status.ok());
  check_conserved(runtime.stats().events);
}

TEST_CASE("teardown: a runtime ends under publishers, waiters, schedules and subscriptions",
          "[teardown]") {
  const int before = wisp::test::threads_at_rest();
  for (int round = 0; round < kRounds / 4; ++round) {
    CAPTURE(round);
    std::atomic<int> late{0};
    Alive alive;
    const auto work = wisp::function("work",
                                     [&](int n) -> wisp::Result<int> {
                                       alive.touch(late);
                                       if (n % 9 == 0) return wisp::unavailable("again");
                                       return n;
                                     },
                                     {.retry = {.first_delay = 100us}});
    std::vector<wisp::Pending<int>> pending;
    std::optional<wisp::Subscription> subscription;
    std::optional<wisp::Schedule> tick;
    {
      wisp::Runtime runtime{
          wisp::Catalogue().add(work),
          {.workers = {.max = 3}, .queue = {.count = 512, .act = wisp::Overflow::drop_newest}}};
      subscription.emplace(runtime.on("a.>").deliver({.serial = round % 2 == 0}).to(work));
      tick.emplace(runtime.every(50us).run(work, 1));
      Publishers publishing(runtime);
      publishing.run_for(50);
      for (int i = 0; i < 20; ++i) pending.push_back(runtime.start(work, i));
      std::thread ender([&] {
        if (round % 3 == 0) subscription.reset();
        if (round % 3 == 1) tick.reset();
      });
      (void)runtime.stop(round % 2 == 0 ? 0s : 1s);
      ender.join();
      check_conserved(runtime.stats().events);
      CHECK(runtime.stats().queued == 0);
    }
    alive.poisoned = true;
    for (auto& each : pending) CHECK(each.ready());
    subscription.reset();
    tick.reset();
    CHECK(late == 0);
  }
  CHECK(eventually([&] { return wisp::test::threads() == before; }));
}

TEST_CASE("teardown: schedules end while they fire", "[teardown]") {
  std::atomic<int> late{0};
  std::atomic<int> fired{0};
  wisp::Runtime runtime{{.workers = {.max = 3}}};
  std::vector<std::thread> owners;
  for (int t = 0; t < publishers(); ++t) {
    owners.emplace_back([&, t] {
      for (int round = 0; round < kRounds / 2; ++round) {
        Alive alive;
        {
          auto tick = runtime.every(wisp::Duration(20us)).run([&] { alive.touch(late); });
          auto once = runtime.after(wisp::Duration(t * 1us)).run([&] { alive.touch(late); });
          for (int i = 0; alive.touched == 0 && i < 10'000; ++i) std::this_thread::yield();
        }
        alive.poisoned = true;
        if (alive.touched > 0) ++fired;
      }
    });
  }
  for (std::thread& each : owners) each.join();
  CHECK(late == 0);
  CHECK(fired > 0);
  CHECK(runtime.stop(20s).status.ok());
  check_conserved(runtime.stats().events);
}

TEST_CASE("teardown: a function that is refused goes while others ask for all", "[teardown]") {
  const auto take = [] { return wisp::function("taken", [] {}, {.lane = wisp::Lane::urgent}); };
  const auto first = take();
  wisp::Runtime runtime{wisp::Catalogue().add(first), {.adjustable = true}};
  std::atomic<bool> go{true};
  std::vector<std::thread> asking;
  for (int t = 0; t < 2; ++t) {
    asking.emplace_back([&] {
      while (go) {
        CHECK(runtime.stats().functions.size() == 1);
        CHECK(runtime.settings().functions.size() == 1);
      }
    });
  }
  for (int i = 0; i < 10 * kRounds; ++i)
    CHECK(runtime.registry().add(take()).code() == wisp::StatusCode::kAlreadyExists);
  go = false;
  for (std::thread& each : asking) each.join();
}
