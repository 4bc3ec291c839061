// Where the events of a route go that its clients follow.
//
// Threads: any.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include <wisp/base/config.hpp>
#include <wisp/runtime.hpp>

namespace wisp::inline v0::http::detail {

class EventSink {
 public:
  virtual ~EventSink() = default;
  // To each client that follows. Never waits for one.
  virtual void publish(std::string_view json) = 0;
};

// Lets a route's events come from a runtime's.
using Subscribe = std::function<Subscription(Runtime&, std::shared_ptr<EventSink>)>;

}  // namespace wisp::inline v0::http::detail
