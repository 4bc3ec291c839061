#include <wisp/service/detail/watchdog.hpp>

#include <atomic>
#include <string>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "service/stats_of.hpp"

namespace {

using namespace wisp::literals;
using wisp::Context;
using wisp::Record;
using wisp::Step;
using wisp::test::stats_of;

}  // namespace

TEST_CASE("watchdog: who outlives its deadline is reported once, who does not never",
          "[watchdog]") {
  wisp::sim::World world{7};
  std::vector<wisp::EventId> late;
  int warnings = 0;
  const auto slow =
      wisp::function("slow", [](int ms, Context& context) { context.elapse(ms * 1ms); },
                     {.timeout = 50ms, .retry = {.attempts = 1}});
  wisp::Runtime runtime{
      wisp::Catalogue().add(slow), world.options({.log = [&warnings](const wisp::LogRecord& line) {
        warnings += line.text.find("takes no notice") != std::string_view::npos ? 1 : 0;
      }})};
  const auto posted = runtime.post(slow, 40);
  const auto stuck = runtime.post(slow, 5'000);
  auto started = runtime.start(slow, 3'000);
  auto brief = runtime.start(slow, 120);  // late, but back before anybody looks
  {
    const auto watch = runtime.observe([&late](const Record& record) {
      if (record.step == Step::late) late.push_back(record.id);
    });
    world.advance(1min);
  }
  REQUIRE(late.size() == 2);
  CHECK(warnings == 2);
  CHECK(stats_of(runtime, "slow").late == 2);
  CHECK((late[0] == *stuck || late[1] == *stuck));
  CHECK((late[0] == started.id() || late[1] == started.id()));
  CHECK(runtime.explain(*stuck).find("past its deadline and has not come back") !=
        std::string::npos);
  CHECK(runtime.explain(*posted).find("past its deadline") == std::string::npos);
}

TEST_CASE("watchdog: who begins when its time is over already has its hundred milliseconds",
          "[watchdog]") {
  wisp::sim::World world{3, {.threads_max = 1}};
  const auto slow =
      wisp::function("slow", [](int ms, Context& context) { context.elapse(ms * 1ms); },
                     {.timeout = 10s, .retry = {.attempts = 1}});
  wisp::Runtime runtime{wisp::Catalogue().add(slow), world.options()};
  auto first = runtime.start(slow, 5'000);
  auto waits = runtime.start(slow, 50, {.timeout = 1s});
  auto lasts = runtime.start(slow, 500, {.timeout = 1s});
  world.advance(1min);
  CHECK(first.ready());
  CHECK(runtime.explain(waits.id()).find("has not come back") == std::string::npos);
  CHECK(runtime.explain(lasts.id()).find("has not come back") != std::string::npos);
  CHECK(stats_of(runtime, "slow").late == 1);
}

TEST_CASE("watchdog: another started call runs in the place of one that is late", "[watchdog]") {
  std::atomic<bool> release{false};
  const auto deaf = wisp::function("deaf",
                                   [&release](int) {
                                     while (!release.load()) {
                                     }
                                   },
                                   {.timeout = 20ms, .retry = {.attempts = 1}});
  const auto other = wisp::function("other", [](int n) { return n + 1; });
  wisp::Runtime runtime{wisp::Catalogue().add(deaf).add(other), {.workers = {.max = 1}}};
  auto stuck = runtime.start(deaf, 1);
  REQUIRE(wisp::test::eventually([&] { return stats_of(runtime, "deaf").running == 1; }));
  for (int i = 0; i < 3; ++i) {
    auto pending = runtime.start(other, i);
    CHECK(wisp::test::eventually([&] { return pending.ready(); }));
  }
  release.store(true);
  CHECK(wisp::test::eventually([&] { return stuck.ready(); }));
  auto last = runtime.start(other, 7);
  CHECK(wisp::test::eventually([&] { return last.ready(); }));
  CHECK(runtime.stop(5s).status.ok());
}

TEST_CASE("watchdog: another worker takes the place of one that is late", "[watchdog]") {
  std::atomic<bool> release{false};
  std::atomic<int> ran{0};
  const auto deaf =
      wisp::function("deaf",
                     [&release](int) {
                       while (!release.load()) {  // neither asleep, nor looking at its cancellation
                       }
                     },
                     {.timeout = 20ms, .retry = {.attempts = 1}});
  const auto other = wisp::function("other", [&ran](int) { ++ran; });
  wisp::Runtime runtime{wisp::Catalogue().add(deaf).add(other), {.workers = {.max = 1}}};
  CHECK(runtime.post(deaf, 1).ok());
  REQUIRE(wisp::test::eventually([&] { return stats_of(runtime, "deaf").running == 1; }));
  CHECK(runtime.post(other, 1).ok());
  CHECK(wisp::test::eventually([&] { return ran.load() == 1; }));
  CHECK(runtime.stats().workers.aside == 1);
  CHECK(stats_of(runtime, "deaf").late == 1);
  CHECK_FALSE(runtime.stats().workers.last_decision.why.empty());
  release.store(true);
  CHECK(wisp::test::eventually([&] { return runtime.stats().workers.aside == 0; }));
  CHECK(runtime.post(other, 1).ok());
  CHECK(wisp::test::eventually([&] { return ran.load() == 2; }));
  CHECK(runtime.stop(5s).status.ok());
}
