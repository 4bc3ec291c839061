// What publishers are inside of, as others see it.
#include <wisp/service/detail/publishing.hpp>

namespace wisp::inline v0::detail {

Publishers::Marks Publishers::inside() const {
  Marks all;
  slots_.for_each([&all](const Slot& slot) {
    for (const Level& each : slot.levels) {
      if (const Route* route = each.route.load(std::memory_order_acquire))
        all.emplace_back(route, each.sequence.load(std::memory_order_relaxed));
    }
  });
  return all;
}

bool Publishers::any_inside() const { return !inside().empty(); }

int Publishers::count(const Route& route) const {
  int count = 0;
  slots_.for_each([&](const Slot& slot) {
    for (const Level& each : slot.levels)
      count += each.route.load(std::memory_order_acquire) == &route ? 1 : 0;
  });
  return count;
}

std::uint64_t Publishers::sum(std::atomic<std::uint64_t> Level::* word) const {
  std::uint64_t sum = 0;
  slots_.for_each([&sum, word](const Slot& slot) {
    for (const Level& each : slot.levels) sum += (each.*word).load(std::memory_order_acquire);
  });
  return sum;
}

}  // namespace wisp::inline v0::detail
