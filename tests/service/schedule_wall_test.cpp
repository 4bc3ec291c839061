// Schedules by the clock on the wall, which is set.
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
