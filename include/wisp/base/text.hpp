// Short texts as keys: a hash and a comparison that take eight bytes at a time. And what of a text
// is UTF-8.
//
//   const std::uint64_t hash = hash_text("orders.4711.paid");
//
// Within one run of a process only: the hash is seeded with where wisp was loaded, so that nobody
// outside can choose texts that collide. A hash of
// std::string_view that is the same everywhere is stable_hash() in id.hpp.
//
// Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace wisp::inline v0::detail {

// In the library: one seed for all that use it.
extern const char text_seed;

inline std::uint64_t load_eight(const char* from) {
  std::uint64_t word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

inline std::uint64_t hash_text(std::string_view text) {
  constexpr std::uint64_t kMultiplier = 0x9e3779b97f4a7c15U;
  const char* from = text.data();
  std::size_t left = text.size();
  std::uint64_t hash = left * kMultiplier ^ reinterpret_cast<std::uintptr_t>(&text_seed);
  const auto mix = [&hash](std::uint64_t word) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = Wide{hash ^ word} * kMultiplier;
    hash = static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  };
  for (; left > sizeof hash; from += sizeof hash, left -= sizeof hash) mix(load_eight(from));
  // The last eight bytes, some of them perhaps again.
  if (text.size() >= sizeof hash) {
    mix(load_eight(text.data() + text.size() - sizeof hash));
  } else {
    std::uint64_t word = 0;
    for (; left > 0; --left) word = word << 8 | static_cast<unsigned char>(from[left - 1]);
    mix(word);
  }
  return hash;
}

inline bool same_text(std::string_view a, std::string_view b) {
  const std::size_t size = a.size();
  if (size != b.size()) return false;
  if (size < sizeof(std::uint64_t)) {
    for (std::size_t i = 0; i < size; ++i)
      if (a[i] != b[i]) return false;
    return true;
  }
  const std::size_t last = size - sizeof(std::uint64_t);
  for (std::size_t i = 0; i < last; i += sizeof(std::uint64_t))
    if (load_eight(a.data() + i) != load_eight(b.data() + i)) return false;
  return load_eight(a.data() + last) == load_eight(b.data() + last);
}

// How many bytes at the front are one character of UTF-8, as RFC 3629 has it: no overlong form, no
// surrogate, nothing beyond U+10FFFF. 0: none are.
std::size_t utf8_length(std::string_view text);
bool is_utf8(std::string_view text);

}  // namespace wisp::inline v0::detail
