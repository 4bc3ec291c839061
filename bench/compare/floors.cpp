// The written-out peers: what one writes without a library, and floors that nobody could ship.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "events.hpp"
#include "pools.hpp"

namespace {

using compare::Options;
using compare::Outcome;
using Function = std::function<int(int)>;

// Mutex, deque, condition variable. Unbounded.
class MutexPool {
 public:
  explicit MutexPool(int workers) {
    for (int i = 0; i < workers; ++i) std::thread([this] { work(); }).detach();
  }
  template <class F>
  void post(F f) {
    {
      const std::lock_guard lock(mutex_);
      tasks_.emplace_back(std::move(f));
    }
    changed_.notify_one();
  }

 private:
  void work() {
    while (true) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !tasks_.empty(); });
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
};

// One producer, one consumer that never sleeps, a ring of counters: no callable at all.
Outcome spin_ring(const Options& options) {
  constexpr std::uint64_t kSize = 1 << 16;
  const auto count =
      static_cast<std::uint64_t>(options.pick(compare::kPosts, compare::kPostsQuick));
  std::vector<std::uint64_t> ring(kSize);
  alignas(64) std::atomic<std::uint64_t> head{0};  // release by the producer, acquire below
  alignas(64) std::atomic<std::uint64_t> tail{0};  // release by the consumer, acquire below
  std::uint64_t sum = 0;
  const compare::Stopwatch watch;
  std::thread consumer([&] {
    for (std::uint64_t i = 0; i < count; ++i) {
      while (head.load(std::memory_order_acquire) == i) std::this_thread::yield();
      sum += ring[i % kSize];
      tail.store(i + 1, std::memory_order_release);
    }
  });
  for (std::uint64_t i = 0; i < count; ++i) {
    while (i - tail.load(std::memory_order_acquire) == kSize) std::this_thread::yield();
    ring[i % kSize] = 1;
    head.store(i + 1, std::memory_order_release);
  }
  consumer.join();
  Outcome outcome = watch.per(static_cast<double>(count));
  compare::require(sum == count, "a task was lost");
  return outcome;
}

// What a hand-written meter does: two clock readings and a histogram of the thread's own.
thread_local std::array<std::uint64_t, 64> histogram{};
int metered(const Function& function, int n) {
  const auto begin = std::chrono::steady_clock::now();
  const int result = function(n);
  const auto took = std::chrono::steady_clock::now() - begin;
  ++histogram[63 - __builtin_clzll(static_cast<unsigned long long>(took.count()) | 1U)];
  return result;
}

Outcome calls(const Options& options, bool meter) {
  Function function = [](int n) { return n + 1; };
  compare::escape(&function);
  const int count = options.pick(2'000'000, 200'000);
  if (!meter) return compare::on_threads(1, count, [&](int n) { return function(n); });
  return compare::on_threads(1, count, [&](int n) { return metered(function, n); });
}

Outcome calls_by_name(const Options& options, int (*which)(int)) {
  std::shared_mutex mutex;
  std::unordered_map<std::string, Function> functions;
  const auto names = compare::names("function", 1'000);
  for (const auto& name : names) functions[name] = [](int n) { return n + 1; };
  compare::escape(&functions);
  return compare::on_threads(1, options.pick(1'000'000, 100'000), [&](int n) {
    const auto begin = std::chrono::steady_clock::now();
    const std::shared_lock lock(mutex);
    const int result = functions.find(names[which(n)])->second(n);
    compare::keep(std::chrono::steady_clock::now() - begin);
    return result;
  });
}

Outcome publish(const Options& options, int subscribers) {
  std::vector<std::function<void(const compare::Event&)>> callbacks(
      subscribers, [](const compare::Event& event) { compare::deliver(event); });
  compare::escape(callbacks.data());
  return compare::publish(options, subscribers, 1, [&](const compare::Event& event) {
    for (const auto& each : callbacks) each(event);
  });
}

// On two threads each reads the same map, to which nobody writes.
Outcome hash_lookup(const Options& options, int threads) {
  const auto topics = compare::names("orders.exact", 10'000);
  std::unordered_map<std::string, int> index;
  for (const auto& each : topics) index[each] = 1;
  compare::escape(&index);
  return compare::on_threads(threads, options.pick(2'000'000, 200'000),
                             [&](int n) { return n + index.find(topics[n % 10'000])->second; });
}

Outcome threads(const Options& options) {
  std::vector<double> samples;
  for (int i = 0; i < options.pick(200, 30); ++i) {
    const double begin = compare::wall_ns();
    std::promise<int> promise;
    auto future = promise.get_future();
    std::thread thread([&] { promise.set_value(2); });
    compare::require(future.get() == 2, "a wrong result");
    samples.push_back(compare::wall_ns() - begin);
    thread.join();
  }
  Outcome outcome;
  compare::add_percentiles(outcome, std::move(samples));
  return outcome;
}

}  // namespace

int main(int argc, char** argv) {
  auto all = compare::pool_workloads<MutexPool>();
  all["A1"] = [](const Options& o) { return calls(o, true); };
  all["A2"] = [](const Options& o) { return calls(o, false); };
  all["A3"] = [](const Options& o) { return calls_by_name(o, compare::in_order); };
  all["A3.scattered"] = [](const Options& o) { return calls_by_name(o, compare::scattered); };
  all["B1.ring"] = spin_ring;
  all["D3.idle"] = compare::sleeping;
  all["G1"] = [](const Options& o) { return publish(o, 1); };
  all["G8"] = [](const Options& o) { return publish(o, 8); };
  all["G64"] = [](const Options& o) { return publish(o, 64); };
  all["H"] = [](const Options& o) { return hash_lookup(o, 1); };
  all["H.2T"] = [](const Options& o) { return hash_lookup(o, 2); };
  all["J"] = threads;
  return compare::run(all, argc, argv);
}
