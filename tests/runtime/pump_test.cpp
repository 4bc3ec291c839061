#include <wisp/runtime.hpp>

#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"

namespace {

using namespace wisp::literals;

}  // namespace

TEST_CASE("pump: everything runs on the caller's thread, and there is no other", "[pump]") {
  const int before = wisp::test::threads_at_rest();
  std::vector<std::thread::id> ran_on;
  const auto note =
      wisp::function("note", [&ran_on](int) { ran_on.push_back(std::this_thread::get_id()); });
  wisp::Runtime runtime{wisp::Catalogue().add(note), {.threads = wisp::Threads::none}};
  auto subscription =
      runtime.on("a").to([&ran_on](int) { ran_on.push_back(std::this_thread::get_id()); });
  auto soon = runtime.after(0s).run(note, 1);
  auto pending = runtime.start(note, 2);
  REQUIRE(runtime.post(note, 3).ok());
  REQUIRE(runtime.emit("a", 4).ok());
  CHECK(ran_on.empty());
  while (runtime.pump().ran > 0) {
  }
  CHECK(ran_on == std::vector<std::thread::id>(4, std::this_thread::get_id()));
  CHECK(wisp::test::threads() == before);
}

TEST_CASE("pump: it stays within its budget of tasks and of time", "[pump]") {
  wisp::ManualClock clock;
  const auto slow =
      wisp::function("slow", [&clock](int ms) { clock.advance(std::chrono::milliseconds(ms)); });
  wisp::Runtime runtime{wisp::Catalogue().add(slow),
                        {.threads = wisp::Threads::none, .clock = &clock}};
  for (int i = 0; i < 10; ++i) REQUIRE(runtime.post(slow, 1).ok());
  const wisp::Pumped three = runtime.pump({.tasks = 3});
  CHECK(three.ran == 3);
  CHECK(three.left == 7);
  const wisp::Pumped two_ms = runtime.pump({.time = 2ms});
  CHECK(two_ms.ran == 2);
  CHECK(two_ms.left == 5);
  CHECK(runtime.pump({.time = 1h, .tasks = 100}).ran == 5);
  CHECK(runtime.pump().ran == 0);
}

TEST_CASE("pump: work that is added meanwhile waits for the next pass", "[pump]") {
  int ran = 0;
  wisp::ManualClock clock;
  const auto again = wisp::function("again", [&ran](int n, wisp::Context& context) {
    ++ran;
    if (n > 0) (void)context.runtime().post<void, int>(wisp::named<void(int)>("again"), n - 1);
    // A pump inside a pump runs nothing.
    CHECK(context.runtime().pump().ran == 0);
  });
  wisp::Runtime runtime{wisp::Catalogue().add(again),
                        {.threads = wisp::Threads::none, .clock = &clock}};
  REQUIRE(runtime.post(again, 2).ok());
  for (int pass = 1; pass <= 3; ++pass) {
    CHECK(runtime.pump().ran == 1);
    CHECK(ran == pass);
  }
  CHECK(runtime.pump().ran == 0);
}

TEST_CASE("pump: a wait on another thread ends when the host pumps, or stops", "[pump]") {
  wisp::ManualClock clock;
  const auto twice = wisp::function("twice", [](int n) { return 2 * n; }, {.pool_only = true});
  wisp::Runtime runtime{wisp::Catalogue().add(twice),
                        {.threads = wisp::Threads::none, .clock = &clock}};
  auto first = runtime.start(twice, 1);
  auto second = runtime.start(twice, 2);
  std::atomic<int> got{0};
  std::thread waiter([&] { got = *first.wait(); });
  REQUIRE(wisp::test::eventually([&] {
    runtime.pump({.tasks = 1});
    return got == 2;
  }));
  waiter.join();
  std::thread other([&] { got = second.wait().ok() ? 4 : -1; });
  REQUIRE(runtime.stop(1h).status.ok());
  other.join();
  CHECK(got == 4);
}

TEST_CASE("pump: a runtime with threads of its own has nothing to pump", "[pump]") {
  const auto nothing = wisp::function("nothing", [] {});
  wisp::Runtime runtime{wisp::Catalogue().add(nothing)};
  auto pending = runtime.start(nothing);
  const wisp::Pumped pumped = runtime.pump();
  CHECK(pumped.ran == 0);
  CHECK(pumped.left == 0);
  CHECK(pending.wait().ok());
}

TEST_CASE("pump: a pump inside a pump fires no timer either", "[pump]") {
  wisp::ManualClock clock;
  wisp::Runtime runtime{{.threads = wisp::Threads::none, .clock = &clock}};
  int ran = 0;
  auto soon = runtime.after(1s).run([&ran] { ++ran; });
  auto nested = runtime.on("a").to([&](int, wisp::Context& context) {
    clock.advance(2s);
    const wisp::Pumped pumped = context.runtime().pump();
    CHECK(pumped.ran == 0);
    CHECK(pumped.left == 0);
    CHECK(soon.next().has_value());
  });
  REQUIRE(runtime.emit("a", 1).ok());
  CHECK(runtime.pump().ran == 1);
  CHECK(runtime.pump().ran == 1);
  CHECK(ran == 1);
}

TEST_CASE("pump: a stop beside a pump on another thread waits for its handler", "[pump]") {
  wisp::test::Gate gate;
  wisp::Runtime runtime{{.threads = wisp::Threads::none}};
  auto slow = runtime.on("a").to([&gate](int) { gate.pass(); });
  REQUIRE(runtime.emit("a", 1).ok());
  REQUIRE(runtime.emit("a", 2).ok());
  std::thread host([&runtime] { runtime.pump({.tasks = 1}); });
  gate.await(1);
  std::thread opener([&] {
    while (runtime.emit("b", 1).ok()) std::this_thread::yield();
    gate.open();
  });
  CHECK(runtime.stop(60s).status.ok());
  CHECK(runtime.stats().events.done == 2);
  host.join();
  opener.join();
}
