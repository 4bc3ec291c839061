#include <wisp/sim/world.hpp>

#include <array>
#include <map>
#include <stdexcept>
#include <vector>

#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Duration;
using wisp::EventId;
using wisp::Status;
using wisp::StatusCode;
using wisp::Time;
using wisp::sim::World;

// As the semantics say it, not as the code does.
bool can_be_mended(StatusCode code) {
  switch (code) {
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kAborted:
    case StatusCode::kInternal:
    case StatusCode::kResourceExhausted:
      return true;
    default:
      return false;
  }
}

constexpr int kThrows = -1;
constexpr std::array kOutcomes = {
    static_cast<int>(StatusCode::kUnavailable),        static_cast<int>(StatusCode::kAborted),
    static_cast<int>(StatusCode::kInternal),           static_cast<int>(StatusCode::kUnavailable),
    static_cast<int>(StatusCode::kResourceExhausted),  static_cast<int>(StatusCode::kUnavailable),
    static_cast<int>(StatusCode::kDeadlineExceeded),   kThrows,
    static_cast<int>(StatusCode::kInvalidArgument),    static_cast<int>(StatusCode::kNotFound),
    static_cast<int>(StatusCode::kFailedPrecondition), static_cast<int>(StatusCode::kOk)};

struct Attempt {
  int number = 0;
  Time began;
  Time ended;
  int outcome = kThrows;
};

// A handler that fails as the seed says, and remembers how.
class Failing {
 public:
  explicit Failing(World& world) : world_(world) {}

  // `key`: of the call, or one of its own where it has none.
  Status run(EventId key, wisp::Context& context) {
    const auto chosen = wisp::uniform(world_.random(), 0, kOutcomes.size() - 1);
    const int outcome = kOutcomes[static_cast<std::size_t>(chosen)];
    std::vector<Attempt>& attempts = attempts_[key];
    const std::size_t at = attempts.size();
    attempts.push_back({context.attempt(), world_.clock().now(), {}, outcome});
    context.elapse(3ms);
    attempts[at].ended = world_.clock().now();
    if (outcome == kThrows) throw std::runtime_error("thrown");
    return Status(static_cast<StatusCode>(outcome), "as the seed says");
  }

  const std::map<EventId, std::vector<Attempt>>& all() const { return attempts_; }

  // Whether all went by this rule.
  void check(const wisp::Retry& retry, int most) const {
    for (const auto& [key, attempts] : attempts_) {
      CHECK(static_cast<int>(attempts.size()) <= most);
      Duration bound = retry.first_delay;
      for (std::size_t i = 0; i < attempts.size(); ++i) {
        CHECK(attempts[i].number == static_cast<int>(i) + 1);
        if (i == 0) continue;
        CHECK(mends(attempts[i - 1].outcome));
        const Duration delay = attempts[i].began - attempts[i - 1].ended;
        CHECK(delay >= Duration());
        CHECK(delay <= bound);
        bound = std::min(2 * bound, retry.max_delay);
      }
      const int last = attempts.back().outcome;
      CHECK((static_cast<int>(attempts.size()) == most || !mends(last)));
    }
  }
  static bool mends(int outcome) {
    return outcome == kThrows || can_be_mended(static_cast<StatusCode>(outcome));
  }

 private:
  World& world_;
  std::map<EventId, std::vector<Attempt>> attempts_;
};

// Of what a World has, a Retry.
wisp::Retry some_retry(World& world) {
  const auto pick = [&](int low, int high) {
    return static_cast<int>(wisp::uniform(world.random(), low, high));
  };
  return {.attempts = pick(1, 6), .first_delay = pick(1, 300) * 1ms, .max_delay = pick(1, 2) * 1s};
}

}  // namespace

TEST_CASE("retries: what a retry can mend, as often as the rule says, each within its jitter",
          "[retries]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    const wisp::Retry retry = some_retry(world);
    Failing posted(world);
    Failing emitted(world);
    Failing started(world);
    const auto post = wisp::function(
        "post",
        [&posted](int, wisp::Context& context) { return posted.run(context.event_id(), context); },
        {.retry = retry});
    const auto start =
        wisp::function("start",
                       [&started](int n, wisp::Context& context) {
                         return started.run({1, static_cast<std::uint64_t>(n) + 1}, context);
                       },
                       {.retry = retry, .pool_only = true});
    REQUIRE(runtime.registry().add(post).ok());
    REQUIRE(runtime.registry().add(start).ok());
    // Its own rule beats the function's; and without one there are five.
    auto own = runtime.on("own").deliver({.attempts = 2}).to(post);
    auto plain = runtime.on("plain").to([&emitted](int, wisp::Context& context) {
      return emitted.run(context.event_id(), context);
    });
    std::vector<wisp::Pending<void>> pending;
    for (int n = 0; n < 5; ++n) {
      REQUIRE(runtime.post(post, n).ok());
      REQUIRE(runtime.emit("plain", n).ok());
      pending.push_back(runtime.start(start, n));
    }
    world.advance(1h);
    posted.check(retry, *retry.attempts);
    emitted.check({}, 5);
    started.check(retry, *retry.attempts);
    for (int n = 0; n < 5; ++n) {
      wisp::Pending<void>& each = pending[static_cast<std::size_t>(n)];
      REQUIRE(each.ready());
      const auto& attempts = started.all().at({1, static_cast<std::uint64_t>(n) + 1});
      CHECK(each.receipt().attempts == static_cast<int>(attempts.size()));
      CHECK(each.wait().ok() == (attempts.back().outcome == 0));
    }
    const auto before = posted.all();
    for (int n = 0; n < 3; ++n) REQUIRE(runtime.emit("own", n).ok());
    world.advance(1h);
    CHECK(posted.all().size() == before.size() + 3);
    std::size_t most = 0;
    for (const auto& [id, attempts] : posted.all())
      if (!before.contains(id)) most = std::max(most, attempts.size());
    CHECK(most <= 2);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("retries: a dead letter is complete, and redriven it has all its attempts anew",
          "[retries]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.faults = {.late = 100, .full = 50}}};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    Failing failing(world);
    std::map<EventId, int> values;
    const auto work = wisp::function("work",
                                     [&](int n, wisp::Context& context) {
                                       values[context.event_id()] = n;
                                       return failing.run(context.event_id(), context);
                                     },
                                     {.retry = {.attempts = 3}});
    REQUIRE(runtime.registry().add(work).ok());
    for (int n = 0; n < 6; ++n) REQUIRE(runtime.post(work, n).ok());
    world.advance(1h);
    const std::vector<wisp::DeadLetter> letters = runtime.dead_letters().list();
    std::map<EventId, std::size_t> before;
    for (const wisp::DeadLetter& letter : letters) {
      const EventId id = letter.event->id;
      const std::vector<Attempt>& attempts = failing.all().at(id);
      CHECK(letter.function == "work");
      CHECK(letter.attempts == static_cast<int>(attempts.size()));
      CHECK_FALSE(letter.expired);
      const int last = attempts.back().outcome;
      CHECK(letter.error.code() ==
            (last == kThrows ? StatusCode::kInternal : static_cast<StatusCode>(last)));
      const int* payload = letter.event->as<int>();
      REQUIRE(payload != nullptr);
      CHECK(*payload == values[id]);
      CHECK(letter.event->lineage.trace == id);
      CHECK(letter.event->lineage.cause.empty());
      CHECK(letter.event->lineage.hops == 0);
      before[id] = attempts.size();
    }
    CHECK(runtime.stats().events.dead == letters.size());
    CHECK(runtime.dead_letters().redrive(100) == static_cast<int>(letters.size()));
    world.advance(1h);
    for (const auto& [id, count] : before) {
      const std::vector<Attempt>& attempts = failing.all().at(id);
      REQUIRE(attempts.size() > count);
      CHECK(attempts.size() - count <= 3);
      for (std::size_t i = count; i < attempts.size(); ++i)
        CHECK(attempts[i].number == static_cast<int>(i - count) + 1);
      const bool mends = Failing::mends(attempts.back().outcome);
      CHECK((attempts.size() - count == 3 || !mends));
    }
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("retries: a delivery that is six hours old is not tried again, but expires",
          "[retries]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    const Time start = world.clock().now();
    Time last = start;
    const auto never =
        wisp::function("never",
                       [&](wisp::Context& context) -> Status {
                         last = world.clock().now();
                         context.elapse(1ms);
                         return wisp::unavailable("not today");
                       },
                       {.retry = {.attempts = 1000, .first_delay = 30min, .max_delay = 2h}});
    REQUIRE(runtime.registry().add(never).ok());
    REQUIRE(runtime.post(never).ok());
    world.advance(24h);
    CHECK(last - start <= 6h);
    const wisp::EventStats events = runtime.stats().events;
    CHECK(events.expired == 1);
    CHECK(events.dead == 0);
    const std::vector<wisp::DeadLetter> letters = runtime.dead_letters().list();
    REQUIRE(letters.size() == 1);
    CHECK(letters[0].expired);
    CHECK(letters[0].error.code() == StatusCode::kUnavailable);
    CHECK(letters[0].attempts >= 2);
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("retries: a delivery that has waited for six hours expires untried", "[retries]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.threads_max = 1}};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    const Duration busy = wisp::uniform(world.random(), 5 * 60, 7 * 60) * 1min;
    std::vector<int> ran;
    const auto handle = [&ran, busy](int n, wisp::Context& context) {
      ran.push_back(n);
      if (n == 0) context.elapse(busy);
    };
    const auto posted = wisp::function("posted", handle);
    REQUIRE(runtime.registry().add(posted).ok());
    auto line = runtime.on("line").deliver({.serial = true}).to(handle);
    REQUIRE(runtime.emit("line", 0).ok());
    world.run_until_idle();
    REQUIRE(runtime.emit("line", 1).ok());
    REQUIRE(runtime.post(posted, 2).ok());
    world.advance(24h);
    const bool late = busy > 6h;
    CHECK(ran.size() == (late ? 1 : 3));
    CHECK(runtime.stats().events.expired == (late ? 2 : 0));
    for (const wisp::DeadLetter& letter : runtime.dead_letters().list()) {
      CHECK(letter.expired);
      CHECK(letter.attempts == 0);
      CHECK(letter.error.code() == StatusCode::kDeadlineExceeded);
    }
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("retries: a refusal by wisp carries its reason and spends no attempt", "[retries]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.faults = {.slow = 300, .slow_max = 20ms}}};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    int entered = 0;
    const auto narrow = wisp::function("narrow",
                                       [&entered](wisp::Context& context) {
                                         ++entered;
                                         return context.sleep(5ms);
                                       },
                                       {.retry = {.attempts = 3}, .limits = {.concurrency = 1}});
    REQUIRE(runtime.registry().add(narrow).ok());
    auto here = runtime.on("here").deliver({.synchronous = true}).to(narrow);
    std::vector<wisp::Pending<void>> pending;
    for (int i = 0; i < 4; ++i) {
      pending.push_back(runtime.start(narrow));
      world.advance(wisp::uniform(world.random(), 0, 4) * 1ms);
      const Status called = runtime.call(narrow);
      CHECK((called.ok() || wisp::reason_of(called) == wisp::Reason::limit));
      REQUIRE(runtime.emit("here", 1).ok());
    }
    world.advance(1min);
    int attempts = 0;
    for (wisp::Pending<void>& each : pending) {
      const wisp::Receipt& receipt = each.receipt();
      attempts += receipt.attempts;
      if (each.wait().ok()) continue;
      CHECK(wisp::reason_of(each.wait()) == wisp::Reason::limit);
      CHECK(receipt.outcome == wisp::Outcome::rejected);
      CHECK(receipt.attempts == 0);
    }
    CHECK(attempts <= entered);
    for (const wisp::DeadLetter& letter : runtime.dead_letters().list()) {
      CHECK(letter.attempts == 0);
      CHECK(wisp::reason_of(letter.error) == wisp::Reason::limit);
    }
    CHECK(runtime.stats().events.dead == runtime.dead_letters().size());
    // What was refused was never there.
    CHECK(runtime.call(narrow).ok());
  });
}
