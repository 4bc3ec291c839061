#include "gateway.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "sensors.hpp"

namespace gateway {

using namespace wisp::literals;

namespace {

constexpr int kReadingsPerWindow = 10;
// How far a window has to be from the mean so far, and after how many windows there is one.
constexpr double kDeviationsMin = 4;
constexpr int kWindowsBefore = 10;
// A sensor that stays odd is reported this often.
constexpr wisp::Duration kAlertEvery = 500ms;
// The medium of the archive is slow, but takes any number of writes at once.
constexpr wisp::Duration kWriteTakes = 2ms;

// A window in the making.
struct Filling {
  double sum = 0;
  double low = 0;
  double high = 0;
  int count = 0;
};

// Mean and variance of a sensor so far. Source: Welford, "Note on a method for calculating
// corrected sums of squares and products", Technometrics 4 (1962).
struct Usual {
  double mean = 0;
  double squares = 0;
  int count = 0;
  wisp::Deadline quiet;  // no other alert before

  void add(double value) {
    ++count;
    const double before = value - mean;
    mean += before / count;
    squares += before * (value - mean);
  }

  // How many standard deviations `value` is off. Sensors that hardly ever move would make much of
  // little, so a deviation counts as 1 % of the mean, and as 0.01, at least.
  double deviations(double value) const {
    if (count < kWindowsBefore) return 0;
    const double deviation = std::sqrt(squares / (count - 1));
    return std::abs(value - mean) / std::max({deviation, std::abs(mean) / 100, 0.01});
  }
};

// What the functions remember from one call to the next. A declared function has no object of its
// own, and its calls run on many workers at once: so this stands beside it, guarded.
struct Memory {
  std::mutex mutex;  // guards what follows, up to the empty line
  std::map<std::string, Filling> filling;
  std::map<std::string, Usual> usual;
  std::optional<Report> report;

  std::atomic<int> archive{-1};
  std::atomic<std::uint64_t> windows{0};
  std::atomic<std::uint64_t> alerts_sent{0};
  std::atomic<std::uint64_t> alerts_lost{0};
  wisp::SeededRandom uplink{2026};
};

Memory& memory() {
  static Memory only;
  return only;
}

}  // namespace

// Collects ten readings of a sensor, then publishes them as a window. What a handler emits carries
// the event that it handles as its cause.
WISP_FUNCTION(ingest) = [](const Reading& reading, wisp::Context& context) -> wisp::Status {
  Window full;
  {
    const std::lock_guard lock(memory().mutex);
    Filling& filling = memory().filling[reading.sensor];
    const bool first = filling.count == 0;
    filling.low = first ? reading.value : std::min(filling.low, reading.value);
    filling.high = first ? reading.value : std::max(filling.high, reading.value);
    filling.sum += reading.value;
    if (++filling.count < kReadingsPerWindow) return wisp::Status();
    full = {reading.sensor, filling.sum / kReadingsPerWindow, filling.low, filling.high};
    filling = {};
  }
  ++memory().windows;
  return context.runtime().emit("windows." + full.sensor, full).status();
};

// Compares a window with what the sensor used to show.
WISP_FUNCTION(detect) = [](const Window& window, wisp::Context& context) -> wisp::Status {
  Anomaly anomaly{.sensor = window.sensor, .value = window.mean};
  {
    const wisp::Clock& clock = wisp::Clock::system();
    const std::lock_guard lock(memory().mutex);
    Usual& usual = memory().usual[window.sensor];
    anomaly.usual = usual.mean;
    anomaly.deviations = usual.deviations(window.mean);
    usual.add(window.mean);
    const bool quiet = !usual.quiet.none() && !usual.quiet.passed(clock);
    if (quiet || anomaly.deviations < kDeviationsMin) return wisp::Status();
    usual.quiet = wisp::Deadline::after(clock, kAlertEvery);
  }
  return context.runtime().emit("alerts." + anomaly.sensor, anomaly).status();
};

// Blocks its worker, as a slow disk does: the pool grows beyond the cores while such calls sleep.
WISP_FUNCTION(archive, .timeout = 5s) = [](const Window& window,
                                           wisp::Context& context) -> wisp::Status {
  WISP_TRY(context.sleep(kWriteTakes));
  const std::string line =
      fmt::format("{} {:.3f} {:.3f} {:.3f}\n", window.sensor, window.mean, window.low, window.high);
  const ssize_t written = write(memory().archive.load(), line.data(), line.size());
  if (written == static_cast<ssize_t>(line.size())) return wisp::Status();
  return wisp::unavailable("the archive took {} of {} bytes", written, line.size());
};

// Sends over a radio link that loses six of ten messages. kUnavailable is worth a retry: wisp makes
// up to three attempts, so one alert of five is lost, and ends on the dead-letter topic.
WISP_FUNCTION(alert, .timeout = 1s, .retry = {.attempts = 3, .first_delay = 20ms},
              .memory_mb = 256) = [](const Anomaly& anomaly,
                                     wisp::Context& context) -> wisp::Status {
  if (wisp::uniform(memory().uplink, 1, 10) <= 6) {
    return wisp::unavailable("the uplink lost the alert of {} at attempt {}", anomaly.sensor,
                             context.attempt());
  }
  ++memory().alerts_sent;
  return wisp::Status();
};

// A handler of wisp::Event takes payloads of any type.
WISP_FUNCTION(lost_alert) = [](const wisp::Event& event) {
  if (event.failure != nullptr) ++memory().alerts_lost;
};

WISP_FUNCTION(report) = [](wisp::Context& context) {
  Report made{context.runtime().stats(), context.runtime().bill(24h)};
  const std::lock_guard lock(memory().mutex);
  memory().report = std::move(made);
};

wisp::Result<Subscriptions> subscribe(wisp::Runtime& runtime) {
  Subscriptions all;
  all.ingest = runtime.on("host.>").to(ingest);
  all.others.push_back(runtime.on("windows.>").to(detect));
  all.others.push_back(runtime.on("windows.>").to(archive));
  all.others.push_back(runtime.on("alerts.>")
                           .where(wisp::field("deviations").at_least(kDeviationsMin))
                           .deliver({.dead_letter = "alerts-failed"})
                           .to(alert));
  all.others.push_back(runtime.on("alerts-failed").to(lost_alert));
  // A subscription that could not be made delivers nothing, and says why.
  WISP_TRY(all.ingest.status());
  for (const wisp::Subscription& each : all.others) WISP_TRY(each.status());
  return all;
}

wisp::Schedule report_every(wisp::Runtime& runtime, wisp::Duration period) {
  return runtime.every(period).run(report);
}

std::optional<Report> take_report() {
  const std::lock_guard lock(memory().mutex);
  return std::exchange(memory().report, std::nullopt);
}

Counts counts() {
  return {.windows = memory().windows,
          .alerts_sent = memory().alerts_sent,
          .alerts_lost = memory().alerts_lost};
}

wisp::Status open_archive(const std::string& path) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return wisp::unavailable("cannot write {}: {}", path, std::strerror(errno));
  const int before = memory().archive.exchange(file);
  if (before >= 0) close(before);
  return wisp::Status();
}

}  // namespace gateway
