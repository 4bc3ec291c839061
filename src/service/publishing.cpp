#include <wisp/service/detail/publishing.hpp>

#include <algorithm>

#include <wisp/service/bus.hpp>
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

std::uint64_t Publishers::sum(std::atomic<std::uint64_t> Level::* word) const {
  std::uint64_t sum = 0;
  slots_.for_each([&sum, word](const Slot& slot) {
    for (const Level& each : slot.levels) sum += (each.*word).load(std::memory_order_acquire);
  });
  return sum;
}

PublishHere::PublishHere(Invoker& invoker, std::uint64_t closings)
    : invoker_(invoker),
      // Without an asymmetric barrier a number that never comes, so that each delivery fences.
      closings_(asymmetric_barriers.load(std::memory_order_relaxed) ? closings : UINT64_MAX),
      slot_(invoker.publishers().slots()) {
  if (slot_->depth == Publishers::kDepth) return;
  // A thread on its way out has a shard for one handler at a time.
  Shard& shard = invoker.parts().ledger.shard();
  if (!shard.lasting()) return;
  shard_ = &shard;
  level_ = &slot_->levels[static_cast<std::size_t>(slot_->depth++)];
}

PublishHere::~PublishHere() {
  if (level_ != nullptr) --slot_->depth;
}

EventId PublishHere::begin() {
  const EventId id = invoker_.next_id(*slot_);
  Lineage& lineage = slot_->lineages[static_cast<std::size_t>(slot_->depth - 1)];
  lineage.trace = id;
  begin(id, lineage);
  return id;
}

void PublishHere::begin(EventId event, const Lineage& lineage) {
  level_->sequence.store(event.sequence, std::memory_order_relaxed);
  frame_.runtime = invoker_.parts().runtime;
  frame_.event = event;
  frame_.lineage = &lineage;
  frame_.invoker = &invoker_;
}

bool PublishHere::deliver(std::span<const PublishRow> rows, const void* in, Keep keep) {
  // Also when `keep` throws.
  struct Inside {
    PublishHere& here;
    const Errand errand{here.invoker_, here.level_->route};
    explicit Inside(PublishHere& publish) : here(publish) { here.frame_.push(); }
    ~Inside() {
      here.frame_.pop();
      if (here.counting_) here.end_row();
      here.leave();
    }
  };
  const std::uint64_t before = accepted();
  Context context(invoker_, frame_);
  const Inside inside(*this);
  for (const PublishRow& each : rows) deliver_row(each, in, context, keep);
  return accepted() != before;
}

// What is passed for each delivery is kept short: it is most of what a large publish costs.
void PublishHere::deliver_row(const PublishRow& row, const void* in, Context& context, Keep keep) {
  const Publishers& publishers = invoker_.publishers();
  Publishers::Level& level = *level_;
  // Nobody else writes them meanwhile.
  std::uint64_t accepted = this->accepted();
  std::uint64_t done = level.done.load(std::memory_order_relaxed);
  const std::uint64_t closings = closings_;
  bool counting = begin_row(*row.function);
  const Definition& definition = *definition_;
  Cell& cell = *cell_;
  Route* left = level.route.load(std::memory_order_relaxed);
  for (Route* const route : row.routes) {
    level.route.store(route, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // the light barrier, see the constructor
    if (publishers.closings() != closings) [[unlikely]] {
      if (!enter_late(std::exchange(left, route), *route)) continue;
    }
    level.accepted.store(++accepted, std::memory_order_release);
    if (!counting) {
      Attempted attempted = run_alone(in, context);
      if (frame_.stops != nullptr) [[unlikely]]
        invoker_.forget_stops(frame_);  // the next delivery's are others
      if (attempted.status.ok()) [[likely]]
        level.done.store(++done, std::memory_order_release);
      else bury(*route, std::move(attempted.status), keep);
    } else {
      Attempted attempted = definition.invoke(in, nullptr, context);
      cell.add(Count::untimed, 1);
      if (frame_.stops != nullptr) [[unlikely]]
        invoker_.forget_stops(frame_);
      if (attempted.status.ok()) [[likely]] {
        level.done.store(++done, std::memory_order_release);
      } else {
        bury(*route, std::move(attempted.status), keep);
        counting = begin_row(*row.function);
      }
    }
    left = route;
  }
}

// Once a route has closed since the publish began: whoever closed the last one may wait for it.
// Where there is no asymmetric barrier, always.
bool PublishHere::enter_late(Route* before, const Route& route) const {
  light_barrier();
  if (before != nullptr && before->closed()) before->wake_closers();
  return !route.closed();
}

void PublishHere::leave() {
  Route* const last = level_->route.load(std::memory_order_relaxed);
  level_->route.store(nullptr, std::memory_order_release);
  light_barrier();
  if (invoker_.publishers().closings() != closings_) [[unlikely]] {
    if (last != nullptr && last->closed()) last->wake_closers();
  }
  if (!invoker_.open()) [[unlikely]]
    invoker_.wake_drainer();
}

// Whether its deliveries are to be counted only.
bool PublishHere::begin_row(FunctionState& function) {
  if (counting_) end_row();
  definition_ = function.definition.get();
  cell_ = &shard_->cell(function.line);
  frame_.function = definition_->name;
  if (definition_->options.meter != Meter::sampled || shard_->timing()) return false;
  const bool timed = cell_->untimed == 0;
  if (!timed && !cell_->brief) return false;
  counting_ = true;
  chained_ = false;
  row_at_ = accepted();
  if (timed) row_.emplace(*shard_, *cell_, Meter::sampled);
  return true;
}

void PublishHere::end_row() {
  counting_ = false;
  const std::uint64_t calls = accepted() - row_at_;
  if (row_) {
    if (calls > 0) {
      invoker_.parts().ledger.end_and_record_row(*shard_, *row_, calls);
    } else {
      // The one before failed and was the last, or all routes have closed: the next is timed.
      row_->abandon();
      cell_->untimed = 0;
    }
    row_.reset();
  } else {
    cell_->untimed -= static_cast<std::uint32_t>(std::min<std::uint64_t>(cell_->untimed, calls));
  }
}

Attempted PublishHere::run_alone(const void* in, Context& context) {
  const Meter meter = definition_->options.meter;
  const auto run = [&](Span&& span) {
    Attempted attempted = definition_->invoke(in, nullptr, context);
    const bool failed = attempted.threw || !attempted.status.ok();
    invoker_.parts().ledger.end_and_record(*shard_, span, true, failed);
    return attempted;
  };
  if (std::exchange(chained_, meter == Meter::batched) && chained_)
    return run(Span(*shard_, *cell_));
  return run(Span(*shard_, *cell_, meter));
}

// Outside of the frame: what becomes of the letter is no doing of the handler's.
void PublishHere::bury(Route& route, Status error, Keep keep) {
  struct Dead {
    PublishHere& here;
    explicit Dead(PublishHere& publish) : here(publish) { here.frame_.pop(); }
    ~Dead() {
      here.invoker_.sums().add(Counter::dead);
      here.frame_.push();
    }
  };
  const Dead dead(*this);
  if (counting_) {
    cell_->add(Count::errors, 1);
    end_row();
  }
  chained_ = false;
  invoker_.keep_letter(
      route,
      {.event = keep(), .function = definition_->name, .error = std::move(error), .attempts = 1});
}

// From outside and without labels: the lineage is empty, and a topic that is kept is a good one.
std::optional<EventId> Bus::emit_here(std::string_view topic, const Given& value,
                                      const CallOptions& options, std::uint64_t closings) {
  if (!options.tenant.empty() || !options.tag.empty()) return std::nullopt;
  if (!invoker_.open() || invoker_.forked()) return std::nullopt;
  const ActiveFrame* const frame = ActiveFrame::top();
  if (frame != nullptr && frame->invoker == &invoker_) return std::nullopt;
  const Index::Match match(index_, topic, Index::Match::kKept);
  if (match.list() == nullptr || !match.list()->plain(*value.type)) return std::nullopt;
  PublishHere here(invoker_, closings);
  if (!here.room()) return std::nullopt;
  const EventId id = here.begin();
  publish_here(here, match, topic, value);
  return id;
}

bool Bus::publish_here(std::string_view topic, EventId id, const Lineage& lineage,
                       const Given& value, std::uint64_t closings) {
  // A line of the bill that is not the function's own has to be found first.
  if (!lineage.tenant.empty() || !lineage.tag.empty()) return false;
  const Index::Match match(index_, topic);
  if (!match.list()->plain(*value.type)) return false;
  PublishHere here(invoker_, closings);
  if (!here.room()) return false;
  here.begin(id, lineage);
  publish_here(here, match, topic, value);
  return true;
}

void Bus::publish_here(PublishHere& here, const Index::Match& match, std::string_view topic,
                       const Given& value) {
  std::shared_ptr<const Event> whole;
  const auto make = [&] {
    if (whole == nullptr) {
      auto made = std::make_shared<Event>(head(topic, here.event(), here.lineage()));
      made->payload = value.keep(value.data);
      whole = std::move(made);
    }
    return whole;
  };
  if (!here.deliver(match.list()->rows(), value.data, make)) count(invoker_.counters().unmatched);
}

}  // namespace wisp::inline v0::detail
