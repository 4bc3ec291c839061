#include "scheduler.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/detail/frame.hpp>

namespace wisp::inline v0::sim {
namespace {

// What abandoned handlers get to come to their end when their world does.
constexpr std::int64_t kClosingSteps = 10'000;

thread_local Simulated* simulated = nullptr;  // of the calling thread, unless it is a main one

std::string innermost_function() {
  const wisp::detail::ActiveFrame* frame = wisp::detail::ActiveFrame::top();
  return frame == nullptr ? std::string() : fmt::format("'{}'", frame->function);
}

// Since the world began: "30d 07:05:00.250".
std::string moment(Time time) {
  using std::chrono::days;
  const auto since = std::chrono::floor<std::chrono::milliseconds>(time - kStart);
  const auto whole = std::chrono::floor<days>(since);
  const std::chrono::hh_mm_ss clock(since - whole);
  return fmt::format("{}d {:02}:{:02}:{:02}.{:03}", whole.count(), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

[[noreturn]] void die(const std::string& report) {
  std::fputs(report.c_str(), stderr);
  std::fflush(stderr);
  std::abort();
}

}  // namespace

Scheduler::Scheduler(std::uint64_t seed, const WorldOptions& options)
    : seed_(seed), options_(options), main_(new Simulated), choices_(seed) {
  assert(options.threads_max >= 1 && options.steps_max >= 1);
  main_->scheduler = this;
  main_->job = Simulated::Job::main;
  main_->state = Simulated::State::running;
  threads_.emplace_back(main_);
}

Time Scheduler::now() const {
  const MutexLock lock(mutex_);
  return now_;
}

std::uint64_t Scheduler::trace() const {
  const MutexLock lock(mutex_);
  return trace_;
}

Simulated* Scheduler::self() const {
  if (simulated != nullptr && simulated->scheduler == this) return simulated;
  return std::this_thread::get_id() == main_id_ ? main_ : nullptr;
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
  std::string inside = innermost_function();
  const MutexLock lock(mutex_);
  self.inside = std::move(inside);
  self.since = now_;
  self.until = until;
  // Even who need not wait may be overtaken here.
  self.woken = parker.take();
  self.state = Simulated::State::waiting;
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
  if (auto* waiter = static_cast<Simulated*>(parker.tag.load())) waiter->woken = true;
}

void Scheduler::yield() {
  Simulated& self = self_or_die("yield()");
  const MutexLock lock(mutex_);
  self.state = Simulated::State::ready;
  hand_over(self);
}

void Scheduler::advance(Duration d) {
  assert(d >= Duration::zero());
  if (self_or_die("advance()").number != 0) {
    const MutexLock lock(mutex_);
    die(report("advance() was called from a handler; only the main thread moves time"));
  }
  stand_back(Mode::advancing, now() + std::max(d, Duration::zero()));
}

void Scheduler::stand_back(Mode mode, Time limit) {
  const MutexLock lock(mutex_);
  mode_ = mode;
  limit_ = limit;
  steps_ = 0;
  main_->state = Simulated::State::waiting;
  hand_over(*main_);
  mode_ = Mode::waiting;
  steps_ = 0;
}

void Scheduler::hand_over(Simulated& self) {
  Simulated& next = choose();
  next.state = Simulated::State::running;
  if (&next == &self) return;
  mutex_.unlock();
  // Release: what this thread wrote, the next holder sees (acquire in block).
  next.baton.unblock();
  self.baton.block(Duration::max());
  mutex_.lock();
}

bool Scheduler::can_run(const Simulated& thread) const {
  if (thread.state == Simulated::State::ready) return true;
  if (thread.state != Simulated::State::waiting) return false;
  if (thread.number == 0 && mode_ != Mode::waiting) return false;
  return thread.woken || thread.until <= now_;
}

Simulated& Scheduler::choose() {
  while (true) {
    able_.clear();
    for (const auto& each : threads_) {
      if (can_run(*each)) able_.push_back(each.get());
    }
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
    note(static_cast<std::uint64_t>(chosen.number) << 32 | choice);
    return chosen;
  }
}

bool Scheduler::step() {
  ++steps_;
  if (mode_ == Mode::closing) return steps_ > kClosingSteps;
  if (steps_ <= options_.steps_max) return false;
  die(report(mode_ == Mode::advancing
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
  Time next = Time::never();
  for (const auto& each : threads_) {
    if (each->state != Simulated::State::waiting || (back && each->number == 0)) continue;
    next = std::min(next, each->until);
  }
  if (next != Time::never() && (!back || next <= limit_)) {
    now_ = next;
    if (mode_ == Mode::advancing) steps_ = 0;
    return true;
  }
  if (!back) die(report("deadlock: nobody can run and nothing is due"));
  if (limit_ != Time::never()) now_ = limit_;
  return false;
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

// The lowest free number, so that numbers do not depend on how quickly the system's threads end.
Result<Simulated*> Scheduler::idle_thread() {
  for (const auto& each : threads_) {
    if (each->state == Simulated::State::idle) return each.get();
  }
  auto made = std::make_unique<Simulated>();
  Simulated* const thread = made.get();
  thread->scheduler = this;
  thread->number = static_cast<int>(threads_.size());
  WISP_TRY(thread->thread, wisp::detail::Thread::start(fmt::format("sim-{}", thread->number),
                                                       [this, thread] { run(*thread); }));
  threads_.push_back(std::move(made));
  return thread;
}

void Scheduler::run(Simulated& self) {
  simulated = &self;
  self.baton.block(Duration::max());
  while (true) {
    Task body;
    {
      const MutexLock lock(mutex_);
      if (self.exiting) return;
      self.inside.clear();
      body = std::move(self.body);
    }
    body();
    body.reset();
    const MutexLock lock(mutex_);
    --(self.job == Simulated::Job::task ? tasks_begun_ : loops_);
    self.job = Simulated::Job::none;
    self.state = Simulated::State::idle;
    hand_over(self);
  }
}

Status Scheduler::submit(Task& task) {
  const MutexLock lock(mutex_);
  if (closed_) return refused(StatusCode::kUnavailable, Reason::stopped, "the world has ended");
  if (tasks_.size() >= kTasksMax) {
    return refused(StatusCode::kResourceExhausted, Reason::full,
                   fmt::format("the queue of the world is full ({})", kTasksMax));
  }
  tasks_.push_back(std::move(task));
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
  thread->inside = name;
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
    dropped.swap(tasks_);
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
      if (each->state == Simulated::State::idle) {
        each->exiting = true;
        idle.push_back(each.get());
      } else {
        each->thread.detach();
        all = false;
      }
    }
    if (!all) std::fputs(report("some threads never end, and are left behind").c_str(), stderr);
  }
  for (Simulated* each : idle) {
    each->baton.unblock();
    each->thread.join();
  }
  return all;
}

// SplitMix64's mixing function, over the hash so far, the choice and its time.
void Scheduler::note(std::uint64_t choice) {
  for (const std::uint64_t word :
       {choice, static_cast<std::uint64_t>(now_.since_origin().count())}) {
    trace_ = SeededRandom(trace_ ^ word).next();
  }
}

std::string Scheduler::report(std::string_view what) const {
  std::string text =
      fmt::format("wisp::sim, seed {}, {} after the start: {}\n", seed_, moment(now_), what);
  for (const auto& each : threads_) {
    if (each->state == Simulated::State::idle) continue;
    std::string line =
        each->number == 0 ? "  the main thread" : fmt::format("  thread {}", each->number);
    if (!each->inside.empty()) line += fmt::format(", in {},", each->inside);
    const bool back = each->number == 0 && mode_ != Mode::waiting;
    if (back) {
      line += " advances time";
    } else if (each->state != Simulated::State::waiting) {
      line += each->state == Simulated::State::ready ? " could go on" : " runs";
    } else {
      line += fmt::format(" has been waiting since {}", moment(each->since));
      line += each->until == Time::never() ? ", without a limit"
                                           : fmt::format(", until {}", moment(each->until));
    }
    text += line + "\n";
  }
  if (!tasks_.empty()) {
    text += fmt::format("  {} tasks are queued; {} have begun, the limit is {}\n", tasks_.size(),
                        tasks_begun_, options_.threads_max);
  }
  return text;
}

}  // namespace wisp::inline v0::sim
