#include <wisp/service/detail/observers.hpp>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0 {

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
    case Step::dropped:
      return "dropped";
  }
  return "unknown";
}

Observation::Observation(std::weak_ptr<detail::Invoker> invoker,
                         std::shared_ptr<detail::Observer> observer)
    : invoker_(std::move(invoker)), observer_(std::move(observer)) {}

Observation& Observation::operator=(Observation&& other) noexcept {
  if (this == &other) return *this;
  end();
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

// "3.2ms": three digits are enough for a story.
std::string in_short(Duration d) {
  const double ns = static_cast<double>(d.count());
  if (ns < 1e3) return fmt::format("{} ns", d.count());
  if (ns < 1e6) return fmt::format("{:.3g} us", ns / 1e3);
  if (ns < 1e9) return fmt::format("{:.3g} ms", ns / 1e6);
  return fmt::format("{:.3f} s", ns / 1e9);
}

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

std::shared_ptr<Observer> Observers::add(RecordSink sink) {
  auto made = std::make_shared<Observer>();
  made->sink = std::move(sink);
  const MutexLock lock(mutex_);
  if (observers_.size() >= kObserversMax) return nullptr;
  observers_.push_back(made);
  any_.store(true, std::memory_order_relaxed);
  return made;
}

void Observers::remove(const std::shared_ptr<Observer>& observer) {
  const std::thread::id self = std::this_thread::get_id();
  Parker parker;
  const auto others = [&] {
    return std::any_of(observer->inside.begin(), observer->inside.end(),
                       [self](std::thread::id each) { return each != self; });
  };
  {
    const MutexLock lock(mutex_);
    std::erase(observers_, observer);
    any_.store(!observers_.empty(), std::memory_order_relaxed);
    if (!others()) return;
    observer->waiting.push_back(&parker);
  }
  while (true) {
    clock_.park(parker, Time::never());
    const MutexLock lock(mutex_);
    if (others()) continue;
    std::erase(observer->waiting, &parker);
    return;
  }
}

void Observers::note(Record record) {
  record.at = clock_.now();
  std::vector<std::shared_ptr<Observer>> watching;
  const WallTime wall = clock_.wall();
  const std::thread::id self = std::this_thread::get_id();
  {
    Remembered gone;  // destroyed outside of the lock
    const MutexLock lock(mutex_);
    watching = observers_;
    for (const auto& each : watching) each->inside.push_back(self);
    // Of a direct call nobody has an id to ask with.
    if (!record.id.empty()) {
      if (steps_.size() >= kRemembered) {
        gone = std::move(steps_.front());
        steps_.pop_front();
        ++forgotten_;
      }
      steps_.push_back({.step = record.step,
                        .wall = wall,
                        .id = record.id,
                        .attempt = record.attempt,
                        .outcome = record.outcome,
                        .wall_time = record.wall,
                        .wait = record.due - record.at,
                        .function = std::string(record.function),
                        .topic = std::string(record.topic),
                        .error = record.error});
    }
  }
  for (const auto& each : watching) {
    each->sink(record);
    const MutexLock lock(mutex_);
    each->inside.erase(std::find(each->inside.begin(), each->inside.end(), self));
    for (Parker* parker : each->waiting) clock_.wake(*parker);
  }
}

std::uint64_t Observers::forgotten() const {
  const MutexLock lock(mutex_);
  return forgotten_;
}

std::string Observers::line(const Remembered& step) {
  std::string text = moment(step.wall) + "  ";
  const auto add = [&text](std::string_view more) { text += more; };
  const auto error = [&] {
    if (!step.error.ok()) add(": " + wisp::to_string(step.error));
  };
  switch (step.step) {
    case Step::accepted:
      add("accepted");
      if (!step.topic.empty()) add(fmt::format(" on '{}'", step.topic));
      if (!step.function.empty()) add(fmt::format(" for '{}'", step.function));
      break;
    case Step::began:
      add(fmt::format("attempt {} began in '{}'", step.attempt, step.function));
      break;
    case Step::ended:
      add(fmt::format("attempt {} in '{}' ended after {}: {}", step.attempt, step.function,
                      in_short(step.wall_time), to_string(step.outcome)));
      if (!step.error.ok()) add(fmt::format(", {}", wisp::to_string(step.error)));
      break;
    case Step::retrying:
      add(fmt::format("attempt {} in '{}' failed, the next is due in {}", step.attempt,
                      step.function, in_short(step.wait)));
      error();
      break;
    case Step::late:
      add(fmt::format("attempt {} in '{}' is past its deadline and has not come back", step.attempt,
                      step.function));
      break;
    default:
      add(fmt::format("{} in '{}' after {} attempts", to_string(step.step), step.function,
                      step.attempt));
      error();
  }
  return text;
}

std::string Observers::story(EventId id) const {
  std::string text;
  const MutexLock lock(mutex_);
  for (const Remembered& each : steps_) {
    if (each.id != id) continue;
    if (!text.empty()) text += '\n';
    text += line(each);
  }
  return text;
}

}  // namespace detail
}  // namespace wisp::inline v0
