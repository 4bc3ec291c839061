#include <wisp/service/dead_letters.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "service/pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::DeadLetters;
using wisp::StatusCode;
using wisp::test::check_conserved;
using wisp::test::Pumped;
using wisp::test::says;

struct Crate {
  std::string content;
  double kg;
};
WISP_FIELDS(Crate, content, kg)

wisp::Event event(int n) {
  wisp::Event made;
  made.topic = "t";
  made.payload = wisp::Payload::of(n);
  return made;
}

wisp::DeadLetter letter(int n) {
  return {.event = std::make_shared<const wisp::Event>(event(n)),
          .function = "f",
          .error = wisp::unavailable("{}", n),
          .attempts = n};
}

std::vector<int> numbers(const DeadLetters& letters) {
  std::vector<int> all;
  for (const wisp::DeadLetter& each : letters.list()) all.push_back(*each.event->as<int>());
  return all;
}

}  // namespace

TEST_CASE("dead letters: one keeps its event, function, error and attempts", "[dead_letters]") {
  int attempts = 0;
  const auto load = wisp::function("load",
                                   [&attempts](const Crate& crate) -> wisp::Status {
                                     ++attempts;
                                     return wisp::unavailable("no room for {} kg", crate.kg);
                                   },
                                   {.retry = {.attempts = 3}});
  Pumped p(wisp::Catalogue().add(load));
  const auto id = p.runtime.post(load, {"tea", 40}, {.tenant = "acme"});
  REQUIRE(id.ok());
  CHECK(p.settled().dead == 1);
  CHECK(attempts == 3);
  REQUIRE(p.runtime.dead_letters().size() == 1);
  const wisp::DeadLetter kept = p.runtime.dead_letters().list().front();
  CHECK(kept.event->id == *id);
  CHECK(kept.event->as<Crate>()->content == "tea");
  CHECK(kept.event->lineage.tenant == "acme");
  CHECK(kept.event->lineage.trace == *id);
  CHECK(kept.function == "load");
  CHECK(says(kept.error, "no room for 40 kg"));
  CHECK(kept.attempts == 3);
  CHECK_FALSE(kept.expired);
  CHECK(p.runtime.stats().dead_letters == 1);
  p.runtime.dead_letters().clear();
  CHECK(p.runtime.stats().dead_letters == 0);
}

TEST_CASE("dead letters: redrive delivers the oldest anew, with all attempts, no more than asked",
          "[dead_letters]") {
  bool works = false;
  std::vector<int> done;
  const auto take = wisp::function("take",
                                   [&](int n, wisp::Context& context) -> wisp::Status {
                                     if (!works) return wisp::unavailable("not yet");
                                     CHECK(context.attempt() == 1);
                                     done.push_back(n);
                                     return wisp::Status();
                                   },
                                   {.retry = {.attempts = 2}});
  Pumped p(wisp::Catalogue().add(take));
  DeadLetters& letters = p.runtime.dead_letters();
  for (int n = 0; n < 5; ++n) {
    REQUIRE(p.runtime.post(take, n).ok());
    (void)p.settled();
  }
  CHECK(numbers(letters) == std::vector<int>{0, 1, 2, 3, 4});
  CHECK(letters.redrive(0) == 0);
  CHECK(letters.redrive(2) == 2);
  // It failed again: behind the others.
  CHECK(p.settled().dead == 7);
  CHECK(numbers(letters).size() == 5);
  CHECK(numbers(letters).front() == 2);
  works = true;
  CHECK(letters.redrive(100) == 5);
  CHECK(p.settled().done == 5);
  CHECK(done.size() == 5);
  CHECK(letters.size() == 0);
  CHECK(letters.redrive(100) == 0);
}

TEST_CASE("dead letters: a payload of another type never reaches the handler", "[dead_letters]") {
  Pumped p;
  int ran = 0;
  auto crates = p.runtime.on("dock").to([&ran](const Crate&) { ++ran; });
  REQUIRE(p.runtime.emit("dock", 7).ok());
  CHECK(p.settled().dead == 1);
  CHECK(p.runtime.dead_letters().redrive(1) == 0);
  CHECK(p.settled().accepted == 1);
  CHECK(p.runtime.dead_letters().size() == 1);
  CHECK(ran == 0);
}

TEST_CASE("dead letters: one that is refused stays in its place and holds nobody up",
          "[dead_letters]") {
  Pumped p;
  bool works = false;
  const auto fails = [&works](int) {
    return works ? wisp::Status() : wisp::invalid_argument("no");
  };
  auto ended = p.runtime.on("a").to(fails);
  auto tight = p.runtime.on("b").deliver({.queue = {.count = 1}}).to(fails);
  REQUIRE(p.runtime.emit("a", 1).ok());
  (void)p.settled();
  for (const int n : {2, 3}) {
    REQUIRE(p.runtime.emit("b", n).ok());
    (void)p.settled();
  }
  ended.cancel();
  works = true;
  CHECK(p.runtime.dead_letters().redrive(10) == 1);
  CHECK(numbers(p.runtime.dead_letters()) == std::vector<int>{1, 3});
  CHECK(p.settled().done == 1);
  CHECK(p.runtime.dead_letters().redrive(10) == 1);
  CHECK(p.settled().done == 2);
  (void)p.runtime.stop(0s);
  CHECK(p.runtime.dead_letters().redrive(10) == 0);
  CHECK(numbers(p.runtime.dead_letters()) == std::vector<int>{1});
}

TEST_CASE("dead letters: the oldest makes room, and is counted", "[dead_letters]") {
  DeadLetters letters;
  const auto never = [](const std::shared_ptr<const wisp::Event>&) {
    return wisp::not_found("nobody");
  };
  const int extra = 10;
  const int most = static_cast<int>(DeadLetters::kLettersMax);
  for (int n = 0; n < most + extra; ++n) letters.add(letter(n), never);
  CHECK(letters.size() == DeadLetters::kLettersMax);
  CHECK(letters.forgotten() == static_cast<std::uint64_t>(extra));
  CHECK(numbers(letters).front() == extra);
  CHECK(numbers(letters).back() == most + extra - 1);
  // None was accepted: all are there still, in their order.
  CHECK(letters.redrive(most) == 0);
  CHECK(numbers(letters).front() == extra);
  CHECK(letters.size() == DeadLetters::kLettersMax);
  // Those that come while a redrive asks are newer than those that it puts back.
  DeadLetters busy;
  int again = 0;
  for (int n = 0; n < most; ++n) {
    busy.add(letter(n), [&](const std::shared_ptr<const wisp::Event>&) {
      if (again++ < extra) busy.add(letter(most + again), never);
      return wisp::unavailable("later");
    });
  }
  CHECK(busy.redrive(most) == 0);
  CHECK(busy.size() == DeadLetters::kLettersMax);
  CHECK(busy.forgotten() == static_cast<std::uint64_t>(extra));
  CHECK(numbers(busy).back() == most + extra);
  CHECK(numbers(busy).front() == extra);
}

TEST_CASE("dead letters: they are bounded in bytes too", "[dead_letters]") {
  const auto large = [](int n, std::size_t bytes) {
    wisp::DeadLetter made = letter(n);
    wisp::Event whole = event(n);
    whole.payload = wisp::Payload::of(std::string(bytes, 'x'));
    made.event = std::make_shared<const wisp::Event>(std::move(whole));
    return made;
  };
  const auto attempts = [](const DeadLetters& letters) {
    std::vector<int> all;
    for (const wisp::DeadLetter& each : letters.list()) all.push_back(each.attempts);
    return all;
  };
  const std::size_t third = DeadLetters::kBytesMax / 3 - 1000;
  DeadLetters letters;
  const auto never = [](const std::shared_ptr<const wisp::Event>&) {
    return wisp::not_found("nobody");
  };
  for (int n = 0; n < 5; ++n) letters.add(large(n, third), never);
  CHECK(attempts(letters) == std::vector<int>{2, 3, 4});
  CHECK(letters.forgotten() == 2);
  letters.add(large(5, 2 * third), never);
  CHECK(attempts(letters) == std::vector<int>{4, 5});
  CHECK(letters.redrive(10) == 0);
  CHECK(attempts(letters) == std::vector<int>{4, 5});
  // One that is larger than all of them may be is kept alone.
  letters.add(large(6, 4 * third), never);
  CHECK(attempts(letters) == std::vector<int>{6});
  CHECK(letters.forgotten() == 6);
  letters.clear();
  for (int n = 0; n < 3; ++n) letters.add(large(n, third), never);
  CHECK(letters.forgotten() == 6);
  // What comes while a redrive asks takes the room of the oldest that it puts back.
  letters.clear();
  letters.add(large(0, third), [&](const std::shared_ptr<const wisp::Event>&) {
    letters.add(large(7, 2 * third), never);
    return wisp::unavailable("later");
  });
  letters.add(large(1, third), never);
  CHECK(letters.redrive(10) == 0);
  CHECK(attempts(letters) == std::vector<int>{1, 7});
  CHECK(letters.forgotten() == 7);
}

TEST_CASE("dead letters: a delivery that grows too old is one, as expired", "[dead_letters]") {
  int attempts = 0;
  const auto slow = wisp::function(
      "slow",
      [&attempts]() -> wisp::Status {
        ++attempts;
        return wisp::unavailable("not today");
      },
      {.retry = {.attempts = 1000, .first_delay = wisp::Duration(2h), .max_delay = 2h}});
  Pumped p(wisp::Catalogue().add(slow));
  REQUIRE(p.runtime.post(slow).ok());
  const wisp::Time start = p.clock.now();
  CHECK(p.settled(1min).expired == 1);
  CHECK(p.clock.now() - start <= wisp::kAgeMax + 1min);
  CHECK(attempts > 1);
  REQUIRE(p.runtime.dead_letters().size() == 1);
  const wisp::DeadLetter kept = p.runtime.dead_letters().list().front();
  CHECK(kept.expired);
  CHECK(kept.attempts == attempts);
  CHECK(says(kept.error, "not today"));
}

TEST_CASE("dead letters: a retry whose turn under a rate is too late expires when that comes",
          "[dead_letters]") {
  int attempts = 0;
  const auto slow = wisp::function("slow",
                                   [&attempts]() -> wisp::Status {
                                     ++attempts;
                                     return wisp::unavailable("not today");
                                   },
                                   {.limits = {.per_second = wisp::kRateMin}});
  Pumped p(wisp::Catalogue().add(slow));
  REQUIRE(p.runtime.post(slow).ok());
  const wisp::Time start = p.clock.now();
  CHECK(p.settled(1h).expired == 1);
  CHECK(p.clock.now() - start > wisp::kAgeMax);
  CHECK(attempts == 1);
  // Its turn was not used, or is over.
  p.clock.advance(wisp::Duration(24h * 12));
  REQUIRE(p.runtime.post(slow).ok());
  p.runtime.pump();
  CHECK(attempts == 2);
}

TEST_CASE("dead letters: a topic that nobody listens to, or that fails in a circle, ends here",
          "[dead_letters]") {
  Pumped p;
  int ran = 0;
  auto fails = p.runtime.on("work").deliver({.dead_letter = "failed"}).to([](int) {
    return wisp::invalid_argument("no");
  });
  REQUIRE(p.runtime.emit("work", 1).ok());
  CHECK(p.settled().dead == 1);
  CHECK(p.runtime.dead_letters().size() == 1);
  p.runtime.dead_letters().clear();
  auto circle =
      p.runtime.on("failed").deliver({.dead_letter = "failed"}).to([&ran](const wisp::Event&) {
        ++ran;
        return wisp::invalid_argument("neither here");
      });
  REQUIRE(p.runtime.emit("work", 2).ok());
  (void)p.settled();
  CHECK(ran == wisp::kHopsMax);
  CHECK(p.runtime.dead_letters().size() == 1);
}

TEST_CASE("dead letters: threads fail, redrive and clear at once", "[dead_letters]") {
  wisp::Runtime runtime{{.workers = {.max = 4}}};
  std::atomic<int> runs{0};
  auto half = runtime.on("a").to(
      [&runs](int) { return ++runs % 2 == 0 ? wisp::Status() : wisp::invalid_argument("odd"); });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        CHECK(runtime.emit("a", i).ok());
        if (t % 2 == 0) (void)runtime.dead_letters().redrive(3);
        if (t == 3 && i % 100 == 0) runtime.dead_letters().clear();
        (void)runtime.dead_letters().list();
      }
    });
  }
  for (std::thread& each : threads) each.join();
  CHECK(runtime.stop(60s).status.ok());
  check_conserved(runtime.stats().events);
  CHECK(runtime.stats().events.accepted >= 2000);
}
