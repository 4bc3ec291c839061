#include <wisp/service/invoker.hpp>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "seeds.hpp"

namespace {

using namespace wisp::literals;
using wisp::Context;
using wisp::StatusCode;
using wisp::test::eventually;

struct Parcel {
  double kg = 0;
};
WISP_FIELDS(Parcel, kg)

// The host pumps, and time stands still until the test moves it.
struct PumpedCalls {
  explicit PumpedCalls(const wisp::Catalogue& functions)
      : runtime(functions, {.threads = wisp::Threads::none, .clock = &clock, .random = &random}) {
    REQUIRE(runtime.status().ok());
  }

  // Runs everything that is due, and time as far as retries need it.
  void settle() {
    for (int i = 0; i < 100'000; ++i) {
      const wisp::Pumped pumped = runtime.pump();
      if (pumped.ran != 0 || pumped.left != 0) continue;
      if (runtime.stats().queued == 0) return;
      clock.advance(10ms);
    }
    FAIL("the runtime does not come to rest");
  }

  wisp::ManualClock clock;
  wisp::SeededRandom random{1};
  wisp::Runtime runtime;
};

bool names(const wisp::Status& status, std::string_view text) {
  return wisp::message(status).find(text) != std::string_view::npos;
}

}  // namespace

TEST_CASE("invoker: a call returns what its handler returned, of whatever shape", "[invoker]") {
  const auto value = wisp::function("value", [](const Parcel& p) { return 2 * p.kg; });
  const auto result = wisp::function("result", [](Parcel p, Context&) -> wisp::Result<int> {
    if (p.kg <= 0) return wisp::invalid_argument("weighs {} kg", p.kg);
    return static_cast<int>(p.kg);
  });
  const auto status = wisp::function("status", [](Context&) { return wisp::not_found("it"); });
  int ran = 0;
  const auto nothing = wisp::function("nothing", [&ran] { ++ran; });
  PumpedCalls p(wisp::Catalogue().add(value).add(result).add(status).add(nothing));
  CHECK(*p.runtime.call(value, {2.5}) == 5.0);
  CHECK(*p.runtime.call(result, {3.9}) == 3);
  CHECK(p.runtime.call(result, {-1}).status().code() == StatusCode::kInvalidArgument);
  CHECK(p.runtime.call(status).code() == StatusCode::kNotFound);
  CHECK(p.runtime.call(nothing).ok());
  CHECK(ran == 1);
}

TEST_CASE("invoker: a call by name is checked against the function's types", "[invoker]") {
  const auto weigh = wisp::function("weigh", [](const Parcel& p) { return p.kg; });
  PumpedCalls p(wisp::Catalogue().add(weigh));
  CHECK(*p.runtime.call<double>("weigh", Parcel{2}) == 2);
  const wisp::Status in = p.runtime.call<double>("weigh", 3).status();
  CHECK(in.code() == StatusCode::kInvalidArgument);
  CHECK((names(in, "Parcel") && names(in, "int32")));
  const wisp::Status out = p.runtime.call<int>("weigh", Parcel{2}).status();
  CHECK((names(out, "double") && names(out, "int32")));
  CHECK(names(p.runtime.call<double>("weigh").status(), "no input"));
  CHECK(p.runtime.call<double>("weight", Parcel{}).status().code() == StatusCode::kNotFound);
  auto pending = p.runtime.start<double>("weigh", 3);
  CHECK(pending.wait().status().code() == StatusCode::kInvalidArgument);
  const auto elsewhere = wisp::named<double(Parcel)>("weigh");
  CHECK(*p.runtime.call(elsewhere, {4}) == 4);
  const auto stranger = wisp::named<std::string(Parcel)>("weigh");
  CHECK(p.runtime.call(stranger, {4}).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("invoker: what a handler throws is contained and may be retried", "[invoker]") {
  const auto std_thrower =
      wisp::function("std_thrower", [](int) -> int { throw std::runtime_error("no such parcel"); });
  const auto int_thrower = wisp::function("int_thrower", [](int) -> int { throw 7; });
  int left = 2;
  const auto recovers = wisp::function("recovers",
                                       [&left](int n) -> int {
                                         if (left-- > 0) throw std::runtime_error("not yet");
                                         return n;
                                       },
                                       {.retry = {.attempts = 3}});
  PumpedCalls p(wisp::Catalogue().add(std_thrower).add(int_thrower).add(recovers));
  const wisp::Status thrown = p.runtime.call(std_thrower, 1).status();
  CHECK(thrown.code() == StatusCode::kInternal);
  CHECK(names(thrown, "no such parcel"));
  CHECK(p.runtime.call(int_thrower, 1).status().code() == StatusCode::kInternal);
  auto pending = p.runtime.start(recovers, 5);
  p.settle();
  REQUIRE(pending.ready());
  CHECK(*pending.wait() == 5);
  CHECK(pending.receipt().attempts == 3);
  auto failed = p.runtime.start(std_thrower, 1);
  CHECK(failed.receipt().outcome == wisp::Outcome::threw);
}

TEST_CASE("invoker: a started call is retried with full jitter until attempts run out",
          "[invoker]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    const int attempts = static_cast<int>(random.between(1, 8));
    std::vector<wisp::Time> at;
    wisp::ManualClock clock;
    const auto fails =
        wisp::function("fails",
                       [&](int) -> wisp::Status {
                         at.push_back(clock.now());
                         return wisp::unavailable("attempt {}", at.size());
                       },
                       {.retry = {.attempts = attempts, .first_delay = 100ms, .max_delay = 1s}});
    wisp::SeededRandom jitter{static_cast<std::uint64_t>(seed)};
    wisp::Runtime runtime{wisp::Catalogue().add(fails),
                          {.threads = wisp::Threads::none, .clock = &clock, .random = &jitter}};
    auto pending = runtime.start(fails, 1);
    while (!pending.ready()) {
      if (runtime.pump().ran == 0) clock.advance(1ms);
    }
    REQUIRE(static_cast<int>(at.size()) == attempts);
    wisp::Duration limit = 100ms;
    for (std::size_t i = 1; i < at.size(); ++i) {
      CHECK(at[i] - at[i - 1] <= limit + 1ms);
      limit = std::min<wisp::Duration>(2 * limit, 1s);
    }
    CHECK(names(pending.wait(), fmt::format("attempt {}", attempts)));
  }
}

TEST_CASE("invoker: what no retry can mend is not retried", "[invoker]") {
  int ran = 0;
  const auto refuses = wisp::function("refuses",
                                      [&ran](int code) -> wisp::Status {
                                        ++ran;
                                        return wisp::Status(static_cast<StatusCode>(code), "");
                                      },
                                      {.retry = {.attempts = 3, .first_delay = 1ms}});
  PumpedCalls p(wisp::Catalogue().add(refuses));
  for (int code = 1; code <= 16; ++code) {
    ran = 0;
    auto pending = p.runtime.start(refuses, code);
    p.settle();
    const auto is = static_cast<StatusCode>(code);
    const bool again = is == StatusCode::kUnavailable || is == StatusCode::kDeadlineExceeded ||
                       is == StatusCode::kAborted || is == StatusCode::kInternal ||
                       is == StatusCode::kResourceExhausted;
    INFO("code " << code);
    CHECK(ran == (again ? 3 : 1));
  }
}

TEST_CASE("invoker: a handler that overstays its timeout is timed out", "[invoker]") {
  wisp::ManualClock* clock = nullptr;
  const auto slow = wisp::function("slow",
                                   [&clock](int ms, Context& context) {
                                     clock->advance(std::chrono::milliseconds(ms));
                                     return context.cancelled();
                                   },
                                   {.timeout = 100ms});
  PumpedCalls p(wisp::Catalogue().add(slow));
  clock = &p.clock;
  CHECK(*p.runtime.call(slow, 99) == false);
  const auto late = p.runtime.call(slow, 100);
  CHECK(late.status().code() == StatusCode::kDeadlineExceeded);
  CHECK(names(late.status(), "slow"));
  auto pending = p.runtime.start(slow, 200);
  CHECK(pending.receipt().outcome == wisp::Outcome::timed_out);
}

TEST_CASE("invoker: children inherit the smaller deadline, tenant and tag", "[invoker]") {
  wisp::Duration left{};
  std::string tenant;
  const auto child = wisp::function("child",
                                    [&](Context& context) {
                                      left = context.remaining();
                                      tenant = context.tenant();
                                    },
                                    {.timeout = 3s});
  const auto parent = wisp::function("parent",
                                     [&](bool start, Context& context) {
                                       if (start) return context.runtime().start(child).wait();
                                       return context.runtime().call(child);
                                     },
                                     {.timeout = 2s});
  const auto grandparent = wisp::function("grandparent", [&](bool start, Context& context) {
    return context.runtime().call(parent, start);
  });
  PumpedCalls p(wisp::Catalogue().add(child).add(parent).add(grandparent));
  const bool start = GENERATE(false, true);
  REQUIRE(p.runtime.call(child).ok());
  CHECK(left == 3s);
  REQUIRE(p.runtime.call(parent, start).ok());
  CHECK(left == 2s);
  REQUIRE(p.runtime.call(grandparent, start, {.tenant = "acme", .timeout = 500ms}).ok());
  CHECK(left == 500ms);
  CHECK(tenant == "acme");
}

TEST_CASE("invoker: cancelling the caller cancels what it calls", "[invoker]") {
  bool seen = false;
  bool stopped = false;
  const auto child = wisp::function("child", [&](Context& context) {
    seen = context.cancelled();
    stopped = context.stop_token().stop_requested();
    return context.sleep(1h);
  });
  wisp::Pending<void>* self = nullptr;
  const auto parent = wisp::function("parent", [&](Context& context) {
    self->cancel();
    return context.runtime().call(child);
  });
  PumpedCalls p(wisp::Catalogue().add(child).add(parent));
  auto pending = p.runtime.start(parent);
  self = &pending;
  p.runtime.pump();
  CHECK(pending.wait().code() == StatusCode::kCancelled);
  CHECK(pending.receipt().outcome == wisp::Outcome::cancelled);
  CHECK(seen);
  CHECK(stopped);
}

TEST_CASE("invoker: beyond the concurrency limit calls are refused and posts wait", "[invoker]") {
  std::vector<int> order;
  int inside = 0;
  int most = 0;
  const auto single = wisp::function("single",
                                     [&](int n, Context& context) -> wisp::Status {
                                       most = std::max(most, ++inside);
                                       order.push_back(n);
                                       wisp::Status nested;
                                       if (n == 1)
                                         nested = context.runtime().call<void>("single", 2);
                                       --inside;
                                       return nested;
                                     },
                                     {.limits = {.concurrency = 1}});
  PumpedCalls p(wisp::Catalogue().add(single));
  const wisp::Status refused = p.runtime.call(single, 1);
  CHECK(refused.code() == StatusCode::kResourceExhausted);
  CHECK(wisp::reason_of(refused) == wisp::Reason::limit);
  CHECK(names(refused, "concurrency limit (1)"));
  // A started call holds its slot from the start.
  auto first = p.runtime.start(single, 3);
  auto second = p.runtime.start(single, 4);
  REQUIRE(second.ready());
  CHECK(wisp::reason_of(second.wait()) == wisp::Reason::limit);
  for (int n = 5; n < 10; ++n) REQUIRE(p.runtime.post(single, n).ok());
  p.settle();
  CHECK(first.wait().ok());
  CHECK(most == 1);
  CHECK(order == std::vector<int>{1, 3, 5, 6, 7, 8, 9});
  CHECK(p.runtime.call(single, 10).ok());
}

TEST_CASE("invoker: a post runs under its retry rule and ends as a dead letter", "[invoker]") {
  int ran = 0;
  const auto fails = wisp::function("fails", [&ran](int) -> wisp::Status {
    ++ran;
    return wisp::unavailable("down");
  });
  const auto wrong = wisp::function("wrong", [](int) { return wisp::invalid_argument("bad"); });
  PumpedCalls p(wisp::Catalogue().add(fails).add(wrong));
  const auto id = p.runtime.post(fails, 7);
  REQUIRE(id.ok());
  REQUIRE(p.runtime.post(wrong, 8).ok());
  p.settle();
  CHECK(ran == 5);
  const auto letters = p.runtime.dead_letters().list();
  REQUIRE(letters.size() == 2);
  CHECK(letters[0].function == "wrong");
  CHECK(letters[0].attempts == 1);
  CHECK(letters[1].attempts == 5);
  CHECK(letters[1].event->id == *id);
  CHECK(*letters[1].event->as<int>() == 7);
  const wisp::EventStats events = p.runtime.stats().events;
  CHECK(events.dead == 2);
  CHECK(events.accepted == 2);
  // Back to the function that failed, with all its attempts.
  CHECK(p.runtime.dead_letters().redrive(1) == 1);
  CHECK(p.runtime.dead_letters().redrive(1) == 1);
  p.settle();
  CHECK(ran == 10);
}

TEST_CASE("invoker: a full queue of posts refuses and names itself", "[invoker]") {
  wisp::ManualClock clock;
  const auto eat = wisp::function("eat", [](int) {});
  wisp::Runtime runtime{wisp::Catalogue().add(eat),
                        {.threads = wisp::Threads::none, .queue = {.count = 2}, .clock = &clock}};
  CHECK(runtime.post(eat, 1).ok());
  CHECK(runtime.post(eat, 2).ok());
  const wisp::Status full = runtime.post(eat, 3).status();
  CHECK(full.code() == StatusCode::kResourceExhausted);
  CHECK(wisp::reason_of(full) == wisp::Reason::full);
  CHECK((names(full, "eat") && names(full, "2 deliveries")));
  CHECK(runtime.stats().events.refused == 1);
  runtime.pump();
  CHECK(runtime.post(eat, 3).ok());
}

TEST_CASE("invoker: re-entrant calls go as deep as the stack", "[invoker]") {
  const auto countdown =
      wisp::function("countdown", [](int n, Context& context) -> wisp::Result<int> {
        if (n == 0) return 0;
        WISP_TRY(const int below, context.runtime().call<int>("countdown", n - 1));
        return below + 1;
      });
  PumpedCalls p(wisp::Catalogue().add(countdown));
  CHECK(*p.runtime.call(countdown, 200) == 200);
  CHECK(p.runtime.bill(1h).lines.front().calls == 201);
}

TEST_CASE("invoker: a log line carries its function, and wisp's own their level", "[invoker]") {
  std::vector<std::string> lines;
  const auto talk = wisp::function("talk", [](int n, Context& context) -> wisp::Status {
    context.log("number {}", n);
    return wisp::invalid_argument("enough");
  });
  wisp::ManualClock clock;
  wisp::Runtime runtime{wisp::Catalogue().add(talk),
                        {.threads = wisp::Threads::none,
                         .clock = &clock,
                         .log = [&lines](const wisp::LogRecord& record) {
                           lines.push_back(fmt::format("{} {} {}", static_cast<int>(record.level),
                                                       record.function, record.text));
                         }}};
  REQUIRE(runtime.post(talk, 3).ok());
  runtime.pump();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] == "1 talk number 3");
  CHECK(lines[1].find("2 talk event ") == 0);
  CHECK(lines[1].find("enough") != std::string::npos);
}

TEST_CASE("invoker: each attempt has a stop token of its own", "[invoker]") {
  wisp::ManualClock clock;
  std::atomic<int> fresh{0};
  const auto slow = wisp::function(
      "slow",
      [&](Context& context) {
        const std::stop_token token = context.stop_token();
        if (!token.stop_requested()) ++fresh;
        if (context.attempt() == 3) return;
        clock.advance(2s);
        CHECK(eventually([&token] { return token.stop_requested(); }));
        CHECK(context.cancelled());
      },
      {.timeout = 1s, .retry = {.attempts = 3, .first_delay = 0s}, .pool_only = true});
  wisp::Runtime runtime{wisp::Catalogue().add(slow), {.clock = &clock}};
  CHECK(runtime.start(slow).wait().ok());
  CHECK(fresh == 3);
}
