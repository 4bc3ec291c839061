// Changes of a runtime's settings: looked at as a whole, then made as a whole.
//
//   Tuner tuner(invoker, pool, workers);
//   Status changed = tuner.configure(settings);
//
// Threads: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/base/status.hpp>
#include <wisp/engine/pool.hpp>
#include <wisp/model/settings.hpp>

namespace wisp::inline v0::detail {

class BudgetAccount;
struct FunctionState;
class Invoker;
class Route;

// One of them.
//
// Threads: one-at-a-time, of all of one runtime.
class Tuning {
 public:
  // `workers`: as they are; null without a pool of the runtime's own. Both outlive this.
  Tuning(Invoker& invoker, const Settings& settings, const Workers* workers)
      : invoker_(invoker), settings_(settings), workers_(workers) {}

  Status check();
  // Requires: check() was ok.
  void apply();
  // Lets what waits go on as it may now. Requires: applied, and no lock is held.
  void follow() const;
  // As they are to be.
  Workers workers() const;
  // To the log and the observers: a line for each change. Requires: no lock is held.
  void note() const;

  static Settings now(Invoker& invoker, const Workers* workers);

 private:
  struct Change {
    std::string function;  // "": of none
    std::string what;
  };

  Status check(const FunctionSettings& each);
  Status check(const TenantSettings& each);
  Status check(const BudgetSettings& each);
  Status check_workers() const;
  void apply(const FunctionSettings& each);
  void apply(const TenantSettings& each);
  void apply(const BudgetSettings& each);
  void apply_workers();
  template <class T>
  void changed(std::string_view function, std::string_view what, const T& from, const T& to);

  bool concerns(Route& route) const;
  FunctionState* function(const std::string& name) const;
  BudgetAccount* budget(const std::string& name) const;

  Invoker& invoker_;
  const Settings& settings_;
  const Workers* workers_;
  std::vector<Change> changes_;
  std::vector<FunctionState*> functions_;
  std::vector<std::string> tenants_;  // whose rates
  std::vector<BudgetAccount*> accounts_;
  bool more_or_fewer_ = false;  // workers
};

class Tuner {
 public:
  // `pool`: null without one of the runtime's own. Both outlive this.
  Tuner(Invoker& invoker, Pool* pool, const Workers& workers)
      : invoker_(invoker), pool_(pool), workers_(workers) {}

  Status configure(const Settings& settings) ABSL_LOCKS_EXCLUDED(mutex_);
  Settings settings() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Invoker& invoker_;
  Pool* const pool_;
  Mutex mutex_;
  Workers workers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace wisp::inline v0::detail
