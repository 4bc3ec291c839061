#include <wisp/model/traceparent.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::EventId;
using wisp::Lineage;
using wisp::Status;
using wisp::sim::World;

// What a handler does with what it got, as the payload says.
struct LineageStep {
  int number = 0;  // of the step that made this one; 0: it comes from outside
  int depth = 0;
};
WISP_FIELDS(LineageStep, number, depth)

enum class How { emit, post, start, call };

// How a step came about.
struct Made {
  How how = How::emit;
  int parent = 0;
  std::string tenant;       // "": the parent's
  std::string traceparent;  // "": the parent's
};

struct LineageSeen {
  EventId event;
  Lineage lineage;
};

// Handlers that cause further events, posts and calls at random, and remember who they were.
class Tangle {
 public:
  explicit Tangle(World& world) : world_(world) {}

  Status run(const LineageStep& step, Context& context) {
    const auto [place, first] = seen_.try_emplace(
        step.number, LineageSeen{.event = context.event_id(), .lineage = context.lineage()});
    if (!first) {
      // A retry is the same event.
      CHECK(place->second.event == context.event_id());
      CHECK(place->second.lineage.trace == context.lineage().trace);
    }
    const EventId trace = context.lineage().trace;
    if (trace.empty()) CHECK(context.traceparent().empty());
    else CHECK(wisp::parse_traceparent(context.traceparent()).value() == trace);
    context.elapse(wisp::uniform(world_.random(), 0, 5) * 1ms);
    if (context.attempt() == 1 && wisp::uniform(world_.random(), 0, 4) == 0)
      return wisp::unavailable("not at once");
    if (step.depth >= 20) return Status();
    const auto children = wisp::uniform(world_.random(), step.depth < 3 ? 1 : 0, 1);
    for (int i = 0; i < children; ++i)
      make(context.runtime(), static_cast<How>(wisp::uniform(world_.random(), 0, 3)), step.number,
           step.depth + 1);
    return Status();
  }

  void make(wisp::Runtime& runtime, How how, int parent, int depth) {
    const int number = ++last_;
    Made made{.how = how, .parent = parent, .tenant = {}, .traceparent = {}};
    if (wisp::uniform(world_.random(), 0, 5) == 0) made.tenant = "t" + std::to_string(number);
    if (wisp::uniform(world_.random(), 0, 9) == 0) {
      made.traceparent =
          wisp::traceparent({world_.random().next() | 1, world_.random().next()}, {1, 1}, 1);
    }
    const auto place = made_.emplace(number, made).first;
    const wisp::CallOptions options{.tenant = place->second.tenant,
                                    .traceparent = place->second.traceparent};
    const LineageStep step{.number = number, .depth = depth};
    bool taken = true;
    switch (how) {
      case How::emit:
        taken = runtime.emit("tangle.of.steps", step, options).ok();
        if (!taken) ++refused_;
        break;
      case How::post:
        taken = runtime.post(wisp::named<void(LineageStep)>("tangle"), step, options).ok();
        break;
      case How::start:
        (void)runtime.start(wisp::named<void(LineageStep)>("tangle"), step, options);
        break;
      case How::call:
        (void)runtime.call(wisp::named<void(LineageStep)>("tangle"), step, options);
        break;
    }
    if (!taken) made_.erase(number);
  }

  // Each step against the one that made it.
  void check() const {
    for (const auto& [number, seen] : seen_) {
      const Made& made = made_.at(number);
      INFO("step " << number << ", made by " << made.parent);
      const Lineage& lineage = seen.lineage;
      CHECK(lineage.hops <= wisp::kHopsMax);
      const bool event = made.how == How::emit || made.how == How::post;
      if (made.parent == 0) {
        CHECK(lineage.hops == 0);
        CHECK(lineage.cause.empty());
        CHECK(lineage.tenant == made.tenant);
        if (event && made.traceparent.empty()) CHECK(lineage.trace == seen.event);
      } else {
        const LineageSeen& parent = seen_.at(made.parent);
        CHECK(lineage.tenant == (made.tenant.empty() ? parent.lineage.tenant : made.tenant));
        // A call is part of the event that its caller handles, a started one comes from it.
        const EventId by = parent.event.empty() ? parent.lineage.cause : parent.event;
        if (made.how != How::call) CHECK(lineage.cause == by);
        const bool hop = made.how == How::emit && !by.empty();
        CHECK(lineage.hops == parent.lineage.hops + (hop ? 1 : 0));
        if (made.traceparent.empty() && !(event && parent.lineage.trace.empty()))
          CHECK(lineage.trace == parent.lineage.trace);
      }
      if (!made.traceparent.empty())
        CHECK(lineage.trace == wisp::parse_traceparent(made.traceparent).value());
    }
  }

  std::size_t steps() const { return seen_.size(); }
  int refused() const { return refused_; }

 private:
  World& world_;
  int last_ = 0;
  int refused_ = 0;
  std::map<int, Made> made_;
  std::map<int, LineageSeen> seen_;
};

}  // namespace

TEST_CASE("lineage: cause, hops, trace and tenant through every verb", "[lineage]") {
  std::size_t steps = 0;
  wisp::test::for_each_seed([&steps](std::uint64_t seed) {
    World world{seed};
    Tangle tangle(world);
    const auto function = wisp::function(
        "tangle",
        [&tangle](const LineageStep& step, Context& context) { return tangle.run(step, context); },
        {.retry = {.attempts = 3}});
    wisp::Runtime runtime{wisp::Catalogue().add(function), world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    const auto on = runtime.on("tangle.>").to(function);
    REQUIRE(on.status().ok());
    for (int i = 0; i < 4; ++i)
      tangle.make(runtime, static_cast<How>(wisp::uniform(world.random(), 0, 3)), 0, 0);
    world.advance(1h);
    wisp::test::conserved_at_rest(runtime);
    tangle.check();
    steps += tangle.steps();
  });
  // Or nothing has been checked.
  if (!wisp::test::many_seeds()) return;
  CHECK(steps >= static_cast<std::size_t>(8 * wisp::test::seeds_here().count()));
}

TEST_CASE("lineage: a circle of events is cut after sixteen hops", "[lineage]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    std::vector<int> hops;
    int refused = 0;
    const auto next = [&](int n, Context& context) {
      hops.push_back(context.lineage().hops);
      context.elapse(wisp::uniform(world.random(), 0, 3) * 1ms);
      const auto emitted = context.runtime().emit(n % 2 == 0 ? "b" : "a", n + 1);
      if (emitted.ok()) return;
      CHECK(wisp::reason_of(emitted.status()) == wisp::Reason::hops);
      ++refused;
    };
    const bool synchronous = seed % 3 == 0;
    const auto a = runtime.on("a").deliver({.synchronous = synchronous}).to(next);
    const auto b = runtime.on("b").to(next);
    CHECK(runtime.emit("a", 0).ok());
    world.advance(1min);
    CHECK(hops.size() == 17);
    CHECK(std::is_sorted(hops.begin(), hops.end()));
    CHECK(hops.back() == wisp::kHopsMax);
    CHECK(refused == 1);
    wisp::test::conserved_at_rest(runtime);
    const auto letters = runtime.dead_letters().list();
    REQUIRE(letters.size() == 1);
    CHECK(letters.front().event->lineage.hops == 17);
    CHECK(letters.front().attempts == 0);
  });
}

TEST_CASE("lineage: a circle that was cut says what it has cost", "[lineage]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    const wisp::Tariff tariff =
        wisp::tariffs::own_hardware({.per_gb_hour = wisp::Money::dollars(3'600)});
    wisp::RuntimeOptions options = world.options();
    if (seed % 4 != 0) options.tariff = tariff;
    wisp::Runtime runtime{std::move(options)};
    wisp::Money cost;
    const auto next = [&](int n, Context& context) -> wisp::Status {
      const wisp::Duration took = wisp::uniform(world.random(), 1, 9) * 1ms;
      context.elapse(took);
      const wisp::Status emitted = context.runtime().emit(n % 2 == 0 ? "b" : "a", n + 1).status();
      if (context.lineage().hops >= wisp::kHopsMax / 2 && emitted.ok())
        cost = cost + tariff.marginal(wisp::Usage::of({.wall = took}), 128);
      return wisp::Status();
    };
    // Others that are none do not count, however many there are.
    const auto other = runtime.on("other").to([](int, Context& context) { context.elapse(1ms); });
    const auto a = runtime.on("a").to(next);
    const auto b = runtime.on("b").to(next);
    REQUIRE(runtime.emit("a", 0).ok());
    for (int n = 0; n < 200; ++n) {
      REQUIRE(runtime.emit("other", n).ok());
      world.advance(1ms);
    }
    world.advance(1min);
    const auto letters = runtime.dead_letters().list();
    REQUIRE(letters.size() == 1);
    const std::string why(wisp::message(letters.front().error));
    const std::string said = fmt::format(" Since its hop 8 that has cost {} USD", cost);
    CHECK(why.ends_with(seed % 4 != 0 ? said : "circle?"));
    wisp::test::conserved_at_rest(runtime);
  });
}

TEST_CASE("lineage: a traceparent that is none is refused by every verb", "[lineage]") {
  World world{1};
  const auto function = wisp::function("f", [](int) {});
  wisp::Runtime runtime{wisp::Catalogue().add(function), world.options()};
  const auto watch = wisp::test::watch_some(world, runtime);
  const wisp::CallOptions bad{.traceparent = "00-zero"};
  const auto refused = [](const Status& status) {
    return status.code() == wisp::StatusCode::kInvalidArgument;
  };
  CHECK(refused(runtime.call(function, 1, bad)));
  CHECK(refused(runtime.start(function, 1, bad).wait()));
  CHECK(refused(runtime.post(function, 1, bad).status()));
  CHECK(refused(runtime.emit("a", 1, bad).status()));
  world.advance(1s);
  CHECK(runtime.stats().events.accepted == 0);
}
