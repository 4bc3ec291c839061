// An event: a value published to a topic, and where it comes from.
//
//   [](const wisp::Event& event, wisp::Context&) {
//     if (const Order* order = event.as<Order>()) fmt::print("{} on {}\n", order->id, event.topic);
//   };
//
// The attributes are CloudEvents 1.0's where both have them: id, source, time, and its type, which
// is the topic here; see json/event_mapping.hpp.
//
// Threads: value; shared and immutable once published.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>
#include <wisp/base/id.hpp>
#include <wisp/base/payload.hpp>
#include <wisp/base/status.hpp>

namespace wisp::inline v0 {

// What led to an event or call.
struct Lineage {
  EventId cause{};     // the event whose handler published it; empty for one from outside
  EventId trace{};     // the first event of the chain
  int hops = 0;        // events between that one and this
  std::string tenant;  // who pays; inherited
  std::string tag;     // a label of the caller's for the bill; inherited
};

// Why an event ended on a dead-letter topic.
struct Failure {
  std::string function;  // that could not handle it
  std::string topic;     // where it was published
  Status error;          // of the last attempt
  int attempts = 0;      // that entered the handler
};

struct Event {
  EventId id{};
  std::string topic;   // empty for a post
  std::string source;  // RuntimeOptions::source
  WallTime time{};
  Payload payload;
  Lineage lineage;
  std::shared_ptr<const Failure> failure{};  // set on a dead letter only; shared because immutable
  std::string key{};  // deliveries of one go one at a time; empty for none. See CallOptions::key

  // The payload's wire name, or how the compiler spells its type; "" without one.
  std::string_view type() const {
    return payload.empty() ? std::string_view() : payload.type()->name();
  }

  // The payload, or null if it is of another type.
  template <class T>
  const T* as() const {
    return payload.as<T>();
  }
};

}  // namespace wisp::inline v0
