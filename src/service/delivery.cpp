// What becomes of posts and events once they are accepted.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

const void* input_of(const Definition& definition, const Event& event) {
  if (definition.in == nullptr) return nullptr;
  // Posted rather than published: the function gets what it was given, an Event too.
  if (event.topic.empty() && event.payload.holds(*definition.in)) return event.payload.data();
  return takes_event(definition) ? static_cast<const void*>(&event) : event.payload.data();
}

}  // namespace

bool takes_event(const Definition& definition) {
  return definition.takes() != nullptr && same_type(*definition.takes(), type_info<Event>());
}

void Invoker::drop_new(Route& route, const Event& event) {
  count(counters_.accepted);
  count(counters_.dropped_newest);
  count(counters_.dead);
  count(route.function().dead);
  count(route.function().unbegun);
  note(Step::accepted, route, event, 0);
  note(Step::dropped, route, event, 0);
}

void Invoker::deliver(Route& route, std::shared_ptr<const Event> event, std::size_t bytes,
                      Duration late) {
  count(counters_.accepted);
  note(Step::accepted, route, *event, 0);
  auto delivery = std::make_unique<Shipment>();
  delivery->event = std::move(event);
  delivery->bytes = bytes;
  delivery->accepted = parts_.clock.now();
  const Ticks& ticks = parts_.ledger.ticks();
  const std::uint64_t now = ticks.now();
  delivery->accepted_ticks =
      now -
      std::min(now - 1,
               ticks.from_ns(static_cast<std::uint64_t>(std::max(late, Duration::zero()).count())));
  route.push(std::move(delivery));
}

Invoker::Ended Invoker::attempt_event(Route& route, const void* in, const Event& event,
                                      const Shipment* shipment) {
  FunctionState& function = route.function();
  const bool first = shipment != nullptr && shipment->attempts == 1;
  // A synchronous delivery is part of what its publisher does.
  ActiveFrame* const top = shipment == nullptr ? ActiveFrame::top() : nullptr;
  ActiveFrame* const parent = top != nullptr && top->invoker == this ? top : nullptr;
  return this->attempt(
      {.function = function,
       .line = line_of(function, event.lineage),
       .in = in,
       .result = nullptr,
       .lineage = &event.lineage,
       .event = event.id,
       .deadline = parent != nullptr ? parent->deadline : Deadline(),
       .attempt = shipment == nullptr ? 1 : shipment->attempts,
       .cancellation = shipment != nullptr ? route.cancellation() : nullptr,
       .route = &route,
       .parent = parent,
       .accepted_ticks = first ? shipment->accepted_ticks : 0,
       .node = nullptr,
       .on_executor = shipment != nullptr,
       .token = shipment != nullptr && shipment->token ? &route : nullptr,
       .chosen_by = {.key = shipment != nullptr ? std::string_view(event.key) : ""}});
}

bool Invoker::attempt_delivery(Route& route, Shipment& delivery) {
  if (parts_.clock.now() - delivery.accepted > kAgeMax) {
    route.give_turn_back(delivery);
    give_up(route, delivery, true);
    return true;
  }
  if (route.replaced()) {
    route.give_turn_back(delivery);
    note_cancelled(route, delivery);
    return true;
  }
  const Event& event = *delivery.event;
  ++delivery.attempts;
  delivery.turns = {};
  const Ended ended =
      attempt_event(route, input_of(*route.function().definition, event), event, &delivery);
  if (!ended.began) --delivery.attempts;
  else if (route.rules().receipts) charge(route, delivery, ended);
  if (ended.outcome == Outcome::ok) {
    note(Step::done, route, event, delivery.attempts);
    count(counters_.done);
    return true;
  }
  return settle_failed(route, delivery, ended);
}

bool Invoker::deliver_now(Route& route, const void* in, const Event& event, const Keep& keep) {
  // Its end, also when `keep` throws: then there is no letter.
  struct Delivery {
    Invoker& invoker;
    Route& route;
    std::atomic<std::uint64_t>* end;
    const Errand errand{invoker, &route};
    ~Delivery() {
      invoker.end_delivery(*end);
      route.leave();
    }
  };
  FunctionState& function = route.function();
  if (!route.enter()) return false;
  count(counters_.accepted);
  outstanding_.fetch_add(1);
  Delivery delivery{*this, route, &counters_.dead};
  note(Step::accepted, route, event, 0);
  const Status full = function.limited() ? enter(function, event.lineage) : Status();
  if (!full.ok()) {
    count(function.dead);
    count(function.unbegun);
    note(Step::dead, route, event, 0, full);
    keep_letter(
        route,
        {.event = keep(), .function = function.definition->name, .error = full, .attempts = 0});
  } else {
    const Definition& definition = *function.definition;
    const void* input = definition.in == nullptr ? nullptr : takes_event(definition) ? &event : in;
    const Ended ended = attempt_event(route, input, event, nullptr);
    if (function.limited()) function.leave(*this);
    if (ended.began && ended.outcome != Outcome::ok) {
      count(function.dead);
      note(Step::dead, route, event, 1, ended.status);
      keep_letter(
          route,
          {.event = keep(), .function = definition.name, .error = ended.status, .attempts = 1});
    } else {
      delivery.end = ended.began ? &counters_.done : &counters_.cancelled;
      if (!ended.began) count(function.unbegun);
      note(ended.began ? Step::done : Step::cancelled, route, event, ended.began ? 1 : 0);
    }
  }
  return true;
}

void Invoker::end_delivery(std::atomic<std::uint64_t>& counter) {
  count(counter);
  one_less();
}

}  // namespace wisp::inline v0::detail
