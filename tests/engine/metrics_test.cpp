#include <wisp/engine/metrics.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "seeds.hpp"

using wisp::Counter;
using wisp::Gauge;
using wisp::Histogram;
using wisp::test::Seeded;
using wisp::test::test_seeds;

namespace {

// The value of rank ceil(q * n) in `sorted`.
std::uint64_t exact_quantile(const std::vector<std::uint64_t>& sorted, double q) {
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(sorted.size())));
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

bool within_a_sixteenth(std::uint64_t actual, std::uint64_t exact) {
  return (actual > exact ? actual - exact : exact - actual) <= exact / 16;
}

}  // namespace

static_assert(sizeof(Histogram) <= 2'600);
static_assert(sizeof(Counter) == 8 && sizeof(Gauge) == 8);
static_assert(Histogram::bucket_of(0) == 0);

TEST_CASE("metrics: a counter adds up over threads", "[metrics]") {
  Counter counter;
  CHECK(counter.value() == 0);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&counter] {
      for (int n = 0; n < 200'000; ++n) counter.add();
      counter.add(5);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(counter.value() == 4 * 200'005);
}

TEST_CASE("metrics: a gauge is set and moved over threads", "[metrics]") {
  Gauge gauge;
  CHECK(gauge.value() == 0);
  gauge.set(-7);
  CHECK(gauge.value() == -7);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&gauge] {
      for (int n = 0; n < 200'000; ++n) gauge.add(n % 2 == 0 ? 3 : -2);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(gauge.value() == -7 + 4 * 100'000);
}

TEST_CASE("metrics: buckets tile all values and are an eighth wide", "[metrics]") {
  CHECK(Histogram::bucket_lower(0) == 0);
  CHECK(Histogram::bucket_upper(Histogram::kBuckets - 1) == UINT64_MAX);
  for (std::size_t bucket = 0; bucket < Histogram::kBuckets; ++bucket) {
    INFO("bucket " << bucket);
    const std::uint64_t lower = Histogram::bucket_lower(bucket);
    const std::uint64_t upper = Histogram::bucket_upper(bucket);
    CHECK(lower <= upper);
    CHECK(Histogram::bucket_of(lower) == bucket);
    CHECK(Histogram::bucket_of(upper) == bucket);
    if (bucket + 1 == Histogram::kBuckets) {
      CHECK(lower == Histogram::kLimit);
    } else {
      CHECK(Histogram::bucket_lower(bucket + 1) == upper + 1);
      CHECK(upper - lower <= lower / 8);
    }
  }
}

TEST_CASE("metrics: a histogram without values has no quantile", "[metrics]") {
  const Histogram histogram;
  CHECK(histogram.snapshot().count() == 0);
  CHECK(histogram.snapshot().quantile(0.5) == std::nullopt);
  CHECK(histogram.snapshot().max() == std::nullopt);
  CHECK(Histogram::Snapshot{}.quantile(1.0) == std::nullopt);
}

TEST_CASE("metrics: small values are exact and ranks are nearest", "[metrics]") {
  Histogram histogram;
  for (std::uint64_t value = 1; value <= 10; ++value) histogram.record(value);
  const Histogram::Snapshot snapshot = histogram.snapshot();
  CHECK(snapshot.count() == 10);
  CHECK(snapshot.quantile(0.0) == 1U);
  CHECK(snapshot.quantile(0.1) == 1U);
  CHECK(snapshot.quantile(0.11) == 2U);
  CHECK(snapshot.quantile(0.5) == 5U);
  CHECK(snapshot.quantile(0.99) == 10U);
  CHECK(snapshot.quantile(1.0) == 10U);
  CHECK(snapshot.quantile(-1.0) == 1U);
  CHECK(snapshot.quantile(2.0) == 10U);
  CHECK(snapshot.max() == 10U);

  Histogram many;
  many.record(0, 99);
  many.record(7);
  CHECK(many.snapshot().count() == 100);
  CHECK(many.snapshot().quantile(0.99) == 0U);
  CHECK(many.snapshot().quantile(0.991) == 7U);
}

TEST_CASE("metrics: a quantile never exceeds the largest value", "[metrics]") {
  Histogram histogram;
  histogram.record(1'000'000);
  CHECK(histogram.snapshot().quantile(0.5) <= 1'000'000U);
  CHECK(histogram.snapshot().max() == 1'000'000U);
  histogram.record(983'040);  // the lower end of the same bucket
  CHECK(histogram.snapshot().quantile(1.0) <= 1'000'000U);
}

TEST_CASE("metrics: values beyond the range are counted in the last bucket", "[metrics]") {
  Histogram histogram;
  histogram.record(Histogram::kLimit - 1);
  CHECK(histogram.snapshot().count_beyond() == 0);
  histogram.record(Histogram::kLimit);
  histogram.record(std::numeric_limits<std::uint64_t>::max() - 1);
  CHECK(histogram.snapshot().count() == 3);
  CHECK(histogram.snapshot().count_beyond() == 2);
  CHECK(histogram.snapshot().max() == std::numeric_limits<std::uint64_t>::max() - 1);
  CHECK(histogram.snapshot().quantile(0.5) == std::numeric_limits<std::uint64_t>::max() - 1);
  CHECK(within_a_sixteenth(histogram.snapshot().quantile(0.3).value(), Histogram::kLimit - 1));
}

TEST_CASE("metrics: quantiles agree with a sorted vector within a sixteenth", "[metrics]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    Histogram histogram;
    std::vector<std::uint64_t> values(1 + random.below(2'000));
    const std::uint64_t shift = random.below(50);
    for (std::uint64_t& value : values) {
      value = (random.any_size() >> shift) % Histogram::kLimit;
      histogram.record(value);
    }
    std::sort(values.begin(), values.end());
    const Histogram::Snapshot snapshot = histogram.snapshot();
    CHECK(snapshot.count() == values.size());
    CHECK(snapshot.max() == values.back());
    for (int percent = 0; percent <= 100; ++percent) {
      const double q = percent / 100.0;
      const std::uint64_t exact = exact_quantile(values, q);
      INFO("p" << percent << " is " << exact << ", not " << snapshot.quantile(q).value());
      CHECK(within_a_sixteenth(snapshot.quantile(q).value(), exact));
    }
  }
}

TEST_CASE("metrics: merging and subtracting snapshots", "[metrics]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    Histogram first;
    Histogram second;
    Histogram both;
    Histogram late;
    const auto record_some = [&random](Histogram& one, Histogram& all) {
      for (int i = 0; i < 100; ++i) {
        const std::uint64_t value = random.any_size() >> 20;
        one.record(value);
        all.record(value);
      }
    };
    record_some(first, both);
    record_some(second, both);
    const Histogram::Snapshot merged = first.snapshot() + second.snapshot();
    CHECK(merged.count() == both.snapshot().count());
    CHECK(merged.max() == both.snapshot().max());
    CHECK(merged.quantile(0.9) == both.snapshot().quantile(0.9));

    const Histogram::Snapshot earlier = both.snapshot();
    record_some(late, both);
    const Histogram::Snapshot window = both.snapshot() - earlier;
    CHECK(window.count() == 100);
    // To the bucket, since the largest value of a window is not known more closely.
    const auto bucket = [](std::optional<std::uint64_t> v) {
      return Histogram::bucket_of(v.value());
    };
    CHECK(bucket(window.max()) == bucket(late.snapshot().max()));
    for (const double q : {0.1, 0.5, 0.9, 1.0}) {
      CHECK(bucket(window.quantile(q)) == bucket(late.snapshot().quantile(q)));
    }
    CHECK((earlier - earlier).max() == std::nullopt);
  }
}

// The last value is counted by the next: a reader finds it all the same, and no bucket shrinks.
TEST_CASE("metrics: the last value is in a snapshot, and each bucket only grows", "[metrics]") {
  Histogram histogram;
  histogram.record(7);
  CHECK(histogram.snapshot().count() == 1);
  CHECK(histogram.snapshot().quantile(0.5) == 7);
  histogram.record(Histogram::kLimit);
  CHECK(histogram.snapshot().count_beyond() == 1);
  histogram.record(7, 3);
  CHECK(histogram.snapshot().count() == 5);
  CHECK(histogram.snapshot().quantile(0.8) == 7);

  constexpr std::uint64_t kRecords = 300'000;
  std::atomic<bool> done{false};
  std::atomic<int> shrunk{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      Histogram::Snapshot before = histogram.snapshot();
      while (!done.load()) {
        const Histogram::Snapshot now = histogram.snapshot();
        // The bucket of kLimit, and the other two together.
        const std::uint64_t low = now.count() - now.count_beyond();
        if (now.count_beyond() < before.count_beyond()) ++shrunk;
        if (low < before.count() - before.count_beyond()) ++shrunk;
        before = now;
      }
    });
  }
  for (std::uint64_t i = 0; i < kRecords; ++i)
    histogram.record(i % 3 == 0 ? Histogram::kLimit : i % 3);
  done.store(true);
  for (std::thread& reader : readers) reader.join();
  CHECK(shrunk.load() == 0);
  CHECK(histogram.snapshot().count() == 5 + kRecords);
  CHECK(histogram.snapshot().count_beyond() == 1 + kRecords / 3);
}

TEST_CASE("metrics: readers see a histogram grow while it is written", "[metrics]") {
  constexpr std::uint64_t kRecords = 200'000;
  Histogram histogram;
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  std::atomic<int> faults{0};
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      Histogram::Snapshot before;
      bool last = false;
      while (!last) {
        last = done.load();
        const Histogram::Snapshot now = histogram.snapshot();
        const Histogram::Snapshot since = now - before;
        if (now.count() < before.count() || since.count() > kRecords) ++faults;
        if (now.count() > 0 && *now.quantile(1.0) > *now.max()) ++faults;
        before = now;
      }
      if (before.count() != kRecords) ++faults;
    });
  }
  for (std::uint64_t i = 0; i < kRecords; ++i) histogram.record(i * i);
  done.store(true);
  for (std::thread& reader : readers) reader.join();
  CHECK(faults.load() == 0);
  CHECK(histogram.snapshot().count() == kRecords);
  CHECK(histogram.snapshot().max() == (kRecords - 1) * (kRecords - 1));
}
