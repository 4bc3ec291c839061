// What the runtime counts of one function.
#pragma once

#include <string_view>

#include <wisp/runtime.hpp>

namespace wisp::test {

inline FunctionStats stats_of(const Runtime& runtime, std::string_view name) {
  for (const FunctionStats& each : runtime.stats().functions)
    if (each.name == name) return each;
  return {};
}

}  // namespace wisp::test
