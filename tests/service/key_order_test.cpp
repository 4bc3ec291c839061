// CallOptions::key, through the verbs.
#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "service/pumped.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Overflow;
using wisp::Status;
using wisp::StatusCode;
using wisp::test::Pumped;
using wisp::test::says;

}  // namespace

TEST_CASE("key: a failing delivery holds up its own key, under a pump too", "[key]") {
  const bool posted = GENERATE(true, false);
  const bool serial = GENERATE(false, true);
  bool works = false;
  std::vector<int> seen;
  const auto take = wisp::function("take", [&](int n) {
    if (n == 0 && !works) return wisp::unavailable("no");
    seen.push_back(n);
    return Status();
  });
  Pumped p(wisp::Catalogue().add(take));
  auto subscription = p.runtime.on("a").deliver({.serial = serial}).to(take);
  const auto send = [&](int n, std::string_view key) {
    const wisp::CallOptions options{.key = key};
    return posted ? p.runtime.post(take, n, options) : p.runtime.emit("a", n, options);
  };
  REQUIRE(send(0, "x").ok());
  REQUIRE(send(1, "x").ok());
  REQUIRE(send(2, "y").ok());
  REQUIRE(send(3, "").ok());
  for (int i = 0; i < 5; ++i) p.runtime.pump();
  // A serial subscription waits with everything.
  CHECK(seen == (serial && !posted ? std::vector<int>{} : std::vector<int>{2, 3}));
  works = true;
  CHECK(p.settled().done == 4);
  CHECK(seen == (serial && !posted ? std::vector<int>{0, 1, 2, 3} : std::vector<int>{2, 3, 0, 1}));
}

TEST_CASE("key: one that is too long is refused by post and emit", "[key]") {
  const auto take = wisp::function("take", [](int) {});
  Pumped p(wisp::Catalogue().add(take));
  const std::string longest(wisp::kKeyMax, 'k');
  const std::string longer = longest + "k";
  CHECK(p.runtime.post(take, 1, {.key = longest}).ok());
  CHECK(p.runtime.emit("a", 1, {.key = longest}).ok());
  for (const Status& refused : {p.runtime.post(take, 1, {.key = longer}).status(),
                                p.runtime.emit("a", 1, {.key = longer}).status()}) {
    CHECK(refused.code() == StatusCode::kInvalidArgument);
    CHECK((says(refused, "257") && says(refused, "256")));
  }
  CHECK(p.settled().done == 1);
}

TEST_CASE("key: an event has it, its dead letter too, and what its handler sends does not",
          "[key]") {
  std::vector<std::string> keys;
  Pumped p;
  const auto note = [&keys](const wisp::Event& event) { keys.push_back(event.topic + event.key); };
  auto sender = p.runtime.on("a").to([&keys](const wisp::Event& event, wisp::Context& context) {
    keys.push_back(event.topic + event.key);
    (void)context.runtime().emit("b", 1).ok();
    (void)context.runtime().emit("c", 1, {.key = "own"}).ok();
  });
  auto b = p.runtime.on("b").to(note);
  auto c = p.runtime.on("c").to(note);
  auto here = p.runtime.on("a").deliver({.synchronous = true}).to([](int) {
    return wisp::invalid_argument("dead");
  });
  auto beside = p.runtime.on("a").deliver({.dead_letter = "d"}).to([](int) {
    return wisp::invalid_argument("dead");
  });
  auto d = p.runtime.on("d").to(note);
  REQUIRE(p.runtime.emit("a", 1, {.key = "k"}).ok());
  CHECK(p.settled().dead == 2);
  CHECK(keys == std::vector<std::string>{"ak", "b", "cown", "dk"});
  REQUIRE(p.runtime.dead_letters().size() == 1);
  CHECK(p.runtime.dead_letters().list().front().event->key == "k");
}

TEST_CASE("key: a call, a start and a synchronous delivery take no notice of it", "[key]") {
  int inside = 0;
  int most = 0;
  wisp::Runtime* runtime = nullptr;
  const auto nested = wisp::function("nested", [&](int depth) -> Status {
    most = std::max(most, ++inside);
    Status ended;
    if (depth > 0) ended = runtime->emit("again", depth - 1, {.key = "k"}).status();
    --inside;
    return ended;
  });
  Pumped p(wisp::Catalogue().add(nested));
  runtime = &p.runtime;
  auto again = p.runtime.on("again").deliver({.synchronous = true}).to(nested);
  CHECK(p.runtime.emit("again", 2, {.key = "k"}).ok());
  CHECK(most == 3);
  CHECK(p.runtime.call(nested, 1, {.key = "k"}).ok());
  auto pending = p.runtime.start(nested, 0, {.key = std::string(1000, 'k')});
  p.runtime.pump();
  CHECK(pending.wait().ok());
}

TEST_CASE("key: coalesce replaces the oldest of the same key, or refuses", "[key]") {
  std::vector<std::string> seen;
  Pumped p;
  auto tight = p.runtime.on("a")
                   .deliver({.queue = {.count = 2, .act = Overflow::coalesce}})
                   .to([&seen](const std::string& text) { seen.push_back(text); });
  REQUIRE(p.runtime.emit("a", "x1", {.key = "x"}).ok());
  REQUIRE(p.runtime.emit("a", "y1", {.key = "y"}).ok());
  CHECK(p.runtime.emit("a", "x2", {.key = "x"}).ok());
  CHECK(p.runtime.emit("a", "x3", {.key = "x"}).ok());
  for (const std::string_view key : {"z", ""}) {
    const Status refused = p.runtime.emit("a", "z1", {.key = key}).status();
    CHECK(wisp::reason_of(refused) == wisp::Reason::full);
    CHECK((says(refused, "'a'") && says(refused, "2")));
  }
  CHECK(tight.queued() == 2);
  const wisp::EventStats events = p.settled();
  CHECK(seen == std::vector<std::string>{"x3", "y1"});
  CHECK(events.coalesced == 2);
  CHECK(events.dropped == 2);
  CHECK(events.dead == 2);
  CHECK(events.refused == 2);
  CHECK(p.runtime.dead_letters().size() == 0);
}

TEST_CASE("key: nothing is dropped where that would make no room", "[key]") {
  for (const Overflow act : {Overflow::drop_oldest, Overflow::coalesce}) {
    bool works = false;
    Pumped p;
    auto tight = p.runtime.on("a")
                     .deliver({.attempts = 100, .queue = {.bytes = 1000, .act = act}})
                     .to([&works](const std::string&) {
                       return works ? Status() : wisp::unavailable("no");
                     });
    REQUIRE(p.runtime.emit("a", std::string(700, 'x'), {.key = "a"}).ok());
    p.runtime.pump();
    // That one waits for its retry now, and nothing can take its place.
    REQUIRE(p.runtime.emit("a", std::string(100, 'x'), {.key = "b"}).ok());
    CHECK_FALSE(p.runtime.emit("a", std::string(500, 'x'), {.key = "b"}).ok());
    CHECK(tight.queued() == 1);
    CHECK(p.runtime.emit("a", std::string(180, 'x'), {.key = "b"}).ok());
    CHECK(tight.queued() == 1);
    works = true;
    const wisp::EventStats events = p.settled();
    CHECK(events.done == 2);
    CHECK(events.dropped == 1);
    CHECK((act == Overflow::coalesce ? events.coalesced : events.dropped_oldest) == 1);
  }
}

TEST_CASE("key: a redriven dead letter goes behind what its key has meanwhile", "[key]") {
  std::vector<int> seen;
  Pumped p;
  auto subscription = p.runtime.on("a").to([&seen](int n) {
    seen.push_back(n);
    return n == 0 && seen.size() == 1 ? wisp::invalid_argument("dead") : Status();
  });
  REQUIRE(p.runtime.emit("a", 0, {.key = "k"}).ok());
  CHECK(p.settled().dead == 1);
  REQUIRE(p.runtime.emit("a", 1, {.key = "k"}).ok());
  CHECK(p.runtime.dead_letters().redrive(1) == 1);
  REQUIRE(p.runtime.emit("a", 2, {.key = "k"}).ok());
  p.runtime.pump();
  CHECK(seen == std::vector<int>{0, 1});
  CHECK(p.settled().done == 3);
  CHECK(seen == std::vector<int>{0, 1, 0, 2});
}

// For the thread sanitizer: what the handlers of a key write needs no lock of theirs.
TEST_CASE("key: handlers of one key exclude each other on real threads", "[key]") {
  constexpr int kKeys = 5;
  constexpr int kPublishers = 3;
  constexpr int kEach = 300;
  struct Sent {
    int key;
    int publisher;
    int number;
  };
  struct Seen {
    int last[kPublishers] = {};
    int count = 0;
  };
  std::vector<Seen> posted(kKeys);
  std::vector<Seen> emitted(kKeys);
  const auto handler = [](std::vector<Seen>& all) {
    return [&all](const Sent& sent, wisp::Context& context) -> Status {
      if (sent.number % 50 == 7 && context.attempt() == 1) return wisp::unavailable("again");
      Seen& seen = all[static_cast<std::size_t>(sent.key)];
      ++seen.count;
      int& last = seen.last[sent.publisher];
      const bool ordered = last < sent.number;
      last = sent.number;
      return ordered ? Status() : wisp::invalid_argument("out of order");
    };
  };
  const wisp::Retry retry{.attempts = 2, .first_delay = 1ms};
  const auto post = wisp::function("post", handler(posted), {.retry = retry});
  const auto take = wisp::function("take", handler(emitted), {.retry = retry});
  wisp::Runtime runtime{wisp::Catalogue().add(post).add(take), {.workers = {.max = 4}}};
  auto subscription = runtime.on("a").to(take);
  std::vector<std::thread> publishers;
  for (int publisher = 0; publisher < kPublishers; ++publisher) {
    publishers.emplace_back([&, publisher] {
      for (int number = 1; number <= kEach; ++number) {
        const Sent sent{number % kKeys, publisher, number};
        const std::string key = std::to_string(sent.key);
        if (!runtime.post(post, sent, {.key = key}).ok()) return;
        if (!runtime.emit("a", sent, {.key = key}).ok()) return;
      }
    });
  }
  for (std::thread& each : publishers) each.join();
  CHECK(runtime.stop(20s).status.ok());
  const wisp::EventStats events = runtime.stats().events;
  CHECK(events.accepted == 2 * kPublishers * kEach);
  CHECK(events.done == events.accepted);
  for (const auto* all : {&posted, &emitted}) {
    for (const Seen& seen : *all) CHECK(seen.count == kPublishers * kEach / kKeys);
  }
}
