#include <wisp/service/detail/publishing.hpp>

#include <algorithm>

#include <wisp/service/bus.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

[[gnu::always_inline]] inline PublishHere::PublishHere(Invoker& invoker, std::uint64_t closings)
    : invoker_(invoker),
      // Without an asymmetric barrier a number that never comes, so that each delivery fences.
      closings_(asymmetric_barriers.load(std::memory_order_relaxed) ? closings : kNever),
      expected_(closings_),
      slot_(invoker.publishers().slots().lasting()),
      frame_(invoker, this) {
  // A thread on its way out has a shard for one handler at a time.
  Shard* const shard = invoker.parts().ledger.lasting_shard();
  if (slot_ == nullptr || shard == nullptr || slot_->depth == Publishers::kDepth) return;
  shard_ = shard;
  level_ = &slot_->levels[static_cast<std::size_t>(slot_->depth++)];
}

[[gnu::always_inline]] inline PublishHere::~PublishHere() {
  if (level_ != nullptr) --slot_->depth;
}

void PublishHere::begin(EventId event, const Lineage& lineage) {
  level_->sequence.store(event.sequence, std::memory_order_relaxed);
  event_ = event;
  lineage_ = &lineage;
}

[[gnu::always_inline]] inline EventId PublishHere::begin() {
  event_ = invoker_.next_id(*slot_);
  level_->sequence.store(event_.sequence, std::memory_order_relaxed);
  return event_;
}

[[gnu::always_inline]] inline void PublishHere::leave() {
  Route* const last = level_->route.load(std::memory_order_relaxed);
  level_->route.store(nullptr, std::memory_order_release);
  light_barrier();
  if (invoker_.publishers().closings() != closings_) [[unlikely]] {
    if (last != nullptr && last->closed()) last->wake_closers();
  }
  if (!invoker_.open()) [[unlikely]]
    invoker_.wake_drainer();
}

// One after the other where each is counted and no more: the rest is left.
[[gnu::always_inline]] inline void PublishHere::deliver_row(const PublishRow& row, const void* in,
                                                            Keep keep) {
  FunctionState& function = *row.function;
  const Definition& definition = *function.definition;
  Cell& cell = shard_->cell(function.line);
  Route* const* const first = row.routes.data();
  const auto size = static_cast<std::uint32_t>(row.routes.size());
  if (counting_) [[unlikely]]
    end_row();
  const bool shortest = function.sampled && function.shortest.load(std::memory_order_relaxed);
  if (!shortest || !shard_->counts_only(cell)) [[unlikely]]
    return deliver_rest(row, first, in, keep);
  Turns turns{.next = first,
              .end = first + size,
              .progress = *level_,
              .counted = cell.word(Count::untimed),
              .word = invoker_.publishers().closings_word(),
              .expected = expected_};
  Attempted failed;
  chained_ = false;
  const bool well = definition.run_each(definition, in, turns, failed);
  // As in end_row(): the handler may have come here too.
  cell.untimed -= std::min(cell.untimed, static_cast<std::uint32_t>(turns.next - first));
  if (turns.next != first) left_ = turns.next[-1];
  if (frame_.filled()) [[unlikely]]
    forget_stops();
  if (well && turns.next == turns.end) [[likely]]
    return;
  if (!well) bury_counted(cell, failed, keep);
  deliver_rest(row, turns.next, in, keep);
}

[[gnu::always_inline]] inline bool PublishHere::deliver(std::span<const PublishRow> rows,
                                                        const void* in, Keep keep) {
  // Also when `keep` throws.
  struct Inside {
    PublishHere& here;
    explicit Inside(PublishHere& publish) : here(publish) {}
    ~Inside() {
      here.frame_.leave();
      if (here.counting_) [[unlikely]]
        here.end_row();
      here.leave();
      here.errand_.reset();
    }
  };
  const std::uint64_t before = accepted();
  frame_.enter(*rows.front().function->definition);
  const Inside inside(*this);
  deliver_row(rows.front(), in, keep);
  if (rows.size() > 1) [[unlikely]]
    deliver_rows(rows.subspan(1), in, keep);
  return accepted() != before;
}

[[gnu::noinline]] void PublishHere::deliver_rows(std::span<const PublishRow> rows, const void* in,
                                                 Keep keep) {
  for (const PublishRow& each : rows) {
    frame_.runs(*each.function->definition);
    deliver_row(each, in, keep);
  }
}

[[gnu::noinline]] void PublishHere::deliver_rest(const PublishRow& row, Route* const* from,
                                                 const void* in, Keep keep) {
  if (row.function->directions.only() != row.function) [[unlikely]]
    return deliver_versions(row, from, in, keep);
  begin_row(*row.function);
  Route* const* const end = row.routes.data() + row.routes.size();
  if (!counting_ && definition().options.meter == Meter::batched)
    return deliver_timed({from, end}, in, keep);
  Turns turns{.next = from,
              .end = end,
              .progress = *level_,
              .counted = cell_->word(Count::untimed),
              .word = invoker_.publishers().closings_word(),
              .expected = expected_};
  while (turns.next != turns.end) {
    if (counting_ && definition().run_each != nullptr) {
      Attempted failed;
      Route* const* const first = turns.next;
      const bool well = definition().run_each(definition(), in, turns, failed);
      if (turns.next != first) left_ = turns.next[-1];
      if (frame_.filled()) [[unlikely]]
        forget_stops();
      if (!well) [[unlikely]] {
        bury_counted(*cell_, failed, keep);
        begin_row(*row.function);
        continue;
      }
      if (turns.next == turns.end) [[likely]]
        return;
    }
    (void)deliver_one(**turns.next++, in, keep);
  }
}

// Where a run has something of its own: a Context, a reading of the meter, a route that may go.
Outcome PublishHere::deliver_one(Route& route, const void* in, Keep keep) {
  if (!enter(route)) return Outcome::rejected;
  const bool counted = counting_;
  Attempted failed;
  const bool well = counted ? run(in, failed) : run_alone(in, failed);
  if (counted && well) cell_->add(Count::untimed, 1);
  if (frame_.filled()) [[unlikely]]
    forget_stops();
  if (well) [[likely]] {
    count_done();
    return Outcome::ok;
  }
  if (counted) {
    bury_counted(*cell_, failed, keep);
    begin_row(route.function());
  } else {
    bury(route, failed, keep);
  }
  return Outcome::error;
}

// Each is timed, from the end of the one before.
void PublishHere::deliver_timed(std::span<Route* const> routes, const void* in, Keep keep) {
  while (!routes.empty()) {
    Route* const route = routes.front();
    routes = routes.subspan(1);
    if (enter(*route)) routes = deliver_chained(*route, routes, in, keep);
  }
}

// To the one that has been entered and those behind it, as far as all goes well. The rest.
std::span<Route* const> PublishHere::deliver_chained(Route& first, std::span<Route* const> rest,
                                                     const void* in, Keep keep) {
  Ledger& ledger = invoker_.parts().ledger;
  Span span(*shard_, *cell_, Meter::batched, chained_);
  Attempted failed;
  Route* route = &first;
  while (true) {
    const bool well = run(in, failed);
    const bool on = well && !rest.empty();
    if (on) [[likely]]
      ledger.next_and_record(*shard_, span);
    else ledger.end_and_record(*shard_, span, true, !well);
    if (frame_.filled()) [[unlikely]]
      forget_stops();
    chained_ = well;
    if (!well) {
      bury(*route, failed, keep);
      return rest;
    }
    count_done();
    if (!on) return rest;
    do {
      if (rest.empty()) {  // those behind had closed
        span.abandon();
        return rest;
      }
      route = rest.front();
      rest = rest.subspan(1);
    } while (!enter(*route));
  }
}

// False: it has closed. Marked in any case, and counted as accepted.
inline bool PublishHere::enter(Route& route) {
  level_->route.store(&route, std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // the light barrier, see the constructor
  if (invoker_.publishers().closings() != expected_) [[unlikely]] {
    if (!enter_late(route)) return false;
  }
  left_ = &route;
  count_accepted();
  return true;
}

// Once a route has closed since the publish began: whoever closed the last one may wait for it.
// Where there is no asymmetric barrier, always.
bool PublishHere::enter_late(Route& route) {
  light_barrier();
  Route* const before = std::exchange(left_, &route);
  if (before != nullptr && before != &route && before->closed()) before->wake_closers();
  return !route.closed();
}

// Its deliveries are to be counted only, if counting_.
void PublishHere::begin_row(FunctionState& function) {
  if (counting_) end_row();
  cell_ = &shard_->cell(function.line);
  if (!function.sampled || shard_->timing()) return;
  const bool timed = cell_->untimed == 0;
  if (!timed && !cell_->brief) return;
  counting_ = true;
  chained_ = false;
  row_at_ = accepted();
  if (timed) row_.emplace(*shard_, *cell_, Meter::sampled);
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

inline bool PublishHere::run(const void* in, Attempted& failed) {
  const Definition& handler = definition();
  if (!handler.takes_context) return handler.run(handler, in, nullptr, nullptr, failed);
  Context context(invoker_, frame_.whole());
  return handler.run(handler, in, nullptr, &context, failed);
}

bool PublishHere::run_alone(const void* in, Attempted& failed) {
  chained_ = false;
  Span span(*shard_, *cell_, definition().options.meter);
  const bool well = run(in, failed);
  invoker_.parts().ledger.end_and_record(*shard_, span, true, !well);
  return well;
}

[[gnu::always_inline]] inline bool Bus::publish_here(PublishHere& here, const Subscribers& all,
                                                     std::string_view topic, const Given& value) {
  const auto make = [&] {
    auto made = std::make_shared<Event>(head(topic, here.event(), here.lineage()));
    made->payload = value.keep(value.data);
    return std::shared_ptr<const Event>(std::move(made));
  };
  return here.deliver(all.rows(), value.data, make) || note_unmatched();
}

// From outside and without labels: the lineage is empty, and a topic that is kept is a good one.
inline bool Bus::plain_here(const CallOptions& options) const {
  if (!unlabelled(options)) return false;
  if (!invoker_.open() || invoker_.forked()) return false;
  const ActiveFrame* const frame = ActiveFrame::top();
  return frame == nullptr || frame->invoker != &invoker_;
}

[[gnu::always_inline]] inline bool Bus::emit_to(const Subscribers& all, std::string_view topic,
                                                const Given& value, std::uint64_t closings,
                                                EventId& id) {
  if (!all.plain(*value.type)) [[unlikely]]
    return false;
  PublishHere here(invoker_, closings);
  if (!here.room()) [[unlikely]]
    return false;
  id = here.begin();
  return publish_here(here, all, topic, value);
}

[[gnu::noinline]] bool Bus::emit_kept(std::string_view topic, const Given& value,
                                      std::uint64_t closings, EventId& id) {
  const Index::Match match(index_, topic, Index::Match::kKept);
  return match.list() != nullptr && emit_to(*match.list(), topic, value, closings, id);
}

Result<EventId> Bus::emit(std::string_view topic, const Given& value, const CallOptions& options) {
  // Before anything is asked; see PublishHere.
  const std::uint64_t closings = invoker_.publishers().closings();
  if (plain_here(options)) [[likely]] {
    EventId id;
    const Index::Remembered match(index_, topic);
    if (const Subscribers* const all = match.list()) [[likely]] {
      if (emit_to(*all, topic, value, closings, id)) [[likely]]
        return id;
    } else if (emit_kept(topic, value, closings, id)) {
      return id;
    }
  }
  return emit_late(topic, value, options);
}

bool Bus::publish_here(std::string_view topic, EventId id, const Lineage& lineage,
                       const Given& value, std::uint64_t closings) {
  // A line of the bill that is not the function's own has to be found first.
  if (!lineage.tenant.empty() || !lineage.tag.empty()) return false;
  if (lineage.hops >= kLoopHops) return false;
  const Index::Match match(index_, topic);
  if (!match.list()->plain(*value.type)) return false;
  PublishHere here(invoker_, closings);
  if (!here.room()) return false;
  here.begin(id, lineage);
  return publish_here(here, *match.list(), topic, value);
}

}  // namespace wisp::inline v0::detail
