// What a gateway makes of the CloudEvents that are sent to it.
//
//   gateway.cloud_events("/events", {.types = wisp::http::EventTypes()
//                                                 .add<Order>("orders.*.paid")
//                                                 .add<Parcel>("parcels.>")});
//
// Threads: value.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <wisp/http/detail/emission.hpp>
#include <wisp/json/cloud_event.hpp>
#include <wisp/json/event_mapping.hpp>

namespace wisp::inline v0::http {

inline constexpr std::size_t kEventTypesMax = 1'000;

// Which type the data of an event are read into, by its topic, which is the event's type. Of
// several that match, the one that was added first. An event that none matches is emitted as the
// json::CloudEvent that it is.
class EventTypes {
 public:
  // `pattern`: of topics, see pattern.hpp. A bad one, or one beyond kEventTypesMax, is what the
  // gateway's start() returns.
  template <HasCodec T, bool = WISP_EXCEPTIONS>
  EventTypes& add(std::string_view pattern) {
    entries_.push_back({std::string(pattern), &detail::TypedEmission<T>::read});
    return *this;
  }

  struct Entry {
    std::string pattern{};
    detail::ReadEmission read{};
  };
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
};

struct CloudEventOptions {
  EventTypes types{};
  bool typed_only = false;  // 400 for an event that no type matches
  json::EventMapping mapping{};
  json::CloudEventLimits limits{};  // of the text the gateway's Limits::body_bytes too
};

}  // namespace wisp::inline v0::http
