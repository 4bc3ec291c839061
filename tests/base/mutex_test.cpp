#include <wisp/base/mutex.hpp>

#include <thread>
#include <vector>

#include "catch.hpp"

using wisp::Mutex;
using wisp::MutexLock;

namespace {

// Whether another thread could take it: try_lock by its owner would be undefined.
bool free_for_others(Mutex& mutex) {
  bool taken = false;
  std::thread other([&] {
    if (!mutex.try_lock()) return;
    taken = true;
    mutex.unlock();
  });
  other.join();
  return taken;
}

}  // namespace

TEST_CASE("mutex: a lock is held for its scope, or until it is given up", "[mutex]") {
  Mutex mutex;
  CHECK(free_for_others(mutex));
  {
    const MutexLock lock(mutex);
    CHECK_FALSE(free_for_others(mutex));
  }
  CHECK(free_for_others(mutex));
  {
    MutexLock lock(mutex);
    lock.unlock();
    CHECK(free_for_others(mutex));
  }
  CHECK(free_for_others(mutex));
}

TEST_CASE("mutex: one thread at a time is inside", "[mutex]") {
  Mutex mutex;
  int count = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5'000; ++i) {
        const MutexLock lock(mutex);
        ++count;
      }
    });
  }
  for (std::thread& each : threads) each.join();
  CHECK(count == 20'000);
}
