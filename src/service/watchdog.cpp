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
  int thread = 0;
  // Whose token it holds: a route's, or the queue's of started calls.
  std::shared_ptr<Route> route;
  bool calls = false;
};

void Watchdog::begins(Running& mark, Time deadline) {
  // One that begins when its time is over already has kLateAfter all the same.
  deadline = std::max(deadline, invoker_.parts().clock.now());
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
      EventId event = each->event;
      if (each->post) event.sequence = each->sequence.load(std::memory_order_acquire);
      CallNode* const node = each->node.load(std::memory_order_acquire);
      // It came back this moment, and perhaps the next of its row began.
      if (each->deadline.load() != deadline) continue;
      if ((each->post && event.sequence == 0) || (each->calls && node == nullptr)) continue;
      each->reported = deadline;
      if (each->late != nullptr) count(*each->late);
      each->lent = each->calls || each->token != nullptr;
      late.push_back({.function = std::string(each->function),
                      .event = event,
                      .node = node == nullptr ? nullptr : node->shared_from_this(),
                      .thread = thread,
                      .route = each->token == nullptr ? nullptr : each->token->shared_from_this(),
                      .calls = each->calls});
    }
  });
  if (next != kNever) arm(Time(Duration(next)));
  report(late);
}

void Watchdog::report(const std::vector<Late>& late) {
  for (const Late& each : late) {
    // Should it have come back meanwhile, its worker's next task is set aside for its time. What is
    // lent is given back when it does, before or after this.
    if (each.calls) invoker_.calls().lend_token();
    else if (each.route != nullptr) each.route->lend_token();
    const bool aside = invoker_.parts().executor.set_aside(each.thread);
    invoker_.log(
        LogLevel::warning, each.function,
        fmt::format(
            "a handler is at least {} ms past its deadline and has not come back: it takes no "
            "notice of its cancellation{}",
            std::chrono::duration_cast<std::chrono::milliseconds>(kLateAfter).count(),
            aside ? "; another worker takes its place" : ""));
    const EventId id = each.node != nullptr ? each.node->id(invoker_) : each.event;
    invoker_.note_late(each.function, id);
  }
}

}  // namespace wisp::inline v0::detail
