// Between wisp's events and CloudEvents.
//
//   [](const wisp::Event& event, wisp::Context&) -> wisp::Status {
//     WISP_TRY(auto told, wisp::json::to_cloud_event<Order>(event));
//     return tell(told);
//   };
//
//   CloudEvent       Event
//   id               id, as 32 hex digits
//   source           source
//   type             topic
//   time             time
//   data             payload, in JSON
//   partitionkey     key
//   traceparent      lineage.trace
//   tenant           lineage.tenant, if that is wanted
//
// The last three are extensions, the first two of them documented ones. An event that comes in gets
// an id, a source and a time of this runtime; its own, its subject and its other extensions have
// those handlers that take the whole CloudEvent. Its source and id are its idempotency key.
//
// Threads: any.
#pragma once

#include <string>
#include <type_traits>

#include <wisp/json/cloud_event.hpp>
#include <wisp/model/event.hpp>
#include <wisp/service/call_options.hpp>

namespace wisp::inline v0::json {

struct EventMapping {
  // Whether the extension "tenant" says who pays. Only among programs that trust each other.
  bool tenant = false;
};

// All but the data.
CloudEvent attributes_of(const Event& event, const EventMapping& mapping = {});

// Of an event whose payload is a T, or that has none; a payload that is a CloudEvent is returned
// as it is. kInvalidArgument naming both types if it is of another one.
template <class T>
Result<CloudEvent> to_cloud_event(const Event& event, const EventMapping& mapping = {}) {
  const T* const payload = event.as<T>();
  if (payload == nullptr && !event.payload.empty())
    return invalid_argument("the event on '{}' is of type {}, not {}", event.topic, event.type(),
                            type_info<T>().name());
  if constexpr (std::is_same_v<T, CloudEvent>) {
    return payload != nullptr ? *payload : attributes_of(event, mapping);
  } else {
    CloudEvent made = attributes_of(event, mapping);
    if (payload != nullptr) made.write(*payload);
    return made;
  }
}

// How it is emitted, but for its idempotency key. Refers to the event. A traceparent that is none
// is left out: the event begins a trace of its own.
CallOptions emit_options(const CloudEvent& event, const EventMapping& mapping = {});

// Its source and id, and a hash instead of what is beyond kIdempotencyKeyMax.
std::string idempotency_key(const CloudEvent& event);

}  // namespace wisp::inline v0::json
