#include "day.hpp"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include <wisp/sim/world.hpp>

namespace replay {
namespace {

using namespace std::chrono_literals;
using wisp::Duration;
using wisp::Time;

// Workers of the runtime, and of the world: see its threads_max for why there are no more.
constexpr int kInFlightMax = 16'384;

// How many there are, and for how long.
class Population {
 public:
  explicit Population(const wisp::Clock& clock) : clock_(clock), since_(clock.now()) {}

  void change(int by) {
    const Time now = clock_.now();
    hours_ += alive_ * std::chrono::duration<double, std::ratio<3600>>(now - since_).count();
    since_ = now;
    alive_ += by;
    most_ = std::max(most_, alive_);
    lately_ = std::max(lately_, alive_);
  }
  int most() const { return most_; }
  // Since this was asked before.
  int most_lately() { return std::exchange(lately_, alive_); }
  double hours() {
    change(0);
    return hours_;
  }

 private:
  const wisp::Clock& clock_;
  Time since_;
  int alive_ = 0;
  int most_ = 0;
  int lately_ = 0;
  double hours_ = 0;
};

struct Numbers {
  explicit Numbers(const wisp::Clock& clock) : instances(clock), calls(clock) {}
  Population instances;
  Population calls;

  Sample sample(wisp::Money spent) {
    return {.in_flight = calls.most_lately(), .instances = instances.most_lately(), .spent = spent};
  }
};

class Instance {
 public:
  explicit Instance(Numbers& numbers) : numbers_(numbers) { numbers_.instances.change(1); }
  ~Instance() { numbers_.instances.change(-1); }
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  void operator()(Duration work, wisp::Context& context) {
    numbers_.calls.change(1);
    context.elapse(work);
    numbers_.calls.change(-1);
  }

 private:
  Numbers& numbers_;
};

auto function_of(const std::string& name, const Traced& traced, Numbers& numbers,
                 const wisp::Instances& instances) {
  return wisp::function(
      name, wisp::stateful<Instance>([&numbers] { return std::make_unique<Instance>(numbers); }),
      {.memory_mb = traced.memory_mb, .instances = instances});
}

double mean_ms(const Traced& traced) {
  double sum = 0;
  for (std::size_t i = 1; i < kDurationPercentiles.size(); ++i) {
    const double share = kDurationPercentiles[i] - kDurationPercentiles[i - 1];
    sum += share / 100 * (traced.duration_ms[i - 1] + traced.duration_ms[i]) / 2;
  }
  return sum;
}

// Calls in flight at once, on an average minute of those in which it is called.
double in_flight(const Traced& traced) {
  const auto active = std::count_if(traced.calls.begin(), traced.calls.end(),
                                    [](std::uint32_t calls) { return calls > 0; });
  return active == 0 ? 0
                     : static_cast<double>(traced.calls_of_all) * mean_ms(traced) /
                           (60e3 * static_cast<double>(active));
}

// Along the straight line between two percentiles.
Duration any_duration(const Traced& traced, wisp::Random& random) {
  const double at = static_cast<double>(wisp::uniform(random, 0, 1'000'000)) / 10'000;
  const auto upper = std::find_if(kDurationPercentiles.begin() + 1, kDurationPercentiles.end() - 1,
                                  [at](double each) { return at <= each; });
  const auto i = static_cast<std::size_t>(upper - kDurationPercentiles.begin());
  const double share =
      (at - kDurationPercentiles[i - 1]) / (kDurationPercentiles[i] - kDurationPercentiles[i - 1]);
  const double ms =
      traced.duration_ms[i - 1] + share * (traced.duration_ms[i] - traced.duration_ms[i - 1]);
  return Duration(static_cast<Duration::rep>(ms * 1e6));
}

using Function =
    decltype(function_of({}, std::declval<const Traced&>(), std::declval<Numbers&>(), {}));

struct Played {
  const Traced* traced;
  Function function;
};

}  // namespace

wisp::Result<Day> replay_day(const Trace& trace, const DayOptions& options) {
  wisp::sim::World world{options.seed, {.threads_max = kInFlightMax, .log_max = 0}};
  Numbers numbers{world.clock()};
  std::vector<Played> played;
  wisp::Catalogue catalogue;
  Day day;
  for (const Traced& each : trace.functions) {
    if (each.calls_of_all > options.calls_max) continue;
    if (in_flight(each) > kInFlightMax) {
      day.too_many.push_back(each.name);
      continue;
    }
    played.push_back(
        {&each, function_of(fmt::format("f{}", played.size()), each, numbers, options.instances)});
    catalogue.add(played.back().function);
    day.calls += each.calls_of_all;
  }
  day.functions = played.size();
  wisp::Runtime runtime{catalogue, world.options({.workers = {.max = kInFlightMax}})};
  WISP_TRY(runtime.status());

  struct Call {
    Duration at;
    const Played* of;
  };
  std::vector<Call> minute;
  for (int m = 0; m < trace.minutes; ++m) {
    minute.clear();
    for (const Played& each : played) {
      for (std::uint32_t n = each.traced->calls[static_cast<std::size_t>(m)]; n > 0; --n)
        minute.push_back(
            {Duration(wisp::uniform(world.random(), 0, Duration(1min).count() - 1)), &each});
    }
    std::sort(minute.begin(), minute.end(),
              [](const Call& a, const Call& b) { return a.at < b.at; });
    Duration at{};
    for (const Call& each : minute) {
      world.advance(each.at - at);
      at = each.at;
      WISP_TRY(runtime.post(each.of->function, any_duration(*each.of->traced, world.random())));
    }
    world.advance(1min - at);
    if (options.samples && ((m + 1) % kSample == 0 || m + 1 == trace.minutes)) {
      const wisp::Bill so_far = runtime.bill(world.clock().now() - Time(), spent_by());
      day.samples.push_back(numbers.sample(so_far.total));
    }
  }
  // What the trace began it ended on the day after.
  day.instance_hours = numbers.instances.hours();
  day.instances_most = numbers.instances.most();
  for (const wisp::FunctionStats& each : runtime.stats().functions) day.ahead += each.built_ahead;
  const Duration past = world.clock().now() - Time();
  world.advance(24h);
  const wisp::RuntimeStats stats = runtime.stats();
  if (stats.events.done != day.calls)
    return wisp::internal("{} calls, and {} came to their end", day.calls, stats.events.done);
  for (const wisp::FunctionStats& each : stats.functions) {
    day.cold += each.cold_starts;
    day.wait += each.wait;
  }
  day.workers_most = numbers.calls.most();
  for (const wisp::Tariff& tariff :
       {wisp::tariffs::aws_lambda_x86(), wisp::tariffs::azure_consumption(),
        wisp::tariffs::google_cloud_functions(), wisp::tariffs::google_cloud_run(),
        wisp::tariffs::cloudflare_workers()})
    day.bills.emplace_back(tariff.name, runtime.bill(past + 24h, tariff).total);
  return day;
}

}  // namespace replay
