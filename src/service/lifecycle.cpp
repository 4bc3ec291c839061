// An invoker's beginning and end, and the functions and routes that come to it.
#include <algorithm>
#include <climits>
#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <wisp/base/readers.hpp>
#include <wisp/service/detail/instances.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

namespace {

// Turns of the fair queue in the executor, at most so many or two for each worker.
constexpr int kTurnsLeast = 128;

// Null: nobody reserves any.
Result<std::shared_ptr<Shares>> reserve(const Catalogue& functions, int workers) {
  int reserved = 0;
  for (const auto& each : functions.definitions) {
    const int own = each->options.limits.reserved.value_or(0);
    if (!each->reference()) reserved += std::clamp(own, 0, INT_MAX - reserved);
  }
  if (reserved == 0) return std::shared_ptr<Shares>();
  if (reserved >= workers) {
    return invalid_argument(
        "limits.reserved: the functions reserve {} of {} workers, and at least one has to be left",
        reserved, workers);
  }
  return std::make_shared<Shares>(workers, reserved);
}

using Accounts = std::vector<std::unique_ptr<BudgetAccount>>;

Result<Accounts> open_accounts(const std::vector<Budget>& budgets, const Tariff& tariff) {
  Accounts accounts;
  if (budgets.size() > kBudgetsMax) {
    return invalid_argument("RuntimeOptions::budgets: {} are more than {}", budgets.size(),
                            kBudgetsMax);
  }
  for (const Budget& each : budgets) {
    WISP_TRY(check_budget(each));
    if (tariff.empty() && (each.soft || each.hard)) {
      return invalid_argument("budget '{}': without RuntimeOptions::tariff nothing has a cost",
                              each.name);
    }
    const auto same = [&each](const auto& other) { return other->rules().name == each.name; };
    if (std::any_of(accounts.begin(), accounts.end(), same))
      return already_exists("RuntimeOptions::budgets: two are called '{}'", each.name);
    accounts.push_back(std::make_unique<BudgetAccount>(each));
  }
  return accounts;
}

}  // namespace

Status Invoker::open_catalogue(const Catalogue& functions, const std::vector<Budget>& budgets,
                               const std::vector<Tenant>& tenants) {
  WISP_TRY(shares_, reserve(functions, tokens_max()));
  WISP_TRY(accounts_, open_accounts(budgets, parts_.ledger.tariff()));
  const auto& all = functions.definitions;
  const bool lanes = std::any_of(
      all.begin(), all.end(), [](const auto& each) { return each->options.lane != Lane::normal; });
  const auto submit = [weak = weak_from_this()](Task turn) {
    if (const std::shared_ptr<Invoker> invoker = weak.lock())
      invoker->submit_surely(std::move(turn));
  };
  // A pump runs what was queued when it began: there each task has a turn from the start.
  const int turns = parts_.manual ? INT_MAX : std::max(kTurnsLeast, 2 * parts_.tokens_max);
  WISP_TRY(sharing_.open(
      parts_.clock, tenants, lanes, parts_.adjustable,
      {.calls_max = parts_.queue.count, .turns_max = turns, .submit_surely = submit}));
  calls_in_rows_ = parts_.pooled && sharing_.queue() == nullptr;
  return Status();
}

void Invoker::refuse_all(Status why) {
  born_stopped_ = refused(StatusCode::kUnavailable, Reason::stopped,
                          fmt::format("the runtime did not start: {}", message(why)));
  phase_.store(Phase::stopped);
}

Status Invoker::make_ready(RunVersion& version, std::shared_ptr<const Definition> definition) {
  InstancePool::adopt(*this, definition, version.instances);
  if (version.instances != nullptr && version.version > 1) WISP_TRY(version.instances->provision());
  const FunctionOptions& options = definition->options;
  version.line = parts_.ledger.line({.function = definition->name,
                                     .version = version.version,
                                     .memory_mb = options.memory_mb,
                                     .meter = options.meter});
  version.bare = !definition->takes_context && options.timeout == Duration();
  version.sampled = options.meter == Meter::sampled;
  // Last: around all that a run is.
  if (parts_.simulator != nullptr) definition = parts_.simulator->around(std::move(definition));
  version.definition = std::move(definition);
  return Status();
}

std::unique_ptr<FunctionState> Invoker::anonymous(std::shared_ptr<const Definition> definition) {
  auto state = std::make_unique<FunctionState>(*this);
  (void)make_ready(*state, std::move(definition));  // its instances are provisioned later
  const Limits& limits = state->definition->options.limits;
  for (const auto& each : accounts_) {
    const std::string& function = each->rules().function;
    if (function.empty() || function == state->definition->name)
      state->accounts.push_back(each.get());
  }
  state->limit_to(limits, shares_);
  state->narrow = state->narrow || sharing_.paced();
  if (limits.reserved && !catalogue_open_) state->late_option = "limits.reserved";
  if (state->definition->options.lane != Lane::normal && sharing_.queue() == nullptr)
    state->late_option = "lane";
  state->bare = state->bare && !state->limited();
  state->shortest.store(state->bare, std::memory_order_relaxed);
  return state;
}

std::unique_ptr<Attachment> Invoker::attach(const Registered& entry) {
  std::unique_ptr<FunctionState> state = anonymous(entry.definition);
  Route::Rules rules{.name = fmt::format("function '{}'", entry.definition->name),
                     .queue = parts_.queue};
  state->posts = std::make_shared<Route>(*this, std::move(rules), state.get(), nullptr);
  return state;
}

void Invoker::add_route(const std::shared_ptr<Route>& route) {
  list_route(route);
  // Perhaps too late for abort(): nothing may begin.
  if (phase_.load() == Phase::stopped) route->cancel();
}

void Invoker::list_route(const std::shared_ptr<Route>& route) {
  const MutexLock lock(mutex_);
  // Amortised: the list is swept when it would grow.
  if (routes_.size() == routes_.capacity()) {
    std::erase_if(routes_, [](const std::weak_ptr<Route>& each) { return each.expired(); });
    routes_.reserve(std::max<std::size_t>(16, 2 * routes_.size()));
  }
  routes_.push_back(route);
}

void Invoker::drain(Time until, const Pump& pump) {
  Parker parker;
  {
    const MutexLock lock(mutex_);
    drainer_ = &parker;
    if (!stopping()) phase_.store(Phase::draining);  // observers come and go under this lock
  }
  heavy_barrier();  // pairs with the light ones of publishers
  for (const std::shared_ptr<Route>& each : routes()) each->see_accepted();
  calls_.see_accepted();
  while (busy() && parts_.clock.now() < until) {
    const std::optional<Time> next = pump ? pump() : std::optional<Time>(until);
    if (!next) continue;
    // A clock that only the pump's own thread could move would let it wait for ever.
    if (pump && !parts_.clock.real()) break;
    parts_.clock.park(parker, std::min(until, *next));
  }
  const MutexLock lock(mutex_);
  drainer_ = nullptr;
}

void Invoker::abort() {
  std::vector<std::stop_source> tokens;
  {
    const MutexLock lock(mutex_);
    phase_.store(Phase::stopped);
    for (const auto& [owner, source] : tokens_) tokens.push_back(source);
  }
  calls_.close();  // what ends now makes no room for the next
  if (sharing_.queue() != nullptr) sharing_.queue()->close();
  for (std::stop_source& each : tokens) each.request_stop();
  const std::vector<std::shared_ptr<Route>> all = routes();
  for (const std::shared_ptr<Route>& each : all) each->cancel();
  calls_.drop_queued();
  Keyed(*this).close();
  heavy_barrier();  // a publisher is seen in settle(), or sees that its route has closed
  for (const std::shared_ptr<Route>& each : all) each->function().close(*this);
}

std::int64_t Invoker::outstanding() {
  std::int64_t all = outstanding_.load(std::memory_order_relaxed) + calls_.uncounted();
  for (const std::shared_ptr<Route>& each : routes()) all += each->uncounted();
  return all;
}

std::vector<std::shared_ptr<Route>> Invoker::routes() {
  std::vector<std::shared_ptr<Route>> alive;
  const MutexLock lock(mutex_);
  for (const std::weak_ptr<Route>& each : routes_) {
    if (std::shared_ptr<Route> route = each.lock()) alive.push_back(std::move(route));
  }
  return alive;
}

Publishers::Marks Invoker::settle(Time until) {
  Parker parker;
  {
    const MutexLock lock(mutex_);
    drainer_ = &parker;
  }
  Publishers::Marks stuck = publishers_.inside();
  while (busy() && parts_.clock.now() < until) parts_.clock.park(parker, until);
  // A mark that came later is of a publisher that finds its route closed and goes.
  const Publishers::Marks left = publishers_.inside();
  std::erase_if(stuck, [&left](const auto& mark) {
    return std::find(left.begin(), left.end(), mark) == left.end();
  });
  const MutexLock lock(mutex_);
  drainer_ = nullptr;
  return stuck;
}

std::vector<Abandoned> Invoker::give_up_running(const Publishers::Marks& stuck) {
  std::vector<std::shared_ptr<CallNode>> nodes;
  std::vector<Abandoned> running;
  parts_.ledger.for_each_running([&nodes, &running](void* mark, int) {
    for (auto* each = static_cast<Running*>(mark); each != nullptr;
         each = static_cast<Running*>(each->before)) {
      EventId event = each->event;
      if (each->post) {
        event.sequence = each->sequence.load(std::memory_order_relaxed);
        if (event.sequence == 0) continue;
      }
      // It lets its share in the node go under the lock that is held here, or did before.
      CallNode* const node = each->node.load(std::memory_order_relaxed);
      if (each->calls && node == nullptr) continue;
      running.push_back({std::string(each->function), event, "running"});
      if (node != nullptr) nodes.push_back(node->shared_from_this());
    }
  });
  for (const std::shared_ptr<CallNode>& each : nodes) each->finish(true);
  for (const std::shared_ptr<Route>& each : routes()) {
    for (const auto& [route, sequence] : stuck) {
      if (route == each.get())
        running.push_back({each->function().definition->name, {origin_, sequence}, "running"});
    }
    FunctionState& function = each->function();
    const bool first = function.posts == nullptr ? !each->part() : function.posts == each;
    const std::string_view busy = first ? function.busy() : std::string_view();
    if (!busy.empty()) running.push_back({function.definition->name, {}, busy});
    each->abandon();
  }
  std::vector<Abandoned> queued = take_abandoned();
  std::move(queued.begin(), queued.end(), std::back_inserter(running));
  return running;
}

}  // namespace wisp::inline v0::detail
