// Who calls, as a gateway has found out.
//
//   const auto read = wisp::function("read", [](const wisp::http::Request& request) {
//     if (!request.caller.has_role("reader")) ...
//   });
//
// Threads: value.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace wisp::inline v0::http {

// What a caller has shown.
enum class Credential : std::uint8_t { none, api_key, token, webhook };

struct Principal {
  Credential shown = Credential::none;
  std::string issuer{};  // of a token that names one
  std::string id{};      // of a token its subject
  std::string tenant{};  // who pays for its calls; see CallOptions::tenant
  std::vector<std::string> roles{};

  // Who that is among all that a gateway knows, whatever each showed: "key:anna", "token:anna",
  // "webhook:payments"; "" of nobody.
  std::string name() const {
    constexpr std::string_view kKinds[] = {"", "key:", "token:", "webhook:"};
    return std::string(kKinds[static_cast<std::size_t>(shown)]) + id;
  }
  bool has_role(std::string_view role) const {
    return std::find(roles.begin(), roles.end(), role) != roles.end();
  }
  // Whether they are one, whatever roles each was given.
  bool same_as(const Principal& other) const {
    return shown == other.shown && issuer == other.issuer && id == other.id &&
           tenant == other.tenant;
  }
};

inline constexpr std::size_t kPrincipalIdMax = 256;  // bytes
inline constexpr std::size_t kRolesMax = 64;         // of one caller

}  // namespace wisp::inline v0::http
