#include <wisp/service/detail/fair_queue.hpp>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include <fmt/format.h>

namespace wisp::inline v0::detail {
namespace {

// The least that a task counts for, which is about what it costs to hand it to a thread. And where
// time stands still, tasks still take turns.
constexpr double kLeastNs = 1'000;
// And the most that it is taken for before it has run: what takes longer counts as it goes on.
constexpr double kTypicalMaxNs = 10e6;
// Of what a flow's tasks took, the last one counts for so much.
constexpr double kLatest = 1.0 / 8;
// Flows without work that are remembered for what they have had, in each lane.
constexpr std::size_t kIdleMax = 10'000;
// Virtual clocks are set back before a nanosecond is lost in them: after some minutes.
constexpr double kRebaseNs = 1e12;

// The next estimate. A task that finds nothing to do, such as no slot of its function, hardly
// counts beside others.
double smoothed(double typical, double cost) {
  cost = std::min(cost, kTypicalMaxNs);
  if (typical == 0) return cost;
  return typical + (cost - typical) * kLatest * std::min(1.0, cost / typical);
}

// The numbers of what waits rise.
std::deque<Flow::Waiting>::iterator find(Flow& flow, std::uint64_t number) {
  const auto place =
      std::lower_bound(flow.waiting.begin(), flow.waiting.end(), number,
                       [](const Flow::Waiting& each, std::uint64_t n) { return each.number < n; });
  const bool found = place != flow.waiting.end() && place->number == number;
  return found ? place : flow.waiting.end();
}

}  // namespace

// What the executor has: runs what is first. Destroyed without that, it has been lost.
struct FairQueue::Turn {
  std::shared_ptr<FairQueue> queue;

  explicit Turn(std::shared_ptr<FairQueue> q) : queue(std::move(q)) {}
  Turn(Turn&&) noexcept = default;
  Turn& operator=(Turn&&) = delete;
  ~Turn() {
    if (queue != nullptr) queue->lose_one();
  }
  void operator()() { std::exchange(queue, nullptr)->run_one(); }
};

FairQueue::FairQueue(Clock& clock, const std::vector<Tenant>& tenants, Rules rules)
    : clock_(clock), rules_(std::move(rules)), by_tenant_(!tenants.empty()) {
  for (const Tenant& each : tenants) weights_.emplace(each.name, each.weight);
}

std::shared_ptr<Flow> FairQueue::flow(Lane lane, std::string_view tenant) {
  const MutexLock lock(mutex_);
  const auto weight = weights_.find(tenant);
  if (weight == weights_.end()) tenant = {};
  InLane& in = lanes_[static_cast<std::size_t>(lane)];
  if (const auto found = in.flows.find(tenant); found != in.flows.end()) return found->second;
  if (in.flows.size() >= in.sweep_at) sweep(in);
  const int share = weight == weights_.end() ? 1 : weight->second;
  auto made = std::make_shared<Flow>(lane, tenant, share, ++numbers_);
  in.flows.emplace(tenant, made);
  return made;
}

void FairQueue::set_weight(std::string_view tenant, int weight) {
  const MutexLock lock(mutex_);
  weights_.find(tenant)->second = weight;
  for (InLane& lane : lanes_) {
    if (const auto flow = lane.flows.find(tenant); flow != lane.flows.end())
      flow->second->weight = weight;
  }
}

int FairQueue::weight(std::string_view tenant) {
  const MutexLock lock(mutex_);
  return weights_.find(tenant)->second;
}

// Amortised: of those that nobody has, and that nothing waits or runs of, the ones go that have had
// no more than others; and if that are too few, all.
void FairQueue::sweep(InLane& lane) {
  const auto forget = [&lane](bool debts) {
    std::erase_if(lane.flows, [&](const auto& each) {
      const Flow& flow = *each.second;
      return each.second.use_count() == 1 && flow.waiting.empty() && flow.running.empty() &&
             (debts || flow.served <= lane.begun);
    });
  };
  forget(false);
  if (lane.flows.size() > kIdleMax) forget(true);
  lane.sweep_at = std::max<std::size_t>(64, 2 * lane.flows.size());
}

void FairQueue::rebase(InLane& lane) {
  if (lane.begun < kRebaseNs) return;
  lane.waiting.clear();
  for (const auto& [tenant, flow] : lane.flows) {
    flow->served -= lane.begun;
    if (!flow->waiting.empty()) lane.waiting.insert(flow.get());
  }
  lane.begun = 0;
}

Status FairQueue::room(const Flow& flow) {
  const MutexLock lock(mutex_);
  int all = 0;
  int own = 0;
  for (std::size_t i = 0; i <= static_cast<std::size_t>(flow.lane); ++i) {
    all += lanes_[i].calls;
    const auto found = lanes_[i].flows.find(flow.tenant);
    if (by_tenant_ && found != lanes_[i].flows.end()) own += found->second->calls;
  }
  if (all + own < rules_.calls_max) return Status();
  return refused(StatusCode::kResourceExhausted, Reason::full,
                 all < rules_.calls_max
                     ? fmt::format("{} calls of tenant '{}' wait for a thread, and each may have "
                                   "as many as are left of {}",
                                   own, flow.tenant, rules_.calls_max)
                     : fmt::format("{} calls wait for a thread", all));
}

Task FairQueue::wanted_turn() {
  if (turns_ >= std::min(count_, rules_.turns_max)) return {};
  ++turns_;
  return Task(Turn(shared_from_this()));
}

double FairQueue::estimate(const InLane& lane, const Flow& flow) const {
  return std::max(flow.typical > 0 ? flow.typical : lane.typical, kLeastNs);
}

FairQueue::Pushed FairQueue::push(Task& task, const std::shared_ptr<Flow>& flow, bool call,
                                  double prepaid) {
  // Should there be no memory, `task` is as it was.
  struct Undo {
    Flow* flow;
    ~Undo() {
      if (flow != nullptr) flow->waiting.pop_back();
    }
  };
  const MutexLock lock(mutex_);
  InLane& lane = of(*flow);
  const bool first = flow->waiting.empty();
  // What it has had by now, before it is put level with others: else that would count twice.
  if (first && !flow->running.empty()) settle(lane, *flow, now());
  Flow::Waiting& entry = flow->waiting.emplace_back();
  Undo undo{flow.get()};
  if (first) {
    // What is blocked keeps its flow's place, for about as long as one task of it takes.
    const int blocked = flow->blocked.load(std::memory_order_relaxed);
    const double kept = std::min(blocked * estimate(lane, *flow), kTypicalMaxNs) / flow->weight;
    flow->served = std::max(flow->served, lane.begun - kept);
    lane.waiting.insert(flow.get());
    note_waits();
  }
  undo.flow = nullptr;
  entry = {++numbers_, std::move(task), prepaid, call};
  // What was taken in as a call, or as none, leaves as such.
  flow->calls += static_cast<int>(call);
  lane.calls += static_cast<int>(call);
  ++count_;
  return {numbers_, wanted_turn()};
}

Flow::Waiting FairQueue::take_out(Flow& flow, std::deque<Flow::Waiting>::iterator place) {
  Flow::Waiting taken = std::move(*place);
  InLane& lane = of(flow);
  flow.calls -= static_cast<int>(taken.call);
  lane.calls -= static_cast<int>(taken.call);
  --count_;
  flow.waiting.erase(place);
  if (flow.waiting.empty()) {
    lane.waiting.erase(&flow);
    note_waits();
  }
  return taken;
}

void FairQueue::note_waits() {
  std::size_t first = 0;
  while (first + 1 < kLanes && lanes_[first].waiting.empty()) ++first;
  const auto lane = static_cast<Lane>(first);
  if (waits_in_.load(std::memory_order_relaxed) != lane)
    waits_in_.store(lane, std::memory_order_relaxed);
}

Task FairQueue::remove(std::uint64_t number, Flow& flow) {
  const MutexLock lock(mutex_);
  const auto place = find(flow, number);
  return place == flow.waiting.end() ? Task() : take_out(flow, place).task;
}

void FairQueue::close() {
  const MutexLock lock(mutex_);
  closed_ = true;
}

bool FairQueue::take_back(std::uint64_t number, Flow& flow, Task& task, Task& turn) {
  Task unused;  // destroyed without the lock
  const MutexLock lock(mutex_);
  if (turns_ > 1) {
    // Another one comes.
    --turns_;
    ++void_;
    unused = std::move(turn);
    return false;
  }
  const auto place = find(flow, number);
  const bool found = place != flow.waiting.end();
  if (found) task = take_out(flow, place).task;
  if (count_ == 0) {
    --turns_;
    ++void_;
    unused = std::move(turn);
  }
  return found;
}

void FairQueue::set_served(InLane& lane, Flow& flow, double served) {
  const bool waits = !flow.waiting.empty();
  if (waits) lane.waiting.erase(&flow);
  flow.served = served;
  if (waits) lane.waiting.insert(&flow);
}

bool FairQueue::settle(InLane& lane, Flow& flow, Time now) {
  double more = 0;
  for (Flow::Running* const each : flow.running) {
    const auto taken = static_cast<double>((now - each->since).count());
    if (taken <= each->charged) continue;
    more += (taken - each->charged) / each->weight;
    each->charged = taken;
  }
  if (more == 0) return false;
  set_served(lane, flow, flow.served + more);
  return true;
}

FairQueue::Chosen FairQueue::choose(const std::vector<Flow*>& flows) {
  const MutexLock lock(mutex_);
  const Time now = this->now();
  for (Flow* const each : flows) settle(of(*each), *each, now);
  std::size_t best = 0;
  for (std::size_t i = 1; i < flows.size(); ++i) {
    const bool above = flows[i]->lane < flows[best]->lane;
    const bool level = flows[i]->lane == flows[best]->lane;
    if (above || (level && Less()(flows[i], flows[best]))) best = i;
  }
  Flow& flow = *flows[best];
  InLane& lane = of(flow);
  const double prepaid = estimate(lane, flow);
  set_served(lane, flow, flow.served + prepaid / flow.weight);
  return {best, prepaid};
}

void FairQueue::begin(Begun& begun) {
  const MutexLock lock(mutex_);
  --turns_;
  const auto lane = std::find_if(lanes_.begin(), lanes_.end(),
                                 [](const InLane& each) { return !each.waiting.empty(); });
  if (lane == lanes_.end()) return;
  const Time now = this->now();
  rebase(*lane);
  // Each is set right once at most, as the time stays.
  while (settle(*lane, **lane->waiting.begin(), now)) continue;
  Flow& flow = **lane->waiting.begin();
  const double charged = flow.waiting.front().prepaid;
  begun.run = {.since = now,
               .charged = charged > 0 ? charged : estimate(*lane, flow),
               .weight = flow.weight};
  flow.running.push_back(&begun.run);
  begun.flow = lane->flows.find(flow.tenant)->second;
  begun.task = take_out(flow, flow.waiting.begin()).task;
  // Level with what it had before this one, whenever it was charged for it.
  const double share = begun.run.charged / flow.weight;
  lane->begun = std::max(lane->begun, charged > 0 ? flow.served - share : flow.served);
  if (charged == 0) set_served(*lane, flow, flow.served + share);
  begun.turn = wanted_turn();
}

void FairQueue::end(Begun& begun) {
  const MutexLock lock(mutex_);
  Flow& flow = *begun.flow;
  InLane& lane = of(flow);
  std::erase(flow.running, &begun.run);
  if (closed_) return;
  const auto taken = static_cast<double>((clock_.now() - begun.run.since).count());
  const double cost = std::max(taken, kLeastNs);
  set_served(lane, flow, flow.served + (cost - begun.run.charged) / begun.run.weight);
  flow.typical = smoothed(flow.typical, cost);
  lane.typical = smoothed(lane.typical, cost);
}

void FairQueue::run_one() {
  Begun begun;
  begin(begun);
  if (begun.turn) rules_.submit_surely(std::move(begun.turn));
  if (begun.flow == nullptr) return;
  begun.task();
  end(begun);
}

// While others are to come they come for all that waits; else nobody would.
void FairQueue::lose_one() {
  std::deque<Flow::Waiting> dropped;  // destroyed without the lock
  const MutexLock lock(mutex_);
  if (void_ > 0) {
    --void_;
    return;
  }
  if (--turns_ > 0) return;
  for (InLane& lane : lanes_) {
    for (Flow* const flow : lane.waiting) {
      std::move(flow->waiting.begin(), flow->waiting.end(), std::back_inserter(dropped));
      flow->waiting.clear();
      flow->calls = 0;
    }
    lane.waiting.clear();
    lane.calls = 0;
  }
  count_ = 0;
  note_waits();
}

}  // namespace wisp::inline v0::detail
