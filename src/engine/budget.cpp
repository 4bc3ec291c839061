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
  if (!budget.soft && !budget.hard && !budget.soft_attempts && !budget.hard_attempts)
    return wrong("one of soft, hard, soft_attempts and hard_attempts must be set");
  if (budget.soft && *budget.soft <= Money()) return wrong("soft must be above 0");
  if (budget.hard && *budget.hard <= Money()) return wrong("hard must be above 0");
  if (budget.soft_attempts && *budget.soft_attempts <= 0)
    return wrong("soft_attempts must be above 0");
  if (budget.hard_attempts && *budget.hard_attempts <= 0)
    return wrong("hard_attempts must be above 0");
  if (budget.soft && budget.hard && *budget.soft > *budget.hard)
    return wrong("soft must not be above hard");
  if (budget.soft_attempts && budget.hard_attempts && *budget.soft_attempts > *budget.hard_attempts)
    return wrong("soft_attempts must not be above hard_attempts");
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
    : rules_(std::move(rules)),
      part_((rules_.window + Duration(kParts - 1)) / kParts),
      limits_(rules_) {}

Budget BudgetAccount::now() {
  const BriefLock lock(mutex_);
  return limits_;
}

void BudgetAccount::set_limits(const Budget& rules) {
  const BriefLock lock(mutex_);
  limits_ = rules;
  if (!reaches(sum_, limits_.soft, limits_.soft_attempts)) warned_ = false;
}

std::int64_t BudgetAccount::part_of(Time time) const {
  // Rounded down on either side of the origin.
  const std::int64_t ns = time.since_origin().count();
  const std::int64_t part = part_.count();
  return ns / part - static_cast<std::int64_t>(ns % part < 0);
}

BudgetAccount::Sum& BudgetAccount::at(std::int64_t part) {
  const auto size = static_cast<std::int64_t>(parts_.size());
  return parts_[static_cast<std::size_t>((part % size + size) % size)];
}

void BudgetAccount::roll(Time now) {
  const std::int64_t current = part_of(now);
  // Two threads' looks at the clock may come in the other order.
  if (current <= last_) return;
  const auto size = static_cast<std::int64_t>(parts_.size());
  for (std::int64_t part = std::max(last_ + 1, current - size + 1); part <= current; ++part)
    take(sum_, std::exchange(at(part), {}));
  last_ = current;
  if (!reaches(sum_, limits_.soft, limits_.soft_attempts)) warned_ = false;
}

bool BudgetAccount::reaches(const Sum& sum, const std::optional<Money>& money,
                            const std::optional<std::int64_t>& attempts) {
  return (money && sum.money >= amount(*money)) ||
         (attempts && sum.attempts >= static_cast<std::uint64_t>(*attempts));
}

std::optional<Time> BudgetAccount::spent_until(Time now) {
  const BriefLock lock(mutex_);
  if (!limits_.hard && !limits_.hard_attempts) return std::nullopt;
  roll(now);
  if (!reaches(sum_, limits_.hard, limits_.hard_attempts)) return std::nullopt;
  std::int64_t part = last_ - kParts;
  for (Sum left = sum_; reaches(left, limits_.hard, limits_.hard_attempts); ++part)
    take(left, at(part));
  // The last that has to go is part - 1, and does when the part comes that takes its place.
  const std::int64_t latest = Time::never().since_origin() / part_;
  return part + kParts > latest ? Time::never() : Time((part + kParts) * part_);
}

bool BudgetAccount::spend(Time now, Money cost) {
  const BriefLock lock(mutex_);
  roll(now);
  for (Sum* const sum : {&at(last_), &sum_}) {
    sum->money += amount(cost);
    ++sum->attempts;
  }
  if (warned_ || !reaches(sum_, limits_.soft, limits_.soft_attempts)) return false;
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
          .spent = Money::picodollars(1) * static_cast<std::uint64_t>(std::min(sum_.money, kMost)),
          .soft = limits_.soft,
          .hard = limits_.hard,
          .attempts = sum_.attempts,
          .soft_attempts = limits_.soft_attempts,
          .hard_attempts = limits_.hard_attempts,
          .warnings = warnings_,
          .refused = refused_,
          .put_off = put_off_};
}

}  // namespace detail
}  // namespace wisp::inline v0
