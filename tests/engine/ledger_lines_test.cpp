#include <fmt/format.h>
#include <wisp/engine/detail/ledger.hpp>

#include "catch.hpp"

using wisp::detail::Ledger;

TEST_CASE("ledger: beyond theirs, patterns and schedules share a line and leave functions' alone",
          "[ledger]") {
  wisp::ManualClock clock;
  Ledger ledger(clock, {});
  for (int i = 0; i < wisp::detail::kUnnamedLinesMax; ++i)
    REQUIRE(ledger.line({.function = fmt::format("on a.{}", i)}) != wisp::detail::kOthersLine);
  CHECK(ledger.line({.function = "on b"}) == wisp::detail::kOthersLine);
  CHECK(ledger.line({.function = "every 5 ms"}) == wisp::detail::kOthersLine);
  CHECK(ledger.line({.function = "on a.7"}) != wisp::detail::kOthersLine);
  CHECK(ledger.line({.function = "f"}) != wisp::detail::kOthersLine);
  CHECK(ledger.line({.function = "f", .tenant = "t"}) != wisp::detail::kOthersLine);
}
