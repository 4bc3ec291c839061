#include <wisp/model/declare.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

#include <wisp/base/money.hpp>

#include "catch.hpp"
#include "model/hosting.hpp"

using namespace std::chrono_literals;
using wisp::Catalogue;
using wisp::Function;
using wisp::linked_functions;
using wisp::Result;
using wisp::detail::Declaration;
using wisp::detail::Definition;
using wisp::test::Hosted;

namespace {

struct Parcel {
  double kg;
};
WISP_FIELDS(Parcel, kg)

int free_handler(const Parcel& parcel) { return static_cast<int>(parcel.kg); }

}  // namespace

namespace shipping {
WISP_FUNCTION(declared_price, .timeout = 200ms, .retry = {.attempts = 3}) =
    [](const Parcel& parcel, wisp::Context&) -> Result<wisp::Money> {
  if (parcel.kg <= 0) return wisp::invalid_argument("a parcel weighs something");
  return wisp::Money::cents(490);
};
WISP_FUNCTION(declared_same) = [] { return 1; };
const int kSameLine = __LINE__ - 1;
}  // namespace shipping

namespace billing {
WISP_FUNCTION(declared_same, .name = "billing.declared_same") = [] { return 2; };
WISP_FUNCTION(declared_pointer) = free_handler;
WISP_FUNCTION(declared_status) = [](const Parcel&) { return wisp::Status(); };
}  // namespace billing

namespace {
const auto named_price = wisp::named<wisp::Money(Parcel)>("declared_price");
const int kNamedLine = __LINE__ - 1;
// Wherever a namespace-scope object begins, the expectation is one.
struct Holder {
  inline static const auto held = wisp::named<int()>("declared_same");
};

int count(const Catalogue& catalogue, std::string_view name, bool reference = false) {
  return static_cast<int>(std::count_if(catalogue.definitions.begin(), catalogue.definitions.end(),
                                        [&](const std::shared_ptr<const Definition>& each) {
                                          return each->name == name &&
                                                 each->reference() == reference;
                                        }));
}

auto in_a_function() { return wisp::named<int(int)>("declared_elsewhere"); }

}  // namespace

static_assert(std::is_base_of_v<Function<wisp::Money, Parcel>,
                                std::remove_const_t<decltype(shipping::declared_price)>>);
static_assert(wisp::detail::FunctionHandle<decltype(shipping::declared_price)>);
static_assert(!wisp::detail::FunctionHandle<int>);
static_assert(std::is_same_v<decltype(wisp::named<wisp::Status(const Parcel&)>("x")),
                             Function<void, Parcel>>);
static_assert(std::is_same_v<decltype(wisp::named<Result<int>()>("x")), Function<int, void>>);

TEST_CASE("declare: the catalogue holds what the macro declared, in any namespace", "[declare]") {
  const Catalogue linked = linked_functions();
  for (const auto name : {"declared_price", "declared_same", "billing.declared_same",
                          "declared_pointer", "declared_status"}) {
    INFO(name);
    CHECK(count(linked, name) == 1);
  }
  CHECK(count(linked, "declared_elsewhere") == 0);
}

TEST_CASE("declare: the catalogue reads the same as often as it is asked", "[declare]") {
  const Catalogue first = linked_functions();
  const Catalogue second = linked_functions();
  CHECK(first.definitions == second.definitions);
}

TEST_CASE("declare: a declaration keeps name, options, place and handler", "[declare]") {
  const Definition& price = *shipping::declared_price.definition();
  CHECK(shipping::declared_price.name() == "declared_price");
  CHECK(price.options.timeout == 200ms);
  CHECK(price.options.retry.attempts == 3);
  CHECK(shipping::declared_same.definition()->place().find(
            "declare_test.cpp:" + std::to_string(shipping::kSameLine)) != std::string::npos);
  Hosted hosted;
  const Parcel parcel{1};
  const Function<wisp::Money, Parcel>& handle = shipping::declared_price;
  CHECK(wisp::test::run(handle, &parcel, hosted).result.value() == wisp::Money::cents(490));
  const Function<int, void>& theirs = shipping::declared_same;
  const Function<int, void>& ours = billing::declared_same;
  CHECK(wisp::test::run<int, void, void>(theirs, nullptr, hosted).result.value() == 1);
  CHECK(wisp::test::run<int, void, void>(ours, nullptr, hosted).result.value() == 2);
  const Function<int, Parcel>& pointer = billing::declared_pointer;
  CHECK(wisp::test::run(pointer, &parcel, hosted).result.value() == 1);
}

TEST_CASE("declare: a declaration that ends is unlinked, and only that one", "[declare]") {
  const std::size_t before = linked_functions().definitions.size();
  const auto captured = std::make_shared<int>(1);
  {
    const auto declare = [&captured] {
      return Declaration{"declared_for_a_while", {}, std::source_location::current()} = [captured] {
        return *captured;
      };
    };
    const auto first = declare();
    {
      const auto second = declare();
      CHECK(count(linked_functions(), "declared_for_a_while") == 2);
    }
    const Catalogue left = linked_functions();
    CHECK(count(left, "declared_for_a_while") == 1);
    CHECK(left.definitions.back() == first.definition());
  }
  CHECK(count(linked_functions(), "declared_for_a_while") == 0);
  CHECK(linked_functions().definitions.size() == before);
  CHECK(captured.use_count() == 1);
}

TEST_CASE("declare: what a catalogue holds outlives its declaration", "[declare]") {
  Catalogue kept;
  {
    const auto brief = Declaration{
        "declared_briefly", {}, std::source_location::current()} = [](int n) { return 2 * n; };
    kept = linked_functions();
  }
  CHECK(count(kept, "declared_briefly") == 1);
  Hosted hosted;
  const int four = 4;
  Result<int> result = 0;
  const Definition& definition = *kept.definitions.back();
  CHECK(definition.invoke(&four, &result, hosted.context).status.ok());
  CHECK(result.value() == 8);
}

TEST_CASE("declare: a name at namespace scope is expected of every runtime", "[declare]") {
  const Definition& expected = *named_price.definition();
  CHECK(expected.reference());
  CHECK(expected.expected);
  CHECK(expected.in == &wisp::type_info<Parcel>());
  CHECK(expected.out == &wisp::type_info<wisp::Money>());
  CHECK(expected.place().find("declare_test.cpp:" + std::to_string(kNamedLine)) !=
        std::string::npos);
  CHECK(count(linked_functions(), "declared_price", true) == 1);
  CHECK(Holder::held.definition()->expected);
  CHECK(count(linked_functions(), "declared_same", true) == 1);
}

TEST_CASE("declare: a name inside a function is checked at its first use only", "[declare]") {
  const std::size_t before = linked_functions().definitions.size();
  const auto inside = in_a_function();
  CHECK(inside.definition()->reference());
  CHECK_FALSE(inside.definition()->expected);
  const auto in_lambda = [] { return wisp::named<void()>("declared_elsewhere"); }();
  CHECK_FALSE(in_lambda.definition()->expected);
  static const auto in_static = wisp::named<int()>("declared_elsewhere");
  CHECK_FALSE(in_static.definition()->expected);
  CHECK(linked_functions().definitions.size() == before);
}

TEST_CASE("declare: a catalogue takes further functions, and changes no other", "[declare]") {
  Catalogue catalogue;
  const auto added = wisp::function("declared_by_hand", [] {});
  catalogue.add(added).add(billing::declared_status);
  REQUIRE(catalogue.definitions.size() == 2);
  CHECK(catalogue.definitions[0] == added.definition());
  CHECK(count(linked_functions(), "declared_by_hand") == 0);
}

TEST_CASE("declare: threads link, unlink and read at once", "[declare]") {
  const std::size_t before = linked_functions().definitions.size();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&wrong] {
      for (int i = 0; i < 200; ++i) {
        const auto mine =
            Declaration{"declared_in_a_thread", {}, std::source_location::current()} = [] {};
        const auto all = linked_functions().definitions;
        if (std::find(all.begin(), all.end(), mine.definition()) == all.end()) ++wrong;
      }
    });
  }
  for (std::thread& each : threads) each.join();
  CHECK(wrong == 0);
  CHECK(linked_functions().definitions.size() == before);
}
