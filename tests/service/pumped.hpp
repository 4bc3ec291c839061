// A Runtime that the test pumps, on a clock that the test moves.
//
//   Pumped p{{.queue = {.count = 3}}};
//   CHECK(p.runtime.emit("a", 1).ok());
//   CHECK(p.settled().done == 1);         // everything that was accepted has come to its end
//
// Threads: one-at-a-time.
#pragma once

#include <string_view>
#include <utility>

#include <wisp/wisp.hpp>

#include "catch.hpp"

namespace wisp::test {

inline void check_conserved(const EventStats& events) {
  CHECK(events.accepted == events.done + events.dead + events.expired + events.cancelled);
}

inline bool says(const Status& status, std::string_view text) {
  return message(status).find(text) != std::string_view::npos;
}

struct Pumped {
  explicit Pumped(RuntimeOptions options = {}) : Pumped(Catalogue(), std::move(options)) {}
  explicit Pumped(const Catalogue& functions, RuntimeOptions options = {})
      : runtime(functions, owned(std::move(options))) {
    REQUIRE(runtime.status().ok());
  }

  // Runs everything that is due, and time as far as retries need it.
  EventStats settled(Duration step = std::chrono::milliseconds(100)) {
    for (int i = 0; i < 100'000; ++i) {
      const wisp::Pumped pumped = runtime.pump();
      if (pumped.ran != 0 || pumped.left != 0) continue;
      const EventStats events = runtime.stats().events;
      if (runtime.stats().queued == 0) {
        check_conserved(events);
        return events;
      }
      clock.advance(step);
    }
    FAIL("the runtime does not come to rest");
    return {};
  }

  ManualClock clock;
  SeededRandom random{1};
  Runtime runtime;

 private:
  RuntimeOptions owned(RuntimeOptions options) {
    options.threads = Threads::none;
    options.clock = &clock;
    options.random = &random;
    return options;
  }
};

}  // namespace wisp::test
