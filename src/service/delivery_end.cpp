// What becomes of a delivery that failed: another attempt, or a dead letter.
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

// A payload of another type was dead-lettered for that, and is however often it is sent again.
Status check_payload(const Definition& definition, const Event& event) {
  const TypeInfo* const takes = definition.takes();
  if (takes == nullptr || takes_event(definition)) return Status();
  if (event.payload.type() != nullptr && same_type(*takes, *event.payload.type())) return Status();
  return invalid_argument("'{}' takes {}, the event is of type {}", definition.name, takes->name(),
                          event.type());
}

}  // namespace

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
  delivery.due =
      parts_.clock.now() + retry_delay(retry, delivery.attempts, ended.status, parts_.random);
  const Duration left = kAgeMax - (delivery.due - delivery.accepted);
  if (left <= Duration::zero()) return false;
  delivery.due = delivery.due + *put_off(route.function(), left);
  return delivery.due - delivery.accepted <= kAgeMax;
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
  const std::weak_ptr<Route> again = route.whole();
  dead_letters_.add(
      std::move(letter), [this, again](const std::shared_ptr<const Event>& event) -> Status {
        const std::shared_ptr<Route> alive = again.lock();
        if (alive == nullptr) return not_found("the subscription of this dead letter has ended");
        WISP_TRY(admit());
        WISP_TRY(check_payload(*alive->function().definition, *event));
        const std::size_t bytes = event->payload.bytes();
        std::shared_ptr<Route> keep;
        Route& mine = alive->of(event->lineage.tenant, keep);
        WISP_TRY(Route::Room room, mine.reserve(bytes, event->key, parts_.clock.now()));
        if (room == Route::Room::dropped)
          return resource_exhausted("the queue of {} is full", mine.rules().name);
        deliver(mine, event, bytes);
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

}  // namespace wisp::inline v0::detail
