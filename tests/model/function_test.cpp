#include <wisp/model/function.hpp>

#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <wisp/base/money.hpp>

#include "catch.hpp"
#include "model/hosting.hpp"

using namespace std::chrono_literals;
using wisp::Context;
using wisp::Function;
using wisp::function;
using wisp::FunctionOptions;
using wisp::Result;
using wisp::Status;
using wisp::StatusCode;
using wisp::test::Hosted;
using wisp::test::Ran;

namespace {

struct Bought {
  std::string id;
  int total;
};
WISP_FIELDS(Bought, id, total)

// The same handler in every shape that the documentation names.
int pointer(const Bought& o) { return o.total; }
int pointer_noexcept(const Bought& o) noexcept { return o.total; }
int pointer_value(Bought o) { return o.total; }
int pointer_context(const Bought& o, Context& c) { return o.total + c.attempt() - 1; }
Result<int> pointer_result(const Bought& o) { return o.total; }
int pointer_nothing() { return 7; }
int pointer_only_context(Context& c) noexcept { return 6 + c.attempt(); }
const int& pointer_reference(const Bought& o) { return o.total; }

struct Object {
  int factor;
  int operator()(const Bought& o) const { return factor * o.total; }
};
struct NoexceptObject {
  int operator()(const Bought& o, Context&) const noexcept { return o.total; }
};

template <class F>
using HandleOf = decltype(function("name", std::declval<F>()));

const Bought kBought{"4711", 7};

// What `callable` gives for kBought.
template <class R, class F>
Ran<R> ran(F callable, Hosted& hosted) {
  const auto made = function("tested", std::move(callable));
  static_assert(std::is_same_v<decltype(made), const Function<R, Bought>>);
  CHECK(made.definition()->in == &wisp::type_info<Bought>());
  return wisp::test::run(made, &kBought, hosted);
}

template <class R, class F>
Ran<R> ran_without(F callable, Hosted& hosted) {
  const auto made = function("tested", std::move(callable));
  static_assert(std::is_same_v<decltype(made), const Function<R, void>>);
  CHECK(made.definition()->in == nullptr);
  return wisp::test::run<R, void, void>(made, nullptr, hosted);
}

template <class R>
void check_seven(const Ran<R>& each) {
  CHECK(each.attempted.status.ok());
  CHECK_FALSE(each.attempted.threw);
  REQUIRE(each.result.ok());
  CHECK(*each.result == 7);
}

}  // namespace

static_assert(std::is_same_v<HandleOf<Status (*)(int)>, Function<void, int>>);
static_assert(std::is_same_v<HandleOf<Status (*)(const int&, Context&)>, Function<void, int>>);
static_assert(std::is_same_v<HandleOf<void (*)()>, Function<void, void>>);
static_assert(
    std::is_same_v<HandleOf<Result<std::string> (*)(Context&)>, Function<std::string, void>>);
static_assert(
    std::is_same_v<HandleOf<const std::string& (*)(const Bought&)>, Function<std::string, Bought>>);
static_assert(std::is_same_v<HandleOf<std::function<int(Bought)>>, Function<int, Bought>>);
static_assert(std::is_same_v<HandleOf<const Status& (*)(const Bought&)>, Function<void, Bought>>);

TEST_CASE("function: function pointers of every shape are handlers", "[function]") {
  Hosted hosted;
  check_seven(ran<int>(pointer, hosted));
  check_seven(ran<int>(&pointer, hosted));
  check_seven(ran<int>(pointer_noexcept, hosted));
  check_seven(ran<int>(pointer_value, hosted));
  check_seven(ran<int>(pointer_context, hosted));
  check_seven(ran<int>(pointer_result, hosted));
  check_seven(ran<int>(pointer_reference, hosted));
  check_seven(ran_without<int>(pointer_nothing, hosted));
  check_seven(ran_without<int>(pointer_only_context, hosted));
}

TEST_CASE("function: const callables of every shape are handlers", "[function]") {
  Hosted hosted;
  const int bonus = kBought.total - 7;
  check_seven(ran<int>([](const Bought& o) { return o.total; }, hosted));
  check_seven(ran<int>([bonus](const Bought o) noexcept { return o.total + bonus; }, hosted));
  check_seven(ran<int>([](Bought o, Context&) { return o.total; }, hosted));
  check_seven(
      ran<int>([](const Bought& o, Context& c) noexcept { return o.total * c.attempt(); }, hosted));
  check_seven(ran<int>([](const Bought& o) -> Result<int> { return o.total; }, hosted));
  check_seven(ran<int>([](const Bought& o) -> const int& { return o.total; }, hosted));
  check_seven(ran<int>(Object{1}, hosted));
  check_seven(ran<int>(NoexceptObject(), hosted));
  check_seven(ran<int>(std::function<int(const Bought&)>(pointer), hosted));
  check_seven(ran_without<int>([] { return 7; }, hosted));
  check_seven(ran_without<int>([]() noexcept -> Result<int> { return 7; }, hosted));
  check_seven(ran_without<int>([](Context&) { return 7; }, hosted));
  const Object lvalue{1};
  check_seven(wisp::test::run(function("lvalue", lvalue), &kBought, hosted));
}

TEST_CASE("function: void and Status handlers give a Status", "[function]") {
  Hosted hosted;
  int calls = 0;
  CHECK(ran<void>([&calls](const Bought&) { ++calls; }, hosted).result.ok());
  CHECK(ran<void>([&calls](const Bought&, Context&) { ++calls; }, hosted).attempted.status.ok());
  CHECK(ran_without<void>([&calls] { ++calls; }, hosted).result.ok());
  CHECK(ran<void>([](const Bought&) { return Status(); }, hosted).result.ok());
  CHECK(calls == 3);
  const auto failed =
      ran<void>([](const Bought& o) { return wisp::aborted("order {}", o.id); }, hosted);
  CHECK(failed.result.code() == StatusCode::kAborted);
  CHECK(failed.attempted.status == failed.result);
  CHECK(wisp::message(failed.result) == "order 4711");
  CHECK_FALSE(failed.attempted.threw);
}

TEST_CASE("function: a handler's error is the result, whether or not anybody wants it",
          "[function]") {
  Hosted hosted;
  const auto fails = function("fails", [](const Bought& o) -> Result<std::string> {
    if (o.total > 5) return wisp::unavailable("later");
    return o.id;
  });
  const auto each = wisp::test::run(fails, &kBought, hosted);
  CHECK(each.attempted.status.code() == StatusCode::kUnavailable);
  CHECK(each.result.status() == each.attempted.status);
  const wisp::detail::Definition& definition = *fails.definition();
  CHECK(definition.invoke(&kBought, nullptr, hosted.context).status.code() ==
        StatusCode::kUnavailable);
  const Bought small{"x", 1};
  CHECK(definition.invoke(&small, nullptr, hosted.context).status.ok());
  CHECK(wisp::test::run(fails, &small, hosted).result.value() == "x");
}

TEST_CASE("function: what a handler throws is contained", "[function]") {
  Hosted hosted;
  const auto check = [](const auto& each, std::string_view text) {
    CHECK(each.attempted.threw);
    CHECK(each.attempted.status.code() == StatusCode::kInternal);
    CHECK(wisp::message(each.attempted.status) == text);
    CHECK(wisp::status_of(each.result) == each.attempted.status);
  };
  check(ran<int>([](const Bought&) -> int { throw std::runtime_error("no {} left"); }, hosted),
        "the handler threw: no {} left");
  check(ran<int>([](const Bought&) -> Result<int> { throw 42; }, hosted),
        "the handler threw something that is no std::exception");
  check(ran<void>([](const Bought&) { throw std::string("text"); }, hosted),
        "the handler threw something that is no std::exception");
  check(ran<void>([](const Bought&) -> Status { throw std::logic_error(""); }, hosted),
        "the handler threw: ");
  check(ran_without<int>([](Context&) -> int { throw std::runtime_error("x"); }, hosted),
        "the handler threw: x");

  struct Throwing {
    Throwing() = default;
    Throwing(const Throwing&) { throw std::runtime_error("a copy"); }
  };
  const Throwing input;
  const auto by_value = function("by_value", [](Throwing) { return 1; });
  check(wisp::test::run(by_value, &input, hosted), "the handler threw: a copy");
  // Nobody wants the result.
  const auto made = function("throws", [](const Bought&) -> int { throw 1; });
  const auto attempted = made.definition()->invoke(&kBought, nullptr, hosted.context);
  CHECK(attempted.threw);
}

TEST_CASE("function: the input is passed by reference, or copied for a handler by value",
          "[function]") {
  Hosted hosted;
  const Bought* seen = nullptr;
  const auto by_reference = function("r", [&seen](const Bought& o) { seen = &o; });
  (void)wisp::test::run(by_reference, &kBought, hosted);
  CHECK(seen == &kBought);
  const auto by_value = function("v", [](Bought o) {
    o.id += "!";
    return std::move(o.id);
  });
  CHECK(wisp::test::run(by_value, &kBought, hosted).result.value() == "4711!");
  CHECK(kBought.id == "4711");
}

TEST_CASE("function: a result that cannot be copied is moved", "[function]") {
  Hosted hosted;
  const auto unique = ran<std::unique_ptr<int>>(
      [](const Bought& o) { return std::make_unique<int>(o.total); }, hosted);
  REQUIRE(unique.result.ok());
  CHECK(**unique.result == 7);
}

TEST_CASE("function: the definition keeps name, options, types and place", "[function]") {
  const auto line = __LINE__ + 1;
  const auto made = function("price", pointer, {.timeout = 200ms, .memory_mb = 256});
  CHECK(made.name() == "price");
  const wisp::detail::Definition& definition = *made.definition();
  CHECK(definition.options.timeout == 200ms);
  CHECK(definition.options.memory_mb == 256);
  CHECK(definition.out == &wisp::type_info<int>());
  CHECK_FALSE(definition.reference());
  CHECK_FALSE(definition.expected);
  CHECK(definition.place().find("function_test.cpp:" + std::to_string(line)) != std::string::npos);
  CHECK(wisp::detail::signature(definition) == "Bought -> int32");
  CHECK(wisp::detail::signature(*function("f", [] {}).definition()) == "() -> void");
  CHECK(wisp::detail::signature(*function("f", [](int) { return wisp::Money(); }).definition()) ==
        "int32 -> wisp.Money");
}

TEST_CASE("function: the name of the options wins, and neither name has to live on", "[function]") {
  std::string name = "a_name_that_is_too_long_to_be_stored_inside_a_string";
  std::string other = "billing.a_name_that_is_too_long_to_be_stored_inside";
  const auto by_argument = function(name, pointer);
  const auto by_options = function(name, pointer, {.name = other});
  name.assign(name.size(), '?');
  other.assign(other.size(), '?');
  CHECK(by_argument.name() == "a_name_that_is_too_long_to_be_stored_inside_a_string");
  CHECK(by_options.name() == "billing.a_name_that_is_too_long_to_be_stored_inside");
  CHECK(by_options.definition()->options.name.empty());
}

TEST_CASE("function: a handle is copied for nothing and owns its callable", "[function]") {
  const auto owned = std::make_shared<int>(3);
  {
    const auto made = function("f", [owned](int n) { return *owned * n; });
    const auto copy = made;
    CHECK(copy.definition() == made.definition());
    CHECK(owned.use_count() == 2);
    const Function<int, int> erased = made;
    CHECK(owned.use_count() == 2);
    const int four = 4;
    Hosted hosted;
    CHECK(wisp::test::run(erased, &four, hosted).result.value() == 12);
  }
  CHECK(owned.use_count() == 1);
}

TEST_CASE("function: fail assigns an error to a result of the function's type", "[function]") {
  Result<int> value = 3;
  function("f", pointer).definition()->fail(&value, wisp::cancelled("stop"));
  CHECK(value.status().code() == StatusCode::kCancelled);
  Status status;
  function("g", [] {}).definition()->fail(&status, wisp::cancelled("stop"));
  CHECK(status.code() == StatusCode::kCancelled);
}

TEST_CASE("function: every option is set by its name, in the documented order", "[function]") {
  using wisp::Meter;
  const FunctionOptions all{
      .name = "n",
      .timeout = 1s,
      .retry = {.attempts = 3, .first_delay = 1ms, .max_delay = 2s},
      .limits = {.concurrency = 4, .reserved = 0, .per_second = 0},
      .memory_mb = 512,
      .meter = Meter::exact,
      .pool_only = true,
  };
  const std::vector<FunctionOptions> each{
      {},
      {.name = "n"},
      {.timeout = 1s},
      {.retry = {}},
      {.retry = {.attempts = 3}},
      {.retry = {.first_delay = 1ms}},
      {.retry = {.max_delay = 1ms}},
      {.retry = {.attempts = 3, .max_delay = 1ms}},
      {.limits = {.concurrency = 1}},
      {.limits = {}},
      {.memory_mb = 1},
      {.meter = Meter::sampled},
      {.pool_only = true},
      {.name = "n", .timeout = 1s, .retry = {.attempts = 3}},
      {.timeout = 1s, .limits = {.concurrency = 8}, .meter = Meter::batched, .pool_only = false},
      all,
  };
  for (const FunctionOptions& options : each) CHECK(wisp::check(options, "function 'f'").ok());
  const auto made = function("f", pointer, all);
  CHECK(made.name() == "n");
  CHECK(made.definition()->options.retry.attempts == 3);
  CHECK(made.definition()->options.meter == Meter::exact);
  CHECK(made.definition()->options.pool_only);
}
