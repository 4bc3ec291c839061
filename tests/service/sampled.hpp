// What the tests of synchronous deliveries under the sampled meter share.
#pragma once

#include <cstdint>
#include <string_view>

#include <wisp/wisp.hpp>

namespace wisp::test {

inline constexpr Delivery kHere{.synchronous = true};
inline constexpr FunctionOptions kSampled{.meter = Meter::sampled};

inline std::uint64_t calls_of(const Runtime& runtime, std::string_view name) {
  std::uint64_t calls = 0;
  for (const auto& each : runtime.stats().functions)
    if (each.name == name) calls += each.calls;
  return calls;
}

}  // namespace wisp::test
