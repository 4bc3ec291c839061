// What observers are told, and what stats() and explain() say.
#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include <wisp/base/readers.hpp>
#include <wisp/service/detail/instances.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

std::shared_ptr<Observer> Invoker::observe(RecordSink sink) {
  // First: a sink that is refused goes once the lock has.
  auto observer = std::make_shared<Observer>();
  observer->sink = std::move(sink);
  {
    const MutexLock lock(mutex_);
    if (!observers_.add(observer)) return nullptr;
    Phase open = Phase::open;
    // Whoever looks from now on leaves the fast paths alone.
    phase_.compare_exchange_strong(open, Phase::observed);
  }
  return observer;
}

void Invoker::unobserve(const std::shared_ptr<Observer>& observer) {
  if (forked()) return;
  observers_.remove(observer);
  const MutexLock lock(mutex_);
  Phase observed = Phase::observed;
  if (!observers_.any()) phase_.compare_exchange_strong(observed, Phase::open);
}

void Invoker::note(Step step, const Route& route, const Event& event, int attempts, Status error,
                   Time due) {
  if (!observers_.wants(step)) return;
  const Errand errand(*this, nullptr);  // a sink may stop the runtime
  observers_.note({.step = step,
                   .id = event.id,
                   .function = route.function().definition->name,
                   .topic = event.topic,
                   .attempt = attempts,
                   .due = due,
                   .error = std::move(error),
                   .lineage = &event.lineage});
}

void Invoker::note(Step step, CallNode& node, Status error, Time due) {
  if (!observers_.wants(step)) return;
  const Errand errand(*this, nullptr);  // a sink may stop the runtime
  observers_.note({.step = step,
                   .id = node.id(*this),
                   .function = node.function_->definition->name,
                   .attempt = node.attempts_,
                   .due = due,
                   .error = std::move(error),
                   .lineage = &node.lineage()});
}

void Invoker::note_refused(std::string_view function, std::string_view topic, const Status& why,
                           EventId id) {
  if (forked() || (id.empty() && !observers_.any())) return;
  const Errand errand(*this, nullptr);
  observers_.note(
      {.step = Step::refused, .id = id, .function = function, .topic = topic, .error = why});
}

void Invoker::note_late(std::string_view function, EventId id) {
  const Errand errand(*this, nullptr);
  observers_.note({.step = Step::late, .id = id, .function = function});
}

void Invoker::note_attempt(Step step, const Attempt& what, const Ended* ended) {
  const Errand errand(*this, nullptr);
  Record record{.step = step,
                .id = what.node != nullptr ? what.node->id(*this) : what.event,
                .function = what.function.definition->name,
                .attempt = what.attempt,
                .lineage = what.lineage};
  if (ended != nullptr) {
    record.outcome = ended->outcome;
    record.wall = Duration(ended->taken.wall_ns);
    record.error = ended->status;
  }
  observers_.note(std::move(record));
}

void Invoker::note_end(CallNode& node, Outcome outcome) {
  const Step step = outcome == Outcome::ok          ? Step::done
                    : outcome == Outcome::cancelled ? Step::cancelled
                                                    : Step::failed;
  note(step, node, node.error());
}

// As call_admitted(), with a step noted at each turn.
void Invoker::call_observed(FunctionState& state, const void* in, Out out,
                            const CallOptions& options) {
  if (!unlabelled(options)) return call_labelled(state, in, out, options);
  const ActiveFrame* const top = ActiveFrame::top();
  const bool nested = top != nullptr && top->invoker == this;
  const Lineage& lineage = nested ? *top->lineage : kPlainLineage;
  if (state.limited()) {
    if (Status full = enter(state, lineage); !full.ok())
      return out.fail(out.result, std::move(full));
  }
  call_watched(lineage, state, in, out.result, options);
}

// As call_under().
void Invoker::call_watched(const Lineage& lineage, FunctionState& state, const void* in,
                           void* result, const CallOptions& options) {
  ActiveFrame* const top = ActiveFrame::top();
  ActiveFrame* const parent = top != nullptr && top->invoker == this ? top : nullptr;
  std::shared_ptr<const RunVersion> version;
  const Here call{.function = state,
                  .version = state,  // of no use here
                  .line = line_of(state, lineage),
                  .in = in,
                  .result = result,
                  .lineage = lineage,
                  .parent = parent,
                  .deadline = deadline({.timeout = options.timeout})};
  for (int attempts = 1;; ++attempts) {
    const Ended ended = attempt({.function = state,
                                 .line = call.line,
                                 .in = in,
                                 .result = result,
                                 .lineage = &lineage,
                                 .event = parent != nullptr ? parent->event : EventId(),
                                 .deadline = call.deadline,
                                 .attempt = attempts,
                                 .cancellation = nullptr,
                                 .route = nullptr,
                                 .parent = parent,
                                 .accepted_ticks = 0,
                                 .node = nullptr,
                                 .version = &version,
                                 .chosen_by = {.key = options.key}});
    if (ended.outcome == Outcome::ok || !again(call, attempts, ended)) break;
  }
  if (state.limited()) state.leave(*this);
}

std::vector<Abandoned> Invoker::take_abandoned() {
  const MutexLock lock(mutex_);
  return std::exchange(abandoned_, {});
}

std::string Invoker::explain(EventId id) const {
  const std::uint64_t forgotten = observers_.forgotten();
  const std::string bounds =
      forgotten == 0 ? std::string()
                     : fmt::format(" (the last {} steps are remembered, {} before them are not)",
                                   Observers::kRemembered, forgotten);
  if (id.empty()) return "the empty id stands for nothing: a direct call has none";
  if (id.origin != origin_) return fmt::format("{} is not of this runtime", id);
  if (id.sequence > sequence_.load(std::memory_order_relaxed))
    return fmt::format("{} has not been given out yet", id);
  const std::string story = observers_.story(id);
  if (!story.empty()) return fmt::format("{}{}\n{}", id, bounds, story);
  return fmt::format(
      "{}: nothing went wrong with it as far as is remembered{}; what goes well is remembered only "
      "while an observer watches",
      id, bounds);
}

// What a firing cost, all attempts together.
void Invoker::charge(Route& route, Shipment& delivery, const Ended& ended) const {
  const auto& taken = ended.taken;
  const bool first = delivery.receipt == nullptr;
  auto receipt = first ? std::make_shared<Receipt>() : std::make_shared<Receipt>(*delivery.receipt);
  const auto worse = [first](Quality sum, Quality part) {
    return first ? part : std::min(sum, part);
  };
  if (first) {
    receipt->function = route.function().definition->name;
    receipt->event = delivery.event->id;
    receipt->queued = Duration(ended.waited_ns);
    receipt->queued_quality = Quality::measured;
    receipt->bytes_in = delivery.bytes;
    receipt->bytes_in_quality = Quality::measured;
    if (alloc_meter_linked) receipt->allocations_quality = Quality::measured;
  }
  receipt->version = ended.version;
  receipt->attempts = delivery.attempts;
  receipt->outcome = ended.outcome;
  receipt->wall += Duration(taken.wall_ns);
  receipt->wall_quality = worse(receipt->wall_quality, taken.wall_quality);
  receipt->cpu += Duration(taken.cpu_ns);
  receipt->cpu_quality = worse(receipt->cpu_quality, taken.cpu_quality);
  receipt->allocations += taken.allocated.count;
  receipt->allocated_bytes += taken.allocated.bytes;
  if (const Tariff& tariff = parts_.ledger.tariff(); !tariff.empty()) {
    const Usage usage = Usage::of({.wall = Duration(taken.wall_ns), .cpu = Duration(taken.cpu_ns)});
    receipt->cost = receipt->cost + tariff.marginal(usage, ended.memory_mb);
    receipt->cost_quality = Quality::estimated;
  }
  delivery.receipt = receipt;
  route.keep_receipt(std::move(receipt));
}

EventStats Invoker::events() const {
  const auto read = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  EventStats stats{.done = read(counters_.done) + sums_.sum(Counter::done) + publishers_.done(),
                   .dead = read(counters_.dead) + sums_.sum(Counter::dead),
                   .expired = read(counters_.expired),
                   .cancelled = read(counters_.cancelled),
                   .unmatched = read(counters_.unmatched),
                   .refused = read(counters_.refused),
                   .skipped = read(counters_.skipped),
                   .dropped_oldest = read(counters_.dropped_oldest),
                   .dropped_newest = read(counters_.dropped_newest),
                   .coalesced = read(counters_.coalesced),
                   .duplicates = read(counters_.duplicates),
                   .missed = read(counters_.missed)};
  stats.dropped = stats.dropped_oldest + stats.dropped_newest + stats.coalesced;
  // Last: what ends meanwhile is still on its way, and not ended before it was accepted.
  stats.accepted = read(counters_.accepted) + sums_.sum(Counter::accepted) + publishers_.accepted();
  return stats;
}

namespace {

// What stays of versions that have gone.
template <class Find>
void add_versions(FunctionState& state, const Find& find) {
  const auto add = [&](int number, const InstanceStarts& starts) {
    FunctionStats* const of = find(state.definition->name, number);
    if (of == nullptr) return;
    of->cold_starts += starts.cold.load(std::memory_order_relaxed);
    of->built_ahead += starts.ahead.load(std::memory_order_relaxed);
  };
  if (state.instances != nullptr) add(state.version, *state.instances->starts());
  const MutexLock lock(state.mutex);
  for (const auto& [number, starts] : state.starts) add(number, *starts);
  for (const auto& [number, counts] : state.shadows) {
    FunctionStats* const of = find(state.definition->name, number);
    if (of == nullptr) continue;
    of->shadowed += counts->ran.load(std::memory_order_relaxed);
    of->differed += counts->differed.load(std::memory_order_relaxed);
    of->shadow_skipped += counts->skipped.load(std::memory_order_relaxed);
  }
}

}  // namespace

void Invoker::complete(std::vector<FunctionStats>& functions) {
  std::map<std::pair<std::string_view, int>, FunctionStats*> by_name;
  for (FunctionStats& each : functions) by_name[{each.name, each.version}] = &each;
  const auto find = [&by_name](std::string_view name, int version) {
    const auto found = by_name.find({name, version});
    return found == by_name.end() ? nullptr : found->second;
  };
  // Against the flow, calls and what runs before what is queued: each is seen once at most.
  parts_.ledger.for_each_running([&find](void* mark, int) {
    for (auto* each = static_cast<Running*>(mark); each != nullptr;
         each = static_cast<Running*>(each->before)) {
      const bool between = (each->post && each->sequence.load(std::memory_order_relaxed) == 0) ||
                           (each->calls && each->node.load(std::memory_order_relaxed) == nullptr);
      // Of several versions the first: a mark does not say which.
      if (between) continue;
      FunctionStats* const stats = find(each->function, 1);
      if (stats == nullptr) continue;
      ++stats->running;
      stats->accepted += static_cast<std::uint64_t>(each->first);
    }
  });
  // Several routes may lead to one function.
  std::vector<const FunctionState*> seen;
  for (const std::shared_ptr<Route>& route : routes()) {
    FunctionState& state = route->function();
    FunctionStats* const stats = find(state.definition->name, state.version);
    if (stats == nullptr) continue;
    int again = 0;
    stats->queued += route->queued(&again);
    stats->accepted -= static_cast<std::uint64_t>(again);
    if (std::find(seen.begin(), seen.end(), &state) != seen.end()) continue;
    seen.push_back(&state);
    const auto read = [](const std::atomic<std::uint64_t>& word) {
      return word.load(std::memory_order_relaxed);
    };
    const auto failed = [&](Outcome outcome) {
      return read(state.failed[static_cast<std::size_t>(outcome)]);
    };
    stats->threw += failed(Outcome::threw);
    stats->timed_out += failed(Outcome::timed_out);
    stats->cancelled += failed(Outcome::cancelled);
    stats->retries += read(state.retries);
    stats->retries_withheld += read(state.withheld);
    stats->dead += read(state.dead);
    stats->late += read(state.late);
    stats->accepted += read(state.unbegun);
    add_versions(state, find);
  }
  for (FunctionStats& each : functions) {
    FunctionStats* const first = find(each.name, 1);
    if (first != nullptr) first->accepted += each.calls - each.shadowed;
    each.accepted += static_cast<std::uint64_t>(each.queued);
  }
}

}  // namespace wisp::inline v0::detail
