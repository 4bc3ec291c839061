// How routes end, or survive: with their subscriptions, payloads and a host's unsteady executor.
#include <wisp/service/detail/route.hpp>

#include <atomic>
#include <memory>
#include <thread>
#include <utility>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "service/pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::Status;
using wisp::test::check_conserved;
using wisp::test::eventually;
using wisp::test::Gate;

// A pool that, as the test says, destroys what it is given or refuses it, and then has no thread
// for a timer either.
class Losing final : public wisp::Executor {
 public:
  enum class Mode { takes, drops, refuses };

  Status submit(wisp::Task& task) override {
    if (mode == Mode::refuses) return wisp::unavailable("no thread");
    if (mode == Mode::takes) return pool_.submit(task);
    const wisp::Task dropped = std::move(task);
    return Status();
  }
  bool begin_blocking() override { return pool_.begin_blocking(); }
  void end_blocking() override { pool_.end_blocking(); }
  bool on_executor_thread() const override { return pool_.on_executor_thread(); }
  Status start_thread(std::string_view name, wisp::Task body) override {
    if (mode != Mode::takes) return wisp::unavailable("no thread for {}", name);
    return Executor::start_thread(name, std::move(body));
  }

  bool idle() { return !pool_.has_queued(); }

  std::atomic<Mode> mode{Mode::takes};

 private:
  wisp::Pool pool_{{.workers = {.max = 2}}};
};

// Travels in the events that it subscribes to.
struct Session {
  explicit Session(std::atomic<int>& n) : ended(n) {}
  ~Session() {
    subscription.cancel();
    ++ended;
  }
  std::atomic<int>& ended;
  wisp::Subscription subscription;
};
using Shared = std::shared_ptr<Session>;

}  // namespace

TEST_CASE("route: a payload may hold the last reference to its own subscription", "[route]") {
  Gate gate;
  std::atomic<int> ended{0};
  wisp::Runtime runtime;
  auto session = std::make_shared<Session>(ended);
  session->subscription = runtime.on("session").to([&gate](const Shared&) { gate.pass(); });
  REQUIRE(runtime.emit("session", session).ok());
  session.reset();
  gate.open();
  CHECK(eventually([&] { return ended == 1; }));
  CHECK(runtime.emit("session", Shared()).ok());
  CHECK(runtime.stats().events.unmatched == 1);
  CHECK(runtime.stop(20s).status.ok());
  CHECK(runtime.stats().events.done == 1);
}

TEST_CASE("route: a delivery whose letter pushes out one with its own subscription ends",
          "[route]") {
  std::atomic<int> ended{0};
  wisp::Runtime runtime;
  auto session = std::make_shared<Session>(ended);
  session->subscription = runtime.on("session").deliver({.serial = true}).to([](const Shared&) {
    return wisp::invalid_argument("no");
  });
  REQUIRE(runtime.emit("session", session).ok());
  session.reset();
  for (std::size_t i = 0; i < wisp::DeadLetters::kLettersMax; ++i)
    REQUIRE(runtime.emit("session", Shared()).ok());
  CHECK(eventually([&] { return ended == 1; }));
  CHECK(runtime.dead_letters().forgotten() == 1);
  CHECK(runtime.stop(20s).status.ok());
}

TEST_CASE("route: deliveries whose payloads end each other's subscriptions do not wait in a circle",
          "[route]") {
  Gate gate;
  std::atomic<int> ended{0};
  wisp::Runtime runtime{{.workers = {.max = 2, .policy = wisp::scaling::Fixed{2}}}};
  auto a = std::make_shared<Session>(ended);
  auto b = std::make_shared<Session>(ended);
  a->subscription = runtime.on("a").to([&gate](const Shared&) { gate.pass(); });
  b->subscription = runtime.on("b").to([&gate](const Shared&) { gate.pass(); });
  REQUIRE(runtime.emit("a", std::exchange(b, nullptr)).ok());
  REQUIRE(runtime.emit("b", std::exchange(a, nullptr)).ok());
  gate.await(2);
  gate.open();
  CHECK(eventually([&] { return ended == 2; }));
  CHECK(runtime.stop(20s).status.ok());
}

TEST_CASE("route: an executor that fails for a while cancels what is queued, and no more",
          "[route]") {
  const auto mode = GENERATE(Losing::Mode::drops, Losing::Mode::refuses);
  Losing executor;
  std::atomic<int> ran{0};
  const auto count = wisp::function("count", [&ran](int) { ++ran; });
  wisp::Runtime runtime{wisp::Catalogue().add(count), {.executor = &executor}};
  auto subscription = runtime.on("a").to(count);
  executor.mode = mode;
  CHECK(runtime.post(count, 1).ok());
  CHECK(runtime.emit("a", 1).ok());
  CHECK(runtime.stats().events.cancelled == 2);
  executor.mode = Losing::Mode::takes;
  CHECK(runtime.post(count, 2).ok());
  CHECK(runtime.emit("a", 2).ok());
  CHECK(runtime.stop(20s).status.ok());
  CHECK(ran == 2);
  check_conserved(runtime.stats().events);
}

TEST_CASE("route: what waits for the function's limit is cancelled one by one, however many",
          "[route]") {
  constexpr int kWaiting = 50'000;
  Losing executor;
  Gate gate;
  const auto narrow =
      wisp::function("narrow", [&gate](int) { gate.pass(); }, {.limits = {.concurrency = 1}});
  wisp::Runtime runtime{wisp::Catalogue().add(narrow), {.executor = &executor}};
  auto subscription = runtime.on("a").to(narrow);
  for (int i = 0; i <= kWaiting; ++i) REQUIRE(runtime.emit("a", i).ok());
  gate.await(1);
  // The last of them waits when the tokens have all come by.
  REQUIRE(eventually([&] { return executor.idle(); }));
  executor.mode = Losing::Mode::drops;
  gate.open();
  CHECK(eventually([&] { return runtime.stats().queued == 0; }));
  const wisp::EventStats events = runtime.stats().events;
  check_conserved(events);
  CHECK(events.done + events.cancelled == kWaiting + 1);
  executor.mode = Losing::Mode::takes;
  // The slot is free again.
  CHECK(eventually([&] { return runtime.call(narrow, 1).ok(); }));
}

TEST_CASE("route: no retry outlives its subscription", "[route]") {
  wisp::ManualClock clock;
  Gate gate;
  const auto fails = wisp::function("fails",
                                    [&gate](int) {
                                      gate.pass();
                                      return wisp::unavailable("again");
                                    },
                                    {.retry = {.first_delay = 60s}});
  wisp::Runtime runtime{wisp::Catalogue().add(fails), {.clock = &clock}};
  auto subscription = runtime.on("a").deliver({.serial = true}).to(fails);
  REQUIRE(runtime.emit("a", 1).ok());
  gate.await(1);
  REQUIRE(runtime.emit("a", 2).ok());
  std::thread ender([&subscription] { subscription.cancel(); });
  // That of the second one says that the route is closed.
  REQUIRE(eventually([&] { return runtime.stats().events.cancelled == 1; }));
  gate.open();
  ender.join();
  CHECK(runtime.stats().events.cancelled == 2);
  CHECK(runtime.stats().queued == 0);
}
