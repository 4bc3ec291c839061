// Lanes and tenants: whose turn it is, and a tenant's part of a route.
#include <algorithm>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

Status Sharing::open(Clock& clock, const std::vector<Tenant>& tenants, const Rules& rules) {
  WISP_TRY(check_tenants(tenants));
  if (rules.lanes || !tenants.empty())
    queue_ = std::make_shared<FairQueue>(clock, tenants, rules.queue_max);
  for (const Tenant& each : tenants) {
    names_.push_back(each.name);
    if (rules.adjustable || each.per_second > 0)
      rates_.emplace(each.name, std::make_unique<Rate>(each.per_second));
  }
  return Status();
}

Rate* Sharing::rate(std::string_view tenant) const {
  const auto found = rates_.find(tenant);
  return found == rates_.end() ? nullptr : found->second.get();
}

Status Sharing::enter(FunctionState& function, std::string_view tenant, const Clock& clock) const {
  Rate* const rate = this->rate(tenant);
  if (rate == nullptr) return function.enter(clock);
  const std::optional<Rate::Turn> turn = rate->try_take(clock.now());
  if (!turn) {
    return refused(StatusCode::kResourceExhausted, Reason::rate,
                   fmt::format("tenant '{}' is at its rate limit ({} per second)", tenant,
                               rate->per_second()));
  }
  Status entered = function.enter(clock);
  if (!entered.ok()) rate->give_back(*turn);
  return entered;
}

Status Sharing::submit(Invoker& invoker, Task& task, const std::shared_ptr<Flow>& flow) const {
  if (flow == nullptr) return invoker.parts().executor.submit(task);
  WISP_TRY(queue_->room(*flow));
  const std::uint64_t number = queue_->push(task, flow);
  Task turn = queue_->turn();
  Status submitted = invoker.parts().executor.submit(turn);
  if (submitted.ok() || queue_->take_back(number, *flow, task)) return submitted;
  // It has begun already, in the turn of another.
  invoker.submit_surely(std::move(turn));
  return Status();
}

void Sharing::submit_surely(Invoker& invoker, Task task, const std::shared_ptr<Flow>& flow) const {
  if (flow == nullptr) return invoker.submit_surely(std::move(task));
  queue_->push(task, flow);
  invoker.submit_surely(queue_->turn());
}

struct Route::Parts {
  Mutex mutex;
  ByTenant<std::shared_ptr<Route>> routes ABSL_GUARDED_BY(mutex);
  std::size_t sweep_at ABSL_GUARDED_BY(mutex) = 64;
};

Route::Route(Route& whole, std::string_view tenant)
    : takes_records(false),
      invoker_(whole.invoker_),
      keep_(whole.keep_),
      rules_(whole.rules_),
      own_(whole.own_),
      function_(whole.function_),
      pace_(invoker_.sharing().rate(tenant), function_->rate.get()),
      flow_(invoker_.sharing().flow(function_->definition->options.lane, tenant)),
      part_(true),
      whole_(whole.weak_from_this()),
      log_(invoker_.post_blocks()),
      queue_(false) {}

std::shared_ptr<Route::Parts> Route::make_parts() const {
  const bool splits = invoker_.sharing().by_tenant() && !rules_.serial && rules_.batch == 0;
  return splits ? std::make_shared<Parts>() : nullptr;
}

Route& Route::of(std::string_view tenant, std::shared_ptr<Route>& keep) {
  if (parts_ == nullptr || tenant.empty()) return *this;
  {
    const MutexLock lock(parts_->mutex);
    // It refuses; and cancel() has seen all that were made before.
    if (closed()) return *this;
    auto& routes = parts_->routes;
    if (const auto found = routes.find(tenant); found != routes.end()) {
      keep = found->second;
      return *keep;
    }
    if (routes.size() >= parts_->sweep_at) {
      // Amortised: those go that nobody is at, and that have nothing.
      std::erase_if(routes, [](const auto& each) {
        return each.second.use_count() == 1 && each.second->idle();
      });
      parts_->sweep_at = std::max<std::size_t>(64, 2 * routes.size());
    }
    keep = std::make_shared<Route>(*this, tenant);
    routes.emplace(tenant, keep);
  }
  invoker_.add_route(keep);
  return *keep;
}

std::shared_ptr<Route> Route::whole() {
  std::shared_ptr<Route> whole = whole_.lock();
  return whole != nullptr ? whole : shared_from_this();
}

std::vector<std::shared_ptr<Route>> Route::parts() {
  std::vector<std::shared_ptr<Route>> all;
  if (parts_ == nullptr) return all;
  const MutexLock lock(parts_->mutex);
  for (const auto& [tenant, part] : parts_->routes) all.push_back(part);
  return all;
}

int Route::queued_in_all() {
  int all = queued();
  for (const std::shared_ptr<Route>& part : parts()) all += part->queued();
  return all;
}

}  // namespace wisp::inline v0::detail
