// What the runtime's own callbacks may do to it: stop it, or use it when its owner has let it go.
#include <wisp/runtime.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"

namespace {

using namespace wisp::literals;
using wisp::Context;
using wisp::StatusCode;
using wisp::test::AtEnd;
using wisp::test::eventually;
using wisp::test::Gate;

}  // namespace

TEST_CASE("shutdown: a stop from a continuation that a stop runs returns at once", "[shutdown]") {
  std::atomic<bool> inside{false};
  const auto blocks = wisp::function("blocks", [&inside](Context& context) {
    inside = true;
    return context.sleep(1h);
  });
  const auto waits = wisp::function("waits", [] {}, {.pool_only = true});
  wisp::Runtime runtime{wisp::Catalogue().add(blocks).add(waits), {.workers = {.max = 1}}};
  auto first = runtime.start(blocks);
  REQUIRE(eventually([&] { return inside.load(); }));
  auto second = runtime.start(waits);
  std::atomic<bool> returned{false};
  second.then([&] {
    (void)runtime.stop(1h);
    returned = true;
  });
  (void)runtime.stop(0s);
  CHECK(returned);
  CHECK(wisp::reason_of(second.wait()) == wisp::Reason::stopped);
}

TEST_CASE("shutdown: a stop from a continuation does not wait for the call that it ends",
          "[shutdown]") {
  Gate gate;
  std::atomic<bool> returned{false};
  const auto runs = wisp::function("runs", [&gate] { gate.pass(); }, {.pool_only = true});
  wisp::Runtime runtime{wisp::Catalogue().add(runs)};
  auto pending = runtime.start(runs);
  pending.then([&] {
    (void)runtime.stop(1h);
    returned = true;
  });
  gate.open();
  CHECK(eventually([&] { return returned.load(); }));
  CHECK(runtime.emit("a", 1).status().code() == StatusCode::kUnavailable);
  CHECK(runtime.stop(1h).status.ok());
}

TEST_CASE("shutdown: a stop from a stop callback returns at once", "[shutdown]") {
  std::atomic<int> called{0};
  std::atomic<bool> inside{false};
  wisp::Runtime* address = nullptr;
  const auto listens = wisp::function("listens", [&](Context& context) {
    const std::stop_callback stop(context.stop_token(), [&] {
      (void)address->stop(1h);
      ++called;
    });
    inside = true;
    return context.sleep(1h);
  });
  wisp::Runtime runtime{wisp::Catalogue().add(listens)};
  address = &runtime;
  auto pending = runtime.start(listens);
  REQUIRE(eventually([&] { return inside.load(); }));
  (void)runtime.stop(0s);
  CHECK(called == 1);
  CHECK(pending.wait().code() == StatusCode::kCancelled);
}

TEST_CASE("shutdown: a stop from the destructor of a queued payload returns at once",
          "[shutdown]") {
  int returned = 0;
  wisp::Runtime runtime{{.threads = wisp::Threads::none}};
  auto stop = [&] {
    (void)runtime.stop(1h);
    ++returned;
  };
  using Stops = std::shared_ptr<AtEnd<decltype(stop)>>;
  auto subscription = runtime.on("a").to([](const Stops&) {});
  REQUIRE(runtime.emit("a", std::make_shared<AtEnd<decltype(stop)>>(stop)).ok());
  CHECK(runtime.stop(0s).abandoned.size() == 1);
  CHECK(returned == 1);
}

TEST_CASE("shutdown: a stop from the destructor of a payload that was delivered does not wait",
          "[shutdown]") {
  Gate gate;
  std::atomic<bool> returned{false};
  wisp::Runtime runtime;
  auto stop = [&] {
    (void)runtime.stop(1h);
    returned = true;
  };
  using Stops = std::shared_ptr<AtEnd<decltype(stop)>>;
  auto subscription = runtime.on("a").to([&gate](const Stops&) { gate.pass(); });
  auto payload = std::make_shared<AtEnd<decltype(stop)>>(stop);
  REQUIRE(runtime.emit("a", payload).ok());
  payload.reset();
  gate.open();
  CHECK(eventually([&] { return returned.load(); }));
  CHECK(runtime.stop(1h).status.ok());
  CHECK(runtime.stats().events.done == 1);
}

namespace {

// Whose comparison stops the runtime.
struct Stopper {
  int version;
  friend bool operator==(const Stopper& a, const Stopper& b) {
    if (stop) stop();
    return a.version == b.version;
  }
  static inline std::function<void()> stop;
};

}  // namespace

TEST_CASE("shutdown: a stop from the comparison of a shadow does not wait for it", "[shutdown]") {
  std::atomic<bool> returned{false};
  const auto version = [](int n) { return wisp::function("f", [n] { return Stopper{n}; }); };
  const auto f = version(1);
  wisp::Runtime runtime{wisp::Catalogue().add(f)};
  const AtEnd forget([] { Stopper::stop = nullptr; });
  Stopper::stop = [&] {
    (void)runtime.stop(1h);
    returned = true;
  };
  REQUIRE(runtime.registry().publish(version(2)).ok());
  REQUIRE(runtime.registry().shadow("f", 2).ok());
  CHECK(runtime.call(f).ok());
  CHECK(eventually([&] { return returned.load(); }));
  CHECK(runtime.stop(1h).status.ok());
}

TEST_CASE("shutdown: a handler that was left behind may still call its runtime, and is refused",
          "[shutdown]") {
  Gate gate;
  std::atomic<bool> over{false};
  wisp::Status emitted;
  wisp::Status subscribed;
  wisp::Status stopped;
  const auto hangs = wisp::function("hangs", [&](Context& context) {
    gate.pass();
    wisp::Runtime& runtime = context.runtime();
    emitted = runtime.emit("a", 1).status();
    subscribed = runtime.on("a").to([](int) {}).status();
    stopped = runtime.stop(1h).status;
    (void)runtime.bill(1h);
    CHECK(runtime.dead_letters().size() == 0);
    over = true;
  });
  auto runtime = std::make_unique<wisp::Runtime>(wisp::Catalogue().add(hangs));
  REQUIRE(runtime->post(hangs).ok());
  gate.await(1);
  CHECK(runtime->stop(0s).abandoned.size() == 1);
  runtime.reset();
  gate.open();
  REQUIRE(eventually([&] { return over.load(); }));
  CHECK(emitted.code() == StatusCode::kUnavailable);
  CHECK(subscribed.code() == StatusCode::kUnavailable);
  CHECK(stopped.code() == StatusCode::kDeadlineExceeded);  // the stop that left it
}

namespace {

// Real time; holds whoever comes out of a wait on `held`, and counts who comes once it is gone.
class Watched final : public wisp::Clock {
 public:
  wisp::Time now() const override {
    look();
    return system().now();
  }
  wisp::WallTime wall() const override {
    look();
    return system().wall();
  }
  bool park(wisp::Parker& parker, wisp::Time until) override {
    look();
    const bool mine = std::this_thread::get_id() == held.load();
    if (mine) parked = true;
    const bool woken = Clock::park(parker, until);
    if (mine) leaving.pass();
    return woken;
  }
  void wake(wisp::Parker& parker) override {
    look();
    Clock::wake(parker);
  }

  std::atomic<std::thread::id> held{};
  std::atomic<bool> parked{false};
  std::atomic<bool> gone{false};
  mutable std::atomic<int> late{0};
  Gate leaving;

 private:
  void look() const {
    if (gone) ++late;
  }
};

}  // namespace

TEST_CASE("shutdown: who has waited for a call does not end the runtime's parts", "[shutdown]") {
  Watched clock;
  Gate gate;
  const auto runs = wisp::function("runs", [&gate] { gate.pass(); }, {.pool_only = true});
  std::optional<wisp::Runtime> runtime;
  runtime.emplace(wisp::Catalogue().add(runs), wisp::RuntimeOptions{.clock = &clock});
  auto pending = runtime->start(runs);
  std::thread waiter([&] {
    clock.held = std::this_thread::get_id();
    CHECK(pending.wait().ok());
  });
  REQUIRE(eventually([&] { return clock.parked.load(); }));
  gate.open();
  clock.leaving.await(1);
  runtime.reset();
  clock.gone = true;
  clock.leaving.open();
  waiter.join();
  CHECK(clock.late == 0);
}
