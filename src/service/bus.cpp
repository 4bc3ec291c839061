#include <wisp/service/bus.hpp>

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace wisp::inline v0 {
namespace detail {
namespace {

bool is_event(const TypeInfo& type) { return same_type(type, type_info<Event>()); }

bool any_event(const Definition& definition) {
  return definition.takes() == nullptr || is_event(*definition.takes());
}

Status check_predicates(const Wish& wish, const Definition& definition) {
  if (any_event(definition)) return Status();
  for (const Predicate& each : wish.predicates) {
    if (same_type(*each.type, *definition.takes())) continue;
    return invalid_argument("subscription '{}': its predicate takes {}, its handler {}",
                            wish.pattern, each.type->name(), definition.takes()->name());
  }
  return Status();
}

Status check_batch(const Wish& wish, const Definition& definition) {
  const Delivery& rules = wish.delivery;
  const bool batched = definition.make_batch != nullptr;
  if (!batched && (rules.batch.size != 0 || rules.batch.window != Duration())) {
    return invalid_argument(
        "subscription '{}': batch is for a handler of wisp::Batch, its takes {}", wish.pattern,
        definition.in == nullptr ? "nothing" : definition.in->name());
  }
  if (batched && rules.synchronous) {
    return invalid_argument("subscription '{}': a synchronous delivery cannot be part of a batch",
                            wish.pattern);
  }
  return Status();
}

int turn_of(Overflow act) {
  return act == Overflow::drop_oldest ? 2 : act == Overflow::coalesce ? 1 : 0;
}

}  // namespace

// One emit, from the match to the last delivery.
struct Bus::Publication {
  struct Target {
    Subscribed* subscribed;  // kept by the match
    enum class Fate { mismatch, synchronous, queued, dropped } fate;
    bool reserved = false;
    std::shared_ptr<Route> part{};  // of its route, where tenants share

    Route& route() const { return part != nullptr ? *part : *subscribed->route; }
  };
  Event head;  // without its payload
  const Given& value;
  Time deadline = Time::never();
  std::vector<Target> targets;
  std::size_t bytes = 0;
  std::shared_ptr<const Event> whole = nullptr;  // shared by all deliveries

  const std::shared_ptr<const Event>& event() {
    if (whole == nullptr) {
      auto made = std::make_shared<Event>(head);
      made->payload = value.keep(value.data);
      whole = std::move(made);
    }
    return whole;
  }
};

Bus::Bus(Invoker& invoker) : invoker_(invoker) {
  invoker_.emit_dead_letter = [this](const Event& event) { return emit_dead_letter(event); };
}

Result<std::shared_ptr<Subscribed>> Bus::subscribe(Wish wish,
                                                   std::shared_ptr<const Definition> definition,
                                                   bool registered) {
  WISP_TRY(invoker_.admit());
  WISP_TRY(TopicPattern pattern, TopicPattern::parse(wish.pattern));
  wish.delivery.dead_letter = wish.dead_letter;
  const std::string name = fmt::format("subscription '{}'", wish.pattern);
  WISP_TRY(check(wish.delivery, name));
  if (!wish.dead_letter.empty()) WISP_TRY(check_topic(wish.dead_letter));
  FunctionState* function = nullptr;
  std::unique_ptr<FunctionState> own;
  if (registered) {
    WISP_TRY(const Registered* entry, invoker_.registry().resolve(*definition));
    function = static_cast<FunctionState*>(entry->attachment.get());
  } else {
    own = invoker_.anonymous(definition);
    function = own.get();
  }
  WISP_TRY(check_predicates(wish, *function->definition));
  WISP_TRY(check_batch(wish, *function->definition));
  auto subscribed = std::make_shared<Subscribed>(Subscribed{.pattern = pattern});
  if (!any_event(*function->definition)) {
    subscribed->wants = function->definition->takes();
    if (wish.filter) {
      WISP_TRY(subscribed->bound, wish.filter->bind(*subscribed->wants));
    }
  } else {
    subscribed->filter = std::move(wish.filter);
  }
  subscribed->predicates = std::move(wish.predicates);
  subscribed->synchronous = wish.delivery.synchronous;
  subscribed->plain = subscribed->synchronous && subscribed->wants != nullptr &&
                      !subscribed->bound && subscribed->predicates.empty() &&
                      function->definition->options.timeout == Duration() && !function->limited();
  Route::Rules rules{.name = name,
                     .attempts = wish.delivery.attempts,
                     .dead_letter = wish.dead_letter,
                     .serial = wish.delivery.serial,
                     .queue = wish.delivery.queue};
  if (function->definition->make_batch != nullptr) {
    const Batching& batch = wish.delivery.batch;
    rules.batch = batch.size > 0 ? batch.size : std::min(kBatchSize, rules.queue.count);
    rules.window = batch.window;
  }
  subscribed->route = std::make_shared<Route>(invoker_, std::move(rules), function, std::move(own));
  invoker_.add_route(subscribed->route);
  index_.add(pattern, subscribed);
  return subscribed;
}

void Bus::unsubscribe(const std::shared_ptr<Subscribed>& subscribed) {
  index_.remove(subscribed->pattern, subscribed);
}

bool Bus::passes(const Subscribed& subscribed, Publication& publication) {
  const TypeInfo& type = *publication.value.type;
  const void* const data = publication.value.data;
  if (subscribed.bound && !subscribed.bound->matches(data)) return false;
  if (subscribed.filter && !subscribed.filter->matches(type, data)) return false;
  return std::all_of(subscribed.predicates.begin(), subscribed.predicates.end(),
                     [&](const Predicate& each) {
                       if (is_event(*each.type)) return each.holds(publication.event().get());
                       return same_type(*each.type, type) && each.holds(data);
                     });
}

// All or nothing: when one queue refuses, nobody gets the event and the publisher may try again.
// Queues that make room by dropping come last, those that seldom refuse after the others, so that a
// refusal hardly ever costs anybody a delivery.
Status Bus::reserve(Publication& publication) {
  using Target = Publication::Target;
  for (const int turn : {0, 1, 2}) {
    for (Target& target : publication.targets) {
      if (target.fate != Target::Fate::queued || target.subscribed == nullptr) continue;
      if (turn_of(target.subscribed->route->rules().queue.act) != turn) continue;
      Route& route = target.subscribed->route->of(publication.head.lineage.tenant, target.part);
      const Result<Route::Room> room =
          route.reserve(publication.bytes, publication.head.key, publication.deadline);
      if (room.ok()) {
        target.reserved = *room == Route::Room::taken;
        if (!target.reserved) target.fate = Target::Fate::dropped;
        continue;
      }
      // Ended between the match and here: as if it had never matched.
      if (reason_of(room.status()) == Reason::stopped) {
        target.subscribed = nullptr;
        continue;
      }
      for (const Target& taken : publication.targets)
        if (taken.reserved) taken.route().unreserve(publication.bytes, publication.head.key);
      return room.status();
    }
  }
  std::erase_if(publication.targets,
                [](const auto& target) { return target.subscribed == nullptr; });
  return Status();
}

// Whether some subscription took the event; `refusal` says why all of them had to go without.
bool Bus::publish(Publication& publication, Status* refusal) {
  using Fate = Publication::Target::Fate;
  const Given& value = publication.value;
  const Index::Match match(index_, publication.head.topic);
  for (const std::shared_ptr<Subscribed>& each : match) {
    const bool mismatch = each->wants != nullptr && !same_type(*each->wants, *value.type);
    if (!mismatch && !passes(*each, publication)) continue;
    const Fate fate = mismatch            ? Fate::mismatch
                      : each->synchronous ? Fate::synchronous
                                          : Fate::queued;
    if (fate == Fate::queued && publication.bytes == 0)
      publication.bytes = value.type->bytes(value.data);
    // The payload's copy may throw: now, before anything is reserved. A synchronous handler of the
    // value itself needs none.
    if (fate != Fate::synchronous || each->wants == nullptr) publication.event();
    publication.targets.push_back({.subscribed = each.get(), .fate = fate});
  }
  *refusal = reserve(publication);
  if (!refusal->ok()) {
    count(invoker_.counters().refused);
    invoker_.note_refused("", publication.head.topic, *refusal);
    return false;
  }
  bool taken = false;
  for (const auto& target : publication.targets) {
    Route& route = target.route();
    taken = taken || target.fate != Fate::synchronous;
    if (target.fate == Fate::queued) {
      invoker_.deliver(route, publication.event(), publication.bytes);
    } else if (target.fate == Fate::dropped) {
      invoker_.drop_new(route, *publication.event());
    } else if (target.fate == Fate::mismatch) {
      invoker_.bury(route, publication.event(),
                    invalid_argument("{} takes {}, the event on '{}' is of type {}",
                                     route.rules().name, target.subscribed->wants->name(),
                                     publication.head.topic, value.type->name()));
    }
  }
  // Last, so that a slow handler on this thread does not hold the others up.
  for (const auto& target : publication.targets) {
    if (target.fate != Fate::synchronous) continue;
    // A handler of Event sees the payload: then the event is whole.
    const Event& event = publication.whole == nullptr ? publication.head : *publication.whole;
    const bool entered = invoker_.deliver_now(*target.subscribed->route, value.data, event,
                                              [&publication] { return publication.event(); });
    taken = taken || entered;
  }
  return taken;
}

Result<EventId> Bus::emit_late(std::string_view topic, const Given& value,
                               const CallOptions& options) {
  // Before anything is asked; see PublishHere.
  const std::uint64_t closings = invoker_.publishers().closings();
  WISP_TRY(invoker_.admit());
  WISP_TRY(check_topic(topic));
  WISP_TRY(check_publish(options));
  if (!options.idempotency_key.empty()) {
    const auto once = [&](const CallOptions& without) {
      return emit_once(topic, value, without, std::nullopt);
    };
    return Keyed(invoker_).publish(IdempotencyTable::Space::topic, topic, options, once);
  }
  WISP_TRY(const Keyed::Published published, emit_once(topic, value, options, closings));
  return published.id;
}

Result<Keyed::Published> Bus::emit_once(std::string_view topic, const Given& value,
                                        const CallOptions& options,
                                        std::optional<std::uint64_t> closings) {
  const EventId id = invoker_.next_id_here();
  Lineage lineage = invoker_.lineage(options);
  if (!lineage.cause.empty()) ++lineage.hops;
  if (lineage.trace.empty()) lineage.trace = id;
  if (lineage.hops > kHopsMax) return refuse_hops(head(topic, id, std::move(lineage)), value);
  // With a key, what an Event handler or a dead letter gets is more than that makes.
  const bool here = closings && options.key.empty() && !invoker_.watched();
  if (here && publish_here(topic, id, lineage, value, *closings)) return Keyed::Published{.id = id};
  Publication publication{.head = head(topic, id, std::move(lineage)), .value = value};
  publication.head.key = options.key;
  publication.deadline = invoker_.deadline(options).at();
  Status refusal;
  if (!publish(publication, &refusal)) {
    if (!refusal.ok()) return refusal;
    // Its subscriptions may have ended with the runtime.
    if (!note_unmatched()) return invoker_.admit();
    return Keyed::Published{.id = id, .matched = false};
  }
  return Keyed::Published{.id = id};
}

// False: the runtime has stopped meanwhile.
bool Bus::note_unmatched() {
  if (!invoker_.admit().ok()) return false;
  count(invoker_.counters().unmatched);
  return true;
}

Event Bus::head(std::string_view topic, EventId id, Lineage lineage) const {
  return {.id = id,
          .topic = std::string(topic),
          .source = invoker_.parts().source,
          .time = invoker_.parts().clock.wall(),
          .payload = {},
          .lineage = std::move(lineage)};
}

// Refused, and kept: a loop of events ends where somebody can see it.
Status Bus::refuse_hops(Event event, const Given& value) {
  const std::optional<Money> cost = invoker_.loop_costs().of(event.lineage.trace);
  const bool priced = cost && !invoker_.parts().ledger.tariff().empty();
  Status error = refused(
      StatusCode::kFailedPrecondition, Reason::hops,
      fmt::format(
          "event on '{}' is {} hops from its first cause, the limit is {}: do its handlers "
          "publish in a circle?{}",
          event.topic, event.lineage.hops, kHopsMax,
          priced ? fmt::format(" Since its hop {} that has cost {} USD", kLoopHops, *cost) : ""));
  event.payload = value.keep(value.data);
  invoker_.note_refused("", event.topic, error, event.id);
  count(invoker_.counters().accepted);
  count(invoker_.counters().dead);
  DeadLetter letter{.event = std::make_shared<const Event>(std::move(event)), .error = error};
  invoker_.dead_letters().add(std::move(letter), [](const std::shared_ptr<const Event>&) {
    return failed_precondition("an event beyond the hop limit has no handler to go back to");
  });
  return error;
}

bool Bus::emit_dead_letter(const Event& event) {
  const Given value{event.payload.type(), event.payload.data(), nullptr};
  if (value.type == nullptr) return false;
  Publication publication{.head = event, .value = value};
  publication.whole = std::make_shared<const Event>(event);
  publication.deadline = Time();
  Status refusal;
  return publish(publication, &refusal);
}

}  // namespace detail

void Subscription::cancel() {
  const std::shared_ptr<detail::Subscribed> subscribed = std::exchange(subscribed_, nullptr);
  if (subscribed == nullptr) return;
  const std::shared_ptr<detail::Bus> bus = bus_.lock();
  if (bus != nullptr && bus->invoker().forked()) {
    // The parent's threads, and perhaps locks that they held, are gone: touch nothing.
    new std::shared_ptr<detail::Subscribed>(subscribed);
    return;
  }
  if (bus != nullptr) bus->unsubscribe(subscribed);
  subscribed->route->close();
}

Subscription SubscriptionBuilder::make(std::shared_ptr<const detail::Definition> definition,
                                       bool registered) {
  const std::shared_ptr<detail::Bus> bus = bus_.lock();
  if (bus == nullptr) return Subscription(failed_precondition("the runtime has ended"));
  auto subscribed = bus->subscribe(std::move(wish_), std::move(definition), registered);
  if (!subscribed.ok()) return Subscription(subscribed.status());
  return Subscription(bus_, *std::move(subscribed));
}

}  // namespace wisp::inline v0
