// What handlers ask for through their Context.
#include <algorithm>
#include <utility>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

bool Invoker::cancelled(const Frame& frame) const {
  const auto& active = static_cast<const ActiveFrame&>(frame);
  if (phase_.load(std::memory_order_acquire) == Phase::stopped) return true;
  if (active.cancel_requested() || active.deadline.passed(parts_.clock)) return true;
  return active.parent != nullptr && cancelled(*active.parent);
}

std::stop_token Invoker::stop_token(Frame& frame) {
  auto& active = static_cast<ActiveFrame&>(frame);
  if (active.stops != nullptr) return active.stops->source.get_token();
  active.stops = std::make_unique<ActiveFrame::Stops>();
  ActiveFrame::Stops& stops = *active.stops;
  const std::stop_source source = stops.source;
  keep_token(&active, source);
  if (phase_.load() == Phase::stopped || active.deadline.passed(parts_.clock))
    stops.source.request_stop();
  if (!active.deadline.none()) {
    Task task([source]() mutable { source.request_stop(); });
    const Result<TimerId> timer = parts_.timer.schedule(active.deadline.at(), std::move(task));
    // Without a timer the token misses the deadline; cancelled() does not.
    if (timer.ok()) stops.deadline_timer = *timer;
  }
  const auto stop = [source]() mutable { source.request_stop(); };
  if (active.cancellation != nullptr)
    stops.call_stops.emplace(active.cancellation->source().get_token(), stop);
  if (active.parent != nullptr) stops.parent_stops.emplace(stop_token(*active.parent), stop);
  return source.get_token();
}

void Invoker::keep_token(const void* owner, std::stop_source source) {
  const MutexLock lock(mutex_);
  tokens_.emplace_back(owner, std::move(source));
}

void Invoker::forget_token(const void* owner) {
  const MutexLock lock(mutex_);
  std::erase_if(tokens_, [owner](const auto& each) { return each.first == owner; });
}

Status Invoker::sleep(Frame& frame, Duration d) {
  auto& active = static_cast<ActiveFrame&>(frame);
  Clock& clock = parts_.clock;
  const Time until = clock.now() + d;
  Parker parker;
  const std::stop_callback wake(stop_token(frame), [&clock, &parker] { clock.wake(parker); });
  while (!cancelled(frame)) {
    if (clock.now() >= until) return Status();
    clock.park(parker, std::min(until, active.deadline.at()));
  }
  if (active.deadline.passed(clock))
    return deadline_exceeded("'{}' slept into its deadline", frame.function);
  return detail::make_status(StatusCode::kCancelled, "cancelled while asleep", fmt::format_args());
}

void Invoker::elapse(Duration d) { wisp::elapse(parts_.clock, d); }

Duration Invoker::remaining(const Frame& frame) const {
  return frame.deadline.remaining(parts_.clock);
}

void Invoker::log(const Frame& frame, LogLevel level, std::string_view text) {
  if (parts_.log) parts_.log({level, frame.function, frame.event, text});
}

void Invoker::log(LogLevel level, std::string_view function, std::string_view text) const {
  if (parts_.log) parts_.log({level, function, {}, text});
}

}  // namespace wisp::inline v0::detail
