#include "jwt_claims.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include <wisp/model/tenant.hpp>

namespace wisp::inline v0::http {
namespace {

constexpr double kSecondsMax = 253'402'300'799;  // the end of the year 9999

// "exp", "nbf" or "iat" in seconds since 1970; nullopt: there is none.
Result<std::optional<double>> read_time(const Value& claims, std::string_view name) {
  const Value* const claim = find_member(claims, name);
  if (claim == nullptr) return std::optional<double>();
  double seconds = -1;
  if (claim->kind == ValueKind::integer) seconds = static_cast<double>(claim->integer);
  if (claim->kind == ValueKind::real) seconds = claim->real;
  if (!(seconds >= 0 && seconds <= kSecondsMax))
    return unauthenticated("token: \"{}\" is no time", name);
  return std::optional<double>(seconds);
}

// RFC 7519, 4.1.4 to 4.1.6.
Status check_times(const Value& claims, const JwtExpectation& expected, WallTime at) {
  const double now = std::chrono::duration<double>(at.time_since_epoch()).count();
  const double leeway = std::chrono::duration<double>(expected.leeway).count();
  WISP_TRY(const std::optional<double> until, read_time(claims, "exp"));
  WISP_TRY(const std::optional<double> from, read_time(claims, "nbf"));
  WISP_TRY(const std::optional<double> made, read_time(claims, "iat"));
  if (!until && expected.expires) return unauthenticated("token: has no \"exp\"");
  if (until && now >= *until + leeway) return unauthenticated("token: has expired");
  if (from && now + leeway < *from) return unauthenticated("token: is not valid yet");
  if (made && now + leeway < *made) return unauthenticated("token: was made in the future");
  return Status();
}

// A text, or the empty one where there is none.
Result<std::string> read_text(const Value& claims, std::string_view name, std::size_t most) {
  const Value* const claim = find_member(claims, name);
  if (claim == nullptr) return std::string();
  if (claim->kind != ValueKind::text || claim->size == 0 || claim->size > most)
    return unauthenticated("token: \"{}\" is no text of 1 to {} bytes", name, most);
  return std::string(claim->view());
}

// Calls visit(text) for each element; false: it is no array of texts.
template <class Visit>
bool each_text(const Value& array, Visit visit) {
  if (array.kind != ValueKind::array) return false;
  const Value* at = &array + 1;
  for (std::uint32_t i = 0; i < array.size; ++i, at = at->next()) {
    if (at->kind != ValueKind::text) return false;
    visit(at->view());
  }
  return true;
}

// RFC 7519, 4.1.3: who is not named must not take it, and nobody is named by nothing.
Status check_audience(const Value& claims, std::string_view wanted) {
  const Value* const claim = find_member(claims, "aud");
  if (claim == nullptr) {
    if (wanted.empty()) return Status();
    return unauthenticated("token: has no \"aud\"");
  }
  bool named = false;
  const auto look = [&](std::string_view each) { named = named || each == wanted; };
  if (claim->kind == ValueKind::text) look(claim->view());
  else if (!each_text(*claim, look)) return unauthenticated("token: \"aud\" is no audience");
  if (wanted.empty() || !named) return unauthenticated("token: is for another audience");
  return Status();
}

// Of "roles", an array, and of "scope", words (RFC 8693, 4.2).
Result<std::vector<std::string>> read_roles(const Value& claims) {
  std::vector<std::string> roles;
  bool well = true;
  const auto add = [&](std::string_view role) {
    if (role.empty() || roles.size() >= kRolesMax) well = false;
    else roles.emplace_back(role);
  };
  if (const Value* const claim = find_member(claims, "roles"))
    well = each_text(*claim, add) && well;
  if (const Value* const claim = find_member(claims, "scope")) {
    if (claim->kind != ValueKind::text) return unauthenticated("token: \"scope\" is no text");
    for (std::string_view rest = claim->view(); !rest.empty();) {
      const std::size_t end = std::min(rest.find(' '), rest.size());
      if (end > 0) add(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  if (!well) return unauthenticated("token: \"roles\" are no texts, or more than {}", kRolesMax);
  return roles;
}

}  // namespace

const Value* find_member(const Value& object, std::string_view name) {
  const Value* at = &object + 1;
  for (std::uint32_t i = 0; i < object.size; ++i) {
    if (at->view() == name) return at + 1;
    at = at[1].next();
  }
  return nullptr;
}

Status check_members(const Value& root) {
  if (root.kind != ValueKind::object) return unauthenticated("token: a part of it is no object");
  std::vector<std::string_view> names;
  for (const Value* at = &root; at != root.next(); ++at) {
    if (at->kind != ValueKind::object) continue;
    names.clear();
    const Value* member = at + 1;
    for (std::uint32_t i = 0; i < at->size; ++i) {
      names.push_back(member->view());
      member = member[1].next();
    }
    std::sort(names.begin(), names.end());
    if (std::adjacent_find(names.begin(), names.end()) != names.end())
      return unauthenticated("token: has two members of one name");
  }
  return Status();
}

Result<Principal> read_claims(const Value& claims, const JwtExpectation& expected, WallTime now) {
  WISP_TRY(check_times(claims, expected, now));
  WISP_TRY(check_audience(claims, expected.audience));
  Principal who{.shown = Credential::token};
  WISP_TRY(who.issuer, read_text(claims, "iss", kPrincipalIdMax));
  if (!expected.issuer.empty() && who.issuer != expected.issuer)
    return unauthenticated("token: is of another issuer");
  WISP_TRY(who.id, read_text(claims, "sub", kPrincipalIdMax));
  if (who.id.empty()) return unauthenticated("token: has no \"sub\"");
  WISP_TRY(who.tenant, read_text(claims, "tenant", kTenantNameMax));
  WISP_TRY(who.roles, read_roles(claims));
  return who;
}

}  // namespace wisp::inline v0::http
