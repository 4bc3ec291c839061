#include <wisp/service/call_options.hpp>

#include <chrono>
#include <utility>

#include <wisp/model/policy.hpp>
#include <wisp/model/tenant.hpp>
#include <wisp/model/traceparent.hpp>

namespace wisp::inline v0::detail {

Status check_call(const CallOptions& options) {
  for (const auto& [what, text] : {std::pair{"tenant", options.tenant}, {"tag", options.tag}}) {
    if (text.size() > kTenantNameMax)
      return invalid_argument("a {} has at most {} bytes, this one has {}", what, kTenantNameMax,
                              text.size());
  }
  if (options.timeout < Duration::zero()) {
    const std::chrono::duration<double, std::milli> timeout = options.timeout;
    return deadline_exceeded("a timeout of {} ms was over before it began", timeout.count());
  }
  return options.traceparent.empty() ? Status() : parse_traceparent(options.traceparent).status();
}

Status check_publish(const CallOptions& options) {
  WISP_TRY(check_key(options.key));
  return check_call(options);
}

}  // namespace wisp::inline v0::detail
