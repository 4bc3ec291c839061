// What waits for a thread of the executor, where functions have lanes or tenants share.
//
//   const std::shared_ptr<Flow> flow = fair.flow(Lane::normal, "acme");
//   WISP_TRY(fair.push(task, flow));        // to wait among those of its flow
//   executor.submit(turn = fair.turn());    // for whatever is first by then
//
// A flow is what one tenant has in one lane. While something waits in a lane, nothing of those
// below it begins. Within a lane the flow begins that has had the least time of threads for its
// weight.
//
// That is start-time fair queueing: each flow has a virtual clock, `served`, which each of its
// tasks moves on by the time that it took / weight; one that has nothing to do does not save it up,
// as it comes back where the last that began was then. Source: Goyal, Vin, Cheng, "Start-time Fair
// Queueing" (SIGCOMM 1996). Not deficit round robin, which has to know what a task costs before it
// begins, and whose flows wait for a whole round of quanta: here a task counts as what those of its
// flow took lately until it has ended, and is set right then.
//
// A task of a flow may be refused so that others find room: it may hold as many as are still free.
// Source: Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches"
// (IEEE/ACM Transactions on Networking, 1998), with alpha = 1.
//
// Threads: any. No lock is held while a task runs or is destroyed.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/base/status.hpp>
#include <wisp/base/text.hpp>
#include <wisp/engine/executor.hpp>
#include <wisp/model/policy.hpp>
#include <wisp/model/tenant.hpp>

namespace wisp::inline v0::detail {

// What there is of each tenant, found by its name as a view.
struct TenantHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return hash_text(text); }
};
template <class Value>
using ByTenant = std::unordered_map<std::string, Value, TenantHash, std::equal_to<>>;

// All but what is constant is the queue's, under its lock.
struct Flow {
  struct Waiting {
    std::uint64_t number;
    Task task;
  };

  Flow(Lane in, std::string_view of, int share, std::uint64_t n)
      : lane(in), tenant(of), weight(share), number(n) {}

  const Lane lane;
  const std::string tenant;
  int weight;
  const std::uint64_t number;  // of two that are level the older one goes first
  std::deque<Waiting> waiting;
  int running = 0;
  double served = 0;            // ns / weight
  std::atomic<int> blocked{0};  // relaxed: what waits for something else than a thread
  double typical = 0;  // ns of a task: the longer, the more it counts; 0: none has ended yet
};

// What is neither in the queue now nor done: its flow keeps its place among others meanwhile.
class BlockedFlow {
 public:
  explicit BlockedFlow(std::shared_ptr<Flow> flow) : flow_(std::move(flow)) {
    if (flow_ != nullptr) flow_->blocked.fetch_add(1, std::memory_order_relaxed);
  }
  BlockedFlow(BlockedFlow&&) noexcept = default;
  BlockedFlow& operator=(BlockedFlow&&) = delete;
  ~BlockedFlow() {
    if (flow_ != nullptr) flow_->blocked.fetch_sub(1, std::memory_order_relaxed);
  }
  Flow* get() const { return flow_.get(); }
  const std::shared_ptr<Flow>& share() const { return flow_; }
  bool operator==(const BlockedFlow& other) const { return flow_ == other.flow_; }

 private:
  std::shared_ptr<Flow> flow_;
};

class FairQueue : public std::enable_shared_from_this<FairQueue> {
 public:
  // `count_max` as the executor's queue. Requires: check_tenants(tenants).ok().
  FairQueue(Clock& clock, const std::vector<Tenant>& tenants, int count_max);
  FairQueue(const FairQueue&) = delete;
  FairQueue& operator=(const FairQueue&) = delete;

  // Kept while somebody else has it, while something of it waits or runs, and until others have had
  // as much.
  std::shared_ptr<Flow> flow(Lane lane, std::string_view tenant) ABSL_LOCKS_EXCLUDED(mutex_);
  // Of what it begins from now on. Requires: 1 <= weight <= kWeightMax.
  void set_weight(std::string_view tenant, int weight) ABSL_LOCKS_EXCLUDED(mutex_);
  // 1 for one that is not set.
  int weight(std::string_view tenant) ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether each tenant has flows of its own.
  bool by_tenant() const { return by_tenant_; }

  // The number of the task, which waits for a turn from now on.
  std::uint64_t push(Task& task, const std::shared_ptr<Flow>& flow) ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether one more of the flow has room.
  Status room(const Flow& flow) ABSL_LOCKS_EXCLUDED(mutex_);
  // For the executor: runs what is first. Destroyed, it destroys that. As many as there are tasks.
  Task turn();
  // No executor took the turn, which is then destroyed for nothing. True: `task` is the one of that
  // number again. False: another turn has begun it, and one is still needed for what is left.
  bool take_back(std::uint64_t number, Flow& flow, Task& task) ABSL_LOCKS_EXCLUDED(mutex_);

  // What this thread's turn has taken so far counts from now on: before a choice that is made by
  // first().
  void settle() ABSL_LOCKS_EXCLUDED(mutex_);
  // Of these, the one whose next task would begin first. Requires: not empty.
  std::size_t first(const std::vector<const Flow*>& flows) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Turn;
  struct Less {
    bool operator()(const Flow* left, const Flow* right) const {
      if (left->served != right->served) return left->served < right->served;
      return left->number < right->number;
    }
  };
  struct InLane {
    ByTenant<std::shared_ptr<Flow>> flows;
    std::set<Flow*, Less> waiting;  // those with something that waits
    double begun = 0;               // the highest `served` at which one has begun
    std::size_t sweep_at = 64;
  };
  // A task out of its flow, and what that was charged for it: ns.
  struct Begun {
    std::shared_ptr<Flow> flow;
    Task task;
    double charged = 0;
    Time since{};
  };
  // The turns that a thread is inside of.
  struct Inside;
  static thread_local Inside* inside;

  Begun begin() ABSL_LOCKS_EXCLUDED(mutex_);
  void end(Begun& begun) ABSL_LOCKS_EXCLUDED(mutex_);
  // What it took until now, which is charged.
  double charge(Begun& begun) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void run_one();
  void drop_one();
  // Whether the first's next task would begin first.
  bool before(const Flow& left, const Flow& right) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void set_served(InLane& lane, Flow& flow, double served) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void sweep(InLane& lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  InLane& of(const Flow& flow) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return lanes_[static_cast<std::size_t>(flow.lane)];
  }

  Clock& clock_;
  const int count_max_;
  const bool by_tenant_;

  Mutex mutex_;
  ByTenant<int> weights_ ABSL_GUARDED_BY(mutex_);
  std::array<InLane, kLanes> lanes_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t numbers_ ABSL_GUARDED_BY(mutex_) = 0;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;  // tasks that wait
  int void_ ABSL_GUARDED_BY(mutex_) = 0;   // turns that no executor took, to be destroyed
};

}  // namespace wisp::inline v0::detail
