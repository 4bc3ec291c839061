#include "lab.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <optional>

#include <wisp/base/random.hpp>
#include <wisp/engine/pool.hpp>

namespace lab {
namespace {

using namespace std::chrono_literals;
using wisp::Duration;
using wisp::Time;

constexpr Duration kStep = 1ms;
const Duration kIdle = wisp::Workers{}.keep_alive;
constexpr Duration kRounding = 1us;  // of shares of steps
constexpr int kSilence = 120;
constexpr int kPhases = 2;  // seconds, that which Knative's ticks are apart

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

struct Worker {
  enum class Is { starting, idle, busy };
  Is is = Is::starting;
  Time since{};     // in this state
  Duration left{};  // of the call
  Time arrived{};   // it did
  bool unwanted = false;
};

class Simulation {
 public:
  Simulation(const Load& load, const Work& work, const Contender& contender, std::uint64_t seed)
      : load_(load),
        work_(work),
        contender_(contender),
        policy_(contender.policy()),
        random_(seed) {}

  Result run() {
    for (int second = 0; second < load_.seconds + kPhases + kSilence; ++second) {
      Second sum;
      for (int step = 0; step < 1s / kStep; ++step) {
        const double at = seconds(now_ - Time()) - phase_;
        this->step(at >= 0 && at < load_.seconds ? load_.level(at) : 0);
        const auto demand = static_cast<double>(in_system());
        const auto capacity = static_cast<double>(workers_.size());
        sum.demand += demand * seconds(kStep);
        sum.capacity += capacity * seconds(kStep);
        result_.over_provision += std::max(0.0, capacity - demand) * seconds(kStep);
        result_.workers_most = std::max(result_.workers_most, static_cast<int>(workers_.size()));
      }
      result_.seconds.push_back(sum);
    }
    result_.changes = changes_ * 60.0 / (load_.seconds + kPhases + kSilence);
    result_.workers_last = static_cast<int>(workers_.size());
    result_.wait_p50_ms = wait(0.5);
    result_.wait_p99_ms = wait(0.99);
    return std::move(result_);
  }

 private:
  std::size_t count(Worker::Is is) const {
    return static_cast<std::size_t>(std::count_if(
        workers_.begin(), workers_.end(), [is](const Worker& each) { return each.is == is; }));
  }
  std::size_t in_system() const { return queue_.size() + count(Worker::Is::busy); }

  double wait(double share) {
    if (waits_.empty()) return 0;
    const auto rank =
        static_cast<std::size_t>(std::ceil(share * static_cast<double>(waits_.size())));
    const auto at =
        waits_.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(rank, 1) - 1);
    std::nth_element(waits_.begin(), at, waits_.end());
    return 1e3 * seconds(*at);
  }

  void step(double level) {
    now_ = now_ + kStep;
    for (Worker& each : workers_) {
      if (each.is == Worker::Is::starting && now_ - each.since >= work_.start) become_idle(each);
    }
    advance_calls();
    arrive(level * work_.peak * seconds(kStep) / seconds(work_.run));
    if (contender_.pool == Pool::wisp) serve_as_wisp();
    else serve_as_knative();
    see_capacity(level);
  }

  void become_idle(Worker& worker) {
    worker.is = Worker::Is::idle;
    worker.since = now_;
  }

  // Those that compute have the cores in equal shares.
  void advance_calls() {
    const auto busy = static_cast<double>(count(Worker::Is::busy));
    const double share = work_.blocks || busy <= kCores ? 1 : kCores / busy;
    const auto done =
        std::chrono::duration_cast<Duration>(share * std::chrono::duration<double>(kStep));
    for (Worker& each : workers_) {
      if (each.is != Worker::Is::busy) continue;
      each.left -= done;
      if (each.left > kRounding) continue;
      const double run = seconds(now_ - each.since);
      waits_.push_back(std::max(Duration::zero(), now_ - each.arrived - work_.run));
      mean_run_ = mean_run_ == 0 ? run : mean_run_ + (run - mean_run_) / 16;
      become_idle(each);
    }
  }

  // A number of Poisson's. Source: Knuth, TAOCP 2, 3.4.1.
  void arrive(double mean) {
    if (mean <= 0) return;
    const double limit = std::exp(-mean);
    for (double product = uniform(); product > limit; product *= uniform()) {
      queue_.push_back(now_);
      ++result_.calls;
    }
  }
  double uniform() { return static_cast<double>(wisp::uniform(random_, 1, 1'000'000'000)) / 1e9; }

  bool begin_call() {
    const auto idle = std::find_if(workers_.rbegin(), workers_.rend(), [](const Worker& each) {
      return each.is == Worker::Is::idle && !each.unwanted;
    });
    if (idle == workers_.rend() || queue_.empty()) return false;
    idle->arrived = queue_.front();
    queue_.pop_front();
    idle->is = Worker::Is::busy;
    idle->since = now_;
    idle->left = work_.run;
    return true;
  }

  int decide() {
    const auto busy = static_cast<int>(count(Worker::Is::busy));
    return policy_.decide({.queued = static_cast<int>(queue_.size()),
                           .oldest_wait = queue_.empty() ? Duration{} : now_ - queue_.front(),
                           .running = busy,
                           .blocked = work_.blocks ? busy : 0,
                           .starting = static_cast<int>(count(Worker::Is::starting)),
                           .cores = kCores,
                           .mean_run = Duration(static_cast<Duration::rep>(mean_run_ * 1e9)),
                           .idle = static_cast<int>(count(Worker::Is::idle)),
                           .now = now_},
                          {.min = 0, .max = kWorkersMax});
  }

  void add_worker() {
    workers_.push_back({.since = now_});
    ++changes_;
  }

  // A worker that ends a call takes the next one; else one more, idle or new, as the policy wants.
  void serve_as_wisp() {
    for (Worker& each : workers_) {
      if (each.is == Worker::Is::idle && each.since == now_) begin_call();
    }
    while (!queue_.empty()) {
      const std::size_t active = count(Worker::Is::busy) + count(Worker::Is::starting);
      if (decide() <= static_cast<int>(active)) break;
      if (begin_call()) continue;
      // One that starts is on its way to each.
      if (queue_.size() <= count(Worker::Is::starting)) break;
      add_worker();
    }
    const std::size_t before = workers_.size();
    std::erase_if(workers_, [this](const Worker& each) {
      return each.is == Worker::Is::idle && now_ - each.since >= kIdle;
    });
    changes_ += static_cast<int>(before - workers_.size());
  }

  // Asked in each step, as Knative's meters are averages; it changes its mind every two seconds.
  void serve_as_knative() {
    int surplus = static_cast<int>(workers_.size()) - decide();
    for (int i = surplus; i < 0; ++i) add_worker();
    for (Worker& each : workers_) each.unwanted = false;
    for (const Worker::Is is : {Worker::Is::starting, Worker::Is::idle, Worker::Is::busy}) {
      for (Worker& each : workers_) {
        if (each.is != is || surplus <= 0) continue;
        each.unwanted = true;
        --surplus;
      }
    }
    const std::size_t before = workers_.size();
    std::erase_if(workers_,
                  [](const Worker& each) { return each.unwanted && each.is != Worker::Is::busy; });
    changes_ += static_cast<int>(before - workers_.size());
    while (begin_call()) {
    }
  }

  void see_capacity(double level) {
    // A day's load is at its very highest for no whole millisecond.
    if (level < 0.999 || result_.to_capacity_s >= 0) return;
    if (!at_peak_) at_peak_ = now_;
    const double ready = static_cast<double>(workers_.size() - count(Worker::Is::starting));
    if (ready >= std::ceil(work_.peak)) result_.to_capacity_s = seconds(now_ - *at_peak_);
  }

  const Load& load_;
  const Work& work_;
  const Contender& contender_;
  wisp::scaling::Policy policy_;
  wisp::SeededRandom random_;
  const double phase_ = kPhases * uniform();  // when the load begins
  Time now_{};
  int changes_ = 0;
  double mean_run_ = 0;
  std::optional<Time> at_peak_;
  std::vector<Worker> workers_;
  std::deque<Time> queue_;
  std::vector<Duration> waits_;
  Result result_;
};

}  // namespace

Result run(const Load& load, const Work& work, const Contender& contender, std::uint64_t seed) {
  return Simulation(load, work, contender, seed).run();
}

}  // namespace lab
