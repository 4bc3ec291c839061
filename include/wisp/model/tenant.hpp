// Who shares the threads of a runtime, and what is a fair share.
//
//   wisp::Runtime runtime{functions, {.tenants = {{.name = "acme", .weight = 3},
//                                                 {.name = "free", .per_second = 10}}}};
//   runtime.post(ship, order, {.tenant = "acme"});
//
// Where tenants are set, whatever waits for a thread is in the queue of its tenant, and the next to
// run is of the tenant that has had the least time of threads for its weight lately. A turn is a
// task, or up to 16 deliveries of one function, as many as begin within 20 us. What has no
// tenant, or one that is not set, is together as if of one tenant of weight 1. So a tenant that
// floods the runtime delays itself, and others by no more than their fair share means. Serial
// subscriptions, batches and schedules are not divided: what they deliver, whosever it is, is
// together with what has no tenant, and has no tenant's rate.
//
// Threads: value.
#pragma once

#include <string>
#include <vector>

#include <wisp/base/status.hpp>

namespace wisp::inline v0 {

struct Tenant {
  std::string name{};  // CallOptions::tenant; 1 to kTenantNameMax bytes
  // Of the time that threads spend on handlers while several tenants have something that waits; 1
  // to kWeightMax. Nothing is kept free for a tenant that has nothing to do.
  int weight = 1;
  // Calls and attempts of deliveries that begin, over all functions but for those, as
  // Limits::per_second is for one: beyond it calls and starts are refused (Reason::rate), what is
  // queued waits. 0: unlimited.
  double per_second = 0;
};

inline constexpr int kWeightMax = 10'000;
inline constexpr std::size_t kTenantNameMax = 256;
inline constexpr std::size_t kTenantsMax = 1'000;

// kInvalidArgument or kAlreadyExists, naming the tenant.
Status check_tenants(const std::vector<Tenant>& tenants);

}  // namespace wisp::inline v0
