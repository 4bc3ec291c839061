// What a runtime knows of a function: its versions, its limits, and what waits for a slot of it.
//
// Threads: any.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <list>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/engine/budget.hpp>
#include <wisp/model/registry.hpp>
#include <wisp/service/detail/fair_queue.hpp>
#include <wisp/service/detail/rate.hpp>
#include <wisp/service/detail/retry_budget.hpp>
#include <wisp/service/detail/versions.hpp>

namespace wisp::inline v0::detail {

// A leave() that the thread is inside of. A task that no executor takes leaves in its destructor,
// which hands its slot to this one: or what waits would be dropped each inside of the one before.
struct Leaving {
  FunctionState* function;
  int slots;  // to hand on or free; below 0, so many yet to be left that were never had
  Leaving* outer;

  static constinit thread_local Leaving* top;
};

struct FunctionState;
class Invoker;
class Route;

// A token of a route that waits for a slot of a function.
struct WaitsForSlot {
  FunctionState* function;
  const Route* route;
  BlockedFlow flow;
  Task resume;
  double prepaid = 0;  // see FairQueue::choose
  std::uint64_t number = 0;
};

// Those that wait, each flow's in the order in which they came as far as their functions let them.
// Bounded by the tokens of the routes that lead here. Takes no memory while nobody waits.
//
// Threads: one-at-a-time.
class SlotQueue {
 public:
  using All = std::list<WaitsForSlot>;

  // Without memory `resume` is as it was.
  void push(FunctionState& function, const Route& route, Task& resume);
  // Of those whose functions may have a slot: of the flow that is first, the oldest. Empty: none.
  template <class May>
  All take(FairQueue* queue, const May& may);
  // All for which `gone` says so.
  template <class Gone>
  All take_out(const Gone& gone);

 private:
  All take_first(All& from);

  std::vector<All> lists_;  // each has some, all of one function and one flow
  std::uint64_t numbers_ = 0;
};

// What the functions without a reservation share, once another has one.
struct Shares {
  Shares(int all, int those_reserved) : max(all - those_reserved), reserved(those_reserved) {}

  Mutex mutex;
  int max ABSL_GUARDED_BY(mutex);
  const int reserved;  // of the workers, by others
  int inside ABSL_GUARDED_BY(mutex) = 0;
  SlotQueue waiting ABSL_GUARDED_BY(mutex);
};

// A function within one Runtime: its first version, and what all its versions share, such as its
// concurrency limit. What each call reads is on its first line, and what a call writes is not.
struct alignas(64) FunctionState final : Attachment, RunVersion {
  explicit FunctionState(Invoker& invoker) : owner(invoker) {}

  Invoker& owner;
  Directions directions{*this};
  bool narrow = false;           // has a limit, a rate or a budget, or shares one
  std::shared_ptr<Route> posts;  // the route of its posts; null for a handler without a name

  // Before anybody knows it.
  void limit_to(const Limits& limits, const std::shared_ptr<Shares>& all);
  Status prepare() override;
  const Version* first() const override;
  Result<std::shared_ptr<const Version>> make(std::shared_ptr<const Definition> made,
                                              int number) override;
  void direct(const Traffic& traffic) override;
  void let_go() override;
  void published() override;
  // What is not given stays. Who waits, and may enter now, does with let_in().
  void adjust(std::optional<int> concurrency, std::optional<bool> pause);
  // Those that wait for a slot and may have one, of all that share it, are submitted.
  void let_in() ABSL_LOCKS_EXCLUDED(mutex);
  int concurrency() const;  // 0: unlimited
  bool paused() const { return paused_.load(); }

  // Requires: limited(). Takes a token of its rate, if it has one, and a slot, or says why not.
  Result<std::optional<Rate::Turn>> enter(const Clock& clock) ABSL_LOCKS_EXCLUDED(mutex);
  // Requires: limited(). Takes a slot, if `left` more are free, or says no.
  bool try_enter(int left = 0) ABSL_LOCKS_EXCLUDED(mutex);
  Status limit_reached() const;
  // Takes a slot, or keeps `resume` until one is free and then submits it, slot taken. False: kept.
  bool enter_or_wait(Task& resume, const Route& route) ABSL_LOCKS_EXCLUDED(mutex);
  // Destroys what waits of a route that has ended.
  void drop(const Route& route, Invoker& invoker) ABSL_LOCKS_EXCLUDED(mutex);
  // Destroys what waits, and keeps nothing from now on: the runtime stops.
  void close(Invoker& invoker) ABSL_LOCKS_EXCLUDED(mutex);
  // Hands the slot on, or frees it.
  void leave(Invoker& invoker) ABSL_LOCKS_EXCLUDED(mutex);
  bool limited() const { return narrow; }
  // What tasks do with the instances of any version, as in Abandoned::state; empty: nothing.
  std::string_view busy() ABSL_LOCKS_EXCLUDED(mutex);

  // Made when the first call fails: most never do.
  RetryBudget& budget() ABSL_LOCKS_EXCLUDED(mutex) {
    const MutexLock lock(mutex);
    if (retry_budget == nullptr) retry_budget = std::make_unique<RetryBudget>();
    return *retry_budget;
  }

  // Relaxed: counts, on paths that are slow anyway.
  void note_failed(Outcome outcome) {
    failed[static_cast<std::size_t>(outcome)].fetch_add(1, std::memory_order_relaxed);
  }
  std::array<std::atomic<std::uint64_t>, 6> failed{};  // attempts, by outcome
  std::atomic<std::uint64_t> retries{0};
  std::atomic<std::uint64_t> withheld{0};  // retries that the budget refused, or put off
  std::atomic<std::uint64_t> dead{0};      // expired and dropped ones too
  std::atomic<std::uint64_t> late{0};      // see watchdog.hpp
  // Accepted, and ended without an attempt; or parts of batches, beyond the calls that those are.
  std::atomic<std::uint64_t> unbegun{0};

  // Of those that share. Requires: the shares' mutex.
  bool room_shared(const Shares& all, int left = 0) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(all.mutex) {
    return inside_shared < limit - left && all.inside < all.max - left;
  }
  SlotQueue::All leave_shared(FairQueue* queue);
  SlotQueue::All next_shared(FairQueue* queue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shares->mutex);
  void take_out(const Route* route, Invoker& invoker) ABSL_LOCKS_EXCLUDED(mutex);
  void hand_on(Invoker& invoker) ABSL_LOCKS_EXCLUDED(mutex);
  int inside_shared = 0;  // the shares' mutex guards these
  bool closed_shared = false;

  Mutex mutex;
  int inside ABSL_GUARDED_BY(mutex) = 0;
  SlotQueue waiting ABSL_GUARDED_BY(mutex);
  std::unique_ptr<RetryBudget> retry_budget ABSL_GUARDED_BY(mutex);
  bool closed ABSL_GUARDED_BY(mutex) = false;
  // Of its other versions, those that wait for calls too.
  std::vector<std::weak_ptr<InstancePool>> pools ABSL_GUARDED_BY(mutex);
  std::vector<std::shared_ptr<InstancePool>> all_pools() ABSL_LOCKS_EXCLUDED(mutex);

  // Of each version that there was, once there is a second one; of starts but the first.
  std::vector<std::pair<int, std::shared_ptr<ShadowCounts>>> shadows ABSL_GUARDED_BY(mutex);
  std::vector<std::pair<int, std::shared_ptr<const InstanceStarts>>> starts ABSL_GUARDED_BY(mutex);

  // Constant: of calls inside at once, its own and what all share that have no reservation.
  static constexpr int kUnlimited = std::numeric_limits<int>::max();
  // 0 while paused. One adjusts at a time.
  std::atomic<int> limit{kUnlimited};
  std::atomic<int> unpaused{kUnlimited};
  std::atomic<bool> paused_{false};
  std::shared_ptr<Shares> shares;  // with the invoker's other functions; null: no reservations
  std::unique_ptr<Rate> rate;      // constant; null: unlimited
  // Constant: those that its calls may count against, depending on their tenant and tag. The
  // invoker has them.
  std::vector<BudgetAccount*> accounts;
  std::string_view late_option{};  // that has to be known at the start, and was not
};

}  // namespace wisp::inline v0::detail
