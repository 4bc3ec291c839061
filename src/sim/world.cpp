#include <wisp/sim/world.hpp>

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <wisp/base/park.hpp>

#include "scheduler.hpp"
#include "stage.hpp"

namespace wisp::inline v0::sim {
namespace {

constexpr WallTime kWallAtStart{std::chrono::sys_days{std::chrono::year{2020} / 1 / 1}};

// Sets the numbers that a world gives out apart from those that it chooses threads by.
constexpr std::uint64_t kRandomStream = 0x6a09e667f3bcc908U;

class VirtualClock final : public Clock {
 public:
  explicit VirtualClock(Scheduler& scheduler) : scheduler_(scheduler) {}

  Time now() const override { return scheduler_.now(); }
  WallTime wall() const override {
    // By a Time's sums, which saturate.
    const Time wall = Time(kWallAtStart.time_since_epoch()) + (scheduler_.now() - kStart) +
                      scheduler_.wall_error();
    return WallTime(std::chrono::duration_cast<WallTime::duration>(wall.since_origin()));
  }
  bool park(Parker& parker, Time until) override { return scheduler_.park(parker, until); }
  void wake(Parker& parker) override { scheduler_.wake(parker); }

 private:
  Scheduler& scheduler_;
};

class SimulatedExecutor final : public Executor {
 public:
  explicit SimulatedExecutor(Scheduler& scheduler) : scheduler_(scheduler) {}

  Status submit(Task& task) override { return scheduler_.submit(task); }
  // Threads are made as they are needed, so a waiter stands in nobody's way until the last one
  // would wait too.
  bool begin_blocking() override { return scheduler_.thread_left(); }
  bool on_executor_thread() const override { return scheduler_.on_task(); }
  Status start_thread(std::string_view name, Task body) override {
    return scheduler_.start_thread(name, std::move(body));
  }

 private:
  Scheduler& scheduler_;
};

}  // namespace

struct World::Parts {
  Parts(std::uint64_t seed, const WorldOptions& options)
      : scheduler(seed, options), random(seed ^ kRandomStream) {}

  Scheduler scheduler;
  VirtualClock clock{scheduler};
  SimulatedExecutor executor{scheduler};
  Stage stage{scheduler, clock};
  SeededRandom random;
};

World::World(std::uint64_t seed, WorldOptions options)
    : parts_(std::make_unique<Parts>(seed, options)) {}

World::~World() {
  if (parts_->scheduler.close()) return;
  // Stacks that are left behind refer to the parts. Kept in sight, so that these are no leak.
  static std::vector<std::unique_ptr<Parts>>& kept = *new std::vector<std::unique_ptr<Parts>>;
  static Mutex& mutex = *new Mutex;
  const MutexLock lock(mutex);
  kept.push_back(std::move(parts_));
}

RuntimeOptions World::options(RuntimeOptions given) {
  given.clock = &parts_->clock;
  given.random = &parts_->random;
  given.simulator = &parts_->stage;
  given.executor = given.threads == Threads::none ? nullptr : &parts_->executor;
  return given;
}

bool World::run_until(const std::function<bool()>& predicate, Duration limit) {
  const Time end = clock().now() + std::max(limit, Duration::zero());
  while (!predicate()) {
    if (!parts_->scheduler.advance_one(end)) return predicate();
  }
  return true;
}

void World::advance(Duration d) { parts_->scheduler.advance(d); }
void World::yield() { parts_->scheduler.yield(); }
Clock& World::clock() { return parts_->clock; }
Executor& World::executor() { return parts_->executor; }
Random& World::random() { return parts_->random; }
std::uint64_t World::seed() const { return parts_->scheduler.seed(); }
void World::faults(const Faults& faults) { parts_->scheduler.set_faults(faults); }
void World::note(std::string_view text) { parts_->scheduler.record(std::string(text)); }
Observation World::watch(Runtime& runtime) {
  return runtime.observe([parts = parts_.get()](const Record& record) {
    const std::string who = record.id.empty() ? "-" : fmt::format("{}", record.id);
    parts->scheduler.record(fmt::format("{}: {}", who, to_string(record)));
  });
}

Log World::log() const { return parts_->scheduler.log(); }
std::uint64_t World::hash() const { return parts_->scheduler.hash(); }

}  // namespace wisp::inline v0::sim
