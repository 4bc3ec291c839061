// Trace ids on their way in and out of a program: the header of W3C Trace Context.
//
//   WISP_TRY(wisp::EventId trace, wisp::parse_traceparent(request.header("traceparent")));
//   outgoing.header("traceparent", context.traceparent());
//
// The trace id is an EventId's 32 hex digits. The flags say "sampled" on the way out and are not
// looked at on the way in; tracestate is not carried.
//
// Source: W3C Recommendation "Trace Context" (2021), section 3.2.
//
// Threads: value.
#pragma once

#include <string>
#include <string_view>

#include <wisp/base/id.hpp>
#include <wisp/base/status.hpp>

namespace wisp::inline v0 {

// The trace id of "00-<32 hex digits>-<16 hex digits>-<2 hex digits>", or of a later version that
// begins like that. kInvalidArgument for anything else, and for ids of zeros.
Result<EventId> parse_traceparent(std::string_view text);

// "" without a trace. `span` names the caller within it: an event and its attempt.
std::string traceparent(EventId trace, EventId span, int attempt);

}  // namespace wisp::inline v0
