// When a schedule fires, as crontab says it.
//
//   using namespace wisp::literals;
//   constexpr wisp::Cron nightly = "0 3 * * mon-fri"_cron;      // a bad one does not compile
//   WISP_TRY(wisp::Cron lunch, wisp::Cron::parse(text));         // says which field, and why
//   std::optional<wisp::Instant> at = nightly.next(now, zone);
//
// Five fields, or six with the seconds first; without them, second 0:
//
//   second  0-59
//   minute  0-59
//   hour    0-23
//   day     1-31, L the last of the month, L-3 three before it, 15W the weekday (mon-fri) nearest
//           to the 15th within the month, LW the last weekday
//   month   1-12 or jan-dec
//   weekday 0-7 or sun-sat (0 and 7 are Sunday), fri#2 the second Friday, friL the last one
//
// Each is `*`, a value, a range a-b, either with a step (/n; a/n goes on to the end), or a list of
// those by commas. Names in any case. If neither day field begins with `*` a day that either names
// will do; else it has to be in both (Vixie's cron, crontab(5)).
//
// Where clocks change: a time that is skipped fires at the end of the gap, once for all that it
// swallows, or not at all (Gap). A time that comes twice fires the first time. But an expression
// whose hour is `*` means intervals: it fires in every hour that passes, and makes up for nothing.
//
// Threads: value.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <wisp/base/status.hpp>
#include <wisp/model/zone.hpp>

namespace wisp::inline v0 {

// A time that the clock skips in spring: fires at the end of the gap, or not at all.
enum class Gap : std::uint8_t { at_end, skip };

class Cron {
 public:
  // Characters of an expression, spaces included.
  static constexpr std::size_t kTextMax = 120;

  // kInvalidArgument, which names the field and the reason: also for a day that none of its months
  // has, such as 31 February. What no day fits for its weekday, such as the second Monday on the
  // 31st, has no next() and is refused by Runtime::every.
  static Result<Cron> parse(std::string_view text);

  // The next moment after `after`. Nothing if there is none within the 400 years after which dates
  // repeat.
  std::optional<Instant> next(Instant after, const Zone& zone = Zone::utc(),
                              Gap gap = Gap::at_end) const;

  // Whether it fires when the wall shows that, were no clock ever changed.
  bool matches(CivilTime time) const;

  constexpr std::string_view text() const { return {text_.data(), text_size_}; }

  // For parse() and the literal. What is wrong, if `reason` is not null, and in which field.
  struct Parsed;
  static constexpr Parsed read(std::string_view text);

 private:
  struct Reader;

  std::optional<CivilTime> next_civil(CivilTime from) const;
  // Bit 1 to 31: the days of that month, whether or not the month fits.
  std::uint32_t days_of(std::chrono::year_month month) const;

  std::uint64_t seconds_ = 1;
  std::uint64_t minutes_ = 0;
  std::uint32_t hours_ = 0;
  std::uint32_t days_ = 0;             // bit 1 to 31
  std::uint32_t days_from_end_ = 0;    // bit n: L-n
  std::uint32_t nearest_ = 0;          // bit n: nW; bit 0: LW
  std::uint16_t months_ = 0;           // bit 1 to 12
  std::uint8_t weekdays_ = 0;          // bit 0 to 6
  std::uint8_t last_weekdays_ = 0;     // friL
  std::array<std::uint8_t, 5> nth_{};  // fri#2 in nth_[1]
  bool any_hour_ = false;
  bool any_day_ = false;
  bool any_weekday_ = false;
  std::uint8_t text_size_ = 0;
  std::array<char, kTextMax> text_{};
};

struct Cron::Parsed {
  Cron cron;
  const char* field = "";
  const char* reason = nullptr;
  std::string_view part{};  // of the text
};

// Reads one field after the other.
struct Cron::Reader {
  enum Kind : std::uint8_t { second, minute, hour, day, month, weekday };
  static constexpr std::array<const char*, 6> kNames = {"second", "minute", "hour",
                                                        "day",    "month",  "weekday"};
  static constexpr std::array<int, 6> kLow = {0, 0, 0, 1, 1, 0};
  static constexpr std::array<int, 6> kHigh = {59, 59, 23, 31, 12, 7};
  static constexpr const char* kRange[6] = {
      "is not within 0 to 59", "is not within 0 to 59",          "is not within 0 to 23",
      "is not within 1 to 31", "is not within 1 to 12, jan-dec", "is not within 0 to 7, sun-sat"};

  std::string_view rest;
  Parsed out{};

  constexpr bool fail(const char* reason, std::string_view part) {
    out.reason = reason;
    out.part = part;
    return false;
  }

  static constexpr char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  static constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

  static constexpr bool same(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
      if (lower(a[i]) != b[i]) return false;
    return true;
  }

  // -1: neither a number nor a name of that field, or too large for it.
  static constexpr int value_of(Kind kind, std::string_view text) {
    constexpr std::string_view kMonths[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                            "jul", "aug", "sep", "oct", "nov", "dec"};
    constexpr std::string_view kDays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
    if (kind == month)
      for (int i = 0; i < 12; ++i)
        if (same(text, kMonths[i])) return i + 1;
    if (kind == weekday)
      for (int i = 0; i < 7; ++i)
        if (same(text, kDays[i])) return i;
    int value = 0;
    for (const char c : text) {
      if (!is_digit(c) || value > 99) return -1;
      value = 10 * value + (c - '0');
    }
    return text.empty() ? -1 : value;
  }

  constexpr bool in_range(Kind kind, int value, std::string_view part) {
    if (value >= kLow[kind] && value <= kHigh[kind]) return true;
    return fail(kRange[kind], part);
  }

  // a, a-b, *, each perhaps with /n, into a mask of bits.
  constexpr bool range(Kind kind, std::string_view part, std::uint64_t& mask) {
    const std::string_view whole = part;
    int step = 1;
    const std::size_t slash = part.find('/');
    if (slash != std::string_view::npos) {
      step = value_of(second, part.substr(slash + 1));
      if (step < 1 || step > kHigh[kind])
        return fail("has a step that is not within 1 and the field's largest value", whole);
      part = part.substr(0, slash);
    }
    int low = kLow[kind];
    int high = kind == weekday ? 6 : kHigh[kind];
    if (part != "*") {
      const std::size_t dash = part.find('-');
      const std::string_view from = part.substr(0, dash);
      low = value_of(kind, from);
      if (!in_range(kind, low, from.empty() ? whole : from)) return false;
      if (dash != std::string_view::npos) {
        const std::string_view to = part.substr(dash + 1);
        high = value_of(kind, to);
        if (!in_range(kind, high, to.empty() ? whole : to)) return false;
        if (high < low) return fail("is a range that runs backwards", whole);
      } else if (slash == std::string_view::npos) {
        high = low;
      } else if (kind == weekday) {
        low %= 7;  // Sunday, which goes on to the end from the beginning
      }
    }
    for (int i = low; i <= high; i += step) mask |= std::uint64_t{1} << i;
    return true;
  }

  // L, L-n, LW, nW. False without a reason: none of these.
  constexpr bool special_day(std::string_view part) {
    Cron& cron = out.cron;
    if (same(part, "lw")) {
      cron.nearest_ |= 1U;
      return true;
    }
    if (same(part, "l")) {
      cron.days_from_end_ |= 1U;
      return true;
    }
    if (part.size() > 2 && lower(part[0]) == 'l' && part[1] == '-') {
      const int back = value_of(second, part.substr(2));
      if (back < 1 || back > 30) return fail("counts back from the last day by 1 to 30", part);
      cron.days_from_end_ |= std::uint32_t{1} << back;
      return true;
    }
    if (part.size() > 1 && lower(part.back()) == 'w') {
      const int near = value_of(day, part.substr(0, part.size() - 1));
      if (!in_range(day, near, part)) return false;
      cron.nearest_ |= std::uint32_t{1} << near;
      return true;
    }
    return false;
  }

  // friL, fri#2.
  constexpr bool special_weekday(std::string_view part) {
    const std::size_t hash = part.find('#');
    if (hash != std::string_view::npos) {
      const int which = value_of(weekday, part.substr(0, hash));
      if (!in_range(weekday, which, part)) return false;
      const int nth = value_of(second, part.substr(hash + 1));
      if (nth < 1 || nth > 5)
        return fail("asks for one of that weekday that is not within 1 to 5", part);
      out.cron.nth_[static_cast<std::size_t>(nth - 1)] |=
          static_cast<std::uint8_t>(1U << which % 7);
      return true;
    }
    if (part.size() > 1 && lower(part.back()) == 'l') {
      const int which = value_of(weekday, part.substr(0, part.size() - 1));
      if (!in_range(weekday, which, part)) return false;
      out.cron.last_weekdays_ |= static_cast<std::uint8_t>(1U << which % 7);
      return true;
    }
    return false;
  }

  constexpr bool field(Kind kind, std::uint64_t& mask) {
    out.field = kNames[kind];
    const std::string_view text = word();
    std::size_t at = 0;
    while (true) {
      const std::size_t comma = text.find(',', at);
      const std::string_view part = text.substr(at, comma - at);
      if (part.empty()) return fail("has an empty part", text);
      const bool special =
          (kind == day && special_day(part)) || (kind == weekday && special_weekday(part));
      if (out.reason != nullptr) return false;
      if (!special && !range(kind, part, mask)) return false;
      if (comma == std::string_view::npos) return true;
      at = comma + 1;
    }
  }

  constexpr void skip_spaces() {
    while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t')) rest.remove_prefix(1);
  }

  constexpr std::string_view word() {
    skip_spaces();
    std::size_t size = 0;
    while (size < rest.size() && rest[size] != ' ' && rest[size] != '\t') ++size;
    const std::string_view found = rest.substr(0, size);
    rest.remove_prefix(size);
    return found;
  }

  constexpr int words() const {
    Reader counter{rest};
    int count = 0;
    while (!counter.word().empty()) ++count;
    return count;
  }

  constexpr bool starred() {
    skip_spaces();
    return !rest.empty() && rest.front() == '*';
  }

  // Of the months that it names, one has a day that it names; unless weekdays will do.
  constexpr bool possible() {
    constexpr int kLongest[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const Cron& cron = out.cron;
    if (!cron.any_day_ && !cron.any_weekday_) return true;
    for (int m = 0; m < 12; ++m) {
      if ((cron.months_ >> (m + 1) & 1U) == 0) continue;
      const std::uint32_t there = (std::uint32_t{2} << kLongest[m]) - 1;
      const std::uint32_t back = (std::uint32_t{1} << kLongest[m]) - 1;
      if (((cron.days_ | cron.nearest_) & there) != 0 || (cron.days_from_end_ & back) != 0)
        return true;
    }
    out.field = kNames[day];
    return fail("none of the months has such a day", {});
  }

  constexpr bool all() {
    if (rest.size() > kTextMax) return fail("is longer than 120 characters", {});
    const int count = words();
    if (count != 5 && count != 6) return fail("has neither five fields nor six", {});
    Cron& cron = out.cron;
    for (std::size_t i = 0; i < rest.size(); ++i) cron.text_[i] = rest[i];
    cron.text_size_ = static_cast<std::uint8_t>(rest.size());
    std::uint64_t mask = 0;
    if (count == 6) {
      cron.seconds_ = 0;
      if (!field(second, cron.seconds_)) return false;
    }
    if (!field(minute, cron.minutes_)) return false;
    skip_spaces();
    cron.any_hour_ = rest.size() > 1 && rest[0] == '*' && (rest[1] == ' ' || rest[1] == '\t');
    if (!field(hour, mask)) return false;
    cron.hours_ = static_cast<std::uint32_t>(mask);
    cron.any_day_ = starred();
    if (!field(day, mask = 0)) return false;
    cron.days_ = static_cast<std::uint32_t>(mask);
    if (!field(month, mask = 0)) return false;
    cron.months_ = static_cast<std::uint16_t>(mask);
    cron.any_weekday_ = starred();
    if (!field(weekday, mask = 0)) return false;
    cron.weekdays_ = static_cast<std::uint8_t>((mask | mask >> 7) & 0x7f);
    return possible();
  }
};

constexpr Cron::Parsed Cron::read(std::string_view text) {
  Reader reader{text};
  (void)reader.all();
  return reader.out;
}

namespace detail {
// Not constexpr: where the compiler stops it names the reason among the arguments.
void bad_cron_expression(const char* field, const char* reason);
}  // namespace detail

namespace literals {

consteval Cron operator""_cron(const char* text, std::size_t size) {
  const Cron::Parsed parsed = Cron::read({text, size});
  if (parsed.reason != nullptr) detail::bad_cron_expression(parsed.field, parsed.reason);
  return parsed.cron;
}

}  // namespace literals

}  // namespace wisp::inline v0
