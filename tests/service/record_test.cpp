#include <wisp/service/record.hpp>

#include <atomic>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "service/pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::Outcome;
using wisp::Record;
using wisp::Step;
using wisp::test::Pumped;

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// What an observer saw, in words: "accepted", "began 1", "ended 1 error", ...
struct Observed {
  wisp::RecordSink sink() {
    return [this](const Record& record) {
      std::string line(to_string(record.step));
      if (record.attempt > 0) line += " " + std::to_string(record.attempt);
      if (record.step == Step::ended) line += " " + std::string(to_string(record.outcome));
      lines.push_back(line);
      functions.emplace_back(record.function);
      ids.push_back(record.id);
    };
  }
  std::vector<std::string> lines;
  std::vector<std::string> functions;
  std::vector<wisp::EventId> ids;
};

using Lines = std::vector<std::string>;

// Fails as often as `failures` says.
auto flaky(int& failures) {
  return wisp::function("flaky",
                        [&failures](int) -> wisp::Status {
                          if (failures-- > 0) return wisp::unavailable("not yet");
                          return wisp::Status();
                        },
                        {.retry = {.attempts = 3}});
}

}  // namespace

TEST_CASE("observe: a post's way from acceptance to its end", "[record]") {
  int failures = 1;
  const auto function = flaky(failures);
  Pumped p(wisp::Catalogue().add(function));
  Observed seen;
  {
    const auto watch = p.runtime.observe(seen.sink());
    const auto id = p.runtime.post(function, 7);
    REQUIRE(id.ok());
    p.settled();
    CHECK(seen.lines == Lines{"accepted", "began 1", "ended 1 error", "retrying 1", "began 2",
                              "ended 2 ok", "done 2"});
    for (const wisp::EventId each : seen.ids) CHECK(each == *id);
    for (const std::string& each : seen.functions) CHECK(each == "flaky");
  }
  seen.lines.clear();
  CHECK(p.runtime.post(function, 7).ok());
  p.settled();
  CHECK(seen.lines.empty());
}

TEST_CASE("observe: deliveries that are queued, synchronous, of a wrong type", "[record]") {
  Pumped p;
  Observed seen;
  const auto watch = p.runtime.observe(seen.sink());
  auto queued = p.runtime.on("a").to([](int) {});
  auto synchronous =
      p.runtime.on("a").deliver({.synchronous = true}).to([](int) { return wisp::internal("no"); });
  auto text = p.runtime.on("a").to([](const std::string&) {});
  CHECK(p.runtime.emit("a", 1).ok());
  CHECK(seen.lines ==
        Lines{"accepted", "accepted", "dead", "accepted", "began 1", "ended 1 error", "dead 1"});
  seen.lines.clear();
  p.settled();
  CHECK(seen.lines == Lines{"began 1", "ended 1 ok", "done 1"});
}

TEST_CASE("observe: calls, direct and started, and those that are refused", "[record]") {
  int failures = 0;
  const auto function = flaky(failures);
  std::optional<wisp::Status> inner;
  const auto narrow = wisp::function("narrow",
                                     [&inner](int depth, wisp::Context& context) {
                                       if (depth > 0)
                                         inner = context.runtime().call<void>("narrow", depth - 1);
                                     },
                                     {.limits = {.concurrency = 1}});
  Pumped p(wisp::Catalogue().add(function).add(narrow));
  Observed seen;
  const auto watch = p.runtime.observe(seen.sink());
  CHECK(p.runtime.call(function, 1).ok());
  CHECK(seen.lines == Lines{"began 1", "ended 1 ok"});

  seen.lines.clear();
  auto pending = p.runtime.start(function, 1);
  CHECK(pending.wait().ok());
  CHECK(seen.lines == Lines{"accepted", "began 1", "ended 1 ok", "done 1"});
  CHECK(seen.ids.back() == pending.id());
  CHECK(contains(p.runtime.explain(pending.id()), "done in 'flaky' after 1 attempts"));

  seen.lines.clear();
  CHECK(p.runtime.call(narrow, 1).ok());
  REQUIRE(inner.has_value());
  CHECK(inner->code() == wisp::StatusCode::kResourceExhausted);
  CHECK(seen.lines == Lines{"began 1", "refused", "ended 1 ok"});

  seen.lines.clear();
  const std::string long_key(wisp::kIdempotencyKeyMax + 1, 'k');
  CHECK_FALSE(p.runtime.start(function, 1, {.idempotency_key = long_key}).wait().ok());
  const auto unknown = wisp::function("unknown", [](int) {});
  CHECK_FALSE(p.runtime.start(unknown, 1, {.idempotency_key = "a"}).wait().ok());
  CHECK(seen.lines == Lines{"refused", "refused"});

  seen.lines.clear();
  auto cancelled = p.runtime.start(function, 1);
  cancelled.cancel();
  CHECK(seen.lines == Lines{"accepted", "cancelled"});
}

TEST_CASE("observe: what a full queue drops and refuses", "[record]") {
  Pumped p;
  Observed seen;
  const auto watch = p.runtime.observe(seen.sink());
  auto oldest = p.runtime.on("o")
                    .deliver({.queue = {.count = 1, .act = wisp::Overflow::drop_oldest}})
                    .to([](int) {});
  CHECK(p.runtime.emit("o", 1).ok());
  CHECK(p.runtime.emit("o", 2).ok());
  CHECK(seen.lines == Lines{"accepted", "dropped", "accepted"});
  seen.lines.clear();
  auto refusing = p.runtime.on("r").deliver({.queue = {.count = 1}}).to([](int) {});
  CHECK(p.runtime.emit("r", 1).ok());
  CHECK_FALSE(p.runtime.emit("r", 2).ok());
  CHECK(seen.lines == Lines{"accepted", "refused"});
}

TEST_CASE("observe: a sink may end its own observation, and publish", "[record]") {
  Pumped p;
  int seen = 0;
  std::optional<wisp::Observation> watch;
  watch = p.runtime.observe([&](const Record&) {
    if (++seen > 1) return;
    CHECK(p.runtime.emit("nobody.listens", 1).ok());
    watch.reset();
  });
  const auto on = p.runtime.on("a").to([](int) {});
  CHECK(p.runtime.emit("a", 1).ok());
  p.settled();
  CHECK(seen == 1);
}

TEST_CASE("observe: the seventeenth observer gets nothing, and a line in the log", "[record]") {
  int errors = 0;
  Pumped p{{.log = [&errors](const wisp::LogRecord& line) {
    errors += line.level == wisp::LogLevel::error ? 1 : 0;
  }}};
  int first = 0;
  int last = 0;
  std::vector<wisp::Observation> all;
  for (int i = 0; i < 16; ++i)
    all.push_back(p.runtime.observe([&first](const Record&) { ++first; }));
  CHECK(errors == 0);
  CHECK(all.back().status().ok());
  const auto one_more = p.runtime.observe([&last](const Record&) { ++last; });
  CHECK(errors == 1);
  CHECK(wisp::message(one_more.status()) == "a runtime has at most 16 observers");
  CHECK(p.runtime.call(wisp::named<void(int)>("missing"), 1).code() == wisp::StatusCode::kNotFound);
  auto on = p.runtime.on("a").to([](int) {});
  CHECK(p.runtime.emit("a", 1).ok());
  p.settled();
  CHECK(first == 4 * 16);
  CHECK(last == 0);
}

TEST_CASE("observe: a sink may end the subscription whose delivery it sees", "[record]") {
  Pumped p;
  std::optional<wisp::Subscription> on;
  int ran = 0;
  on = p.runtime.on("a").deliver({.synchronous = true}).to([&ran](int) { ++ran; });
  const auto watch = p.runtime.observe([&on](const Record& record) {
    if (record.step == Step::accepted && on) std::exchange(on, std::nullopt)->cancel();
  });
  CHECK(p.runtime.emit("a", 1).ok());
  CHECK(p.runtime.emit("a", 1).ok());
  CHECK(ran <= 1);
  p.settled();
}

TEST_CASE("observe: a sink may stop the runtime, at any step", "[record]") {
  for (const Step when : {Step::accepted, Step::began, Step::ended, Step::retrying, Step::done}) {
    INFO(to_string(when));
    int failures = 1;
    const auto function = flaky(failures);
    wisp::ManualClock clock;
    wisp::Runtime runtime{wisp::Catalogue().add(function),
                          {.threads = wisp::Threads::none, .clock = &clock}};
    const auto watch = runtime.observe([&](const Record& record) {
      if (record.step == when) (void)runtime.stop(1h);
    });
    (void)runtime.post(function, 1);
    auto pending = runtime.start(function, 1);
    for (int i = 0; i < 20; ++i) {
      (void)runtime.pump();
      clock.advance(1s);
    }
    (void)runtime.stop(1s);
    wisp::test::check_conserved(runtime.stats().events);
    CHECK(pending.ready());
  }
}

TEST_CASE("explain: a synchronous delivery that failed is counted and remembered", "[record]") {
  Pumped p;
  const auto on = p.runtime.on("a").deliver({.synchronous = true}).to([](int n) {
    if (n > 0) throw std::runtime_error("broken");
  });
  CHECK(p.runtime.emit("a", 0).ok());
  const auto bad = p.runtime.emit("a", 1);
  CHECK(contains(p.runtime.explain(*bad), "broken"));
  const wisp::FunctionStats stats = p.runtime.stats().functions.back();
  CHECK(stats.dead == 1);
  CHECK(stats.threw == 1);
}

TEST_CASE("explain: what went wrong is remembered without an observer", "[record]") {
  int failures = 3;
  const auto function = flaky(failures);
  Pumped p(wisp::Catalogue().add(function));
  const auto bad = p.runtime.post(function, 1);
  p.settled();
  const std::string story = p.runtime.explain(*bad);
  CHECK(contains(story, "attempt 1 in 'flaky' failed, the next is due in"));
  CHECK(contains(story, "UNAVAILABLE: not yet"));
  CHECK(contains(story, "dead in 'flaky' after 3 attempts"));

  const auto good = p.runtime.post(function, 1);
  p.settled();
  CHECK(contains(p.runtime.explain(*good), "nothing went wrong"));
  CHECK(contains(p.runtime.explain({}), "the empty id"));
  CHECK(contains(p.runtime.explain({1, 1}), "not of this runtime"));
  CHECK(contains(p.runtime.explain({good->origin, good->sequence + 1'000'000}), "not been given"));
}

TEST_CASE("explain: says when it has forgotten", "[record]") {
  int failures = 1'000'000;
  const auto function = flaky(failures);
  Pumped p(wisp::Catalogue().add(function));
  const auto first = p.runtime.post(function, 1);
  p.settled();
  CHECK(contains(p.runtime.explain(*first), "dead"));
  for (int i = 0; i < 1'400; ++i) CHECK(p.runtime.post(function, 1).ok());
  p.settled();
  CHECK_FALSE(contains(p.runtime.explain(*first), "dead"));
  CHECK(contains(p.runtime.explain(*first), "the last 4096 steps are remembered, 107 before"));
}

TEST_CASE("stats: of each function what was accepted, waits, failed, and how", "[record]") {
  int failures = 2;
  const auto function = flaky(failures);
  const auto throwing = wisp::function("throwing", [](int) { throw std::runtime_error("x"); },
                                       {.retry = {.attempts = 2}});
  Pumped p(wisp::Catalogue().add(function).add(throwing));
  const auto of = [&p](std::string_view name) {
    for (const wisp::FunctionStats& each : p.runtime.stats().functions)
      if (each.name == name) return each;
    return wisp::FunctionStats{};
  };
  CHECK(p.runtime.post(function, 1).ok());
  CHECK(p.runtime.post(function, 1).ok());
  CHECK(of("flaky").queued == 2);
  CHECK(of("flaky").accepted == 2);
  CHECK(of("flaky").calls == 0);
  p.settled();
  CHECK(of("flaky").queued == 0);
  CHECK(of("flaky").accepted == 2);
  CHECK(of("flaky").retries == 2);
  CHECK(of("flaky").errors == 2);
  CHECK(of("flaky").dead == 0);
  CHECK(p.runtime.post(throwing, 1).ok());
  p.settled();
  CHECK_FALSE(p.runtime.call(throwing, 1).ok());
  CHECK(of("throwing").threw == 3);
  CHECK(of("throwing").dead == 1);
  CHECK(of("throwing").retries == 1);
}

TEST_CASE("observe: on a pool each delivery begins and ends once for each observer", "[record]") {
  std::atomic<int> flips{0};
  const auto sometimes = wisp::function("sometimes",
                                        [&flips](int) -> wisp::Status {
                                          if (flips.fetch_add(1) % 3 == 0)
                                            return wisp::unavailable("not now");
                                          return wisp::Status();
                                        },
                                        {.retry = {.attempts = 9, .first_delay = 10us}});
  wisp::Runtime runtime{wisp::Catalogue().add(sometimes), {.workers = {.max = 4}}};
  wisp::Mutex mutex;
  std::map<wisp::EventId, std::pair<int, int>> lives;  // accepted, ended
  auto watch = runtime.observe([&](const Record& record) {
    const wisp::MutexLock lock(mutex);
    auto& [accepted, over] = lives[record.id];
    if (record.step == Step::accepted) ++accepted;
    over += record.step == Step::done || record.step == Step::dead || record.step == Step::failed;
  });
  auto on = runtime.on("a").to(sometimes);
  std::vector<std::thread> publishers;
  for (int t = 0; t < 3; ++t) {
    publishers.emplace_back([&runtime, &sometimes] {
      for (int i = 0; i < 200; ++i) {
        const auto other = runtime.observe([](const Record&) {});
        CHECK(runtime.post(sometimes, i).ok());
        CHECK(runtime.emit("a", i).ok());
        auto pending = runtime.start(sometimes, i);
        if (i % 2 == 0) (void)pending.wait();
      }
    });
  }
  for (std::thread& each : publishers) each.join();
  CHECK(runtime.stop(60s).status.ok());
  watch.end();
  CHECK(lives.size() == 1'800);
  for (const auto& [id, life] : lives) {
    if (life != std::pair(1, 1)) FAIL_CHECK(runtime.explain(id));
  }
}
