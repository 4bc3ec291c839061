// What chains of events have cost that are on their way to the hop limit, and may be loops.
//
// Threads: any.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include <wisp/base/id.hpp>
#include <wisp/base/money.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/model/policy.hpp>

namespace wisp::inline v0::detail {

// From this hop on what an attempt costs is kept, by the first event of its chain.
inline constexpr int kLoopHops = kHopsMax / 2;

class LoopCosts {
 public:
  // Chains; the one that nothing was added to for longest is forgotten.
  static constexpr std::size_t kMost = 64;

  void add(EventId trace, Money cost) ABSL_LOCKS_EXCLUDED(mutex_) {
    const MutexLock lock(mutex_);
    const auto found = std::find_if(costs_.begin(), costs_.end(),
                                    [trace](const auto& each) { return each.first == trace; });
    if (found != costs_.end()) {
      found->second = found->second + cost;
      std::rotate(found, found + 1, costs_.end());
      return;
    }
    if (costs_.size() == kMost) costs_.erase(costs_.begin());
    costs_.emplace_back(trace, cost);
  }
  std::optional<Money> of(EventId trace) const ABSL_LOCKS_EXCLUDED(mutex_) {
    const MutexLock lock(mutex_);
    for (const auto& [chain, cost] : costs_)
      if (chain == trace) return cost;
    return std::nullopt;
  }

 private:
  mutable Mutex mutex_;
  std::vector<std::pair<EventId, Money>> costs_ ABSL_GUARDED_BY(mutex_);  // the latest is the last
};

}  // namespace wisp::inline v0::detail
