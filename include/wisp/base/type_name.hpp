// A type's name as the compiler spells it: for messages only, since compilers disagree.
//
//   wisp::detail::type_name<std::vector<int>>();    // "std::vector<int>"
//   wisp::detail::type_name<wisp::Money>();         // "wisp::Money": no inline namespaces
//
// Threads: value.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace wisp::inline v0::detail {

template <class T>
constexpr std::string_view type_name_raw() {
  return __PRETTY_FUNCTION__;
}

template <class T>
constexpr std::string_view spelled_by_compiler() {
  // Where the name starts and how much follows it, learned from a type whose name is known.
  constexpr std::string_view probe = type_name_raw<double>();
  constexpr std::size_t before = probe.find("double");
  constexpr std::size_t after = probe.size() - before - std::string_view("double").size();
  constexpr std::string_view raw = type_name_raw<T>();
  return raw.substr(before, raw.size() - before - after);
}

// How long an inline namespace, which users do not write, is at the end of `before`, if one ends
// there and `enclosing` comes before it.
constexpr std::size_t inline_namespace(std::string_view before, std::string_view enclosing,
                                       std::string_view name) {
  if (!before.ends_with(name)) return 0;
  before.remove_suffix(name.size());
  if (!before.ends_with(enclosing)) return 0;
  before.remove_suffix(enclosing.size());
  // Not the tail of a longer name, such as my_wisp::v0::.
  const char last = before.empty() ? ' ' : before.back();
  const bool part_of_name = (last >= 'a' && last <= 'z') || (last >= 'A' && last <= 'Z') ||
                            (last >= '0' && last <= '9') || last == '_' || last == ':';
  return part_of_name ? 0 : name.size();
}

// g++ spells inline namespaces, clang leaves them out.
template <class T>
struct TypeName {
  static constexpr std::string_view kRaw = spelled_by_compiler<T>();
  struct Text {
    std::array<char, kRaw.size()> bytes{};
    std::size_t size = 0;
  };
  static constexpr Text kText = [] {
    Text text;
    for (std::size_t i = 0; i < kRaw.size(); ++i) {
      text.bytes[text.size++] = kRaw[i];
      const std::string_view until = kRaw.substr(0, i + 1);
      text.size -=
          inline_namespace(until, "wisp::", "v0::") + inline_namespace(until, "std::", "__cxx11::");
    }
    return text;
  }();
};

template <class T>
constexpr std::string_view type_name() {
  return {TypeName<T>::kText.bytes.data(), TypeName<T>::kText.size};
}

}  // namespace wisp::inline v0::detail
