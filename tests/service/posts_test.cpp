// Posts that wait in a log: see post_log.hpp.
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "service/pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::Catalogue;
using wisp::Overflow;
using wisp::Runtime;
using wisp::Status;
using wisp::test::check_conserved;
using wisp::test::eventually;
using wisp::test::Gate;

}  // namespace

TEST_CASE("posts: what was claimed behind a handler that blocks runs elsewhere", "[posts]") {
  Gate first;
  Gate gate;
  std::atomic<int> passed{0};
  const auto work = wisp::function("work", [&](int n) {
    if (n == 0) first.pass();
    else if (n == 5) gate.pass();
    else ++passed;
  });
  Runtime runtime{Catalogue().add(work),
                  {.workers = {.max = 2, .policy = wisp::scaling::Fixed{2}}}};
  REQUIRE(runtime.post(work, 0).ok());
  first.await(1);
  for (int n = 1; n <= 100; ++n) REQUIRE(runtime.post(work, n).ok());
  first.open();
  gate.await(1);
  // 6 to 100 were in the same block as 5.
  CHECK(eventually([&] { return passed == 99; }));
  CHECK(runtime.stats().events.done == 100);
  gate.open();
  CHECK(runtime.stop(60s).status.ok());
  CHECK(runtime.stats().events.done == 101);
}

TEST_CASE("posts: a post by itself brings one token, and so one worker", "[posts]") {
  std::atomic<int> ran{0};
  const auto work = wisp::function("work", [&ran](int) { ++ran; });
  Runtime runtime{Catalogue().add(work),
                  {.workers = {.max = 2, .policy = wisp::scaling::Fixed{2}}}};
  for (int n = 1; n <= 20; ++n) {
    REQUIRE(runtime.post(work, n).ok());
    // The next one comes when the token of this one has gone.
    CHECK(eventually([&] { return ran == n && runtime.stats().workers.running == 0; }));
  }
  CHECK(runtime.stats().workers.peak == 1);
}

TEST_CASE("posts: the queue's bound is exact while a row of them runs", "[posts]") {
  Gate gate;
  const bool bytes = GENERATE(false, true);
  const auto hold = wisp::function("hold", [&](int n) {
    if (n == 50) gate.pass();
  });
  wisp::Queue queue{.count = 100};
  if (bytes) queue = {.count = 1'000, .bytes = 100 * sizeof(int)};
  Gate first;
  const auto begin = wisp::function("begin", [&] { first.pass(); });
  Runtime runtime{Catalogue().add(hold).add(begin),
                  {.workers = {.max = 1, .policy = wisp::scaling::Fixed{1}}, .queue = queue}};
  REQUIRE(runtime.post(begin).ok());
  first.await(1);
  for (int n = 1; n <= 100; ++n) REQUIRE(runtime.post(hold, n).ok());
  CHECK(wisp::reason_of(runtime.post(hold, 0).status()) == wisp::Reason::full);
  first.open();
  gate.await(1);
  // 50 have begun, 50 wait.
  for (int n = 101; n <= 150; ++n) REQUIRE(runtime.post(hold, n).ok());
  const Status full = runtime.post(hold, 0).status();
  CHECK(wisp::reason_of(full) == wisp::Reason::full);
  CHECK(runtime.stats().events.refused == 2);
  gate.open();
  CHECK(runtime.stop(60s).status.ok());
  CHECK(runtime.stats().events.done == 151);
}

TEST_CASE("posts: publishers that block go on as the row makes room", "[posts]") {
  std::atomic<int> ran{0};
  const auto work = wisp::function("work", [&](int) { ++ran; });
  Runtime runtime{Catalogue().add(work),
                  {.workers = {.max = 2}, .queue = {.count = 10, .act = Overflow::block}}};
  std::atomic<int> refused{0};
  std::vector<std::thread> publishers;
  for (int t = 0; t < 3; ++t) {
    publishers.emplace_back([&] {
      for (int n = 0; n < 2'000; ++n) refused += runtime.post(work, n).ok() ? 0 : 1;
    });
  }
  for (std::thread& each : publishers) each.join();
  CHECK(runtime.stop(60s).status.ok());
  CHECK(refused == 0);
  CHECK(ran == 6'000);
}

TEST_CASE("posts: a publisher that blocks goes on behind a row whose handler blocks", "[posts]") {
  Gate first;
  Gate gate;
  const auto hold = wisp::function("hold", [&](int n) {
    if (n == 5) gate.pass();
  });
  const auto begin = wisp::function("begin", [&] { first.pass(); });
  Runtime runtime{Catalogue().add(hold).add(begin),
                  {.workers = {.max = 1, .policy = wisp::scaling::Fixed{1}},
                   .queue = {.count = 10, .act = Overflow::block}}};
  REQUIRE(runtime.post(begin).ok());
  first.await(1);
  for (int n = 1; n <= 10; ++n) REQUIRE(runtime.post(hold, n).ok());
  std::atomic<int> through{0};
  std::thread publisher([&] { through += runtime.post(hold, 11).ok() ? 1 : 0; });
  for (int i = 0; i < 1'000; ++i) std::this_thread::yield();
  CHECK(through == 0);
  first.open();
  gate.await(1);
  CHECK(eventually([&] { return through == 1; }));
  gate.open();
  publisher.join();
  CHECK(runtime.stop(60s).status.ok());
  CHECK(runtime.stats().events.done == 12);
}

TEST_CASE("posts: one that fails is retried and then buried, whole, and the others go on",
          "[posts]") {
  std::atomic<int> ran{0};
  std::atomic<int> last{0};
  struct Order {
    int number;
    double total;
  };
  const auto take =
      wisp::function("take",
                     [&](const Order& order, wisp::Context& context) {
                       ++ran;
                       if (order.number % 10 != 3) return Status();
                       if (context.attempt() == 3) ++last;
                       return wisp::unavailable("no");
                     },
                     {.retry = {.attempts = 3, .first_delay = 1us, .max_delay = 10us}});
  Runtime runtime{Catalogue().add(take), {.workers = {.max = 2}}};
  const wisp::WallTime before = wisp::Clock::system().wall();
  std::vector<wisp::EventId> ids;
  for (int n = 0; n < 100; ++n) {
    const auto id = runtime.post(take, {n, 1.5 * n});
    REQUIRE(id.ok());
    ids.push_back(*id);
  }
  CHECK(runtime.stop(60s).status.ok());
  CHECK(ran == 90 + 10 * 3);
  CHECK(last == 10);
  const wisp::EventStats events = runtime.stats().events;
  CHECK(events.done == 90);
  CHECK(events.dead == 10);
  const auto letters = runtime.dead_letters().list();
  REQUIRE(letters.size() == 10);
  for (const wisp::DeadLetter& each : letters) {
    const Order* order = each.event->as<Order>();
    REQUIRE(order != nullptr);
    CHECK(order->total == 1.5 * order->number);
    CHECK(each.event->id == ids[static_cast<std::size_t>(order->number)]);
    CHECK(each.event->lineage.trace == each.event->id);
    CHECK(each.event->lineage.cause.empty());
    CHECK(each.event->topic.empty());
    CHECK(each.event->time >= before - 1s);
    CHECK(each.event->time <= wisp::Clock::system().wall());
    CHECK(each.attempts == 3);
  }
}

TEST_CASE("posts: those of handlers say where they come from", "[posts]") {
  std::atomic<int> wrong{0};
  std::atomic<int> ran{0};
  wisp::EventId root;
  Gate gate;
  const auto self = wisp::named<void(std::string)>("tree");
  const auto tree = wisp::function("tree", [&](const std::string& path, wisp::Context& context) {
    gate.pass();
    const wisp::Lineage& lineage = context.lineage();
    if (lineage.trace != root) ++wrong;
    if (lineage.cause.empty() != path.empty()) ++wrong;
    if (context.attempt() != 1 || context.event_id().empty()) ++wrong;
    if (!path.empty() && fmt::format("{}", lineage.cause) != path.substr(path.size() - 32)) ++wrong;
    ++ran;
    if (path.size() == 3 * 32) return;
    for (int i = 0; i < 2; ++i) {
      const auto id = context.runtime().post(self, fmt::format("{}{}", path, context.event_id()));
      if (!id.ok()) ++wrong;
    }
  });
  Runtime runtime{Catalogue().add(tree), {.workers = {.max = 2}}};
  const auto id = runtime.post(tree, "");
  REQUIRE(id.ok());
  gate.await(1);
  root = *id;
  gate.open();
  CHECK(runtime.stop(60s).status.ok());
  CHECK(ran == 15);
  CHECK(wrong == 0);
}

TEST_CASE("posts: stop cancels what a row has claimed and not begun", "[posts]") {
  Gate first;
  Gate gate;
  const auto input = std::make_shared<int>();
  const auto hold = wisp::function("hold", [&](const std::shared_ptr<int>&) { gate.pass(); });
  const auto begin = wisp::function("begin", [&] { first.pass(); });
  Runtime runtime{Catalogue().add(hold).add(begin), {.workers = {.max = 1}}};
  REQUIRE(runtime.post(begin).ok());
  first.await(1);
  for (int n = 0; n < 20; ++n) REQUIRE(runtime.post(hold, input).ok());
  CHECK(input.use_count() == 21);
  first.open();
  gate.await(1);
  CHECK(runtime.stats().queued == 19);
  const wisp::Stopped stopped = runtime.stop(0s);
  CHECK(stopped.abandoned.size() == 20);
  CHECK(runtime.stats().events.cancelled == 19);
  CHECK(input.use_count() == 2);
  gate.open();
  CHECK(eventually([&] { return input.use_count() == 1; }));
}

TEST_CASE("posts: a row begins nothing more once handlers are asked to stop", "[posts]") {
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> inside{0};
    std::atomic<int> ended{0};
    // A wait would lend the worker to the next one.
    const auto turns = wisp::function("turns", [&](wisp::Context& context) {
      ++inside;
      while (!context.cancelled()) std::this_thread::yield();
      ++ended;
    });
    Gate first;
    const auto begin = wisp::function("begin", [&] { first.pass(); });
    Runtime runtime{Catalogue().add(turns).add(begin), {.workers = {.max = 1}}};
    REQUIRE(runtime.post(begin).ok());
    first.await(1);
    for (int n = 0; n < 20; ++n) REQUIRE(runtime.post(turns).ok());
    first.open();
    REQUIRE(eventually([&] { return inside == 1; }));
    const wisp::Stopped stopped = runtime.stop(0s);
    CHECK(inside == 1);
    CHECK(ended == 1);
    CHECK(runtime.stats().events.cancelled == 19);
    for (const wisp::Abandoned& each : stopped.abandoned) CHECK(each.state == "queued");
  }
}

// The one worker's function posts two of itself for each one that runs, as long as there is room.
TEST_CASE("posts: one from outside runs among a flood from within", "[posts]") {
  const bool same = GENERATE(true, false);
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> ran{0};
  std::atomic<std::uint64_t> seen{0};
  const auto self = wisp::named<void(bool)>("flood");
  const auto flood = wisp::function("flood", [&](bool outside, wisp::Context& context) {
    ++ran;
    if (outside) seen = ran.load();
    for (int i = 0; i < 2 && !over; ++i) (void)context.runtime().post(self, false);
  });
  const auto other = wisp::function("other", [&](bool) { seen = ran.load(); });
  constexpr std::uint64_t kRoom = 10'000;
  Runtime runtime{Catalogue().add(flood).add(other),
                  {.workers = {.max = 1}, .queue = {.count = static_cast<int>(kRoom)}}};
  REQUIRE(runtime.post(flood, false).ok());
  CHECK(eventually([&] { return ran > 5 * kRoom; }));
  for (int i = 0; i < 20; ++i) {
    seen = 0;
    const std::uint64_t before = ran;
    // Where the flood leaves no room one tries again.
    CHECK(eventually([&] { return runtime.post(same ? flood : other, true).ok(); }));
    const std::uint64_t accepted = ran;
    CHECK(eventually([&] { return seen > 0; }));
    // What was before it in its queue; and for a queue of its own what one token runs.
    CHECK(seen - std::min(seen.load(), accepted) <= 2 * kRoom);
    CHECK(seen >= before);
  }
  over = true;
  CHECK(runtime.stop(60s).status.ok());
}

TEST_CASE("posts: nothing is lost while four threads post and the runtime stops",
          "[posts][stress]") {
  for (int round = 0; round < 30; ++round) {
    std::atomic<std::uint64_t> ran{0};
    std::atomic<std::uint64_t> accepted{0};
    const auto work =
        wisp::function("work",
                       [&](int n) {
                         ++ran;
                         if (n % 64 == 0) return wisp::unavailable("no");
                         return Status();
                       },
                       {.retry = {.attempts = 2, .first_delay = 1us, .max_delay = 1us}});
    Runtime runtime{Catalogue().add(work), {.workers = {.max = 3}, .queue = {.count = 500}}};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int n = 0; n < 3'000; ++n) {
          const Status posted = runtime.post(work, n).status();
          if (posted.ok()) ++accepted;
          else if (wisp::reason_of(posted) == wisp::Reason::stopped) return;
        }
      });
    }
    while (ran < 500) std::this_thread::yield();
    const wisp::Stopped stopped = runtime.stop(round % 2 == 0 ? 0s : 10s);
    for (std::thread& each : threads) each.join();
    const wisp::EventStats events = runtime.stats().events;
    CHECK(events.accepted == accepted);
    check_conserved(events);
    if (round % 2 != 0) CHECK(stopped.status.ok());
  }
}

TEST_CASE("post: those that fail keep a worker no longer than others", "[post]") {
  constexpr int kPosts = 400;
  Gate gate;
  std::atomic<int> failed{0};
  std::atomic<int> before{-1};
  const auto fails = wisp::function("fails", [&](int) {
    if (failed++ == 0) {
      gate.pass();
      wisp::elapse(wisp::Clock::system(), 1ms);  // more than one token's time
    }
    return wisp::invalid_argument("no");
  });
  const auto other = wisp::function("other", [&] { before = failed.load(); });
  wisp::Runtime runtime{wisp::Catalogue().add(fails).add(other), {.workers = {.max = 1}}};
  for (int i = 0; i < kPosts; ++i) REQUIRE(runtime.post(fails, i).ok());
  gate.await(1);
  REQUIRE(runtime.post(other).ok());
  gate.open();
  CHECK(runtime.stop(60s).status.ok());
  CHECK(failed == kPosts);
  CHECK(before <= 10);  // one, but for what others do to its worker
}
