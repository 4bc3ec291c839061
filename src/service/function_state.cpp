// A function's concurrency limit.
#include <utility>

#include <fmt/format.h>

#include <wisp/service/detail/instances.hpp>
#include <wisp/service/detail/route.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

// A leave() that the thread is inside of. A task that no executor takes leaves in its destructor,
// which hands its slot to this one: or what waits would be dropped each inside of the one before.
struct Leaving {
  FunctionState* function;
  int slots;  // to hand on or free
  Leaving* outer;
};

thread_local Leaving* leaving = nullptr;

}  // namespace

Status FunctionState::prepare() { return instances == nullptr ? Status() : instances->provision(); }

bool FunctionState::try_enter() {
  const MutexLock lock(mutex);
  if (inside >= definition->options.limits.concurrency) return false;
  ++inside;
  return true;
}

Status FunctionState::limit_reached() const {
  return refused(StatusCode::kResourceExhausted, Reason::limit,
                 fmt::format("function '{}' is at its concurrency limit ({})", definition->name,
                             definition->options.limits.concurrency));
}

bool FunctionState::enter_or_wait(Task& resume) {
  const MutexLock lock(mutex);
  // Once closed, all may enter: what they stand for is cancelled.
  if (closed || inside < definition->options.limits.concurrency) {
    ++inside;
    return true;
  }
  waiting.push_back(std::move(resume));
  return false;
}

void FunctionState::close() {
  if (instances != nullptr) instances->close();
  std::deque<Task> dropped;
  const MutexLock lock(mutex);
  closed = true;
  dropped.swap(waiting);
  // Each leaves when it is destroyed, as if it had had its slot.
  inside += static_cast<int>(dropped.size());
  // `dropped` is declared first, so its tasks are destroyed once the lock is gone.
}

void FunctionState::leave(Invoker& invoker) {
  for (Leaving* each = leaving; each != nullptr; each = each->outer) {
    if (each->function != this) continue;
    ++each->slots;
    return;
  }
  Leaving mine{.function = this, .slots = 1, .outer = leaving};
  leaving = &mine;
  for (; mine.slots > 0; --mine.slots) {
    Task next;
    {
      const MutexLock lock(mutex);
      if (waiting.empty()) {
        --inside;
        continue;
      }
      next = std::move(waiting.front());
      waiting.pop_front();
    }
    invoker.submit_surely(std::move(next));
  }
  leaving = mine.outer;
}

}  // namespace wisp::inline v0::detail
