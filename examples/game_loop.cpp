// A game owns its thread and its time: nothing of wisp runs but inside pump(), once a frame, within
// a budget. What does not fit waits for the next frame.
#include <wisp/wisp.hpp>

using namespace wisp::literals;

namespace {

struct Hit {
  int target = 0;
  int damage = 0;
};
WISP_FIELDS(Hit, target, damage)

constexpr int kFrames = 120;
constexpr int kHitsPerVolley = 200;
constexpr wisp::Duration kFrame = 16ms;

}  // namespace

int main() {
  // The game's clock is the game's: here one that a frame moves on, so that the example takes no
  // time and always prints the same.
  wisp::ManualClock clock;
  wisp::SeededRandom random{7};
  wisp::Runtime runtime{{.threads = wisp::Threads::none, .clock = &clock, .random = &random}};

  int health = 10'000;
  auto hits = runtime.on("combat.hit")
                  .where(wisp::field("damage").greater_than(0))
                  .to([&health](const Hit& hit) { health -= hit.damage; });
  auto regeneration = runtime.every(500ms).run([&health] { health += 100; });

  int pumped_most = 0;
  for (int frame = 0; frame < kFrames; ++frame) {
    if (frame % 30 == 0) {
      for (int i = 0; i < kHitsPerVolley; ++i) {
        if (!runtime.emit("combat.hit", Hit{i, i % 3}).ok()) return 1;
      }
    }
    // At most 2 ms and 64 handlers: a volley of 200 hits takes several frames.
    const wisp::Pumped pumped = runtime.pump({.time = 2ms, .tasks = 64});
    pumped_most = std::max(pumped_most, pumped.ran);
    if (frame % 30 < 4)
      fmt::print("frame {:>3}: {:>2} handlers ran, {:>3} wait\n", frame, pumped.ran, pumped.left);
    clock.advance(kFrame);
  }
  const wisp::EventStats events = runtime.stats().events;
  fmt::print("health {}, {} deliveries, {} without a taker, at most {} in a frame\n", health,
             events.done, events.unmatched, pumped_most);
  return pumped_most <= 64 && events.accepted == events.done ? 0 : 1;
}
