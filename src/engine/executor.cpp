#include <wisp/engine/executor.hpp>

#include <fmt/format.h>

#include <utility>

#include <wisp/engine/detail/thread.hpp>

namespace wisp::inline v0 {

Status Executor::start_thread(std::string_view name, Task body) {
  WISP_TRY(detail::Thread thread, detail::Thread::start(name, std::move(body)));
  thread.detach();
  return Status();
}

Status ManualExecutor::submit(Task& task) {
  const MutexLock lock(mutex_);
  if (closed_) return refused(StatusCode::kUnavailable, Reason::stopped, "the executor has closed");
  if (static_cast<int>(tasks_.size()) >= count_max_) {
    return refused(StatusCode::kResourceExhausted, Reason::full,
                   fmt::format("queue of the pump is full ({})", count_max_));
  }
  tasks_.push_back(std::move(task));
  return Status();
}

bool ManualExecutor::on_executor_thread() const {
  const MutexLock lock(mutex_);
  return pumping_ == detail::current_agent();
}

ManualExecutor::Pumped ManualExecutor::pump(Duration time, int tasks) {
  Pumped result;
  int count = 0;
  {
    const MutexLock lock(mutex_);
    count = static_cast<int>(tasks_.size());
    if (pumping_ != nullptr || count == 0) return {.ran = 0, .left = count};
    pumping_ = detail::current_agent();
  }
  if (tasks > 0 && tasks < count) count = tasks;
  const Deadline deadline = Deadline::after(clock_, time);
  while (result.ran < count && (result.ran == 0 || !deadline.passed(clock_))) {
    Task task;
    {
      const MutexLock lock(mutex_);
      if (tasks_.empty()) break;  // closed by a task
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
    ++result.ran;
  }
  const MutexLock lock(mutex_);
  pumping_ = nullptr;
  result.left = static_cast<int>(tasks_.size());
  return result;
}

void ManualExecutor::close() {
  std::deque<Task> dropped;
  const MutexLock lock(mutex_);
  closed_ = true;
  dropped.swap(tasks_);
  // `dropped` is declared first, so its tasks are destroyed once the lock is gone.
}

int ManualExecutor::queued() const {
  const MutexLock lock(mutex_);
  return static_cast<int>(tasks_.size());
}

}  // namespace wisp::inline v0
