#include <wisp/service/bus.hpp>

#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "seeds.hpp"
#include "service/pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::test::check_conserved;

struct Order {
  std::string id;
  double total;
  std::string country;
};
WISP_FIELDS(Order, id, total, country)

// Runs everything that is due, and time as far as retries need it.
void settle(wisp::Runtime& runtime, wisp::ManualClock& clock) {
  for (int i = 0; i < 10'000; ++i) {
    const wisp::Pumped pumped = runtime.pump();
    if (pumped.ran != 0 || pumped.left != 0) continue;
    if (runtime.stats().queued == 0) return;
    clock.advance(100ms);
  }
  FAIL("the runtime does not come to rest");
}

struct PumpedBus {
  wisp::ManualClock clock;
  wisp::SeededRandom random{1};
  wisp::Runtime runtime{{.threads = wisp::Threads::none, .clock = &clock, .random = &random}};

  wisp::EventStats settled() {
    settle(runtime, clock);
    const wisp::EventStats events = runtime.stats().events;
    check_conserved(events);
    return events;
  }
};

}  // namespace

TEST_CASE("bus: an event reaches every subscription that matches, and no other", "[bus]") {
  PumpedBus p;
  std::vector<std::string> seen;
  const auto note = [&seen](std::string who) {
    return [&seen, who](const Order& o) { seen.push_back(who + o.id); };
  };
  auto exact = p.runtime.on("orders.1.paid").to(note("exact "));
  auto star = p.runtime.on("orders.*.paid").to(note("star "));
  auto rest = p.runtime.on("orders.>").to(note("rest "));
  auto other = p.runtime.on("orders.*.sent").to(note("other "));
  REQUIRE(p.runtime.emit("orders.1.paid", Order{"a", 1, "PT"}).ok());
  const auto events = p.settled();
  CHECK(seen == std::vector<std::string>{"exact a", "star a", "rest a"});
  CHECK(events.done == 3);
}

TEST_CASE("bus: an event that nobody wants is accepted and counted as unmatched", "[bus]") {
  PumpedBus p;
  auto filtered =
      p.runtime.on("a").where([](const Order& o) { return o.total > 5; }).to([](const Order&) {});
  CHECK(p.runtime.emit("a", Order{"x", 1, "PT"}).ok());
  CHECK(p.runtime.emit("b", 3).ok());
  const auto events = p.settled();
  CHECK(events.unmatched == 2);
  CHECK(events.accepted == 0);
}

TEST_CASE("bus: a bad topic or pattern is refused and names itself", "[bus]") {
  PumpedBus p;
  CHECK(p.runtime.emit("", 1).status().code() == wisp::StatusCode::kInvalidArgument);
  CHECK(p.runtime.emit("a..b", 1).status().code() == wisp::StatusCode::kInvalidArgument);
  CHECK(p.runtime.emit("a.*", 1).status().code() == wisp::StatusCode::kInvalidArgument);
  auto bad = p.runtime.on("a.>.b").to([](int) {});
  CHECK(bad.status().code() == wisp::StatusCode::kInvalidArgument);
  CHECK(wisp::message(bad.status()).find("a.>.b") != std::string_view::npos);
  auto letters = p.runtime.on("a").deliver({.dead_letter = "bad..topic"}).to([](int) {});
  CHECK_FALSE(letters.status().ok());
  auto attempts = p.runtime.on("a").deliver({.attempts = 0}).to([](int) {});
  CHECK(attempts.status().code() == wisp::StatusCode::kInvalidArgument);
}

TEST_CASE("bus: filters and predicates must all hold", "[bus]") {
  PumpedBus p;
  std::vector<std::string> seen;
  auto rich =
      p.runtime.on("orders.*")
          .where(wisp::field("total").at_least(100) && wisp::field("country").one_of({"PT", "ES"}))
          .where([](const Order& o) { return o.id != "skip"; })
          .to([&seen](const Order& o) { seen.push_back(o.id); });
  REQUIRE(rich.status().ok());
  for (const Order& order : {Order{"yes", 100, "PT"}, Order{"skip", 100, "PT"},
                             Order{"poor", 99, "PT"}, Order{"far", 100, "US"}}) {
    REQUIRE(p.runtime.emit("orders.x", order).ok());
  }
  CHECK(p.settled().unmatched == 3);
  CHECK(seen == std::vector<std::string>{"yes"});
}

TEST_CASE("bus: a field that the handler's type lacks leaves the subscription inactive", "[bus]") {
  PumpedBus p;
  auto typo =
      p.runtime.on("orders.*").where(wisp::field("totl").at_least(100)).to([](const Order&) {});
  REQUIRE_FALSE(typo.status().ok());
  CHECK(wisp::message(typo.status()).find("totl") != std::string_view::npos);
  auto wrong =
      p.runtime.on("orders.*").where([](const int& n) { return n > 0; }).to([](const Order&) {});
  REQUIRE_FALSE(wrong.status().ok());
  CHECK(p.runtime.emit("orders.x", Order{"a", 1, "PT"}).ok());
  CHECK(p.settled().unmatched == 1);
}

TEST_CASE("bus: a payload of another type is dead-lettered before any filter", "[bus]") {
  PumpedBus p;
  int filtered = 0;
  auto typed = p.runtime.on("t")
                   .where([&filtered](const Order&) { return ++filtered > 0; })
                   .to([](const Order&) {});
  CHECK(p.runtime.emit("t", 7).ok());
  CHECK(p.settled().dead == 1);
  CHECK(filtered == 0);
  const auto letters = p.runtime.dead_letters().list();
  REQUIRE(letters.size() == 1);
  CHECK(letters[0].error.code() == wisp::StatusCode::kInvalidArgument);
  CHECK(wisp::message(letters[0].error).find("Order") != std::string_view::npos);
  CHECK(wisp::message(letters[0].error).find("int32") != std::string_view::npos);
}

TEST_CASE(
    "bus: a handler of Event takes every type, and a filter on a missing field does not match",
    "[bus]") {
  PumpedBus p;
  std::vector<std::string> seen;
  auto all = p.runtime.on(">").to(
      [&seen](const wisp::Event& e) { seen.push_back(e.topic + ":" + std::string(e.type())); });
  auto some =
      p.runtime.on(">").where(wisp::field("total").at_least(1)).to([&seen](const wisp::Event& e) {
        seen.push_back("total:" + e.topic);
      });
  CHECK(p.runtime.emit("n", 1).ok());
  CHECK(p.runtime.emit("o", Order{"a", 5, "PT"}).ok());
  CHECK(p.settled().done == 3);
  CHECK(seen == std::vector<std::string>{"n:int32", "o:Order", "total:o"});
}

TEST_CASE("bus: one payload is shared by all subscriptions", "[bus]") {
  PumpedBus p;
  std::set<const Order*> addresses;
  std::vector<wisp::Subscription> many;
  for (int i = 0; i < 5; ++i) {
    many.push_back(p.runtime.on("o").to([&addresses](const Order& o) { addresses.insert(&o); }));
  }
  CHECK(p.runtime.emit("o", Order{"a", 5, "PT"}).ok());
  CHECK(p.settled().done == 5);
  CHECK(addresses.size() == 1);
}

TEST_CASE("bus: a synchronous delivery runs inside emit, once", "[bus]") {
  PumpedBus p;
  std::thread::id where;
  auto here = p.runtime.on("o").deliver({.synchronous = true}).to([&where](const Order&) {
    where = std::this_thread::get_id();
  });
  int failed = 0;
  auto fails =
      p.runtime.on("o").deliver({.synchronous = true}).to([&failed](const Order&) -> wisp::Status {
        ++failed;
        return wisp::unavailable("not today");
      });
  CHECK(p.runtime.emit("o", Order{"a", 5, "PT"}).ok());
  CHECK(where == std::this_thread::get_id());
  CHECK(failed == 1);
  const auto events = p.settled();
  CHECK(events.done == 1);
  CHECK(events.dead == 1);
  CHECK(p.runtime.dead_letters().list().at(0).event->as<Order>()->id == "a");
  auto both =
      p.runtime.on("o").deliver({.attempts = 2, .synchronous = true}).to([](const Order&) {});
  CHECK_FALSE(both.status().ok());
}

TEST_CASE("bus: a failed delivery is retried, then dead-lettered to its topic with its failure",
          "[bus]") {
  PumpedBus p;
  int attempts = 0;
  std::vector<std::string> letters;
  auto poison = p.runtime.on("orders.*")
                    .deliver({.attempts = 4, .dead_letter = "failed.orders"})
                    .to([&attempts](const Order&) -> wisp::Status {
                      ++attempts;
                      return wisp::unavailable("attempt {}", attempts);
                    });
  auto dead = p.runtime.on("failed.>").to([&letters](const wisp::Event& e) {
    REQUIRE(e.failure != nullptr);
    letters.push_back(fmt::format("{} {} {} {}", e.as<Order>()->id, e.failure->topic,
                                  e.failure->attempts, wisp::message(e.failure->error)));
  });
  CHECK(p.runtime.emit("orders.7", Order{"7", 5, "PT"}).ok());
  const auto events = p.settled();
  CHECK(attempts == 4);
  CHECK(letters == std::vector<std::string>{"7 orders.7 4 attempt 4"});
  CHECK(events.dead == 1);
  CHECK(events.done == 1);
  CHECK(p.runtime.dead_letters().size() == 0);
}

TEST_CASE("bus: an error that no retry mends is attempted once", "[bus]") {
  PumpedBus p;
  int attempts = 0;
  auto bad = p.runtime.on("o").to([&attempts](int) -> wisp::Status {
    ++attempts;
    return wisp::invalid_argument("no");
  });
  CHECK(p.runtime.emit("o", 1).ok());
  CHECK(p.settled().dead == 1);
  CHECK(attempts == 1);
  REQUIRE(p.runtime.dead_letters().size() == 1);
  CHECK(p.runtime.dead_letters().redrive(5) == 1);
  (void)p.settled();
  CHECK(attempts == 2);
}

TEST_CASE("bus: a circle of events ends at the hop limit", "[bus]") {
  PumpedBus p;
  int runs = 0;
  wisp::Status last;
  auto circle = p.runtime.on("again").to([&](const int& n) {
    ++runs;
    const auto emitted = p.runtime.emit("again", n + 1);
    if (!emitted.ok()) last = emitted.status();
  });
  CHECK(p.runtime.emit("again", 0).ok());
  const auto events = p.settled();
  CHECK(runs == wisp::kHopsMax + 1);
  CHECK(wisp::reason_of(last) == wisp::Reason::hops);
  CHECK(events.dead == 1);
  CHECK(p.runtime.dead_letters().list().at(0).event->lineage.hops == wisp::kHopsMax + 1);
}

TEST_CASE("bus: the hop limit holds through nested and synchronous calls too", "[bus]") {
  PumpedBus p;
  int runs = 0;
  auto again =
      wisp::function("again", [&](const int& n) { (void)p.runtime.emit("circle", n + 1); });
  REQUIRE(p.runtime.registry().add(again).ok());
  auto circle = p.runtime.on("circle").deliver({.synchronous = true}).to([&](const int& n) {
    ++runs;
    (void)p.runtime.call(again, n);
  });
  CHECK(p.runtime.emit("circle", 0).ok());
  CHECK(runs == wisp::kHopsMax + 1);
}

TEST_CASE("bus: a serial subscription keeps each publisher's order, across retries", "[bus]") {
  for (int seed = 0; seed < wisp::test::test_seeds(); ++seed) {
    CAPTURE(seed);
    PumpedBus p;
    wisp::SeededRandom random(static_cast<std::uint64_t>(seed));
    std::vector<int> done;
    auto serial = p.runtime.on("o")
                      .deliver({.attempts = 20, .serial = true})
                      .to([&](const int& n) -> wisp::Status {
                        if (wisp::uniform(random, 0, 2) == 0) return wisp::unavailable("again");
                        done.push_back(n);
                        return wisp::Status();
                      });
    std::vector<int> sent;
    for (int i = 0; i < 30; ++i) {
      sent.push_back(i);
      REQUIRE(p.runtime.emit("o", i).ok());
      if (wisp::uniform(random, 0, 3) == 0) p.runtime.pump();
    }
    const auto events = p.settled();
    if (events.dead == 0) CHECK(done == sent);
    CHECK(std::is_sorted(done.begin(), done.end()));
  }
}

TEST_CASE("bus: each overflow act does what it says, and counts it", "[bus]") {
  using wisp::Overflow;
  for (const Overflow act :
       {Overflow::reject, Overflow::block, Overflow::drop_oldest, Overflow::drop_newest}) {
    PumpedBus p;
    std::vector<int> seen;
    auto bounded =
        p.runtime.on("o").deliver({.queue = {.count = 3, .act = act}}).to([&seen](const int& n) {
          seen.push_back(n);
        });
    auto beside = p.runtime.on("o").to([](const int&) {});
    int refused = 0;
    for (int i = 0; i < 5; ++i) {
      const auto emitted = p.runtime.emit("o", i);
      if (emitted.ok()) continue;
      ++refused;
      CHECK(wisp::reason_of(emitted.status()) == wisp::Reason::full);
      CHECK(wisp::message(emitted.status()).find("'o'") != std::string_view::npos);
    }
    const auto events = p.settled();
    const bool refuses = act == Overflow::reject || act == Overflow::block;
    CHECK(refused == (refuses ? 2 : 0));
    CHECK(events.dropped == (refuses ? 0 : 2));
    CHECK(events.accepted == (refuses ? 6 : 10));
    CHECK(seen ==
          (act == Overflow::drop_oldest ? std::vector<int>{2, 3, 4} : std::vector<int>{0, 1, 2}));
  }
}

TEST_CASE("bus: a queue is bounded in bytes, and one delivery always fits", "[bus]") {
  PumpedBus p;
  auto bounded =
      p.runtime.on("o").deliver({.queue = {.bytes = 1000}}).to([](const std::string&) {});
  CHECK(p.runtime.emit("o", std::string(5000, 'x')).ok());
  CHECK(wisp::reason_of(p.runtime.emit("o", std::string(1, 'x')).status()) == wisp::Reason::full);
  (void)p.settled();
  CHECK(p.runtime.emit("o", std::string(400, 'x')).ok());
  CHECK(p.runtime.emit("o", std::string(400, 'x')).ok());
  CHECK_FALSE(p.runtime.emit("o", std::string(400, 'x')).ok());
  (void)p.settled();
}

TEST_CASE("bus: the end of a subscription cancels what is queued or waits for a retry", "[bus]") {
  PumpedBus p;
  int runs = 0;
  {
    auto scoped =
        p.runtime.on("o").deliver({.attempts = 9}).to([&runs](const int&) -> wisp::Status {
          ++runs;
          return wisp::unavailable("later");
        });
    CHECK(p.runtime.emit("o", 1).ok());
    p.runtime.pump();
    CHECK(p.runtime.emit("o", 2).ok());
  }
  const auto events = p.settled();
  CHECK(runs == 1);
  CHECK(events.cancelled == 2);
  CHECK(p.runtime.emit("o", 3).ok());
  CHECK(p.settled().unmatched == 1);
}

TEST_CASE("bus: a subscription may end itself from inside its handler", "[bus]") {
  PumpedBus p;
  int runs = 0;
  wisp::Subscription once;
  once = p.runtime.on("o").to([&](const int&) {
    ++runs;
    once.cancel();
  });
  CHECK(p.runtime.emit("o", 1).ok());
  CHECK(p.runtime.emit("o", 2).ok());
  const auto events = p.settled();
  CHECK(runs == 1);
  CHECK(events.done == 1);
  CHECK(events.cancelled == 1);
}

TEST_CASE("bus: a subscription may outlive its runtime", "[bus]") {
  wisp::Subscription survivor;
  {
    wisp::Runtime runtime;
    survivor = runtime.on("o").to([](const int&) {});
    CHECK(survivor.status().ok());
  }
  survivor.cancel();
}
