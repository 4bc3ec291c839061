#include <wisp/service/call_options.hpp>

#include <wisp/model/policy.hpp>
#include <wisp/model/traceparent.hpp>

namespace wisp::inline v0::detail {

Status check_call(const CallOptions& options) {
  return options.traceparent.empty() ? Status() : parse_traceparent(options.traceparent).status();
}

Status check_publish(const CallOptions& options) {
  WISP_TRY(check_key(options.key));
  return check_call(options);
}

}  // namespace wisp::inline v0::detail
