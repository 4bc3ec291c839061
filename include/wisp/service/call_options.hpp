// How one call, post or publish differs from its function's rules.
//
//   runtime.post(ship, order, {.tenant = "acme", .key = order.id});
//
// Threads: value; the views are read before the verb returns.
#pragma once

#include <string_view>

#include <wisp/base/clock.hpp>

namespace wisp::inline v0 {

// Set by designated initialisers; members are only ever appended. Empty fields inherit from the
// handler that makes the call.
struct CallOptions {
  std::string_view tenant{};  // who pays; a bill has a line for each
  std::string_view tag{};     // a label for the bill
  Duration timeout{};         // of the whole call, retries included; 0: the parent's
};

}  // namespace wisp::inline v0
