#include <wisp/model/content_pattern.hpp>

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/json/json.hpp>
#include <wisp/model/content_set.hpp>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using wisp::ContentPattern;
namespace json = wisp::json;

wisp::Result<ContentPattern> compile(std::string_view text) { return json::pattern(text); }

struct Customer {
  std::string country;
  std::optional<std::string> coupon;
};
WISP_FIELDS(Customer, country, coupon)

enum class Service { standard, registered };
WISP_ENUM(Service, standard, registered)

struct Sale {
  double total = 0;
  bool express = false;
  Customer customer;
  Service service = Service::standard;
  std::vector<std::string> tags{};
};
WISP_FIELDS(Sale, total, express, customer, service, tags)

// On the struct, and on its text.
bool on_both(std::string_view pattern, const Sale& order) {
  const wisp::Result<ContentPattern> compiled = compile(pattern);
  REQUIRE(compiled.ok());
  const auto bound = compiled->filter().bind(wisp::type_info<Sale>());
  INFO(wisp::to_string(bound.status()));
  REQUIRE(bound.ok());
  const bool typed = bound->matches(&order);
  const std::string text = json::write(order);
  CHECK(compiled->matches(json::Document::parse(text)->root()) == typed);
  CHECK(compiled->filter().matches(wisp::type_info<Sale>(), &order) == typed);
  return typed;
}

bool matches(std::string_view pattern, std::string_view event) {
  const wisp::Result<ContentPattern> compiled = compile(pattern);
  INFO(pattern << " on " << event << ": " << wisp::to_string(compiled.status()));
  REQUIRE(compiled.ok());
  const auto document = json::Document::parse(event);
  REQUIRE(document.ok());
  return compiled->matches(document->root());
}

// Of a field "f" with that list, on an event that has it with that value.
bool holds(std::string_view list, std::string_view value) {
  return matches(fmt::format(R"({{"f":{}}})", list), fmt::format(R"({{"f":{}}})", value));
}

std::string refusal(std::string_view pattern) {
  const wisp::Result<ContentPattern> compiled = compile(pattern);
  return compiled.ok() ? "compiled" : std::string(wisp::message(compiled.status()));
}

}  // namespace

TEST_CASE("content pattern: all fields, and of each list one", "[content_pattern]") {
  constexpr std::string_view kEvent =
      R"({"source":"shop","detail":{"state":"paid","total":120.5,"coupon":null,"express":true}})";
  CHECK(matches(R"({"source":["shop"]})", kEvent));
  CHECK(matches(R"({"source":["x","shop"],"detail":{"state":["paid"],"total":[120.50]}})", kEvent));
  CHECK_FALSE(matches(R"({"source":["shop"],"detail":{"state":["open"]}})", kEvent));
  CHECK(matches(R"({"detail":{"coupon":[null],"express":[true]}})", kEvent));
  CHECK_FALSE(matches(R"({"detail":{"express":["true"]}})", kEvent));
  CHECK_FALSE(matches(R"({"detail":{"missing":[null]}})", kEvent));
  CHECK_FALSE(matches(R"({"detail":["paid"]})", kEvent));
  CHECK_FALSE(matches(R"({"source":{"name":["shop"]}})", kEvent));
  CHECK_FALSE(matches(R"({"source":["shop"]})", "[]"));
}

TEST_CASE("content pattern: each operator, beside what it refuses", "[content_pattern]") {
  CHECK(holds(R"([{"prefix":"ab"}])", R"("abc")"));
  CHECK(holds(R"([{"prefix":""}])", R"("")"));
  CHECK_FALSE(holds(R"([{"prefix":"ab"}])", R"("Abc")"));
  CHECK_FALSE(holds(R"([{"prefix":"1"}])", "12"));
  CHECK(holds(R"([{"prefix":{"equals-ignore-case":"AB"}}])", R"("aBc")"));
  CHECK_FALSE(holds(R"([{"prefix":{"equals-ignore-case":"AB"}}])", R"("a")"));
  CHECK(holds(R"([{"suffix":".png"}])", R"("a.png")"));
  CHECK_FALSE(holds(R"([{"suffix":".png"}])", R"("png")"));
  CHECK(holds(R"([{"suffix":{"equals-ignore-case":".PnG"}}])", R"("a.pNg")"));
  CHECK(holds(R"([{"equals-ignore-case":"Ab"}])", R"("aB")"));
  CHECK_FALSE(holds(R"([{"equals-ignore-case":"Ab"}])", R"("abc")"));
  CHECK_FALSE(holds(R"([{"equals-ignore-case":"É"}])", R"("é")"));  // ASCII only
  CHECK(holds(R"([{"numeric":[">",0,"<=",5]}])", "5"));
  CHECK_FALSE(holds(R"([{"numeric":[">",0,"<=",5]}])", "0"));
  CHECK(holds(R"([{"numeric":["=",3e2]}])", "300.0"));
  CHECK(holds(R"([{"numeric":["<",10]}])", "-1e300"));
  CHECK_FALSE(holds(R"([{"numeric":["<",10]}])", R"("5")"));
  CHECK(holds(R"([{"exists":true}])", "null"));
  CHECK_FALSE(holds(R"([{"exists":true}])", R"({"a":1})"));
  CHECK(holds(R"([{"exists":false}])", R"({"a":1})"));
  CHECK(holds(R"([{"exists":false}])", "[]"));
  CHECK(matches(R"({"g":[{"exists":false}]})", R"({"f":1})"));
  CHECK(matches(R"({"g":{"h":[{"exists":false}]}})", R"({"f":1})"));
  CHECK(matches(R"({"g":["x",{"exists":false}]})", R"({"g":"x"})"));
  CHECK_FALSE(matches(R"({"g":["x",{"exists":false}]})", R"({"g":"y"})"));
  CHECK(holds(R"([{"cidr":"10.0.0.0/24"}])", R"("10.0.0.255")"));
  CHECK_FALSE(holds(R"([{"cidr":"10.0.0.0/24"}])", R"("10.0.1.0")"));
  CHECK(holds(R"([{"cidr":"10.0.0.0/23"}])", R"("10.0.1.0")"));
  CHECK(holds(R"([{"cidr":"0.0.0.0/0"}])", R"("255.1.2.3")"));
  CHECK_FALSE(holds(R"([{"cidr":"0.0.0.0/0"}])", R"("::1")"));
  CHECK(holds(R"([{"cidr":"2001:db8::/33"}])", R"("2001:db8:7fff::1")"));
  CHECK_FALSE(holds(R"([{"cidr":"2001:db8::/33"}])", R"("2001:db8:8000::1")"));
  CHECK_FALSE(holds(R"([{"cidr":"10.0.0.0/8"}])", R"("10.0.0.1x")"));
  CHECK_FALSE(holds(R"([{"cidr":"10.0.0.0/8"}])", R"("10.0.0.1\u0000")"));
}

TEST_CASE("content pattern: anything but", "[content_pattern]") {
  CHECK(holds(R"([{"anything-but":"a"}])", R"("b")"));
  CHECK_FALSE(holds(R"([{"anything-but":"a"}])", R"("a")"));
  CHECK(holds(R"([{"anything-but":"a"}])", "1"));
  CHECK_FALSE(holds(R"([{"anything-but":[1,2]}])", "2.0"));
  CHECK(holds(R"([{"anything-but":[1,2]}])", "3"));
  CHECK_FALSE(holds(R"([{"anything-but":{"prefix":"ab"}}])", R"("abc")"));
  CHECK(holds(R"([{"anything-but":{"prefix":["ab","cd"]}}])", R"("ef")"));
  CHECK_FALSE(holds(R"([{"anything-but":{"suffix":["ab","cd"]}}])", R"("xcd")"));
  CHECK_FALSE(holds(R"([{"anything-but":{"equals-ignore-case":["AB"]}}])", R"("ab")"));
  CHECK_FALSE(holds(R"([{"anything-but":{"wildcard":"a*b"}}])", R"("axb")"));
  CHECK_FALSE(matches(R"({"g":[{"anything-but":"a"}]})", R"({"f":1})"));  // there has to be one
  CHECK(holds(R"([{"anything-but":"a"}])", R"(["a","b"])"));
}

TEST_CASE("content pattern: wildcards", "[content_pattern]") {
  const auto wild = [](std::string_view pattern, std::string_view text) {
    return holds(fmt::format(R"([{{"wildcard":"{}"}}])", pattern), fmt::format(R"("{}")", text));
  };
  CHECK(wild("*", ""));
  CHECK(wild("*", "abc"));
  CHECK(wild("a*c", "ac"));
  CHECK(wild("a*c", "abcabc"));
  CHECK_FALSE(wild("a*c", "abcab"));
  CHECK_FALSE(wild("ab*bc", "abc"));  // the ends do not overlap
  CHECK(wild("*b*d*", "abcde"));
  CHECK_FALSE(wild("*d*b*", "abcde"));
  CHECK(wild("a\\\\*c", "a*c"));
  CHECK_FALSE(wild("a\\\\*c", "abc"));
  CHECK(wild("a\\\\\\\\*", "a\\\\x"));
  CHECK_FALSE(wild("abc", "abcd"));
}

TEST_CASE("content pattern: of a list one element, and nested fields in the same one",
          "[content_pattern]") {
  CHECK(holds(R"(["b"])", R"(["a","b"])"));
  CHECK(holds(R"(["b"])", R"([["a"],["b"]])"));
  CHECK_FALSE(holds(R"(["b"])", R"([{"b":"b"}])"));
  constexpr std::string_view kEvent = R"({"items":[{"x":1,"y":2},{"x":3,"y":4,"z":[{"w":5}]}]})";
  CHECK(matches(R"({"items":{"x":[1],"y":[2]}})", kEvent));
  CHECK_FALSE(matches(R"({"items":{"x":[1],"y":[4]}})", kEvent));
  CHECK(matches(R"({"items":{"x":[3],"z":{"w":[5]}}})", kEvent));
  CHECK_FALSE(matches(R"({"items":{"x":[1],"z":{"w":[5]}}})", kEvent));
  CHECK(matches(R"({"items":{"x":[1],"z":[{"exists":false}]}})", kEvent));
  CHECK_FALSE(matches(R"({"items":{"x":[3],"z":{"w":[{"exists":false}]}}})", kEvent));
  CHECK(matches(R"({"items":{"x":[{"exists":false}]}})", R"({"items":[]})"));
}

TEST_CASE("content pattern: or", "[content_pattern]") {
  constexpr std::string_view kOr = R"({"a":[1],"$or":[{"b":[2]},{"c":{"d":[3]}}]})";
  CHECK(matches(kOr, R"({"a":1,"b":2})"));
  CHECK(matches(kOr, R"({"a":1,"c":{"d":3}})"));
  CHECK_FALSE(matches(kOr, R"({"a":1,"b":3})"));
  CHECK_FALSE(matches(kOr, R"({"b":2})"));
  CHECK(matches(R"({"x":{"$or":[{"a":[1]},{"b":[1]}]}})", R"({"x":[{"a":2},{"b":1}]})"));
  // One alternative, or values: a field of that name.
  CHECK(matches(R"({"$or":[{"prefix":"x"}]})", R"({"$or":"xy"})"));
  CHECK(matches(R"({"$or":[1,2]})", R"({"$or":2})"));
}

TEST_CASE("content pattern: the same on the fields of a struct", "[content_pattern]") {
  const Sale order{120.5, true, {"PT", std::nullopt}};
  CHECK(on_both(R"({"total":[{"numeric":[">",100]}],"customer":{"country":["ES","PT"]}})", order));
  CHECK_FALSE(on_both(R"({"total":[{"numeric":[">",200]}]})", order));
  CHECK(on_both(R"({"express":[true],"customer":{"coupon":[{"exists":false}]}})", order));
  CHECK_FALSE(on_both(R"({"customer":{"coupon":[{"anything-but":"x"}]}})", order));
  CHECK(on_both(R"({"service":[{"prefix":"reg"}]})",
                {.customer = {"PT", {}}, .service = Service::registered}));
  CHECK_FALSE(on_both(R"({"service":["registered",1]})", order));
  CHECK(
      on_both(R"({"$or":[{"express":[false]},{"customer":{"country":[{"prefix":"P"}]}}]})", order));
  CHECK(on_both(R"({"customer":{"country":[{"wildcard":"*T"}]},"total":[120.50]})", order));
  const Sale endless{.total = std::numeric_limits<double>::infinity()};
  const auto above = compile(R"({"total":[{"numeric":[">",5]}]})")->filter();
  CHECK(above.bind(wisp::type_info<Sale>())->matches(&endless));
  // What it would not see is no reason to answer.
  for (const std::string_view content :
       {R"({"tags":["urgent"]})", R"({"tags":[true]})", R"({"tags":[{"exists":true}]})"})
    CHECK(wisp::message(compile(content)->filter().bind(wisp::type_info<Sale>()).status()) ==
          "field 'tags' of type 'Sale' is of kind other, whose content no pattern sees");
  CHECK_FALSE(compile(R"({"customer":[true]})")->filter().bind(wisp::type_info<Sale>()).ok());
  const auto lacking =
      compile(R"({"customer":{"city":["Porto"]}})")->filter().bind(wisp::type_info<Sale>());
  CHECK(wisp::message(lacking.status()) ==
        "type 'Customer' has no field 'city'; it has country, coupon");
}

TEST_CASE("content pattern: a bad one is refused with the place of its fault",
          "[content_pattern]") {
  CHECK(refusal("[]") == "the value: expected an object of fields, got an array of 0");
  CHECK(refusal("{}") == "the value: is an empty pattern");
  CHECK(refusal(R"({"a":{}})") == "a: is an empty pattern");
  CHECK(refusal(R"({"a":[]})") == "a: is an empty list: nothing would match");
  CHECK(refusal(R"({"a":"b"})") == R"(a: expected a list, or an object of fields, got "b")");
  CHECK(refusal(R"({"a":[1],"a":[2]})") == "a: is there twice");
  CHECK(refusal(R"({"a":{"b":[{"prefx":"x"}]}})") == "a.b[0].prefx: is no operator");
  CHECK(refusal(R"({"a":[{"prefix":5}]})") ==
        R"(a[0].prefix: expected a text, or {"equals-ignore-case": a text}, got 5)");
  CHECK(refusal(R"({"a":[{"prefix":"a","suffix":"b"}]})") ==
        "a[0]: expected an object of one operator, got an object");
  CHECK(refusal(R"({"a":[["b"]]})") ==
        "a[0]: expected a value that is neither a list nor an object, got an array of 1");
  CHECK(refusal(R"({"a":[{"numeric":[">"]}]})") ==
        "a[0].numeric: expected [operator, number], or two of these, got an array of 1");
  CHECK(refusal(R"({"a":[{"numeric":["!",1]}]})") ==
        R"(a[0].numeric[0]: expected one of =, <, <=, >, >=, got "!")");
  CHECK(refusal(R"({"a":[{"numeric":["<",1,"<",2]}]})") ==
        "a[0].numeric[3]: is a second bound on one side");
  CHECK(refusal(R"({"a":[{"numeric":[">",2,"<",2]}]})") ==
        "a[0].numeric: is a range without numbers");
  CHECK(refusal(R"({"a":[{"wildcard":"a**"}]})") == "a[0].wildcard: has ** in it");
  CHECK(refusal(R"({"a":[{"wildcard":"a\\x"}]})") ==
        R"(a[0].wildcard: has a \ that is followed by neither * nor \)");
  CHECK(refusal(R"({"a":[{"exists":"yes"}]})") ==
        R"(a[0].exists: expected true or false, got "yes")");
  for (const std::string_view cidr :
       {"10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/129", "/8", "x/1"}) {
    CHECK(refusal(fmt::format(R"({{"a":[{{"cidr":"{}"}}]}})", cidr)).find("a[0].cidr: expected") ==
          0);
  }
  CHECK(refusal(R"({"a":[{"anything-but":[]}]})") == "a[0].anything-but: is an empty list");
  for (const std::string_view mixed : {R"(["x",1])", R"([null,"x"])", R"([1,true])"})
    CHECK(refusal(fmt::format(R"({{"a":[{{"anything-but":{}}}]}})", mixed)) ==
          "a[0].anything-but: expected a list of texts or of numbers, got an array of 2");
  CHECK(refusal(R"({"a":[{"anything-but":{"numeric":["=",1]}}]})") ==
        "a[0].anything-but.numeric: is no operator here");
  CHECK(refusal(R"({"$or":[{"a":[1]},{"b":[]}]})") ==
        "$or[1].b: is an empty list: nothing would match");
}

namespace {

// Patterns and events that often match, of three names.
class Random {
 public:
  explicit Random(int seed) : random_(seed) {}

  std::string fields(int depth) {
    constexpr std::string_view kTests[] = {R"("a")",
                                           R"("b")",
                                           "1",
                                           "2.5",
                                           "null",
                                           "true",
                                           R"({"prefix":"a"})",
                                           R"({"prefix":"ab"})",
                                           R"({"suffix":"b"})",
                                           R"({"exists":true})",
                                           R"({"exists":false})",
                                           R"({"anything-but":"a"})",
                                           R"({"numeric":[">",1]})",
                                           R"({"wildcard":"a*b"})",
                                           R"({"equals-ignore-case":"AB"})"};
    std::string text;
    for (const char name : {'x', 'y', 'z'}) {
      if (random_.below(2) == 0) continue;
      if (depth > 0 && random_.below(3) == 0) {
        text += fmt::format(R"(,"{}":{})", name, fields(depth - 1));
        continue;
      }
      const std::string_view first = any(kTests);
      text += fmt::format(R"(,"{}":[{},{}])", name, first, any(kTests));
    }
    if (text.empty()) text = fmt::format(R"(,"x":[{}])", any(kTests));
    if (depth > 0 && random_.below(4) == 0) {
      const std::string first = fields(0);
      text += fmt::format(R"(,"$or":[{},{}])", first, fields(0));
    }
    return '{' + text.substr(1) + '}';
  }

  std::string event(int depth) {
    constexpr std::string_view kLeaves[] = {
        R"("a")", R"("b")", R"("ab")", R"("aab")",     "1",          "2.5", "3",
        "null",   "true",   "[]",      R"(["a","b"])", R"([1,"ab"])"};
    std::string text;
    for (const char name : {'x', 'y', 'z', 'x'}) {  // a second one of a name does not count
      if (random_.below(3) == 0) continue;
      const auto kind = depth > 0 ? random_.below(4) : 3;
      text += fmt::format(R"(,"{}":)", name);
      if (kind == 0) {
        text += event(depth - 1);
      } else if (kind == 1) {
        const std::string first = event(depth - 1);
        text += '[' + first + ',' + event(depth - 1) + ']';
      } else {
        text += any(kLeaves);
      }
    }
    return text.empty() ? "{}" : '{' + text.substr(1) + '}';
  }

 private:
  template <std::size_t n>
  std::string_view any(const std::string_view (&of)[n]) {
    return of[random_.below(n)];
  }

  wisp::test::Seeded random_;
};

}  // namespace

TEST_CASE("content set: of two members of one name the first counts", "[content_pattern]") {
  wisp::ContentSet set;
  set.add(*compile(R"({"a":[1]})"));
  set.add(*compile(R"({"a":{"b":[1]}})"));
  wisp::ContentSet::Scratch scratch;
  const auto found = [&](std::string_view event) {
    const auto document = json::Document::parse(event);
    REQUIRE(document.ok());
    return set.match(document->root(), scratch);
  };
  CHECK(found(R"({"a":2,"a":1})").empty());
  CHECK(found(R"({"a":1,"a":2})") == std::vector<int>{0});
  CHECK(found(R"({"a":{"b":2,"b":1}})").empty());
  CHECK(found(R"({"a":[{"b":2},{"b":1}]})") == std::vector<int>{1});
  CHECK(found(R"({"a":{"b":2},"a":{"b":1}})").empty());
}

TEST_CASE("content set: it finds those that match one by one", "[content_pattern]") {
  std::size_t matched = 0;
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    Random random(seed);
    wisp::ContentSet set;
    std::vector<ContentPattern> all;
    for (int i = 0; i < 30; ++i) {
      all.push_back(*compile(random.fields(2)));
      CHECK(set.add(all.back()) == i);
    }
    wisp::ContentSet::Scratch scratch;
    for (int n = 0; n < 30; ++n) {
      const std::string text = random.event(2);
      INFO(text);
      const auto document = json::Document::parse(text);
      std::vector<int> expected;
      for (int i = 0; i < 30; ++i)
        if (all[static_cast<std::size_t>(i)].matches(document->root())) expected.push_back(i);
      CHECK(set.match(document->root(), scratch) == expected);
      matched += expected.size();
    }
  }
  CHECK(matched > 0);
}

TEST_CASE("content pattern: wildcards match as the slowest way of looking does",
          "[content_pattern]") {
  // By its definition.
  const auto slow = [](auto&& self, std::string_view pattern, std::string_view text) -> bool {
    if (pattern.empty()) return text.empty();
    if (pattern[0] == '*') {
      for (std::size_t i = 0; i <= text.size(); ++i)
        if (self(self, pattern.substr(1), text.substr(i))) return true;
      return false;
    }
    return !text.empty() && text[0] == pattern[0] && self(self, pattern.substr(1), text.substr(1));
  };
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    wisp::test::Seeded random(seed);
    for (int n = 0; n < 50; ++n) {
      std::string pattern;
      std::string text;
      for (auto i = random.below(7); i > 0; --i) {
        const char next = "ab*"[random.below(3)];
        if (next != '*' || !pattern.ends_with('*')) pattern += next;
      }
      for (auto i = random.below(9); i > 0; --i) text += "ab"[random.below(2)];
      INFO("seed " << seed << ": " << pattern << " on " << text);
      CHECK(holds(fmt::format(R"([{{"wildcard":"{}"}}])", pattern), fmt::format(R"("{}")", text)) ==
            slow(slow, pattern, text));
    }
  }
}
