#include <wisp/service/detail/observers.hpp>

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0 {
namespace {

// "3.2ms": three digits are enough for a story.
std::string in_short(Duration d) {
  const double ns = static_cast<double>(d.count());
  if (ns < 1e3) return fmt::format("{} ns", d.count());
  if (ns < 1e6) return fmt::format("{:.3g} us", ns / 1e3);
  if (ns < 1e9) return fmt::format("{:.3g} ms", ns / 1e6);
  return fmt::format("{:.3f} s", ns / 1e9);
}

}  // namespace

std::string_view to_string(Step step) {
  switch (step) {
    case Step::accepted:
      return "accepted";
    case Step::refused:
      return "refused";
    case Step::began:
      return "began";
    case Step::ended:
      return "ended";
    case Step::retrying:
      return "retrying";
    case Step::late:
      return "late";
    case Step::done:
      return "done";
    case Step::failed:
      return "failed";
    case Step::dead:
      return "dead";
    case Step::expired:
      return "expired";
    case Step::cancelled:
      return "cancelled";
    case Step::changed:
      return "changed";
    case Step::dropped:
      return "dropped";
  }
  return "unknown";
}

std::string to_string(const Record& record) {
  const std::string_view function = record.function;
  const auto with_error = [&record](std::string text, std::string_view joint) {
    return record.error.ok() ? text : fmt::format("{}{}{}", text, joint, to_string(record.error));
  };
  switch (record.step) {
    case Step::accepted:
    case Step::refused: {
      std::string text(to_string(record.step));
      if (!record.topic.empty()) text += fmt::format(" on '{}'", record.topic);
      if (!function.empty()) text += fmt::format(" for '{}'", function);
      return with_error(std::move(text), ": ");
    }
    case Step::began:
      return fmt::format("attempt {} began in '{}'", record.attempt, function);
    case Step::ended:
      return with_error(fmt::format("attempt {} in '{}' ended after {}: {}", record.attempt,
                                    function, in_short(record.wall), to_string(record.outcome)),
                        ", ");
    case Step::retrying:
      return with_error(fmt::format("attempt {} in '{}' failed, the next is due in {}",
                                    record.attempt, function, in_short(record.due - record.at)),
                        ": ");
    case Step::changed:
      return fmt::format("{}{}{}", function, function.empty() ? "" : ": ", record.topic);
    case Step::late:
      return fmt::format("'{}' is past its deadline and has not come back", function);
    default:
      return with_error(fmt::format("{} in '{}' after {} attempts", to_string(record.step),
                                    function, record.attempt),
                        ": ");
  }
}

Observation::Observation(std::weak_ptr<detail::Invoker> invoker,
                         std::shared_ptr<detail::Observer> observer)
    : invoker_(std::move(invoker)), observer_(std::move(observer)) {}

Observation& Observation::operator=(Observation&& other) noexcept {
  if (this == &other) return *this;
  end();
  status_ = std::move(other.status_);
  invoker_ = std::move(other.invoker_);
  observer_ = std::move(other.observer_);
  return *this;
}

void Observation::end() {
  const std::shared_ptr<detail::Observer> observer = std::exchange(observer_, nullptr);
  const std::shared_ptr<detail::Invoker> invoker = invoker_.lock();
  if (observer != nullptr && invoker != nullptr) invoker->unobserve(observer);
}

namespace detail {
namespace {

// UTC, to the millisecond, as in RFC 3339.
std::string moment(WallTime wall) {
  using std::chrono::days;
  const auto since = std::chrono::floor<std::chrono::milliseconds>(wall);
  const auto midnight = std::chrono::floor<days>(since);
  const std::chrono::year_month_day date(midnight);
  const std::chrono::hh_mm_ss time(since - midnight);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", int{date.year()},
                     unsigned{date.month()}, unsigned{date.day()}, time.hours().count(),
                     time.minutes().count(), time.seconds().count(), time.subseconds().count());
}

}  // namespace

bool Observers::add(const std::shared_ptr<Observer>& observer) {
  const MutexLock lock(mutex_);
  if (observers_.size() >= kObserversMax) return false;
  observers_.push_back(observer);
  any_.store(true, std::memory_order_relaxed);
  return true;
}

void Observers::remove(const std::shared_ptr<Observer>& observer) {
  const AgentId self = current_agent();
  Parker parker;
  RecordSink gone;  // what it captured goes here, outside of the lock
  for (bool waits = false;; waits = true) {
    {
      const MutexLock lock(mutex_);
      std::erase(observers_, observer);
      any_.store(!observers_.empty(), std::memory_order_relaxed);
      const bool others = std::any_of(observer->inside.begin(), observer->inside.end(),
                                      [self](AgentId each) { return each != self; });
      if (!others) {
        std::erase(observer->waiting, &parker);
        // This thread may be inside of it.
        if (observer->inside.empty()) gone = std::move(observer->sink);
        return;
      }
      if (!waits) observer->waiting.push_back(&parker);
    }
    clock_.park(parker, Time::never());
  }
}

void Observers::note(Record record) {
  record.at = clock_.now();
  const WallTime wall = clock_.wall();
  const AgentId self = current_agent();
  std::array<std::shared_ptr<Observer>, kObserversMax> watching;
  std::size_t count = 0;
  {
    const MutexLock lock(mutex_);
    for (const auto& each : observers_) watching[count++] = each;
    // Of a direct call nobody has an id to ask with.
    if (!record.id.empty()) remember(record, wall);
  }
  for (std::size_t i = 0; i < count; ++i) {
    Observer& each = *watching[i];
    {
      const MutexLock lock(mutex_);
      if (std::find(observers_.begin(), observers_.end(), watching[i]) == observers_.end())
        continue;
      each.inside.push_back(self);
    }
    each.sink(record);
    const MutexLock lock(mutex_);
    each.inside.erase(std::find(each.inside.begin(), each.inside.end(), self));
    for (Parker* parker : each.waiting) clock_.wake(*parker);
  }
}

void Observers::remember(const Record& record, WallTime wall) {
  if (steps_.size() < kRemembered) steps_.emplace_back();
  Remembered& step = steps_[noted_++ % kRemembered];
  step.step = record.step;
  step.wall = wall;
  step.id = record.id;
  step.attempt = record.attempt;
  step.outcome = record.outcome;
  step.wall_time = record.wall;
  step.wait = record.due - record.at;
  step.function.assign(record.function);
  step.topic.assign(record.topic);
  step.error = record.error;
}

std::uint64_t Observers::forgotten() const {
  const MutexLock lock(mutex_);
  return noted_ - steps_.size();
}

std::string Observers::line(const Remembered& step) {
  return fmt::format("{}  {}", moment(step.wall),
                     to_string(Record{.step = step.step,
                                      .function = step.function,
                                      .topic = step.topic,
                                      .attempt = step.attempt,
                                      .outcome = step.outcome,
                                      .wall = step.wall_time,
                                      .due = Time(step.wait),
                                      .error = step.error}));
}

std::string Observers::story(EventId id) const {
  std::string text;
  const MutexLock lock(mutex_);
  // Oldest first.
  const std::size_t begin = steps_.size() < kRemembered ? 0 : noted_ % kRemembered;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Remembered& each = steps_[(begin + i) % steps_.size()];
    if (each.id != id) continue;
    if (!text.empty()) text += '\n';
    text += line(each);
  }
  return text;
}

}  // namespace detail
}  // namespace wisp::inline v0
