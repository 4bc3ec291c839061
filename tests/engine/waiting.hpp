// How the engine's tests use other threads, and wait for them: on conditions, never on time.
//
//   Gate gate;
//   pool.submit([&] { gate.pass(); });
//   gate.await(1);                                        // a task stands at the gate
//   gate.open();
//   CHECK(eventually([&] { return pool.stats().parked == 1; }));
//
// Threads: any.
#pragma once

#include <dirent.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/engine/executor.hpp>

namespace wisp::test {

inline Status submit(Executor& executor, Task task) { return executor.submit(task); }

inline Time from_now(Duration wait) { return Clock::system().now() + wait; }

// Runs `body(0)` to `body(count - 1)` on a thread each, at once, to their end.
inline void together(int count, const std::function<void(int)>& body) {
  std::vector<std::thread> all;
  for (int i = 0; i < count; ++i) all.emplace_back(body, i);
  for (std::thread& thread : all) thread.join();
}

// Looks until `condition` holds; gives up after 20 s, far beyond what a busy machine needs.
template <class Condition>
bool eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

// Holds whoever passes, asleep in the kernel, until it opens. Its end waits until they are through:
// a test may be over before the threads of its pool are.
class Gate {
 public:
  ~Gate() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return through_ == standing_; });
  }
  void pass() {
    std::unique_lock lock(mutex_);
    ++standing_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    ++through_;
    changed_.notify_all();
  }
  // Until `count` have come.
  void await(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return standing_ >= count; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int standing_ = 0;
  int through_ = 0;
  bool open_ = false;
};

// Runs a callable when it is destroyed, unless moved from.
template <class F>
class AtEnd {
 public:
  explicit AtEnd(F f) : f_(std::make_unique<F>(std::move(f))) {}
  AtEnd(AtEnd&&) noexcept = default;
  ~AtEnd() {
    if (f_ != nullptr) (*f_)();
  }

 private:
  std::unique_ptr<F> f_;
};

// Of this process, as the kernel counts them; among them for a moment one that has been joined, so
// ask eventually() whether they are gone.
inline int threads() {
  int count = -2;  // . and ..
  DIR* tasks = opendir("/proc/self/task");
  while (readdir(tasks) != nullptr) ++count;
  closedir(tasks);
  return count;
}

// The same once whatever an earlier test left to end by itself has ended: a count to compare with.
inline int threads_at_rest() {
#if defined(__SANITIZE_THREAD__)
  constexpr int kRest = 2;    // the sanitizer has one of its own,
  std::thread([] {}).join();  // since the first that was begun
#else
  constexpr int kRest = 1;
#endif
  eventually([] { return threads() <= kRest; });
  return threads();
}

}  // namespace wisp::test
