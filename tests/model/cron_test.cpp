#include <wisp/model/cron.hpp>

#include <string>
#include <vector>

#include "catch.hpp"

namespace {

using namespace std::chrono_literals;
using namespace wisp::literals;
using std::chrono::local_days;
using std::chrono::sys_days;
using wisp::CivilTime;
using wisp::Cron;
using wisp::Gap;
using wisp::Instant;

std::string error_of(std::string_view text) {
  const wisp::Result<Cron> cron = Cron::parse(text);
  return cron.ok() ? "" : std::string(wisp::message(cron.status()));
}

// The days of a month on which it fires at midnight.
std::vector<unsigned> days_of(const Cron& cron, std::chrono::year_month month) {
  std::vector<unsigned> days;
  const auto end = local_days((month + std::chrono::months(1)) / 1);
  for (auto day = local_days(month / 1); day < end; day += std::chrono::days(1))
    if (cron.matches(day)) days.push_back(unsigned{std::chrono::year_month_day(day).day()});
  return days;
}

constexpr std::chrono::year_month month(int year, unsigned number) {
  return std::chrono::year(year) / std::chrono::month(number);
}

using Days = std::vector<unsigned>;

// A clock that goes from 1:00 to 2:00 at `spring` and from 2:00 to 1:00 at `autumn` (UTC: one
// o'clock both times).
class Lisbon final : public wisp::Zone {
 public:
  std::string_view name() const override { return "Lisbon"; }
  Span at(Instant when) const override {
    if (when < kSpring) return {Instant::min(), kSpring, 0s};
    if (when < kAutumn) return {kSpring, kAutumn, 1h};
    return {kAutumn, Instant::max(), 0s};
  }
  static constexpr Instant kSpring = sys_days(std::chrono::year(2026) / 3 / 29) + 1h;
  static constexpr Instant kAutumn = sys_days(std::chrono::year(2026) / 10 / 25) + 1h;
};

std::vector<Instant> firings(const Cron& cron, Instant from, Instant until, Gap gap = Gap::at_end) {
  const Lisbon zone;
  std::vector<Instant> all;
  for (auto at = cron.next(from - 1s, zone, gap); at && *at < until; at = cron.next(*at, zone, gap))
    all.push_back(*at);
  return all;
}

}  // namespace

TEST_CASE("cron: fields, names, ranges, steps and lists", "[cron]") {
  constexpr Cron nightly = "0 3 * * mon-fri"_cron;
  CHECK(nightly.text() == "0 3 * * mon-fri");
  const CivilTime friday = local_days(std::chrono::year(2026) / 11 / 27);
  CHECK(nightly.matches(friday + 3h));
  CHECK_FALSE(nightly.matches(friday + 3h + 1s));
  CHECK_FALSE(nightly.matches(friday + 3h + 1min));
  CHECK_FALSE(nightly.matches(friday + 27h));
  CHECK("*/20 5-9/2 1,15 JAN,jun-aug *"_cron.matches(local_days(std::chrono::year(2026) / 7 / 15) +
                                                     9h + 40min));
  CHECK("50/3 * * * *"_cron.matches(friday + 59min));
  CHECK_FALSE("50/3 * * * *"_cron.matches(friday + 47min));
  CHECK("*/10 * * * * *"_cron.matches(friday + 50s));
  CHECK_FALSE("*/10 * * * * *"_cron.matches(friday + 51s));
  CHECK(days_of("0 0 * * 0"_cron, month(2026, 11)) == Days{1, 8, 15, 22, 29});
  CHECK(days_of("0 0 * * 7"_cron, month(2026, 11)) == Days{1, 8, 15, 22, 29});
  CHECK(days_of("0 0 * * 7/3"_cron, month(2026, 2)) == days_of("0 0 * * 0/3"_cron, month(2026, 2)));
  CHECK(days_of("0 0 * * 1,sun/6"_cron, month(2026, 2)) ==
        Days{1, 2, 7, 8, 9, 14, 15, 16, 21, 22, 23, 28});
  CHECK(days_of("0 0 * * 6-7"_cron, month(2026, 2)) == Days{1, 7, 8, 14, 15, 21, 22, 28});
  CHECK(days_of("0 0 * * Sun"_cron, month(2026, 2)) == Days{1, 8, 15, 22});
}

TEST_CASE("cron: a day that either field names will do, unless one begins with a star", "[cron]") {
  CHECK(days_of("0 0 13 * fri"_cron, month(2026, 11)) == Days{6, 13, 20, 27});
  CHECK(days_of("0 0 1 * fri"_cron, month(2026, 11)) == Days{1, 6, 13, 20, 27});
  CHECK(days_of("0 0 */10 * fri"_cron, month(2026, 12)) == Days{11});
  CHECK(days_of("0 0 1-10 * */3"_cron, month(2026, 11)) == Days{1, 4, 7, 8});
}

TEST_CASE("cron: last days, nearest weekdays, the nth and the last of a weekday", "[cron]") {
  CHECK(days_of("0 0 L * *"_cron, month(2024, 2)) == Days{29});
  CHECK(days_of("0 0 l-3 * *"_cron, month(2026, 11)) == Days{27});
  CHECK(days_of("0 0 L-30 * *"_cron, month(2026, 11)).empty());
  CHECK(days_of("0 0 L-30 * *"_cron, month(2026, 12)) == Days{1});
  CHECK(days_of("0 0 LW * *"_cron, month(2026, 10)) == Days{30});   // the 31st is a Saturday
  CHECK(days_of("0 0 LW * *"_cron, month(2026, 5)) == Days{29});    // a Sunday
  CHECK(days_of("0 0 15W * *"_cron, month(2026, 11)) == Days{16});  // a Sunday
  CHECK(days_of("0 0 14W * *"_cron, month(2026, 11)) == Days{13});  // a Saturday
  CHECK(days_of("0 0 1W * *"_cron, month(2026, 8)) == Days{3});     // a Saturday: not in July
  CHECK(days_of("0 0 31W * *"_cron, month(2026, 11)).empty());
  CHECK(days_of("0 0 31w * *"_cron, month(2026, 5)) == Days{29});  // a Sunday: not in June
  CHECK(days_of("0 0 * * fri#2"_cron, month(2026, 11)) == Days{13});
  CHECK(days_of("0 0 * * 0#5"_cron, month(2026, 11)) == Days{29});
  CHECK(days_of("0 0 * * 1#5"_cron, month(2026, 10)).empty());
  CHECK(days_of("0 0 * * friL"_cron, month(2026, 11)) == Days{27});
  CHECK(days_of("0 0 * * 7l"_cron, month(2026, 11)) == Days{29});
  CHECK(days_of("0 0 1,L * mon#1,monL"_cron, month(2026, 11)) == Days{1, 2, 30});
}

TEST_CASE("cron: what is wrong is said by field and part", "[cron]") {
  CHECK(error_of("") == "cron '': has neither five fields nor six");
  CHECK(error_of("* * * *") == "cron '* * * *': has neither five fields nor six");
  CHECK(error_of("* * * * * * *") == "cron '* * * * * * *': has neither five fields nor six");
  CHECK(error_of("60 * * * *") == "cron '60 * * * *': minute: '60' is not within 0 to 59");
  CHECK(error_of("60 * * * * *") == "cron '60 * * * * *': second: '60' is not within 0 to 59");
  CHECK(error_of("0 24 * * *") == "cron '0 24 * * *': hour: '24' is not within 0 to 23");
  CHECK(error_of("0 0 0 * *") == "cron '0 0 0 * *': day: '0' is not within 1 to 31");
  CHECK(error_of("0 0 * 13 *") == "cron '0 0 * 13 *': month: '13' is not within 1 to 12, jan-dec");
  CHECK(error_of("0 0 * mon *") ==
        "cron '0 0 * mon *': month: 'mon' is not within 1 to 12, jan-dec");
  CHECK(error_of("0 0 * * 8") == "cron '0 0 * * 8': weekday: '8' is not within 0 to 7, sun-sat");
  CHECK(error_of("0 0 * * fri-mon") ==
        "cron '0 0 * * fri-mon': weekday: 'fri-mon' is a range that runs backwards");
  CHECK(error_of("0 0 * * 1,,2") == "cron '0 0 * * 1,,2': weekday: '1,,2' has an empty part");
  CHECK(error_of("*/0 * * * *") ==
        "cron '*/0 * * * *': minute: '*/0' has a step that is not "
        "within 1 and the field's largest value");
  CHECK(error_of("*/60 * * * *") != "");
  CHECK(error_of("1-2-3 * * * *") == "cron '1-2-3 * * * *': minute: '2-3' is not within 0 to 59");
  CHECK(error_of("-1 * * * *") == "cron '-1 * * * *': minute: '-1' is not within 0 to 59");
  CHECK(error_of("1- * * * *") == "cron '1- * * * *': minute: '1-' is not within 0 to 59");
  CHECK(error_of("99999999999 * * * *") != "");
  CHECK(error_of("0 0 L-31 * *") ==
        "cron '0 0 L-31 * *': day: 'L-31' counts back from the last day by 1 to 30");
  CHECK(error_of("0 0 32W * *") == "cron '0 0 32W * *': day: '32W' is not within 1 to 31");
  CHECK(error_of("0 0 * * fri#6") ==
        "cron '0 0 * * fri#6': weekday: 'fri#6' asks for one of that "
        "weekday that is not within 1 to 5");
  CHECK(error_of("0 0 ? * fri") == "cron '0 0 ? * fri': day: '?' is not within 1 to 31");
  CHECK(error_of("@daily") == "cron '@daily': has neither five fields nor six");
  CHECK(error_of(std::string(121, ' ')).ends_with(": is longer than 120 characters"));
  CHECK(error_of(std::string(111, ' ') + "* * * * *").empty());
}

TEST_CASE("cron: a day that never comes is refused", "[cron]") {
  CHECK(error_of("0 0 31 2 *") == "cron '0 0 31 2 *': day: none of the months has such a day");
  CHECK(error_of("0 0 30 feb *") != "");
  CHECK(error_of("0 0 31 4,6,9,11 *") != "");
  CHECK(error_of("0 0 31W 2 *") != "");
  CHECK(error_of("0 0 L-29 2 *") != "");
  CHECK(error_of("0 0 29 2 *").empty());
  CHECK(error_of("0 0 L-28 2 *").empty());
  CHECK(error_of("0 0 31 2,3 *").empty());
  CHECK(error_of("0 0 31 2 mon").empty());  // every Monday will do
  // It parses, as each field can be met, but not both on one day.
  const Cron never = *Cron::parse("0 0 */31 2 2#2");
  CHECK_FALSE(never.next(sys_days(std::chrono::year(2026) / 1 / 1)).has_value());
}

TEST_CASE("cron: the next one, over years and from any second", "[cron]") {
  const Instant start = sys_days(std::chrono::year(2026) / 11 / 28) + 14h + 59min + 23s;
  CHECK("* * * * *"_cron.next(start) == start + 37s);
  CHECK("* * * * * *"_cron.next(start) == start + 1s);
  CHECK("59 14 * * *"_cron.next(start) == start - 23s + 24h);
  CHECK("23 59 14 * * *"_cron.next(start) == start + 24h);
  CHECK("24 59 14 * * *"_cron.next(start) == start + 1s);
  CHECK("0 0 29 2 *"_cron.next(start) == sys_days(std::chrono::year(2028) / 2 / 29));
  CHECK("0 0 29 2 *"_cron.next(sys_days(std::chrono::year(2096) / 3 / 1)) ==
        sys_days(std::chrono::year(2104) / 2 / 29));
  CHECK("59 59 23 31 12 *"_cron.next(start) == sys_days(std::chrono::year(2027) / 1 / 1) - 1s);
}

TEST_CASE("cron: a time in the gap fires at its end, or not; a repeated one once", "[cron]") {
  const Instant spring = Lisbon::kSpring;
  const Instant autumn = Lisbon::kAutumn;
  using All = std::vector<Instant>;
  // 1:00 to 2:00 is not shown.
  CHECK(firings("30 1 * * *"_cron, spring - 1h, spring + 1h) == All{spring});
  CHECK(firings("30 1 * * *"_cron, spring - 1h, spring + 1h, Gap::skip) == All{});
  CHECK(firings("0 1 * * *"_cron, spring - 1h, spring + 1h) == All{spring});
  CHECK(firings("0,30 1,2 * * *"_cron, spring - 1h, spring + 1h) == All{spring, spring + 30min});
  CHECK(firings("0,30 1,2 * * *"_cron, spring - 1h, spring + 1h, Gap::skip) ==
        All{spring, spring + 30min});
  CHECK(firings("30 * * * *"_cron, spring - 1h, spring + 1h) ==
        All{spring - 30min, spring + 30min});
  CHECK(firings("30 0-3 * * *"_cron, spring - 1h, spring + 1h) ==
        All{spring - 30min, spring, spring + 30min});
  // 1:00 to 2:00 is shown twice: before `autumn`, and after it.
  CHECK(firings("30 1 * * *"_cron, autumn - 2h, autumn + 2h) == All{autumn - 30min});
  CHECK(firings("30 0-3 * * *"_cron, autumn - 2h, autumn + 2h) ==
        All{autumn - 90min, autumn - 30min, autumn + 90min});
  CHECK(firings("30 * * * *"_cron, autumn - 2h, autumn + 2h) ==
        All{autumn - 90min, autumn - 30min, autumn + 30min, autumn + 90min});
  // Asked in the middle of the second hour.
  CHECK("45 1 * * *"_cron.next(autumn + 10min, Lisbon()) == autumn + 24h + 45min);
}
