// What a thread on its way out counts, in a shard that it has for one outermost handler at a time.
#include <thread>

#include <wisp/engine/detail/ledger.hpp>

#include "catch.hpp"
#include "runtime/burning.hpp"

namespace {

using wisp::Meter;
using wisp::detail::Ledger;
using wisp::detail::Shard;
using wisp::detail::Span;

}  // namespace

TEST_CASE("ledger: a borrowed shard is kept until the outermost handler has ended, timed or not",
          "[ledger]") {
  struct Seen {
    bool borrowed = false;
    bool kept = true;
  };
  struct Late {
    Ledger* ledger = nullptr;
    int line = 0;
    Seen* seen = nullptr;
    ~Late() {
      // The shard is that of the thread that has gone, with calls that need not be timed.
      for (int i = 0; i < 100; ++i) {
        Shard& shard = ledger->shard();
        seen->borrowed = !shard.lasting();
        Span outer(shard, line, Meter::sampled);
        {
          Span inner(shard, line, Meter::sampled);
          ledger->end_and_record(shard, inner, true, false);
        }
        seen->kept = seen->kept && !shard.lasting();
        ledger->end_and_record(shard, outer, true, false);
      }
    }
  };
  wisp::ManualClock clock;
  Ledger ledger(clock, {});
  const int line = ledger.line({.function = "f", .meter = Meter::sampled});
  Seen seen;
  std::thread([&] {
    thread_local Late late;  // older than what the ledger keeps for the thread
    late.ledger = &ledger;
    late.line = line;
    late.seen = &seen;
    for (int i = 0; i < 100; ++i) {
      Shard& shard = ledger.shard();
      Span span(shard, line, Meter::sampled);
      clock.advance(std::chrono::microseconds(1));
      ledger.end_and_record(shard, span, true, false);
    }
  }).join();
  CHECK(seen.borrowed);
  CHECK(seen.kept);
  CHECK(ledger.bill(std::chrono::hours(1), {}).lines.at(0).calls == 300);
}

// It was the next thread's no more.
TEST_CASE("ledger: a borrowed shard is kept for as long as it is in use, and then given back",
          "[ledger]") {
  struct Late {
    Ledger* ledger = nullptr;
    int line = 0;
    bool* kept = nullptr;
    ~Late() {
      if (ledger->lasting_shard() != nullptr) return;
      const Ledger::Use use(*ledger);
      // Before its own handler another one, which is one of the host's callbacks'.
      Span inner(use.shard(), line, Meter::batched);
      ledger->end_and_record(use.shard(), inner, true, false);
      *kept = !use.shard().lasting() && ledger->lasting_shard() == nullptr;
      Span(use.shard(), line, Meter::batched).abandon();
    }
  };
  wisp::ManualClock clock;
  Ledger ledger(clock, {});
  const int line = ledger.line({.function = "f"});
  bool kept = false;
  Shard* shards[2] = {};
  for (Shard*& shard : shards) {
    std::thread([&] {
      thread_local Late late;  // older than what the ledger keeps for the thread
      late.ledger = &ledger;
      late.line = line;
      late.kept = &kept;
      shard = &ledger.shard();
      CHECK(ledger.lasting_shard() == shard);
    }).join();
  }
  CHECK(kept);
  CHECK(shards[0] == shards[1]);
}

// They were added to the host's, and for good.
TEST_CASE("ledger: handlers of a thread that borrows a shard again are not the host's",
          "[ledger]") {
  struct Late {
    Ledger* ledger = nullptr;
    int line = 0;
    wisp::Bill* bill = nullptr;
    ~Late() {
      Shard& shard = ledger->shard();
      Span span(shard, line, Meter::batched);
      *bill = ledger->bill(std::chrono::hours(1), {});
      ledger->end_and_record(shard, span, true, false);
    }
  };
  const bool seen_before = GENERATE(false, true);
  Ledger ledger(wisp::Clock::system(), {});
  const int line = ledger.line({.function = "f"});
  wisp::Bill late;
  std::thread([&] {
    thread_local Late at_end;  // older than what the ledger keeps for the thread
    at_end.ledger = &ledger;
    at_end.line = line;
    at_end.bill = &late;
    wisp::test::Truth truth;
    Shard& shard = ledger.shard();
    Span span(shard, line, Meter::batched);
    wisp::test::burn(200'000'000, truth);
    ledger.end_and_record(shard, span, true, false);
    if (seen_before) (void)ledger.bill(std::chrono::hours(1), {});
  }).join();
  REQUIRE(late.host_quality == wisp::Quality::measured);
  CHECK(late.host < std::chrono::milliseconds(100));
}
