// Delivery::batch, through the verbs.
#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "service/pumped.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Batch;
using wisp::Failed;
using wisp::Result;
using wisp::Status;
using wisp::StatusCode;
using wisp::test::Pumped;
using wisp::test::says;

using Batches = std::vector<std::vector<int>>;

std::vector<int> all_of(const Batch<int>& batch) { return {batch.begin(), batch.end()}; }

void pump_often(Pumped& p) {
  for (int i = 0; i < 5; ++i) p.runtime.pump();
}

}  // namespace

TEST_CASE("batches: full ones at once, the rest after its window", "[batch]") {
  Pumped p;
  Batches seen;
  auto subscription = p.runtime.on("a")
                          .deliver({.batch = {.size = 3, .window = 10s}})
                          .to([&seen](const Batch<int>& batch) { seen.push_back(all_of(batch)); });
  for (int i = 0; i < 7; ++i) REQUIRE(p.runtime.emit("a", i).ok());
  pump_often(p);
  CHECK(seen == Batches{{0, 1, 2}, {3, 4, 5}});
  p.clock.advance(9s);
  REQUIRE(p.runtime.emit("a", 7).ok());
  pump_often(p);
  CHECK(seen.size() == 2);
  CHECK(subscription.queued() == 2);
  p.clock.advance(1s);
  pump_often(p);
  CHECK(seen.back() == std::vector<int>{6, 7});
  CHECK(p.settled().done == 8);
}

TEST_CASE("batches: without options what is there goes, up to a hundred", "[batch]") {
  Pumped p;
  std::vector<std::size_t> sizes;
  auto subscription =
      p.runtime.on("a").to([&sizes](const Batch<int>& batch) { sizes.push_back(batch.size()); });
  for (int i = 0; i < 250; ++i) REQUIRE(p.runtime.emit("a", i).ok());
  CHECK(p.settled().done == 250);
  CHECK(sizes == std::vector<std::size_t>{100, 100, 50});
  const auto functions = p.runtime.stats().functions;
  REQUIRE(functions.size() == 1);
  CHECK(functions.front().calls == 3);  // metered once a batch
  CHECK(functions.front().accepted == 250);
}

TEST_CASE("batches: an observer sees each delivery's way", "[batch]") {
  Pumped p;
  std::vector<std::string> seen;
  const auto watch = p.runtime.observe([&seen](const wisp::Record& record) {
    seen.push_back(fmt::format("{} {}", to_string(record.step), record.attempt));
  });
  auto subscription = p.runtime.on("a")
                          .deliver({.batch = {.size = 3, .window = 1s}})
                          .to([](const Batch<int>& batch, wisp::Context& context) {
                            Failed failed;
                            if (context.attempt() == 1) failed.add(batch.size() - 1);
                            return failed;
                          });
  REQUIRE(p.runtime.emit("a", 1).ok());
  REQUIRE(p.runtime.emit("a", 2).ok());
  pump_often(p);
  CHECK(seen.size() == 2);  // to be watched is no reason to hurry
  CHECK(p.settled().done == 2);
  CHECK(seen == std::vector<std::string>{"accepted 0", "accepted 0", "began 1", "began 1",
                                         "ended 1", "ended 1", "done 1", "retrying 1", "began 2",
                                         "ended 2", "done 2"});
  CHECK(p.runtime.stats().functions.front().accepted == 2);
}

TEST_CASE("batches: what cannot be is refused, with its reason in words", "[batch]") {
  Pumped p;
  const auto refused = [](const wisp::Subscription& subscription, std::string_view text) {
    CHECK(subscription.status().code() == StatusCode::kInvalidArgument);
    CHECK(says(subscription.status(), text));
  };
  const auto one = [](int) {};
  const auto many = [](const Batch<int>&) {};
  refused(p.runtime.on("a").deliver({.batch = {.size = 1}}).to(one), "wisp::Batch");
  refused(p.runtime.on("a").deliver({.batch = {.window = 1s}}).to([] {}), "nothing");
  refused(p.runtime.on("a").deliver({.synchronous = true}).to(many), "synchronous");
  refused(p.runtime.on("a").deliver({.batch = {.size = -1}}).to(many), "0 to 10000");
  refused(p.runtime.on("a").deliver({.batch = {.size = 10'001}}).to(many), "0 to 10000");
  refused(p.runtime.on("a").deliver({.batch = {.window = -1ns}}).to(many), "0 to 300 s");
  refused(p.runtime.on("a").deliver({.batch = {.window = 301s}}).to(many), "0 to 300 s");
  refused(p.runtime.on("a").deliver({.queue = {.count = 5}, .batch = {.size = 6}}).to(many), "5");
  CHECK(p.runtime.on("a").deliver({.queue = {.count = 5}}).to(many).status().ok());
  CHECK(p.runtime.on("a")
            .deliver({.batch = {.size = 10'000, .window = 300s}})
            .to(many)
            .status()
            .ok());
}

TEST_CASE("batches: what is listed comes back alone, under its own rule", "[batch]") {
  Pumped p;
  Batches seen;
  auto subscription = p.runtime.on("a")
                          .deliver({.attempts = 2})
                          .to([&seen](const Batch<int>& batch) -> Result<Failed> {
                            seen.push_back(all_of(batch));
                            Failed failed;
                            for (std::size_t i = 0; i < batch.size(); ++i) {
                              if (batch[i] == 1) failed.add(i);
                              if (batch[i] == 2) failed.add(i, wisp::invalid_argument("two"));
                              if (batch[i] == 2) failed.add(i, wisp::unavailable("twice"));
                            }
                            return failed;
                          });
  for (int i = 0; i < 4; ++i) REQUIRE(p.runtime.emit("a", i).ok());
  const wisp::EventStats events = p.settled();
  CHECK(seen == Batches{{0, 1, 2, 3}, {1}});
  CHECK(events.done == 2);
  CHECK(events.dead == 2);
  const auto letters = p.runtime.dead_letters().list();
  REQUIRE(letters.size() == 2);
  CHECK(says(letters[0].error, "two"));
  CHECK(letters[0].attempts == 1);
  CHECK(letters[1].error.code() == StatusCode::kUnavailable);
  CHECK(letters[1].attempts == 2);
}

TEST_CASE("batches: an index of none fails the whole, which is cut in halves", "[batch]") {
  Pumped p;
  Batches seen;
  auto subscription = p.runtime.on("a").to([&seen](const Batch<int>& batch) {
    seen.push_back(all_of(batch));
    Failed failed;
    if (batch[0] < 2) failed.add(batch.size());
    return failed;
  });
  for (int i = 0; i < 4; ++i) REQUIRE(p.runtime.emit("a", i).ok());
  CHECK(p.settled().done == 2);
  CHECK(seen == Batches{{0, 1, 2, 3}, {0, 1}, {0}, {1}, {2, 3}});
  const auto letters = p.runtime.dead_letters().list();
  REQUIRE(letters.size() == 2);
  for (const wisp::DeadLetter& each : letters) {
    CHECK(each.error.code() == StatusCode::kInvalidArgument);
    CHECK((says(each.error, "item 1") && says(each.error, "batch of 1")));
    CHECK(each.attempts == 1);
  }
}

TEST_CASE("batches: a throw and an error cut in halves, and spend an attempt of one alone",
          "[batch]") {
  const bool throws = GENERATE(false, true);
  Pumped p;
  std::vector<int> attempts;
  auto subscription =
      p.runtime.on("a")
          .deliver({.attempts = 3})
          .to([&, throws](const Batch<int>& batch, wisp::Context& context) -> Status {
            if (std::find(batch.begin(), batch.end(), 5) == batch.end()) return Status();
            attempts.push_back(context.attempt());
            if (throws) throw std::runtime_error("poison");
            return wisp::unavailable("poison");
          });
  for (int i = 0; i < 8; ++i) REQUIRE(p.runtime.emit("a", i).ok());
  CHECK(p.settled().done == 7);
  CHECK(attempts == std::vector<int>{1, 1, 1, 1, 2, 3});
  REQUIRE(p.runtime.dead_letters().size() == 1);
  CHECK(p.runtime.dead_letters().list().front().attempts == 3);
}

TEST_CASE("batches: one that is asked to stay away is not halved, and stays away", "[batch]") {
  Pumped p;
  std::vector<wisp::Time> at;
  std::size_t took = 0;
  auto subscription = p.runtime.on("a")
                          .deliver({.attempts = 2, .batch = {.size = 4, .window = 1s}})
                          .to([&](const Batch<int>& batch) -> Status {
                            at.push_back(p.clock.now());
                            if (at.size() == 1)
                              return wisp::with_retry_after(wisp::unavailable("busy"), 1min);
                            took += batch.size();
                            return Status();
                          });
  const wisp::Time began = p.clock.now();
  for (int i = 0; i < 4; ++i) REQUIRE(p.runtime.emit("a", i).ok());
  CHECK(p.settled().done == 4);
  CHECK(took == 4);
  REQUIRE(at.size() >= 2);
  CHECK(at[1] >= began + 1min);
  CHECK(p.runtime.stats().events.dead == 0);
}

TEST_CASE("batches: an error that no retry mends is cut in halves, whatever it asks for",
          "[batch]") {
  Pumped p;
  auto subscription = p.runtime.on("a")
                          .deliver({.batch = {.size = 4, .window = 1s}})
                          .to([](const Batch<int>& batch) -> Status {
                            for (const int each : batch)
                              if (each == 2)
                                return wisp::with_retry_after(wisp::invalid_argument("two"), 1s);
                            return Status();
                          });
  for (int i = 0; i < 4; ++i) REQUIRE(p.runtime.emit("a", i).ok());
  const wisp::EventStats events = p.settled();
  CHECK(events.done == 3);
  CHECK(events.dead == 1);
}

TEST_CASE("batches: never two of a key, and the next once the first is over", "[batch]") {
  Pumped p;
  std::vector<std::vector<std::string>> seen;
  bool works = false;
  auto subscription =
      p.runtime.on("a").deliver({.batch = {.size = 10}}).to([&](const Batch<std::string>& batch) {
        seen.emplace_back(batch.begin(), batch.end());
        Failed failed;
        if (!works && batch[0] == "x1") failed.add(0);
        return failed;
      });
  for (const char* each : {"x1", "y1", "x2", "", "y2"})
    REQUIRE(p.runtime.emit("a", each, {.key = std::string_view(each).substr(0, 1)}).ok());
  pump_often(p);
  using Seen = std::vector<std::vector<std::string>>;
  CHECK(seen == Seen{{"x1", "y1", ""}, {"y2"}});
  works = true;
  CHECK(p.settled().done == 5);
  CHECK(seen == Seen{{"x1", "y1", ""}, {"y2"}, {"x1"}, {"x2"}});
}

TEST_CASE("batches: a payload of another type is a dead letter, any is well in a batch of events",
          "[batch]") {
  Pumped p;
  std::size_t events = 0;
  auto numbers = p.runtime.on("a").to([](const Batch<int>&) {});
  auto any = p.runtime.on("a").to([&events](const Batch<wisp::Event>& batch) {
    for (const wisp::Event& each : batch) events += each.payload.empty() ? 0 : 1;
  });
  REQUIRE(p.runtime.emit("a", 1).ok());
  REQUIRE(p.runtime.emit("a", "text").ok());
  CHECK(p.settled().dead == 1);
  CHECK(events == 2);
  CHECK(p.runtime.dead_letters().list().front().error.code() == StatusCode::kInvalidArgument);
}

TEST_CASE("batches: what a handler sends has the most hops and what all have in common",
          "[batch]") {
  Pumped p;
  wisp::Lineage lineage;
  auto subscription = p.runtime.on("a")
                          .deliver({.batch = {.size = 10, .window = 1s}})
                          .to([](const Batch<int>& batch, wisp::Context& context) -> Status {
                            CHECK(batch.size() == 2);
                            return context.runtime().emit("b", 1).status();
                          });
  auto again = p.runtime.on("c").to(
      [](int n, wisp::Context& context) { (void)context.runtime().emit("a", n).ok(); });
  auto b = p.runtime.on("b").to([&lineage](const wisp::Event& e) { lineage = e.lineage; });
  const auto emitted = p.runtime.emit("a", 1, {.tenant = "acme", .tag = "one"});
  REQUIRE(emitted.ok());
  REQUIRE(p.runtime.emit("c", 1, {.tenant = "acme", .tag = "two"}).ok());
  CHECK(p.settled().done == 4);
  CHECK(lineage.cause == *emitted);
  CHECK(lineage.hops == 2);
  CHECK(lineage.tenant == "acme");
  CHECK(lineage.tag.empty());
}

TEST_CASE("batches: a stop lets what waits go at once, a subscription's end cancels it",
          "[batch]") {
  const bool stops = GENERATE(true, false);
  Pumped p;
  Batches seen;
  auto subscription = p.runtime.on("a")
                          .deliver({.batch = {.size = 10, .window = 300s}})
                          .to([&seen](const Batch<int>& batch) { seen.push_back(all_of(batch)); });
  for (int i = 0; i < 3; ++i) REQUIRE(p.runtime.emit("a", i).ok());
  pump_often(p);
  CHECK(seen.empty());
  if (stops) CHECK(p.runtime.stop(1s).status.ok());
  else subscription.cancel();
  CHECK(seen == (stops ? Batches{{0, 1, 2}} : Batches{}));
  const wisp::EventStats events = p.runtime.stats().events;
  CHECK((stops ? events.done : events.cancelled) == 3);
  wisp::test::check_conserved(events);
}

TEST_CASE("batches: one enters its function's limit once", "[batch]") {
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<int> items{0};
  const auto store = wisp::function("store",
                                    [&](const Batch<int>& batch) {
                                      const int now = ++inside;
                                      if (now > most) most = now;
                                      items += static_cast<int>(batch.size());
                                      std::this_thread::yield();
                                      --inside;
                                    },
                                    {.limits = {.concurrency = 1}});
  wisp::Runtime runtime{wisp::Catalogue().add(store), {.workers = {.max = 4}}};
  auto first = runtime.on("a").deliver({.batch = {.size = 7}}).to(store);
  auto second = runtime.on("a").deliver({.batch = {.size = 50, .window = 1ms}}).to(store);
  for (int i = 0; i < 500; ++i) REQUIRE(runtime.emit("a", i).ok());
  CHECK(runtime.stop(20s).status.ok());
  CHECK(most == 1);
  CHECK(items == 1000);
  CHECK(runtime.stats().events.done == 1000);
}

// For the thread sanitizer.
TEST_CASE("batches: of keys and failures, on real threads", "[batch]") {
  constexpr int kKeys = 20;
  constexpr int kEach = 400;
  struct Sent {
    int key;
    int number;
  };
  std::vector<int> last(kKeys, -1);  // without a lock: a key is in one batch at a time
  const auto take = [&last](const Batch<Sent>& batch, wisp::Context& context) -> Result<Failed> {
    Failed failed;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      int& its = last[static_cast<std::size_t>(batch[i].key)];
      if (its > batch[i].number) failed.add(i, wisp::invalid_argument("out of order"));
      its = batch[i].number;
      if (batch[i].number % 17 == 0 && context.attempt() == 1) failed.add(i);
    }
    if (batch.size() > 1 && batch[0].number % 29 == 0) return wisp::unavailable("in halves");
    return failed;
  };
  const auto handler = wisp::function("take", take, {.retry = {.first_delay = 1ms}});
  wisp::Runtime runtime{wisp::Catalogue().add(handler), {.workers = {.max = 4}}};
  auto subscription = runtime.on("a").deliver({.batch = {.size = 16, .window = 1ms}}).to(handler);
  std::vector<std::thread> publishers;
  for (int publisher = 0; publisher < 2; ++publisher) {
    publishers.emplace_back([&, publisher] {
      for (int number = 0; number < kEach; ++number) {
        const int key = number % (kKeys / 2) * 2 + publisher;
        if (!runtime.emit("a", Sent{key, number}, {.key = std::to_string(key)}).ok()) return;
      }
    });
  }
  for (std::thread& each : publishers) each.join();
  CHECK(runtime.stop(20s).status.ok());
  const wisp::EventStats events = runtime.stats().events;
  CHECK(events.accepted == 2 * kEach);
  CHECK(events.done == events.accepted);
}

TEST_CASE("batches: none begins in a pause with a slot from before it", "[batch]") {
  int ran = 0;
  const auto take = wisp::function("take", [&ran](const Batch<int>&) { ++ran; });
  Pumped p{wisp::Catalogue().add(take), {.adjustable = true}};
  auto subscription = p.runtime.on("a").deliver({.batch = {.size = 1}}).to(take);
  const auto pause = [&p](bool paused) {
    REQUIRE(p.runtime.configure({.functions = {{.name = "take", .paused = paused}}}).ok());
  };
  pause(true);
  REQUIRE(p.runtime.emit("a", 1).ok());
  pump_often(p);
  pause(false);
  pause(true);
  pump_often(p);
  CHECK(ran == 0);
  pause(false);
  CHECK(p.settled().done == 1);
  CHECK(ran == 1);
}
