#include <wisp/model/tariff.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "seeds.hpp"

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using wisp::CallUsage;
using wisp::LineUsage;
using wisp::Money;
using wisp::Tariff;
using wisp::Uint128;
using wisp::Units;
using wisp::Usage;
using wisp::test::Seeded;
using wisp::test::test_seeds;

namespace tariffs = wisp::tariffs;

namespace {

Money usd(const char* text) { return Money::parse(text).value(); }
Money pico(std::int64_t count) { return Money::picodollars(count); }
Money apart(Money a, Money b) { return a < b ? b - a : a - b; }

constexpr Usage kMost{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};

// The usage of `count` attempts that are all alike.
Usage repeated(std::uint64_t count, const CallUsage& call) {
  const Usage one = Usage::of(call);
  return {.attempts = count,
          .cpu_ns = count * one.cpu_ns,
          .wall_ns = count * one.wall_ns,
          .wall_ms = count * one.wall_ms,
          .wall_min_100_ms = count * one.wall_min_100_ms,
          .wall_by_100_ms = count * one.wall_by_100_ms};
}

Usage any_usage(Seeded& random) {
  return repeated(random.below(1'000'000), {.wall = nanoseconds(random.between(0, 10'000'000'000)),
                                            .cpu = nanoseconds(random.between(0, 1'000'000'000))});
}

int any_memory_mb(Seeded& random) { return static_cast<int>(random.between(0, 10'240)); }

std::vector<Tariff> all_tariffs(bool free_tier) {
  std::vector<Tariff> all = tariffs::published({.free_tier = free_tier});
  all.push_back(tariffs::own_hardware(
      {.per_core_hour = Money::cents(4), .per_gb_hour = pico(5'000'000'001)}));
  return all;
}

Money sum_of(const std::vector<Money>& parts) {
  return std::accumulate(parts.begin(), parts.end(), Money());
}

std::uint64_t ceiling(std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; }

}  // namespace

TEST_CASE("usage: each attempt is rounded before it is added", "[tariff]") {
  Usage usage;
  usage.add({.wall = 1ns, .cpu = 5ns});
  usage.add({.wall = 1ms});
  usage.add({.wall = 100ms + 1ns, .cpu = 7ns});
  usage.add({.wall = 250ms, .init = 50ms + 1us});
  CHECK(usage.attempts == 4);
  CHECK(usage.cpu_ns == 12);
  CHECK(usage.wall_ns == 1 + 1'000'000 + 100'000'001 + 300'001'000);
  CHECK(usage.wall_ms == 1 + 1 + 101 + 301);
  CHECK(usage.wall_min_100_ms == 100 + 100 + 101 + 301);
  CHECK(usage.wall_by_100_ms == 100 + 100 + 200 + 400);
}

TEST_CASE("usage: no time, and a clock that went back, cost no time", "[tariff]") {
  const Usage none = Usage::of({});
  CHECK(none == Usage{.attempts = 1, .wall_min_100_ms = 100});
  CHECK(Usage::of({.wall = -5ms, .cpu = -1ns, .init = nanoseconds::min()}) == none);
}

TEST_CASE("usage: sums saturate", "[tariff]") {
  const Usage longest = Usage::of({.wall = nanoseconds::max(), .init = nanoseconds::max()});
  CHECK(longest.wall_ns == 2 * static_cast<std::uint64_t>(nanoseconds::max().count()));
  CHECK((longest + longest).wall_ns == UINT64_MAX);
  CHECK((longest + longest).wall_ms == 2 * longest.wall_ms);
  CHECK(kMost + Usage::of({.wall = 1s, .cpu = 1s}) == kMost);
}

TEST_CASE("usage: what was added since an earlier state comes back by difference", "[tariff]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    Usage total;
    Usage expected;
    Usage earlier;
    for (int i = 0; i < 200; ++i) {
      if (i == 100) earlier = total;
      const std::uint64_t wall = random.any_size() >> 24;
      total.add({.wall = nanoseconds(wall), .cpu = nanoseconds(i)});
      if (i < 100) continue;
      const std::uint64_t ms = ceiling(wall, 1'000'000);
      expected += {.attempts = 1,
                   .cpu_ns = static_cast<std::uint64_t>(i),
                   .wall_ns = wall,
                   .wall_ms = ms,
                   .wall_min_100_ms = std::max<std::uint64_t>(ms, 100),
                   .wall_by_100_ms = 100 * ceiling(wall, 100'000'000)};
    }
    CHECK(total - earlier == expected);
  }
}

TEST_CASE("tariff: the default one is none", "[tariff]") {
  CHECK(Tariff{}.empty());
  CHECK(Tariff{}.price(kMost, 1'024) == Money());
  CHECK(Tariff{}.marginal(kMost, 1'024) == Money());
  for (const Tariff& tariff : tariffs::published()) {
    INFO(tariff.name);
    CHECK_FALSE(tariff.empty());
    CHECK(tariff.source.starts_with("https://"));
    CHECK(tariff.date.size() == 10);
  }
  CHECK(tariffs::published().size() == 6);
}

TEST_CASE("tariff: an invoice of AWS Lambda", "[tariff]") {
  // The provider's own example: 3,000,000 requests of 120 ms with 1,536 MB.
  //   3,000,000 * 0.12 s * 1.5 GB = 540,000 GB-s * 0.0000166667 = 9.000018
  //   3,000,000 requests * 0.20 / 1,000,000                     = 0.60
  const Usage usage = repeated(3'000'000, {.wall = 119'500us});
  CHECK(tariffs::aws_lambda_x86().price(usage, 1'536) == usd("9.600018"));
  // Free: 140,000 GB-s * 0.0000166667 + 2,000,000 requests * 0.20 / 1,000,000.
  CHECK(tariffs::aws_lambda_x86({.free_tier = true}).price(usage, 1'536) == usd("2.733338"));

  // Arm: 540,000 GB-s * 0.0000133334 + 0.60; free: 140,000 GB-s and 0.40.
  CHECK(tariffs::aws_lambda_arm().price(usage, 1'536) == usd("7.800036"));
  CHECK(tariffs::aws_lambda_arm({.free_tier = true}).price(usage, 1'536) == usd("2.266676"));

  // 11.6 ms is billed as 12 ms: 12 ms * 128 MB = 0.0015 GB-s, 25,000.05 + 200,000 picodollars.
  // The smallest size is 128 MB.
  CHECK(tariffs::aws_lambda_x86().price(Usage::of({.wall = 11'600us}), 128) == pico(225'000));
  CHECK(tariffs::aws_lambda_x86().price(Usage::of({.wall = 11'600us}), 1) == pico(225'000));
  // Init is billed: 900 us + 200 us make 2 ms, 0.00025 GB-s, 4,166.675 + 200,000 picodollars.
  const CallUsage cold{.wall = 900us, .init = 200us};
  CHECK(tariffs::aws_lambda_x86().price(Usage::of(cold), 128) == pico(204'167));
}

TEST_CASE("tariff: the sum is rounded, not each call", "[tariff]") {
  const Tariff tariff = tariffs::aws_lambda_x86();
  // 1,000 calls of 204,166.675 picodollars each.
  CHECK(tariff.price(repeated(1'000, {.wall = 2ms}), 128) == pico(204'166'675));
  // 15 ms with 1 GB: 250,000.5, a tie, goes to the even 250,000; 45 ms: 750,001.5 to 750,002.
  CHECK(tariff.price({.wall_ms = 15}, 1'024) == pico(250'000));
  CHECK(tariff.price({.wall_ms = 45}, 1'024) == pico(750'002));
}

TEST_CASE("tariff: the tiers of AWS Lambda follow the month", "[tariff]") {
  const Tariff x86 = tariffs::aws_lambda_x86();
  const Tariff arm = tariffs::aws_lambda_arm();
  const auto gb_seconds = [](std::uint64_t count) {
    return Units{.memory = Uint128{count} * wisp::kGbSecond};
  };

  // 6e9 * 0.0000166667 + 9e9 * 0.000015 + 1e9 * 0.000013334 = 100,000.2 + 135,000 + 13,334.
  CHECK(x86.price(gb_seconds(16'000'000'000)) == usd("248334.20"));
  // 7.5e9 * 0.0000133334 + 11.25e9 * 0.0000120001 + 1.25e9 * 0.0000106667
  //   = 100,000.5 + 135,001.125 + 13,333.375.
  CHECK(arm.price(gb_seconds(20'000'000'000)) == usd("248335.00"));

  // Across a boundary: 1,000 GB-s at one price and 1,000 at the next.
  CHECK(x86.price(gb_seconds(2'000), gb_seconds(5'999'999'000)) == usd("0.0316667"));
  CHECK(x86.price(gb_seconds(2'000), gb_seconds(14'999'999'000)) == usd("0.028334"));
  CHECK(arm.price(gb_seconds(2'000), gb_seconds(7'499'999'000)) == usd("0.0253335"));
  CHECK(arm.price(gb_seconds(2'000), gb_seconds(18'749'999'000)) == usd("0.0226668"));

  // The free allowance is the month's first 400,000 GB-s, which count for the tiers:
  //   (6e9 - 400,000) * 0.0000166667 = 100,000.2 - 6.66668, and 1,000 * 0.000015.
  const Tariff free = tariffs::aws_lambda_x86({.free_tier = true});
  CHECK(free.price(gb_seconds(6'000'001'000)) == usd("99993.54832"));
  CHECK(free.price(gb_seconds(400'000)) == Money());
  CHECK(free.price(gb_seconds(2'000), gb_seconds(399'000)) == usd("0.0166667"));
  CHECK(free.price({.requests = 5}, {.requests = 999'998}) == pico(3 * 200'000));
}

TEST_CASE("tariff: an invoice of Azure Functions on consumption", "[tariff]") {
  // The provider's own example: 3,000,000 executions of 1 s with 512 MB.
  //   1,500,000 GB-s * 0.000016 + 0.60; free: 1,100,000 GB-s * 0.000016 + 0.40.
  const Usage usage = repeated(3'000'000, {.wall = 1s});
  CHECK(tariffs::azure_consumption().price(usage, 512) == usd("24.60"));
  CHECK(tariffs::azure_consumption({.free_tier = true}).price(usage, 512) == usd("18.00"));

  const auto one = [](nanoseconds wall, int memory_mb) {
    return tariffs::azure_consumption().price(Usage::of({.wall = wall}), memory_mb);
  };
  // At least 100 ms of 128 MB: 0.0125 GB-s, 200,000 picodollars, and as much for the request.
  CHECK(one(3ms, 100) == pico(400'000));
  CHECK(one(3ms, 0) == pico(400'000));
  // 100.2 ms counts as 101 ms: 202,000.
  CHECK(one(100'200us, 128) == pico(402'000));
  // 129 MB counts as 256 MB, and 4 GB as 1,536 MB: 0.15 GB-s, 2,400,000.
  CHECK(one(100ms, 129) == pico(600'000));
  CHECK(one(100ms, 4'096) == pico(2'600'000));
}

TEST_CASE("tariff: an invoice of Google Cloud Functions", "[tariff]") {
  // The provider's own example: 10,000,000 invocations of 300 ms with 128 MB and 200 MHz.
  //   375,000 GB-s * 0.0000025 + 600,000 GHz-s * 0.00001 + 10 * 0.40 = 0.9375 + 6 + 4
  //   free: none of the GB-s, 400,000 GHz-s, 8,000,000 invocations   = 4 + 3.20
  const Usage usage = repeated(10'000'000, {.wall = 201ms});
  CHECK(tariffs::google_cloud_functions().price(usage, 128) == usd("10.9375"));
  CHECK(tariffs::google_cloud_functions({.free_tier = true}).price(usage, 128) == usd("7.20"));

  // The published prices of 100 ms for each size, to all their digits; 0.0000004 is the request.
  const auto compute = [](int memory_mb) {
    const Usage call = Usage::of({.wall = 1ns});
    return tariffs::google_cloud_functions().price(call, memory_mb) - usd("0.0000004");
  };
  CHECK(compute(128) == usd("0.00000023125"));
  CHECK(compute(256) == usd("0.0000004625"));
  CHECK(compute(512) == usd("0.000000925"));
  CHECK(compute(1'024) == usd("0.00000165"));
  CHECK(compute(2'048) == usd("0.0000029"));
  CHECK(compute(4'096) == usd("0.0000058"));
  CHECK(compute(8'192) == usd("0.0000068"));
  // What lies between is served by the next size.
  CHECK(compute(1) == compute(128));
  CHECK(compute(129) == compute(256));
  CHECK(compute(4'097) == compute(8'192));
}

TEST_CASE("tariff: an invoice of Google Cloud Run", "[tariff]") {
  // 10,000,000 requests of 200 ms with 512 MB:
  //   2,000,000 vCPU-s * 0.000024 + 1,000,000 GiB-s * 0.0000025 + 4 = 48 + 2.50 + 4
  //   free: 1,820,000 vCPU-s, 640,000 GiB-s, 8,000,000 requests     = 43.68 + 1.60 + 3.20
  const Usage usage = repeated(10'000'000, {.wall = 101ms});
  CHECK(tariffs::google_cloud_run().price(usage, 512) == usd("54.50"));
  CHECK(tariffs::google_cloud_run({.free_tier = true}).price(usage, 512) == usd("48.48"));
}

TEST_CASE("tariff: an invoice of Cloudflare Workers", "[tariff]") {
  // The provider's own example: 15,000,000 requests of 7 ms processor time.
  //   15 * 0.30 + 105 * 0.02; beyond what the plan includes: 5 * 0.30 + 75 * 0.02.
  const Usage usage = repeated(15'000'000, {.wall = 1h, .cpu = 7ms});
  CHECK(tariffs::cloudflare_workers().price(usage, 128) == usd("6.60"));
  CHECK(tariffs::cloudflare_workers({.free_tier = true}).price(usage, 4'096) == usd("3.00"));
  // Parts of a millisecond count: 2.5 ms are 50,000 picodollars.
  CHECK(tariffs::cloudflare_workers().price({.cpu_ns = 2'500'000}, 128) == pico(50'000));
}

TEST_CASE("tariff: an invoice of one's own hardware", "[tariff]") {
  const Tariff tariff =
      tariffs::own_hardware({.per_core_hour = Money::cents(4), .per_gb_hour = Money::cents(0.5)});
  // 10 h with 512 MB are 5 GB-h * 0.005; 90 min of processor time are 1.5 core-h * 0.04.
  CHECK(tariff.price(repeated(60, {.wall = 10min, .cpu = 90s}), 512) == usd("0.085"));
  CHECK(tariff.price(repeated(60, {.wall = 10min}), -512) == Money());
  // 1 ns is 0.0111 picodollars; a million of them are 11,111.
  CHECK(tariff.price({.cpu_ns = 1}, 0) == Money());
  CHECK(tariff.price({.cpu_ns = 1'000'000}, 0) == pico(11'111));
  CHECK(tariffs::own_hardware({.per_core_hour = pico(-1)}).price(kMost, 0) == Money());
}

TEST_CASE("tariff: a marginal price knows neither tiers nor allowances", "[tariff]") {
  // 16e9 GB-s * 0.0000166667, and one request.
  const Usage usage{.attempts = 1, .wall_ms = 16'000'000'000'000};
  const Tariff tariff = tariffs::aws_lambda_x86({.free_tier = true});
  CHECK(tariff.marginal(usage, 1'024) == usd("266667.2000002"));
}

TEST_CASE("tariff: what exceeds all money saturates", "[tariff]") {
  const Tariff dear = tariffs::own_hardware({.per_core_hour = Money::max()});
  const int memory_mb = std::numeric_limits<int>::max();
  for (const Tariff& tariff : tariffs::published()) {
    INFO(tariff.name);
    CHECK(tariff.price(kMost, memory_mb) == Money::max());
    CHECK(tariff.marginal(kMost, memory_mb) == Money::max());
  }
  const Units all{.requests = ~Uint128{0}, .memory = ~Uint128{0}, .cpu = ~Uint128{0}};
  CHECK(all + all == all);
  CHECK(dear.price(all) == Money::max());

  const std::vector<LineUsage> lines(3, {.usage = kMost, .memory_mb = memory_mb});
  const wisp::PricedLines priced = wisp::price_lines(dear, lines);
  CHECK(priced.total == Money::max());
  CHECK(sum_of(priced.lines) == Money::max());
  CHECK(priced.lines[0] - priced.lines[2] <= pico(1));
}

TEST_CASE("tariff: a month priced in parts costs what it costs at once", "[tariff]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    for (const Tariff& tariff : all_tariffs(random.below(2) == 0)) {
      INFO(tariff.name);
      Units month;
      Money parts;
      for (int i = 0; i < 50; ++i) {
        const Units units = tariff.units(any_usage(random), any_memory_mb(random));
        parts += tariff.price(units, month);
        month += units;
      }
      // Each part rounds by at most half a picodollar.
      CHECK(apart(parts, tariff.price(month)) <= pico(25));
    }
  }
}

TEST_CASE("tariff: lines sum to the total and follow their own price", "[tariff]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    for (const Tariff& tariff : all_tariffs(false)) {
      INFO(tariff.name);
      std::vector<LineUsage> lines(1 + random.below(20));
      Units sum;
      for (LineUsage& line : lines) {
        line = {.usage = any_usage(random), .memory_mb = any_memory_mb(random)};
        sum += tariff.units(line.usage, line.memory_mb);
      }
      const wisp::PricedLines priced = wisp::price_lines(tariff, lines);
      CHECK(priced.total == tariff.price(sum));
      CHECK(sum_of(priced.lines) == priced.total);
      // Within the first tier a line's share is its own price, but for the rounding of the total.
      for (std::size_t i = 0; i < lines.size(); ++i) {
        const Money own = tariff.marginal(lines[i].usage, lines[i].memory_mb);
        CHECK(apart(priced.lines[i], own) <= pico(1));
      }
    }
  }
}

TEST_CASE("tariff: lines share what the allowance leaves of the bill", "[tariff]") {
  // 1,000,000 requests are free, 200,000 at 200,000 picodollars are not: 0.04, three to one.
  const Tariff tariff = tariffs::aws_lambda_x86({.free_tier = true});
  const std::vector<LineUsage> lines = {{.usage = {.attempts = 900'000}, .memory_mb = 128},
                                        {.usage = {.attempts = 300'000}, .memory_mb = 1'024},
                                        {}};
  const wisp::PricedLines priced = wisp::price_lines(tariff, lines);
  CHECK(priced.total == usd("0.04"));
  CHECK(priced.lines == std::vector<Money>{usd("0.03"), usd("0.01"), Money()});
  // Later in the month nothing is free: 1,200,000 requests.
  CHECK(wisp::price_lines(tariff, lines, {.requests = 1'000'000}).total == usd("0.24"));

  CHECK(wisp::price_lines(tariff, {}).lines.empty());
  CHECK(wisp::price_lines(Tariff{}, lines).lines == std::vector<Money>(3));
}

TEST_CASE("tariff: the largest remainders get what rounding leaves", "[tariff]") {
  using Weights = std::vector<Uint128>;
  using Shares = std::vector<Money>;
  const auto share = [](int total, const Weights& weights) {
    return wisp::share_by_largest_remainder(pico(total), weights);
  };
  CHECK(share(10, {1, 1, 1}) == Shares{pico(4), pico(3), pico(3)});
  CHECK(share(-10, {1, 1, 1}) == Shares{pico(-4), pico(-3), pico(-3)});
  // Exact shares 4.7, 1.6, 1.58, 1.2, 0.61 and 0.31: three are left, for .7, .61 and .6.
  CHECK(share(10, {47'000, 16'000, 15'800, 12'000, 6'100, 3'100}) ==
        Shares{pico(5), pico(2), pico(1), pico(1), pico(1), pico(0)});
  CHECK(share(5, {0, 7, 0}) == Shares{pico(0), pico(5), pico(0)});
  CHECK(share(5, {0, 0}) == Shares{pico(3), pico(2)});
  CHECK(share(5, {}).empty());
  const Uint128 most = ~Uint128{0};
  CHECK(share(9, {most, most / 2, 0}) == Shares{pico(6), pico(3), pico(0)});
}

TEST_CASE("tariff: shares are exact for any total and weights", "[tariff]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    for (int i = 0; i < 20; ++i) {
      const auto total = static_cast<std::int64_t>(random.any_size() >> 1);
      std::vector<Uint128> weights(1 + random.below(30));
      const bool wide = random.below(2) == 0;
      for (Uint128& weight : weights) {
        weight = random.any_size() >> 6;
        if (wide) weight = weight * random.any_size();
      }
      const std::vector<Money> shares = wisp::share_by_largest_remainder(pico(total), weights);
      REQUIRE(shares.size() == weights.size());
      CHECK(sum_of(shares) == pico(total));
      if (wide) continue;
      // Less than one from the exact share: |share * sum - total * weight| < sum.
      Uint128 sum = 0;
      for (const Uint128 weight : weights) sum += weight;
      for (std::size_t line = 0; sum != 0 && line < shares.size(); ++line) {
        const Uint128 actual = static_cast<Uint128>(shares[line].picodollars()) * sum;
        const Uint128 exact = static_cast<Uint128>(total) * weights[line];
        CHECK((actual > exact ? actual - exact : exact - actual) < sum);
      }
    }
  }
}
