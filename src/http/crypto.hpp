// What authentication needs of cryptography, over OpenSSL.
//
// Threads: any; a Secret is a value.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <wisp/base/random.hpp>
#include <wisp/base/status.hpp>

namespace wisp::inline v0::http {

// Bytes that are wiped when they go.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view bytes);
  // Wipes `bytes`.
  explicit Secret(std::string&& bytes);
  ~Secret() { wipe(); }
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;

  std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  void wipe();

  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
};

using Digest = std::array<char, 32>;
inline std::string_view view(const Digest& digest) { return {digest.data(), digest.size()}; }

// kInternal: OpenSSL could not, for want of memory.
Result<Digest> sha256(std::string_view text);
// Of the parts one after the other.
Result<Digest> hmac_sha256(std::string_view key, std::initializer_list<std::string_view> parts);

// In a time that depends on the sizes alone.
bool constant_time_equal(std::string_view a, std::string_view b);

// From `random`, or from OpenSSL where that is null. kInternal: there is no randomness.
Status fill_random(Random* random, std::span<char> to);

// RFC 4648, 4 and 5: the first with padding, the second without.
std::string base64(std::string_view bytes);
std::string base64url(std::string_view bytes);
// Of what these write alone, so that no two texts mean the same bytes; nullopt: it is something
// else. The result is not moved about in memory: who has to may wipe it.
std::optional<std::string> decode_base64(std::string_view text);
std::optional<std::string> decode_base64url(std::string_view text);

}  // namespace wisp::inline v0::http
