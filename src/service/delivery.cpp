// What becomes of posts and events once they are accepted.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

bool takes_event(const Definition& definition) {
  return definition.takes() != nullptr && same_type(*definition.takes(), type_info<Event>());
}

// A payload of another type was dead-lettered for that, and is however often it is sent again.
Status check_payload(const Definition& definition, const Event& event) {
  const TypeInfo* const takes = definition.takes();
  if (takes == nullptr || takes_event(definition)) return Status();
  if (event.payload.type() != nullptr && same_type(*takes, *event.payload.type())) return Status();
  return invalid_argument("'{}' takes {}, the event is of type {}", definition.name, takes->name(),
                          event.type());
}

const void* input_of(const Definition& definition, const Event& event) {
  if (definition.in == nullptr) return nullptr;
  // Posted rather than published: the function gets what it was given, an Event too.
  if (event.topic.empty() && event.payload.holds(*definition.in)) return event.payload.data();
  return takes_event(definition) ? static_cast<const void*>(&event) : event.payload.data();
}

}  // namespace

void Invoker::drop_new(Route& route, const Event& event) {
  count(counters_.accepted);
  count(counters_.dropped_newest);
  count(counters_.dead);
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
  return this->attempt({.function = function,
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
                        .token = shipment != nullptr && shipment->token ? &route : nullptr});
}

bool Invoker::attempt_delivery(Route& route, Shipment& delivery) {
  if (parts_.clock.now() - delivery.accepted > kAgeMax) {
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
  delivery.turn = std::nullopt;
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

bool Invoker::settle_failed(Route& route, Shipment& delivery, const Ended& ended) {
  delivery.error = ended.status;
  if (ended.outcome == Outcome::cancelled || route.replaced() ||
      phase_.load(std::memory_order_acquire) == Phase::stopped) {
    note_cancelled(route, delivery);
    return true;
  }
  if (retries(route, delivery, ended)) {
    count(route.function().retries);
    note(Step::retrying, route, *delivery.event, delivery.attempts, delivery.error, delivery.due);
    return false;
  }
  give_up(route, delivery, delivery.due != Time());
  return true;
}

// Whether another attempt follows, and when. No, with a time: it would come after the delivery's
// age limit.
bool Invoker::retries(const Route& route, Shipment& delivery, const Ended& ended) {
  const Retry& retry = route.function().definition->options.retry;
  const int attempts = route.rules().attempts.value_or(retry.attempts.value_or(kAttemptsOfEvents));
  delivery.due = Time();
  if (delivery.attempts >= attempts) return false;
  if (ended.outcome == Outcome::error && !retryable(ended.status.code())) return false;
  delivery.due = parts_.clock.now() + backoff(retry, delivery.attempts, parts_.random);
  const Duration left = kAgeMax - (delivery.due - delivery.accepted);
  if (left < Duration::zero()) return false;
  delivery.due = delivery.due + *put_off(route.function(), left);
  return delivery.due - delivery.accepted <= kAgeMax;
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

void Invoker::bury(Route& route, std::shared_ptr<const Event> event, Status error) {
  count(counters_.accepted);
  outstanding_.fetch_add(1);
  count(route.function().dead);
  count(route.function().unbegun);
  note(Step::accepted, route, *event, 0);
  note(Step::dead, route, *event, 0, error);
  keep_letter(route, {.event = std::move(event),
                      .function = route.function().definition->name,
                      .error = std::move(error)});
  end_delivery(counters_.dead);
}

void Invoker::give_up(Route& route, Shipment& delivery, bool expired) {
  const std::string& function = route.function().definition->name;
  if (expired && delivery.error.ok()) {
    delivery.error =
        deadline_exceeded("a delivery to '{}' is older than {} h", function,
                          std::chrono::duration_cast<std::chrono::hours>(kAgeMax).count());
  }
  keep_letter(route, {.event = delivery.event,
                      .function = function,
                      .error = delivery.error,
                      .attempts = delivery.attempts,
                      .expired = expired});
  note(expired ? Step::expired : Step::dead, route, *delivery.event, delivery.attempts,
       delivery.error);
  count(route.function().dead);
  if (delivery.attempts == 0) count(route.function().unbegun);
  count(expired ? counters_.expired : counters_.dead);
}

// To the route's dead-letter topic, if somebody listens there; else to the runtime's dead letters.
void Invoker::keep_letter(Route& route, DeadLetter letter) {
  log(LogLevel::warning, letter.function,
      fmt::format("event {} is a dead letter after {} attempts: {}", letter.event->id,
                  letter.attempts, message(letter.error)));
  const std::string& topic = route.rules().dead_letter;
  if (!topic.empty() && letter.event->lineage.hops < kHopsMax) {
    Event event = *letter.event;
    event.failure = std::make_shared<const Failure>(
        Failure{letter.function, std::move(event.topic), letter.error, letter.attempts});
    event.lineage.cause = event.id;
    ++event.lineage.hops;
    event.id = next_id();
    event.topic = topic;
    if (emit_dead_letter(event)) return;
  }
  const std::weak_ptr<Route> again = route.weak_from_this();
  dead_letters_.add(
      std::move(letter), [this, again](const std::shared_ptr<const Event>& event) -> Status {
        const std::shared_ptr<Route> alive = again.lock();
        if (alive == nullptr) return not_found("the subscription of this dead letter has ended");
        WISP_TRY(admit());
        WISP_TRY(check_payload(*alive->function().definition, *event));
        const std::size_t bytes = event->payload.bytes();
        WISP_TRY(Route::Room room, alive->reserve(bytes, event->key, parts_.clock.now()));
        if (room == Route::Room::dropped)
          return resource_exhausted("the queue of {} is full", alive->rules().name);
        deliver(*alive, event, bytes);
        return Status();
      });
}

void Invoker::note_cancelled(const Route& route, const Shipment& delivery) {
  abandoned({route.function().definition->name, delivery.event->id, "queued"});
  note(Step::cancelled, route, *delivery.event, delivery.attempts);
  if (delivery.attempts == 0) count(route.function().unbegun);
  count(counters_.cancelled);
}

void Invoker::cancel_delivery(const Route& route, const Shipment& delivery) {
  note_cancelled(route, delivery);
  one_less();
}

void Invoker::end_delivery(std::atomic<std::uint64_t>& counter) {
  count(counter);
  one_less();
}

}  // namespace wisp::inline v0::detail
