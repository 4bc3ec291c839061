// What does a post cost, from the publisher to the end of its handler, beside a mutex, a deque and
// a condition variable?
#include <benchmark/benchmark.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

namespace {

constexpr int kPosts = 20'000;

// The floor that everybody writes first: it meters nothing, retries nothing, has no bound.
class PlainPool {
 public:
  explicit PlainPool(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  ~PlainPool() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
    for (std::thread& each : threads_) each.join();
  }

  void post(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
  }

 private:
  void work() {
    while (true) {
      std::function<void()> task;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return closed_ || !tasks_.empty(); });
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

// Tells the publisher that the last of a round has run.
class Countdown {
 public:
  void start(int count) { left_.store(count, std::memory_order_relaxed); }
  void one() {
    if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) left_.notify_one();
  }
  void wait() {
    for (int left = left_.load(); left > 0; left = left_.load()) left_.wait(left);
  }

 private:
  std::atomic<int> left_{0};
};

void mutex_deque_and_condition_variable(benchmark::State& state) {
  PlainPool pool(static_cast<int>(state.range(0)));
  Countdown countdown;
  for (auto _ : state) {
    countdown.start(kPosts);
    for (int i = 0; i < kPosts; ++i) pool.post([&countdown] { countdown.one(); });
    countdown.wait();
  }
  state.SetItemsProcessed(state.iterations() * kPosts);
}
BENCHMARK(mutex_deque_and_condition_variable)->Arg(1)->Arg(2)->UseRealTime();

void wisp_post(benchmark::State& state) {
  const int workers = static_cast<int>(state.range(0));
  Countdown countdown;
  const auto count = wisp::function("count", [&countdown] { countdown.one(); });
  wisp::Runtime runtime{wisp::Catalogue().add(count), {.workers = {.max = workers}}};
  for (auto _ : state) {
    countdown.start(kPosts);
    for (int i = 0; i < kPosts; ++i) {
      if (!runtime.post(count).ok()) return state.SkipWithError("a post was refused");
    }
    countdown.wait();
  }
  state.SetItemsProcessed(state.iterations() * kPosts);
}
BENCHMARK(wisp_post)->Arg(1)->Arg(2)->UseRealTime();

}  // namespace
