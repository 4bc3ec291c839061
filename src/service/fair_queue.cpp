#include <wisp/service/detail/fair_queue.hpp>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace wisp::inline v0::detail {
namespace {

// The least that a task counts for, which is about what it costs to hand it to a thread. And where
// time stands still, tasks still take turns.
constexpr double kLeastNs = 1'000;
// Of what a flow's tasks took, the last ones count for so much.
constexpr double kLatest = 1.0 / 8;
// Flows without work that are remembered for what they have had, in each lane.
constexpr std::size_t kIdleMax = 10'000;

}  // namespace

struct FairQueue::Turn {
  std::shared_ptr<FairQueue> queue;

  explicit Turn(std::shared_ptr<FairQueue> q) : queue(std::move(q)) {}
  Turn(Turn&&) noexcept = default;
  Turn& operator=(Turn&&) = delete;
  ~Turn() {
    if (queue != nullptr) queue->drop_one();
  }
  void operator()() { std::exchange(queue, nullptr)->run_one(); }
};

struct FairQueue::Inside {
  FairQueue* queue;
  Begun begun;
  Inside* outer;
};

thread_local FairQueue::Inside* FairQueue::inside = nullptr;

FairQueue::FairQueue(Clock& clock, const std::vector<Tenant>& tenants, int count_max)
    : clock_(clock), count_max_(count_max), by_tenant_(!tenants.empty()) {
  for (const Tenant& each : tenants) weights_.emplace(each.name, each.weight);
}

std::shared_ptr<Flow> FairQueue::flow(Lane lane, std::string_view tenant) {
  if (!by_tenant_) tenant = {};
  const MutexLock lock(mutex_);
  InLane& in = lanes_[static_cast<std::size_t>(lane)];
  if (const auto found = in.flows.find(tenant); found != in.flows.end()) return found->second;
  if (in.flows.size() >= in.sweep_at) sweep(in);
  const auto weight = weights_.find(tenant);
  auto made = std::make_shared<Flow>(lane, tenant, weight == weights_.end() ? 1 : weight->second,
                                     ++numbers_);
  in.flows.emplace(tenant, made);
  return made;
}

void FairQueue::set_weight(std::string_view tenant, int weight) {
  const MutexLock lock(mutex_);
  if (const auto found = weights_.find(tenant); found != weights_.end()) found->second = weight;
  for (InLane& lane : lanes_) {
    if (const auto flow = lane.flows.find(tenant); flow != lane.flows.end())
      flow->second->weight = weight;
  }
}

int FairQueue::weight(std::string_view tenant) {
  const MutexLock lock(mutex_);
  const auto found = weights_.find(tenant);
  return found == weights_.end() ? 1 : found->second;
}

// Amortised: of those that nobody has, and that nothing waits or runs of, the ones go that have had
// no more than others; and if that are too few, all.
void FairQueue::sweep(InLane& lane) {
  const auto forget = [&lane](bool debts) {
    std::erase_if(lane.flows, [&](const auto& each) {
      const Flow& flow = *each.second;
      return each.second.use_count() == 1 && flow.waiting.empty() && flow.running == 0 &&
             (debts || flow.served <= lane.begun);
    });
  };
  forget(false);
  if (lane.flows.size() > kIdleMax) forget(true);
  lane.sweep_at = std::max<std::size_t>(64, 2 * lane.flows.size());
}

Status FairQueue::room(const Flow& flow) {
  const MutexLock lock(mutex_);
  const auto own = static_cast<int>(flow.waiting.size());
  if (count_ + (by_tenant_ ? own : 0) < count_max_) return Status();
  return refused(StatusCode::kResourceExhausted, Reason::full,
                 by_tenant_ && count_ < count_max_
                     ? fmt::format("{} of tenant '{}' wait for a thread, and each may have as many "
                                   "as are left of {}",
                                   own, flow.tenant, count_max_)
                     : fmt::format("{} wait for a thread", count_max_));
}

std::uint64_t FairQueue::push(Task& task, const std::shared_ptr<Flow>& flow) {
  const MutexLock lock(mutex_);
  InLane& lane = of(*flow);
  if (flow->waiting.empty()) {
    if (flow->blocked.load(std::memory_order_relaxed) == 0)
      flow->served = std::max(flow->served, lane.begun);
    lane.waiting.insert(flow.get());
  }
  flow->waiting.push_back({++numbers_, std::move(task)});
  ++count_;
  return numbers_;
}

Task FairQueue::turn() { return Task(Turn(shared_from_this())); }

bool FairQueue::take_back(std::uint64_t number, Flow& flow, Task& task) {
  const MutexLock lock(mutex_);
  const auto place =
      std::find_if(flow.waiting.begin(), flow.waiting.end(),
                   [number](const Flow::Waiting& each) { return each.number == number; });
  if (place == flow.waiting.end()) return false;
  task = std::move(place->task);
  flow.waiting.erase(place);
  --count_;
  ++void_;
  if (flow.waiting.empty()) of(flow).waiting.erase(&flow);
  return true;
}

bool FairQueue::before(const Flow& left, const Flow& right) {
  if (left.lane != right.lane) return left.lane < right.lane;
  return Less()(&left, &right);
}

std::size_t FairQueue::first(const std::vector<const Flow*>& flows) {
  const MutexLock lock(mutex_);
  std::size_t best = 0;
  for (std::size_t i = 1; i < flows.size(); ++i)
    if (before(*flows[i], *flows[best])) best = i;
  return best;
}

void FairQueue::set_served(InLane& lane, Flow& flow, double served) {
  const bool waits = !flow.waiting.empty();
  if (waits) lane.waiting.erase(&flow);
  flow.served = served;
  if (waits) lane.waiting.insert(&flow);
}

FairQueue::Begun FairQueue::begin() {
  const MutexLock lock(mutex_);
  const auto lane = std::find_if(lanes_.begin(), lanes_.end(),
                                 [](const InLane& each) { return !each.waiting.empty(); });
  if (lane == lanes_.end()) return {};
  Flow& flow = **lane->waiting.begin();
  lane->waiting.erase(lane->waiting.begin());
  Begun begun{.flow = lane->flows.find(flow.tenant)->second,
              .task = std::move(flow.waiting.front().task),
              .charged = std::max(flow.typical, kLeastNs),
              .since = clock_.now()};
  flow.waiting.pop_front();
  --count_;
  ++flow.running;
  lane->begun = std::max(lane->begun, flow.served);
  flow.served += begun.charged / flow.weight;
  if (!flow.waiting.empty()) lane->waiting.insert(&flow);
  return begun;
}

double FairQueue::charge(Begun& begun) {
  Flow& flow = *begun.flow;
  const double cost = std::max(static_cast<double>((clock_.now() - begun.since).count()), kLeastNs);
  set_served(of(flow), flow, flow.served + (cost - begun.charged) / flow.weight);
  begun.charged = cost;
  return cost;
}

void FairQueue::settle() {
  if (inside == nullptr || inside->queue != this) return;
  const MutexLock lock(mutex_);
  charge(inside->begun);
}

// One that finds nothing to do, such as no slot of its function, hardly counts beside others.
void FairQueue::end(Begun& begun) {
  const MutexLock lock(mutex_);
  Flow& flow = *begun.flow;
  const double cost = charge(begun);
  --flow.running;
  const double counts = flow.typical == 0 ? 1 : kLatest * std::min(1.0, cost / flow.typical);
  flow.typical += (cost - flow.typical) * counts;
}

void FairQueue::run_one() {
  Inside mine{.queue = this, .begun = begin(), .outer = inside};
  if (mine.begun.flow == nullptr) return;
  inside = &mine;
  mine.begun.task();
  inside = mine.outer;
  end(mine.begun);
}

// What would have begun last.
void FairQueue::drop_one() {
  Task dropped;  // destroyed without the lock
  const MutexLock lock(mutex_);
  if (void_ > 0) {
    --void_;
    return;
  }
  const auto lane = std::find_if(lanes_.rbegin(), lanes_.rend(),
                                 [](const InLane& each) { return !each.waiting.empty(); });
  if (lane == lanes_.rend()) return;
  Flow& flow = **lane->waiting.rbegin();
  dropped = std::move(flow.waiting.back().task);
  flow.waiting.pop_back();
  --count_;
  if (flow.waiting.empty()) lane->waiting.erase(&flow);
}

}  // namespace wisp::inline v0::detail
