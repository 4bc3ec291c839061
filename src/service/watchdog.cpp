#include <wisp/service/detail/watchdog.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

// Copied while its mark was held: the handler may end at any time.
struct Watchdog::Late {
  std::string function;
  EventId event;
  std::shared_ptr<CallNode> node;
  int thread;
};

void Watchdog::begins(Running& mark, Time deadline) {
  mark.deadline.store(deadline.since_origin().count());
  if (!armed_.load()) arm(deadline);
}

void Watchdog::arm(Time at) {
  if (armed_.exchange(true)) return;
  const auto& parts = invoker_.parts();
  Task task([this, weak = invoker_.weak_from_this()] {
    if (const std::shared_ptr<Invoker> keep = weak.lock()) look();
  });
  const Time next = std::min(at, parts.clock.now() + kLook) + kLateAfter;
  if (!parts.timer.schedule(next, std::move(task)).ok()) armed_.store(false);
}

void Watchdog::look() {
  armed_.store(false);
  std::vector<Late> late;
  const auto& parts = invoker_.parts();
  const std::int64_t now = (parts.clock.now() + -kLateAfter).since_origin().count();
  std::int64_t next = kNever;
  parts.ledger.for_each_running([&](void* mark, int thread) {
    for (auto* each = static_cast<Running*>(mark); each != nullptr;
         each = static_cast<Running*>(each->before)) {
      const std::int64_t deadline = each->deadline.load();
      if (deadline == kNever || deadline == each->reported) continue;
      if (deadline > now) {
        next = std::min(next, deadline);
        continue;
      }
      each->reported = deadline;
      EventId event = each->event;
      if (each->post) event.sequence = each->sequence.load(std::memory_order_relaxed);
      CallNode* const node = each->node.load(std::memory_order_relaxed);
      // Between two of a row: it came back this moment.
      if ((each->post && event.sequence == 0) || (each->calls && node == nullptr)) continue;
      if (each->late != nullptr) count(*each->late);
      late.push_back({std::string(each->function), event,
                      node == nullptr ? nullptr : node->shared_from_this(), thread});
    }
  });
  if (next != kNever) arm(Time(Duration(next)));
  report(late);
}

void Watchdog::report(const std::vector<Late>& late) {
  for (const Late& each : late) {
    // Should it have come back meanwhile, its worker's next task is set aside for its time.
    const bool aside = invoker_.parts().executor.set_aside(each.thread);
    invoker_.log(
        LogLevel::warning, each.function,
        fmt::format("a handler is {} ms past its deadline and has not come back: it takes no "
                    "notice of its cancellation{}",
                    std::chrono::duration_cast<std::chrono::milliseconds>(kLateAfter).count(),
                    aside ? "; another worker takes its place" : ""));
    const EventId id = each.node != nullptr ? each.node->id(invoker_) : each.event;
    invoker_.note_late(each.function, id);
  }
}

}  // namespace wisp::inline v0::detail
