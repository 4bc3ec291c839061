// How one call, post or publish differs from its function's rules.
//
//   runtime.post(ship, order, {.tenant = "acme", .key = order.id});
//
// Threads: value; the views are read before the verb returns.
#pragma once

#include <string_view>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>

namespace wisp::inline v0 {

// Set by designated initialisers; members are only ever appended. Empty fields inherit from the
// handler that makes the call.
struct CallOptions {
  // Who pays, and a label: a bill has a line for each function, tenant and tag. Lines stay for the
  // Runtime's life, and of those with either there are some thousands (half of kLinesMax): further
  // ones are on their function's own line. Not for ids of requests. At most kTenantNameMax bytes
  // each. See also model/tenant.hpp.
  std::string_view tenant{};
  std::string_view tag{};
  // Of the whole call, retries included; 0: the parent's, or none. What begins with a negative one
  // is too late: kDeadlineExceeded. Of a post or an emit it is how long the publisher may wait, for
  // room in a queue or for who holds its idempotency key: what was accepted has its function's
  // timeout, and kAgeMax.
  Duration timeout{};
  // Of a post or an emit, at most kKeyMax bytes: those of one key are delivered one at a time and
  // in the order accepted, within the posts of one function and within each subscription. The next
  // begins once the one before has come to its end, its retries included; other keys go on
  // meanwhile. Empty: no order. A handler's own posts and emits do not inherit it. Synchronous
  // subscriptions take no notice of it; a call or a start has no order, but where its function has
  // two versions, those of one key go to the same: see registry.hpp. Where tenants share, a key is
  // its tenant's: another's of the same name is another key, but in a serial subscription.
  std::string_view key{};
  // At most kIdempotencyKeyMax bytes; see idempotency.hpp.
  std::string_view idempotency_key{};
  // The trace that it belongs to, as it came in: see traceparent.hpp; kInvalidArgument if it is
  // none. Empty: that of the handler that makes the call; an event from outside begins its own.
  std::string_view traceparent{};
  // Of a started call that somebody waits for, who would rather be refused at once than be served
  // too late: where all have waited for more than 5 ms during the last 100 ms, calls that have are
  // refused when their turn comes, with kUnavailable and Reason::overload, and without an attempt;
  // see RuntimeStats::shed. Other calls are never.
  bool sheddable = false;
};

// What verbs are given by those who give nothing: known by its address, so that they need not look
// at its members.
inline constexpr CallOptions kNoOptions{};

namespace detail {

// kInvalidArgument for a traceparent that is none and a tenant or a tag that is too long; and of a
// post or an emit, for a key that is. kDeadlineExceeded for a negative timeout.
Status check_call(const CallOptions& options);
Status check_publish(const CallOptions& options);

// Whether they leave all but the timeout as it is, and that is one: one question, as it is on every
// warm path.
inline bool unlabelled(const CallOptions& options) {
  if (&options == &kNoOptions) return true;
  return (options.tenant.size() | options.tag.size() | options.key.size() |
          options.idempotency_key.size() | options.traceparent.size() |
          static_cast<std::size_t>(options.timeout < Duration::zero())) == 0;
}

}  // namespace detail
}  // namespace wisp::inline v0
