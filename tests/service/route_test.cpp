#include <wisp/service/detail/route.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "seeds.hpp"
#include "service/pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::Overflow;
using wisp::Status;
using wisp::StatusCode;
using wisp::test::check_conserved;
using wisp::test::eventually;
using wisp::test::Gate;
using wisp::test::Pumped;
using wisp::test::says;

// A pool that refuses as the test says, and starts no thread for a timer if told so.
class Refusing final : public wisp::Executor {
 public:
  Status submit(wisp::Task& task) override {
    if (Status why = refusal ? refusal() : Status(); !why.ok()) return why;
    return pool_.submit(task);
  }
  bool begin_blocking() override { return pool_.begin_blocking(); }
  void end_blocking() override { pool_.end_blocking(); }
  bool on_executor_thread() const override { return pool_.on_executor_thread(); }
  Status start_thread(std::string_view name, wisp::Task body) override {
    if (no_threads) return wisp::unavailable("no thread for {}", name);
    return Executor::start_thread(name, std::move(body));
  }

  std::function<Status()> refusal;  // any thread
  std::atomic<bool> no_threads{false};

 private:
  wisp::Pool pool_{{.workers = {.max = 2}}};
};

}  // namespace

TEST_CASE("route: a delivery that blocks does not hold up the next one", "[route]") {
  Gate gate;
  std::atomic<int> passed{0};
  const auto work = wisp::function("work", [&](bool blocks) {
    if (blocks) gate.pass();
    else ++passed;
  });
  wisp::Runtime runtime{wisp::Catalogue().add(work), {.workers = {.max = 4}}};
  const bool posted = GENERATE(true, false);
  const auto subscription = runtime.on("work").to(work);
  const auto send = [&](bool blocks) {
    return posted ? runtime.post(work, blocks) : runtime.emit("work", blocks);
  };
  REQUIRE(send(true).ok());
  gate.await(1);
  REQUIRE(send(false).ok());
  CHECK(eventually([&] { return passed == 1; }));
  gate.open();
}

TEST_CASE("route: each overflow act of the posts of a function does what it says", "[route]") {
  for (const Overflow act :
       {Overflow::reject, Overflow::block, Overflow::drop_oldest, Overflow::drop_newest}) {
    std::vector<int> seen;
    const auto take = wisp::function("take", [&seen](int n) { seen.push_back(n); });
    Pumped p(wisp::Catalogue().add(take), {.queue = {.count = 3, .act = act}});
    int refused = 0;
    for (int i = 0; i < 5; ++i) {
      const Status posted = p.runtime.post(take, i).status();
      if (posted.ok()) continue;
      ++refused;
      CHECK(posted.code() == StatusCode::kResourceExhausted);
      CHECK(wisp::reason_of(posted) == wisp::Reason::full);
      CHECK((says(posted, "'take'") && says(posted, "3")));
    }
    const wisp::EventStats events = p.settled();
    const bool refuses = act == Overflow::reject || act == Overflow::block;
    CHECK(refused == (refuses ? 2 : 0));
    CHECK(events.refused == (refuses ? 2U : 0U));
    CHECK(events.dropped == (refuses ? 0U : 2U));
    CHECK(events.dead == events.dropped);
    CHECK(seen ==
          (act == Overflow::drop_oldest ? std::vector<int>{2, 3, 4} : std::vector<int>{0, 1, 2}));
  }
}

TEST_CASE("route: what waits for a retry keeps its place in the queue", "[route]") {
  bool works = false;
  Pumped p;
  auto tight =
      p.runtime.on("a").deliver({.attempts = 100, .queue = {.count = 3}}).to([&works](int) {
        return works ? Status() : wisp::unavailable("no");
      });
  for (int i = 0; i < 3; ++i) REQUIRE(p.runtime.emit("a", i).ok());
  p.runtime.pump();
  CHECK(tight.queued() == 0);
  CHECK(wisp::reason_of(p.runtime.emit("a", 3).status()) == wisp::Reason::full);
  works = true;
  CHECK(p.settled().done == 3);
  CHECK(p.runtime.emit("a", 4).ok());
  CHECK(p.settled().done == 4);
}

TEST_CASE("route: a publisher that blocks goes on when there is room, and when the route ends",
          "[route]") {
  const bool ends = GENERATE(false, true);
  Gate gate;
  wisp::Runtime runtime{{.workers = {.max = 1}}};
  auto slow =
      runtime.on("a").deliver({.queue = {.count = 1, .act = Overflow::block}}).to([&gate](int) {
        gate.pass();
      });
  REQUIRE(runtime.emit("a", 1).ok());
  gate.await(1);
  REQUIRE(runtime.emit("a", 2).ok());
  std::atomic<int> through{0};
  std::vector<std::thread> publishers;
  for (int i = 0; i < 3; ++i) {
    publishers.emplace_back([&] {
      CHECK(runtime.emit("a", 3).ok());
      ++through;
    });
  }
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();
  CHECK(through == 0);
  std::thread ending;
  if (ends) {
    ending = std::thread([&slow] { slow.cancel(); });
    CHECK(eventually([&] { return through == 3; }));
  }
  gate.open();
  for (std::thread& each : publishers) each.join();
  if (ending.joinable()) ending.join();
  CHECK(runtime.stop(60s).status.ok());
  const wisp::EventStats events = runtime.stats().events;
  check_conserved(events);
  CHECK(events.done == (ends ? 1U : 5U));
}

TEST_CASE("route: a publisher blocks no longer than its deadline", "[route]") {
  wisp::ManualClock clock;
  Gate gate;
  const auto slow = wisp::function("slow", [&gate](int) { gate.pass(); });
  wisp::Runtime runtime{
      wisp::Catalogue().add(slow),
      {.workers = {.max = 1}, .queue = {.count = 1, .act = Overflow::block}, .clock = &clock}};
  REQUIRE(runtime.post(slow, 1).ok());
  gate.await(1);
  REQUIRE(runtime.post(slow, 2).ok());
  std::atomic<bool> over{false};
  const wisp::Time start = clock.now();
  std::thread publisher([&] {
    const Status posted = runtime.post(slow, 3, {.timeout = 5s}).status();
    CHECK(wisp::reason_of(posted) == wisp::Reason::full);
    CHECK(clock.now() - start >= 5s);
    over = true;
  });
  CHECK(eventually([&] {
    clock.advance(100ms);
    return over.load();
  }));
  publisher.join();
  gate.open();
  CHECK(eventually([&] { return runtime.stats().events.done == 2; }));
}

TEST_CASE("route: a handler that fills its own queue blocks until a substitute empties it",
          "[route]") {
  std::atomic<int> ran{0};
  wisp::Runtime runtime{{.workers = {.max = 1}}};
  auto fills = runtime.on("a")
                   .deliver({.queue = {.count = 2, .act = Overflow::block}})
                   .to([&](const int& n, wisp::Context& context) {
                     ++ran;
                     for (int i = 0; n == 0 && i < 50; ++i)
                       CHECK(context.runtime().emit("a", 1).ok());
                   });
  REQUIRE(runtime.emit("a", 0).ok());
  CHECK(runtime.stop(20s).status.ok());
  CHECK(ran == 51);
}

TEST_CASE("route: a serial one never runs two at once, whatever its retries", "[route]") {
  for (int seed = 0; seed < wisp::test::test_seeds(); ++seed) {
    CAPTURE(seed);
    std::atomic<int> inside{0};
    std::atomic<int> overlaps{0};
    std::atomic<unsigned> calls{static_cast<unsigned>(seed)};
    // Its retries come at once: while the attempt before is still on its way out.
    const auto step = wisp::function("step",
                                     [&](int) -> Status {
                                       if (inside.fetch_add(1) != 0) ++overlaps;
                                       const bool fails = calls++ % 2 == 0;
                                       inside.fetch_sub(1);
                                       return fails ? wisp::unavailable("again") : Status();
                                     },
                                     {.retry = {.attempts = 50, .first_delay = 0s}});
    wisp::Runtime runtime{wisp::Catalogue().add(step), {.workers = {.max = 4}}};
    auto serial = runtime.on("a").deliver({.serial = true}).to(step);
    for (int i = 0; i < 200; ++i) REQUIRE(runtime.emit("a", i).ok());
    CHECK(runtime.stop(60s).status.ok());
    CHECK(overlaps == 0);
    CHECK(runtime.stats().events.done == 200);
  }
}

TEST_CASE("route: an executor that refuses for a while loses nothing", "[route]") {
  const bool full = GENERATE(false, true);
  std::atomic<int> left{20};
  std::atomic<int> ran{0};
  Refusing executor;
  executor.refusal = [&left, full] {
    if (left-- <= 0) return Status();
    return full ? wisp::resource_exhausted("full") : wisp::unavailable("no thread");
  };
  const auto count = wisp::function("count", [&ran](int) { ++ran; });
  wisp::Runtime runtime{wisp::Catalogue().add(count), {.executor = &executor}};
  for (int i = 0; i < 10; ++i) REQUIRE(runtime.post(count, i).ok());
  CHECK(eventually([&] { return ran == 10; }));
  REQUIRE(runtime.post(count, 10).ok());
  CHECK(runtime.stop(20s).status.ok());
  CHECK(runtime.stats().events.done == 11);
}

TEST_CASE("route: a call that the executor refuses says why", "[route]") {
  Refusing executor;
  const auto count = wisp::function("count", [](int n) { return n; });
  wisp::Runtime runtime{wisp::Catalogue().add(count), {.executor = &executor}};
  executor.refusal = [] { return wisp::unavailable("no thread"); };
  auto refused = runtime.start(count, 1);
  CHECK(refused.ready());
  CHECK(says(refused.wait().status(), "no thread"));
  CHECK_FALSE(wisp::reason_of(refused.wait().status()).has_value());
  CHECK(refused.receipt().attempts == 0);
  executor.refusal = [] { return wisp::resource_exhausted("full (3)"); };
  auto full = runtime.start(count, 1);
  CHECK(wisp::reason_of(full.wait().status()) == wisp::Reason::full);
  executor.refusal = nullptr;
  CHECK(*runtime.start(count, 2).wait() == 2);
  CHECK(runtime.stats().queued == 0);
}

TEST_CASE("route: an executor that has closed cancels what is queued", "[route]") {
  Refusing executor;
  executor.refusal = [] {
    return wisp::refused(StatusCode::kUnavailable, wisp::Reason::stopped, "closed");
  };
  wisp::Runtime runtime{{.executor = &executor}};
  auto nobody = runtime.on("a").to([](int) {});
  CHECK(runtime.emit("a", 1).ok());
  CHECK(runtime.stats().events.cancelled == 1);
  CHECK(runtime.emit("a", 1).ok());
  CHECK(runtime.stop(0s).status.ok());
  check_conserved(runtime.stats().events);
}

TEST_CASE("route: a retry without a timer ends with the last error", "[route]") {
  Refusing executor;
  executor.no_threads = true;
  const auto fails =
      wisp::function("fails", [](int n) -> Status { return wisp::unavailable("no {}", n); },
                     {.retry = {.attempts = 5}, .pool_only = true});
  wisp::Runtime runtime{wisp::Catalogue().add(fails), {.executor = &executor}};
  auto pending = runtime.start(fails, 1);
  CHECK(says(pending.wait(), "no 1"));
  CHECK(pending.receipt().outcome == wisp::Outcome::error);
  CHECK(pending.receipt().attempts == 1);
  REQUIRE(runtime.post(fails, 2).ok());
  CHECK(eventually([&] { return runtime.stats().events.dead == 1; }));
  REQUIRE(runtime.dead_letters().size() == 1);
  CHECK(says(runtime.dead_letters().list().front().error, "no 2"));
  CHECK(runtime.dead_letters().list().front().attempts == 1);
}

TEST_CASE("route: events wait for the function's limit, in their order", "[route]") {
  Gate gate;
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<int> ran{0};
  const auto narrow = wisp::function("narrow",
                                     [&](int) {
                                       const int now = ++inside;
                                       if (now > most) most = now;
                                       if (ran++ == 0) gate.pass();
                                       --inside;
                                     },
                                     {.limits = {.concurrency = 1}});
  wisp::Runtime runtime{wisp::Catalogue().add(narrow), {.workers = {.max = 4}}};
  auto subscription = runtime.on("a").to(narrow);
  REQUIRE(runtime.post(narrow, 0).ok());
  gate.await(1);
  for (int i = 1; i <= 100; ++i) {
    REQUIRE(runtime.post(narrow, i).ok());
    REQUIRE(runtime.emit("a", i).ok());
  }
  CHECK(wisp::reason_of(runtime.call(narrow, 0)) == wisp::Reason::limit);
  CHECK(wisp::reason_of(runtime.start(narrow, 0).wait()) == wisp::Reason::limit);
  gate.open();
  CHECK(runtime.stop(60s).status.ok());
  CHECK(runtime.stats().events.done == 201);
  CHECK(most == 1);
}

TEST_CASE("route: what waits for the function's limit ends with the runtime", "[route]") {
  const int before = wisp::test::threads_at_rest();
  Gate gate;
  const auto narrow =
      wisp::function("narrow", [&gate](int) { gate.pass(); }, {.limits = {.concurrency = 1}});
  std::optional<wisp::Runtime> runtime;
  runtime.emplace(wisp::Catalogue().add(narrow), wisp::RuntimeOptions{.workers = {.max = 4}});
  for (int i = 0; i < 20; ++i) REQUIRE(runtime->post(narrow, i).ok());
  gate.await(1);
  // The handler that holds the only slot never returns in time.
  const wisp::Stopped stopped = runtime->stop(0s);
  CHECK(stopped.abandoned.size() == 20);
  CHECK(std::count_if(stopped.abandoned.begin(), stopped.abandoned.end(),
                      [](const wisp::Abandoned& each) { return each.state == "running"; }) == 1);
  CHECK(runtime->stats().events.cancelled == 19);
  runtime.reset();
  gate.open();
  CHECK(eventually([&] { return wisp::test::threads() == before; }));
}
