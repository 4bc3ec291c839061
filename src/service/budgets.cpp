// Who may spend, and who pays.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

std::string in_words(const std::optional<Money>& money,
                     const std::optional<std::int64_t>& attempts) {
  return fmt::format("{}{}{}", money ? fmt::format("{} USD", *money) : "",
                     money && attempts ? " or " : "",
                     attempts ? fmt::format("{} attempts", *attempts) : "");
}

Status out_of_money(const Broke& broke, Time now) {
  const Budget rules = broke.account->now();
  const auto left = std::chrono::ceil<std::chrono::seconds>(broke.until - now).count();
  return refused(
      StatusCode::kResourceExhausted, Reason::budget,
      fmt::format("budget '{}' has spent its {}: there is some again in {} s", rules.name,
                  in_words(rules.hard, rules.hard_attempts), std::max<std::int64_t>(left, 0)));
}

}  // namespace

Status Invoker::close_catalogue() {
  catalogue_open_ = false;
  for (const auto& each : accounts_) {
    const std::string& function = each->rules().function;
    if (function.empty() || parts_.registry.lookup(function) != nullptr) continue;
    return not_found("budget '{}': function '{}' is not in the catalogue", each->rules().name,
                     function);
  }
  return Status();
}

std::vector<BudgetStats> Invoker::budgets() const {
  std::vector<BudgetStats> all;
  for (const auto& each : accounts_) all.push_back(each->stats(parts_.clock.now()));
  return all;
}

std::optional<Broke> Invoker::broke(const FunctionState& function, const Lineage& lineage) const {
  std::optional<Broke> broke;
  for (BudgetAccount* const each : function.accounts) {
    if (!each->covers(lineage.tenant, lineage.tag)) continue;
    const std::optional<Time> until = each->spent_until(parts_.clock.now());
    if (until && (!broke || *until > broke->until)) broke = Broke{each, *until};
  }
  return broke;
}

Result<Pace::Turns> Invoker::try_enter(FunctionState& function, const Lineage& lineage) {
  const std::optional<Broke> broke = this->broke(function, lineage);
  if (broke) return refuse_for(*broke);
  return sharing_.enter(function, lineage.tenant, parts_.clock);
}

Status Invoker::try_enter(FunctionState& function, CallNode& node) {
  WISP_TRY(const Pace::Turns turns, try_enter(function, node.lineage()));
  if (!turns.empty()) node.turns_ = std::make_unique<Pace::Turns>(turns);
  return Status();
}

bool Invoker::turn_away(CallNode& node) {
  const std::optional<Broke> broke = this->broke(*node.function_, node.lineage());
  if (!broke) return false;
  if (node.attempts_ > 0) complete(node, node.charged_.outcome);
  else refuse(node, Outcome::rejected, refuse_for(*broke));
  return true;
}

Status Invoker::refuse_for(const Broke& broke) const {
  broke.account->count_refused();
  return out_of_money(broke, parts_.clock.now());
}

Money Invoker::cost_of(const Definition& definition, const Span::Taken& taken) const {
  const Usage usage = Usage::of({.wall = Duration(taken.wall_ns), .cpu = Duration(taken.cpu_ns)});
  return parts_.ledger.tariff().marginal(usage, definition.options.memory_mb);
}

void Invoker::spend(const FunctionState& function, const RunVersion& version,
                    const Lineage& lineage, const Span::Taken& taken) {
  const Definition& definition = *version.definition;
  const Money cost = cost_of(definition, taken);
  for (BudgetAccount* const each : function.accounts) {
    if (!each->covers(lineage.tenant, lineage.tag)) continue;
    if (!each->spend(parts_.clock.now(), cost)) continue;
    const Errand errand(*this, nullptr);  // a sink may stop the runtime
    log(LogLevel::warning, definition.name,
        fmt::format("budget '{}' has reached its soft limit of {}", each->rules().name,
                    in_words(each->now().soft, each->now().soft_attempts)));
  }
}

bool Route::affords(Shipment& delivery) const {
  if (function_->accounts.empty()) return true;
  const std::uint64_t asked = asked_.load();
  const Time now = invoker_.parts().clock.now();
  // It expires whatever is spent.
  if (now - delivery.accepted > kAgeMax) return true;
  const auto broke = invoker_.broke(*function_, delivery.event->lineage);
  if (!broke) return true;
  broke->account->count_put_off();
  // Should it come to its end so.
  if (delivery.error.ok()) delivery.error = out_of_money(*broke, now);
  give_turn_back(delivery);
  delivery.put_off = true;
  delivery.asked = asked;
  delivery.due = std::min(broke->until, delivery.accepted + kAgeMax + Duration(1));
  return false;
}

}  // namespace wisp::inline v0::detail
