#include <wisp/model/cron.hpp>

#include <algorithm>
#include <bit>

namespace wisp::inline v0 {
namespace {

using std::chrono::days;
using std::chrono::local_days;
using std::chrono::months;
using std::chrono::year_month;
using std::chrono::year_month_day;
using std::chrono::year_month_day_last;
using std::chrono::years;

// Dates repeat: 400 years are 146,097 days, a whole number of weeks.
constexpr int kMonthsToLook = 400 * 12 + 1;

// Of the next time: worth a lookup of its own, and so near that it is still to come whatever the
// clock does meanwhile. No clock was ever set by more than a day.
constexpr std::chrono::days kFar{7};
constexpr std::chrono::days kNear{3};

class Utc final : public Zone {
 public:
  std::string_view name() const override { return "UTC"; }
  Span at(Instant) const override { return {Instant::min(), Instant::max(), {}}; }
};

// The first bit of `mask` from `from` on; -1: none.
int first_bit(std::uint64_t mask, int from) {
  mask &= ~std::uint64_t{0} << from;
  return mask == 0 ? -1 : std::countr_zero(mask);
}

// The first time of day from `from` on, in seconds; -1: none.
int next_in_day(std::uint32_t hours, std::uint64_t minutes, std::uint64_t seconds, int from) {
  const int hour = from / 3600;
  const int minute = from / 60 % 60;
  if ((hours >> hour & 1U) != 0) {
    if ((minutes >> minute & 1U) != 0) {
      const int second = first_bit(seconds, from % 60);
      if (second >= 0) return hour * 3600 + minute * 60 + second;
    }
    const int later = minute == 59 ? -1 : first_bit(minutes, minute + 1);
    if (later >= 0) return hour * 3600 + later * 60 + first_bit(seconds, 0);
  }
  const int later = hour == 23 ? -1 : first_bit(hours, hour + 1);
  if (later < 0) return -1;
  return later * 3600 + first_bit(minutes, 0) * 60 + first_bit(seconds, 0);
}

unsigned last_day_of(year_month month) {
  return unsigned{year_month_day_last(month / std::chrono::last).day()};
}

// The weekday, of mon to fri, that is nearest to that day of a month, and within it.
unsigned nearest_weekday(unsigned day, unsigned weekday, unsigned last) {
  if (weekday == 6) return day > 1 ? day - 1 : day + 2;
  if (weekday == 0) return day < last ? day + 1 : day - 2;
  return day;
}

}  // namespace

const Zone& Zone::utc() {
  static const Utc zone;
  return zone;
}

std::uint32_t Cron::days_of(year_month month) const {
  const unsigned last = last_day_of(month);
  const unsigned first = std::chrono::weekday(local_days(month / 1)).c_encoding();
  const std::uint64_t all = (std::uint64_t{2} << last) - 2;  // bits 1 to last
  // Of weekdays those in the month's first seven days, at the bits of their dates.
  const auto in_first_week = [first](unsigned weekdays) {
    return std::uint64_t{((weekdays >> first | weekdays << (7 - first)) & 0x7fU)} << 1;
  };
  const auto in_each_week = [&](unsigned weekdays) {
    return in_first_week(weekdays) * (1 + (1U << 7) + (1U << 14) + (1U << 21) + (1U << 28));
  };
  std::uint64_t by_day = days_;
  for (std::uint32_t rest = days_from_end_; rest != 0; rest &= rest - 1) {
    const auto back = static_cast<unsigned>(std::countr_zero(rest));
    if (back < last) by_day |= std::uint64_t{1} << (last - back);
  }
  for (std::uint32_t rest = nearest_; rest != 0; rest &= rest - 1) {
    const auto bit = static_cast<unsigned>(std::countr_zero(rest));
    const unsigned day = bit == 0 ? last : bit;
    if (day <= last)
      by_day |= std::uint64_t{1} << nearest_weekday(day, (first + day - 1) % 7, last);
  }
  std::uint64_t by_weekday = in_each_week(weekdays_);
  for (std::size_t n = 0; n < nth_.size(); ++n) by_weekday |= in_first_week(nth_[n]) << (7 * n);
  by_weekday |= in_each_week(last_weekdays_) & all & ~(all >> 7);
  const bool both = any_day_ || any_weekday_;
  return static_cast<std::uint32_t>((both ? by_day & by_weekday : by_day | by_weekday) & all);
}

bool Cron::matches(CivilTime time) const {
  const auto midnight = std::chrono::floor<days>(time);
  const year_month_day day(midnight);
  const std::chrono::hh_mm_ss clock(time - midnight);
  return (months_ >> unsigned{day.month()} & 1U) != 0 &&
         (days_of(day.year() / day.month()) >> unsigned{day.day()} & 1U) != 0 &&
         (hours_ >> clock.hours().count() & 1U) != 0 &&
         (minutes_ >> clock.minutes().count() & 1U) != 0 &&
         (seconds_ >> clock.seconds().count() & 1U) != 0;
}

std::optional<CivilTime> Cron::next_civil(CivilTime from) const {
  const auto today = std::chrono::floor<days>(from);
  const year_month_day date(today);
  year_month month(date.year(), date.month());
  int day = static_cast<int>(unsigned{date.day()});
  int second = next_in_day(hours_, minutes_, seconds_, static_cast<int>((from - today).count()));
  if (second < 0) ++day;
  for (int i = 0; i < kMonthsToLook; ++i) {
    const int that = first_bit(months_, static_cast<int>(unsigned{month.month()}));
    if (that < 0) {
      month = (month.year() + years(1)) / std::chrono::January;
      day = 1;
      continue;
    }
    if (that != static_cast<int>(unsigned{month.month()})) {
      month = month.year() / that;
      day = 1;
    }
    const int found = first_bit(days_of(month), day);
    if (found > 0) {
      const local_days midnight = local_days(month / found);
      if (second < 0 || midnight != today) second = next_in_day(hours_, minutes_, seconds_, 0);
      return midnight + std::chrono::seconds(second);
    }
    month += months(1);
    day = 1;
  }
  return std::nullopt;
}

std::optional<Instant> Cron::next(Instant after, const Zone& zone, Gap gap) const {
  Zone::Span span = zone.at(after);
  // Of the clock's readings in this span, those that it has not shown in the one before.
  CivilTime from(after.time_since_epoch() + span.offset + std::chrono::seconds(1));
  while (true) {
    if (!any_hour_ && span.begin != Instant::min()) {
      const Zone::Span before = zone.at(span.begin - std::chrono::seconds(1));
      from = std::max(from, CivilTime(span.begin.time_since_epoch() + before.offset));
    }
    const std::optional<CivilTime> found = next_civil(from);
    if (!found) return std::nullopt;
    const Instant at(found->time_since_epoch() - span.offset);
    if (at < span.end) return at;
    // Whatever clocks on the way there show twice or not at all, nothing of it is to fire; but
    // where intervals go on, so does what was shown before `from` and is shown again soon.
    const CivilTime change(span.end.time_since_epoch() + span.offset);
    if (*found - from > kFar && (!any_hour_ || change - from > kNear)) {
      const Instant near = at - kNear;
      span = zone.at(near);
      from = CivilTime(near.time_since_epoch() + span.offset);
      continue;
    }
    const Zone::Span next = zone.at(span.end);
    const CivilTime shown(span.end.time_since_epoch() + next.offset);
    // In the gap: the clock goes from the one to the other.
    if (!any_hour_ && gap == Gap::at_end && *found < shown) return span.end;
    span = next;
    from = shown;
  }
}

namespace detail {
void bad_cron_expression(const char*, const char*) {}
}  // namespace detail

}  // namespace wisp::inline v0
