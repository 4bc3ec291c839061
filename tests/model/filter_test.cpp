#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <wisp/base/fields.hpp>
#include <wisp/base/money.hpp>
#include <wisp/model/pattern.hpp>

#include "catch.hpp"
#include "model/filtered.hpp"
#include "seeds.hpp"

using wisp::BoundFilter;
using wisp::field;
using wisp::Filter;
using wisp::StatusCode;
using wisp::type_info;
using wisp::test::Country;
using wisp::test::Customer;
using wisp::test::Flag;
using wisp::test::kNan;
using wisp::test::Order;
using wisp::test::Seeded;
using wisp::test::State;
using wisp::test::test_seeds;

namespace {

// Bound and unbound must agree.
bool holds(const Filter& filter, const Order& order) {
  const auto bound = filter.bind(type_info<Order>());
  INFO(bound.status());
  REQUIRE(bound.ok());
  const bool result = bound->matches(&order);
  CHECK(filter.matches(type_info<Order>(), &order) == result);
  return result;
}

std::string refusal(const Filter& filter) {
  const Order order;
  const auto bound = filter.bind(type_info<Order>());
  REQUIRE_FALSE(bound.ok());
  CHECK(bound.status().code() == StatusCode::kInvalidArgument);
  CHECK_FALSE(filter.matches(type_info<Order>(), &order));
  return std::string(wisp::message(bound.status()));
}

enum class Service { standard, express };
WISP_ENUM(Service, standard, express)
struct Sent {
  Service service = Service::standard;
};
WISP_FIELDS(Sent, service)

constexpr std::int64_t k2To53 = std::int64_t{1} << 53;

}  // namespace

TEST_CASE("filter: every comparison of a number holds where it should", "[filter]") {
  Order order;
  order.total = 100;
  CHECK(holds(field("total").equals(100), order));
  CHECK(holds(field("total").equals(100.0F), order));
  CHECK_FALSE(holds(field("total").equals(99), order));
  CHECK(holds(field("total").not_equals(99), order));
  CHECK_FALSE(holds(field("total").not_equals(100U), order));
  CHECK(holds(field("total").less_than(100.5), order));
  CHECK_FALSE(holds(field("total").less_than(100), order));
  CHECK(holds(field("total").at_most(100), order));
  CHECK_FALSE(holds(field("total").at_most(99), order));
  CHECK(holds(field("total").greater_than(99.5), order));
  CHECK_FALSE(holds(field("total").greater_than(100), order));
  CHECK(holds(field("total").at_least(100), order));
  CHECK_FALSE(holds(field("total").at_least(101), order));
  CHECK(holds(field("total").one_of({1, 100}), order));
  CHECK(holds(field("total").one_of({1.5, 100.0}), order));
  CHECK_FALSE(holds(field("total").one_of({1, 2}), order));
  CHECK_FALSE(holds(field("total").one_of({}), order));
}

TEST_CASE("filter: numbers compare by value, whatever their types", "[filter]") {
  Order order;
  order.count = -1;
  CHECK_FALSE(holds(field("count").equals(UINT64_MAX), order));
  CHECK(holds(field("count").less_than(0U), order));
  CHECK(holds(field("count").greater_than(-1.5), order));
  order.serial = UINT64_MAX;
  CHECK_FALSE(holds(field("serial").equals(-1), order));
  CHECK(holds(field("serial").greater_than(INT64_MAX), order));
  CHECK(holds(field("serial").less_than(18446744073709551616.0), order));
  order.count = k2To53 + 1;  // no double has this value
  CHECK_FALSE(holds(field("count").equals(static_cast<double>(k2To53)), order));
  CHECK(holds(field("count").greater_than(static_cast<double>(k2To53)), order));
  order.total = static_cast<double>(k2To53);
  CHECK_FALSE(holds(field("total").equals(k2To53 + 1), order));
  CHECK(holds(field("total").less_than(k2To53 + 1), order));
  order.count = INT64_MAX;
  CHECK(holds(field("count").less_than(9223372036854775808.0), order));
  order.count = INT64_MIN;
  CHECK(holds(field("count").equals(-9223372036854775808.0), order));
  order.tiny = -128;
  CHECK(holds(field("tiny").equals(-128L), order));
  order.weight = 0.1F;
  CHECK(holds(field("weight").equals(0.1F), order));
  CHECK_FALSE(holds(field("weight").equals(0.1), order));
  order.total = -0.0;
  CHECK(holds(field("total").equals(0), order));
}

TEST_CASE("filter: NaN fulfils nothing but not_equals, infinities are ordered", "[filter]") {
  Order order;
  order.total = kNan;
  for (const Filter& filter : {field("total").equals(kNan), field("total").less_than(1),
                               field("total").at_most(1), field("total").greater_than(1),
                               field("total").at_least(1U), field("total").one_of({kNan, 1})}) {
    CHECK_FALSE(holds(filter, order));
  }
  CHECK(holds(field("total").not_equals(kNan), order));
  CHECK(holds(field("total").not_equals(1), order));
  CHECK(holds(field("count").not_equals(kNan), order));
  CHECK_FALSE(holds(field("count").at_most(kNan), order));
  CHECK_FALSE(holds(field("serial").at_least(kNan), order));
  const double infinity = std::numeric_limits<double>::infinity();
  order.total = infinity;
  CHECK(holds(field("total").greater_than(UINT64_MAX), order));
  order.total = -infinity;
  CHECK(holds(field("total").less_than(INT64_MIN), order));
  order.count = INT64_MIN;
  CHECK(holds(field("count").greater_than(-infinity), order));
}

TEST_CASE("filter: text, truth values and enumerations compare with their own kind", "[filter]") {
  Order order;
  order.id = "order-7";
  order.express = true;
  order.state = State::paid;
  order.flag = Flag::on;
  CHECK(holds(field("id").equals("order-7"), order));
  CHECK(holds(field("id").equals(std::string("order-7")), order));
  CHECK(holds(field("id").one_of({"a", "order-7"}), order));
  CHECK(holds(field("id").less_than("order-8"), order));
  CHECK(holds(field("id").at_least("order"), order));
  CHECK(holds(field("id").starts_with("order-"), order));
  CHECK(holds(field("id").starts_with(""), order));
  CHECK_FALSE(holds(field("id").starts_with("order-7-"), order));
  CHECK(holds(field("id").ends_with("-7"), order));
  CHECK_FALSE(holds(field("id").ends_with("xorder-7"), order));
  CHECK(holds(field("id").contains("der"), order));
  CHECK_FALSE(holds(field("id").contains("Der"), order));
  order.id = std::string("a\0b", 3);
  CHECK(holds(field("id").ends_with("b"), order));
  CHECK_FALSE(holds(field("id").equals("a"), order));
  CHECK(holds(field("express").equals(true), order));
  CHECK_FALSE(holds(field("express").equals(false), order));
  CHECK(holds(field("express").greater_than(false), order));
  CHECK(holds(field("state").equals(State::paid), order));
  CHECK(holds(field("state").equals(7), order));
  CHECK(holds(field("state").one_of({State::open, State::paid}), order));
  CHECK_FALSE(holds(field("state").equals(State::open), order));
  CHECK(holds(field("flag").equals(Flag::on), order));
  CHECK(holds(field("flag").equals(true), order));
}

TEST_CASE("filter: an enum with names compares by them, whoever names it", "[filter]") {
  const Sent sent{Service::express};
  const auto matches = [&](const Filter& filter) {
    const auto bound = filter.bind(type_info<Sent>());
    INFO(bound.status());
    REQUIRE(bound.ok());
    CHECK(filter.matches(type_info<Sent>(), &sent) == bound->matches(&sent));
    return bound->matches(&sent);
  };
  CHECK(matches(field("service").equals(Service::express)));
  CHECK(matches(field("service").equals("express")));
  CHECK(matches(field("service").one_of({Service::standard, Service::express})));
  CHECK_FALSE(matches(field("service").equals(Service::standard)));
  CHECK_FALSE(matches(field("service").equals(static_cast<Service>(7))));  // has no name
  const auto bound = field("service").equals(1).bind(type_info<Sent>());
  CHECK(wisp::message(bound.status()) ==
        "field 'service' of type 'Sent' is of kind text, it does not compare with number");
}

TEST_CASE("filter: an empty optional fulfils nothing, and its negation holds", "[filter]") {
  Order order;
  for (const Filter& filter :
       {field("rating").equals(0), field("rating").not_equals(0), field("rating").at_least(0),
        field("rating").one_of({0}), field("rating").exists(), field("note").starts_with(""),
        field("note").not_equals("x"), field("note").exists(), field("referrer").exists(),
        field("parts").exists(), field("referrer.name").exists(),
        field("referrer.name").not_equals("x"), field("referrer.country.zone").at_least(-1),
        field("customer.billed.zone").exists()}) {
    CHECK_FALSE(holds(filter, order));
    CHECK(holds(!filter, order));
  }
  order.rating = 0;
  order.note = "note";
  order.referrer = Customer{"Ana", {"PT", 1}, Country{"ES", 2}};
  order.parts.emplace();
  CHECK(holds(field("rating").equals(0), order));
  CHECK(holds(field("rating").exists(), order));
  CHECK(holds(field("note").starts_with("no"), order));
  CHECK(holds(field("referrer").exists(), order));
  CHECK(holds(field("parts").exists(), order));
  CHECK(holds(field("referrer.name").equals("Ana"), order));
  CHECK(holds(field("referrer.billed.zone").equals(2), order));
  CHECK(holds(field("referrer.country.code").equals("PT"), order));
  for (const auto always : {"id", "total", "express", "customer", "customer.country", "lines"})
    CHECK(holds(field(always).exists(), order));
}

TEST_CASE("filter: a path with dots walks nested structs", "[filter]") {
  Order order;
  order.customer = {"Rui", {"PT", 3}, {}};
  CHECK(holds(field("customer.name").equals("Rui"), order));
  CHECK(holds(field("customer.country.code").one_of({"ES", "PT"}), order));
  CHECK(holds(field("customer.country.zone").less_than(4), order));
  CHECK_FALSE(holds(field("customer.country.zone").less_than(3), order));
}

TEST_CASE("filter: a field that the type lacks is refused by name", "[filter]") {
  CHECK(refusal(field("totl").at_least(1)) ==
        "type 'Order' has no field 'totl'; it has id, total, count, serial, tiny, weight, express, "
        "state, flag, rating, note, customer, referrer, lines, parts, fee");
  CHECK(refusal(field("customer.nme").equals("x")) ==
        "type 'Customer' has no field 'nme'; it has name, country, billed");
  CHECK(refusal(field("total.cents").equals(1)) ==
        "field 'total' of type 'Order' is of kind number, it has no field 'cents'");
  CHECK(refusal(field("customer.name.first").equals("x")) ==
        "field 'customer.name' of type 'Order' is of kind text, it has no field 'first'");
  CHECK(refusal(field("fee.cents").equals(1)) ==
        "type 'wisp.Money' has no field 'cents'; it has none: WISP_FIELDS names what filters see");
  for (const auto path : {"", ".", "customer.", ".customer", "customer..name", "Total", "total "})
    CHECK_FALSE(refusal(field(path).exists()).empty());
  const auto plain = field("n").equals(1).bind(type_info<int>());
  CHECK(wisp::message(plain.status()) ==
        "type 'int32' has no field 'n'; it has none: WISP_FIELDS names what filters see");
}

TEST_CASE("filter: kinds that do not compare are refused by name", "[filter]") {
  CHECK(refusal(field("total").equals("100")) ==
        "field 'total' of type 'Order' is of kind number, it does not compare with text");
  CHECK(refusal(field("id").at_least(1)) ==
        "field 'id' of type 'Order' is of kind text, it does not compare with number");
  CHECK(refusal(field("express").equals(1)).find("boolean") != std::string::npos);
  CHECK(refusal(field("total").equals(true)).find("boolean") != std::string::npos);
  CHECK(refusal(field("total").contains("1")).find("text") != std::string::npos);
  CHECK(refusal(field("rating").equals("1")).find("rating") != std::string::npos);
  CHECK(refusal(field("customer").equals("x")).find("object") != std::string::npos);
  CHECK(refusal(field("lines").equals(1)).find("other") != std::string::npos);
  CHECK(refusal(field("total").one_of({1, "2"})).find("text") != std::string::npos);
  CHECK(refusal(field("customer.country.zone").equals("1")).find("customer.country.zone") !=
        std::string::npos);
}

TEST_CASE("filter: one bad condition refuses the whole, wherever it stands", "[filter]") {
  const Filter good = field("total").at_least(0);
  const Filter bad = field("totl").at_least(0);
  for (const Filter& filter :
       {good && bad, bad && good, good || bad, !bad, good && (good || !bad)}) {
    const auto bound = filter.bind(type_info<Order>());
    CHECK(wisp::message(bound.status()).find("'totl'") != std::string_view::npos);
  }
  // Unbound, a bad condition does not hold, and the rest goes on.
  const Order order;
  CHECK((good || bad).matches(type_info<Order>(), &order));
  CHECK_FALSE((good && bad).matches(type_info<Order>(), &order));
  CHECK((!bad).matches(type_info<Order>(), &order));
}

TEST_CASE("filter: a bound filter outlives what it was made of", "[filter]") {
  std::optional<BoundFilter> bound;
  {
    std::string path = "customer.name";
    std::string text = "a text that is too long to live inside of a string";
    const Filter filter = field(path).equals(text) && !field(path).equals("x");
    bound = *filter.bind(type_info<Order>());
    path.assign(path.size(), '?');
    text.assign(text.size(), '?');
  }
  Order order;
  CHECK_FALSE(bound->matches(&order));
  order.customer.name = "a text that is too long to live inside of a string";
  CHECK(bound->matches(&order));
}

TEST_CASE("filter: any two numbers compare as in 128 bits", "[filter]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    Seeded random(seed);
    for (int i = 0; i < 300; ++i) {
      Order order;
      order.count = static_cast<std::int64_t>(random.any_size());
      order.serial = random.any_size();
      // Whole doubles near the integers, so that 128 bits hold every operand exactly.
      order.total = static_cast<double>(random.below(2) == 0 ? order.count : order.count / 2);
      __extension__ using Wide = __int128;
      const auto check = [&](const char* name, Wide value, auto operand, Wide other) {
        const bool good = holds(field(name).equals(operand), order) == (value == other) &&
                          holds(field(name).not_equals(operand), order) == (value != other) &&
                          holds(field(name).less_than(operand), order) == (value < other) &&
                          holds(field(name).at_most(operand), order) == (value <= other) &&
                          holds(field(name).greater_than(operand), order) == (value > other) &&
                          holds(field(name).at_least(operand), order) == (value >= other);
        if (!good) FAIL("seed " << seed << ", step " << i << ": " << name << " and " << operand);
      };
      const auto real = static_cast<Wide>(order.total);
      check("count", order.count, order.serial, order.serial);
      check("serial", order.serial, order.count, order.count);
      check("count", order.count, order.total, real);
      check("serial", order.serial, order.total, real);
      check("total", real, order.count, order.count);
      check("total", real, order.serial, order.serial);
    }
  }
}
