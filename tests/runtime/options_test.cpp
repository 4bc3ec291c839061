#include <wisp/runtime.hpp>

#include <string>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"

namespace {

using namespace wisp::literals;
using wisp::StatusCode;

bool names(const wisp::Status& status, std::string_view text) {
  return wisp::message(status).find(text) != std::string_view::npos;
}

// Born stopped: status() says why, and every verb refuses and says it again.
void check_born_stopped(wisp::Runtime& runtime, std::string_view why) {
  INFO(wisp::to_string(runtime.status()));
  REQUIRE_FALSE(runtime.status().ok());
  CHECK(names(runtime.status(), why));
  const auto f = wisp::function("f", [](int n) { return n; });
  for (const wisp::Status& each :
       {runtime.call(f, 1).status(), runtime.start(f, 1).wait().status(),
        runtime.post(f, 1).status(), runtime.emit("a", 1).status(),
        runtime.on("a").to([](int) {}).status(), runtime.after(1s).run([] {}).status()}) {
    CHECK(each.code() == StatusCode::kUnavailable);
    CHECK(wisp::reason_of(each) == wisp::Reason::stopped);
    CHECK(names(each, why));
  }
  CHECK(runtime.bill(1h).lines.empty());
  CHECK(runtime.stats().workers.peak == 0);
  CHECK(runtime.stop(1s).status.ok());
}

}  // namespace

TEST_CASE("options: bad functions leave a runtime born stopped, saying which and where",
          "[options]") {
  const auto born = [](const wisp::Catalogue& functions, std::string_view why) {
    wisp::Runtime runtime{functions};
    check_born_stopped(runtime, why);
    CHECK(names(runtime.status(), "options_test.cpp:"));
  };
  const auto f = [](int n) { return n; };
  const auto of = [&f](std::string_view name, wisp::FunctionOptions options = {}) {
    return wisp::Catalogue().add(wisp::function(name, f, options));
  };
  born(of("twice").add(wisp::function("twice", f)), "'twice' is declared twice");
  born(of("Twice"), "Twice");
  born(of(""), "name");
  born(of("ends."), "ends.");
  born(of("late", {.timeout = -1ns}), "late");
  born(of("never", {.retry = {.attempts = 0}}), "attempts is 0");
  born(of("often", {.retry = {.attempts = 1001}}), "1000");
  born(of("back", {.retry = {.first_delay = -1s}}), "delay");
  born(of("few", {.limits = {.concurrency = -1}}), "concurrency");
  born(of("kept", {.limits = {.reserved = -1}}), "reserved");
  born(of("rate", {.limits = {.per_second = -5}}), "per_second");
  born(of("tiny", {.memory_mb = 0}), "memory_mb");
}

TEST_CASE("options: bad options of a runtime are named", "[options]") {
  const auto born = [](wisp::RuntimeOptions options, std::string_view why) {
    wisp::Runtime runtime{std::move(options)};
    check_born_stopped(runtime, why);
  };
  born({.workers = {.max = 0}}, "workers.max is 0");
  born({.workers = {.min = 3, .max = 2}}, "workers.min is 3");
  born({.workers = {.keep_alive = -1s}}, "keep_alive");
  born({.queue = {.count = 0}}, "queue.count is 0");
  born({.queue = {.bytes = 0}}, "queue.bytes is 0");
  wisp::ManualExecutor executor{wisp::Clock::system()};
  born({.threads = wisp::Threads::none, .executor = &executor}, "threads");
  int store = 0;
  born({.store = reinterpret_cast<wisp::Store*>(&store)}, "store");
}

TEST_CASE("options: expected names are checked, at start and on request", "[options]") {
  const auto here = wisp::function("here", [](int n) { return n; });
  wisp::Runtime runtime{wisp::Catalogue().add(here)};
  CHECK(runtime.expect({"here"}).ok());
  const wisp::Status missing = runtime.expect({"here", "gone", "lost"});
  CHECK(missing.code() == StatusCode::kNotFound);
  CHECK((names(missing, "'gone'") && names(missing, "'lost'") && !names(missing, "'here'")));
  // Later additions count, and duplicates are refused then too.
  CHECK(runtime.registry().add(wisp::function("gone", [] {})).ok());
  CHECK(runtime.expect({"gone"}).ok());
  CHECK(runtime.registry().add(wisp::function("gone", [] {})).code() == StatusCode::kAlreadyExists);
}

TEST_CASE("options: every documented option of a function can be set", "[options]") {
  const auto all = wisp::function("handle", [](int n) { return n; },
                                  {.name = "billing.handle",
                                   .timeout = 2s,
                                   .retry = {.attempts = 3, .first_delay = 1ms, .max_delay = 10ms},
                                   .limits = {.concurrency = 8, .reserved = 1, .per_second = 0},
                                   .memory_mb = 512,
                                   .meter = wisp::Meter::exact,
                                   .pool_only = true});
  wisp::Runtime runtime{
      wisp::Catalogue().add(all),
      {.threads = wisp::Threads::pool,
       .workers = {.min = 0, .max = 2, .keep_alive = 1ms, .policy = wisp::scaling::Fixed{2}},
       .tariff = wisp::tariffs::aws_lambda_arm(),
       .queue = {.count = 10, .bytes = 1000, .act = wisp::Overflow::drop_oldest},
       .clock = nullptr,
       .executor = nullptr,
       .random = nullptr,
       .store = nullptr,
       .log = [](const wisp::LogRecord&) {},
       .on_thread_start = [](int) {},
       .source = "test"}};
  REQUIRE(runtime.status().ok());
  CHECK(*runtime.call<int>("billing.handle", 3) == 3);
  auto subscription = runtime.on("a.>")
                          .where(wisp::field("kg").at_least(1))
                          .deliver({.attempts = 2,
                                    .dead_letter = "a-failed",
                                    .serial = true,
                                    .synchronous = false,
                                    .queue = {.count = 1, .act = wisp::Overflow::block}})
                          .to([](const wisp::Event&) {});
  CHECK(subscription.status().ok());
}
