// Which times of a cron expression have come.
//
//   const CronTimes times{*when.cron, zone, when.gap};
//   const Dues dues = times.dues(first, wall, 10);
//
// Threads: value.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/model/cron.hpp>

namespace wisp::inline v0::detail {

// The firings that are due.
struct Dues {
  std::uint64_t count = 0;
  std::vector<Duration> late;  // by how much, of the last ones; the latest is the last
};

// An expression in its zone. Both outlive it.
class CronTimes {
 public:
  CronTimes(const Cron& cron, const Zone& zone, Gap gap) : cron_(cron), zone_(zone), gap_(gap) {}

  std::optional<Instant> next(Instant after) const { return cron_.next(after, zone_, gap_); }

  // Those from `first`, which is one, to `wall`: the last `kept`, and how many there are, counted
  // up to kMakeUpMax. Requires: 1 <= kept <= kMakeUpMax.
  Dues dues(Instant first, WallTime wall, std::int64_t kept) const;

 private:
  // The last one before `end`. Requires: `before` is one, and before it.
  Instant last(Instant end, Instant before) const;

  const Cron& cron_;
  const Zone& zone_;
  const Gap gap_;
};

}  // namespace wisp::inline v0::detail
