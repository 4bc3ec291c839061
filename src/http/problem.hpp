// Errors as clients get them: RFC 9457's problem details.
//
// Threads: any.
#pragma once

#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>

#include "answer.hpp"

namespace wisp::inline v0::http {

// {"type":"about:blank","title":"Not Found","status":404,"detail":detail}
Answer problem(int status, std::string_view detail);

// Of a call that went wrong. What wisp or a handler says about the client's part is passed on; what
// is wrong with the handler itself (5xx but 501, 503 and 504) stays inside. 429 and 503 say when
// to try again: what retry_after_of() says, else a second.
Answer problem(const Status& status);

// "Retry-After: 2\r\n"; seconds begun count, and one at least.
std::string retry_after_field(Duration wait);

}  // namespace wisp::inline v0::http
