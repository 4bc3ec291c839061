// What stays of a version that has gone.
#include <wisp/wisp.hpp>

#include "catch.hpp"

TEST_CASE("versions: what was built for a call is counted, also once its version has gone",
          "[versions]") {
  struct Answer {
    int operator()() { return 7; }
  };
  wisp::Runtime runtime;
  wisp::Registry& registry = runtime.registry();
  const auto answer = wisp::function("answer", wisp::stateful<Answer>());
  REQUIRE(registry.add(answer).ok());
  const auto next = [&] {
    const int version =
        registry.publish(wisp::function("answer", wisp::stateful<Answer>())).value();
    REQUIRE(registry.alias("answer", {{version}}).ok());
  };
  next();
  CHECK(runtime.call(answer).value() == 7);
  next();  // the second one can still come back,
  next();  // and has gone
  for (const wisp::FunctionStats& each : runtime.stats().functions)
    CHECK(each.cold_starts == (each.version == 2 ? 1 : 0));
}
