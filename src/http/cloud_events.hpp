// The route that takes CloudEvents.
//
// Threads: any.
#pragma once

#include <memory>

#include <wisp/base/status.hpp>
#include <wisp/http/cloud_event_route.hpp>
#include <wisp/http/detail/endpoint.hpp>

namespace wisp::inline v0::http {

// kInvalidArgument for a bad pattern, kResourceExhausted for too many.
Result<std::unique_ptr<const detail::Endpoint>> cloud_event_endpoint(
    const CloudEventOptions& options, UnknownMembers unknown, Clock& clock);

}  // namespace wisp::inline v0::http
