// A promise of delivery as a property: it holds in a simulated world of any seed.
//
//   TEST_CASE("order: one of a key at a time, in the order of emits", "[order]") {
//     wisp::test::for_each_seed([](std::uint64_t seed) {
//       wisp::sim::World world{seed};
//       wisp::Runtime runtime{world.options()};
//       ...
//       wisp::test::conserved(runtime);          // also in handlers, at any instant
//       world.advance(1h);
//       wisp::test::conserved_at_rest(runtime);  // and nothing is on its way any more
//     });
//   }
//
// A failure names its seed, and prints to stderr the command that runs this test with this seed
// alone. Catch2's checks may be used in the handlers of a world, of which one runs at a time, but
// not REQUIRE, which throws.
//
// Threads: any thread of a world; conserved_at_rest() any.
#pragma once

#include <errno.h>  // program_invocation_name

#include <concepts>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include <fmt/format.h>

#include <wisp/base/park.hpp>
#include <wisp/runtime.hpp>
#include <wisp/sim/world.hpp>

#include "catch.hpp"
#include "seeds.hpp"

namespace wisp::test {

// The one seed of WISP_TEST_SEED, or 0 if that is no positive number.
inline std::uint64_t only_seed() {
  const char* text = std::getenv("WISP_TEST_SEED");
  return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}

// The seeds that this process runs: only_seed(), or of 1 to test_seeds() the part that
// WISP_TEST_PART names as "2/4", the second of four; all if it names none.
struct SeedRange {
  std::uint64_t first = 1;
  std::uint64_t last = 0;
  int count() const { return static_cast<int>(last + 1 - first); }
};

inline SeedRange seeds_here() {
  if (const std::uint64_t only = only_seed()) return {only, only};
  const auto all = static_cast<std::uint64_t>(test_seeds());
  const char* text = std::getenv("WISP_TEST_PART");
  std::uint64_t part = 0;
  std::uint64_t parts = 0;
  if (text == nullptr || std::sscanf(text, "%lu/%lu", &part, &parts) != 2) return {1, all};
  if (part < 1 || part > parts) return {1, all};
  return {1 + all * (part - 1) / parts, all * part / parts};
}

// Whether these are enough to show what comes about in some of all worlds: a test asks for that at
// its end only if so.
inline bool many_seeds() { return seeds_here().count() >= 10; }

// What replay_test.cpp prints for a failure; empty outside of for_each_seed().
inline std::string& replay_line() {
  static std::string line;
  return line;
}

// The shell command that runs the current test with one seed.
inline std::string replay(std::uint64_t seed) {
  std::string name;
  for (const char letter : Catch::getResultCapture().getCurrentTestName()) {
    // Catch2 gives them a meaning, then the shell.
    if (letter == ',' || letter == '[' || letter == '\\') name += "\\\\";
    if (letter == '"' || letter == '$' || letter == '`') name += '\\';
    name += letter;
  }
  return fmt::format("WISP_TEST_SEED={} \"{}\" \"{}\"", seed, program_invocation_name, name);
}

// Runs `body(seed)` with seeds_here().
template <std::invocable<std::uint64_t> Body>
void for_each_seed(const Body& body) {
  const SeedRange seeds = seeds_here();
  for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
    INFO("seed " << seed);
    replay_line() = replay(seed);
    body(seed);
  }
  replay_line().clear();
}

// Watches the runtime in half of all worlds: one that nobody looks at takes shorter ways.
inline std::optional<Observation> watch_some(sim::World& world, Runtime& runtime) {
  if (world.seed() / 2 % 2 == 0) return std::nullopt;
  return world.watch(runtime);
}

// Waits where there is no Context to sleep by, as in a constructor.
inline void pass(Clock& clock, Duration d) {
  Parker parker;
  const Time until = clock.now() + d;
  while (clock.now() < until) clock.park(parker, until);
}

// Deliveries that came to an end.
inline std::uint64_t ended(const EventStats& events) {
  return events.done + events.dead + events.expired + events.cancelled;
}

inline std::string counts(const EventStats& events) {
  return fmt::format("accepted {}, done {}, dead {} (dropped {}), expired {}, cancelled {}",
                     events.accepted, events.done, events.dead, events.dropped, events.expired,
                     events.cancelled);
}

// Fails unless no more deliveries came to an end than were accepted, and no more were dropped than
// died.
inline void conserved(const EventStats& events) {
  if (ended(events) > events.accepted || events.dropped > events.dead)
    FAIL_CHECK("not conserved: " << counts(events));
}
inline void conserved(const Runtime& runtime) { conserved(runtime.stats().events); }

// Fails unless each delivery that was accepted came to exactly one end.
inline void conserved_at_rest(const EventStats& events) {
  if (ended(events) != events.accepted || events.dropped > events.dead)
    FAIL_CHECK("not conserved at rest: " << counts(events));
}
inline void conserved_at_rest(const Runtime& runtime) { conserved_at_rest(runtime.stats().events); }

}  // namespace wisp::test
