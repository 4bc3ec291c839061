// What may be spent, in money or in attempts: on a function, for a tenant, under a tag, within a
// window of time.
//
//   wisp::Runtime runtime{wisp::linked_functions(),
//                         {.tariff = wisp::tariffs::aws_lambda_x86(),
//                          .budgets = {{.name = "acme",
//                                       .tenant = "acme",
//                                       .window = 24h,
//                                       .soft = wisp::Money::dollars(8),
//                                       .hard = wisp::Money::dollars(10)}}}};
//
// Each attempt of a call that a budget covers adds itself when it ends (that of a batch as one, and
// that of a shadow where the budget is of no tenant or tag), and its cost: the marginal
// one of its receipt, at the tariff's first tier, without a free allowance, rounded to a
// picodollar. Beyond the soft limit the log has a line, once until the spending has fallen below
// it. Beyond the hard one calls and starts are refused (kResourceExhausted, Reason::budget), calls
// are not tried again, and what is queued waits until the window has moved on, spends no attempt
// and expires by its age as ever; it keeps its place in a bounded queue, which
// Overflow::drop_oldest does not give to another then. Calls that had begun by then finish: they
// are all that a budget is overrun by.
//
// The window slides, on the clock's steady line: in no span of its length do calls begin that were
// not covered, whatever the wall clock does. A cost leaves it up to a sixtieth of its length late.
//
// Threads: value.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>
#include <wisp/base/money.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/base/status.hpp>

namespace wisp::inline v0 {

struct Budget {
  std::string name{};      // in errors, log lines and stats; no two have the same
  std::string function{};  // of the Runtime's catalogue; empty: all that it has
  // Of the lineage. Empty: any. Attempts of a batch have those that all its items share.
  std::string tenant{};
  std::string tag{};
  Duration window = std::chrono::hours(24);  // kBudgetWindowMin to kBudgetWindowMax
  std::optional<Money> soft{};
  std::optional<Money> hard{};
  // A quota, beside them or instead; without a tariff too.
  std::optional<std::int64_t> soft_attempts{};
  std::optional<std::int64_t> hard_attempts{};
  // One of the four at least; each above 0, soft not above hard.
};

inline constexpr Duration kBudgetWindowMin = std::chrono::seconds(1);
inline constexpr Duration kBudgetWindowMax = std::chrono::hours(24 * 366);
inline constexpr std::size_t kBudgetsMax = 1'000;

// kInvalidArgument naming the budget, the member and its bound.
Status check_budget(const Budget& budget);

struct BudgetStats {
  std::string name;
  Money spent{};  // in the window
  std::optional<Money> soft{};
  std::optional<Money> hard{};
  std::uint64_t attempts = 0;  // in the window
  std::optional<std::int64_t> soft_attempts{};
  std::optional<std::int64_t> hard_attempts{};
  std::uint64_t warnings = 0;  // of either soft limit
  std::uint64_t refused = 0;   // calls and starts
  std::uint64_t put_off = 0;   // times that deliveries were made to wait
};

namespace detail {

// A budget and what was spent of it. Threads: any.
class BudgetAccount {
 public:
  // Requires: check_budget(rules).ok().
  explicit BudgetAccount(Budget rules);

  // With the limits that it began with.
  const Budget& rules() const { return rules_; }
  // Those that it has now.
  Budget now() ABSL_LOCKS_EXCLUDED(mutex_);
  // Other limits from now on, for what has been spent too. Requires: check_budget(rules).ok().
  void set_limits(const Budget& rules) ABSL_LOCKS_EXCLUDED(mutex_);
  bool covers(std::string_view tenant, std::string_view tag) const {
    return (rules_.tenant.empty() || rules_.tenant == tenant) &&
           (rules_.tag.empty() || rules_.tag == tag);
  }

  // Nothing while there is some left of all; else when there will be, if no more is spent.
  std::optional<Time> spent_until(Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // An attempt. Whether a soft limit is reached by this, for the first time since none was.
  bool spend(Time now, Money cost) ABSL_LOCKS_EXCLUDED(mutex_);

  void count_refused() ABSL_LOCKS_EXCLUDED(mutex_);
  void count_put_off() ABSL_LOCKS_EXCLUDED(mutex_);
  BudgetStats stats(Time now) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // What has been spent in this part of the window, and all before it for as long as the window is:
  // kParts whole ones.
  static constexpr std::int64_t kParts = 60;
  struct Sum {
    Uint128 money = 0;  // picodollars: sums of which no Money is left out
    std::uint64_t attempts = 0;
  };
  std::int64_t part_of(Time time) const;
  static void take(Sum& from, const Sum& what) {
    from.money -= what.money;
    from.attempts -= what.attempts;
  }
  static bool reaches(const Sum& sum, const std::optional<Money>& money,
                      const std::optional<std::int64_t>& attempts);
  Sum& at(std::int64_t part) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void roll(Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Budget rules_;
  const Duration part_;

  BriefMutex mutex_;
  Budget limits_ ABSL_GUARDED_BY(mutex_);
  std::array<Sum, kParts + 1> parts_ ABSL_GUARDED_BY(mutex_){};
  // The current part; before the first look none.
  std::int64_t last_ ABSL_GUARDED_BY(mutex_) = std::numeric_limits<std::int64_t>::min();
  bool warned_ ABSL_GUARDED_BY(mutex_) = false;
  Sum sum_ ABSL_GUARDED_BY(mutex_);  // of the parts
  std::uint64_t warnings_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t refused_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t put_off_ ABSL_GUARDED_BY(mutex_) = 0;
};

// One that has none left, and when it will have some.
struct Broke {
  BudgetAccount* account;
  Time until;
};

}  // namespace detail
}  // namespace wisp::inline v0
