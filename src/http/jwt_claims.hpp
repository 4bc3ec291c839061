// What a token says, once its signature was found good.
//
// Threads: value.
#pragma once

#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>
#include <wisp/base/value.hpp>
#include <wisp/http/principal.hpp>

namespace wisp::inline v0::http {

// What is asked of it.
struct JwtExpectation {
  std::string issuer{};
  std::string audience{};
  Duration leeway{};
  bool expires = true;
};

// The member of that name; null: there is none. Requires: `object` is one.
const Value* find_member(const Value& object, std::string_view name);

// kUnauthenticated: it is no object, or one within it has two members of one name.
Status check_members(const Value& root);

// kUnauthenticated. Requires: check_members().
Result<Principal> read_claims(const Value& claims, const JwtExpectation& expected, WallTime now);

}  // namespace wisp::inline v0::http
