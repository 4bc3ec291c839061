// Codecs of what holds several values: arrays, maps, pairs and tuples, variants.
//
// What wisp needs to know of a container is how it is filled, so this includes none.
//
// Threads: any.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/core.h>

#include <wisp/base/codec.hpp>

namespace wisp::inline v0 {
namespace detail {

template <class T>
concept Container = !HasFields<T> && requires(T& t) {
  typename T::value_type;
  t.begin();
  t.end();
  t.clear();
};

// By text: an object.
template <class T>
concept TextMap =
    Container<T> && std::same_as<typename T::key_type, std::string> && requires(T& t) {
      typename T::mapped_type;
      t.try_emplace(std::string());
    };

template <class T>
concept Set = Container<T> && !requires { typename T::mapped_type; } && requires(T& t) {
  typename T::key_type;
  t.insert(std::declval<typename T::value_type>());
};

// None that takes an element twice.
template <class T>
concept UniqueSet =
    Set<T> && requires(T& t) { t.insert(std::declval<typename T::value_type>()).second; };

template <class T>
concept Sequence = Container<T> && requires(T& t) { t.emplace_back(); };

template <class Element>
void array_schema(Schema& to, bool unique) {
  to.writer().begin_object();
  to.member("type", "array");
  to.member<Element>("items");
  if (unique) {
    to.writer().name("uniqueItems");
    to.writer().boolean(true);
  }
  to.writer().end_object();
}

// Of a fixed length: std::array, std::pair and std::tuple.
template <class T>
concept TupleLike = !HasFields<T> && requires { std::tuple_size<T>::value; };

}  // namespace detail

template <detail::Sequence T>
struct Codec<T> {
  static Status read(const Reader& from, T& to) {
    using Element = typename T::value_type;
    to.clear();
    return from.each_element([&to](const Reader& each) {
      if constexpr (std::same_as<Element, bool>) {
        bool value = false;
        WISP_TRY(Codec<bool>::read(each, value));
        to.push_back(value);
        return Status();
      } else {
        return Codec<Element>::read(each, to.emplace_back());
      }
    });
  }
  static void write(Writer& to, const T& value) {
    to.begin_array();
    for (const auto& each : value) Codec<typename T::value_type>::write(to, each);
    to.end_array();
  }
  static void schema(Schema& to) { detail::array_schema<typename T::value_type>(to, false); }
};

// An element twice is an error, but of a multiset.
template <detail::Set T>
struct Codec<T> {
  static Status read(const Reader& from, T& to) {
    to.clear();
    return from.each_element([&to](const Reader& each) {
      typename T::value_type value{};
      WISP_TRY(Codec<typename T::value_type>::read(each, value));
      const std::size_t before = to.size();
      to.insert(std::move(value));
      return to.size() > before ? Status() : each.wrong("is there twice");
    });
  }
  static void write(Writer& to, const T& value) {
    to.begin_array();
    for (const auto& each : value) Codec<typename T::value_type>::write(to, each);
    to.end_array();
  }
  static void schema(Schema& to) {
    detail::array_schema<typename T::value_type>(to, detail::UniqueSet<T>);
  }
};

template <detail::TextMap T>
struct Codec<T> {
  static Status read(const Reader& from, T& to) {
    to.clear();
    return from.each_member([&to](std::string_view name, const Reader& each) {
      const auto [place, made] = to.try_emplace(std::string(name));
      if (!made) return each.wrong("is there twice");
      return Codec<typename T::mapped_type>::read(each, place->second);
    });
  }
  static void write(Writer& to, const T& value) {
    to.begin_object();
    for (const auto& [name, each] : value) {
      to.name(name);
      Codec<typename T::mapped_type>::write(to, each);
    }
    to.end_object();
  }
  static void schema(Schema& to) {
    to.writer().begin_object();
    to.member("type", "object");
    to.member<typename T::mapped_type>("additionalProperties");
    to.writer().end_object();
  }
};

template <detail::TupleLike T>
struct Codec<T> {
  static constexpr std::size_t kSize = std::tuple_size_v<T>;

  static Status read(const Reader& from, T& to) {
    if (from.kind() != ValueKind::array || from.value().size != kSize)
      return from.expected(fmt::format("an array of {}", kSize));
    std::size_t index = 0;
    return from.each_element([&](const Reader& each) {
      return reads(std::make_index_sequence<kSize>())[index++](each, to);
    });
  }
  static void write(Writer& to, const T& value) {
    to.begin_array();
    std::apply(
        [&to](const auto&... each) {
          (Codec<std::remove_cvref_t<decltype(each)>>::write(to, each), ...);
        },
        value);
    to.end_array();
  }
  static void schema(Schema& to) { schema_of(to, std::make_index_sequence<kSize>()); }

 private:
  template <std::size_t... i>
  static void schema_of(Schema& to, std::index_sequence<i...>) {
    Writer& writer = to.writer();
    writer.begin_object();
    to.member("type", "array");
    // Draft 2020-12 wants at least one.
    if constexpr (kSize > 0) {
      writer.name("prefixItems");
      writer.begin_array();
      (to.of<std::tuple_element_t<i, T>>(), ...);
      writer.end_array();
    }
    for (const char* bound : {"minItems", "maxItems"}) {
      writer.name(bound);
      writer.natural(kSize);
    }
    writer.end_object();
  }
  using Read = Status (*)(const Reader&, T&);
  template <std::size_t i>
  static Status read_one(const Reader& from, T& to) {
    return Codec<std::tuple_element_t<i, T>>::read(from, std::get<i>(to));
  }
  template <std::size_t... i>
  static const Read* reads(std::index_sequence<i...>) {
    static constexpr Read kAll[] = {&read_one<i>..., nullptr};
    return kAll;
  }
};

template <>
struct Codec<std::monostate> {
  static Status read(const Reader& from, std::monostate&) {
    return from.kind() == ValueKind::null ? Status() : from.expected("null");
  }
  static void write(Writer& to, std::monostate) { to.null(); }
  static void schema(Schema& to) { to.simple("null"); }
};

namespace detail {

template <std::size_t size>
constexpr bool all_different(std::array<std::string_view, size> names) {
  std::sort(names.begin(), names.end());
  return std::adjacent_find(names.begin(), names.end()) == names.end();
}

}  // namespace detail

// An object of one member, named as the type that it holds ({"Circle": {"radius": 2}}), so that no
// alternative is taken for another; std::monostate is null. Requires: each has a wire name.
template <class... T>
struct Codec<std::variant<T...>> {
  static_assert(((std::same_as<T, std::monostate> || !type_info<T>().wire_name.empty()) && ...),
                "an alternative of a variant is told by its wire name: WISP_FIELDS");
  static_assert(detail::all_different(std::array{type_info<T>().wire_name...}),
                "two alternatives of a variant have the same wire name");
  using Variant = std::variant<T...>;

  static Status read(const Reader& from, Variant& to) {
    if constexpr ((std::same_as<T, std::monostate> || ...)) {
      if (from.kind() == ValueKind::null) {
        to = std::monostate();
        return Status();
      }
    }
    if (from.kind() != ValueKind::object || from.value().size != 1) return from.expected(kinds());
    return from.each_member([&](std::string_view name, const Reader& each) {
      Status status;
      const bool found = (read_one<T>(name, each, to, status) || ...);
      return found ? status : from.expected(kinds());
    });
  }
  static void write(Writer& to, const Variant& value) {
    std::visit(
        [&to]<class Held>(const Held& held) {
          if constexpr (std::same_as<Held, std::monostate>) {
            to.null();
          } else {
            to.begin_object();
            to.name(type_info<Held>().wire_name);
            Codec<Held>::write(to, held);
            to.end_object();
          }
        },
        value);
  }

  static void schema(Schema& to) {
    Writer& writer = to.writer();
    writer.begin_object();
    writer.name("oneOf");
    writer.begin_array();
    (schema_of<T>(to), ...);
    writer.end_array();
    writer.end_object();
  }

 private:
  template <class Held>
  static void schema_of(Schema& to) {
    if constexpr (std::same_as<Held, std::monostate>) {
      to.of<Held>();
    } else {
      constexpr std::string_view name = type_info<Held>().wire_name;
      Writer& writer = to.writer();
      writer.begin_object();
      to.member("type", "object");
      writer.name("properties");
      writer.begin_object();
      to.member<Held>(name);
      writer.end_object();
      writer.name("required");
      writer.begin_array();
      writer.text(name);
      writer.end_array();
      writer.name("additionalProperties");
      writer.boolean(false);
      writer.end_object();
    }
  }
  template <class Held>
  static bool read_one(std::string_view name, const Reader& from, Variant& to, Status& status) {
    if (std::same_as<Held, std::monostate> || name != type_info<Held>().wire_name) return false;
    status = Codec<Held>::read(from, to.template emplace<Held>());
    return true;
  }
  static std::string kinds() {
    const std::string_view names[] = {type_info<T>().wire_name...};
    std::vector<std::string_view> set;
    for (const std::string_view each : names)
      if (!each.empty()) set.push_back(each);
    return "an object with one member, " + detail::one_of(set);
  }
};

}  // namespace wisp::inline v0
