// What a keep-alive policy costs and saves at the trace's own grain of a minute.
//
// A minute with calls is active. It is cold where the function was not kept: in its first active
// minute, or when the policy had it freed so many minutes after the last one. A function is warm in
// its active minutes and in the idle ones in which it is kept, up to the end of the trace.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>

#include <wisp/model/keep_alive.hpp>

namespace replay {

struct Minutes {
  std::int64_t cold = 0;
  std::int64_t warm = 0;
  Minutes& operator+=(const Minutes& other) {
    cold += other.cold;
    warm += other.warm;
    return *this;
  }
};

template <class T>
concept KeepAlive = requires(const T& policy, const wisp::keep_alive::IdleTimes& seen) {
  { policy.next(seen, wisp::Duration()) } -> std::same_as<std::optional<wisp::keep_alive::Span>>;
};

// Of the minutes 1 to `idle` after a use, those in which it is kept, both ends of a span included;
// and whether it is in the minute after them.
struct Kept {
  std::int64_t minutes = 0;
  bool next = false;
};

template <KeepAlive Policy>
Kept kept(const Policy& policy, const wisp::keep_alive::IdleTimes& seen, std::int64_t idle) {
  using std::chrono::minutes;
  Kept kept;
  wisp::Duration at{};
  while (const auto span = policy.next(seen, at)) {
    const std::int64_t first =
        std::max<std::int64_t>(1, std::chrono::ceil<minutes>(span->from).count());
    const std::int64_t last = std::chrono::floor<minutes>(span->until).count();
    if (first > idle + 1) break;
    kept.minutes += std::max<std::int64_t>(0, std::min(last, idle) - first + 1);
    kept.next = kept.next || last > idle;
    if (kept.next) break;
    at = span->until;
  }
  return kept;
}

// Of one function's calls in each minute.
template <KeepAlive Policy>
Minutes measure(const Policy& policy, std::span<const std::uint32_t> calls) {
  Minutes result;
  wisp::keep_alive::IdleTimes seen;
  std::int64_t last = -1;
  const auto end = static_cast<std::int64_t>(calls.size());
  for (std::int64_t minute = 0; minute < end; ++minute) {
    if (calls[static_cast<std::size_t>(minute)] == 0) continue;
    ++result.warm;
    if (last < 0) {
      ++result.cold;
    } else {
      const Kept between = kept(policy, seen, minute - last - 1);
      result.warm += between.minutes;
      result.cold += between.next ? 0 : 1;
      seen.add(std::chrono::minutes(minute - last));
    }
    last = minute;
  }
  if (last >= 0) result.warm += kept(policy, seen, end - 1 - last).minutes;
  return result;
}

}  // namespace replay
