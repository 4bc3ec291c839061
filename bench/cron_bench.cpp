// What the next time of a cron expression costs, in a zone whose clocks change. Its floor is one
// lookup of the zone's offset, of which any answer needs at least one.
#include <absl/time/time.h>
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <memory>

#include <wisp/model/cron.hpp>
#include <wisp/zones.hpp>

namespace {

constexpr const char* kZone = "Europe/Lisbon";
constexpr const char* kExpressions[] = {"* * * * *",      "0 3 * * mon-fri", "*/7 8-18 * * *",
                                        "30 1 * * sun#2", "0 12 LW * *",     "0 0 29 2 *"};

// Moments from 2004 to 2038.
class Moments {
 public:
  std::int64_t next() {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::int64_t>(state_ >> 34) + 1'100'000'000;
  }

 private:
  std::uint64_t state_ = 1;
};

void zone_lookup(benchmark::State& state) {
  absl::TimeZone zone;
  if (!absl::LoadTimeZone(kZone, &zone)) return state.SkipWithError("no such zone");
  Moments moments;
  for (auto _ : state)
    benchmark::DoNotOptimize(zone.At(absl::FromUnixSeconds(moments.next())).offset);
}
BENCHMARK(zone_lookup);

void cron_next(benchmark::State& state) {
  const auto cron = wisp::Cron::parse(kExpressions[state.range(0)]);
  const auto zone = wisp::load_zone(kZone);
  if (!cron.ok() || !zone.ok()) return state.SkipWithError("no such expression or zone");
  state.SetLabel(kExpressions[state.range(0)]);
  Moments moments;
  for (auto _ : state)
    benchmark::DoNotOptimize(
        cron->next(wisp::Instant(std::chrono::seconds(moments.next())), **zone));
}
BENCHMARK(cron_next)->DenseRange(0, 5);

}  // namespace
