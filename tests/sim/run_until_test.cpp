// A world that stands still at the moment that a test asked for, work that takes time, and the log.
#include <string>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Duration;
using wisp::Time;
using wisp::sim::World;

}  // namespace

TEST_CASE("world: run_until stands at the first moment that its predicate holds", "[sim]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    World world{static_cast<std::uint64_t>(seed)};
    wisp::Runtime runtime{world.options()};
    const Time start = world.clock().now();
    int inside = 0;
    int passed = 0;
    auto slow = runtime.on("slow").to([&](int n, wisp::Context& context) -> wisp::Status {
      ++inside;
      WISP_TRY(context.sleep(n * 1ms));
      ++passed;
      --inside;
      return wisp::Status();
    });
    for (int n = 1; n <= 3; ++n) REQUIRE(runtime.emit("slow", n).ok());
    CHECK(inside == 0);  // a predicate that holds runs nobody
    CHECK(world.run_until([] { return true; }, 1h));
    CHECK(inside == 0);
    // A state that lasts no time, which advance() would run past.
    CHECK(world.run_until([&] { return inside == 2; }, 1h));
    CHECK(inside == 2);
    CHECK(world.clock().now() == start);
    CHECK(world.run_until([&] { return passed == 2; }, 1h));
    CHECK(passed == 2);
    CHECK(world.clock().now() - start == 2ms);
    // Never: time is at the limit, and all that was due has run.
    CHECK_FALSE(world.run_until([&] { return passed == 4; }, 1h));
    CHECK(passed == 3);
    CHECK(world.clock().now() - start == 1h + 2ms);
    CHECK_FALSE(world.run_until([] { return false; }, 0s));
    CHECK(world.clock().now() - start == 1h + 2ms);
  }
}

TEST_CASE("world: run_until takes the choices that advance takes", "[sim]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    const auto hash = [seed](bool step) {
      World world{static_cast<std::uint64_t>(seed)};
      wisp::Runtime runtime{world.options()};
      auto work = runtime.on("work").to(
          [](int n, wisp::Context& context) { return context.sleep(n % 3 * 1ms); });
      for (int n = 0; n < 9; ++n) REQUIRE(runtime.emit("work", n).ok());
      if (step) CHECK_FALSE(world.run_until([] { return false; }, 1s));
      else world.advance(1s);
      CHECK(runtime.stats().events.done == 9);
      return world.hash();
    };
    CHECK(hash(true) == hash(false));
  }
}

TEST_CASE("world: run_until sees what its predicate waits for", "[sim]") {
  World world{1};
  wisp::Runtime runtime{world.options()};
  const auto answer = wisp::function("answer", [](wisp::Context& context) -> wisp::Result<int> {
    WISP_TRY(context.sleep(5ms));
    return 42;
  });
  REQUIRE(runtime.registry().add(answer).ok());
  const Time start = world.clock().now();
  CHECK(world.run_until([&] { return runtime.start(answer).wait().ok(); }, 1ms));
  CHECK(world.clock().now() - start == 5ms);
}

TEST_CASE("context: elapse is work, to the nanosecond, and others go on meanwhile", "[sim]") {
  World world{1};
  wisp::Runtime runtime{world.options()};
  int inside = 0;
  int most = 0;
  const auto work = wisp::function("work",
                                   [&](wisp::Context& context) {
                                     most = std::max(most, ++inside);
                                     context.elapse(3ms + 7ns);
                                     --inside;
                                   },
                                   {.timeout = 10ms, .pool_only = true});
  const auto deaf = wisp::function("deaf", [](wisp::Context& context) { context.elapse(1min); },
                                   {.timeout = 1ms});
  REQUIRE(runtime.registry().add(work).ok());
  REQUIRE(runtime.registry().add(deaf).ok());
  auto one = runtime.start(work);
  auto two = runtime.start(work);
  const Time start = world.clock().now();
  CHECK(one.wait().ok());
  CHECK(two.wait().ok());
  CHECK(world.clock().now() - start == 3ms + 7ns);
  CHECK(most == 2);
  CHECK(one.receipt().wall == 3ms + 7ns);
  CHECK(two.receipt().wall == 3ms + 7ns);
  // Cancelled or not.
  CHECK(runtime.call(deaf).code() == wisp::StatusCode::kDeadlineExceeded);
  CHECK(world.clock().now() - start == 1min + 3ms + 7ns);
}

TEST_CASE("context: elapse keeps a real clock's thread busy", "[sim]") {
  wisp::Runtime runtime{wisp::RuntimeOptions{.threads = wisp::Threads::none}};
  const auto work = wisp::function("work", [](wisp::Context& context) { context.elapse(3ms); });
  REQUIRE(runtime.registry().add(work).ok());
  wisp::Clock& clock = wisp::Clock::system();
  const Time start = clock.now();
  CHECK(runtime.call(work).ok());
  CHECK(clock.now() - start >= 3ms);
}

TEST_CASE("world: its log names who ran, in order, and keeps the last lines", "[sim]") {
  World world{1, {.log_max = 5}};
  CHECK(world.log().lines.empty());
  wisp::Runtime runtime{world.options()};
  auto work = runtime.on("work").to([](int n, wisp::Context& context) -> wisp::Status {
    WISP_TRY(context.sleep(1ms));
    return n == 1 ? wisp::Status() : wisp::invalid_argument("no {}", n);
  });
  REQUIRE(runtime.emit("work", 1).ok());
  world.advance(1s);
  world.note("second");
  REQUIRE(runtime.emit("work", 2).ok());
  world.advance(1s);
  const wisp::sim::Log log = world.log();
  REQUIRE(log.lines.size() == 5);
  CHECK(log.forgotten == 0);
  CHECK(log.lines[0].find("0d 00:00:00.000 thread ") == 0);
  CHECK(log.lines[0].find("'on work' begins, attempt 1, event ") != std::string::npos);
  CHECK(log.lines[1].find("0d 00:00:00.001 thread ") == 0);
  CHECK(log.lines[1].find("'on work' ends well") != std::string::npos);
  CHECK(log.lines[2] == "0d 00:00:01.000 main: second");
  CHECK(log.lines[4].find("'on work' fails: ") != std::string::npos);
  CHECK(log.lines[4].find("no 2") != std::string::npos);
  world.note("third");
  CHECK(world.log().lines.size() == 5);
  CHECK(world.log().lines.front() == log.lines[1]);
  CHECK(world.log().forgotten == 1);

  // The hash is over all of it, the forgotten lines too.
  const auto hash = [](std::string_view note) {
    World other{1, {.log_max = 0}};
    other.note(note);
    CHECK(other.log().lines.empty());
    return other.hash();
  };
  CHECK(hash("a") == hash("a"));
  CHECK(hash("a") != hash("b"));
}
