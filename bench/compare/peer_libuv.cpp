// libuv: uv_timer_start and uv_timer_stop in one loop's thread.
#include <uv.h>

#include "measure.hpp"

namespace {

int fired = 0;

compare::Outcome timers(const compare::Options& options, bool fire) {
  const int count = options.pick(1'000'000, 50'000);
  uv_loop_t loop;
  compare::require(uv_loop_init(&loop) == 0, "no loop");
  std::vector<uv_timer_t> all(count);
  const compare::Stopwatch watch;
  for (int i = 0; i < count; ++i) {
    uv_timer_init(&loop, &all[i]);
    uv_timer_start(&all[i], [](uv_timer_t*) { ++fired; }, fire ? 0 : 3'600'000 + i % 1'000, 0);
  }
  if (!fire) {
    for (uv_timer_t& each : all) uv_timer_stop(&each);
  }
  uv_run(&loop, UV_RUN_DEFAULT);
  compare::Outcome outcome = watch.per(count);
  compare::require(fired == (fire ? count : 0), "a timer was lost");
  return outcome;
}

}  // namespace

int main(int argc, char** argv) {
  return compare::run({{"I1", [](const auto& o) { return timers(o, false); }},
                       {"I2", [](const auto& o) { return timers(o, true); }}},
                      argc, argv);
}
