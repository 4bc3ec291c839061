// What of a running Runtime may be changed, all or nothing.
//
//   wisp::Runtime runtime{functions, {.adjustable = true}};
//   wisp::Status changed = runtime.configure({.functions = {{.name = "charge", .concurrency = 4},
//                                                           {.name = "mail", .paused = true}},
//                                             .workers = {.max = 16}});
//
// What is not set stays as it is. Nothing that runs is cancelled: a lower limit holds once those
// beyond it have ended, and what waits goes on as soon as a higher one lets it. An error names the
// member, and then nothing has changed.
//
// Plain structs, for a program that reads them from a file of its own.
//
// Threads: value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/money.hpp>

namespace wisp::inline v0 {

struct FunctionSettings {
  std::string name{};  // of one that the Runtime has
  // Limits::concurrency; a reservation still bounds it. Not set by Runtime::settings() of one that
  // a reservation of 0 switches off: there is no number for that.
  std::optional<int> concurrency{};
  std::optional<double> per_second{};  // Limits::per_second
  // What begins to run from now on: calls are refused (Reason::limit), deliveries wait, and
  // synchronous ones are dead letters. A started call that was accepted before has its place, and
  // runs.
  std::optional<bool> paused{};
};

struct TenantSettings {
  std::string name{};  // of one in RuntimeOptions::tenants
  std::optional<int> weight{};
  std::optional<double> per_second{};
};

// A limit that the budget did not have may be added, but not taken away.
struct BudgetSettings {
  std::string name{};  // of one in RuntimeOptions::budgets
  std::optional<Money> soft{};
  std::optional<Money> hard{};
  std::optional<std::int64_t> soft_attempts{};
  std::optional<std::int64_t> hard_attempts{};
};

// Of the Runtime's own pool.
struct WorkerSettings {
  std::optional<int> min{};
  std::optional<int> max{};
  std::optional<Duration> keep_alive{};
};

struct Settings {
  std::vector<FunctionSettings> functions{};
  std::vector<TenantSettings> tenants{};
  std::vector<BudgetSettings> budgets{};
  WorkerSettings workers{};
};

}  // namespace wisp::inline v0
