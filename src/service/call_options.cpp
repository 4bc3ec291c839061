#include <wisp/service/call_options.hpp>

#include <wisp/model/policy.hpp>
#include <wisp/model/traceparent.hpp>

namespace wisp::inline v0 {

Status check(const CallOptions& options) {
  WISP_TRY(check_key(options.key));
  return options.traceparent.empty() ? Status() : parse_traceparent(options.traceparent).status();
}

}  // namespace wisp::inline v0
