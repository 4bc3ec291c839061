// Member names and accessors of a plain struct, and the type's stable wire name.
//
//   struct Parcel { double kg; std::string country; };
//   WISP_FIELDS(Parcel, kg, country)          // in Parcel's namespace, after it; up to 32 members
//
//   wisp::for_each_field(parcel, [](std::string_view name, const auto& member) { ... });
//   const wisp::TypeInfo& info = wisp::type_info<Parcel>();      // info.wire_name == "Parcel"
//
// The wire name is the token given to WISP_FIELDS. Arithmetic types and std::string have built-in
// names, one each: std::int64_t is "int64" and a long long that is another type is "long_long".
// Every other type has none and stays in process, classes derived from one with fields included.
//
// Threads: value.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <wisp/base/each.hpp>
#include <wisp/base/enums.hpp>
#include <wisp/base/type_name.hpp>

namespace wisp::inline v0 {

struct TypeInfo;

// A field's value as filters see it: an enum that WISP_ENUM names by its name, another one by its
// number. monostate: an empty optional, a null const char*, an enum's value without a name. What
// filters do not compare, kinds object and other, reads as true.
using FieldValue =
    std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string_view>;

enum class FieldKind : std::uint8_t { boolean, number, text, object, other };

std::string_view to_string(FieldKind kind);

// One member of a struct, without its type. `object` points to the struct.
struct FieldInfo {
  std::string_view name;
  FieldKind kind;
  FieldValue (*read)(const void* object);     // views live as long as the object
  const void* (*member)(const void* object);  // an optional's value; null if it is empty
  const TypeInfo* type;  // of the member, or of the optional's value, for kind object; else null
};

// All that wisp knows of a type without RTTI. One object per type within an image.
struct TypeInfo {
  std::string_view wire_name;     // empty: stays in process
  std::string_view spelled_name;  // by the compiler, for messages
  std::size_t size;
  std::size_t alignment;
  void (*destroy)(void* object);
  std::size_t (*bytes)(const void* object);  // sizeof and the text that its fields hold
  std::span<const FieldInfo> fields;

  // The wire name, or how the compiler spells the type.
  std::string_view name() const { return wire_name.empty() ? spelled_name : wire_name; }
};

namespace detail {
bool same_across_images(const TypeInfo& a, const TypeInfo& b);
}

// Whether both describe one type: the same object, or, across images, the same wire name, spelling,
// layout and fields. Fields count because two files may each have a type of one name in an unnamed
// namespace, and compilers spell both alike.
inline bool same_type(const TypeInfo& a, const TypeInfo& b) {
  return &a == &b || detail::same_across_images(a, b);
}

// The field of that name, or null.
const FieldInfo* find_field(const TypeInfo& type, std::string_view name);

namespace detail {

template <class Owner, class Member>
struct Field {
  using Type = Member;
  std::string_view name;
  Member Owner::* member;
};
template <class Owner, class Member>
Field(std::string_view, Member Owner::*) -> Field<Owner, Member>;

template <class Owner, class... Fields>
struct FieldList {
  using Type = Owner;
  std::string_view wire_name;
  std::tuple<Fields...> fields;
};
template <class Owner, class... Fields>
constexpr FieldList<Owner, Fields...> field_list(std::string_view wire_name, Fields... fields) {
  return {wire_name, {fields...}};
}

// Found by argument-dependent lookup: the function that WISP_FIELDS defines beside T. A base
// class's is found too, but its names are not T's.
template <class T>
concept HasFields = requires(const T* type) {
  requires std::same_as<typename decltype(wisp_fields(type))::Type, T>;
};

template <class T>
constexpr auto fields_of() {
  return wisp_fields(static_cast<const T*>(nullptr));
}

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {
  using Value = T;
};

template <class T>
constexpr FieldKind field_kind() {
  if constexpr (IsOptional<T>::value) {
    return field_kind<typename IsOptional<T>::Value>();
  } else if constexpr (HasEnumerators<T>) {
    return FieldKind::text;
  } else if constexpr (std::is_enum_v<T>) {
    return field_kind<std::underlying_type_t<T>>();
  } else if constexpr (std::same_as<T, bool>) {
    return FieldKind::boolean;
  } else if constexpr (std::is_arithmetic_v<T>) {
    return FieldKind::number;
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return FieldKind::text;
  } else {
    return HasFields<T> ? FieldKind::object : FieldKind::other;
  }
}

// What is a number here is the same number on each machine: whether char and wchar_t have a sign is
// the compiler's to say.
template <class T>
using number_t =
    std::conditional_t<std::is_same_v<T, char>, signed char,
                       std::conditional_t<std::is_same_v<T, wchar_t>, std::int32_t, T>>;

template <class T>
FieldValue field_value(const T& value) {
  // Neither a null pointer nor an array that is full to its end is a C string.
  if constexpr (std::is_pointer_v<T> && std::is_convertible_v<T, std::string_view>) {
    if (value == nullptr) return {};
  }
  if constexpr (std::is_array_v<T> && std::is_convertible_v<const T&, std::string_view>) {
    const std::string_view all(value, sizeof value);
    return all.substr(0, all.find('\0'));
  }
  if constexpr (IsOptional<T>::value) {
    return value ? field_value(*value) : FieldValue();
  } else if constexpr (HasEnumerators<T>) {
    const std::string_view name = enumerator_name(value);
    return name.empty() ? FieldValue() : name;
  } else if constexpr (std::is_enum_v<T>) {
    return field_value(static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::same_as<T, bool>) {
    return value;
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<double>(value);
  } else if constexpr (std::is_arithmetic_v<T>) {
    using Number = number_t<T>;
    if constexpr (std::is_signed_v<Number>)
      return static_cast<std::int64_t>(static_cast<Number>(value));
    else return static_cast<std::uint64_t>(value);
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return static_cast<std::string_view>(value);
  } else {
    return true;
  }
}

template <class T>
constexpr std::string_view wire_name() {
  if constexpr (HasFields<T>) return fields_of<T>().wire_name;
  else if constexpr (std::same_as<T, bool>) return "bool";
  else if constexpr (std::same_as<T, std::string>) return "string";
  else if constexpr (std::same_as<T, float>) return "float";
  else if constexpr (std::same_as<T, double>) return "double";
  else if constexpr (std::same_as<T, long double>) return "long_double";
  else if constexpr (std::same_as<T, char>) return "char";
  else if constexpr (std::same_as<T, wchar_t>) return "wchar";
  else if constexpr (std::same_as<T, char8_t>) return "char8";
  else if constexpr (std::same_as<T, char16_t>) return "char16";
  else if constexpr (std::same_as<T, char32_t>) return "char32";
  else if constexpr (std::same_as<T, std::int8_t>) return "int8";
  else if constexpr (std::same_as<T, std::int16_t>) return "int16";
  else if constexpr (std::same_as<T, std::int32_t>) return "int32";
  else if constexpr (std::same_as<T, std::int64_t>) return "int64";
  else if constexpr (std::same_as<T, std::uint8_t>) return "uint8";
  else if constexpr (std::same_as<T, std::uint16_t>) return "uint16";
  else if constexpr (std::same_as<T, std::uint32_t>) return "uint32";
  else if constexpr (std::same_as<T, std::uint64_t>) return "uint64";
  else if constexpr (std::same_as<T, long>) return "long";
  else if constexpr (std::same_as<T, unsigned long>) return "unsigned_long";
  else if constexpr (std::same_as<T, long long>) return "long_long";
  else if constexpr (std::same_as<T, unsigned long long>) return "unsigned_long_long";
  else return {};
}

template <class T>
std::size_t heap_bytes(const T& value);
template <class T>
struct TypeData;

}  // namespace detail

// Calls visit(name, member) for each member in the order of WISP_FIELDS. T may be const.
template <class T, class Visitor>
constexpr void for_each_field(T& value, Visitor&& visit) {
  std::apply([&](const auto&... field) { (visit(field.name, value.*(field.member)), ...); },
             detail::fields_of<std::remove_const_t<T>>().fields);
}

template <class T>
constexpr const TypeInfo& type_info() {
  return detail::TypeData<T>::kInfo;
}

namespace detail {

// Text and nested text that a value holds outside of itself.
template <class T>
std::size_t heap_bytes(const T& value) {
  if constexpr (std::same_as<T, std::string>) {
    return value.size();
  } else if constexpr (IsOptional<T>::value) {
    return value ? heap_bytes(*value) : 0;
  } else if constexpr (HasFields<T>) {
    std::size_t sum = 0;
    for_each_field(value,
                   [&sum](std::string_view, const auto& member) { sum += heap_bytes(member); });
    return sum;
  } else {
    return 0;
  }
}

// What optionals, one in the other perhaps, hold in the end.
template <class T>
struct Innermost {
  using Type = T;
};
template <class T>
struct Innermost<std::optional<T>> : Innermost<T> {};

template <class T>
const void* innermost(const T& value) {
  if constexpr (IsOptional<T>::value) return value ? innermost(*value) : nullptr;
  else return &value;
}

template <class T, std::size_t Index>
constexpr FieldInfo make_field_info() {
  constexpr auto field = std::get<Index>(fields_of<T>().fields);
  using Member = typename std::remove_const_t<decltype(field)>::Type;
  constexpr FieldKind kind = field_kind<Member>();
  const TypeInfo* type = nullptr;
  if constexpr (kind == FieldKind::object) type = &type_info<typename Innermost<Member>::Type>();
  return {field.name, kind,
          [](const void* object) -> FieldValue {
            constexpr auto member = std::get<Index>(fields_of<T>().fields).member;
            return field_value(static_cast<const T*>(object)->*member);
          },
          [](const void* object) -> const void* {
            constexpr auto member = std::get<Index>(fields_of<T>().fields).member;
            return innermost(static_cast<const T*>(object)->*member);
          },
          type};
}

template <class T, std::size_t... Index>
constexpr auto make_field_table(std::index_sequence<Index...>) {
  return std::array<FieldInfo, sizeof...(Index)>{make_field_info<T, Index>()...};
}

template <class T>
constexpr auto field_table() {
  if constexpr (HasFields<T>) {
    return make_field_table<T>(
        std::make_index_sequence<std::tuple_size_v<decltype(fields_of<T>().fields)>>());
  } else {
    return std::array<FieldInfo, 0>{};
  }
}

template <class T>
struct TypeData {
  static constexpr auto kFields = field_table<T>();
  static constexpr TypeInfo kInfo{
      wire_name<T>(),
      type_name<T>(),
      sizeof(T),
      alignof(T),
      [](void* object) { static_cast<T*>(object)->~T(); },
      [](const void* object) { return sizeof(T) + heap_bytes(*static_cast<const T*>(object)); },
      std::span<const FieldInfo>(kFields.data(), kFields.size())};
};

}  // namespace detail
}  // namespace wisp::inline v0

// Names the members of a plain struct, in its namespace. See the top of this file.
#define WISP_FIELDS(Type, ...)                                                                     \
  [[maybe_unused]] constexpr auto wisp_fields(const Type*) {                                       \
    using WispSelf [[maybe_unused]] = Type;                                                        \
    return ::wisp::detail::field_list<Type>(                                                       \
        ::std::string_view(#Type) __VA_OPT__(, WISP_DETAIL_EACH(WISP_DETAIL_FIELD, __VA_ARGS__))); \
  }
#define WISP_DETAIL_FIELD(member) ::wisp::detail::Field(#member, &WispSelf::member)
