// The component sim, as its users link it.
#include <wisp/sim/world.hpp>

int main() {
  using namespace std::chrono_literals;
  int fired = 0;
  wisp::sim::World world{1};
  wisp::Runtime runtime{world.options()};
  auto hourly = runtime.every(1h).run([&fired] { ++fired; });
  world.advance(24h);
  return fired == 24 ? 0 : 1;
}
