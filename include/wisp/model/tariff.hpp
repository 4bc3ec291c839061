// What calls cost: usage in, Money out, by a cloud's published price sheet or by one's own.
//
//   wisp::Usage usage;                                     // of one function with 128 MB
//   usage.add({.wall = 11'600us, .cpu = 3ms});             // one attempt
//   wisp::Tariff tariff = wisp::tariffs::aws_lambda_x86();
//   wisp::Money cost = tariff.price(usage, 128);           // 0.000000225 USD
//
// Sheets round each attempt's time, then price the sum. So a meter adds attempts up in a Usage,
// which holds the few sums that every published sheet can be priced from; a tariff turns these into
// the Units that it bills, and prices units with one rounding, half-even, at the very end.
//
// Prices are for usage only: no subscription, network traffic or storage. The memory that a sheet
// bills, configured or observed, is taken to be the function's memory_mb. A GB is 1,024 MB.
//
// Threads: value.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <wisp/base/money.hpp>
#include <wisp/base/status.hpp>

namespace wisp::inline v0 {

// What one attempt took. A negative time counts as none.
struct CallUsage {
  std::chrono::nanoseconds wall{};  // in the handler
  std::chrono::nanoseconds cpu{};   // of the handler's thread
  std::chrono::nanoseconds init{};  // to build the instance first; billed as if in the handler
};

// Sums over attempts of functions with the same memory. Each saturates at the largest uint64, which
// for nanoseconds is 584 years.
struct Usage {
  std::uint64_t attempts = 0;
  std::uint64_t cpu_ns = 0;
  std::uint64_t wall_ns = 0;          // init included, here and below
  std::uint64_t wall_ms = 0;          // each attempt rounded up to 1 ms
  std::uint64_t wall_min_100_ms = 0;  // the same, and each at least 100 ms
  std::uint64_t wall_by_100_ms = 0;   // each attempt rounded up to 100 ms

  // The usage of one attempt.
  static constexpr Usage of(const CallUsage& call);

  constexpr void add(const CallUsage& call) { *this += of(call); }
  constexpr Usage& operator+=(const Usage& other);

  // What was used since `earlier`. Requires: `earlier` is a previous state of the same sums.
  constexpr Usage& operator-=(const Usage& earlier);

  friend constexpr Usage operator+(Usage a, const Usage& b) { return a += b; }
  friend constexpr Usage operator-(Usage a, const Usage& b) { return a -= b; }
  friend constexpr bool operator==(const Usage&, const Usage&) = default;
};

// What a sheet prices, counted in Units.
inline constexpr std::uint64_t kMillionRequests = 1'000'000;
inline constexpr std::uint64_t kGbSecond = 1'024 * 1'000'000'000ULL;
inline constexpr std::uint64_t kGbHour = 3'600 * kGbSecond;
inline constexpr std::uint64_t kCpuMillisecond = 1'000 * 1'000'000ULL;
inline constexpr std::uint64_t kCpuSecond = 1'000 * kCpuMillisecond;
inline constexpr std::uint64_t kCpuHour = 3'600 * kCpuSecond;

// What one tariff bills for some usage, its rounding applied. Sums saturate.
struct Units {
  Uint128 requests = 0;
  Uint128 memory = 0;  // MB * ns: a GB-second is kGbSecond of them
  Uint128 cpu = 0;     // thousandths of a CPU, or MHz, * ns: a vCPU- or GHz-second is kCpuSecond

  Units& operator+=(const Units& other);
  friend Units operator+(Units a, const Units& b) { return a += b; }
  friend constexpr bool operator==(const Units&, const Units&) = default;
};

// Which of an attempt's times is billed.
enum class BilledTime : std::uint8_t { exact, by_1_ms, by_1_ms_min_100_ms, by_100_ms };

// Which memory is billed while an attempt runs.
enum class BilledMemory : std::uint8_t {
  exact,                  // memory_mb
  min_128_mb,             // memory_mb, at least 128
  by_128_mb_max_1536_mb,  // rounded up to 128 MB, at most 1,536
  by_size,                // the smallest of 128, 256, ... 8,192 MB that holds it; above, memory_mb
};

// Which processor time is billed.
enum class BilledCpu : std::uint8_t {
  none,
  used,             // the handler's thread time
  one_vcpu,         // one vCPU for as long as the attempt is billed
  clock_of_memory,  // for as long, the MHz that come with the memory's size: 200 with 128 MB
};

inline constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

// A price for each unit of the month up to `up_to` units, counted from the month's first, free ones
// included. A negative price counts as zero.
struct PriceTier {
  Money price{};
  std::uint64_t up_to = kNoLimit;
};

// What one dimension costs: by default nothing. The last tier has a price and no limit.
struct Charge {
  // Size of the unit priced: 1, one of the constants above or another divisor of
  // 460'800'000'000'000'000. So a month of CPU or memory is none: divide its price by its hours.
  std::uint64_t per = 1;
  std::uint64_t free_per_month = 0;  // units; they are the month's first, and free under .free_tier
  PriceTier tiers[3]{};
};

// A price sheet. The default one is none: it is empty(), its prices are zero and mean nothing, and
// whoever shows a cost calls it unavailable.
struct Tariff {
  std::string name{};
  std::string source{};  // where the sheet is published
  std::string date{};    // yyyy-mm-dd, when it was last compared with public copies of the sheet
  bool free_tier = false;
  BilledTime billed_time = BilledTime::exact;
  BilledMemory billed_memory = BilledMemory::exact;
  BilledCpu billed_cpu = BilledCpu::none;
  Charge requests{};
  Charge memory{};
  Charge cpu{};

  bool empty() const { return name.empty(); }

  Units units(const Usage& usage, int memory_mb) const;

  // The price of `units` that follow `month_so_far` in the same month: which tier they fall into
  // and how much of the free allowance is left depends on it. Saturates. Requires, as all that
  // prices does: check(*this).ok().
  Money price(const Units& units, const Units& month_so_far = {}) const;
  Money price(const Usage& usage, int memory_mb, const Units& month_so_far = {}) const {
    return price(units(usage, memory_mb), month_so_far);
  }

  // What `usage` adds to a bill at the first tier, without a free allowance: an estimate, since the
  // month decides.
  Money marginal(const Usage& usage, int memory_mb) const;
};

// kInvalidArgument naming the sheet, the charge, the member and its bound; ok for none. A sheet
// that is not ok prices nothing: it leaves a Runtime born stopped, and a bill without costs.
Status check(const Tariff& tariff);

// A line of a bill: one function's usage under one memory setting.
struct LineUsage {
  Usage usage{};
  int memory_mb = 128;
};

struct PricedLines {
  Money total{};
  std::vector<Money> lines{};  // in the order given; they sum to the total exactly
};

// The price of all lines' units together, and each line's share of it by largest remainder, in
// proportion to the line's own price at the first tier without a free allowance.
PricedLines price_lines(const Tariff& tariff, std::span<const LineUsage> lines,
                        const Units& month_so_far = {});

// Splits `total` in proportion to `weights`, in whole picodollars that sum to it exactly and each
// lie less than one from the exact share. What rounding down leaves goes to the largest fractions,
// of equal ones to the first. Equal shares if all weights are zero; empty if there are none.
std::vector<Money> share_by_largest_remainder(Money total, std::span<const Uint128> weights);

// The published sheets, for the providers' main region in the USA. Where the code marks a figure
// "not re-checked", it is known but was not compared with its source.
namespace tariffs {

struct SheetOptions {
  bool free_tier = false;  // whether the month's free allowance applies
};

Tariff aws_lambda_x86(const SheetOptions& options = {});
Tariff aws_lambda_arm(const SheetOptions& options = {});
Tariff azure_consumption(const SheetOptions& options = {});
Tariff google_cloud_functions(const SheetOptions& options = {});  // 1st generation
Tariff google_cloud_run(const SheetOptions& options = {});        // billed by request, one vCPU
Tariff cloudflare_workers(const SheetOptions& options = {});      // without the subscription

// All of the above.
std::vector<Tariff> published(const SheetOptions& options = {});

struct OwnHardwareOptions {
  Money per_core_hour{};  // of processor time used
  Money per_gb_hour{};    // of memory_mb, while attempts run
};

Tariff own_hardware(const OwnHardwareOptions& options);

}  // namespace tariffs

namespace detail {

constexpr std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t sum = a + b;
  return sum < a ? UINT64_MAX : sum;
}

}  // namespace detail

constexpr Usage Usage::of(const CallUsage& call) {
  const auto positive = [](std::chrono::nanoseconds time) {
    return time.count() > 0 ? static_cast<std::uint64_t>(time.count()) : 0;
  };
  // Two nanosecond counts below 2^63 fit one uint64. Rounding up in two steps ends where one would.
  const std::uint64_t wall_ns = positive(call.wall) + positive(call.init);
  const std::uint64_t wall_ms = wall_ns / 1'000'000 + (wall_ns % 1'000'000 != 0 ? 1 : 0);
  const std::uint64_t wall_100_ms = (wall_ms + 99) / 100;
  return {.attempts = 1,
          .cpu_ns = positive(call.cpu),
          .wall_ns = wall_ns,
          .wall_ms = wall_ms,
          .wall_min_100_ms = wall_ms < 100 ? 100 : wall_ms,
          .wall_by_100_ms = wall_100_ms * 100};
}

constexpr Usage& Usage::operator+=(const Usage& other) {
  attempts = detail::saturating_add(attempts, other.attempts);
  cpu_ns = detail::saturating_add(cpu_ns, other.cpu_ns);
  wall_ns = detail::saturating_add(wall_ns, other.wall_ns);
  wall_ms = detail::saturating_add(wall_ms, other.wall_ms);
  wall_min_100_ms = detail::saturating_add(wall_min_100_ms, other.wall_min_100_ms);
  wall_by_100_ms = detail::saturating_add(wall_by_100_ms, other.wall_by_100_ms);
  return *this;
}

constexpr Usage& Usage::operator-=(const Usage& earlier) {
  attempts -= earlier.attempts;
  cpu_ns -= earlier.cpu_ns;
  wall_ns -= earlier.wall_ns;
  wall_ms -= earlier.wall_ms;
  wall_min_100_ms -= earlier.wall_min_100_ms;
  wall_by_100_ms -= earlier.wall_by_100_ms;
  return *this;
}

}  // namespace wisp::inline v0
