// Topics and subscriptions: who gets an event.
//
//   auto paid = runtime.on("orders.*.paid")
//       .where(wisp::field("total").at_least(100))
//       .deliver({.attempts = 5, .dead_letter = "orders.failed"})
//       .to(fulfil);      // or to a lambda of (const T&[, Context&]) or (const Event&[, Context&])
//   auto accepted = runtime.emit("orders.4711.paid", order);
//
// An event is matched by topic, then by type, then by filters and predicates, all on the
// publisher's thread. A payload of another type than the handler's is dead-lettered, before any
// filter. A handler of Event takes every type; a field that the payload lacks does not match.
//
// Threads: any.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/model/event.hpp>
#include <wisp/model/function.hpp>
#include <wisp/model/pattern.hpp>
#include <wisp/model/topic_index.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0 {

namespace detail {

struct Predicate {
  const TypeInfo* type;
  std::function<bool(const void*)> holds;  // a throw is false
};

// What a subscription asks for, collected by the builder.
struct Wish {
  std::string pattern;
  std::optional<Filter> filter;
  std::vector<Predicate> predicates;
  Delivery delivery;
  std::string dead_letter;
};

class Bus;

struct Subscribed {
  TopicPattern pattern;
  const TypeInfo* wants = nullptr;   // null: any, or no input
  std::optional<BoundFilter> bound;  // against `wants`
  std::optional<Filter> filter;      // where any type may come
  std::vector<Predicate> predicates;
  bool synchronous = false;
  // Synchronous, of one type and without filter, predicate, timeout and concurrency limit.
  bool plain = false;
  std::shared_ptr<Route> route;
};

// What matches a topic, with what publishers need of it at hand.
class Subscribers {
 public:
  using Each = std::shared_ptr<Subscribed>;

  void push_back(const Each& each) {
    const bool alike = all_.empty() || (wants_ != nullptr && each->wants == wants_);
    wants_ = each->plain && alike ? each->wants : nullptr;
    all_.push_back(each);
    FunctionState& function = each->route->function();
    if (rows_.empty() || rows_.back().function != &function) rows_.push_back({&function, {}});
    rows_.back().routes.push_back(each->route.get());
  }
  const Each* data() const { return all_.data(); }
  std::size_t size() const { return all_.size(); }

  const std::vector<PublishRow>& rows() const { return rows_; }
  // Whether there are some, and all are plain and want just this.
  bool plain(const TypeInfo& type) const { return wants_ != nullptr && same_type(*wants_, type); }

 private:
  std::vector<Each> all_;
  std::vector<PublishRow> rows_;
  const TypeInfo* wants_ = nullptr;  // what all of them want, if all are plain
};

class Bus {
 public:
  explicit Bus(Invoker& invoker);

  // `definition` is a handler of its own, or a handle to a function of the registry.
  Result<std::shared_ptr<Subscribed>> subscribe(Wish wish,
                                                std::shared_ptr<const Definition> definition,
                                                bool registered);
  void unsubscribe(const std::shared_ptr<Subscribed>& subscribed);

  Result<EventId> emit(std::string_view topic, const Given& value, const CallOptions& options);

  Invoker& invoker() { return invoker_; }

 private:
  struct Publication;

  static bool passes(const Subscribed& subscribed, Publication& publication);
  using Index = TopicIndex<Subscribers::Each, Subscribers>;
  // In publishing.cpp: to plain subscriptions alone. False, and nothing done: there are others, or
  // there is more to ask first.
  bool plain_here(const CallOptions& options) const;
  bool emit_kept(std::string_view topic, const Given& value, std::uint64_t closings, EventId& id);
  bool emit_to(const Subscribers& all, std::string_view topic, const Given& value,
               std::uint64_t closings, EventId& id);
  Result<EventId> emit_late(std::string_view topic, const Given& value, const CallOptions& options);
  // Of one that was asked for and has no key of idempotency. Without `closings` not as a publish
  // here.
  Result<Keyed::Published> emit_once(std::string_view topic, const Given& value,
                                     const CallOptions& options,
                                     std::optional<std::uint64_t> closings);
  // Within a handler. False, nothing done: there are others, or, as of the next two, nobody any
  // more, since the runtime stops.
  bool publish_here(std::string_view topic, EventId id, const Lineage& lineage, const Given& value,
                    std::uint64_t closings);
  bool publish_here(PublishHere& here, const Subscribers& all, std::string_view topic,
                    const Given& value);
  [[gnu::cold]] bool note_unmatched();
  Event head(std::string_view topic, EventId id, Lineage lineage) const;
  Status reserve(Publication& publication);
  bool publish(Publication& publication, Status* refusal);
  bool emit_dead_letter(const Event& event);
  Status refuse_hops(Event event, const Given& value);

  Invoker& invoker_;
  Index index_;
};

}  // namespace detail

// While it lives, events are delivered. Its end cancels what is queued and waits for the delivery
// that runs, never for one that it is itself inside of; one that lasts is reported in the log after
// each 10 s. May outlive the Runtime.
//
// Threads: one-at-a-time; status() any.
class [[nodiscard]] Subscription {
 public:
  // Delivers nothing.
  Subscription() = default;
  explicit Subscription(Status why) : status_(std::move(why)) {}
  Subscription(std::weak_ptr<detail::Bus> bus, std::shared_ptr<detail::Subscribed> subscribed)
      : bus_(std::move(bus)), subscribed_(std::move(subscribed)) {}
  Subscription(Subscription&&) noexcept = default;
  Subscription& operator=(Subscription&& other) noexcept {
    cancel();
    bus_ = std::move(other.bus_);
    subscribed_ = std::move(other.subscribed_);
    status_ = std::move(other.status_);
    return *this;
  }
  ~Subscription() { cancel(); }

  // Why it is inactive: a bad pattern, an unknown field or function; ok for one that delivers.
  const Status& status() const { return status_; }

  // Deliveries that wait, for a worker or, at the function's limit, for a slot.
  int queued() const { return subscribed_ == nullptr ? 0 : subscribed_->route->queued_in_all(); }

  // Ends it now, as the destructor would.
  void cancel();

 private:
  std::weak_ptr<detail::Bus> bus_;  // gone with the runtime
  std::shared_ptr<detail::Subscribed> subscribed_;
  Status status_;
};

// Collects a subscription's rules; `.to` makes it.
//
// Threads: one-at-a-time.
class [[nodiscard]] SubscriptionBuilder {
 public:
  SubscriptionBuilder(std::weak_ptr<detail::Bus> bus, std::string_view pattern)
      : bus_(std::move(bus)) {
    wish_.pattern = pattern;
  }

  // Of several, all must hold.
  SubscriptionBuilder&& where(const Filter& filter) && {
    wish_.filter = wish_.filter ? *wish_.filter && filter : filter;
    return std::move(*this);
  }
  // A predicate over the payload: a callable that takes const T& and returns bool, runs on
  // publishers' threads. Before a handler that takes any type it may also take const Event&, which
  // costs a copy of the payload for each event that comes so far.
  template <class F, bool = WISP_EXCEPTIONS>
    requires(!std::convertible_to<F, const Filter&>)
  SubscriptionBuilder&& where(F&& predicate) && {
    using Callable = std::decay_t<F>;
    using T = typename detail::CallableShape<Callable>::Type::In;
    static_assert(detail::require_handler<Callable>() && !std::is_void_v<T>,
                  "wisp: a predicate takes const T&");
    wish_.predicates.push_back(
        {&type_info<T>(), [callable = Callable(std::forward<F>(predicate))](const void* data) {
           detail::Attempted failed;
           return detail::guarded(failed,
                                  [&] { return bool(callable(*static_cast<const T*>(data))); });
         }});
    return std::move(*this);
  }

  SubscriptionBuilder&& deliver(const Delivery& delivery) && {
    wish_.delivery = delivery;
    wish_.dead_letter = delivery.dead_letter;
    return std::move(*this);
  }

  // Delivers to a function of this runtime, or to a handler without a name, billed as "on
  // <pattern>"; beyond some 2,000 patterns and schedules, as "(others)".
  template <class F, bool = WISP_EXCEPTIONS>
  Subscription to(F&& handler) && {
    if constexpr (detail::FunctionHandle<std::decay_t<F>>) {
      return make(handler.definition(), true);
    } else {
      auto made = detail::make_function("on " + wish_.pattern, std::forward<F>(handler), {},
                                        std::source_location::current());
      return make(made.definition(), false);
    }
  }

 private:
  Subscription make(std::shared_ptr<const detail::Definition> definition, bool registered);

  std::weak_ptr<detail::Bus> bus_;
  detail::Wish wish_;
};

}  // namespace wisp::inline v0
