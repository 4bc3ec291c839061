#include "scheduler.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

namespace wisp::inline v0::sim {
namespace {

// Of address space; what of it a handler never touches takes no memory.
constexpr std::size_t kStackBytes = std::size_t{1} << 20U;

// What abandoned handlers get to come to their end when their world does.
constexpr std::int64_t kClosingSteps = 10'000;

// Sets where faults strike apart from who goes on.
constexpr std::uint64_t kFaultStream = 0xbb67ae8584caa73bU;

[[noreturn]] void die(const std::string& report) {
  std::fputs(report.c_str(), stderr);
  std::fflush(stderr);
  std::abort();
}

Status check(const WorldOptions& options) {
  if (options.threads_max < 1) {
    return invalid_argument("WorldOptions::threads_max is {}, it must be 1 or more",
                            options.threads_max);
  }
  if (options.steps_max < 1) {
    return invalid_argument("WorldOptions::steps_max is {}, it must be 1 or more",
                            options.steps_max);
  }
  if (options.log_max < 0) {
    return invalid_argument("WorldOptions::log_max is {}, it must not be negative",
                            options.log_max);
  }
  return sim::check(options.faults);
}

}  // namespace

Scheduler::Scheduler(std::uint64_t seed, const WorldOptions& options)
    : seed_(seed),
      options_(options),
      main_(new Simulated),
      running_(main_),
      choices_(seed),
      faults_(seed ^ kFaultStream, options.faults),
      log_(options.log_max) {
  main_->agent = wisp::detail::current_agent();
  main_->fiber = std::make_unique<Fiber>();
  main_->job = Simulated::Job::main;
  main_->state = Simulated::State::running;
  threads_.emplace_back(main_);
  const MutexLock lock(mutex_);
  if (const Status bad = check(options); !bad.ok()) die(report(message(bad)));
}

Time Scheduler::now() const {
  const MutexLock lock(mutex_);
  return now_;
}

Duration Scheduler::wall_error() const {
  const MutexLock lock(mutex_);
  return wall_error_;
}

void Scheduler::set_faults(const Faults& faults) {
  const MutexLock lock(mutex_);
  if (const Status bad = check(faults); !bad.ok()) die(report(message(bad)));
  faults_.set(faults);
}

Strike Scheduler::strike() {
  const MutexLock lock(mutex_);
  return faults_.handler();
}

void Scheduler::record(std::string text) {
  const Simulated* const found = self();
  const MutexLock lock(mutex_);
  log_.line(now_, found == nullptr ? -1 : found->number, std::move(text));
}

Log Scheduler::log() const {
  const MutexLock lock(mutex_);
  return log_.read();
}

std::uint64_t Scheduler::hash() const {
  const MutexLock lock(mutex_);
  return log_.hash();
}

Simulated* Scheduler::self() const {
  Simulated* const running = running_.load(std::memory_order_acquire);
  return running->agent == wisp::detail::current_agent() ? running : nullptr;
}

Simulated& Scheduler::self_or_die(std::string_view what) const {
  if (Simulated* found = self()) return *found;
  const MutexLock lock(mutex_);
  die(
      report(fmt::format("{} on a thread that is neither the world's main thread, the one that "
                         "made it, nor one of its handlers'",
                         what)));
}

bool Scheduler::park(Parker& parker, Time until) {
  Simulated& self = self_or_die("a wait");
  const MutexLock lock(mutex_);
  self.since = now_;
  self.until = until;
  // Even who need not wait may be overtaken here.
  self.woken = parker.take();
  self.state = Simulated::State::waiting;
  if (self.woken || self.until <= now_) may_run(self);
  else await_time(self);
  parker.tag.store(&self);
  hand_over(self);
  parker.tag.store(nullptr);
  const bool woken = parker.take() || self.woken;
  // Somebody else brought the main thread forward.
  if (woken && self.job == Simulated::Job::main) steps_ = 0;
  return woken;
}

void Scheduler::wake(Parker& parker) {
  const MutexLock lock(mutex_);
  parker.unblock();
  auto* const waiter = static_cast<Simulated*>(parker.tag.load());
  if (waiter == nullptr) return;
  waiter->woken = true;
  if (waiter->state != Simulated::State::waiting || waiter->able) return;
  asleep_.erase({waiter->until, waiter});
  may_run(*waiter);
}

void Scheduler::yield() {
  Simulated& self = self_or_die("yield()");
  const MutexLock lock(mutex_);
  self.state = Simulated::State::ready;
  may_run(self);
  hand_over(self);
}

void Scheduler::may_run(Simulated& thread) {
  const auto after = [](const Simulated* each, int number) { return each->number < number; };
  able_.insert(std::lower_bound(able_.begin(), able_.end(), thread.number, after), &thread);
  thread.able = true;
}

void Scheduler::await_time(Simulated& thread) {
  if (thread.until != Time::never()) asleep_.emplace(thread.until, &thread);
}

void Scheduler::advance(Duration d) {
  assert(d >= Duration::zero());
  if (self_or_die("advance()").number != 0) {
    const MutexLock lock(mutex_);
    die(report("advance() was called from a handler; only the main thread moves time"));
  }
  const Time limit = now() + std::max(d, Duration::zero());
  stand_back(Mode::advancing, limit);
}

bool Scheduler::advance_one(Time limit) {
  if (self_or_die("run_until()").number != 0) {
    const MutexLock lock(mutex_);
    die(report("run_until() was called from a handler; only the main thread moves time"));
  }
  return stand_back(Mode::stepping, limit);
}

bool Scheduler::stand_back(Mode mode, Time limit) {
  const MutexLock lock(mutex_);
  mode_ = mode;
  limit_ = limit;
  // Between two single steps the main thread only looks.
  if (mode != Mode::stepping) steps_ = 0;
  stepped_ = false;
  main_->state = Simulated::State::waiting;
  hand_over(*main_);
  mode_ = Mode::waiting;
  if (mode != Mode::stepping || !stepped_) steps_ = 0;
  return stepped_;
}

void Scheduler::hand_over(Simulated& self) {
  Simulated& next = choose();
  next.state = Simulated::State::running;
  if (std::exchange(next.able, false)) std::erase(able_, &next);
  if (&next == &self) return;
  running_.store(&next, std::memory_order_release);
  mutex_.unlock();
  self.fiber->switch_to(*next.fiber);
  mutex_.lock();
}

Simulated& Scheduler::choose() {
  if (mode_ == Mode::stepping && stepped_) return *main_;
  while (true) {
    begin_late_tasks();
    const auto room = static_cast<std::size_t>(options_.threads_max - tasks_begun_);
    const std::size_t choices = able_.size() + std::min(room, tasks_.size());
    if (choices == 0) {
      if (pass_time()) continue;
      return *main_;
    }
    if (step()) return *main_;
    const auto last = static_cast<std::int64_t>(choices) - 1;
    const auto choice = static_cast<std::size_t>(last == 0 ? 0 : uniform(choices_, 0, last));
    Simulated& chosen = choice < able_.size() ? *able_[choice] : begin(choice - able_.size());
    log_.choice(now_, static_cast<std::uint64_t>(chosen.number) << 32 | choice);
    stepped_ = true;
    return chosen;
  }
}

bool Scheduler::step() {
  ++steps_;
  if (mode_ == Mode::closing) return steps_ > kClosingSteps;
  if (steps_ <= options_.steps_max) return false;
  die(report(mode_ != Mode::waiting
                 ? fmt::format("{} steps without time passing: does a function call itself anew "
                               "for ever? If not, raise WorldOptions::steps_max",
                               options_.steps_max)
                 : fmt::format("{} steps did not bring the main thread's wait to its end: does it "
                               "wait for a handler that never returns? If not, raise "
                               "WorldOptions::steps_max",
                               options_.steps_max)));
}

bool Scheduler::pass_time() {
  const bool back = mode_ != Mode::waiting;
  Time next = asleep_.empty() ? Time::never() : asleep_.begin()->first;
  if (!late_.empty()) next = std::min(next, late_.begin()->first);
  if (next != Time::never() && (!back || next <= limit_)) {
    now_ = next;
    for (; !asleep_.empty() && asleep_.begin()->first <= now_; asleep_.erase(asleep_.begin()))
      may_run(*asleep_.begin()->second);
    if (mode_ == Mode::advancing || mode_ == Mode::stepping) steps_ = 0;
    if (const std::optional<Duration> error = faults_.wall()) wall_error_ = *error;
    return true;
  }
  if (!back) die(report("deadlock: nobody can run and nothing is due"));
  if (limit_ != Time::never()) now_ = limit_;
  return false;
}

void Scheduler::begin_late_tasks() {
  while (!late_.empty() && late_.begin()->first <= now_) {
    tasks_.push_back(std::move(late_.begin()->second));
    late_.erase(late_.begin());
  }
}

Simulated& Scheduler::begin(std::size_t task) {
  const Result<Simulated*> thread = idle_thread();
  if (!thread.ok()) die(report(message(thread.status())));
  Simulated& chosen = **thread;
  const auto place = tasks_.begin() + static_cast<std::ptrdiff_t>(task);
  chosen.body = std::move(*place);
  tasks_.erase(place);
  chosen.job = Simulated::Job::task;
  ++tasks_begun_;
  return chosen;
}

Result<Simulated*> Scheduler::idle_thread() {
  if (!idle_.empty()) {
    const auto number = static_cast<std::size_t>(idle_.top());
    idle_.pop();
    return threads_[number].get();
  }
  auto made = std::make_unique<Simulated>();
  Simulated* const thread = made.get();
  thread->number = static_cast<int>(threads_.size());
  WISP_TRY(thread->fiber, Fiber::make(kStackBytes, [this, thread] { run(*thread); }));
  thread->agent = thread->fiber.get();
  threads_.push_back(std::move(made));
  return thread;
}

void Scheduler::run(Simulated& self) {
  while (true) {
    Task body;
    {
      const MutexLock lock(mutex_);
      if (self.exiting) break;
      body = std::move(self.body);
    }
    body();
    body.reset();
    const MutexLock lock(mutex_);
    --(self.job == Simulated::Job::task ? tasks_begun_ : loops_);
    self.job = Simulated::Job::none;
    self.state = Simulated::State::idle;
    self.name.clear();
    idle_.push(self.number);
    hand_over(self);
  }
  self.fiber->end_with(*main_->fiber);
}

Status Scheduler::submit(Task& task) {
  const MutexLock lock(mutex_);
  if (closed_) return refused(StatusCode::kUnavailable, Reason::stopped, "the world has ended");
  if (tasks_.size() + late_.size() >= kTasksMax || faults_.full()) {
    return refused(StatusCode::kResourceExhausted, Reason::full,
                   fmt::format("the queue of the world is full ({})", kTasksMax));
  }
  if (const std::optional<Duration> late = faults_.late())
    late_.emplace(now_ + *late, std::move(task));
  else tasks_.push_back(std::move(task));
  return Status();
}

Status Scheduler::start_thread(std::string_view name, Task body) {
  const MutexLock lock(mutex_);
  if (closed_) return refused(StatusCode::kUnavailable, Reason::stopped, "the world has ended");
  if (loops_ >= options_.threads_max) {
    return unavailable("the world runs {} loops, the limit: no thread for '{}'", loops_, name);
  }
  WISP_TRY(Simulated * thread, idle_thread());
  thread->body = std::move(body);
  thread->job = Simulated::Job::loop;
  thread->state = Simulated::State::ready;
  may_run(*thread);
  thread->name = name;
  ++loops_;
  return Status();
}

bool Scheduler::on_task() const {
  const Simulated* found = self();
  if (found == nullptr) return false;
  const MutexLock lock(mutex_);
  return found->job == Simulated::Job::task;
}

bool Scheduler::thread_left() const {
  const MutexLock lock(mutex_);
  return tasks_begun_ < options_.threads_max;
}

bool Scheduler::close() {
  if (self_or_die("the end of a world").number != 0) {
    const MutexLock lock(mutex_);
    die(report("a world ended on another thread than the one that made it"));
  }
  std::deque<Task> dropped;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    faults_.set({});
    dropped.swap(tasks_);
    for (auto& [time, task] : late_) dropped.push_back(std::move(task));
    late_.clear();
  }
  // Each may be the last to hold a runtime's parts, whose end may wait; oldest first.
  while (!dropped.empty()) dropped.pop_front();
  stand_back(Mode::closing, Time::never());

  std::vector<Simulated*> idle;
  bool all = true;
  {
    const MutexLock lock(mutex_);
    for (const auto& each : threads_) {
      if (each->number == 0) continue;
      each->exiting = each->state == Simulated::State::idle;
      if (each->exiting) idle.push_back(each.get());
      else all = false;
    }
    if (!all) std::fputs(report("some threads never end, and are left behind").c_str(), stderr);
  }
  for (Simulated* each : idle) {
    main_->fiber->switch_to(*each->fiber);
    each->fiber.reset();
  }
  return all;
}

}  // namespace wisp::inline v0::sim
