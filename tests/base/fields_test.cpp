#include <wisp/base/fields.hpp>

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <memory>
#include <wisp/base/money.hpp>

#include "catch.hpp"

using wisp::FieldInfo;
using wisp::FieldKind;
using wisp::FieldValue;
using wisp::find_field;
using wisp::same_type;
using wisp::type_info;
using wisp::TypeInfo;

namespace one {
struct Order {
  std::string id;
};
WISP_FIELDS(Order, id)
}  // namespace one

namespace two {
struct Order {
  std::string id;
};
WISP_FIELDS(Order, id)
}  // namespace two

namespace {

enum class Colour : std::uint8_t { red = 1, blue = 200 };
enum class Sign : std::int16_t { minus = -1 };
enum class Flag : bool { off, on };

enum class Service { standard, express };
WISP_ENUM(Service, standard, express)
struct Sent {
  Service service;
  std::optional<Service> before;
};
WISP_FIELDS(Sent, service, before)

struct Address {
  std::string city;
  int zip;
};
WISP_FIELDS(Address, city, zip)

struct Everything {
  bool flag;
  char letter;
  std::int8_t tiny;
  std::uint16_t small;
  int whole;
  std::uint64_t big;
  float single;
  double real;
  std::string text;
  std::string_view view;
  const char* pointer;
  char array[4];
  Colour colour;
  Sign sign;
  Flag on;
  std::optional<int> maybe;
  std::optional<std::string> note;
  std::optional<std::vector<int>> maybe_list;
  Address address;
  std::optional<Address> other;
  std::vector<int> list;
};
WISP_FIELDS(Everything, flag, letter, tiny, small, whole, big, single, real, text, view, pointer,
            array, colour, sign, on, maybe, note, maybe_list, address, other, list)

Everything sample() {
  return {true,
          'x',
          -5,
          65'535,
          -7,
          UINT64_MAX,
          0.5F,
          2.25,
          "text",
          "view",
          "pointer",
          "abc",
          Colour::blue,
          Sign::minus,
          Flag::on,
          3,
          "note",
          std::vector<int>{1},
          {"Porto", 4000},
          Address{"Vigo", 36200},
          {1, 2}};
}

struct Wide {
  int a1, a2, a3, a4, a5, a6, a7, a8, b1, b2, b3, b4, b5, b6, b7, b8;
  int c1, c2, c3, c4, c5, c6, c7, c8, d1, d2, d3, d4, d5, d6, d7, d8;
};
WISP_FIELDS(Wide, a1, a2, a3, a4, a5, a6, a7, a8, b1, b2, b3, b4, b5, b6, b7, b8, c1, c2, c3, c4,
            c5, c6, c7, c8, d1, d2, d3, d4, d5, d6, d7, d8)

struct Nothing {};
WISP_FIELDS(Nothing)

struct Derived : Address {
  double extra;
};

struct Named : Address {
  double extra;
};
WISP_FIELDS(Named, zip, extra)

struct Plain {
  int n;
};

struct alignas(64) Aligned {
  int n;
};

FieldValue read(const Everything& value, std::string_view name) {
  const FieldInfo* field = find_field(type_info<Everything>(), name);
  REQUIRE(field != nullptr);
  return field->read(&value);
}

FieldKind kind(std::string_view name) { return find_field(type_info<Everything>(), name)->kind; }

}  // namespace

TEST_CASE("fields: names come in the order of the macro, one to 32 of them", "[fields]") {
  const Wide wide{1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                  17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};
  std::string names;
  int sum = 0;
  int count = 0;
  wisp::for_each_field(wide, [&](std::string_view name, const int& member) {
    names.append(name);
    CHECK(member == ++count);
    sum += member;
  });
  CHECK(count == 32);
  CHECK(sum == 528);
  CHECK(names == "a1a2a3a4a5a6a7a8b1b2b3b4b5b6b7b8c1c2c3c4c5c6c7c8d1d2d3d4d5d6d7d8");
  CHECK(type_info<Wide>().fields.size() == 32);
  CHECK(type_info<Nothing>().fields.empty());
  CHECK(type_info<Nothing>().wire_name == "Nothing");
}

TEST_CASE("fields: members are written through for_each_field", "[fields]") {
  Address address{"Porto", 1};
  wisp::for_each_field(address, [](std::string_view, auto& member) { member = {}; });
  CHECK(address.city.empty());
  CHECK(address.zip == 0);
}

TEST_CASE("fields: every kind reads as what a filter compares", "[fields]") {
  const Everything e = sample();
  CHECK(read(e, "flag") == FieldValue(true));
  CHECK(read(e, "letter") == FieldValue(std::int64_t{'x'}));
  CHECK(read(e, "tiny") == FieldValue(std::int64_t{-5}));
  CHECK(read(e, "small") == FieldValue(std::uint64_t{65'535}));
  CHECK(read(e, "whole") == FieldValue(std::int64_t{-7}));
  CHECK(read(e, "big") == FieldValue(UINT64_MAX));
  CHECK(read(e, "single") == FieldValue(0.5));
  CHECK(read(e, "real") == FieldValue(2.25));
  CHECK(read(e, "text") == FieldValue(std::string_view("text")));
  CHECK(read(e, "view") == FieldValue(std::string_view("view")));
  CHECK(read(e, "pointer") == FieldValue(std::string_view("pointer")));
  CHECK(read(e, "array") == FieldValue(std::string_view("abc")));
  CHECK(read(e, "colour") == FieldValue(std::uint64_t{200}));
  CHECK(read(e, "sign") == FieldValue(std::int64_t{-1}));
  CHECK(read(e, "on") == FieldValue(true));
  CHECK(read(e, "maybe") == FieldValue(std::int64_t{3}));
  CHECK(read(e, "note") == FieldValue(std::string_view("note")));
  CHECK(read(e, "list") == FieldValue(true));
  CHECK(read(e, "address") == FieldValue(true));
  for (const auto name : {"flag", "on"}) CHECK(kind(name) == FieldKind::boolean);
  for (const auto name : {"letter", "tiny", "small", "big", "real", "colour", "sign", "maybe"})
    CHECK(kind(name) == FieldKind::number);
  for (const auto name : {"text", "view", "pointer", "array", "note"})
    CHECK(kind(name) == FieldKind::text);
  for (const auto name : {"address", "other"}) CHECK(kind(name) == FieldKind::object);
  for (const auto name : {"list", "maybe_list"}) CHECK(kind(name) == FieldKind::other);
}

TEST_CASE("fields: what is not there reads as nothing", "[fields]") {
  Everything e = sample();
  e.maybe.reset();
  e.note.reset();
  e.other.reset();
  e.maybe_list.reset();
  e.pointer = nullptr;
  for (const auto name : {"maybe", "note", "other", "maybe_list", "pointer"}) {
    INFO(name);
    CHECK(read(e, name) == FieldValue());
  }
  CHECK(find_field(type_info<Everything>(), "absent") == nullptr);
  CHECK(find_field(type_info<Everything>(), "") == nullptr);
  CHECK(find_field(type_info<int>(), "n") == nullptr);
}

TEST_CASE("fields: text in an array ends with the array at the latest", "[fields]") {
  Everything e = sample();
  e.array[3] = 'd';
  CHECK(read(e, "array") == FieldValue(std::string_view("abcd")));
  e.array[0] = '\0';
  CHECK(read(e, "array") == FieldValue(std::string_view("")));
}

TEST_CASE("fields: a nested struct leads on to its own fields, an empty optional nowhere",
          "[fields]") {
  Everything e = sample();
  const FieldInfo* address = find_field(type_info<Everything>(), "address");
  CHECK(address->type == &type_info<Address>());
  CHECK(address->member(&e) == &e.address);
  const FieldInfo* other = find_field(type_info<Everything>(), "other");
  REQUIRE(other->type == &type_info<Address>());
  CHECK(find_field(*other->type, "zip")->read(other->member(&e)) ==
        FieldValue(std::int64_t{36200}));
  e.other.reset();
  CHECK(other->member(&e) == nullptr);
  CHECK(find_field(type_info<Everything>(), "text")->type == nullptr);
}

TEST_CASE("fields: the wire name is the token, and every built-in type has its own", "[fields]") {
  CHECK(type_info<Address>().wire_name == "Address");
  CHECK(type_info<std::string>().wire_name == "string");
  CHECK(type_info<std::int64_t>().wire_name == "int64");
  CHECK(type_info<unsigned char>().wire_name == "uint8");
  CHECK(type_info<wisp::Money>().wire_name == "wisp.Money");
  std::map<std::string_view, std::string_view> all;
  const auto add = [&all]<class T>(const T*) {
    const TypeInfo& info = type_info<T>();
    INFO(info.spelled_name << " and " << all[info.wire_name]);
    CHECK_FALSE(info.wire_name.empty());
    CHECK(all[info.wire_name].empty());
    all[info.wire_name] = info.spelled_name;
  };
  const auto add_all = [&add]<class... T>(const std::tuple<T...>*) {
    (add(static_cast<const T*>(nullptr)), ...);
  };
  using Arithmetic =
      std::tuple<bool, char, signed char, unsigned char, wchar_t, char8_t, char16_t, char32_t,
                 short, unsigned short, int, unsigned, long, unsigned long, long long,
                 unsigned long long, float, double, long double, std::string>;
  add_all(static_cast<const Arithmetic*>(nullptr));
  CHECK(all.size() == std::tuple_size_v<Arithmetic>);
}

TEST_CASE("fields: a type without fields stays in process and is named as it is spelled",
          "[fields]") {
  CHECK(type_info<Plain>().wire_name.empty());
  CHECK(type_info<Plain>().name().find("Plain") != std::string_view::npos);
  CHECK(type_info<Address>().name() == "Address");
  CHECK(type_info<std::vector<int>>().wire_name.empty());
  CHECK(type_info<std::vector<Address>>().fields.empty());
  CHECK(type_info<Aligned>().alignment == 64);
  CHECK(type_info<Aligned>().size == sizeof(Aligned));
}

TEST_CASE("fields: a derived class has its base's fields only if it says so", "[fields]") {
  CHECK(type_info<Derived>().wire_name.empty());
  CHECK(type_info<Derived>().fields.empty());
  CHECK(type_info<Named>().wire_name == "Named");
  const Named named{{"Porto", 4000}, 0.5};
  CHECK(find_field(type_info<Named>(), "zip")->read(&named) == FieldValue(std::int64_t{4000}));
  CHECK(find_field(type_info<Named>(), "city") == nullptr);
}

TEST_CASE("fields: two types of one name are told apart, one type of two images is not",
          "[fields]") {
  CHECK(same_type(type_info<one::Order>(), type_info<one::Order>()));
  CHECK_FALSE(same_type(type_info<one::Order>(), type_info<two::Order>()));
  CHECK(type_info<one::Order>().wire_name == type_info<two::Order>().wire_name);

  // The same type as another image, or another file's unnamed namespace, would describe it.
  TypeInfo twin = type_info<Address>();
  CHECK(same_type(twin, type_info<Address>()));
  std::array<FieldInfo, 2> fields{twin.fields[0], twin.fields[1]};
  twin.fields = fields;
  CHECK(same_type(twin, type_info<Address>()));
  fields[1].name = "post_code";
  CHECK_FALSE(same_type(twin, type_info<Address>()));
  fields[1].name = "zip";
  fields[1].kind = FieldKind::text;
  CHECK_FALSE(same_type(twin, type_info<Address>()));
  fields[1].kind = FieldKind::number;
  twin.size += 8;
  CHECK_FALSE(same_type(twin, type_info<Address>()));
  TypeInfo unnamed = type_info<Plain>();
  CHECK_FALSE(same_type(unnamed, type_info<Plain>()));
}

TEST_CASE("fields: a value's bytes count the text that its fields hold", "[fields]") {
  const auto bytes = [](const auto& value) {
    return type_info<std::remove_cvref_t<decltype(value)>>().bytes(&value);
  };
  CHECK(bytes(7) == sizeof(int));
  CHECK(bytes(std::string(100, 'x')) == sizeof(std::string) + 100);
  Everything e = sample();
  const std::size_t before = bytes(e);
  e.text.append(1'000, 'x');
  e.address.city.append(10'000, 'x');
  e.note->append(100'000, 'x');
  e.other->city.append(1'000'000, 'x');
  CHECK(bytes(e) == before + 1'111'000);
}

TEST_CASE("fields: destroy runs the destructor", "[fields]") {
  const auto shared = std::make_shared<int>(1);
  using Pointer = std::shared_ptr<int>;
  alignas(Pointer) std::byte room[sizeof(Pointer)];
  ::new (static_cast<void*>(room)) Pointer(shared);
  CHECK(shared.use_count() == 2);
  type_info<Pointer>().destroy(room);
  CHECK(shared.use_count() == 1);
}

TEST_CASE("fields: kinds have names for messages", "[fields]") {
  CHECK(wisp::to_string(FieldKind::boolean) == "boolean");
  CHECK(wisp::to_string(FieldKind::number) == "number");
  CHECK(wisp::to_string(FieldKind::text) == "text");
  CHECK(wisp::to_string(FieldKind::object) == "object");
  CHECK(wisp::to_string(FieldKind::other) == "other");
}

TEST_CASE("fields: an enum with names reads as its name", "[fields]") {
  const auto fields = wisp::type_info<Sent>().fields;
  CHECK(fields[0].kind == wisp::FieldKind::text);
  CHECK(fields[1].kind == wisp::FieldKind::text);
  const Sent sent{Service::express, Service::standard};
  CHECK(fields[0].read(&sent) == wisp::FieldValue(std::string_view("express")));
  CHECK(fields[1].read(&sent) == wisp::FieldValue(std::string_view("standard")));
  const Sent odd{static_cast<Service>(7), std::nullopt};
  CHECK(std::holds_alternative<std::monostate>(fields[0].read(&odd)));
  CHECK(std::holds_alternative<std::monostate>(fields[1].read(&odd)));
}
