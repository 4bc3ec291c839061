// The thread that looks at a pool's workers while calls are queued and nobody is on the way to
// them.
#include <algorithm>
#include <utility>

#include "has_memory.hpp"
#include "pool_state.hpp"

namespace wisp::inline v0::detail {
namespace {

constexpr scaling::Pace kPace;
constexpr Duration kKnownFor =
    std::chrono::milliseconds{4};  // what a look at a sleeper is good for
constexpr int kTooManyMax = 4;

}  // namespace

// Has the supervisor sample until the queue is empty.
void PoolState::watch(WakeLock& lock, Time now) {
  if (armed_ || closed_ || supervisor_ == Is::leaving) return;
  if (supervisor_ == Is::absent) {
    // Not soon after a failure; but what has failed right now, it is to try again.
    if (now < retry_at_ && retry_at_ != now + kRetryAfter) return;
    Status started = no_memory_;
    (void)has_memory([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      started = start(
          supervisor_thread_, "wisp-supervisor",
          [state = shared_from_this()] { state->supervise(); }, now);
    });
    if (!started.ok()) return;
    supervisor_ = Is::running;
  } else {
    lock.wake(supervisor_parker_);
  }
  armed_ = true;
  fresh_ = true;
  // A queue that is empty now and then does not bring back the fast samples of a new load.
  if (now - disarmed_at_ >= kPace.slow) interval_ = kPace.fast;
}

void PoolState::supervise() {
  if (clock_.real()) wake_punctually();
  call_back(options_.on_thread_start, kSupervisor);
  std::vector<Look> looks;
  while (std::optional<Time> until = plan(looks)) {
    if (!looks.empty()) {
      const Time began = *until;
      for (Look& look : looks) {
        if (look.known) continue;
        const std::uint32_t before = std::exchange(look.run, look.worker->runs.load());
        const std::optional<bool> seen = look.run % 2 == 1 ? asleep(look.id) : false;
        // That tells nothing of this run but what the last look did.
        look.known = !seen;
        look.asleep = seen.value_or(look.asleep && look.run == before) &&
                      look.worker->runs.load() == look.run;
      }
      until = judge(looks, began);
    }
    clock_.park(supervisor_parker_, *until);
  }
  call_back(options_.on_thread_exit, kSupervisor);
  leave_supervision();
}

// Whom to look at, and the time now; or nobody, and until when to wait; or nothing: it is time to
// end.
std::optional<Time> PoolState::plan(std::vector<Look>& looks) {
  looks.clear();
  const MutexLock lock(mutex_);
  if (closed_ || (workers_ == 0 && queue_.empty())) {
    supervisor_ = Is::leaving;
    armed_ = false;
    return std::nullopt;
  }
  const Time now = clock_.now();
  if (queue_.empty()) {
    if (std::exchange(armed_, false)) disarmed_at_ = now;
    ++sample_;  // what was seen last is no end of the next sample
    too_many_ = excess_ = 0;
    return Time::never();
  }
  if (std::exchange(fresh_, false)) return now + interval_;
  for (const auto& worker : records_) {
    if (worker->is != Is::running) continue;
    const std::uint32_t run = worker->looked_run;
    const bool slept = worker->blocked && worker->runs.load() == run;
    const bool known = slept && now - worker->looked_at < kKnownFor;
    looks.push_back(
        {.worker = worker.get(), .id = worker->id, .known = known, .asleep = slept, .run = run});
  }
  // Whoever is on the way serves the queue.
  if (looks.empty()) return now + std::max(interval_, kPace.fast);
  return now;
}

// Counts who slept at both ends, and acts on what the policy makes of it. Until when to wait.
Time PoolState::judge(const std::vector<Look>& looks, Time began) {
  WakeLock lock(mutex_, clock_);
  if (closed_) return Time{};
  const Time now = clock_.now();
  const int sleepers = count_blocked(looks, now);
  const int want = wanted(now, starting_);
  const bool grew = std::exchange(grew_, false);
  while (active() < want && static_cast<int>(queue_.size()) > starting_) {
    const int before = starting_;
    const char* const why = blocked_ > 0 ? "workers are asleep inside their tasks"
                                         : "the queue is more than the target";
    add_worker(lock, now, why).IgnoreError();  // counted; the next sample tries again
    if (starting_ == before) break;
    grew_ = true;
  }
  // One sample that says so may have caught sleepers on their way to the next call.
  too_many_ = want < active() ? too_many_ + 1 : 0;
  excess_ = too_many_ >= kTooManyMax ? active() - want : 0;
  interval_ = kPace.next(interval_, {.running = running_,
                                     .asleep = sleepers,
                                     .grew = grew || grew_,
                                     .may_grow = active() < rules_.max,
                                     .cost = now - began});
  return now + interval_;
}

// Marks the blocked workers, and returns how many sleep at this end of the sample.
int PoolState::count_blocked(const std::vector<Look>& looks, Time now) {
  ++sample_;
  int sleepers = 0;
  blocked_ = 0;
  for (const Look& look : looks) {
    Worker& worker = *look.worker;
    const bool asleep = look.asleep && worker.is == Is::running;
    worker.blocked = asleep && worker.asleep == sample_ - 1;
    if (worker.blocked) ++blocked_;
    if (!asleep) continue;
    ++sleepers;
    worker.asleep = sample_;
    if (look.known) continue;
    worker.looked_at = now;
    worker.looked_run = look.run;
  }
  return sleepers;
}

void PoolState::leave_supervision() {
  Thread before;
  {
    WakeLock lock(mutex_, clock_);
    supervisor_ = Is::absent;
    before = retire(supervisor_thread_);
    // Work came while it was on its way out.
    if (!orphaned_) serve(lock, clock_.now()).IgnoreError();
    lock.flush();
  }
  if (before.started()) before.join();
}

}  // namespace wisp::inline v0::detail
