#include <chrono>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using namespace wisp::literals;

}  // namespace

TEST_CASE("retry: an attempt stays away for as long as the error asks", "[retry_after]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    const wisp::Duration asked = std::chrono::milliseconds(random.between(0, 1'000));
    std::vector<wisp::Time> at;
    wisp::ManualClock clock;
    const auto fails =
        wisp::function("fails",
                       [&](int) -> wisp::Status {
                         at.push_back(clock.now());
                         return wisp::with_retry_after(wisp::unavailable("down"), asked);
                       },
                       {.retry = {.attempts = 3, .first_delay = 100ms, .max_delay = 500ms}});
    wisp::SeededRandom jitter{static_cast<std::uint64_t>(seed)};
    wisp::Runtime runtime{wisp::Catalogue().add(fails),
                          {.threads = wisp::Threads::none, .clock = &clock, .random = &jitter}};
    const auto apart = [&] {
      for (std::size_t i = 1; i < at.size(); ++i) {
        const wisp::Duration most = asked + (i == 1 ? 100ms : 200ms) + 1ms;
        CHECK((at[i] - at[i - 1] >= asked && at[i] - at[i - 1] <= most));
      }
    };
    // Whoever waits for a result is told at once where the wait would be longer than max_delay.
    auto pending = runtime.start(fails, 1);
    while (!pending.ready()) {
      if (runtime.pump().ran == 0) clock.advance(1ms);
    }
    CHECK(at.size() == (asked > 500ms ? 1 : 3));
    CHECK(wisp::retry_after_of(pending.wait()) == asked);
    apart();
    at.clear();
    REQUIRE(runtime.post(fails, 1).ok());
    while (runtime.dead_letters().list().empty()) {
      if (runtime.pump().ran == 0) clock.advance(1ms);
    }
    CHECK(at.size() == 3);
    apart();
  }
}
