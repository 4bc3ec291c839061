// What a request asks for: the target of its first line (RFC 9112, 3.2), taken apart.
//
//   Target target;
//   if (const Rejection rejected = parse_target(head, target)) ...
//   target.path                                // "/notes/a b", decoded
//   target.query                               // "q=1", as it came
//
// A path is taken as it is or refused: no "." and "..", encoded or not, no encoded slash, backslash
// or NUL, only UTF-8. So no two texts of a path mean the same, but for what needs no encoding.
//
// Threads: value.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "head.hpp"

namespace wisp::inline v0::http {

struct Target {
  std::string_view path;   // "*" of OPTIONS for the whole server
  std::string_view query;  // without its question mark; empty: none
  std::string decoded{};   // what path refers to, if it had to be
};

Rejection parse_target(const Head& head, Target& to);

inline constexpr std::size_t kParametersMax = 100;
using Parameters = std::vector<std::pair<std::string, std::string>>;

// The parameters of a query, decoded as forms write them: a + is a space.
Rejection parse_query(std::string_view query, Parameters& to);

}  // namespace wisp::inline v0::http
