// What an emit leaves behind when it does not go well, and what a handler of Event is given.
#include <wisp/service/bus.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "service/pumped.hpp"
#include "service/stats_of.hpp"

namespace {

using namespace wisp::literals;
using wisp::Event;
using wisp::Overflow;
using wisp::Status;
using wisp::StatusCode;
using wisp::test::check_conserved;
using wisp::test::Gate;
using wisp::test::Pumped;

struct Fragile {
  Fragile() = default;
  Fragile(const Fragile& other) : breaks(other.breaks) {
    if (*breaks) throw std::runtime_error("no copy");
  }
  std::shared_ptr<bool> breaks = std::make_shared<bool>(false);
};

}  // namespace

TEST_CASE("emit: a payload whose copy throws takes no place", "[emit]") {
  Pumped p;
  int got = 0;
  auto narrow =
      p.runtime.on("a").deliver({.queue = {.count = 1}}).to([&got](const Fragile&) { ++got; });
  auto other = p.runtime.on("a").to([&got](const Fragile&) { ++got; });
  const Fragile value;
  *value.breaks = true;
  CHECK_THROWS_AS(p.runtime.emit("a", value), std::runtime_error);
  CHECK(narrow.queued() + other.queued() == 0);
  CHECK(p.runtime.stats().events.accepted == 0);
  *value.breaks = false;
  CHECK(p.runtime.emit("a", value).ok());
  CHECK(p.settled().done == 2);
  CHECK(got == 2);
}

TEST_CASE("emit: a synchronous delivery whose letter cannot be made is dead all the same",
          "[emit]") {
  const bool limited = GENERATE(false, true);
  Pumped p;
  const auto fails = wisp::function("fails", [](const Fragile&) { return wisp::internal("bad"); },
                                    {.limits = {.concurrency = 1}});
  REQUIRE(p.runtime.registry().add(fails).ok());
  auto subscription = limited
                          ? p.runtime.on("a").deliver({.synchronous = true}).to(fails)
                          : p.runtime.on("a").deliver({.synchronous = true}).to([](const Fragile&) {
                              return wisp::internal("bad");
                            });
  const Fragile value;
  *value.breaks = true;
  CHECK_THROWS_AS(p.runtime.emit("a", value), std::runtime_error);
  CHECK(p.runtime.stats().events.dead == 1);
  CHECK(p.runtime.stats().queued == 0);
  CHECK(p.runtime.dead_letters().size() == 0);
  check_conserved(p.runtime.stats().events);
  *value.breaks = false;
  CHECK(p.runtime.emit("a", value).ok());
  CHECK(p.runtime.dead_letters().size() == 1);
  subscription.cancel();
  CHECK(p.runtime.stop(0s).status.ok());
}

TEST_CASE("emit: one that is refused drops nothing anywhere", "[emit]") {
  Pumped p;
  std::vector<int> seen;
  auto drops = p.runtime.on("x")
                   .deliver({.queue = {.count = 2, .act = Overflow::drop_oldest}})
                   .to([&seen](int n) { seen.push_back(n); });
  REQUIRE(p.runtime.emit("x", 1).ok());
  REQUIRE(p.runtime.emit("x", 2).ok());
  auto refuses = p.runtime.on("*").deliver({.queue = {.count = 1}}).to([](int) {});
  REQUIRE(p.runtime.emit("y", 0).ok());
  CHECK(wisp::reason_of(p.runtime.emit("x", 3).status()) == wisp::Reason::full);
  CHECK(drops.queued() == 2);
  CHECK(p.settled().dropped == 0);
  CHECK(seen == std::vector<int>{1, 2});
}

TEST_CASE("emit: a letter for a subscriber that has just ended is kept", "[emit]") {
  Pumped p;
  auto listens = p.runtime.on("dead").deliver({.synchronous = true}).to([](const Event&) {});
  auto stops = p.runtime.on("x")
                   .deliver({.dead_letter = "dead", .synchronous = true})
                   .to([](int, wisp::Context& context) {
                     (void)context.runtime().stop(0s);
                     return wisp::invalid_argument("no");
                   });
  CHECK(p.runtime.emit("x", 1).ok());
  CHECK(p.runtime.stats().events.dead == 1);
  CHECK(p.runtime.dead_letters().size() == 1);
  check_conserved(p.runtime.stats().events);
}

TEST_CASE("emit: a predicate on the event sees its topic and its payload", "[emit]") {
  Pumped p;
  std::vector<int> seen;
  const auto wanted = [](const Event& event) {
    return event.topic == "a.b" && event.as<int>() != nullptr && *event.as<int>() > 1;
  };
  auto all = p.runtime.on("a.*").where(wanted).to(
      [&seen](const Event& event) { seen.push_back(*event.as<int>()); });
  auto none = p.runtime.on("a.*").where(wanted).to([&seen] { seen.push_back(0); });
  REQUIRE(all.status().ok());
  REQUIRE(none.status().ok());
  REQUIRE(p.runtime.emit("a.b", 1).ok());
  REQUIRE(p.runtime.emit("a.b", 2).ok());
  REQUIRE(p.runtime.emit("a.c", 3).ok());
  REQUIRE(p.runtime.emit("a.b", 0.5).ok());
  CHECK(p.settled().unmatched == 3);
  CHECK(seen == std::vector<int>{2, 0});
  // A handler that wants the value alone has no event to ask about.
  CHECK(p.runtime.on("a.*").where(wanted).to([](int) {}).status().code() ==
        StatusCode::kInvalidArgument);
}

TEST_CASE("emit: a function of Event gets the one that was posted, whoever posts it", "[emit]") {
  Pumped p;
  std::vector<std::string> topics;
  const auto takes =
      wisp::function("takes", [&topics](const Event& event) { topics.push_back(event.topic); });
  REQUIRE(p.runtime.registry().add(takes).ok());
  Event event;
  event.topic = "given";
  CHECK(p.runtime.call(takes, event).ok());
  CHECK(p.runtime.start(takes, event).wait().ok());
  REQUIRE(p.runtime.post(takes, event).ok());
  auto later = p.runtime.after(1s).run(takes, event);
  p.settled();
  p.clock.advance(1s);
  p.settled();
  CHECK(topics == std::vector<std::string>(4, "given"));
  // Published, it is a payload like any other.
  auto published = p.runtime.on("published").to(takes);
  REQUIRE(p.runtime.emit("published", event).ok());
  p.settled();
  CHECK(topics.back() == "published");
}

TEST_CASE("emit: one that waited for its idempotency key has the rest of its time", "[emit]") {
  // This thread sleeps no time at all, while `leaps`.
  struct Leaping final : wisp::Clock {
    std::atomic<bool> leaps{true};
    wisp::ManualClock manual;
    const std::thread::id here = std::this_thread::get_id();
    wisp::Time now() const override { return manual.now(); }
    wisp::WallTime wall() const override { return manual.wall(); }
    bool park(wisp::Parker& parker, wisp::Time until) override {
      if (!leaps || std::this_thread::get_id() != here || until == wisp::Time::never())
        return manual.park(parker, until);
      if (until > now()) manual.advance(until - now());
      return parker.take();
    }
  };
  Leaping clock;
  Gate full;
  Gate holder;
  wisp::Runtime runtime{{.workers = {.max = 1}, .clock = &clock}};
  auto queued = runtime.on("a")
                    .deliver({.serial = true, .queue = {.count = 1, .act = wisp::Overflow::block}})
                    .to([&full](int) { full.pass(); });
  auto here = runtime.on("a").deliver({.synchronous = true}).to([&holder](int n) {
    if (n == 1) holder.pass();
  });
  REQUIRE(runtime.emit("a", 0).ok());
  full.await(1);
  std::thread other(
      [&runtime] { CHECK(runtime.emit("a", 1, {.timeout = 5s, .idempotency_key = "a"}).ok()); });
  holder.await(1);
  const wisp::Time start = clock.now();
  const auto late = runtime.emit("a", 2, {.timeout = 12s, .idempotency_key = "a"});
  CHECK(late.status().code() == StatusCode::kResourceExhausted);
  CHECK(runtime.stats().idempotency.taken_over == 1);
  CHECK(clock.now() - start == 12s);
  holder.open();
  full.open();
  other.join();
  clock.leaps = false;  // else the runtime would leave behind who is about to come back
}

TEST_CASE("emit: what a full queue drops is dead for its function too", "[emit]") {
  for (const Overflow act : {Overflow::drop_oldest, Overflow::drop_newest, Overflow::coalesce}) {
    const auto take = wisp::function("take", [](int) {});
    Pumped p{wisp::Catalogue().add(take)};
    auto subscription = p.runtime.on("a").deliver({.queue = {.count = 2, .act = act}}).to(take);
    for (int n = 0; n < 5; ++n) REQUIRE(p.runtime.emit("a", n, {.key = "k"}).ok());
    CHECK(p.settled().dead == 3);
    CHECK(wisp::test::stats_of(p.runtime, "take").dead == 3);
  }
}
