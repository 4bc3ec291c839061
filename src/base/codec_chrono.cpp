#include <wisp/base/codec_chrono.hpp>

#include <limits>

#include <fmt/format.h>

namespace wisp::inline v0::detail {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr int kDecimals = 9;

// Reads a text from its front to its end.
class Scan {
 public:
  explicit Scan(std::string_view text) : left_(text) {}

  bool skip(char c) {
    if (left_.empty() || left_.front() != c) return false;
    left_.remove_prefix(1);
    return true;
  }
  // Exactly so many digits, or from one to `most`.
  std::optional<std::int64_t> digits(std::size_t exactly) { return digits(exactly, exactly); }
  std::optional<std::int64_t> digits(std::size_t least, std::size_t most) {
    std::int64_t n = 0;
    std::size_t count = 0;
    for (; count < most && !left_.empty() && left_.front() >= '0' && left_.front() <= '9';
         ++count) {
      n = n * 10 + (left_.front() - '0');
      left_.remove_prefix(1);
    }
    return count < least ? std::nullopt : std::optional(n);
  }
  // A point and up to nine digits, as nanoseconds; without a point 0.
  std::optional<std::int64_t> fraction() {
    if (!skip('.')) return 0;
    const std::size_t before = left_.size();
    std::optional<std::int64_t> n = digits(1, kDecimals);
    for (std::size_t i = before - left_.size(); n && i < kDecimals; ++i) *n *= 10;
    return n;
  }
  bool over() const { return left_.empty(); }

 private:
  std::string_view left_;
};

// In groups of three decimals, none if they are 0.
std::string fraction_text(std::int64_t ns) {
  if (ns == 0) return {};
  if (ns % 1'000'000 == 0) return fmt::format(".{:03}", ns / 1'000'000);
  if (ns % 1'000 == 0) return fmt::format(".{:06}", ns / 1'000);
  return fmt::format(".{:09}", ns);
}

// Seconds and the nanoseconds after them, if that many nanoseconds can be counted.
std::optional<std::int64_t> together(std::int64_t seconds, std::int64_t ns) {
  __extension__ using Wide = __int128;
  const Wide all = Wide{seconds} * kSecond + ns;
  using Limits = std::numeric_limits<std::int64_t>;
  if (all < Limits::min() || all > Limits::max()) return std::nullopt;
  return static_cast<std::int64_t>(all);
}

std::optional<std::int64_t> parse_duration(std::string_view text) {
  Scan scan(text);
  const bool minus = scan.skip('-');
  const std::optional<std::int64_t> seconds = scan.digits(1, 10);
  if (!seconds) return std::nullopt;
  const std::optional<std::int64_t> ns = scan.fraction();
  if (!ns || !scan.skip('s') || !scan.over()) return std::nullopt;
  return minus ? together(-*seconds, -*ns) : together(*seconds, *ns);
}

std::optional<std::int64_t> parse_time(std::string_view text) {
  using namespace std::chrono;
  Scan scan(text);
  const auto part = [&scan](std::size_t digits, char before) -> std::optional<std::int64_t> {
    if (before != 0 && !scan.skip(before)) return std::nullopt;
    return scan.digits(digits);
  };
  const auto y = part(4, 0), m = part(2, '-'), d = part(2, '-');
  if (!scan.skip('T') && !scan.skip('t')) return std::nullopt;
  const auto hour = part(2, 0), minute = part(2, ':'), second = part(2, ':');
  const std::optional<std::int64_t> ns = scan.fraction();
  if (!y || !m || !d || !hour || !minute || !second || !ns) return std::nullopt;
  std::int64_t offset = 0;
  if (!scan.skip('Z') && !scan.skip('z')) {
    const bool minus = scan.skip('-');
    if (!minus && !scan.skip('+')) return std::nullopt;
    const auto hours = part(2, 0), minutes = part(2, ':');
    if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
    offset = (*hours * 60 + *minutes) * (minus ? -60 : 60);
  }
  const year_month_day date{year(static_cast<int>(*y)), month(static_cast<unsigned>(*m)),
                            day(static_cast<unsigned>(*d))};
  if (!scan.over() || !date.ok() || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  const std::int64_t day_seconds = std::int64_t{sys_days(date).time_since_epoch().count()} * 86'400;
  return together(day_seconds + (*hour * 60 + *minute) * 60 + *second - offset, *ns);
}

}  // namespace

Result<std::int64_t> read_duration(const Reader& from) {
  if (from.kind() == ValueKind::text) {
    if (const auto ns = parse_duration(from.value().view())) return *ns;
  }
  return from.expected("a duration such as \"1.5s\"");
}

Result<std::int64_t> read_time(const Reader& from) {
  if (from.kind() == ValueKind::text) {
    if (const auto ns = parse_time(from.value().view())) return *ns;
  }
  return from.expected("a time such as \"2026-11-29T17:30:00Z\"");
}

void write_duration(Writer& to, std::int64_t ns) {
  // Unsigned, as the lowest one has no opposite.
  const std::uint64_t size =
      ns < 0 ? 0 - static_cast<std::uint64_t>(ns) : static_cast<std::uint64_t>(ns);
  to.text(fmt::format("{}{}{}s", ns < 0 ? "-" : "", size / kSecond,
                      fraction_text(static_cast<std::int64_t>(size % kSecond))));
}

void write_time(Writer& to, std::int64_t ns) {
  using namespace std::chrono;
  // By seconds: the first moment's day begins before what nanoseconds count.
  const std::int64_t fraction = (ns % kSecond + kSecond) % kSecond;
  const sys_seconds time{seconds(ns / kSecond - (ns % kSecond < 0 ? 1 : 0))};
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(time - day);
  to.text(fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}Z", static_cast<int>(date.year()),
                      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                      clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                      fraction_text(fraction)));
}

}  // namespace wisp::inline v0::detail
