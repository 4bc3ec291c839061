// Lanes and tenants: whose turn it is, and a tenant's part of a route.
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

Status Sharing::open(Clock& clock, const std::vector<Tenant>& tenants, bool lanes, bool adjustable,
                     FairQueue::Rules rules) {
  WISP_TRY(check_tenants(tenants));
  if (lanes || !tenants.empty())
    queue_ = std::make_shared<FairQueue>(clock, tenants, std::move(rules));
  for (const Tenant& each : tenants) {
    names_.push_back(each.name);
    set_.insert(each.name);
    if (adjustable || each.per_second > 0)
      rates_.emplace(each.name, std::make_unique<Rate>(each.per_second));
  }
  return Status();
}

Rate* Sharing::rate(std::string_view tenant) const {
  const auto found = rates_.find(tenant);
  return found == rates_.end() ? nullptr : found->second.get();
}

Result<Pace::Turns> Sharing::enter(FunctionState& function, std::string_view tenant,
                                   const Clock& clock) const {
  Pace::Turns turns;
  Rate* const rate = this->rate(tenant);
  if (rate != nullptr && !(turns.each[0] = rate->try_take(clock.now()))) {
    return refused(StatusCode::kResourceExhausted, Reason::rate,
                   fmt::format("tenant '{}' is at its rate limit ({} per second)", tenant,
                               rate->per_second()));
  }
  const Result<std::optional<Rate::Turn>> entered = function.enter(clock);
  if (!entered.ok()) {
    if (turns.each[0]) rate->untake(*turns.each[0]);
    return entered.status();
  }
  turns.each[1] = *entered;
  return turns;
}

void Sharing::give_back(const FunctionState& function, std::string_view tenant, Pace::Turns& turns,
                        Time now) const {
  // A token that has come again since is not there twice.
  for (auto& turn : turns.each)
    if (turn && turn->full <= now) turn = std::nullopt;
  Pace(rate(tenant), function.rate.get()).give_back(turns, now);
}

Result<std::uint64_t> Sharing::submit(Invoker& invoker, Task& task,
                                      const std::shared_ptr<Flow>& flow) const {
  if (flow == nullptr) {
    WISP_TRY(invoker.parts().executor.submit(task));
    return 0;
  }
  WISP_TRY(queue_->room(*flow));
  FairQueue::Pushed pushed = queue_->push(task, flow, true);
  if (!pushed.turn) return pushed.number;
  Status submitted = invoker.parts().executor.submit(pushed.turn);
  if (submitted.ok()) return pushed.number;
  if (!queue_->take_back(pushed.number, *flow, task, pushed.turn)) submitted = Status();
  if (pushed.turn) invoker.submit_surely(std::move(pushed.turn));
  WISP_TRY(submitted);
  return pushed.number;
}

void Sharing::submit_surely(Invoker& invoker, Task task, const std::shared_ptr<Flow>& flow,
                            double prepaid) const {
  if (flow == nullptr) return invoker.submit_surely(std::move(task));
  FairQueue::Pushed pushed = queue_->push(task, flow, false, prepaid);
  if (pushed.turn) invoker.submit_surely(std::move(pushed.turn));
}

// One for each tenant that is set and was ever here, at most.
struct Route::Parts {
  Mutex mutex;
  std::map<std::string, std::shared_ptr<Route>, std::less<>> routes ABSL_GUARDED_BY(mutex);
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
  if (parts_ == nullptr || !invoker_.sharing().set(tenant)) return *this;
  const auto find = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(parts_->mutex) {
    const auto found = parts_->routes.find(tenant);
    if (found != parts_->routes.end()) keep = found->second;
    return keep != nullptr;
  };
  {
    const MutexLock lock(parts_->mutex);
    if (closed()) return *this;
    if (find()) return *keep;
  }
  // Listed before anybody can use it.
  const auto made = std::make_shared<Route>(*this, tenant);
  invoker_.add_route(made);
  const MutexLock lock(parts_->mutex);
  // It refuses; and cancel() has seen all that were made before.
  if (closed()) return *this;
  if (find()) return *keep;
  keep = made;
  parts_->routes.emplace(tenant, made);
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
