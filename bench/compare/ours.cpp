// wisp, through its public API and fully metered, in every workload of bench/compare.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <latch>

#include <wisp/wisp.hpp>

#include "events.hpp"
#include "pools.hpp"

namespace {

using compare::Countdown;
using compare::Options;
using compare::Outcome;
using compare::require;
using compare::Stopwatch;
using wisp::Catalogue;
using wisp::Runtime;

constexpr int kPostsMax = 4'000'000;

wisp::RuntimeOptions options_with(int workers) {
  return {.workers = {.max = workers, .policy = wisp::scaling::Fixed{workers}},
          .queue = {.count = kPostsMax, .bytes = std::size_t{1} << 34}};
}

// Two tenants that share the threads, to which calls belong by turns.
constexpr std::array<std::string_view, 2> kTenants = {"a", "b"};

wisp::RuntimeOptions shared_with(int workers) {
  wisp::RuntimeOptions options = options_with(workers);
  for (const std::string_view each : kTenants)
    options.tenants.push_back({.name = std::string(each)});
  return options;
}

auto add_one(std::string_view name, wisp::FunctionOptions options = {}) {
  return wisp::function(name, [](int n) { return n + 1; }, options);
}

// A1, A2: `threads` at once; per call of one thread.
Outcome calls(const Options& options, wisp::Meter meter, int threads) {
  const int count = options.pick(2'000'000, 200'000);
  const auto function = add_one("f", {.meter = meter});
  auto* runtime = new Runtime(Catalogue().add(function), options_with(1));
  return compare::on_threads(threads, count, [&](int n) { return *runtime->call(function, n); });
}

Outcome calls_by_name(const Options& options, int (*which)(int)) {
  const int count = options.pick(1'000'000, 100'000);
  Catalogue catalogue;
  const std::vector<std::string> names = compare::names("function", 1'000);
  for (const std::string& name : names) catalogue.add(add_one(name));
  auto* runtime = new Runtime(std::move(catalogue), options_with(1));
  return compare::on_threads(
      1, count, [&](int n) { return *runtime->call<int>(std::string_view(names[which(n)]), n); });
}

Outcome posts(const Options& options, int producers, int workers) {
  Countdown countdown(options.pick(compare::kPosts, compare::kPostsQuick));
  const auto count = wisp::function("count", [&countdown] { countdown.one(); });
  auto* runtime = new Runtime(Catalogue().add(count), options_with(workers));
  return compare::outside(options, producers, countdown,
                          [&] { require(runtime->post(count).ok(), "a post was refused"); });
}

// By two tenants.
Outcome shared_posts(const Options& options, int producers, int workers) {
  Countdown countdown(options.pick(compare::kPosts, compare::kPostsQuick));
  const auto count = wisp::function("count", [&countdown] { countdown.one(); });
  auto* runtime = new Runtime(Catalogue().add(count), shared_with(workers));
  return compare::outside(options, producers, countdown, [&] {
    thread_local std::size_t turn = 0;
    const wisp::CallOptions by{.tenant = kTenants[++turn % 2]};
    require(runtime->post(count, by).ok(), "a post was refused");
  });
}

Outcome starts(const Options& options, bool shared, bool pool_only = false) {
  constexpr int kBatch = 10'000;
  const auto function = add_one("f", {.pool_only = pool_only});
  auto* runtime = new Runtime(Catalogue().add(function), shared ? shared_with(2) : options_with(2));
  const int batches = options.pick(20, 3);
  const Stopwatch watch;
  for (int b = 0; b < batches; ++b) {
    std::vector<wisp::Pending<int>> pending;
    pending.reserve(kBatch);
    for (int i = 0; i < kBatch; ++i)
      pending.push_back(runtime->start(function, i, {.tenant = shared ? kTenants[i % 2] : ""}));
    for (int i = 0; i < kBatch; ++i) {
      const auto& result = pending[i].wait();
      require(result.ok() && *result == i + 1, "a wrong result");
    }
  }
  return watch.per(batches * kBatch);
}

Outcome round_trips(const Options& options, bool idle, bool pool_only) {
  const auto function = add_one("f", {.pool_only = pool_only});
  auto* runtime = new Runtime(Catalogue().add(function), options_with(1));
  return compare::round_trips(options, idle, [&] {
    auto pending = runtime->start(function, 1);
    const auto& result = pending.wait();
    require(result.ok() && *result == 2, "a wrong result");
  });
}

Outcome trickle(const Options& options) {
  Countdown countdown(options.pick(2'000, 300));
  const auto count = wisp::function("count", [&countdown] { countdown.one(); });
  auto* runtime = new Runtime(Catalogue().add(count), options_with(2));
  return compare::trickle(options, countdown,
                          [&] { require(runtime->post(count).ok(), "a post was refused"); });
}

// A runtime that has worked, and now has nothing to do.
Outcome idle(const Options& options) {
  const auto function = add_one("f", {.pool_only = true});
  auto* runtime = new Runtime(Catalogue().add(function), {});
  for (int i = 0; i < 100; ++i) require(runtime->start(function, i).wait().ok(), "failed");
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  return compare::sleeping(options);
}

Outcome tree(const Options& options) {
  const int depth = options.pick(20, 16);
  const int nodes = (1 << depth) - 1;
  Countdown countdown(nodes);
  const auto self = wisp::named<void(int)>("grow");
  const auto grow = wisp::function("grow", [&](int left, wisp::Context& context) {
    for (int child = 0; left > 1 && child < 2; ++child)
      require(context.runtime().post(self, left - 1).ok(), "a post was refused");
    countdown.one();
  });
  auto* runtime = new Runtime(Catalogue().add(grow), options_with(2));
  const Stopwatch watch;
  require(runtime->post(grow, depth).ok(), "a post was refused");
  countdown.wait();
  Outcome outcome = watch.per(nodes);
  countdown.check();
  return outcome;
}

// G: each delivery is counted and one in 16 timed, the publish is metered as a whole. GD: each
// delivery is timed. The subscribers share `functions` functions, each the next one's neighbour.
Outcome publish(const Options& options, wisp::Meter meter, int subscribers, int threads,
                int functions = 1) {
  Catalogue catalogue;
  std::vector<wisp::Function<void, compare::Event>> all;
  for (const std::string& name : compare::names("deliver", functions)) {
    all.push_back(wisp::function(name, [](const compare::Event& event) { compare::deliver(event); },
                                 {.meter = meter}));
    catalogue.add(all.back());
  }
  auto* runtime = new Runtime(std::move(catalogue), options_with(1));
  auto* subscriptions = new std::vector<wisp::Subscription>;
  for (int i = 0; i < subscribers; ++i) {
    subscriptions->push_back(
        runtime->on("host.cpu").deliver({.synchronous = true}).to(all[i % functions]));
  }
  return compare::publish(options, subscribers, threads, [&](const compare::Event& event) {
    require(runtime->emit("host.cpu", event).ok(), "an event was refused");
  });
}

// H1 looks among all for topics that only an exact one matches, H2 for ones that wildcards do.
Outcome match(const Options& options, bool wild, int threads) {
  const std::vector<std::string> exact = compare::names("orders.exact", 10'000);
  const std::vector<std::string> other = compare::names("area", 30);
  wisp::TopicIndex<int> index;
  for (const std::string& each : exact) index.add(*wisp::TopicPattern::parse(each), 1);
  for (const std::string& each : other) index.add(*wisp::TopicPattern::parse(each + ".*.paid"), 1);
  std::vector<std::string> topics = exact;
  for (int i = 0; wild && i < 10'000; ++i)
    topics[i] = other[i % 30] + "." + std::to_string(i) + ".paid";
  return compare::on_threads(threads, options.pick(2'000'000, 200'000), [&](int n) {
    int found = 0;
    index.for_each_match(topics[n % 10'000], [&](int each) { found += each; });
    return n + found;
  });
}

Outcome timers(const Options& options, bool fire) {
  const int count = options.pick(1'000'000, 50'000);
  wisp::Clock& clock = wisp::Clock::system();
  wisp::Timer timer{clock, nullptr};
  std::vector<wisp::TimerId> ids(count);
  int fired = 0;
  const wisp::Time now = clock.now();
  const Stopwatch watch;
  for (int i = 0; i < count; ++i) {
    const auto spread = wisp::Duration((i * 7919LL) % 1'000'003);
    const auto at = fire ? now + -spread : now + std::chrono::hours(1) + spread;
    const auto id = timer.schedule(at, [&fired] { ++fired; });
    require(id.ok(), "a timer was refused");
    ids[i] = *id;
  }
  int cancelled = 0;
  if (fire) timer.fire(clock.now());
  for (int i = 0; !fire && i < count; ++i) cancelled += timer.cancel(ids[i]) ? 1 : 0;
  Outcome outcome = watch.per(count);
  require((fire ? fired : cancelled) == count, "a timer was lost");
  return outcome;
}

// J1: a Runtime that has no worker yet. J2: its worker is parked.
Outcome first_results(const Options& options, bool spare) {
  const auto function = add_one("f", {.pool_only = true});
  std::vector<double> samples;
  for (int i = 0; i < options.pick(200, 30); ++i) {
    Runtime runtime(Catalogue().add(function), options_with(1));
    if (spare) {
      require(runtime.start(function, 1).wait().ok(), "failed");
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    const double begin = compare::wall_ns();
    require(*runtime.start(function, 1).wait() == 2, "a wrong result");
    samples.push_back(compare::wall_ns() - begin);
  }
  Outcome outcome;
  compare::add_percentiles(outcome, std::move(samples));
  return outcome;
}

Outcome blocking_calls(const Options&) {
  Countdown countdown(1'000);
  const auto block = wisp::function("block", [&countdown] {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    countdown.one();
  });
  auto* runtime = new Runtime(Catalogue().add(block), {.workers = {.min = 0, .max = 64}});
  const Stopwatch watch;
  for (int i = 0; i < 1'000; ++i) require(runtime->post(block).ok(), "a post was refused");
  countdown.wait();
  return watch.per(1'000);
}

// K2: a policy left to itself, or a fixed number of workers; beside a process that spins, if noisy.
Outcome busy(const Options& options, wisp::Workers workers, bool noisy) {
  const pid_t neighbour = noisy ? fork() : -1;
  if (neighbour == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) compare::keep(0);
  }
  const int count = options.pick(4'000, 800);
  Countdown countdown(count);
  const auto spin = wisp::function("spin", [&countdown] {
    compare::work(100'000);
    countdown.one();
  });
  auto* runtime = new Runtime(Catalogue().add(spin), {.workers = workers});
  const Stopwatch watch;
  for (int i = 0; i < count; ++i) require(runtime->post(spin).ok(), "a post was refused");
  countdown.wait();
  Outcome outcome = watch.per(count);
  outcome["peak"] = runtime->stats().workers.peak;
  if (neighbour > 0) kill(neighbour, SIGKILL);
  return outcome;
}

Outcome busy_fixed(const Options& options, int count, bool noisy) {
  return busy(options, {.max = count, .policy = wisp::scaling::Fixed{count}}, noisy);
}

double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double total = 0;
  double resident = 0;
  statm >> total >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// L: the only worker is held while the posts come. `ns` is bytes a post here.
Outcome backlog(const Options& options) {
  const int count = options.pick(compare::kPosts, compare::kPostsQuick);
  Countdown countdown(count);
  std::latch entered{1};
  std::latch gate{1};
  const auto hold = wisp::function("hold", [&] {
    entered.count_down();
    gate.wait();
  });
  const auto one = wisp::function("one", [&countdown] { countdown.one(); });
  auto* runtime = new Runtime(Catalogue().add(hold).add(one), options_with(1));
  require(runtime->post(hold).ok(), "a post was refused");
  entered.wait();
  const double before = resident_bytes();
  for (int i = 0; i < count; ++i) require(runtime->post(one).ok(), "a post was refused");
  const double full = resident_bytes();
  gate.count_down();
  countdown.wait();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  return {{"ns", (full - before) / count},
          {"left", std::max(0.0, resident_bytes() - before) / count}};
}

}  // namespace

int main(int argc, char** argv) {
  using wisp::Meter;
  compare::Workloads all{
      {"A1", [](const Options& o) { return calls(o, Meter::batched, 1); }},
      {"A1.2T", [](const Options& o) { return calls(o, Meter::batched, 2); }},
      {"A2", [](const Options& o) { return calls(o, Meter::sampled, 1); }},
      {"A3", [](const Options& o) { return calls_by_name(o, compare::in_order); }},
      {"A3.scattered", [](const Options& o) { return calls_by_name(o, compare::scattered); }},
      {"B1", [](const Options& o) { return posts(o, 1, 1); }},
      {"B1.shared", [](const Options& o) { return shared_posts(o, 1, 1); }},
      {"B2", [](const Options& o) { return posts(o, 1, 2); }},
      {"C", [](const Options& o) { return starts(o, false); }},
      {"C.pool_only", [](const Options& o) { return starts(o, false, true); }},
      {"C.shared", [](const Options& o) { return starts(o, true); }},
      {"D1", [](const Options& o) { return round_trips(o, false, false); }},
      {"D1.pool_only", [](const Options& o) { return round_trips(o, false, true); }},
      {"D2", [](const Options& o) { return round_trips(o, true, true); }},
      {"D2.inline", [](const Options& o) { return round_trips(o, true, false); }},
      {"D3", trickle},
      {"D3.idle", idle},
      {"E", tree},
      {"F", [](const Options& o) { return posts(o, 2, 2); }},
      {"G1", [](const Options& o) { return publish(o, Meter::sampled, 1, 1); }},
      {"G8", [](const Options& o) { return publish(o, Meter::sampled, 8, 1); }},
      {"G8.many", [](const Options& o) { return publish(o, Meter::sampled, 8, 1, 8); }},
      {"G8.2T", [](const Options& o) { return publish(o, Meter::sampled, 8, 2); }},
      {"G64", [](const Options& o) { return publish(o, Meter::sampled, 64, 1); }},
      {"G64.many", [](const Options& o) { return publish(o, Meter::sampled, 64, 1, 64); }},
      {"GD", [](const Options& o) { return publish(o, Meter::batched, 8, 1); }},
      {"H1", [](const Options& o) { return match(o, false, 1); }},
      {"H1.2T", [](const Options& o) { return match(o, false, 2); }},
      {"H2", [](const Options& o) { return match(o, true, 1); }},
      {"H2.2T", [](const Options& o) { return match(o, true, 2); }},
      {"I1", [](const Options& o) { return timers(o, false); }},
      {"I2", [](const Options& o) { return timers(o, true); }},
      {"J1", [](const Options& o) { return first_results(o, false); }},
      {"J2", [](const Options& o) { return first_results(o, true); }},
      {"K1", blocking_calls},
      {"L", backlog},
  };
  for (const bool noisy : {false, true}) {
    const std::string name = noisy ? "K2.noisy" : "K2";
    all[name] = [noisy](const Options& o) { return busy(o, {}, noisy); };
    for (int count = 1; count <= 1'024; ++count) {  // of which rows.py asks for three
      all[name + ".fixed" + std::to_string(count)] = [noisy, count](const Options& o) {
        return busy_fixed(o, count, noisy);
      };
    }
  }
  return compare::run(all, argc, argv);
}
