#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "catch.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::sim::World;

// Whether a line of the log has all that.
bool logged(const World& world, std::initializer_list<std::string_view> all) {
  const wisp::sim::Log log = world.log();
  return std::any_of(log.lines.begin(), log.lines.end(), [&](const std::string& line) {
    return std::all_of(all.begin(), all.end(),
                       [&](std::string_view part) { return line.find(part) != std::string::npos; });
  });
}

}  // namespace

TEST_CASE("world: the log has the steps of a runtime that is watched, and the hash has them too",
          "[sim]") {
  const auto run = [](bool watched) {
    World world{3};
    wisp::Runtime runtime{world.options()};
    const auto fails = wisp::function("fails", [] { return wisp::unavailable("not now"); },
                                      {.retry = {.attempts = 2}});
    REQUIRE(runtime.registry().add(fails).ok());
    {
      std::optional<wisp::Observation> watch;
      if (watched) watch.emplace(world.watch(runtime));
      const std::string id = fmt::format("{}", runtime.post(fails).value());
      world.advance(1h);
      CHECK(logged(world, {id, "accepted for 'fails'"}) == watched);
      CHECK(logged(world, {id, "attempt 1 in 'fails' failed, the next is due in"}) == watched);
      CHECK(logged(world, {id, "dead in 'fails' after 2 attempts: UNAVAILABLE: not now"}) ==
            watched);
    }
    world.note("from here on");
    const std::size_t before = world.log().lines.size();
    REQUIRE(runtime.post(fails).ok());
    world.advance(1h);
    // Two attempts begin and end, and nobody tells of more.
    CHECK(world.log().lines.size() == before + 4);
    return world.hash();
  };
  CHECK(run(true) == run(true));
  CHECK(run(true) != run(false));
}
