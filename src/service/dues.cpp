#include "dues.hpp"

#include <iterator>

#include <wisp/model/policy.hpp>

namespace wisp::inline v0::detail {

Dues CronTimes::dues(Instant first, WallTime wall, std::int64_t kept) const {
  Dues dues{.count = 1, .late = {wall - first}};
  Instant counted = first;
  std::optional<Instant> at = next(counted);
  for (; at && *at <= wall && dues.count < kMakeUpMax; at = next(counted)) {
    counted = *at;
    ++dues.count;
    dues.late.push_back(wall - counted);
  }
  if (at && *at <= wall) {
    // The last of those that are not counted, from the end: between here and there may be millions.
    std::vector<Duration> latest;
    Instant end = std::chrono::floor<std::chrono::seconds>(wall) + std::chrono::seconds(1);
    while (std::ssize(latest) < kept && (end = last(end, counted)) != counted)
      latest.push_back(wall - end);
    dues.late.insert(dues.late.end(), latest.rbegin(), latest.rend());
  }
  if (std::ssize(dues.late) > kept) dues.late.erase(dues.late.begin(), dues.late.end() - kept);
  return dues;
}

// Looks back by twice as much each time, then halves what is left: some 70 looks at most, few where
// times come often.
Instant CronTimes::last(Instant end, Instant before) const {
  Instant none = end - std::chrono::seconds(1);  // after it there is none
  for (std::chrono::seconds back{2}; end - back > before; back *= 2) {
    const std::optional<Instant> at = next(end - back);
    if (at && *at < end) {
      before = *at;
      break;
    }
    none = end - back;
  }
  while (before < none) {
    const Instant middle = before + (none - before) / 2;
    const std::optional<Instant> at = next(middle);
    if (at && *at < end) before = *at;
    else none = middle;
  }
  return before;
}

}  // namespace wisp::inline v0::detail
