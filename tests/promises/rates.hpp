// Whether what began kept to a rate.
//
// Threads: one-at-a-time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include <wisp/base/clock.hpp>

#include "catch.hpp"

namespace wisp::test {

// Fails if at any time more came than what the bucket held and was filled with. `late`: each may
// have come so long after its turn.
inline void check_rate(const std::vector<Time>& entries, double per_second, Duration late) {
  const double burst = std::max(1.0, per_second);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    for (std::size_t j = i; j < entries.size(); ++j) {
      const Duration window = entries[j] - entries[i] + late;
      const double most = burst + static_cast<double>(window.count()) * per_second / 1e9;
      if (static_cast<double>(j - i + 1) <= most + 1e-6) continue;
      FAIL_CHECK(j - i + 1 << " within " << window.count() << " ns, at " << per_second
                           << " a second");
      return;
    }
  }
}

}  // namespace wisp::test
