// Cron in the zones of the IANA database, held against a look at every minute of two years.
#include <wisp/zones.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <absl/time/civil_time.h>
#include <absl/time/time.h>
#include <fmt/format.h>
#include <wisp/base/random.hpp>
#include <wisp/model/cron.hpp>

#include "catch.hpp"
#include "sanitized.hpp"
#include "seeds.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Cron;
using wisp::Gap;
using wisp::Instant;
using wisp::SeededRandom;

using Zone = std::shared_ptr<const wisp::Zone>;

int pick(SeededRandom& random, int low, int high) {
  return static_cast<int>(wisp::uniform(random, low, high));
}

// What the wall shows at a minute, and what there is to know of the day.
struct Minute {
  int minute, hour, day, month, weekday, last;
  absl::CivilMinute civil;
};

// A field in words, and the values that it stands for: as the test understands it.
struct Field {
  std::string text;
  std::array<bool, 60> values{};
  bool star = false;

  bool has(int value) const { return values[static_cast<std::size_t>(value)]; }
};

Field some_field(SeededRandom& random, int low, int high) {
  Field field;
  const int parts = pick(random, 1, 3);
  if (pick(random, 0, 3) == 0) {
    field.star = true;
    field.text = "*";
    for (int i = low; i <= high; ++i) field.values[static_cast<std::size_t>(i)] = true;
    return field;
  }
  for (int p = 0; p < parts; ++p) {
    int from = pick(random, low, high);
    int to = pick(random, from, high);
    int step = 1;
    std::string text;
    switch (pick(random, 0, 3)) {
      case 0:
        to = from;
        text = fmt::format("{}", from);
        break;
      case 1:
        text = fmt::format("{}-{}", from, to);
        break;
      case 2:
        step = pick(random, 1, high);
        text = fmt::format("{}-{}/{}", from, to, step);
        break;
      default:
        step = pick(random, 1, high);
        to = high;
        text = fmt::format("{}/{}", from, step);
    }
    for (int i = from; i <= to; i += step) field.values[static_cast<std::size_t>(i)] = true;
    field.text += (p > 0 ? "," : "") + text;
  }
  return field;
}

// A day of the month by its number, or by a rule, which the test follows on foot.
struct DayRule {
  std::string text;
  std::function<bool(const Minute&)> fits;
};

// The nearest of mon to fri within the month, whose `day` is that weekday.
int nearest_weekday(int day, int weekday, int last) {
  for (int off = 0;; ++off) {
    for (const int each : {day - off, day + off}) {
      const int shown = (weekday + each - day + 7) % 7;
      if (each >= 1 && each <= last && shown >= 1 && shown <= 5) return each;
    }
  }
}

DayRule special_day(SeededRandom& random) {
  const int n = pick(random, 1, 28);
  const auto nearest = [](const Minute& m, int to) {
    const int weekday = ((m.weekday + to - m.day) % 7 + 7) % 7;
    return to <= m.last && m.day == nearest_weekday(to, weekday, m.last);
  };
  switch (pick(random, 0, 3)) {
    case 0:
      return {"L", [](const Minute& m) { return m.day == m.last; }};
    case 1:
      return {fmt::format("L-{}", n), [n](const Minute& m) { return m.day == m.last - n; }};
    case 2:
      return {"LW", [nearest](const Minute& m) { return nearest(m, m.last); }};
    default:
      return {fmt::format("{}W", n), [nearest, n](const Minute& m) { return nearest(m, n); }};
  }
}

DayRule special_weekday(SeededRandom& random) {
  static constexpr std::array kNames = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
  const int which = pick(random, 0, 6);
  const char* const name = kNames[static_cast<std::size_t>(which)];
  if (pick(random, 0, 1) == 0) {
    return {fmt::format("{}L", name),
            [which](const Minute& m) { return m.weekday == which && m.day + 7 > m.last; }};
  }
  const int nth = pick(random, 1, 5);
  return {fmt::format("{}#{}", name, nth),
          [which, nth](const Minute& m) { return m.weekday == which && (m.day + 6) / 7 == nth; }};
}

struct Expression {
  std::string text;
  bool intervals = false;
  std::function<bool(const Minute&)> fits;
};

Expression some_expression(SeededRandom& random) {
  const Field minute = some_field(random, 0, 59);
  const Field hour = some_field(random, 0, 23);
  Field day = some_field(random, 1, 31);
  const Field month = some_field(random, 1, 12);
  Field weekday = some_field(random, 0, 6);
  DayRule by_day{"", [](const Minute&) { return false; }};
  DayRule by_weekday = by_day;
  if (pick(random, 0, 2) == 0) by_day = special_day(random);
  if (pick(random, 0, 2) == 0) by_weekday = special_weekday(random);
  const auto with = [](Field& field, const DayRule& rule) {
    if (rule.text.empty()) return;
    if (field.star)
      field = {
          .text = rule.text,
      };
    else field.text += "," + rule.text;
  };
  with(day, by_day);
  with(weekday, by_weekday);
  return {fmt::format("{} {} {} {} {}", minute.text, hour.text, day.text, month.text, weekday.text),
          hour.text == "*", [=](const Minute& m) {
            if (!minute.has(m.minute) || !hour.has(m.hour) || !month.has(m.month)) return false;
            const bool one = day.has(m.day) || by_day.fits(m);
            const bool other = weekday.has(m.weekday) || by_weekday.fits(m);
            return day.star || weekday.star ? one && other : one || other;
          }};
}

Minute minute_of(absl::CivilMinute civil) {
  const absl::CivilMonth next = absl::CivilMonth(civil) + 1;
  const absl::CivilDay last = absl::CivilDay(next) - 1;
  // From Monday in Abseil, from Sunday here.
  const int weekday = (static_cast<int>(absl::GetWeekday(civil)) + 1) % 7;
  return {civil.minute(), civil.hour(), civil.day(), static_cast<int>(civil.month()),
          weekday,        last.day(),   civil};
}

// Each minute from a January on, and what the clock left out just before it.
struct Years {
  std::vector<Minute> shown;
  std::vector<std::vector<Minute>> skipped;  // most are empty
  std::vector<bool> again;                   // shown once already
  Instant begin;
};

Years look_at(const std::string& name, int year) {
  absl::TimeZone zone;
  REQUIRE(absl::LoadTimeZone(name, &zone));
  Years years;
  years.begin = std::chrono::sys_days(std::chrono::year(year) / 1 / 10);
  const Instant end = std::chrono::sys_days(std::chrono::year(year + 2) / 1 / 10);
  absl::CivilMinute most = absl::CivilMinute::min();
  for (Instant at = years.begin; at < end; at += 1min) {
    const auto civil =
        absl::ToCivilMinute(absl::FromUnixSeconds(at.time_since_epoch().count()), zone);
    years.shown.push_back(minute_of(civil));
    years.again.push_back(civil <= most);
    years.skipped.emplace_back();
    if (most != absl::CivilMinute::min())
      for (auto each = most + 1; each < civil; ++each)
        years.skipped.back().push_back(minute_of(each));
    most = std::max(most, civil);
  }
  return years;
}

std::vector<Instant> on_foot(const Years& years, const Expression& cron, Gap gap) {
  std::vector<Instant> all;
  for (std::size_t i = 0; i < years.shown.size(); ++i) {
    bool fires = cron.fits(years.shown[i]) && (cron.intervals || !years.again[i]);
    if (!cron.intervals && gap == Gap::at_end)
      for (const Minute& each : years.skipped[i]) fires = fires || cron.fits(each);
    if (fires) all.push_back(years.begin + std::chrono::minutes(i));
  }
  return all;
}

struct Place {
  const char* name;
  int year;
};

// Half an hour of summer time, quarters of an hour, changes at midnight, a month of winter time in
// summer, none at all, and a day that was left out.
constexpr std::array kPlaces = {
    Place{"Europe/Lisbon", 2025},       Place{"America/New_York", 2025},
    Place{"Australia/Lord_Howe", 2025}, Place{"Asia/Kathmandu", 2025},
    Place{"America/Sao_Paulo", 2017},   Place{"Africa/Casablanca", 2025},
    Place{"America/St_Johns", 2010},    Place{"Pacific/Apia", 2011},
    Place{"Asia/Tehran", 2021},         Place{"Europe/Dublin", 2025}};

}  // namespace

TEST_CASE("zones: 200 expressions over ten zones fire as every minute of two years says",
          "[zones]") {
  if (wisp::test::kThreadSanitized) return;  // one thread, and most of a minute
  // A build that is slow looks at two of the places, and at fewer expressions.
  const bool slow = wisp::test::kSanitized || !wisp::test::kOptimised;
  const int each = slow ? 4 : 20;
  for (std::size_t p = 0; p < kPlaces.size(); p += slow ? 5 : 1) {
    const Place& place = kPlaces[p];
    const Zone zone = wisp::load_zone(place.name).value();
    const Years years = look_at(place.name, place.year);
    const Instant end = years.begin + std::chrono::minutes(years.shown.size());
    SeededRandom random(p + 1);
    int refused = 0;
    for (int i = 0; i < each; ++i) {
      const Expression expression = some_expression(random);
      const Gap gap = i % 2 == 0 ? Gap::at_end : Gap::skip;
      INFO(place.name << " '" << expression.text << "' " << (gap == Gap::skip ? "skip" : "at_end"));
      const wisp::Result<Cron> cron = Cron::parse(expression.text);
      if (!cron.ok()) {
        ++refused;  // no month has such a day
        CHECK(on_foot(years, expression, gap).empty());
        continue;
      }
      std::vector<Instant> fired;
      for (auto at = cron->next(years.begin - 1s, *zone, gap); at && *at < end;
           at = cron->next(*at, *zone, gap))
        fired.push_back(*at);
      const std::vector<Instant> expected = on_foot(years, expression, gap);
      const auto differs =
          std::mismatch(fired.begin(), fired.end(), expected.begin(), expected.end());
      CHECK(fired.size() == expected.size());
      if (differs.first != fired.end() && differs.second != expected.end())
        CHECK(absl::FormatTime(absl::FromUnixSeconds(differs.first->time_since_epoch().count())) ==
              absl::FormatTime(absl::FromUnixSeconds(differs.second->time_since_epoch().count())));
    }
    CHECK(refused <= each / 4);
  }
}

// A ratio that an unoptimised build or a sanitizer says nothing of.
TEST_CASE("zones: the next time of any expression costs at most 25 lookups of a zone", "[zones]") {
  if (wisp::test::kSanitized || !wisp::test::kOptimised) return;
  constexpr int kTimes = 2'000;  // from 2005 to 2044
  constexpr std::size_t kRounds = 9;
  const auto took = [](const auto& body) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kTimes; ++i) body(Instant(std::chrono::hours(307'000 + 173 * i)));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  std::uint64_t sum = 0;
  for (const Place& place : kPlaces) {
    absl::TimeZone looked_up;
    REQUIRE(absl::LoadTimeZone(place.name, &looked_up));
    const Zone zone = wisp::load_zone(place.name).value();
    for (const char* text : {"* * * * *", "*/7 8-18 * * *", "30 1 * * sun#2", "0 12 LW * *",
                             "0 3 1,15 * fri", "0 0 29 2 *"}) {
      const Cron cron = Cron::parse(text).value();
      std::array<double, kRounds> ratios{};
      for (double& ratio : ratios) {
        const double next = took([&](Instant at) {
          sum += static_cast<std::uint64_t>(cron.next(at, *zone)->time_since_epoch().count());
        });
        const double lookup = took([&](Instant at) {
          const auto time = absl::FromUnixSeconds(at.time_since_epoch().count());
          sum += static_cast<std::uint64_t>(looked_up.At(time).offset);
        });
        ratio = next / lookup;
      }
      std::nth_element(ratios.begin(), ratios.begin() + kRounds / 2, ratios.end());
      INFO(place.name << " '" << text << "' " << sum);
      CHECK(ratios[kRounds / 2] <= 25);
    }
  }
}

TEST_CASE("zones: what a clock shows again fires again in every hour, however far the next day is",
          "[zones]") {
  // On 24 October 2026, a Saturday, the clock goes from midnight back to 23:00.
  const Zone beirut = wisp::load_zone("Asia/Beirut").value();
  const Instant day = std::chrono::sys_days(std::chrono::year(2026) / 10 / 24);
  for (const char* text : {"30 * 24 10 *", "30 23 24 10 *"}) {
    const Cron cron = Cron::parse(text).value();
    const Instant first = day + 20h + 30min;
    CHECK(cron.next(first - 1s, *beirut) == first);
    const bool hourly = text[3] == '*';
    CHECK((cron.next(first, *beirut) == first + 1h) == hourly);
  }
}

TEST_CASE("zones: spans meet, and hold the moment that was asked for", "[zones]") {
  for (const Place& place : kPlaces) {
    const Zone zone = wisp::load_zone(place.name).value();
    CHECK(zone->name() == place.name);
    Instant at = std::chrono::sys_days(std::chrono::year(1990) / 1 / 1);
    for (int i = 0; i < 30; ++i) {
      const wisp::Zone::Span span = zone->at(at);
      CHECK(span.begin <= at);
      CHECK(at < span.end);
      if (span.end == Instant::max()) break;
      CHECK(zone->at(span.end).begin == span.end);
      CHECK(zone->at(span.end - 1s).end == span.end);
      at = span.end + 1h;
    }
  }
}

TEST_CASE("zones: a name that is none is refused by name", "[zones]") {
  for (const char* name :
       {"", "Europe/Lissabon", "/etc/localtime", ":Europe/Lisbon", "../zoneinfo/Europe/Lisbon",
        "Europe/Lisbon\n", "file:/usr/share/zoneinfo/Europe/Lisbon", "libc:localtime"}) {
    const auto zone = wisp::load_zone(name);
    CHECK(zone.status().code() == wisp::StatusCode::kNotFound);
    CHECK(std::string(wisp::message(zone.status())) ==
          fmt::format("there is no time zone '{}' in the system's database", name));
  }
  CHECK(wisp::load_zone("UTC").ok());
}
