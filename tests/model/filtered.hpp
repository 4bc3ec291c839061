// What the tests of filters look at: a struct with a field of every kind.
//
// Threads: value.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <wisp/base/fields.hpp>
#include <wisp/base/money.hpp>

namespace wisp::test {

enum class State : std::uint8_t { open = 1, paid = 7 };
enum class Flag : bool { off, on };

struct Country {
  std::string code;
  int zone;
};
WISP_FIELDS(Country, code, zone)

struct Customer {
  std::string name;
  Country country;
  std::optional<Country> billed;
};
WISP_FIELDS(Customer, name, country, billed)

struct Order {
  std::string id;
  double total = 0;
  std::int64_t count = 0;
  std::uint64_t serial = 0;
  std::int8_t tiny = 0;
  float weight = 0;
  bool express = false;
  State state = State::open;
  Flag flag = Flag::off;
  std::optional<int> rating{};
  std::optional<std::string> note{};
  Customer customer{};
  std::optional<Customer> referrer{};
  std::vector<int> lines{};
  std::optional<std::vector<int>> parts{};
  wisp::Money fee{};
};
WISP_FIELDS(Order, id, total, count, serial, tiny, weight, express, state, flag, rating, note,
            customer, referrer, lines, parts, fee)

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

}  // namespace wisp::test
