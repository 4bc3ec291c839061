#include <wisp/service/detail/tuning.hpp>

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

Status not_adjustable(std::string_view member, std::string_view name) {
  return failed_precondition(
      "settings: {} '{}': the Runtime was started without RuntimeOptions::adjustable", member,
      name);
}

Status check_rate(std::string_view member, std::string_view name,
                  const std::optional<double>& per_second) {
  if (!per_second || *per_second == 0) return Status();
  if (*per_second >= kRateMin && *per_second <= kRateMax) return Status();
  return invalid_argument("settings: {} '{}': per_second = {} must be 0 or {} to {}", member, name,
                          *per_second, kRateMin, kRateMax);
}

// With the settings' limits in place of those that it has.
Budget merged(Budget budget, const BudgetSettings& settings) {
  if (settings.soft) budget.soft = settings.soft;
  if (settings.hard) budget.hard = settings.hard;
  if (settings.soft_attempts) budget.soft_attempts = settings.soft_attempts;
  if (settings.hard_attempts) budget.hard_attempts = settings.hard_attempts;
  return budget;
}

std::string limits_of(const Budget& budget) {
  const auto word = [](const auto& value) {
    return value ? fmt::format("{}", *value) : std::string("none");
  };
  return fmt::format("soft {}, hard {}, soft_attempts {}, hard_attempts {}", word(budget.soft),
                     word(budget.hard), word(budget.soft_attempts), word(budget.hard_attempts));
}

template <class All>
Status check_once(const All& all, std::string_view member) {
  std::unordered_set<std::string_view> names;
  for (const auto& each : all) {
    if (!names.insert(each.name).second)
      return invalid_argument("settings: {} '{}' is there twice", member, each.name);
  }
  return Status();
}

}  // namespace

FunctionState* Tuning::function(const std::string& name) const {
  const Registered* const found = invoker_.registry().lookup(name);
  return found == nullptr ? nullptr : static_cast<FunctionState*>(found->attachment.get());
}

BudgetAccount* Tuning::budget(const std::string& name) const {
  const auto& all = invoker_.accounts_;
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&name](const auto& each) { return each->rules().name == name; });
  return found == all.end() ? nullptr : found->get();
}

Status Tuning::check(const FunctionSettings& each) {
  const FunctionState* const state = function(each.name);
  if (state == nullptr) return not_found("settings: function '{}' is not here", each.name);
  if (!invoker_.parts().adjustable) return not_adjustable("function", each.name);
  if (each.concurrency && *each.concurrency < 0) {
    return invalid_argument("settings: function '{}': concurrency = {} must be 0 or more",
                            each.name, *each.concurrency);
  }
  return check_rate("function", each.name, each.per_second);
}

Status Tuning::check(const TenantSettings& each) {
  const Sharing& sharing = invoker_.sharing();
  if (!sharing.set(each.name)) {
    return not_found("settings: tenant '{}' is not in RuntimeOptions::tenants", each.name);
  }
  if (each.weight && (*each.weight < 1 || *each.weight > kWeightMax)) {
    return invalid_argument("settings: tenant '{}': weight = {} must be 1 to {}", each.name,
                            *each.weight, kWeightMax);
  }
  if (each.per_second && sharing.rate(each.name) == nullptr)
    return not_adjustable("tenant", each.name);
  return check_rate("tenant", each.name, each.per_second);
}

Status Tuning::check(const BudgetSettings& each) {
  BudgetAccount* const account = budget(each.name);
  if (account == nullptr) {
    return not_found("settings: budget '{}' is not in RuntimeOptions::budgets", each.name);
  }
  const Budget made = merged(account->now(), each);
  if ((made.soft || made.hard) && invoker_.parts().ledger.tariff().empty()) {
    return invalid_argument(
        "settings: budget '{}': without RuntimeOptions::tariff nothing has a cost", each.name);
  }
  const Status bad = check_budget(made);
  return bad.ok() ? bad : invalid_argument("settings: {}", message(bad));
}

Workers Tuning::workers() const {
  const WorkerSettings& given = settings_.workers;
  Workers workers = *workers_;
  workers.min = given.min.value_or(workers.min);
  workers.max = given.max.value_or(workers.max);
  workers.keep_alive = given.keep_alive.value_or(workers.keep_alive);
  return workers;
}

Status Tuning::check_workers() const {
  const WorkerSettings& given = settings_.workers;
  if (!given.min && !given.max && !given.keep_alive) return Status();
  if (workers_ == nullptr)
    return failed_precondition("settings: workers: the Runtime has no pool of its own");
  const Workers made = workers();
  if (const Status bad = wisp::check(made); !bad.ok())
    return invalid_argument("settings: {}", message(bad));
  const std::shared_ptr<Shares>& shares = invoker_.shares_;
  if (shares != nullptr && made.max <= shares->reserved) {
    return invalid_argument(
        "settings: workers.max = {}: the functions reserve {}, and at least one has to be left",
        made.max, shares->reserved);
  }
  return Status();
}

Status Tuning::check() {
  WISP_TRY(check_once(settings_.functions, "function"));
  WISP_TRY(check_once(settings_.tenants, "tenant"));
  WISP_TRY(check_once(settings_.budgets, "budget"));
  for (const auto& each : settings_.functions) WISP_TRY(check(each));
  for (const auto& each : settings_.tenants) WISP_TRY(check(each));
  for (const auto& each : settings_.budgets) WISP_TRY(check(each));
  return check_workers();
}

template <class T>
void Tuning::changed(std::string_view function, std::string_view what, const T& from, const T& to) {
  if (from != to)
    changes_.push_back({std::string(function), fmt::format("{} {} -> {}", what, from, to)});
}

void Tuning::apply(const FunctionSettings& each) {
  FunctionState& state = *function(each.name);
  const int concurrency = state.concurrency();
  const bool paused = state.paused();
  const double per_second = state.rate->per_second();
  if (each.per_second) state.rate->set(*each.per_second, invoker_.parts().clock.now());
  state.adjust(each.concurrency, each.paused);
  functions_.push_back(&state);
  changed(each.name, "concurrency", concurrency, state.concurrency());
  changed(each.name, "paused", paused, state.paused());
  changed(each.name, "per_second", per_second, state.rate->per_second());
}

void Tuning::apply(const TenantSettings& each) {
  const Sharing& sharing = invoker_.sharing();
  const std::string what = fmt::format("tenant '{}': ", each.name);
  if (each.weight) {
    const int weight = sharing.queue()->weight(each.name);
    sharing.queue()->set_weight(each.name, *each.weight);
    changed("", what + "weight", weight, *each.weight);
  }
  if (each.per_second) {
    Rate& rate = *sharing.rate(each.name);
    const double per_second = rate.per_second();
    rate.set(*each.per_second, invoker_.parts().clock.now());
    tenants_.push_back(each.name);
    changed("", what + "per_second", per_second, *each.per_second);
  }
}

void Tuning::apply(const BudgetSettings& each) {
  BudgetAccount& account = *budget(each.name);
  const Budget before = account.now();
  const Budget made = merged(before, each);
  account.set_limits(made);
  accounts_.push_back(&account);
  changed("", fmt::format("budget '{}':", each.name), limits_of(before), limits_of(made));
}

void Tuning::apply_workers() {
  if (workers_ == nullptr) return;
  const Workers made = workers();
  changed("", "workers.min", workers_->min, made.min);
  changed("", "workers.max", workers_->max, made.max);
  changed("", "workers.keep_alive ns", workers_->keep_alive.count(), made.keep_alive.count());
  if (made.max == workers_->max) return;
  more_or_fewer_ = true;
  invoker_.tokens_max_.store(std::max(made.max, 1), std::memory_order_relaxed);
  if (const std::shared_ptr<Shares>& shares = invoker_.shares_; shares != nullptr) {
    const MutexLock lock(shares->mutex);
    shares->max = made.max - shares->reserved;
  }
}

void Tuning::apply() {
  for (const auto& each : settings_.functions) apply(each);
  for (const auto& each : settings_.tenants) apply(each);
  for (const auto& each : settings_.budgets) apply(each);
  apply_workers();
}

bool Tuning::concerns(Route& route) const {
  const auto has = [](const auto& all, const auto& what) {
    return std::find(all.begin(), all.end(), what) != all.end();
  };
  FunctionState& function = route.function();
  if (more_or_fewer_ || has(functions_, &function)) return true;
  if (route.flow() != nullptr && has(tenants_, route.flow()->tenant)) return true;
  return std::any_of(function.accounts.begin(), function.accounts.end(),
                     [&](BudgetAccount* each) { return has(accounts_, each); });
}

void Tuning::follow() const {
  for (FunctionState* const each : functions_) each->let_in();
  for (const std::shared_ptr<Route>& each : invoker_.routes()) {
    if (!concerns(*each)) continue;
    if (more_or_fewer_ && each->function().shares != nullptr) each->function().let_in();
    each->ask_again();
  }
  if (more_or_fewer_) invoker_.calls().ask_again();
}

void Tuning::note() const {
  const Errand errand(invoker_, nullptr);  // a sink may stop the runtime
  for (const Change& each : changes_) {
    invoker_.log(LogLevel::info, each.function, each.what);
    if (!invoker_.observers_.any()) continue;
    invoker_.observers_.note(
        {.step = Step::changed, .function = each.function, .topic = each.what});
  }
}

Settings Tuning::now(Invoker& invoker, const Workers* workers) {
  Settings settings;
  for (const std::shared_ptr<Route>& each : invoker.routes()) {
    const FunctionState& state = each->function();
    if (state.posts != each || !invoker.parts().adjustable) continue;
    const bool off = state.definition->options.limits.reserved == 0;
    settings.functions.push_back(
        {.name = state.definition->name,
         .concurrency = off ? std::nullopt : std::optional(state.concurrency()),
         .per_second = state.rate->per_second(),
         .paused = state.paused()});
  }
  const Sharing& sharing = invoker.sharing();
  for (const std::string& name : sharing.names()) {
    const Rate* const rate = sharing.rate(name);
    settings.tenants.push_back(
        {.name = name, .weight = sharing.queue()->weight(name), .per_second = {}});
    if (rate != nullptr) settings.tenants.back().per_second = rate->per_second();
  }
  for (const auto& each : invoker.accounts_) {
    const Budget now = each->now();
    settings.budgets.push_back({.name = now.name,
                                .soft = now.soft,
                                .hard = now.hard,
                                .soft_attempts = now.soft_attempts,
                                .hard_attempts = now.hard_attempts});
  }
  if (workers != nullptr) {
    settings.workers = {
        .min = workers->min, .max = workers->max, .keep_alive = workers->keep_alive};
  }
  return settings;
}

Status Tuner::configure(const Settings& settings) {
  WISP_TRY(invoker_.admit());
  MutexLock lock(mutex_);
  const Workers before = workers_;
  Tuning tuning(invoker_, settings, pool_ == nullptr ? nullptr : &before);
  WISP_TRY(tuning.check());
  tuning.apply();
  if (pool_ != nullptr) {
    workers_ = tuning.workers();
    pool_->resize(workers_);
  }
  lock.unlock();
  tuning.follow();
  tuning.note();
  return Status();
}

Settings Tuner::settings() {
  const MutexLock lock(mutex_);
  return Tuning::now(invoker_, pool_ == nullptr ? nullptr : &workers_);
}

}  // namespace wisp::inline v0::detail
