#include <wisp/model/tenant.hpp>

#include <string_view>
#include <unordered_set>

#include <wisp/model/policy.hpp>

namespace wisp::inline v0 {
namespace {

Status check(const Tenant& tenant) {
  if (tenant.name.empty() || tenant.name.size() > kTenantNameMax) {
    return invalid_argument("RuntimeOptions::tenants: a name of {} bytes: 1 to {}",
                            tenant.name.size(), kTenantNameMax);
  }
  if (tenant.weight < 1 || tenant.weight > kWeightMax) {
    return invalid_argument("tenant '{}': weight = {} must be 1 to {}", tenant.name, tenant.weight,
                            kWeightMax);
  }
  if (tenant.per_second == 0) return Status();
  if (!(tenant.per_second >= kRateMin && tenant.per_second <= kRateMax)) {
    return invalid_argument("tenant '{}': per_second = {} must be 0 or {} to {}", tenant.name,
                            tenant.per_second, kRateMin, kRateMax);
  }
  return Status();
}

}  // namespace

Status check_tenants(const std::vector<Tenant>& tenants) {
  if (tenants.size() > kTenantsMax) {
    return invalid_argument("RuntimeOptions::tenants: {} are more than {}", tenants.size(),
                            kTenantsMax);
  }
  std::unordered_set<std::string_view> names;
  for (const Tenant& each : tenants) {
    WISP_TRY(check(each));
    if (!names.insert(each.name).second)
      return already_exists("RuntimeOptions::tenants: two are called '{}'", each.name);
  }
  return Status();
}

}  // namespace wisp::inline v0
