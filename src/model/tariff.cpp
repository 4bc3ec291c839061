#include <wisp/model/tariff.hpp>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <iterator>
#include <numeric>
#include <string_view>

namespace wisp::inline v0 {
namespace {

constexpr Uint128 kMost = ~Uint128{0};

// An exact price is a count of 1 / kParts picodollars. Every unit that a sheet prices divides
// kParts, so price per unit times units is an integer, and nothing rounds before the sum.
constexpr std::uint64_t kParts = 460'800'000'000'000'000;
static_assert(kParts % kMillionRequests == 0 && kParts % kGbSecond == 0 && kParts % kGbHour == 0 &&
              kParts % kCpuMillisecond == 0 && kParts % kCpuSecond == 0 && kParts % kCpuHour == 0);

Uint128 add(Uint128 a, Uint128 b) { return a > kMost - b ? kMost : a + b; }
Uint128 multiply(Uint128 a, Uint128 b) {
  Uint128 product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kMost : product;
}

// What [from, to) and [lower, upper) have in common.
Uint128 overlap(Uint128 from, Uint128 to, Uint128 lower, Uint128 upper) {
  const Uint128 begin = std::max(from, lower);
  const Uint128 end = std::min(to, upper);
  return begin < end ? end - begin : 0;
}

Uint128 parts_of_one(const Charge& charge, const PriceTier& tier) {
  assert(charge.per != 0 && kParts % charge.per == 0);
  if (tier.price < Money()) return 0;
  return Uint128{detail::magnitude_of(tier.price.picodollars())} * (kParts / charge.per);
}

Uint128 charge_in_parts(const Charge& charge, bool free_tier, Uint128 so_far, Uint128 units) {
  const Uint128 to = add(so_far, units);
  const Uint128 free = free_tier ? Uint128{charge.free_per_month} * charge.per : 0;
  Uint128 parts = 0;
  Uint128 lower = 0;
  for (const PriceTier& tier : charge.tiers) {
    const bool last = tier.up_to == kNoLimit;
    const Uint128 upper = last ? kMost : Uint128{tier.up_to} * charge.per;
    const Uint128 paid = overlap(so_far, to, std::max(lower, free), upper);
    parts = add(parts, multiply(paid, parts_of_one(charge, tier)));
    if (last) break;
    lower = upper;
  }
  return parts;
}

Uint128 first_tier_in_parts(const Tariff& tariff, const Units& units) {
  const auto first = [](const Charge& charge, Uint128 count) {
    return multiply(count, parts_of_one(charge, charge.tiers[0]));
  };
  return add(first(tariff.requests, units.requests),
             add(first(tariff.memory, units.memory), first(tariff.cpu, units.cpu)));
}

Money money_of(Uint128 parts) {
  const Uint128 picodollars = detail::divide_half_even(parts, kParts);
  if (picodollars > INT64_MAX) return Money::max();
  return Money::picodollars(static_cast<std::int64_t>(picodollars));
}

Uint128 billed_ns(BilledTime rule, const Usage& usage) {
  constexpr std::uint64_t kNsPerMs = 1'000'000;
  switch (rule) {
    case BilledTime::exact:
      return usage.wall_ns;
    case BilledTime::by_1_ms:
      return Uint128{usage.wall_ms} * kNsPerMs;
    case BilledTime::by_1_ms_min_100_ms:
      return Uint128{usage.wall_min_100_ms} * kNsPerMs;
    case BilledTime::by_100_ms:
      return Uint128{usage.wall_by_100_ms} * kNsPerMs;
  }
  return 0;
}

unsigned billed_mb(BilledMemory rule, int memory_mb) {
  const unsigned mb = memory_mb > 0 ? static_cast<unsigned>(memory_mb) : 0;
  switch (rule) {
    case BilledMemory::exact:
      return mb;
    case BilledMemory::min_128_mb:
      return std::max(mb, 128U);
    case BilledMemory::by_128_mb_max_1536_mb:
      return std::clamp((mb + 127) / 128 * 128, 128U, 1'536U);
    case BilledMemory::by_size:
      return mb > 8'192 ? mb : std::bit_ceil(std::max(mb, 128U));
  }
  return 0;
}

// Source: the table "Compute time" of the sheet of Google Cloud Functions, 1st generation.
unsigned mhz_of(unsigned size_mb) {
  if (size_mb <= 128) return 200;
  if (size_mb <= 256) return 400;
  if (size_mb <= 512) return 800;
  if (size_mb <= 1'024) return 1'400;
  if (size_mb <= 2'048) return 2'400;
  return 4'800;
}

// a * b / c, rounded down, by doubling: the product would not fit. Requires: b <= c < 2^126.
struct Division {
  std::uint64_t quotient = 0;
  Uint128 remainder = 0;
};
Division multiply_divide(std::uint64_t a, Uint128 b, Uint128 c) {
  assert(b <= c && c < (Uint128{1} << 126));
  Division result;
  for (int bit = static_cast<int>(std::bit_width(a)) - 1; bit >= 0; --bit) {
    result.quotient *= 2;
    result.remainder = 2 * result.remainder + ((a >> bit) % 2 == 1 ? b : 0);
    for (; result.remainder >= c; result.remainder -= c) ++result.quotient;
  }
  return result;
}

bool priced(const Charge& charge) {
  return std::any_of(std::begin(charge.tiers), std::end(charge.tiers),
                     [](const PriceTier& tier) { return tier.price > Money(); });
}

Status check_charge(const Tariff& tariff, std::string_view name, const Charge& charge) {
  if (charge.per == 0 || kParts % charge.per != 0) {
    return invalid_argument("tariff '{}': {}.per is {}, it must be a divisor of {}", tariff.name,
                            name, charge.per, kParts);
  }
  bool ended = false;
  std::uint64_t lower = 0;
  for (std::size_t i = 0; i < std::size(charge.tiers); ++i) {
    const auto& [price, up_to] = charge.tiers[i];
    if (ended) {
      if (price == Money() && up_to == kNoLimit) continue;
      return invalid_argument("tariff '{}': {}.tiers[{}] comes after one without a limit (up_to)",
                              tariff.name, name, i);
    }
    ended = up_to == kNoLimit;
    if (i > 0 && ended && price == Money()) {
      return invalid_argument(
          "tariff '{}': {}.tiers[{}].up_to is {}, and no tier has a price beyond", tariff.name,
          name, i - 1, lower);
    }
    if (up_to <= lower) {
      return invalid_argument("tariff '{}': {}.tiers[{}].up_to is {}, it must be above {}",
                              tariff.name, name, i, up_to, lower);
    }
    lower = up_to;
  }
  if (ended) return Status();
  return invalid_argument("tariff '{}': {}.tiers[{}].up_to is {}, the last tier has no limit",
                          tariff.name, name, std::size(charge.tiers) - 1, lower);
}

}  // namespace

Status check(const Tariff& tariff) {
  WISP_TRY(check_charge(tariff, "requests", tariff.requests));
  WISP_TRY(check_charge(tariff, "memory", tariff.memory));
  WISP_TRY(check_charge(tariff, "cpu", tariff.cpu));
  if (tariff.billed_cpu == BilledCpu::none && priced(tariff.cpu)) {
    return invalid_argument("tariff '{}': cpu has a price, and billed_cpu is none", tariff.name);
  }
  if (tariff.empty() && (priced(tariff.requests) || priced(tariff.memory) || priced(tariff.cpu))) {
    return invalid_argument("a tariff has prices and no name");
  }
  return Status();
}

Units& Units::operator+=(const Units& other) {
  requests = add(requests, other.requests);
  memory = add(memory, other.memory);
  cpu = add(cpu, other.cpu);
  return *this;
}

Units Tariff::units(const Usage& usage, int memory_mb) const {
  const Uint128 time_ns = billed_ns(billed_time, usage);
  const unsigned mb = billed_mb(billed_memory, memory_mb);
  Units units{.requests = usage.attempts, .memory = time_ns * mb};
  switch (billed_cpu) {
    case BilledCpu::none:
      break;
    case BilledCpu::used:
      units.cpu = Uint128{usage.cpu_ns} * 1'000;
      break;
    case BilledCpu::one_vcpu:
      units.cpu = time_ns * 1'000;
      break;
    case BilledCpu::clock_of_memory:
      units.cpu = time_ns * mhz_of(mb);
      break;
  }
  return units;
}

Money Tariff::price(const Units& units, const Units& month_so_far) const {
  const Uint128 parts =
      add(charge_in_parts(requests, free_tier, month_so_far.requests, units.requests),
          add(charge_in_parts(memory, free_tier, month_so_far.memory, units.memory),
              charge_in_parts(cpu, free_tier, month_so_far.cpu, units.cpu)));
  return money_of(parts);
}

Money Tariff::marginal(const Usage& usage, int memory_mb) const {
  return money_of(first_tier_in_parts(*this, units(usage, memory_mb)));
}

PricedLines price_lines(const Tariff& tariff, std::span<const LineUsage> lines,
                        const Units& month_so_far) {
  Units sum;
  std::vector<Uint128> weights;
  weights.reserve(lines.size());
  for (const LineUsage& line : lines) {
    const Units units = tariff.units(line.usage, line.memory_mb);
    sum += units;
    weights.push_back(first_tier_in_parts(tariff, units));
  }
  const Money total = tariff.price(sum, month_so_far);
  return {.total = total, .lines = share_by_largest_remainder(total, weights)};
}

std::vector<Money> share_by_largest_remainder(Money total, std::span<const Uint128> weights) {
  if (weights.empty()) return {};
  // Weights so large that their sum would not fit lose their low bits: far below a picodollar.
  const Uint128 largest = *std::max_element(weights.begin(), weights.end());
  const int limit_bits = 125 - static_cast<int>(std::bit_width(weights.size()));
  int shift = 0;
  while ((largest >> shift) >> limit_bits != 0) ++shift;
  const Uint128 equal = largest == 0 ? 1 : 0;
  Uint128 sum = 0;
  for (const Uint128 weight : weights) sum += (weight >> shift) + equal;

  const std::uint64_t magnitude = detail::magnitude_of(total.picodollars());
  std::vector<Division> shares;
  shares.reserve(weights.size());
  std::uint64_t left = magnitude;
  for (const Uint128 weight : weights) {
    shares.push_back(multiply_divide(magnitude, (weight >> shift) + equal, sum));
    left -= shares.back().quotient;
  }

  // Fewer than there are lines, since each line leaves less than one.
  std::vector<std::size_t> order(shares.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&shares](std::size_t a, std::size_t b) {
    if (shares[a].remainder != shares[b].remainder) {
      return shares[a].remainder > shares[b].remainder;
    }
    return a < b;
  });
  for (std::uint64_t i = 0; i < left; ++i) ++shares[order[i]].quotient;

  std::vector<Money> result;
  result.reserve(shares.size());
  for (const Division& share : shares) {
    const Money part = Money::picodollars(static_cast<std::int64_t>(share.quotient));
    result.push_back(total < Money() ? -part : part);
  }
  return result;
}

namespace tariffs {
namespace {

// Prices to the sheets' own number of decimals, as picodollars.
constexpr Money pico(std::int64_t count) { return Money::picodollars(count); }
constexpr char kChecked[] = "2026-11-23";

}  // namespace

// Duration is rounded up to 1 ms of configured memory; init is billed since 2025-08-01.
Tariff aws_lambda_x86(const SheetOptions& options) {
  return {.name = "AWS Lambda x86",
          .source = "https://aws.amazon.com/lambda/pricing/",
          .date = kChecked,
          .free_tier = options.free_tier,
          .billed_time = BilledTime::by_1_ms,
          .billed_memory = BilledMemory::min_128_mb,
          .requests = {.per = kMillionRequests,
                       .free_per_month = 1,
                       .tiers = {{.price = Money::cents(20)}}},
          // Copies of the sheet differ in the last price: this one, or 0.0000133334.
          .memory = {.per = kGbSecond,
                     .free_per_month = 400'000,
                     .tiers = {{.price = pico(16'666'700), .up_to = 6'000'000'000},
                               {.price = pico(15'000'000), .up_to = 15'000'000'000},
                               {.price = pico(13'334'000)}}}};
}

Tariff aws_lambda_arm(const SheetOptions& options) {
  Tariff tariff = aws_lambda_x86(options);
  tariff.name = "AWS Lambda arm";
  // The last price: not re-checked against the source.
  tariff.memory = {.per = kGbSecond,
                   .free_per_month = 400'000,
                   .tiers = {{.price = pico(13'333'400), .up_to = 7'500'000'000},
                             {.price = pico(12'000'100), .up_to = 18'750'000'000},
                             {.price = pico(10'666'700)}}};
  return tariff;
}

// Bills observed memory, for which memory_mb stands here. The minimum of 100 ms: not re-checked
// against the source.
Tariff azure_consumption(const SheetOptions& options) {
  return {.name = "Azure Functions Consumption",
          .source = "https://azure.microsoft.com/pricing/details/functions/",
          .date = kChecked,
          .free_tier = options.free_tier,
          .billed_time = BilledTime::by_1_ms_min_100_ms,
          .billed_memory = BilledMemory::by_128_mb_max_1536_mb,
          .requests = {.per = kMillionRequests,
                       .free_per_month = 1,
                       .tiers = {{.price = Money::cents(20)}}},
          .memory = {
              .per = kGbSecond, .free_per_month = 400'000, .tiers = {{.price = pico(16'000'000)}}}};
}

// The free GHz-seconds: not re-checked against the source.
Tariff google_cloud_functions(const SheetOptions& options) {
  return {
      .name = "Google Cloud Functions",
      .source = "https://cloud.google.com/functions/pricing-1stgen",
      .date = kChecked,
      .free_tier = options.free_tier,
      .billed_time = BilledTime::by_100_ms,
      .billed_memory = BilledMemory::by_size,
      .billed_cpu = BilledCpu::clock_of_memory,
      .requests = {.per = kMillionRequests,
                   .free_per_month = 2,
                   .tiers = {{.price = Money::cents(40)}}},
      .memory = {.per = kGbSecond,
                 .free_per_month = 400'000,
                 .tiers = {{.price = pico(2'500'000)}}},
      .cpu = {
          .per = kCpuSecond, .free_per_month = 200'000, .tiers = {{.price = pico(10'000'000)}}}};
}

// A request has its instance to itself here, as with a concurrency of 1.
Tariff google_cloud_run(const SheetOptions& options) {
  return {
      .name = "Google Cloud Run",
      .source = "https://cloud.google.com/run/pricing",
      .date = kChecked,
      .free_tier = options.free_tier,
      .billed_time = BilledTime::by_100_ms,
      .billed_cpu = BilledCpu::one_vcpu,
      .requests = {.per = kMillionRequests,
                   .free_per_month = 2,
                   .tiers = {{.price = Money::cents(40)}}},
      .memory = {.per = kGbSecond,
                 .free_per_month = 360'000,
                 .tiers = {{.price = pico(2'500'000)}}},
      .cpu = {
          .per = kCpuSecond, .free_per_month = 180'000, .tiers = {{.price = pico(24'000'000)}}}};
}

// The paid plan's included usage counts as its free allowance.
Tariff cloudflare_workers(const SheetOptions& options) {
  return {.name = "Cloudflare Workers",
          .source = "https://developers.cloudflare.com/workers/platform/pricing/",
          .date = kChecked,
          .free_tier = options.free_tier,
          .billed_cpu = BilledCpu::used,
          .requests = {.per = kMillionRequests,
                       .free_per_month = 10,
                       .tiers = {{.price = Money::cents(30)}}},
          // 0.02 USD per million.
          .cpu = {.per = kCpuMillisecond,
                  .free_per_month = 30'000'000,
                  .tiers = {{.price = pico(20'000)}}}};
}

std::vector<Tariff> published(const SheetOptions& options) {
  return {aws_lambda_x86(options),         aws_lambda_arm(options),   azure_consumption(options),
          google_cloud_functions(options), google_cloud_run(options), cloudflare_workers(options)};
}

Tariff own_hardware(const OwnHardwareOptions& options) {
  return {.name = "own hardware",
          .source = "prices set by the host",
          .billed_cpu = BilledCpu::used,
          .memory = {.per = kGbHour, .tiers = {{.price = options.per_gb_hour}}},
          .cpu = {.per = kCpuHour, .tiers = {{.price = options.per_core_hour}}}};
}

}  // namespace tariffs
}  // namespace wisp::inline v0
