#include <wisp/engine/metrics.hpp>

#include <algorithm>
#include <cmath>

namespace wisp::inline v0 {

Histogram::Snapshot Histogram::snapshot() const {
  Snapshot result;
  constexpr std::uint64_t kCountMask = (std::uint64_t{1} << kCountBits) - 1;
  const auto bucket = [](std::uint64_t word) {
    return static_cast<std::size_t>(word < kCounting ? word : (word & ~kCounting) >> kCountBits);
  };
  const auto at_least = [&](std::uint64_t word, std::uint64_t count) {
    std::uint64_t& known = result.counts_[bucket(word)];
    known = std::max(known, count);
  };
  const std::uint64_t first = pending_.load(std::memory_order_acquire);
  for (std::size_t i = 0; i < kBuckets; ++i) {
    result.counts_[i] = counts_[i].load(std::memory_order_acquire);
  }
  const std::uint64_t last = pending_.load(std::memory_order_acquire);
  // No bucket may shrink from one snapshot to the next. What was pending at first, and perhaps in
  // an earlier snapshot, has been counted since or is in `last`; its count was perhaps read before.
  if (first != last && bucket(first) != kNone) {
    if (first >= kCounting) at_least(first, first & kCountMask);
    else if (first != bucket(last)) at_least(first, counts_[first].load(std::memory_order_acquire));
  }
  // What is pending now is in no count that was read before: who sees it counted sees `last` gone.
  if (bucket(last) != kNone) {
    if (last >= kCounting) at_least(last, last & kCountMask);
    else ++result.counts_[last];
  }
  result.max_ = max_.load(std::memory_order_relaxed);
  return result;
}

std::uint64_t Histogram::Snapshot::count() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : counts_) sum += count;
  return sum;
}

std::optional<std::uint64_t> Histogram::Snapshot::quantile(double q) const {
  const std::uint64_t total = count();
  if (total == 0) return std::nullopt;
  const double wanted = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(total));
  const std::uint64_t rank =
      std::clamp(static_cast<std::uint64_t>(wanted), std::uint64_t{1}, total);
  std::size_t bucket = 0;
  for (std::uint64_t seen = counts_[0]; seen < rank; seen += counts_[bucket]) ++bucket;
  const std::uint64_t largest = *max();
  if (bucket == kBuckets - 1) return largest;
  const std::uint64_t lower = bucket_lower(bucket);
  return std::min(lower + (bucket_upper(bucket) - lower) / 2, largest);
}

std::optional<std::uint64_t> Histogram::Snapshot::max() const {
  // The largest value lies in the last bucket with any, which makes up for a max_ that was read a
  // moment before or after the counts, or that has been subtracted.
  for (std::size_t bucket = kBuckets; bucket-- > 0;) {
    if (counts_[bucket] != 0) return std::clamp(max_, bucket_lower(bucket), bucket_upper(bucket));
  }
  return std::nullopt;
}

Histogram::Snapshot& Histogram::Snapshot::operator+=(const Snapshot& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  max_ = std::max(max_, other.max_);
  return *this;
}

Histogram::Snapshot& Histogram::Snapshot::operator-=(const Snapshot& earlier) {
  for (std::size_t i = 0; i < kBuckets; ++i) counts_[i] -= earlier.counts_[i];
  return *this;
}

}  // namespace wisp::inline v0
