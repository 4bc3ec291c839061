#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::Lane;
using wisp::sim::World;

}  // namespace

TEST_CASE("lanes: while something waits in a lane, nothing of those below begins", "[lanes]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.threads_max = static_cast<int>(1 + seed % 3)}};
    wisp::Random& random = world.random();
    std::array<int, wisp::kLanes> waiting{};
    int begun = 0;
    int more = 0;  // that handlers post themselves, while others of their queue are ready
    const auto in_lane = [&](std::string_view name, Lane lane) {
      const auto at = static_cast<std::size_t>(lane);
      return wisp::function(name,
                            [&waiting, &begun, &more, at](int ms, Context& context) {
                              for (std::size_t above = 0; above < at; ++above)
                                CHECK(waiting[above] == 0);
                              --waiting[at];
                              ++begun;
                              if (at > 0 && ms == 0) {
                                ++waiting[0];
                                ++more;
                                const auto tick = wisp::named<void(int)>("tick");
                                CHECK(context.runtime().post(tick, 1).ok());
                              }
                              return context.sleep(ms * 1ms);
                            },
                            {.lane = lane});
    };
    const std::array all{in_lane("tick", Lane::urgent), in_lane("usual", Lane::normal),
                         in_lane("tidy", Lane::background)};
    wisp::Runtime runtime{wisp::Catalogue().add(all[0]).add(all[1]).add(all[2]), world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    std::vector<wisp::Pending<void>> started;
    constexpr int kMany = 200;
    for (int n = 0; n < kMany; ++n) {
      const auto lane = static_cast<std::size_t>(wisp::uniform(random, 0, 2));
      const int ms = static_cast<int>(wisp::uniform(random, 0, 4));
      ++waiting[lane];
      if (wisp::uniform(random, 0, 1) == 0) REQUIRE(runtime.post(all[lane], ms).ok());
      else started.push_back(runtime.start(all[lane], ms));
      if (n % 5 == 0) world.advance(wisp::uniform(random, 0, 8) * 1ms);
    }
    world.advance(1min);
    CHECK(begun == kMany + more);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("lanes: in a pump a tick waits for one task of the background at most", "[lanes]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    wisp::SeededRandom random{seed};
    wisp::ManualClock clock;
    int ticks = 0;
    int tidied = 0;
    int since = -1;  // tasks of the background, since a tick has waited
    const auto tick = wisp::function("tick",
                                     [&](int) {
                                       ++ticks;
                                       since = -1;
                                     },
                                     {.lane = Lane::urgent});
    wisp::Runtime* host = nullptr;
    const auto tidy = wisp::function("tidy",
                                     [&](int n) {
                                       ++tidied;
                                       if (since >= 0) CHECK(++since <= 1);
                                       clock.advance(1ms);
                                       if (n % 7 != 0 || since >= 0) return;
                                       since = 0;
                                       CHECK(host->post(tick, n).ok());
                                     },
                                     {.lane = Lane::background});
    wisp::Runtime runtime{wisp::Catalogue().add(tick).add(tidy),
                          {.threads = wisp::Threads::none, .clock = &clock}};
    host = &runtime;
    for (int n = 0; n < 300; ++n) REQUIRE(runtime.post(tidy, n).ok());
    for (int frame = 0; frame < 300; ++frame) {
      if (since < 0 && wisp::uniform(random, 0, 1) == 0) {
        since = 0;
        REQUIRE(runtime.post(tick, frame).ok());
      }
      (void)runtime.pump({.time = 4ms, .tasks = static_cast<int>(wisp::uniform(random, 1, 8))});
    }
    CHECK(tidied == 300);
    CHECK(ticks > 43);
    wisp::test::conserved_at_rest(runtime);
  });
}
