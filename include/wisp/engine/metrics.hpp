// What the engines count: counters, gauges and histograms of a fixed size, cheap enough for every
// call.
//
//   wisp::Histogram run;                                   // written by one worker
//   run.record(1'250'000);                                 // nanoseconds
//   wisp::Histogram::Snapshot all = run.snapshot();        // any thread
//   all += other_worker.snapshot();
//   std::optional<std::uint64_t> p99 = all.quantile(0.99);
//
// Every figure is its own relaxed atomic: readers race with nobody and see each figure at some
// recent moment, but not all figures at the same one.
//
// Threads: see methods.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace wisp::inline v0 {

// Only grows, and wraps at 2^64. Threads: any.
class Counter {
 public:
  void add(std::uint64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Goes up and down. Threads: any.
class Gauge {
 public:
  void set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void add(std::int64_t change) { value_.fetch_add(change, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// How often values of each size occurred, in 2.5 KB. Values below 16 have a bucket each; above,
// every power of two is cut into 8 buckets, so that a bucket is at most 1/8 of its values wide and
// its middle at most 1/16 (6.25 %) from any of them. Values of 2^41 (37 minutes, in nanoseconds)
// and more share the last bucket. Source of the layout: HdrHistogram, with 3 bits of mantissa.
//
// Threads: one thread records, at a time; any thread reads meanwhile.
class Histogram {
 public:
  static constexpr std::uint64_t kLimit = std::uint64_t{1} << 41;
  static constexpr std::size_t kBuckets = 313;

  // Which bucket counts `value`, and the smallest and largest value of a bucket. Constant time.
  static constexpr std::size_t bucket_of(std::uint64_t value);
  // Requires: bucket < kBuckets.
  static constexpr std::uint64_t bucket_lower(std::size_t bucket);
  static constexpr std::uint64_t bucket_upper(std::size_t bucket);

  // The counts of one or more histograms at one moment. Threads: value.
  class Snapshot {
   public:
    std::uint64_t count() const;

    // The count of values of kLimit and more.
    std::uint64_t count_beyond() const { return counts_[kBuckets - 1]; }

    // The value of rank ceil(q * count()), at most 6.25 % off; q is clamped to [0, 1]. For a rank
    // among the values beyond kLimit, the largest value. Nothing when nothing was recorded.
    std::optional<std::uint64_t> quantile(double q) const;

    // The largest value recorded. After operator-= it is only known to lie in its bucket, which is
    // 12.5 % wide. Nothing when nothing was recorded.
    std::optional<std::uint64_t> max() const;

    Snapshot& operator+=(const Snapshot& other);

    // What was recorded since `earlier`. Requires: `earlier` is a previous snapshot of the same
    // histograms.
    Snapshot& operator-=(const Snapshot& earlier);

    friend Snapshot operator+(Snapshot a, const Snapshot& b) { return a += b; }
    friend Snapshot operator-(Snapshot a, const Snapshot& b) { return a -= b; }

   private:
    friend class Histogram;

    std::array<std::uint64_t, kBuckets> counts_{};
    std::uint64_t max_ = 0;
  };

  // Counts the value before this one, and leaves this one to the next. A value is often the
  // difference of two readings of the processor's cycle counter, and processors have the next
  // reading wait for whatever lies in memory at a place that follows from the last one: that costs
  // more than all else here. The place of the value before has long been worked out.
  //
  // Plain loads and stores, no atomic addition: there is only one writer. All releases pair with
  // snapshot(), which so knows of each count whether the value before is in it.
  void record(std::uint64_t value) {
    const std::uint64_t before = pending_.load(std::memory_order_relaxed);
    std::atomic<std::uint64_t>& count = counts_[before];
    const std::uint64_t counted = count.load(std::memory_order_relaxed) + 1;
    pending_.store(before << kCountBits | counted | kCounting, std::memory_order_release);
    count.store(counted, std::memory_order_release);
    pending_.store(bucket_of(value), std::memory_order_release);
    note_max(value);
  }
  // As often as `times` says.
  void record(std::uint64_t value, std::uint64_t times) {
    std::atomic<std::uint64_t>& count = counts_[bucket_of(value)];
    count.store(count.load(std::memory_order_relaxed) + times, std::memory_order_release);
    note_max(value);
  }

  Snapshot snapshot() const;

 private:
  static constexpr int kMantissaBits = 3;
  static constexpr std::size_t kNone = kBuckets;
  // Of pending_, while a value is being counted: this bit, the bucket, and what its count becomes.
  static constexpr std::uint64_t kCounting = std::uint64_t{1} << 63;
  static constexpr int kCountBits = 54;
  static_assert(kNone < 1U << (63 - kCountBits));

  void note_max(std::uint64_t value) {
    if (value > max_.load(std::memory_order_relaxed)) max_.store(value, std::memory_order_relaxed);
  }

  std::atomic<std::uint64_t> max_{0};          // first: near the counts of short calls
  std::atomic<std::uint64_t> pending_{kNone};  // the bucket of the last value, not yet counted
  std::array<std::atomic<std::uint64_t>, kBuckets + 1> counts_{};  // the last one is of no value
};

constexpr std::size_t Histogram::bucket_of(std::uint64_t value) {
  if (value >= kLimit) return kBuckets - 1;
  // The four highest bits of the value are its mantissa, 8 to 15; the rest is cut off.
  const auto bits = static_cast<unsigned>(std::bit_width(value | (1U << kMantissaBits)));
  const unsigned shift = bits - 1 - kMantissaBits;
  return (std::size_t{shift} << kMantissaBits) + static_cast<std::size_t>(value >> shift);
}

constexpr std::uint64_t Histogram::bucket_lower(std::size_t bucket) {
  if (bucket < (2U << kMantissaBits)) return bucket;
  const std::size_t shift = (bucket >> kMantissaBits) - 1;
  return (bucket - (shift << kMantissaBits)) << shift;
}

constexpr std::uint64_t Histogram::bucket_upper(std::size_t bucket) {
  return bucket == kBuckets - 1 ? UINT64_MAX : bucket_lower(bucket + 1) - 1;
}

}  // namespace wisp::inline v0
