// An event when what a function's calls cost leaves its usual band.
//
//   auto alarms = runtime.on("wisp.cost.anomaly").to([](const wisp::CostAnomaly& anomaly) {
//     page(anomaly.function, anomaly.per_call, anomaly.usual);
//   });
//   auto watch = wisp::watch_costs(runtime);
//
// Once a period each function's cost per call, at the Runtime's tariff, over all tenants and tags
// and each version by itself, is held against those of the periods before; see
// engine/cost_band.hpp for what is usual. The first period outside has an event and a line in the
// log, the next ones none until one was inside. The watch is itself a function, and on the bill.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <wisp/base/fields.hpp>
#include <wisp/base/money.hpp>
#include <wisp/runtime.hpp>

namespace wisp::inline v0 {

inline constexpr std::string_view kCostAnomalyTopic = "wisp.cost.anomaly";

struct CostAnomaly {
  std::string function;
  std::int64_t version = 1;
  std::int64_t calls = 0;  // in the period
  Money per_call{};
  Money usual{};
};
WISP_FIELDS(CostAnomaly, function, version, calls, per_call, usual)

// Of functions; the bands of more are not kept.
inline constexpr std::size_t kWatchedMax = 10'000;

// Watches for as long as the result lives. `period`: a second to an hour. Inactive, with a status
// that says why, for another one (kInvalidArgument) and without a tariff (kFailedPrecondition).
[[nodiscard]] Schedule watch_costs(Runtime& runtime, Duration period = std::chrono::minutes(1));

}  // namespace wisp::inline v0
