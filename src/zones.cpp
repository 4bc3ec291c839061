#include <wisp/zones.hpp>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <absl/time/civil_time.h>
#include <absl/time/time.h>

namespace wisp::inline v0 {
namespace {

absl::Time moment(Instant when) { return absl::FromUnixSeconds(when.time_since_epoch().count()); }

class IanaZone final : public Zone {
 public:
  IanaZone(std::string name, absl::TimeZone zone) : name_(std::move(name)), zone_(zone) {
    Span span = look_up(kFrom);
    spans_.push_back(span);
    while (span.end < kUntil) spans_.push_back(span = look_up(span.end));
  }

  std::string_view name() const override { return name_; }

  Span at(Instant when) const override {
    const auto after = std::upper_bound(spans_.begin(), spans_.end(), when,
                                        [](Instant t, const Span& each) { return t < each.begin; });
    if (after == spans_.begin() || when >= std::prev(after)->end) return look_up(when);
    return *std::prev(after);
  }

 private:
  // What most schedules ask for is looked up once: three times in the database for each span.
  static constexpr Instant kFrom = std::chrono::sys_days(std::chrono::year(2000) / 1 / 1);
  static constexpr Instant kUntil = std::chrono::sys_days(std::chrono::year(2060) / 1 / 1);

  Span look_up(Instant when) const {
    Span span{Instant::min(), Instant::max(), std::chrono::seconds(zone_.At(moment(when)).offset)};
    absl::TimeZone::CivilTransition change;
    // The last change before the next second is the one that `when` is in.
    if (zone_.PrevTransition(moment(when + std::chrono::seconds(1)), &change))
      span.begin = instant(change);
    if (zone_.NextTransition(moment(when), &change)) span.end = instant(change);
    return span;
  }

  // Where the clock goes to has not been shown, or is shown for the second time.
  Instant instant(const absl::TimeZone::CivilTransition& change) const {
    const absl::TimeZone::TimeInfo info = zone_.At(change.to);
    const bool again = info.kind == absl::TimeZone::TimeInfo::REPEATED;
    return Instant(std::chrono::seconds(absl::ToUnixSeconds(again ? info.trans : info.pre)));
  }

  const std::string name_;
  const absl::TimeZone zone_;
  std::vector<Span> spans_;
};

}  // namespace

Result<std::shared_ptr<const Zone>> load_zone(std::string_view name) {
  const std::string text(name);
  absl::TimeZone zone;
  // Abseil takes more than names: absolute paths, and what has a colon, as in "file:/…", are files
  // of the host.
  const bool named = !name.empty() && name.front() != '/' &&
                     name.find(':') == std::string_view::npos &&
                     name.find("..") == std::string_view::npos;
  if (!named || !absl::LoadTimeZone(text, &zone))
    return not_found("there is no time zone '{}' in the system's database", name);
  return std::shared_ptr<const Zone>(std::make_shared<IanaZone>(text, zone));
}

}  // namespace wisp::inline v0
