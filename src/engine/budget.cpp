#include <wisp/engine/budget.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

namespace wisp::inline v0 {
Status check_budget(const Budget& budget) {
  if (budget.name.empty()) return invalid_argument("RuntimeOptions::budgets: a budget has no name");
  const auto wrong = [&budget](std::string_view what) {
    return invalid_argument("budget '{}': {}", budget.name, what);
  };
  if (budget.window < kBudgetWindowMin || budget.window > kBudgetWindowMax)
    return wrong("window must be 1 s to 366 days");
  if (!budget.soft && !budget.hard) return wrong("it needs a soft or a hard limit");
  for (const std::optional<Money>& limit : {budget.soft, budget.hard}) {
    if (limit && *limit <= Money()) return wrong("a limit must be above 0");
  }
  if (budget.soft && budget.hard && *budget.soft > *budget.hard)
    return wrong("the soft limit is above the hard one");
  return Status();
}

namespace detail {
namespace {

constexpr Uint128 kMost = std::numeric_limits<std::uint64_t>::max();

// In picodollars; what is below none is none.
Uint128 amount(Money money) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(money.picodollars(), 0));
}

}  // namespace

BudgetAccount::BudgetAccount(Budget rules)
    : rules_(std::move(rules)), part_((rules_.window + Duration(kParts - 1)) / kParts) {}

std::int64_t BudgetAccount::part_of(Time time) const {
  // Rounded down on either side of the origin.
  const std::int64_t ns = time.since_origin().count();
  const std::int64_t part = part_.count();
  return ns / part - static_cast<std::int64_t>(ns % part < 0);
}

Uint128& BudgetAccount::at(std::int64_t part) {
  const auto size = static_cast<std::int64_t>(parts_.size());
  return parts_[static_cast<std::size_t>((part % size + size) % size)];
}

void BudgetAccount::roll(Time now) {
  const std::int64_t current = part_of(now);
  // Two threads' looks at the clock may come in the other order.
  if (current <= last_) return;
  const auto size = static_cast<std::int64_t>(parts_.size());
  for (std::int64_t part = std::max(last_ + 1, current - size + 1); part <= current; ++part)
    sum_ -= std::exchange(at(part), 0);
  last_ = current;
  if (rules_.soft && sum_ < amount(*rules_.soft)) warned_ = false;
}

std::optional<Time> BudgetAccount::spent_until(Time now) {
  if (!rules_.hard) return std::nullopt;
  const BriefLock lock(mutex_);
  roll(now);
  const Uint128 hard = amount(*rules_.hard);
  if (sum_ < hard) return std::nullopt;
  std::int64_t part = last_ - kParts;
  for (Uint128 left = sum_; left >= hard; ++part) left -= at(part);
  // The last that has to go is part - 1, and does when the part comes that takes its place.
  return Time((part + kParts) * part_);
}

bool BudgetAccount::spend(Time now, Money cost) {
  const BriefLock lock(mutex_);
  roll(now);
  at(last_) += amount(cost);
  sum_ += amount(cost);
  if (warned_ || !rules_.soft || sum_ < amount(*rules_.soft)) return false;
  ++warnings_;
  return warned_ = true;
}

void BudgetAccount::count_refused() {
  const BriefLock lock(mutex_);
  ++refused_;
}

void BudgetAccount::count_put_off() {
  const BriefLock lock(mutex_);
  ++put_off_;
}

BudgetStats BudgetAccount::stats(Time now) {
  const BriefLock lock(mutex_);
  roll(now);
  return {.name = rules_.name,
          .spent = Money::picodollars(1) * static_cast<std::uint64_t>(std::min(sum_, kMost)),
          .soft = rules_.soft,
          .hard = rules_.hard,
          .warnings = warnings_,
          .refused = refused_,
          .put_off = put_off_};
}

}  // namespace detail
}  // namespace wisp::inline v0
