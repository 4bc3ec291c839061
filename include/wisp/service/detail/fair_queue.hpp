// What waits for a thread of the executor, where functions have lanes or tenants share.
//
//   const std::shared_ptr<Flow> flow = queue.flow(Lane::normal, "acme");
//   WISP_TRY(queue.room(*flow));
//   const Pushed pushed = queue.push(task, flow);   // to wait among those of its flow
//   if (pushed.turn) executor.submit(pushed.turn);  // for whatever is first by then
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
// flow took lately when it begins, as what it has taken while it runs, and is set right at its end.
//
// The executor has a turn for each task, but no more than turns_max: each that begins asks for the
// next. So a backlog is here, where its order is, and not in the executor.
//
// A call of a flow may be refused so that others find room: what waits below its lane does not
// count, and of the rest its tenant may have as many as are still free. Source: Choudhury and
// Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches" (IEEE/ACM Transactions
// on Networking, 1998), with alpha = 1.
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
#include <wisp/service/detail/codel.hpp>

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
    double prepaid;  // ns that it was charged for already; 0: none
    bool call;       // counts for room()
  };
  struct Running {
    Time since;
    double charged;  // ns
    int weight;      // by which that counts
  };

  Flow(Lane in, std::string_view of, int share, std::uint64_t n)
      : lane(in), tenant(of), weight(share), number(n) {}

  const Lane lane;
  const std::string tenant;
  int weight;
  const std::uint64_t number;  // of two that are level the older one goes first
  std::deque<Waiting> waiting;
  std::vector<Running*> running;
  int calls = 0;       // of those that wait, the ones that room() was asked for
  double served = 0;   // ns / weight
  double typical = 0;  // ns of a turn: the longer, the more it counts; 0: none has ended yet
  Codel codel;         // any thread's; flows that wait for each other's turns stand apart
  std::atomic<int> blocked{0};  // relaxed: what waits for something else than a thread
};

// What is neither in the queue now nor done: for as much as that is worth, 10 ms at most, its flow
// keeps its place among others meanwhile.
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
  struct Rules {
    int calls_max = 0;  // that wait in a lane and those above it; see room()
    int turns_max = 0;  // in the executor; 1 or more
    // Submits a turn, however full the executor is, or destroys it. Outlived by the turns.
    std::function<void(Task)> submit_surely;
  };
  // Requires: check_tenants(tenants).ok().
  FairQueue(Clock& clock, const std::vector<Tenant>& tenants, Rules rules);
  FairQueue(const FairQueue&) = delete;
  FairQueue& operator=(const FairQueue&) = delete;

  // Kept while somebody else has it, while something of it waits or runs, and until others have had
  // as much. All tenants that are not set have one together, with what has no tenant.
  std::shared_ptr<Flow> flow(Lane lane, std::string_view tenant) ABSL_LOCKS_EXCLUDED(mutex_);
  // Of what it begins from now on. Requires: the tenant is set, 1 <= weight <= kWeightMax.
  void set_weight(std::string_view tenant, int weight) ABSL_LOCKS_EXCLUDED(mutex_);
  // Requires: the tenant is set.
  int weight(std::string_view tenant) ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether tenants are set, and have flows of their own.
  bool by_tenant() const { return by_tenant_; }

  // Whether something waits in a lane above it, or did a moment ago.
  bool waits_above(Lane lane) const { return lane > waits_in_.load(std::memory_order_relaxed); }

  // Whether one more call of the flow has room. With n lanes in use, at most n * calls_max wait.
  Status room(const Flow& flow) ABSL_LOCKS_EXCLUDED(mutex_);
  struct Pushed {
    std::uint64_t number;  // of the task
    Task turn;             // for the executor, if another one is wanted
  };
  // `call`: counts for room(). `prepaid`: what choose() has charged for it.
  Pushed push(Task& task, const std::shared_ptr<Flow>& flow, bool call, double prepaid = 0)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The executor took no turn for it. True: `task` is the one of that number again, and `turn` is
  // left if others need it. False: it has begun, or another turn will come for it.
  bool take_back(std::uint64_t number, Flow& flow, Task& task, Task& turn)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The one of that number, if it still waits: it will not run. A turn may find nothing to do then.
  Task remove(std::uint64_t number, Flow& flow) ABSL_LOCKS_EXCLUDED(mutex_);

  // The clock is not read any more.
  void close() ABSL_LOCKS_EXCLUDED(mutex_);

  // Of these, the one whose next task would begin first, which is charged for it. Requires: not
  // empty.
  struct Chosen {
    std::size_t which;
    double prepaid;
  };
  Chosen choose(const std::vector<Flow*>& flows) ABSL_LOCKS_EXCLUDED(mutex_);

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
    double typical = 0;             // as a flow's, for those that have none yet
    int calls = 0;                  // that wait
    std::size_t sweep_at = 64;
  };
  // A task out of its flow.
  struct Begun {
    std::shared_ptr<Flow> flow;  // null: there was none
    Task task;
    Flow::Running run;
    Task turn;  // that is wanted
  };

  void begin(Begun& begun) ABSL_LOCKS_EXCLUDED(mutex_);
  void end(Begun& begun) ABSL_LOCKS_EXCLUDED(mutex_);
  void run_one();
  void lose_one();
  Task wanted_turn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  double estimate(const InLane& lane, const Flow& flow) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What runs has taken more than it was charged for. True: the flow's place has changed.
  bool settle(InLane& lane, Flow& flow, Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void set_served(InLane& lane, Flow& flow, double served) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Flow::Waiting take_out(Flow& flow, std::deque<Flow::Waiting>::iterator place)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Time now() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return closed_ ? Time() : clock_.now(); }
  void note_waits() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void rebase(InLane& lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void sweep(InLane& lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  InLane& of(const Flow& flow) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return lanes_[static_cast<std::size_t>(flow.lane)];
  }

  Clock& clock_;
  const Rules rules_;
  const bool by_tenant_;

  Mutex mutex_;
  ByTenant<int> weights_ ABSL_GUARDED_BY(mutex_);  // of those that are set
  std::array<InLane, kLanes> lanes_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t numbers_ ABSL_GUARDED_BY(mutex_) = 0;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;  // tasks that wait
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  int turns_ ABSL_GUARDED_BY(mutex_) = 0;  // that have not begun; while tasks wait, one or more
  int void_ ABSL_GUARDED_BY(mutex_) = 0;   // that no executor took, to be destroyed
  // The first lane in which something waits, or the last one. Relaxed, a hint: written under the
  // lock. On a line of its own, as who has a turn reads it after each delivery.
  alignas(64) std::atomic<Lane> waits_in_{static_cast<Lane>(kLanes - 1)};
};

}  // namespace wisp::inline v0::detail
