#include <wisp/service/detail/publishing.hpp>

#include <optional>

#include <wisp/base/readers.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

Publishers::Marks Publishers::inside() const {
  Marks all;
  slots_.for_each([&all](const Slot& slot) {
    for (const Level& each : slot.levels) {
      if (const Route* route = each.route.load(std::memory_order_acquire))
        all.emplace_back(route, each.sequence.load(std::memory_order_relaxed));
    }
  });
  return all;
}

bool Publishers::any_inside() const { return !inside().empty(); }

int Publishers::count(const Route& route) const {
  int count = 0;
  slots_.for_each([&](const Slot& slot) {
    for (const Level& each : slot.levels)
      count += each.route.load(std::memory_order_acquire) == &route ? 1 : 0;
  });
  return count;
}

PublishHere::PublishHere(Invoker& invoker, EventId event, const Lineage& lineage)
    : invoker_(invoker), slot_(invoker.publishers().slots()) {
  if (slot_->depth == Publishers::kDepth) return;
  level_ = &slot_->levels[static_cast<std::size_t>(slot_->depth++)];
  level_->sequence.store(event.sequence, std::memory_order_relaxed);
  frame_.runtime = invoker.parts().runtime;
  frame_.event = event;
  frame_.lineage = &lineage;
  frame_.invoker = &invoker;
}

PublishHere::~PublishHere() {
  if (level_ != nullptr) --slot_->depth;
}

bool PublishHere::deliver(Route& route, const void* in, const Keep& keep) {
  // The mark, also when `keep` throws.
  struct Inside {
    Invoker& invoker;
    Route& route;
    Publishers::Level& level;
    const Errand errand{invoker, &route};
    std::optional<Counter> end = Counter::dead;
    ~Inside() {
      if (end) invoker.sums().add(*end);
      level.route.store(nullptr, std::memory_order_release);
      light_barrier();
      if (route.closed()) [[unlikely]]
        route.wake_closers();
      if (!invoker.open()) [[unlikely]]
        invoker.wake_drainer();
    }
  };
  level_->route.store(&route, std::memory_order_relaxed);
  light_barrier();
  Inside inside{invoker_, route, *level_};
  if (route.closed()) {
    inside.end.reset();  // neither accepted nor counted
    return false;
  }
  invoker_.sums().add(Counter::accepted);
  FunctionState& function = route.function();
  const Definition& definition = *function.definition;
  frame_.function = definition.name;
  const Invoker::Ended ended = invoker_.attempt_here(frame_, function, in);
  if (ended.outcome == Outcome::ok) [[likely]] {
    inside.end = Counter::done;
    return true;
  }
  invoker_.keep_letter(
      route, {.event = keep(), .function = definition.name, .error = ended.status, .attempts = 1});
  return true;
}

Invoker::Ended Invoker::attempt_here(ActiveFrame& frame, FunctionState& function, const void* in) {
  const Definition& definition = *function.definition;
  frame.push();
  Shard& shard = parts_.ledger.shard();
  Context context(*this, frame);
  Span span(shard, function.line, definition.options.meter);
  Attempted attempted = definition.invoke(definition, in, nullptr, context);
  const bool fine = attempted.status.ok() && !attempted.threw;
  const Outcome outcome = fine ? Outcome::ok : judge(frame, attempted);
  frame.pop();
  parts_.ledger.end_and_record(shard, span, true, outcome != Outcome::ok);
  // The next delivery's are others.
  if (frame.stops != nullptr) [[unlikely]]
    forget_stops(frame);
  return {.outcome = outcome, .status = std::move(attempted.status), .taken = {}};
}

}  // namespace wisp::inline v0::detail
