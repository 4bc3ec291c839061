#include <wisp/json/json.hpp>

#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include <wisp/base/codec_chrono.hpp>
#include <wisp/base/codec_containers.hpp>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using wisp::StatusCode;
using wisp::UnknownMembers;
namespace json = wisp::json;

struct Item {
  std::string name;
  double price = 0;
  friend bool operator==(const Item&, const Item&) = default;
};
WISP_FIELDS(Item, name, price)

struct Circle {
  double radius = 0;
};
WISP_FIELDS(Circle, radius)

enum class Size { small, large };
WISP_ENUM(Size, small, large)

struct Order {
  std::string id;
  std::vector<Item> items;
  std::optional<Size> size;
  std::map<std::string, int> counts;
  friend bool operator==(const Order&, const Order&) = default;
};
WISP_FIELDS(Order, id, items, size, counts)

struct Tree {
  int value = 0;
  std::vector<Tree> children;
};
WISP_FIELDS(Tree, value, children)

struct Celsius {
  double degrees = 0;
};

// What an error says, without its code.
template <class T>
std::string error_of(std::string_view text, const json::ReadOptions& options = {}) {
  const wisp::Result<T> result = json::read<T>(text, options);
  return result.ok() ? "read" : std::string(wisp::message(result.status()));
}

template <class T>
std::string again(std::string_view text) {
  const wisp::Result<T> result = json::read<T>(text);
  return result.ok() ? json::write(*result) : std::string(wisp::message(result.status()));
}

}  // namespace

template <>
struct wisp::Codec<Celsius> {
  static Status read(const Reader& from, Celsius& to) {
    WISP_TRY(to.degrees, from.read<double>());
    if (to.degrees < -273.15) return from.expected("a temperature above absolute zero");
    return Status();
  }
  static void write(Writer& to, const Celsius& value) { to.real(value.degrees); }
};

TEST_CASE("json: an order, in any order of its members", "[json]") {
  const wisp::Result<Order> order = json::read<Order>(R"(
      {"counts": {"b": 2, "a": 1}, "items": [{"price": 2.5, "name": "rope"}], "id": "4711"})");
  REQUIRE(order.ok());
  CHECK(*order == Order{"4711", {{"rope", 2.5}}, std::nullopt, {{"a", 1}, {"b", 2}}});
  CHECK(json::write(*order) ==
        R"({"id":"4711","items":[{"name":"rope","price":2.5}],"counts":{"a":1,"b":2}})");
}

TEST_CASE("json: an error says where and what", "[json]") {
  const json::ReadOptions order{.root = "order"};
  CHECK(error_of<Order>(R"({"id":"1","items":[{"name":"a","price":1},{"name":"b","price":"abc"}]})",
                        order) == R"(order.items[1].price: expected a number, got "abc")");
  CHECK(error_of<Order>(R"({"id":"1","items":[],"size":"medium"})", order) ==
        R"(order.size: expected "small" or "large", got "medium")");
  CHECK(error_of<Order>(R"({"id":"1"})", order) == "order.items: is missing");
  CHECK(error_of<Order>(R"({"id":"1","id":"2"})", order) == "order.id: is there twice");
  CHECK(error_of<Order>(R"({"id":"1","ID":"2"})", order) == "order.ID: Order has no such member");
  CHECK(error_of<Order>("[]", order) == "order: expected an object, got an array of 0");
  CHECK(error_of<Order>("[]") == "the value: expected an object, got an array of 0");
  CHECK(error_of<Order>(R"({"id":7})") == "id: expected a text, got 7");
  CHECK(error_of<std::vector<int>>("[1,null]") == "[1]: expected a number, got null");
  CHECK(error_of<Celsius>("-300", {.root = "t"}) ==
        "t: expected a temperature above absolute zero, got -300");
  // A long text is cut, between two characters.
  const std::string text = '"' + std::string(31, 'x') + "éé\"";
  CHECK(error_of<bool>(text) ==
        "the value: expected true or false, got \"" + std::string(31, 'x') + "…\"");
  // Neither a text nor a name makes a line of its own, nor one without end.
  CHECK(error_of<Order>(R"({"a\nINFO: well":1})", order) ==
        R"(order.a\x0aINFO: well: Order has no such member)");
  CHECK(error_of<bool>(R"("a\u0000b")") == R"(the value: expected true or false, got "a\x00b")");
  CHECK(error_of<Circle>("{\"" + std::string(1'000, 'x') + "\":1}") ==
        std::string(64, 'x') + "…: Circle has no such member");
}

TEST_CASE("json: unknown members are refused or ignored, as the reader says", "[json]") {
  const std::string_view text = R"({"radius":1,"colour":{"r":[1,2,{}]},"unit":"m"})";
  CHECK(error_of<Circle>(text) == "colour: Circle has no such member");
  const auto circle = json::read<Circle>(text, {.unknown = UnknownMembers::ignore});
  REQUIRE(circle.ok());
  CHECK(circle->radius == 1);
}

TEST_CASE("json: a number is read as it was meant, or not at all", "[json]") {
  CHECK(again<std::uint8_t>("255") == "255");
  CHECK(again<std::uint8_t>("256") == "the value: expected a whole number from 0 to 255, got 256");
  CHECK(again<std::uint8_t>("-1") == "the value: expected a whole number from 0 to 255, got -1");
  CHECK(again<std::int8_t>("-128") == "-128");
  CHECK(again<std::int8_t>("-129") ==
        "the value: expected a whole number from -128 to 127, got -129");
  // Whatever the compiler takes char for.
  CHECK(again<char>("-128") == "-128");
  CHECK(again<char>("128") == "the value: expected a whole number from -128 to 127, got 128");
  CHECK(again<int>("2.0") == "2");
  CHECK(again<int>("2e2") == "200");
  CHECK(again<int>("2.5").find("expected a whole number") != std::string::npos);
  CHECK(again<std::int64_t>("9223372036854775807") == "9223372036854775807");
  CHECK(again<std::int64_t>("9223372036854775808").find("expected") != std::string::npos);
  CHECK(again<std::uint64_t>("18446744073709551615") == "18446744073709551615");
  CHECK(again<std::uint64_t>("18446744073709551616").find("expected") != std::string::npos);
  CHECK(again<std::int64_t>("9007199254740993.0").find("expected") != std::string::npos);
  CHECK(again<double>("-0") == "-0");
  CHECK(again<int>("-0") == "0");
  CHECK(again<double>("0.1") == "0.1");
  CHECK(again<double>("5e-324") == "5e-324");
  CHECK(again<double>("1e-400") == "0");
  CHECK(again<double>("1.7976931348623157e308") == "1.7976931348623157e+308");
  CHECK(again<double>("1e309") == "line 1, byte 6: a number is beyond those of a double: 1e309");
  CHECK(again<float>("0.1") == "0.1");
  CHECK(again<float>("1e39").find("expected a number from") != std::string::npos);
  CHECK(json::write(std::numeric_limits<double>::quiet_NaN()) == "null");
  CHECK(json::write(std::numeric_limits<float>::infinity()) == "null");
}

TEST_CASE("json: what is no JSON is refused, with its place", "[json]") {
  for (const std::string_view text :
       {"", " ", "tru", "nul", "01", "1.", ".5", "+1", "1e", "-", "0x10", "NaN", "Infinity", "'a'",
        "\"a", "\"\\x\"", "\"\\u12\"", "\"\n\"", "\"\t\"", "[1,]", "[1 2]", "[,1]", "[", "]", "{",
        "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:1}", "1 2", "[1]]", "//x\n1", "1//x",
        "/**/1",
        "\xef\xbb\xbf"
        "1",
        // Lone surrogates, overlong and invalid UTF-8.
        "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\xff\"", "\"\xc0\xaf\"",
        "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\""}) {
    INFO(text);
    const auto document = json::Document::parse(text);
    CHECK(document.status().code() == StatusCode::kInvalidArgument);
    CHECK(wisp::message(document.status()).substr(0, 11) == "no JSON at ");
  }
  CHECK(error_of<int>("[1,\n 2,\n  x]") == "no JSON at line 3, byte 3: syntax error");
  using namespace std::string_view_literals;
  CHECK_FALSE(json::Document::parse("1\0"sv).ok());
  CHECK_FALSE(json::Document::parse("\"\0\""sv).ok());
}

TEST_CASE("json: text is as it was written, escapes and all", "[json]") {
  CHECK(json::read<std::string>(R"("a\"\\\/\b\f\n\r\t\u00e9\u20ac\ud83d\ude00b")").value() ==
        "a\"\\/\b\f\n\r\té€😀b");
  CHECK(json::read<std::string>(R"("\u0000")").value() == std::string(1, '\0'));
  CHECK(json::write(std::string("a\"\\\n\r\t\x01\x1f\x7f\0é€😀b", 20)).size() > 20);
  CHECK(json::write(std::string("\x01\"\\")) == R"("\u0001\"\\")");
  // What is no UTF-8 does not become such a text.
  CHECK(json::write(std::string("a\xff\xc0\xaf\xed\xa0\x80z")) == "\"a������z\"");
  // Several texts with escapes, between others.
  using Texts = std::vector<std::string>;
  CHECK(json::read<Texts>(R"(["\n1","2","\t3\n","","\u0041"])").value() ==
        Texts{"\n1", "2", "\t3\n", "", "A"});
}

TEST_CASE("json: limits at, and one beyond", "[json]") {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  CHECK(json::Document::parse(nested(32)).ok());
  CHECK(json::Document::parse(nested(33)).status().code() == StatusCode::kResourceExhausted);
  CHECK(json::Document::parse(nested(1'000'000), {.bytes = 4'000'000}).status().code() ==
        StatusCode::kResourceExhausted);
  CHECK(json::Document::parse("[1,2]", {.values = 3}).ok());
  CHECK(error_of<std::vector<int>>("[1,2,3]", {.limits = {.values = 3}}) ==
        "line 1, byte 7: more than 3 values");
  CHECK(json::Document::parse("1234", {.bytes = 4}).ok());
  CHECK(error_of<int>("12345", {.limits = {.bytes = 4}}) == "a text of 5 bytes: the limit is 4");
  CHECK(json::Document::parse("1", {.depth = 0}).ok());
  CHECK_FALSE(json::Document::parse("[]", {.depth = 0}).ok());
}

TEST_CASE("json: containers, pairs, tuples and variants", "[json]") {
  CHECK(again<std::vector<bool>>("[true,false]") == "[true,false]");
  CHECK(again<std::deque<int>>("[]") == "[]");
  CHECK(again<std::set<int>>("[3,1,2]") == "[1,2,3]");
  CHECK(again<std::set<int>>("[1,1]") == "[1]: is there twice");
  CHECK(again<std::array<int, 2>>("[1,2]") == "[1,2]");
  CHECK(again<std::array<int, 2>>("[1]") == "the value: expected an array of 2, got an array of 1");
  CHECK(again<std::pair<int, std::string>>(R"([1,"a"])") == R"([1,"a"])");
  CHECK(again<std::tuple<int, bool, std::optional<int>>>("[1,true,null]") == "[1,true,null]");
  CHECK(again<std::tuple<>>("[]") == "[]");
  CHECK(again<std::unordered_map<std::string, Item>>(R"({"a":{"name":"n","price":1}})") ==
        R"({"a":{"name":"n","price":1}})");
  CHECK(again<std::map<std::string, int>>(R"({"a":1,"a":2})") == "a: is there twice");
  using Shape = std::variant<std::monostate, Circle, Item>;
  CHECK(again<Shape>(R"({"Circle":{"radius":2}})") == R"({"Circle":{"radius":2}})");
  CHECK(again<Shape>("null") == "null");
  CHECK(again<Shape>(R"({"Square":{}})") ==
        R"(the value: expected an object with one member, "Circle" or "Item", got an object)");
  CHECK(again<Shape>(R"({"Circle":{"radius":"x"}})") ==
        R"(Circle.radius: expected a number, got "x")");
  CHECK(again<std::optional<int>>("null") == "null");
  CHECK(again<Tree>(R"({"value":1,"children":[{"value":2,"children":[]}]})") ==
        R"({"value":1,"children":[{"value":2,"children":[]}]})");
}

TEST_CASE("json: durations and times", "[json]") {
  using namespace std::chrono;
  CHECK(again<nanoseconds>(R"("1.5s")") == R"("1.500s")");
  CHECK(again<nanoseconds>(R"("-0.000000001s")") == R"("-0.000000001s")");
  CHECK(again<hours>(R"("7200s")") == R"("7200s")");
  CHECK(again<seconds>(R"("1.5s")") ==
        R"(the value: expected a multiple of what its type counts in, got "1.5s")");
  using Picoseconds = duration<std::int64_t, std::pico>;
  CHECK(again<Picoseconds>(R"("0.000000001s")") == R"("0.000000001s")");
  using Natural = duration<std::uint64_t, std::nano>;
  CHECK(again<Natural>(R"("1s")") == R"("1s")");
  CHECK(again<Natural>(R"("-1s")") ==
        R"(the value: expected a time that its type can count, got "-1s")");
  using Milliseconds = duration<std::uint64_t, std::milli>;
  CHECK(again<Milliseconds>(R"("-0.000551616s")").find("expected a time that") !=
        std::string::npos);
  CHECK(again<Picoseconds>(R"("9999999s")") ==
        R"(the value: expected a time that its type can count, got "9999999s")");
  using Nanoseconds = sys_time<nanoseconds>;
  CHECK(again<Nanoseconds>(R"("2026-11-29T17:30:00.25+01:00")") == R"("2026-11-29T16:30:00.250Z")");
  CHECK(again<Nanoseconds>(R"("2024-02-29t00:00:00z")") == R"("2024-02-29T00:00:00Z")");
  // The first day of all begins before what can be counted.
  CHECK(again<Nanoseconds>(R"("1677-09-21T12:00:00.5Z")") == R"("1677-09-21T12:00:00.500Z")");
  CHECK(json::write(Nanoseconds(nanoseconds::min())) == R"("1677-09-21T00:12:43.145224192Z")");
  CHECK(json::write(Nanoseconds(nanoseconds(-1))) == R"("1969-12-31T23:59:59.999999999Z")");
  for (const std::string_view text :
       {R"("")", R"("s")", R"("1")", R"("1.s")", R"(".5s")", R"("+1s")", R"("1.0000000001s")",
        R"("1s ")", R"(1)", R"("99999999999s")"}) {
    INFO(text);
    CHECK(error_of<nanoseconds>(text).find("expected a duration") != std::string::npos);
  }
  for (const std::string_view text :
       {R"("2026-02-29T00:00:00Z")", R"("2026-13-01T00:00:00Z")", R"("2026-01-01 00:00:00Z")",
        R"("2026-01-01T24:00:00Z")", R"("2026-01-01T00:60:00Z")", R"("2026-01-01T00:00:60Z")",
        R"("2026-01-01T00:00:00")", R"("2026-01-01T00:00:00+24:00")", R"("26-01-01T00:00:00Z")",
        R"("2026-01-01T00:00:00.Z")", R"("9999-01-01T00:00:00Z")"}) {
    INFO(text);
    CHECK(error_of<Nanoseconds>(text).find("expected a time") != std::string::npos);
  }
}

TEST_CASE("json: the schema of what is read", "[json]") {
  CHECK(json::schema<std::uint8_t>() ==
        R"({"$schema":"https://json-schema.org/draft/2020-12/schema",)"
        R"("allOf":[{"type":"integer","minimum":0,"maximum":255}]})");
  // A type that holds itself is defined once.
  CHECK(json::schema<Tree>() ==
        R"({"$schema":"https://json-schema.org/draft/2020-12/schema",)"
        R"("allOf":[{"$ref":"#/$defs/Tree"}],"$defs":{"Tree":{"type":"object","properties":{)"
        R"("value":{"type":"integer","minimum":-2147483648,"maximum":2147483647},)"
        R"("children":{"type":"array","items":{"$ref":"#/$defs/Tree"}}},)"
        R"("required":["value","children"],"additionalProperties":false}}})");
  // What an optional adds, and that it may be absent.
  const std::string order = json::schema<Order>();
  CHECK(order.find(R"("size":{"anyOf":[{"enum":["small","large"]},{"type":"null"}]})") !=
        order.npos);
  CHECK(order.find(R"("required":["id","items","counts"])") != order.npos);
  CHECK(order.find(R"("Item":{"type":"object")") != order.npos);
  // A codec of the program's own says nothing of its values.
  CHECK(json::schema<std::vector<Celsius>>().find(R"({"type":"array","items":{}})") !=
        std::string::npos);
  CHECK(json::schema<std::variant<std::monostate, Circle>>().find(
            R"({"oneOf":[{"type":"null"},{"type":"object","properties":{"Circle":)") !=
        std::string::npos);
}

TEST_CASE("json: the largest numbers of a type are read as they were, and no larger", "[json]") {
  constexpr float kMost = std::numeric_limits<float>::max();
  for (const float most : {kMost, -kMost})
    CHECK(json::read<float>(json::write(most)).value() == most);
  CHECK(error_of<float>("3.5e38").find("expected a number from") != std::string::npos);
  for (const double most :
       {std::numeric_limits<double>::max(), std::numeric_limits<double>::lowest()})
    CHECK(json::read<double>(json::write(most)).value() == most);
}

TEST_CASE("json: what is written is read as it was", "[json]") {
  using namespace std::chrono;
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    const auto any_double = [&random] {
      double n = 0;
      do n = std::bit_cast<double>(random.next());
      while (!std::isfinite(n));
      return n;
    };
    const auto any_text = [&random] {
      std::string text;
      static constexpr std::string_view kParts[] = {"a", "\"", "\\", "\n", "\x01", "é",
                                                    "€", "😀", " ",  "/",  "\x7f", "\u2028"};
      for (auto n = random.below(12); n > 0; --n) text += kParts[random.below(std::size(kParts))];
      return text;
    };
    Order order{any_text(), {}, std::nullopt, {}};
    for (auto n = random.below(5); n > 0; --n) order.items.push_back({any_text(), any_double()});
    if (random.below(2) == 0) order.size = random.below(2) == 0 ? Size::small : Size::large;
    for (auto n = random.below(5); n > 0; --n)
      order.counts[any_text()] = static_cast<int>(random.next());
    CHECK(json::read<Order>(json::write(order)).value() == order);
    const auto integer = static_cast<std::int64_t>(random.next());
    CHECK(json::read<std::int64_t>(json::write(integer)).value() == integer);
    const std::uint64_t natural = random.next();
    CHECK(json::read<std::uint64_t>(json::write(natural)).value() == natural);
    const auto real = std::bit_cast<float>(static_cast<std::uint32_t>(random.next()));
    if (std::isfinite(real)) CHECK(json::read<float>(json::write(real)).value() == real);
    const nanoseconds duration(integer);
    CHECK(json::read<nanoseconds>(json::write(duration)).value() == duration);
    const sys_time<nanoseconds> time(duration);
    CHECK(json::read<sys_time<nanoseconds>>(json::write(time)).value() == time);
  }
}

TEST_CASE("json: bytes that come in any order are read or refused", "[json]") {
  constexpr std::string_view kParts[] = {"{",     "}",          "[",  "]",      ",",    ":",
                                         "\"a\"", "\"radius\"", "1",  "-2.5e3", "null", "true",
                                         " ",     "\\",         "\"", "\xff"};
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    wisp::test::Seeded random(seed);
    std::string text;
    for (auto n = random.below(20); n > 0; --n) text += kParts[random.below(std::size(kParts))];
    INFO("seed " << seed << ": " << text);
    const auto document = json::Document::parse(text);
    if (!document.ok()) {
      CHECK_FALSE(json::read<Circle>(text).ok());
      continue;
    }
    // Whatever is there is within the document.
    CHECK(document->root().next() - &document->root() >= 1);
    (void)json::read<Circle>(text, {.unknown = UnknownMembers::ignore});
    (void)json::read<Tree>(text);
  }
}
