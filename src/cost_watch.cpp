#include <wisp/cost_watch.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <wisp/base/mutex.hpp>
#include <wisp/engine/cost_band.hpp>

namespace wisp::inline v0 {
namespace {

class Bands {
 public:
  // The anomalies of a period.
  std::vector<CostAnomaly> look(const Bill& bill) {
    std::map<Which, Sum> sums;
    for (const BillLine& line : bill.lines) {
      Sum& sum = sums[{line.function, line.version}];
      sum.cost += line.cost;
      sum.calls += line.calls;
    }
    std::vector<CostAnomaly> anomalies;
    const MutexLock lock(mutex_);
    for (const auto& [which, sum] : sums) {
      auto band = bands_.find(which);
      if (band == bands_.end() && sum.calls >= CostBand::kCallsMin && bands_.size() < kWatchedMax)
        band = bands_.emplace(which, CostBand()).first;
      if (band == bands_.end()) continue;
      const std::optional<Money> usual = band->second.look(sum.cost, sum.calls);
      if (!usual) continue;
      const auto calls = static_cast<std::int64_t>(sum.calls);
      anomalies.push_back({.function = which.first,
                           .version = which.second,
                           .calls = calls,
                           .per_call = sum.cost.scaled(1, calls),
                           .usual = *usual});
    }
    return anomalies;
  }

 private:
  using Which = std::pair<std::string, int>;
  struct Sum {
    Money cost{};
    std::uint64_t calls = 0;
  };

  Mutex mutex_;
  std::map<Which, CostBand> bands_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

Schedule watch_costs(Runtime& runtime, Duration period) {
  if (period < std::chrono::seconds(1) || period > std::chrono::hours(1))
    return Schedule(invalid_argument("watch_costs: the period must be 1 s to 1 h"));
  if (runtime.tariff().empty()) {
    return Schedule(
        failed_precondition("watch_costs: without RuntimeOptions::tariff nothing has a cost"));
  }
  return runtime.every(period).run([period, bands = std::make_shared<Bands>()](Context& context) {
    // As a call by itself would cost: what a month's allowance covers would not be seen.
    Tariff tariff = context.runtime().tariff();
    tariff.free_tier = false;
    for (const CostAnomaly& each : bands->look(context.runtime().bill(period, tariff))) {
      context.log_text(LogLevel::warning,
                       fmt::format("a call of '{}', version {}, costs {} USD, and usually {}",
                                   each.function, each.version, each.per_call, each.usual));
      const Status emitted = context.runtime().emit(kCostAnomalyTopic, each).status();
      if (!emitted.ok()) context.log_text(LogLevel::error, message(emitted));
    }
  });
}

}  // namespace wisp::inline v0
