#include <wisp/base/id.hpp>

#include <fmt/format.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include <wisp/base/clock.hpp>
#include <wisp/base/random.hpp>

namespace wisp::inline v0 {

std::string to_string(EventId id) { return fmt::format("{:016x}{:016x}", id.origin, id.sequence); }

std::uint64_t SeededRandom::entropy() {
  std::uint64_t seed = 0;
  ssize_t size = 0;
  // Eight bytes never fall short once the kernel's pool is ready; before that the call waits for
  // it.
  do size = getrandom(&seed, sizeof seed, 0);
  while (size < 0 && errno == EINTR);
  if (size == static_cast<ssize_t>(sizeof seed)) return seed;
  // An old kernel, or a filter of system calls: what the kernel gave the process at its start, and
  // when and in which child of it this is. Of the sixteen bytes the C library makes the secrets of
  // stacks and pointers, so none can be told from the ids: only both halves together go in.
  if (const unsigned long bytes = getauxval(AT_RANDOM); bytes != 0) {
    std::uint64_t halves[2];
    std::memcpy(halves, reinterpret_cast<const void*>(bytes), sizeof halves);
    seed = halves[0] ^ halves[1];
  }
  const Duration now = std::chrono::steady_clock::now().time_since_epoch();
  seed += static_cast<std::uint64_t>(now.count());
  seed += static_cast<std::uint64_t>(getpid()) << 32U;
  return SeededRandom(seed).next();
}

}  // namespace wisp::inline v0

fmt::format_context::iterator fmt::formatter<wisp::EventId>::format(
    const wisp::EventId& id, fmt::format_context& context) const {
  return fmt::formatter<fmt::string_view>::format(wisp::to_string(id), context);
}
