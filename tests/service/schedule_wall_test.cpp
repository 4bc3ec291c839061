// Schedules by the clock on the wall: one that is set, and a long pause.
#include <algorithm>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "service/pumped.hpp"

namespace {

using namespace wisp::literals;

// A day's run at four, on a clock that is set.
struct Nightly {
  void pass(wisp::Duration d) {
    for (wisp::Duration gone{}; gone < d; gone += 1min) {
      p.clock.advance(1min);
      while (p.runtime.pump().left > 0) {
      }
    }
  }
  void pass_until(wisp::Duration of_day) {
    const wisp::Duration now = p.clock.wall().time_since_epoch() % 24h;
    pass((of_day - now + 24h) % 24h);
  }

  wisp::test::Pumped p;
  int ran = 0;
  wisp::Schedule schedule = p.runtime.every("0 4 * * *"_cron).run([this] { ++ran; });
};

// By how much each firing was late that ran after a pause, the last one last.
std::vector<wisp::Duration> late_after(const wisp::Cron& cron, int make_up, wisp::Duration pause) {
  wisp::test::Pumped p;
  std::vector<wisp::Duration> late;
  wisp::Schedule schedule;
  const auto note = [&] {
    if (const auto last = schedule.receipt()) late.push_back(last->queued);
  };
  schedule = p.runtime.every(cron).fire({.make_up = make_up}).run(note);
  p.clock.advance(pause);
  p.settled();
  note();
  CHECK(p.runtime.stats().events.missed + late.size() == wisp::kMakeUpMax);
  return late;
}

}  // namespace

TEST_CASE("schedule: a clock that is set back by more than three hours counts", "[schedule]") {
  Nightly night;
  night.pass_until(4h);
  CHECK(night.ran == 1);
  // It was fast by that: the night, and its time, are still to come.
  SECTION("at once") { night.p.clock.jump_wall(-5h - 30min); }
  SECTION("hours after it fired") {
    night.pass(2h);
    night.p.clock.jump_wall(-4h);
  }
  night.pass(12h);
  CHECK(night.ran == 2);
  night.pass(24h);
  CHECK(night.ran == 3);
}

TEST_CASE("schedule: a clock that is set back by less brings no time again", "[schedule]") {
  Nightly night;
  night.pass_until(4h);
  const wisp::Duration back = GENERATE(1min, 1h, 3h);
  night.p.clock.jump_wall(-back);
  night.pass(12h);
  CHECK(night.ran == 1);
  night.pass(24h);
  CHECK(night.ran == 2);
}

TEST_CASE("schedule: of thousands of missed times the latest are made up for", "[schedule]") {
  const auto cron = GENERATE("*/5 * * * *"_cron, "*/5 8-17 * * mon-fri"_cron, "* * 0 * * *"_cron,
                             "*/7 * 1-9 * *"_cron);
  const int make_up = GENERATE(1, 10, 1'000);
  INFO("cron " << cron.text() << ", make_up " << make_up);
  const wisp::WallTime begin = wisp::ManualClock().wall();
  const wisp::WallTime end = begin + 40 * 24h + 3min;
  std::vector<wisp::Duration> all;
  auto at = cron.next(std::chrono::floor<std::chrono::seconds>(begin));
  for (; *at <= end; at = cron.next(*at)) all.push_back(end - *at);
  REQUIRE(all.size() > wisp::kMakeUpMax);
  all.erase(all.begin(), all.end() - make_up);
  CHECK(late_after(cron, make_up, end - begin) == all);
}
