#include <wisp/base/readers.hpp>

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace wisp::inline v0::detail {
namespace {

// Of <linux/membarrier.h>, which old systems lack.
constexpr int kExpedited = 1 << 3;
constexpr int kRegister = 1 << 4;

long membarrier(int command) {
#if defined(SYS_membarrier)
  return syscall(SYS_membarrier, command, 0, 0);
#else
  return -1;
#endif
}

bool register_process() {
  const bool registered = membarrier(kRegister) == 0;
  asymmetric_barriers.store(registered, std::memory_order_relaxed);
  return registered;
}

[[maybe_unused]] const bool at_start = register_process();

// Until each store that any thread has made before is out. No manual says how long a processor may
// keep one; a millisecond is taken to be far beyond. Source: Morrison and Afek, "Temporally
// Bounding TSO for Fence-Free Asymmetric Synchronization" (2015), of x86.
void await_stores() {
  timespec left{.tv_sec = 0, .tv_nsec = 1'000'000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

}  // namespace

constinit std::atomic<bool> asymmetric_barriers{false};

void heavy_barrier() {
#if !defined(__SANITIZE_THREAD__)
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
  if (!asymmetric_barriers.load(std::memory_order_relaxed) || membarrier(kExpedited) == 0) return;
  // A process that was forked registers anew.
  if (membarrier(kRegister) == 0 && membarrier(kExpedited) == 0) return;
  await_stores();
}

}  // namespace wisp::inline v0::detail
