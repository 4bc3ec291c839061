#include <wisp/service/idempotency.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::Context;
using wisp::Result;
using wisp::Status;
using wisp::StatusCode;
using wisp::test::eventually;
using wisp::test::Gate;
using wisp::test::Pumped;
using wisp::test::says;

struct Sale {
  int number = 0;
  std::string buyer;
};

// A charge that counts how often it ran, and fails as often as it is told to.
struct Charges {
  int runs = 0;
  int failures = 0;
  wisp::Function<Sale, std::string> charge =
      wisp::function("charge", [this](const std::string& buyer) -> Result<Sale> {
        ++runs;
        if (failures > 0) {
          --failures;
          return wisp::unavailable("no line");
        }
        return Sale{runs, buyer};
      });
};

}  // namespace

TEST_CASE("idempotency: a call that comes again is given the first's result", "[idempotency]") {
  Charges charges;
  Pumped p{wisp::Catalogue().add(charges.charge)};
  const auto first = p.runtime.call(charges.charge, "anna", {.idempotency_key = "a"});
  REQUIRE(first.ok());
  const auto again = p.runtime.call(charges.charge, "bert", {.idempotency_key = "a"});
  REQUIRE(again.ok());
  CHECK(again->number == 1);
  CHECK(again->buyer == "anna");
  CHECK(p.runtime.call(charges.charge, "bert", {.idempotency_key = "b"})->number == 2);
  CHECK(p.runtime.call<Sale>("charge", "carl", {.tenant = "t", .idempotency_key = "b"})->number ==
        2);
  CHECK(p.runtime.call(charges.charge, "dora")->number == 3);
  CHECK(charges.runs == 3);
  CHECK(p.runtime.stats().idempotency.rows == 2);
  CHECK(p.runtime.stats().functions.front().attempts == 3);

  p.clock.advance(24h - 1ns);
  CHECK(p.runtime.call(charges.charge, "emil", {.idempotency_key = "a"})->number == 1);
  p.clock.advance(1ns);
  CHECK(p.runtime.call(charges.charge, "emil", {.idempotency_key = "a"})->number == 4);
  CHECK(p.runtime.stats().idempotency.forgotten == 0);
}

TEST_CASE("idempotency: an error is not remembered", "[idempotency]") {
  Charges charges{.failures = 2};
  Pumped p{wisp::Catalogue().add(charges.charge)};
  for (int i = 0; i < 2; ++i) {
    const auto failed = p.runtime.call(charges.charge, "anna", {.idempotency_key = "a"});
    CHECK(failed.status().code() == StatusCode::kUnavailable);
    CHECK(p.runtime.stats().idempotency.rows == 0);
  }
  CHECK(p.runtime.call(charges.charge, "anna", {.idempotency_key = "a"})->number == 3);
  CHECK(p.runtime.call(charges.charge, "anna", {.idempotency_key = "a"})->number == 3);
}

TEST_CASE("idempotency: a started call that comes again takes no thread", "[idempotency]") {
  Charges charges;
  Pumped p{wisp::Catalogue().add(charges.charge)};
  auto first = p.runtime.start(charges.charge, "anna", {.idempotency_key = "a"});
  auto second = p.runtime.start(charges.charge, "bert", {.idempotency_key = "a"});
  CHECK(p.runtime.stats().queued == 2);
  CHECK(p.runtime.pump().ran == 1);
  REQUIRE(second.ready());
  CHECK(second.wait()->buyer == "anna");
  CHECK(second.receipt().attempts == 0);
  CHECK(second.receipt().outcome == wisp::Outcome::ok);
  CHECK(first.wait()->buyer == "anna");
  auto third = p.runtime.start(charges.charge, "carl", {.idempotency_key = "a"});
  REQUIRE(third.ready());
  CHECK(third.wait()->number == 1);
  CHECK(charges.runs == 1);
  CHECK(p.runtime.stats().queued == 0);
}

TEST_CASE("idempotency: who waits runs a holder that has not begun", "[idempotency]") {
  Charges charges;
  Pumped p{wisp::Catalogue().add(charges.charge)};
  auto first = p.runtime.start(charges.charge, "anna", {.idempotency_key = "a"});
  // On the one thread that there is nobody else would.
  CHECK(p.runtime.call(charges.charge, "bert", {.idempotency_key = "a"})->buyer == "anna");
  CHECK(first.ready());
  auto second = p.runtime.start(charges.charge, "carl", {.idempotency_key = "b"});
  auto third = p.runtime.start(charges.charge, "dora", {.idempotency_key = "b"});
  CHECK(third.wait()->buyer == "carl");
  CHECK(second.wait()->buyer == "carl");
  CHECK(charges.runs == 2);
}

TEST_CASE("idempotency: what waits for a failed, cancelled or dropped call gets its end",
          "[idempotency]") {
  Charges charges{.failures = 1};
  Pumped p{wisp::Catalogue().add(charges.charge)};
  auto first = p.runtime.start(charges.charge, "anna", {.idempotency_key = "a"});
  auto second = p.runtime.start(charges.charge, "bert", {.idempotency_key = "a"});
  p.runtime.pump();
  CHECK(second.wait().status() == first.wait().status());
  CHECK(second.receipt().outcome == wisp::Outcome::error);

  auto third = p.runtime.start(charges.charge, "carl", {.idempotency_key = "a"});
  auto fourth = p.runtime.start(charges.charge, "dora", {.idempotency_key = "a"});
  auto fifth = p.runtime.start(charges.charge, "emil", {.idempotency_key = "a"});
  fourth.cancel();
  REQUIRE(fourth.ready());
  CHECK(fourth.wait().status().code() == StatusCode::kCancelled);
  CHECK_FALSE(third.ready());
  third.cancel();
  REQUIRE(fifth.ready());
  CHECK(fifth.wait().status().code() == StatusCode::kCancelled);

  auto sixth = p.runtime.start(charges.charge, "fred", {.idempotency_key = "a"});
  auto seventh = p.runtime.start(charges.charge, "gina", {.idempotency_key = "a"});
  auto alone = p.runtime.start(charges.charge, "hans", {.idempotency_key = "a"});
  p.runtime.stop(0s);
  REQUIRE(seventh.ready());
  CHECK(wisp::reason_of(seventh.wait().status()) == wisp::Reason::stopped);
  CHECK(wisp::reason_of(sixth.wait().status()) == wisp::Reason::stopped);
  CHECK(charges.runs == 1);
}

TEST_CASE("idempotency: a started call waits no longer than its deadline", "[idempotency]") {
  Charges charges;
  Pumped p{wisp::Catalogue().add(charges.charge)};
  auto first = p.runtime.start(charges.charge, "anna", {.idempotency_key = "a"});
  auto second = p.runtime.start(charges.charge, "bert", {.timeout = 1s, .idempotency_key = "a"});
  p.clock.advance(1s);
  p.runtime.pump({.tasks = 0});
  REQUIRE(second.ready());
  // Both were due in this pass; the timers come first.
  CHECK(second.wait().status().code() == StatusCode::kDeadlineExceeded);
  CHECK(second.receipt().outcome == wisp::Outcome::timed_out);
  CHECK(first.wait().ok());
}

TEST_CASE("idempotency: bad keys, and results without a copy, are refused", "[idempotency]") {
  Charges charges;
  const auto own = wisp::function("own", [] { return std::make_unique<int>(1); });
  const auto list = wisp::function("list", [] { return std::vector<std::unique_ptr<int>>(); });
  Pumped p{wisp::Catalogue().add(charges.charge).add(own).add(list)};
  const std::string longest(wisp::kIdempotencyKeyMax, 'k');
  const std::string longer = longest + "k";
  CHECK(p.runtime.call(charges.charge, "a", {.idempotency_key = longest}).ok());
  const auto refused = p.runtime.call(charges.charge, "a", {.idempotency_key = longer});
  CHECK(refused.status().code() == StatusCode::kInvalidArgument);
  CHECK(says(refused.status(), "257 bytes: at most 256"));
  CHECK_FALSE(p.runtime.start(charges.charge, "a", {.idempotency_key = longer}).wait().ok());
  CHECK_FALSE(p.runtime.post(charges.charge, "a", {.idempotency_key = longer}).ok());
  CHECK_FALSE(p.runtime.emit("a", 1, {.idempotency_key = longer}).ok());
  CHECK(p.runtime.call(own).ok());
  const auto moved = p.runtime.call(own, {.idempotency_key = "a"});
  CHECK(moved.status().code() == StatusCode::kUnimplemented);
  CHECK_FALSE(p.runtime.start(own, {.idempotency_key = "a"}).wait().ok());
  CHECK_FALSE(p.runtime.call(list, {.idempotency_key = "a"}).ok());
  wisp::Runtime bad{{.idempotency = {.rows = 0}}};
  CHECK(bad.status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("idempotency: a handler does not wait for itself", "[idempotency]") {
  std::vector<Status> inner;
  wisp::Function<void, int> self = wisp::function("self", [&inner](int how, Context& context) {
    const auto same = wisp::named<void(int)>("self");
    wisp::Runtime& runtime = context.runtime();
    const wisp::CallOptions options{.idempotency_key = "a"};
    inner.push_back(how == 1 ? runtime.call(same, 0, options)
                             : runtime.start(same, 0, options).wait());
  });
  Pumped p{wisp::Catalogue().add(self)};
  CHECK(p.runtime.call(self, 1, {.idempotency_key = "a"}).ok());
  auto started = p.runtime.start(self, 2, {.idempotency_key = "b"});
  CHECK(started.wait().ok());
  inner.clear();
  Pumped q{wisp::Catalogue().add(self)};
  CHECK(q.runtime.call(self, 2, {.idempotency_key = "a"}).ok());
  Pumped r{wisp::Catalogue().add(self)};
  CHECK(r.runtime.start(self, 1, {.idempotency_key = "a"}).wait().ok());
  REQUIRE(inner.size() == 2);
  for (const Status& each : inner) CHECK(each.code() == StatusCode::kFailedPrecondition);
}

TEST_CASE("idempotency: a post or an emit that comes again delivers nothing", "[idempotency]") {
  Charges charges;
  Pumped p{wisp::Catalogue().add(charges.charge), {.queue = {.count = 1}}};
  const auto first = p.runtime.post(charges.charge, "anna", {.idempotency_key = "a"});
  REQUIRE(first.ok());
  CHECK(*p.runtime.post(charges.charge, "bert", {.idempotency_key = "a"}) == *first);
  // A refused one leaves nothing behind.
  CHECK_FALSE(p.runtime.post(charges.charge, "carl", {.idempotency_key = "b"}).ok());
  CHECK(p.settled().done == 1);
  CHECK(p.runtime.post(charges.charge, "carl", {.idempotency_key = "b"}).ok());
  CHECK(p.settled().done == 2);
  CHECK(*p.runtime.post(charges.charge, "dora", {.idempotency_key = "a"}) == *first);
  CHECK(p.settled().done == 2);
  CHECK(p.runtime.stats().events.duplicates == 2);

  int queued = 0;
  int here = 0;
  auto one = p.runtime.on("orders.*").to([&queued](int) { ++queued; });
  auto two = p.runtime.on("orders.*").deliver({.synchronous = true}).to([&here](int) { ++here; });
  const auto event = p.runtime.emit("orders.1", 1, {.idempotency_key = "a"});
  REQUIRE(event.ok());
  CHECK(*p.runtime.emit("orders.1", 2, {.idempotency_key = "a"}) == *event);
  CHECK_FALSE(*p.runtime.emit("orders.2", 2, {.idempotency_key = "a"}) == *event);
  p.settled();
  CHECK(queued == 2);
  CHECK(here == 2);
  CHECK(p.runtime.stats().events.duplicates == 3);
  p.clock.advance(25h);
  CHECK_FALSE(*p.runtime.emit("orders.1", 3, {.idempotency_key = "a"}) == *event);
  CHECK(p.runtime.call(charges.charge, "a", {.idempotency_key = "x"}).ok());
  CHECK(p.runtime.post(charges.charge, "a", {.idempotency_key = "x"}).status().code() ==
        StatusCode::kInvalidArgument);
}

TEST_CASE("idempotency: an emit that nobody got is sent again once somebody listens",
          "[idempotency]") {
  Pumped p;
  const bool watched = GENERATE(false, true);
  std::optional<wisp::Observation> watch;
  if (watched) watch = p.runtime.observe([](const wisp::Record&) {});
  const auto nobody = p.runtime.emit("orders.1", 1, {.idempotency_key = "a"});
  REQUIRE(nobody.ok());
  int got = 0;
  int here = 0;
  auto queued = p.runtime.on("orders.*").to([&got](int) { ++got; });
  auto plain = p.runtime.on("late").deliver({.synchronous = true}).to([&here](int) { ++here; });
  const auto again = p.runtime.emit("orders.1", 1, {.idempotency_key = "a"});
  REQUIRE(again.ok());
  CHECK_FALSE(*again == *nobody);
  CHECK(*p.runtime.emit("orders.1", 1, {.idempotency_key = "a"}) == *again);
  CHECK(p.runtime.emit("late", 1, {.idempotency_key = "a"}).ok());
  CHECK(p.runtime.emit("late", 1, {.idempotency_key = "a"}).ok());
  const wisp::EventStats events = p.settled();
  CHECK(got == 1);
  CHECK(here == 1);
  CHECK(events.unmatched == 1);
  CHECK(events.duplicates == 2);
}

TEST_CASE("idempotency: the key of a dead letter answers as before, also when it is redriven",
          "[idempotency]") {
  bool well = false;
  int runs = 0;
  const auto flaky = wisp::function("flaky", [&](int) {
    ++runs;
    return well ? Status() : wisp::invalid_argument("not yet");
  });
  Pumped p{wisp::Catalogue().add(flaky)};
  const auto first = p.runtime.post(flaky, 1, {.idempotency_key = "a"});
  p.settled();
  REQUIRE(p.runtime.dead_letters().size() == 1);
  CHECK(p.runtime.post(flaky, 1, {.idempotency_key = "a"}).value() == first.value());
  well = true;
  CHECK(p.runtime.dead_letters().redrive(1) == 1);
  CHECK(p.runtime.post(flaky, 1, {.idempotency_key = "a"}).value() == first.value());
  p.settled();
  CHECK(p.runtime.post(flaky, 1, {.idempotency_key = "a"}).value() == first.value());
  p.settled();
  CHECK(runs == 2);
  CHECK(p.runtime.dead_letters().size() == 0);
  CHECK(p.runtime.stats().events.duplicates == 3);
}

TEST_CASE("idempotency: an emit that threw leaves its key", "[idempotency]") {
  struct Thrower {
    Thrower() = default;
    Thrower(const Thrower& /*other*/) { throw std::runtime_error("no copy"); }
  };
  Pumped p;
  auto all = p.runtime.on("a").to([](const wisp::Event&) {});
  CHECK_THROWS(p.runtime.emit("a", Thrower(), {.idempotency_key = "a"}));
  CHECK(p.runtime.stats().idempotency.rows == 0);
  CHECK(p.runtime.emit("a", 1, {.idempotency_key = "a"}).ok());
}

TEST_CASE("idempotency: a result whose copy throws is an error for who waits", "[idempotency]") {
  struct Fragile {
    Fragile() = default;
    Fragile(Fragile&&) = default;
    Fragile& operator=(Fragile&&) = default;
    Fragile(const Fragile& /*other*/) { throw std::runtime_error("no copy"); }
  };
  int runs = 0;
  const auto make = wisp::function("make", [&runs] {
    ++runs;
    return Fragile();
  });
  Pumped p{wisp::Catalogue().add(make)};
  auto first = p.runtime.start(make, {.idempotency_key = "a"});
  auto second = p.runtime.start(make, {.idempotency_key = "a"});
  p.runtime.pump();
  CHECK(first.wait().ok());
  CHECK(second.wait().status().code() == StatusCode::kInternal);
  CHECK(p.runtime.call(make, {.idempotency_key = "a"}).ok());
  CHECK(runs == 2);
}

TEST_CASE("idempotency: a started duplicate takes a late holder over", "[idempotency]") {
  Gate gate;
  std::atomic<int> runs{0};
  const auto stuck = wisp::function("stuck", [&] {
    if (++runs == 1) gate.pass();
    return runs.load();
  });
  wisp::ManualClock clock;
  wisp::Runtime runtime{wisp::Catalogue().add(stuck), {.clock = &clock}};
  auto first = runtime.start(stuck, {.timeout = 1s, .idempotency_key = "a"});
  gate.await(1);
  auto second = runtime.start(stuck, {.idempotency_key = "a"});
  auto third = runtime.start(stuck, {.idempotency_key = "a"});
  clock.advance(1s);
  CHECK(eventually([&] { return second.ready() && third.ready(); }));
  CHECK(*second.wait() == 2);
  CHECK(*third.wait() == 2);
  CHECK_FALSE(first.ready());
  gate.open();
  CHECK(first.wait().status().code() == StatusCode::kDeadlineExceeded);
  CHECK(*runtime.call(stuck, {.idempotency_key = "a"}) == 2);
  CHECK(runtime.stats().idempotency.taken_over == 1);
}

TEST_CASE("idempotency: threads with one key run one handler and see one result", "[idempotency]") {
  std::atomic<int> runs{0};
  const auto slow = wisp::function("slow", [&runs](int n, Context& context) -> Result<int> {
    WISP_TRY(context.sleep(100us));
    ++runs;
    return n;
  });
  wisp::Runtime runtime{wisp::Catalogue().add(slow), {.workers = {.max = 4}}};
  constexpr int kKeys = 40;
  std::vector<std::atomic<int>> seen(kKeys);
  std::atomic<int> wrong{0};
  const auto note = [&](int key, const Result<int>& result) {
    if (!result.ok()) return static_cast<void>(++wrong);
    int unset = 0;
    if (!seen[static_cast<std::size_t>(key)].compare_exchange_strong(unset, *result) &&
        unset != *result)
      ++wrong;
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int key = 0; key < kKeys; ++key) {
        const std::string text = std::to_string(key);
        const wisp::CallOptions options{.idempotency_key = text};
        auto started = runtime.start(slow, 1 + 10 * t, options);
        auto cancelled = runtime.start(slow, 2 + 10 * t, options);
        note(key, runtime.call(slow, 3 + 10 * t, options));
        note(key, started.wait());
        cancelled.wait();
      }
    });
  }
  for (std::thread& each : threads) each.join();
  CHECK(wrong == 0);
  CHECK(runs == kKeys);
}
