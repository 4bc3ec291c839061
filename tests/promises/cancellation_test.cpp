// Who cancels a handler, and what it waits for.
#include <wisp/sim/world.hpp>

#include <optional>
#include <vector>

#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Status;
using wisp::StatusCode;
using wisp::Time;
using wisp::sim::World;

}  // namespace

TEST_CASE("deadlines: cancellation reaches a started call that is waited for, and no other",
          "[deadlines]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed, {.faults = {.late = 200, .late_max = 5ms}}};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    Time gave_way;
    int inside = 0;
    int finished = 0;
    const auto leaf = wisp::function("leaf",
                                     [&](wisp::Context& context) {
                                       ++inside;
                                       const Status slept = context.sleep(1h);
                                       gave_way = world.clock().now();
                                       return slept;
                                     },
                                     {.pool_only = uniform(world.random(), 0, 1) == 0});
    const auto aside = wisp::function("aside", [&](wisp::Context& context) {
      const Status slept = context.sleep(1h);
      finished += slept.ok() ? 1 : 0;
    });
    // Its caller waits here, inside of a call that nobody can cancel by itself.
    const bool timed = wisp::uniform(world.random(), 0, 1) == 0;
    const auto middle = wisp::function("middle", [&](wisp::Context& context) {
      auto leaves = context.runtime().start(leaf);
      return timed ? leaves.wait_for(2h) : leaves.wait();
    });
    const auto root = wisp::function("root", [&](wisp::Context& context) {
      (void)context.runtime().start(aside);
      const Status first = context.runtime().call(middle);
      // Too late for it to begin.
      CHECK(context.runtime().start(leaf).wait().code() == StatusCode::kCancelled);
      return first;
    });
    for (const auto& each : {leaf, aside, middle, root}) REQUIRE(runtime.registry().add(each).ok());
    auto pending = runtime.start(root);
    REQUIRE(world.run_until([&] { return inside == 1; }, 1min));
    world.advance(wisp::uniform(world.random(), 0, 100) * 1ms);
    const Time cancelled = world.clock().now();
    pending.cancel();
    world.advance(1s);  // there may be a late worker
    CHECK(gave_way == cancelled);
    CHECK(pending.ready());
    CHECK(pending.wait().code() == StatusCode::kCancelled);
    CHECK(inside == 1);
    world.advance(2h);
    CHECK(finished == 1);
  });
}

TEST_CASE("deadlines: whoever waits is released before what follows from a cancellation",
          "[deadlines]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    const auto leaf = wisp::function(
        "leaf", [] { return wisp::unavailable("not now"); },
        {.retry = {.attempts = 50, .first_delay = 1h, .max_delay = 1h}, .pool_only = true});
    const auto after = wisp::function("after", [] {}, {.pool_only = true});
    Time returned;
    bool followed = false;
    wisp::Pending<void>* root_call = nullptr;
    const auto root = wisp::function("root", [&](wisp::Context& context) {
      auto leaves = context.runtime().start(leaf);
      // Waits for calls, and for the very one that is cancelled.
      leaves.then([&] {
        world.yield();
        (void)runtime.start(after).wait();
        (void)root_call->wait();
        followed = true;
      });
      const Status ended = leaves.wait();
      returned = world.clock().now();
      return ended;
    });
    for (const auto& each : {leaf, after, root}) REQUIRE(runtime.registry().add(each).ok());
    auto pending = runtime.start(root);
    root_call = &pending;
    world.advance(1s);
    const Time cancelled = world.clock().now();
    pending.cancel();
    CHECK(followed);
    CHECK(returned == cancelled);
    CHECK(pending.wait().code() == StatusCode::kCancelled);
  });
}

TEST_CASE("deadlines: cancellation passes through a synchronous delivery to what that waits for",
          "[deadlines]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    Time gave_way;
    const auto leaf = wisp::function("leaf",
                                     [&](wisp::Context& context) {
                                       const Status slept = context.sleep(1h);
                                       gave_way = world.clock().now();
                                       return slept;
                                     },
                                     {.pool_only = true});
    const auto wait = [&](int, wisp::Context& context) {
      return context.runtime().start(leaf).wait();
    };
    const auto root = wisp::function(
        "root", [&](wisp::Context& context) { return context.runtime().emit("here", 1).status(); });
    for (const auto& each : {leaf, root}) REQUIRE(runtime.registry().add(each).ok());
    std::optional<wisp::Subscription> here;
    // The short way and the long one.
    if (seed % 2 == 0) here.emplace(runtime.on("here").deliver({.synchronous = true}).to(wait));
    else
      here.emplace(runtime.on("here")
                       .where([](const int& n) { return n == 1; })
                       .deliver({.synchronous = true})
                       .to(wait));
    auto pending = runtime.start(root);
    world.advance(1s);
    const Time cancelled = world.clock().now();
    pending.cancel();
    world.advance(2h);
    CHECK(gave_way == cancelled);
  });
}

TEST_CASE("deadlines: who goes away takes nobody else's result of an idempotency key along",
          "[deadlines]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    const auto work = wisp::function(
        "work", [](wisp::Context& context) { return context.sleep(1min); }, {.pool_only = true});
    const auto client = wisp::function("client", [&](wisp::Context& context) {
      return context.runtime().start(work, {.idempotency_key = "k"}).wait();
    });
    for (const auto& each : {work, client}) REQUIRE(runtime.registry().add(each).ok());
    std::vector<wisp::Pending<void>> clients;
    for (int i = 0; i < 3; ++i) {
      clients.push_back(runtime.start(client));
      world.advance(1s);  // the first one holds the key
    }
    const auto leaves = static_cast<std::size_t>(wisp::uniform(world.random(), 0, 2));
    clients[leaves].cancel();
    world.advance(1h);
    for (std::size_t i = 0; i < clients.size(); ++i)
      if (i != leaves) CHECK(clients[i].wait().ok());
  });
}

TEST_CASE("deadlines: a host that waits for a call of its own passes nothing on", "[deadlines]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    const auto leaf = wisp::function(
        "leaf", [](wisp::Context& context) { return context.sleep(1min); }, {.pool_only = true});
    REQUIRE(runtime.registry().add(leaf).ok());
    auto hosts = runtime.start(leaf);
    const auto waiter = wisp::function("waiter", [&] { return hosts.wait(); });
    REQUIRE(runtime.registry().add(waiter).ok());
    auto pending = runtime.start(waiter);
    world.advance(1s);
    pending.cancel();
    world.advance(1min);
    CHECK(hosts.wait().ok());
  });
}
