// Versions through a runtime's registry: what is refused, what is listed, what is counted.
#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::FunctionOptions;
using wisp::Status;
using wisp::StatusCode;

void check_refused(const Status& status, StatusCode code,
                   std::initializer_list<std::string_view> parts) {
  INFO(status);
  CHECK(status.code() == code);
  for (const std::string_view part : parts) {
    INFO(part);
    CHECK(wisp::message(status).find(part) != std::string_view::npos);
  }
}

auto answers(int version, const FunctionOptions& options = {}) {
  return wisp::function("f", [version](int) { return version; }, options);
}

struct Fixture {
  wisp::Runtime runtime{};
  wisp::Registry& registry = runtime.registry();
  wisp::Function<int, int> f = answers(1);
  Fixture() { REQUIRE(registry.add(f).ok()); }

  int call() { return runtime.call(f, 0).value(); }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "versions: a swap, a split, and back", "[versions]") {
  CHECK(call() == 1);
  CHECK(registry.publish(answers(2)).value() == 2);
  CHECK(call() == 1);  // it has no calls yet
  REQUIRE(registry.alias("f", {{2}}).ok());
  CHECK(call() == 2);
  CHECK(runtime.call<int>("f", 0).value() == 2);
  CHECK(runtime.start(f, 0).wait().value() == 2);
  CHECK(registry.find("f")->version == 2);
  REQUIRE(registry.rollback("f").ok());
  CHECK(call() == 1);
  REQUIRE(registry.rollback("f").ok());
  CHECK(call() == 2);
  REQUIRE(registry.alias("f", {{1, 0.25}, {2, 0.75}}).ok());
  const wisp::FunctionInfo info = registry.list().front();
  CHECK(info.version == 2);
  REQUIRE(info.traffic.size() == 2);
  CHECK(info.traffic[0].version == 1);
  CHECK(info.traffic[0].weight == 0.25);
  CHECK(info.traffic[1].version == 2);
  CHECK(info.traffic[1].weight == 0.75);
  CHECK(info.place.find("versions_test.cpp") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "versions: an alias said twice is one change, and back is back",
                 "[versions]") {
  REQUIRE(registry.publish(answers(2)).ok());
  REQUIRE(registry.alias("f", {{1}}).ok());
  check_refused(registry.rollback("f"), StatusCode::kFailedPrecondition, {"never changed"});
  for (int i = 0; i < 2; ++i) REQUIRE(registry.alias("f", {{1, 0.5}, {2, 0.5}}).ok());
  for (int i = 0; i < 2; ++i) REQUIRE(registry.alias("f", {{2}}).ok());
  REQUIRE(registry.rollback("f").ok());
  CHECK(registry.find("f")->traffic.size() == 2);
}

TEST_CASE("versions: what is counted of all together is on the first one's row", "[versions]") {
  wisp::Runtime runtime;
  const auto take = [] {
    return wisp::function("f", [](const wisp::Batch<int>& batch) {
      return batch.size() > 1 ? wisp::invalid_argument("too many") : wisp::Status();
    });
  };
  const auto f = take();
  REQUIRE(runtime.registry().add(f).ok());
  REQUIRE(runtime.registry().publish(take()).ok());
  REQUIRE(runtime.registry().alias("f", {{2}}).ok());
  auto batches = runtime.on("n").deliver({.batch = {.size = 8, .window = 20ms}}).to(f);
  for (int n = 0; n < 8; ++n) REQUIRE(runtime.emit("n", n).ok());
  CHECK(runtime.stop(10s).status.ok());
  const auto functions = runtime.stats().functions;
  REQUIRE(functions.size() == 2);
  CHECK(functions[0].version == 1);
  CHECK(functions[0].accepted == 8);
  CHECK(functions[0].attempts == 0);
  CHECK(functions[1].version == 2);
  CHECK(functions[1].accepted == 0);
  CHECK(functions[1].attempts >= 8);
}

TEST_CASE("versions: no key counts for a synchronous subscription, whatever way it goes",
          "[versions]") {
  const int limit = GENERATE(0, 100);
  wisp::Runtime runtime;
  std::array<int, 3> ran{};
  const auto take = [&ran, limit](int version) {
    return wisp::function("f", [&ran, version](int) { ++ran[static_cast<std::size_t>(version)]; },
                          {.limits = {.concurrency = limit}});
  };
  const auto f = take(1);
  REQUIRE(runtime.registry().add(f).ok());
  REQUIRE(runtime.registry().publish(take(2)).ok());
  REQUIRE(runtime.registry().alias("f", {{1, 0.5}, {2, 0.5}}).ok());
  auto here = runtime.on("n").deliver({.synchronous = true}).to(f);
  for (int i = 0; i < 100; ++i) REQUIRE(runtime.emit("n", i, {.key = "k"}).ok());
  CHECK(ran[1] > 10);
  CHECK(ran[2] > 10);
}

TEST_CASE("versions: what a handler captured asks the registry as it goes", "[versions]") {
  struct Asks {
    wisp::Runtime*& runtime;
    int& gone;
    ~Asks() {
      ++gone;
      if (runtime == nullptr) return;
      wisp::Registry& registry = runtime->registry();
      (void)registry.find("f");
      (void)registry.list();
      (void)registry.alias("f", {{1}});
      (void)registry.rollback("f");
      (void)registry.publish(answers(9));
      (void)registry.shadow("f", 2);
    }
  };
  wisp::Runtime* asked = nullptr;
  int gone = 0;
  const auto take = [&] {
    auto asks = std::shared_ptr<Asks>(new Asks{asked, gone});
    return wisp::function("f", [asks](int n) { return n; });
  };
  wisp::Runtime runtime;
  REQUIRE(runtime.registry().add(take()).ok());
  for (int version = 2; version < 6; ++version) {
    REQUIRE(runtime.registry().publish(take()).ok());
    REQUIRE(runtime.registry().alias("f", {{version}}).ok());
    CHECK(runtime.call<int>("f", version).value() == version);
  }
  CHECK(gone == 2);  // of the others one has calls, one had them before, and one is the first
  asked = &runtime;
}

TEST_CASE_METHOD(Fixture, "versions: an alias that makes no sense changes nothing", "[versions]") {
  REQUIRE(registry.publish(answers(2)).ok());
  REQUIRE(registry.publish(answers(3)).ok());
  REQUIRE(registry.alias("f", {{2}}).ok());
  const auto refused = [&](const std::vector<wisp::VersionShare>& shares, StatusCode code,
                           std::initializer_list<std::string_view> parts) {
    check_refused(registry.alias("f", shares), code, parts);
    CHECK(call() == 2);
    CHECK(registry.find("f")->traffic.size() == 1);
  };
  refused({}, StatusCode::kInvalidArgument, {"alias 'f'", "0 versions"});
  refused({{1, 0.5}, {2, 0.25}, {3, 0.25}}, StatusCode::kInvalidArgument,
          {"alias 'f'", "3 versions"});
  refused({{4}}, StatusCode::kNotFound, {"'f' has no version 4"});
  refused({{1, 0.5}, {0, 0.5}}, StatusCode::kNotFound, {"no version 0"});
  refused({{1, 0.5}, {3, 0.4}}, StatusCode::kInvalidArgument, {"alias 'f'", "sum to 0.9, not 1"});
  refused({{1, 2}}, StatusCode::kInvalidArgument, {"sum to 2, not 1"});
  refused({{1, 1}, {3, 0}}, StatusCode::kInvalidArgument, {"weight 0 of version 3", "above 0"});
  refused({{1, 1.5}, {3, -0.5}}, StatusCode::kInvalidArgument, {"weight -0.5 of version 3"});
  refused({{1, std::nan("")}}, StatusCode::kInvalidArgument, {"weight nan of version 1"});
  refused({{3, 0.5}, {3, 0.5}}, StatusCode::kInvalidArgument, {"version 3 is named twice"});
  check_refused(registry.alias("g", {{1}}), StatusCode::kNotFound, {"no function 'g'"});
  check_refused(registry.rollback("g"), StatusCode::kNotFound, {"no function 'g'"});
  // A weight that is no exact binary fraction adds up all the same.
  CHECK(registry.alias("f", {{1, 0.9}, {3, 0.1}}).ok());
}

TEST_CASE_METHOD(Fixture, "versions: what is no version of its function is refused", "[versions]") {
  const auto refused = [&](const auto& function, std::initializer_list<std::string_view> parts) {
    check_refused(registry.publish(function).status(), StatusCode::kInvalidArgument, parts);
    check_refused(registry.alias("f", {{2}}), StatusCode::kNotFound, {"no version 2"});
  };
  refused(wisp::function("f", [](int) { return std::string(); }),
          {"'f' is int32 -> int32", "this version is int32 -> string"});
  refused(wisp::function("f", [] { return 1; }), {"'f' is int32 -> int32"});
  refused(wisp::named<int(int)>("f"), {"without a handler"});
  refused(answers(2, {.timeout = 1s}), {"timeout differs", "memory_mb and meter"});
  refused(answers(2, {.retry = {.attempts = 2}}), {"retry.attempts differs"});
  refused(answers(2, {.limits = {.concurrency = 2}}), {"limits.concurrency differs"});
  refused(answers(2, {.pool_only = true}), {"pool_only differs"});
  refused(answers(2, {.memory_mb = 0}), {"memory_mb"});
  struct Adder {
    int operator()(int n) { return n; }
  };
  refused(wisp::function("f", wisp::stateful<Adder>()), {"all versions are stateful, or none"});
  check_refused(registry.publish(wisp::function("g", [] {})).status(), StatusCode::kNotFound,
                {"no function 'g'"});
  check_refused(registry.publish(f).status(), StatusCode::kAlreadyExists, {"is version 1 already"});
  CHECK(registry.publish(answers(2, {.memory_mb = 512, .meter = wisp::Meter::sampled})).ok());
  check_refused(registry.rollback("f"), StatusCode::kFailedPrecondition, {"never changed"});
}

TEST_CASE_METHOD(Fixture, "versions: a shadow that makes no sense is refused", "[versions]") {
  check_refused(registry.shadow("f", 1), StatusCode::kInvalidArgument, {"version 1 has calls"});
  REQUIRE(registry.publish(answers(2)).ok());
  check_refused(registry.shadow("f", 1), StatusCode::kInvalidArgument, {"version 1 has calls"});
  check_refused(registry.shadow("f", 3), StatusCode::kNotFound, {"'f' has no version 3"});
  check_refused(registry.shadow("g", 2), StatusCode::kNotFound, {"no function 'g'"});
  for (const double share : {-0.1, 1.5, std::nan("")})
    check_refused(registry.shadow("f", 2, share), StatusCode::kInvalidArgument, {"from 0 to 1"});
  CHECK_FALSE(registry.find("f")->shadow.has_value());
  REQUIRE(registry.shadow("f", 2, 0.25).ok());
  CHECK(registry.find("f")->shadow->version == 2);
  CHECK(registry.find("f")->shadow->weight == 0.25);
  REQUIRE(registry.shadow("f", 2, 0).ok());
  CHECK_FALSE(registry.find("f")->shadow.has_value());
  CHECK(registry.alias("f", {{2}}).ok());

  struct Opaque {
    int n;
  };
  const auto refused = [&](auto one, auto two, std::string_view part) {
    REQUIRE(registry.add(one).ok());
    REQUIRE(registry.publish(two).value() == 2);
    check_refused(registry.shadow(one.name(), 2), StatusCode::kInvalidArgument, {part});
  };
  const auto opaque = [] { return std::vector<Opaque>(); };
  refused(wisp::function("opaque", opaque), wisp::function("opaque", opaque),
          "cannot be compared by == and copied");
  const auto unique = [](const std::unique_ptr<int>&) {};
  refused(wisp::function("unique", unique), wisp::function("unique", unique), "cannot be copied");
}

TEST_CASE_METHOD(Fixture, "versions: the first one may be the shadow of another", "[versions]") {
  const int two = registry.publish(answers(2)).value();
  REQUIRE(registry.alias("f", {{two}}).ok());
  REQUIRE(registry.shadow("f", 1).ok());
  for (int n = 0; n < 10; ++n) CHECK(call() == 2);
  CHECK(wisp::test::eventually([&] { return runtime.stats().functions[0].shadowed == 10; }));
  for (const wisp::FunctionStats& each : runtime.stats().functions) {
    CHECK(each.attempts == 10);
    CHECK(each.shadowed == (each.version == 1 ? 10 : 0));
    CHECK(each.differed == each.shadowed);
    CHECK(each.accepted == (each.version == 1 ? 10 : 0));
  }
  // What it has shown stays once it has ended.
  REQUIRE(registry.shadow("f", 1, 0).ok());
  for (const wisp::FunctionStats& each : runtime.stats().functions) {
    CHECK(each.shadowed == (each.version == 1 ? 10 : 0));
    CHECK(each.differed == each.shadowed);
    CHECK(each.accepted == (each.version == 1 ? 10 : 0));
  }
}

TEST_CASE_METHOD(Fixture, "versions: the end of a shadow is that one's alone", "[versions]") {
  REQUIRE(registry.publish(answers(2)).ok());
  REQUIRE(registry.publish(answers(3)).ok());
  REQUIRE(registry.shadow("f", 3).ok());
  REQUIRE(registry.shadow("f", 2, 0).ok());
  REQUIRE(registry.find("f")->shadow.has_value());
  CHECK(registry.find("f")->shadow->version == 3);
  REQUIRE(registry.shadow("f", 3, 0).ok());
  CHECK_FALSE(registry.find("f")->shadow.has_value());
}

TEST_CASE_METHOD(Fixture, "versions: so many may wait, and the handle of one is no way to call it",
                 "[versions]") {
  const auto two = answers(2);
  REQUIRE(registry.publish(two).ok());
  for (std::size_t i = 1; i < wisp::kVersionsWaitingMax; ++i)
    REQUIRE(registry.publish(answers(0)).ok());
  check_refused(registry.publish(answers(0)).status(), StatusCode::kResourceExhausted,
                {"'f' has 16 versions"});
  REQUIRE(registry.alias("f", {{2}}).ok());
  CHECK(registry.publish(answers(0)).ok());
  check_refused(runtime.call(two, 0).status(), StatusCode::kNotFound,
                {"this handle of 'f'", "call that one, or by name"});
  wisp::Registry alone;
  REQUIRE(alone.add(f).ok());
  check_refused(alone.publish(answers(2)).status(), StatusCode::kUnimplemented, {"no engine"});
  check_refused(alone.alias("f", {{1}}), StatusCode::kUnimplemented, {"no engine"});
}

TEST_CASE("versions: those of a stateful function have instances of their own", "[versions]") {
  static std::atomic<int> alive;
  alive = 0;
  struct Counter {
    explicit Counter(int f) : from(f) { ++alive; }
    ~Counter() { --alive; }
    Counter(const Counter&) = delete;
    int operator()() { return from++; }
    int from;
  };
  const auto counts = [](int from) {
    return wisp::function(
        "count", wisp::stateful<Counter>([from] { return std::make_unique<Counter>(from); }),
        {.instances = {.provisioned = 1, .max = 1}});
  };
  wisp::Runtime runtime;
  const auto count = counts(100);
  REQUIRE(runtime.registry().add(count).ok());
  CHECK(runtime.call(count).value() == 100);
  REQUIRE(runtime.registry().publish(counts(200)).ok());
  CHECK(alive == 2);
  REQUIRE(runtime.registry().alias("count", {{2}}).ok());
  CHECK(runtime.call(count).value() == 200);
  CHECK(runtime.call(count).value() == 201);
  REQUIRE(runtime.registry().rollback("count").ok());
  CHECK(runtime.call(count).value() == 101);
  REQUIRE(runtime.registry().publish(counts(300)).ok());
  REQUIRE(runtime.registry().alias("count", {{3}}).ok());
  REQUIRE(runtime.registry().alias("count", {{1}}).ok());
  CHECK(runtime.call(count).value() == 102);
  CHECK(alive == 2);  // the second version's has gone
  const auto broken =
      wisp::function("count", wisp::stateful<Counter>([]() -> std::unique_ptr<Counter> {
                       throw std::runtime_error("no memory");
                     }),
                     {.instances = {.provisioned = 1, .max = 1}});
  check_refused(runtime.registry().publish(broken).status(), StatusCode::kInternal, {"no memory"});
  // Of those that wait for calls too.
  REQUIRE(runtime.registry().publish(counts(400)).ok());
  CHECK(alive == 3);
  CHECK(runtime.stop(1s).status.ok());
  CHECK(alive == 0);
  check_refused(runtime.registry().publish(counts(500)).status(), StatusCode::kUnavailable, {});
  CHECK(alive == 0);
}

TEST_CASE("versions: what a worker runs in a row follows the alias, and each pays on its own line",
          "[versions]") {
  wisp::Runtime runtime{{.workers = {.max = 1}}};
  std::atomic<int> refused{0};
  const auto take = [&](int version) {
    return wisp::function("f", [&, version](int n) {
      if (n == 10 && !runtime.registry().alias("f", {{3 - version}}).ok()) ++refused;
      return version;
    });
  };
  const auto f = take(1);
  REQUIRE(runtime.registry().add(f).ok());
  REQUIRE(runtime.registry().publish(take(2)).ok());
  // The one worker is busy until all of them wait.
  std::binary_semaphore gate{0};
  const auto busy = wisp::function("busy", [&gate] { gate.acquire(); });
  REQUIRE(runtime.registry().add(busy).ok());
  auto first = runtime.start(busy);
  std::vector<wisp::Pending<int>> started;
  for (int n = 0; n < 40; ++n)
    started.push_back(runtime.start(f, n % 20, {.tenant = n / 5 % 2 == 0 ? "acme" : "umbrella"}));
  gate.release();
  while (!started.back().ready()) std::this_thread::yield();
  auto second = runtime.start(busy);
  for (int n = 0; n < 40; ++n) REQUIRE(runtime.post(f, n % 20).ok());
  gate.release();
  for (int n = 0; n < 40; ++n) {
    const int expected = n <= 10 || n > 30 ? 1 : 2;
    CHECK(started[static_cast<std::size_t>(n)].wait().value() == expected);
    CHECK(started[static_cast<std::size_t>(n)].receipt().version == expected);
  }
  CHECK(runtime.stop(10s).status.ok());
  CHECK(refused == 0);
  std::map<std::pair<int, std::string>, std::uint64_t> calls;
  for (const wisp::BillLine& each : runtime.bill(1h).lines)
    if (each.function == "f") calls[{each.version, each.tenant}] += each.calls;
  const decltype(calls) expected = {{{1, ""}, 20},         {{2, ""}, 20},
                                    {{1, "acme"}, 10},     {{2, "acme"}, 10},
                                    {{1, "umbrella"}, 10}, {{2, "umbrella"}, 10}};
  CHECK(calls == expected);
}
