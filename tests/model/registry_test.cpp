#include <wisp/model/registry.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <wisp/base/money.hpp>
#include <wisp/model/declare.hpp>

#include "catch.hpp"
#include "model/hosting.hpp"
#include "seeds.hpp"

using namespace std::chrono_literals;
using wisp::function;
using wisp::FunctionOptions;
using wisp::Registry;
using wisp::Status;
using wisp::StatusCode;
using wisp::type_info;
using wisp::detail::Registered;

namespace one {
struct Order {
  std::string id;
};
WISP_FIELDS(Order, id)
}  // namespace one

namespace two {
struct Order {
  double total;
};
WISP_FIELDS(Order, total)
}  // namespace two

namespace {

void check_refused(const Status& status, StatusCode code,
                   std::initializer_list<std::string_view> parts) {
  INFO(status);
  CHECK(status.code() == code);
  for (const std::string_view part : parts) {
    INFO(part);
    CHECK(wisp::message(status).find(part) != std::string_view::npos);
  }
}

std::string here(int line) { return "registry_test.cpp:" + std::to_string(line); }

struct Note final : wisp::detail::Attachment {
  explicit Note(int i) : index(i) {}
  int index;
};

}  // namespace

TEST_CASE("registry: finds what was added, in the order of addition", "[registry]") {
  Registry registry;
  CHECK(registry.list().empty());
  CHECK_FALSE(registry.find("twice").has_value());
  const int line = __LINE__ + 1;
  const auto twice = function("twice", [](int n) { return 2 * n; });
  const auto greet = function("greet", [] { return std::string("hello"); });
  REQUIRE(registry.add(twice).ok());
  REQUIRE(registry.add(greet).ok());
  const auto found = registry.find("twice");
  REQUIRE(found.has_value());
  CHECK(found->name == "twice");
  CHECK(found->version == 1);
  CHECK(found->signature == "int32 -> int32");
  CHECK(found->place.find(here(line)) != std::string::npos);
  const auto list = registry.list();
  REQUIRE(list.size() == 2);
  CHECK(list[0].name == "twice");
  CHECK(list[1].signature == "() -> string");
  CHECK(registry.lookup(*twice.definition())->index == 0);
  CHECK(registry.lookup("greet")->index == 1);
  CHECK(registry.lookup("greet")->definition == greet.definition());
  for (const auto absent : {"", "twic", "twicee", "Twice"}) CHECK_FALSE(registry.find(absent));
}

TEST_CASE("registry: a name that is taken is refused with both places", "[registry]") {
  Registry registry;
  const int first = __LINE__ + 1;
  REQUIRE(registry.add(function("price", [](int n) { return n; })).ok());
  const int second = __LINE__ + 1;
  const auto again = function("price", [](int n) { return n; });
  check_refused(registry.add(again), StatusCode::kAlreadyExists,
                {"'price'", here(first), here(second)});
  CHECK(registry.list().size() == 1);
  CHECK(registry.lookup(*again.definition()) == nullptr);
  // The first one stays as it was.
  CHECK(registry.find("price")->place.find(here(first)) != std::string::npos);
}

TEST_CASE("registry: adding the same handle again changes nothing", "[registry]") {
  Registry registry;
  const auto twice = function("twice", [](int n) { return 2 * n; });
  REQUIRE(registry.add(twice).ok());
  const Registered* const before = registry.lookup(*twice.definition());
  const auto copy = twice;
  CHECK(registry.add(copy).ok());
  CHECK(registry.add(twice.definition()).ok());
  CHECK(registry.list().size() == 1);
  CHECK(registry.lookup(*copy.definition()) == before);
}

TEST_CASE("registry: one handle lives in several registries", "[registry]") {
  const auto twice = function("twice", [](int n) { return 2 * n; });
  Registry a;
  REQUIRE(a.add(twice).ok());
  {
    Registry b;
    REQUIRE(b.add(function("other", [] {})).ok());
    REQUIRE(b.add(twice).ok());
    CHECK(b.lookup(*twice.definition())->index == 1);
  }
  CHECK(a.lookup(*twice.definition())->index == 0);
}

TEST_CASE("registry: bad names and options are refused with their place", "[registry]") {
  Registry registry;
  const int line = __LINE__ + 1;
  check_refused(registry.add(function("Price", [] {})), StatusCode::kInvalidArgument,
                {"'Price'", "dotted lower-case", here(line)});
  check_refused(registry.add(function("", [] {})), StatusCode::kInvalidArgument,
                {"a function needs a name", here(line + 2)});
  check_refused(registry.add(function("f", [] {}, {.timeout = -1ms})), StatusCode::kInvalidArgument,
                {"function 'f': timeout is -1000000 ns", here(__LINE__ - 1)});
  check_refused(registry.add(function("f", [] {}, {.retry = {.attempts = 0}})),
                StatusCode::kInvalidArgument, {"function 'f': retry.attempts is 0", "1 to 1000"});
  check_refused(registry.add(function("f", [] {}, {.limits = {.reserved = -2}})),
                StatusCode::kInvalidArgument,
                {"function 'f': limits.reserved", "registry_test.cpp:"});
  check_refused(registry.add(function("f", [] {}, {.name = "Bad.Name"})),
                StatusCode::kInvalidArgument, {"'Bad.Name'"});
  CHECK(registry.list().empty());
  CHECK(registry.add(function("f", [] {})).ok());
}

TEST_CASE("registry: a name without a handler cannot be added", "[registry]") {
  Registry registry;
  const int line = __LINE__ + 1;
  const auto reference = wisp::named<int(int)>("twice");
  check_refused(registry.add(reference), StatusCode::kInvalidArgument, {"'twice'", here(line)});
}

TEST_CASE("registry: two types of one wire name are refused, naming both", "[registry]") {
  Registry registry;
  REQUIRE(registry.add(function("a", [](const one::Order&) {})).ok());
  for (const Status& clash : {registry.add(function("b", [](const two::Order&) {})),
                              registry.add(function("b", [] { return two::Order{1}; }))}) {
    check_refused(clash, StatusCode::kAlreadyExists, {"'Order'", "one::Order", "two::Order"});
  }
  CHECK(registry.find("b") == std::nullopt);
  CHECK(registry.add(function("b", [](const one::Order& o) { return o; })).ok());
  Registry fresh;
  check_refused(fresh.add(function("c", [](const one::Order&) { return two::Order{1}; })),
                StatusCode::kAlreadyExists, {"one::Order", "two::Order"});
  // What was refused left nothing behind that would clash.
  CHECK(fresh.add(function("d", [](const two::Order&) {})).ok());
}

TEST_CASE("registry: built-in types and types without a wire name never clash", "[registry]") {
  Registry registry;
  struct Plain {
    int n;
  };
  CHECK(registry.add(function("a", [](long n) { return static_cast<long long>(n); })).ok());
  CHECK(registry.add(function("b", [](char c) { return static_cast<signed char>(c); })).ok());
  CHECK(registry.add(function("c", [](Plain) { return std::vector<Plain>(); })).ok());
  CHECK(registry.add(function("d", [](wchar_t) { return std::int32_t{}; })).ok());
}

TEST_CASE("registry: a handle resolves to itself, a name to what bears it", "[registry]") {
  Registry registry;
  const auto twice = function("twice", [](int n) { return 2 * n; });
  REQUIRE(registry.add(twice).ok());
  const Registered* const entry = registry.lookup("twice");
  CHECK(registry.resolve(*twice.definition()).value() == entry);
  const auto reference = wisp::named<int(int)>("twice");
  CHECK(registry.resolve(*reference.definition()).value() == entry);
  CHECK(registry.resolve("twice", &type_info<int>(), &type_info<int>()).value() == entry);
}

TEST_CASE("registry: what is not there, or of other types, is refused by name", "[registry]") {
  Registry registry;
  REQUIRE(registry.add(function("price", [](const one::Order&) { return wisp::Money(); })).ok());
  const int line = __LINE__ + 1;
  const auto stranger = function("price", [](const one::Order&) { return wisp::Money(); });
  check_refused(registry.resolve(*stranger.definition()).status(), StatusCode::kNotFound,
                {"'price'", here(line), "another is", "or by name"});
  check_refused(registry.resolve("prize", nullptr, nullptr).status(), StatusCode::kNotFound,
                {"no function 'prize'"});
  const auto status_of = [&registry](const auto& reference) {
    return registry.resolve(*reference.definition()).status();
  };
  const auto text = [&](const auto& reference) {
    const Status status = status_of(reference);
    CHECK(status.code() == StatusCode::kInvalidArgument);
    return std::string(wisp::message(status));
  };
  CHECK(text(wisp::named<wisp::Money(int)>("price")) == "function 'price' takes Order, not int32");
  CHECK(text(wisp::named<wisp::Money()>("price")) == "function 'price' takes Order, not no input");
  CHECK(text(wisp::named<std::string(one::Order)>("price")) ==
        "function 'price' returns wisp.Money, not string");
  CHECK(text(wisp::named<void(one::Order)>("price")) ==
        "function 'price' returns wisp.Money, not void");
  // Types of one wire name are told apart.
  CHECK(text(wisp::named<wisp::Money(two::Order)>("price")) ==
        "function 'price' takes one::Order, not two::Order");
  CHECK(status_of(wisp::named<wisp::Money(one::Order)>("price")).ok());
  CHECK(status_of(wisp::named<wisp::Result<wisp::Money>(const one::Order&)>("price")).ok());
}

TEST_CASE("registry: an engine attaches its word before a function is found", "[registry]") {
  Registry* self = nullptr;
  int calls = 0;
  Registry registry([&](const Registered& entry) -> std::unique_ptr<wisp::detail::Attachment> {
    CHECK(self->lookup(entry.definition->name) == nullptr);
    CHECK(entry.index == calls);
    ++calls;
    return std::make_unique<Note>(entry.index);
  });
  self = &registry;
  REQUIRE(registry.add(function("a", [] {})).ok());
  REQUIRE(registry.add(function("b", [] {})).ok());
  CHECK_FALSE(registry.add(function("b", [] {})).ok());
  CHECK(calls == 2);
  CHECK(static_cast<const Note&>(*registry.lookup("b")->attachment).index == 1);
}

TEST_CASE("registry: thousands of functions are all found, at once and by both keys",
          "[registry]") {
  Registry registry;
  constexpr int kMany = 20'000;
  std::vector<wisp::Function<int, int>> handles;
  for (int i = 0; i < kMany; ++i) {
    handles.push_back(function(fmt::format("f{}", i), [i](int n) { return n + i; }));
    REQUIRE(registry.add(handles.back()).ok());
  }
  int wrong = 0;
  for (int i = 0; i < kMany; ++i) {
    const Registered* const entry = registry.lookup(*handles[i].definition());
    wrong += entry == nullptr || entry->index != i || entry != registry.lookup(handles[i].name());
  }
  CHECK(wrong == 0);
  CHECK(registry.lookup(fmt::format("f{}", kMany)) == nullptr);
  CHECK(registry.list().size() == kMany);
}

TEST_CASE("registry: lookups run beside growth and see whole entries", "[registry]") {
  Registry registry;
  constexpr int kMany = 1'000;  // through five sizes of the table
  std::vector<wisp::Function<int, int>> handles;
  std::vector<std::string> names;
  for (int i = 0; i < kMany; ++i) {
    names.push_back(fmt::format("f{}", i));
    handles.push_back(function(names.back(), [i](int n) { return n + i; }));
  }
  std::atomic<int> added{0};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (int seed = 1; seed <= 3; ++seed) {
    readers.emplace_back([&, seed] {
      wisp::test::Seeded random(seed);
      wisp::test::Hosted hosted;
      for (int known = 0; known < kMany; known = added) {
        const auto i = static_cast<std::size_t>(random.below(kMany));
        const Registered* const by_name = registry.lookup(names[i]);
        const Registered* const by_handle = registry.lookup(*handles[i].definition());
        const bool must = static_cast<int>(i) < known;
        if (must && (by_name == nullptr || by_name != by_handle)) ++wrong;
        if (by_name == nullptr) continue;
        const int one = 1;
        wisp::Result<int> result = 0;
        const auto& definition = *by_name->definition;
        (void)definition.invoke(&one, &result, hosted.context);
        if (by_name->index != static_cast<int>(i) || *result != static_cast<int>(i) + 1) ++wrong;
      }
    });
  }
  for (int i = 0; i < kMany; ++i) {
    const Status status = registry.add(handles[i]);
    if (!status.ok()) ++wrong;
    added = i + 1;
  }
  for (std::thread& each : readers) each.join();
  CHECK(wrong == 0);
}

TEST_CASE("registry: of several adders of one name exactly one wins", "[registry]") {
  for (int round = 0; round < 20; ++round) {
    Registry registry;
    std::atomic<int> won{0};
    std::vector<std::thread> adders;
    for (int t = 0; t < 3; ++t) {
      adders.emplace_back([&] {
        if (registry.add(function("contested", [] {})).ok()) ++won;
        (void)registry.list();
      });
    }
    for (std::thread& each : adders) each.join();
    CHECK(won == 1);
    CHECK(registry.list().size() == 1);
  }
}

TEST_CASE("registry: an engine hears of what nothing can refuse any more, once", "[registry]") {
  struct Noted : wisp::detail::Attachment {
    explicit Noted(int& count) : published_count(count) {}
    void published() override { ++published_count; }
    int& published_count;
  };
  int attached = 0;
  int published = 0;
  Registry registry([&](const Registered&) {
    ++attached;
    return std::make_unique<Noted>(published);
  });
  // The second one is made ready before it is known whether it may be added.
  REQUIRE(registry.add(function("price", [](int n) { return n; })).ok());
  const auto taken = function("price", [](int n) { return n; }, {.lane = wisp::Lane::urgent});
  CHECK(registry.add(taken).code() == StatusCode::kAlreadyExists);
  CHECK(attached == 2);
  CHECK(published == 1);
  REQUIRE(
      registry.add(function("cost", [](int n) { return n; }, {.lane = wisp::Lane::urgent})).ok());
  CHECK(attached == 3);
  CHECK(published == 2);
}
