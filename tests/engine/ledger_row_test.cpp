// Calls in a row that the meter takes together, or with one reading between two.
#include <wisp/engine/detail/ledger.hpp>

#include "catch.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Meter;
using wisp::detail::Count;
using wisp::detail::Ledger;
using wisp::detail::Span;

}  // namespace

TEST_CASE("ledger: a row of sampled calls is timed as one, and fifteen rows are not", "[ledger]") {
  wisp::ManualClock clock;
  Ledger ledger(clock, {});
  const int line = ledger.line({.function = "f", .meter = Meter::sampled});
  wisp::detail::Shard& shard = ledger.shard();
  wisp::detail::Cell& cell = shard.cell(line);
  int timed = 0;
  // The first tells nothing of how often they come.
  for (int row = 0; row < 1 + 10 * 16; ++row) {
    if (cell.untimed == 0) {
      ++timed;
      Span span(shard, cell, Meter::sampled);
      for (int i = 0; i < 4; ++i) cell.add(Count::untimed, 1);
      clock.advance(1us);
      ledger.end_and_record_row(shard, span, 4);
    } else {
      for (int i = 0; i < 4; ++i) cell.add(Count::untimed, 1);
      cell.untimed -= 4;
      CHECK(cell.brief);
    }
    CHECK(ledger.bill(1h, {}).lines.at(0).calls == static_cast<std::uint64_t>(4 * (row + 1)));
    CHECK(ledger.bill(1h, {}).lines.at(0).cpu == (row + 1) * 1us);
  }
  CHECK(timed == 11);
  const wisp::Bill bill = ledger.bill(1h, {});
  // All but those that wait for the next timed row.
  CHECK(bill.lines.at(0).wall == (1 + 9 * 16 + 1) * 1us);
  CHECK(ledger.functions().at(0).run.quantile(0.5) == 247);  // of 240 to 255
}

TEST_CASE("ledger: a span that follows another begins where that one ended", "[ledger]") {
  wisp::ManualClock clock;
  Ledger ledger(clock, {});
  const int first = ledger.line({.function = "first"});
  const int second = ledger.line({.function = "second"});
  const int outer = ledger.line({.function = "outer"});
  wisp::detail::Shard& shard = ledger.shard();
  Span around(shard, outer, Meter::batched);
  clock.advance(5us);
  Span one(shard, first, Meter::batched);
  clock.advance(10us);
  ledger.end_and_record(shard, one, true, false);
  Span two(shard, shard.cell(second), Meter::batched, true);
  clock.advance(20us);
  ledger.end_and_record(shard, two, true, true);
  ledger.end_and_record(shard, around, true, false);
  const wisp::Bill bill = ledger.bill(1h, {});
  REQUIRE(bill.lines.size() == 3);
  CHECK(bill.lines[0].wall == 10us);
  CHECK(bill.lines[1].cpu == 5us);
  CHECK(bill.lines[1].wall == 35us);
  CHECK(bill.lines[2].wall == 20us);
  CHECK(bill.lines[2].errors == 1);
}
