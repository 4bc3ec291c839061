// Strong ids and hashes that never change between runs, builds or machines.
//
//   wisp::EventId id = ...;
//   fmt::print("{}\n", id);                         // 32 hex digits
//   static_assert(wisp::stable_hash("price") == ...);
//
// Threads: value.
#pragma once

#include <fmt/core.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace wisp::inline v0 {

// One accepted event or post. `origin` is random for each Runtime, `sequence` counts within it:
// unique in practice across processes, cheap to make, and ordered among those that one thread made.
struct EventId {
  std::uint64_t origin = 0;
  std::uint64_t sequence = 0;

  // The id of nothing.
  constexpr bool empty() const { return origin == 0 && sequence == 0; }
  friend constexpr auto operator<=>(const EventId&, const EventId&) = default;
};

std::string to_string(EventId id);

// FNV-1a, 64 bits. Source: RFC 9923 (Fowler, Noll, Vo).
constexpr std::uint64_t stable_hash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

}  // namespace wisp::inline v0

template <>
struct std::hash<wisp::EventId> {
  std::size_t operator()(const wisp::EventId& id) const noexcept {
    return static_cast<std::size_t>(id.origin ^ (id.sequence * 0x9e3779b97f4a7c15U));
  }
};

template <>
struct fmt::formatter<wisp::EventId> : fmt::formatter<fmt::string_view> {
  fmt::format_context::iterator format(const wisp::EventId& id, fmt::format_context& context) const;
};
