#include <wisp/base/id.hpp>

#include <fmt/format.h>
#include <sys/random.h>

#include <wisp/base/random.hpp>

namespace wisp::inline v0 {

std::string to_string(EventId id) { return fmt::format("{:016x}{:016x}", id.origin, id.sequence); }

std::uint64_t SeededRandom::entropy() {
  std::uint64_t seed = 0;
  // Eight bytes never fall short once the kernel's pool is ready; before that the call waits for
  // it.
  while (getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) {
  }
  return seed;
}

}  // namespace wisp::inline v0

fmt::format_context::iterator fmt::formatter<wisp::EventId>::format(
    const wisp::EventId& id, fmt::format_context& context) const {
  return fmt::formatter<fmt::string_view>::format(wisp::to_string(id), context);
}
