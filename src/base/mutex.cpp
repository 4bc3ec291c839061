#include <wisp/base/mutex.hpp>

#include <ctime>
#include <thread>

namespace wisp::inline v0 {
namespace {

constexpr int kLooks = 40;
constexpr int kYields = 1000;

}  // namespace

void detail::relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void BriefMutex::wait() {
  for (int i = 0;; ++i) {
    // Reads first: a failed exchange would take the line from the holder.
    if (!taken_.load(std::memory_order_relaxed) &&
        !taken_.exchange(true, std::memory_order_acquire))
      return;
    if (i < kLooks) {
      detail::relax();
    } else if (i < kLooks + kYields) {
      std::this_thread::yield();
    } else {
      const timespec nap{.tv_sec = 0, .tv_nsec = 50'000};
      nanosleep(&nap, nullptr);
    }
  }
}

}  // namespace wisp::inline v0
