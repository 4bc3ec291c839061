// A pattern as it is matched: fields, and the conditions of each.
//
// Threads: value.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/value.hpp>

namespace wisp::inline v0::detail {

enum class Condition : std::uint8_t {
  null,
  boolean,
  number,  // low == high
  text,    // exact
  prefix,
  suffix,
  equal_ignoring_case,
  prefix_ignoring_case,
  suffix_ignoring_case,
  wildcard,
  numeric,
  exists,
  absent,
  cidr,
  anything_but,
};

struct ContentTest {
  Condition kind = Condition::null;
  bool boolean = false;
  std::string text;                // lower-case where case is ignored
  std::vector<std::string> parts;  // of a wildcard, between its stars: two or more
  double low = 0;                  // of numbers
  double high = 0;
  bool low_open = false;
  bool high_open = false;
  std::array<std::uint8_t, 16> address{};  // of a cidr, with the bits that count
  int bits = 0;
  bool v6 = false;
  std::vector<ContentTest> none;  // of anything-but

  // Requires: a value that is neither array nor object.
  bool matches(const Value& value) const;
};

struct ContentField;
// All of these have to match, and of each list of alternatives one.
struct ContentFields {
  std::vector<ContentField> fields;
  std::vector<std::vector<ContentFields>> ors;
};
struct ContentField {
  std::string name;
  bool leaf = true;
  std::vector<ContentTest> any;  // of a leaf
  ContentFields nested;          // of another
};

std::optional<double> number_of(const Value& value);
// In one pass: each part is looked for behind the one before.
bool matches_wildcard(const std::vector<std::string>& parts, std::string_view text);
// False: not an address.
bool parse_address(std::string_view text, std::array<std::uint8_t, 16>& address, bool& v6);

}  // namespace wisp::inline v0::detail
