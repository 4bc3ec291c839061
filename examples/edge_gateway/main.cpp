// An IoT gateway whose sensors are the machine it runs on. See README.md beside this file.
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <string>
#include <string_view>

#include <wisp/wisp.hpp>

#include "gateway.hpp"
#include "report.hpp"
#include "run.hpp"

namespace gateway {
namespace {

using namespace wisp::literals;

constexpr int kSecondsMin = 1;
constexpr int kSecondsMax = 3600;
constexpr const char* kUsage =
    "usage: edge_gateway [--seconds N] [--json]\n"
    "  --seconds N   how long it runs, 1 to 3600 (10)\n"
    "  --json        one JSON document at the end, and nothing else on the output\n"
    "  --help        this\n";

struct Arguments {
  int seconds = 10;
  bool json = false;
  bool help = false;
};

wisp::Result<int> parse_seconds(std::string_view text) {
  int seconds = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, seconds);
  if (error != std::errc() || stop != end || seconds < kSecondsMin || seconds > kSecondsMax) {
    return wisp::invalid_argument("--seconds is '{}', it must be a whole number from {} to {}",
                                  text, kSecondsMin, kSecondsMax);
  }
  return seconds;
}

wisp::Result<Arguments> parse(int count, char** values) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string_view name = values[i];
    if (name == "--help") {
      arguments.help = true;
    } else if (name == "--json") {
      arguments.json = true;
    } else if (name == "--seconds") {
      if (++i == count) return wisp::invalid_argument("--seconds needs a number");
      WISP_TRY(arguments.seconds, parse_seconds(values[i]));
    } else {
      return wisp::invalid_argument("unknown option '{}'", name);
    }
  }
  return arguments;
}

void end_on_signals() {
  struct sigaction action{};
  action.sa_handler = [](int) { interrupt(); };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
  // A reader that goes away, as in `edge_gateway | head`, is seen by the write that fails.
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
}

std::int64_t process_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// A directory that goes with the object.
class Scratch {
 public:
  Scratch() {
    std::error_code none;
    std::string name = std::filesystem::temp_directory_path(none) / "edge_gateway.XXXXXX";
    if (!none && mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // Empty if there is no place to write.
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

wisp::Status open_archive_in(const Scratch& scratch) {
  if (!scratch.path().empty()) return open_archive(scratch.path() + "/archive");
  fmt::print(stderr, "edge_gateway: no temporary directory, so the archive goes nowhere\n");
  return open_archive("/dev/null");
}

// The same usage under other sheets than the runtime's own.
void add_bills(const wisp::Runtime& runtime, Outcome& outcome) {
  for (const wisp::Tariff& each :
       {wisp::tariffs::azure_consumption(), wisp::tariffs::google_cloud_functions(),
        wisp::tariffs::google_cloud_run()}) {
    outcome.bills.push_back(runtime.bill(24h, each));
    outcome.sources.push_back(each.source + ", " + each.date);
  }
  // Of a server that one buys; put your own prices here.
  outcome.bills.push_back(
      runtime.bill(24h, wisp::tariffs::own_hardware({.per_core_hour = wisp::Money::cents(3),
                                                     .per_gb_hour = wisp::Money::dollars(0.004)})));
  outcome.sources.push_back("an example, 0.03 USD per core-hour and 0.004 USD per GB-hour");
}

// Fails if something was left behind, or nobody took the result.
wisp::Status run(const Arguments& arguments) {
  const Scratch scratch;
  WISP_TRY(open_archive_in(scratch));
  // Short enough for the workers to go within the quiet fifth of the run.
  const wisp::Duration keep_alive = std::min<wisp::Duration>(500ms, arguments.seconds * 50ms);
  const wisp::Tariff tariff = wisp::tariffs::aws_lambda_x86();
  const std::int64_t cpu_before = process_cpu_ns();  // which no bill covers
  wisp::Runtime runtime{wisp::linked_functions(),
                        {.workers = {.min = 0, .max = 64, .keep_alive = keep_alive},
                         .tariff = tariff,
                         .source = "edge_gateway"}};
  WISP_TRY(runtime.status());
  WISP_TRY(const Subscriptions subscriptions, subscribe(runtime));

  Run work(runtime, subscriptions, {.seconds = arguments.seconds, .silent = arguments.json});
  work.go();

  // stop() ends all workers; those that are counted at the end are left after the quiet phase.
  Outcome outcome;
  outcome.workers_at_end = runtime.stats().workers.current;
  const wisp::Stopped stopped = runtime.stop(10s);
  outcome.stats = runtime.stats();
  outcome.bills.push_back(runtime.bill(24h));
  outcome.process_cpu_ns = process_cpu_ns() - cpu_before;  // beside the first bill, to compare
  outcome.sources.push_back(tariff.source + ", " + tariff.date);
  add_bills(runtime, outcome);
  outcome.counts = counts();
  work.fill(outcome);
  if (!put(arguments.json ? json(outcome) : summary(outcome)))
    return wisp::unavailable("the output cannot be written");
  return stopped.status;
}

}  // namespace
}  // namespace gateway

int main(int count, char** values) {
  const wisp::Result<gateway::Arguments> arguments = gateway::parse(count, values);
  if (!arguments.ok()) {
    fmt::print(stderr, "edge_gateway: {}\n{}", wisp::message(arguments.status()), gateway::kUsage);
    return 2;
  }
  if (arguments->help) return gateway::put(gateway::kUsage) ? 0 : 1;
  gateway::end_on_signals();
  const wisp::Status done = gateway::run(*arguments);
  if (done.ok()) return 0;
  fmt::print(stderr, "edge_gateway: {}\n", wisp::message(done));
  return 1;
}
