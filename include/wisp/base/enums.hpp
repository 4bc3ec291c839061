// Names for the values of an enum.
//
//   enum class Size { small, large };
//   WISP_ENUM(Size, small, large)             // in Size's namespace, after it; up to 32 values
//
//   wisp::enumerator_name(Size::large)        // "large"; empty: one that was not given
//   wisp::enumerator<Size>("large")           // Size::large; nullopt: there is none of that name
//
// Threads: value.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <wisp/base/each.hpp>

namespace wisp::inline v0 {
namespace detail {

template <class Enum, std::size_t n>
struct Enumerators {
  std::array<Enum, n> values;
  std::array<std::string_view, n> names;
};

// Found by argument-dependent lookup: the function that WISP_ENUM defines beside T.
template <class T>
concept HasEnumerators = std::is_enum_v<T> && requires(const T* type) { wisp_enumerators(type); };

template <class T>
inline constexpr auto kEnumerators = wisp_enumerators(static_cast<const T*>(nullptr));

// "\"small\" or \"large\"".
std::string one_of(std::span<const std::string_view> names);

}  // namespace detail

template <detail::HasEnumerators T>
constexpr std::span<const std::string_view> enumerator_names() {
  return detail::kEnumerators<T>.names;
}

template <detail::HasEnumerators T>
constexpr std::string_view enumerator_name(T value) {
  const auto& all = detail::kEnumerators<T>;
  for (std::size_t i = 0; i < all.values.size(); ++i)
    if (all.values[i] == value) return all.names[i];
  return {};
}

template <detail::HasEnumerators T>
constexpr std::optional<T> enumerator(std::string_view name) {
  const auto& all = detail::kEnumerators<T>;
  for (std::size_t i = 0; i < all.names.size(); ++i)
    if (all.names[i] == name) return all.values[i];
  return std::nullopt;
}

}  // namespace wisp::inline v0

// Names the values of an enum, in its namespace. See the top of this file.
#define WISP_ENUM(Type, ...)                                                          \
  [[maybe_unused]] constexpr auto wisp_enumerators(const Type*) {                     \
    using WispEnum = Type;                                                            \
    constexpr ::std::array kValues{WISP_DETAIL_EACH(WISP_DETAIL_VALUE, __VA_ARGS__)}; \
    return ::wisp::detail::Enumerators<Type, kValues.size()>{                         \
        kValues, {WISP_DETAIL_EACH(WISP_DETAIL_VALUE_NAME, __VA_ARGS__)}};            \
  }
#define WISP_DETAIL_VALUE(value) WispEnum::value
#define WISP_DETAIL_VALUE_NAME(value) ::std::string_view(#value)
