#include <cstdint>
#include <functional>
#include <string>

#include <wisp/base/fields.hpp>
#include <wisp/model/pattern.hpp>

#include "catch.hpp"
#include "model/filtered.hpp"
#include "seeds.hpp"

using wisp::field;
using wisp::Filter;
using wisp::type_info;
using wisp::test::kNan;
using wisp::test::Order;
using wisp::test::Seeded;
using wisp::test::test_seeds;

namespace {

// A random condition beside the same one as plain C++.
struct Pair {
  Filter filter;
  std::function<bool(const Order&)> naive;
};

Pair any_leaf(Seeded& random) {
  const auto number = static_cast<int>(random.between(-2, 2));
  const std::string text(random.below(3), 'a');
  switch (random.below(9)) {
    case 0:
      return {field("total").less_than(number), [=](const Order& o) { return o.total < number; }};
    case 1:
      return {field("total").not_equals(number), [=](const Order& o) { return o.total != number; }};
    case 2:
      return {field("count").at_least(number + 0.5),
              [=](const Order& o) { return static_cast<double>(o.count) >= number + 0.5; }};
    case 3:
      return {field("serial").at_most(number),
              [=](const Order& o) { return number >= 0 && o.serial <= std::uint64_t(number); }};
    case 4:
      return {field("rating").equals(number), [=](const Order& o) { return o.rating == number; }};
    case 5:
      return {field("rating").not_equals(number),
              [=](const Order& o) { return o.rating.has_value() && *o.rating != number; }};
    case 6:
      return {field("id").starts_with(text),
              [=](const Order& o) { return o.id.compare(0, text.size(), text) == 0; }};
    case 7:
      return {field("customer.country.zone").one_of({number, 2}), [=](const Order& o) {
                return o.customer.country.zone == number || o.customer.country.zone == 2;
              }};
    default:
      return {field("express").equals(number > 0),
              [=](const Order& o) { return o.express == (number > 0); }};
  }
}

Pair any_tree(Seeded& random, int depth) {
  if (depth == 0 || random.below(4) == 0) return any_leaf(random);
  const Pair a = any_tree(random, depth - 1);
  if (random.below(3) == 0) return {!a.filter, [=](const Order& o) { return !a.naive(o); }};
  const Pair b = any_tree(random, depth - 1);
  if (random.below(2) == 0)
    return {a.filter && b.filter, [=](const Order& o) { return a.naive(o) && b.naive(o); }};
  return {a.filter || b.filter, [=](const Order& o) { return a.naive(o) || b.naive(o); }};
}

Order any_order(Seeded& random) {
  Order order;
  order.id = std::string(random.below(3), random.below(2) == 0 ? 'a' : 'b');
  order.total = random.below(8) == 0 ? kNan : static_cast<double>(random.between(-4, 4)) / 2;
  order.count = random.between(-3, 3);
  order.serial = random.below(4);
  order.express = random.below(2) == 0;
  if (random.below(2) == 0) order.rating = static_cast<int>(random.between(-2, 2));
  order.customer.country.zone = static_cast<int>(random.between(-2, 2));
  return order;
}

}  // namespace

TEST_CASE("filter: any combination decides as the same condition in C++ does", "[filter]") {
  int held = 0;
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    Seeded random(seed);
    for (int i = 0; i < 50; ++i) {
      const Pair tree = any_tree(random, 4);
      const auto bound = tree.filter.bind(type_info<Order>());
      REQUIRE(bound.ok());
      for (int j = 0; j < 20; ++j) {
        const Order order = any_order(random);
        const bool expected = tree.naive(order);
        held += expected;
        if (bound->matches(&order) != expected ||
            tree.filter.matches(type_info<Order>(), &order) != expected)
          FAIL("seed " << seed << ", filter " << i << ", order " << j << ": expected " << expected);
      }
    }
  }
  CHECK(held > test_seeds() * 200);
  CHECK(held < test_seeds() * 800);
}
