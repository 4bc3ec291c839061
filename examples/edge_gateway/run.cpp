#include "run.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace gateway {
namespace {

using namespace wisp::literals;

constexpr wisp::Duration kReadEvery = 100ms;
constexpr wisp::Duration kDrawEvery = 200ms;
constexpr wisp::Duration kReportEvery = 1s;
// Events per second that the burst aims at.
constexpr double kBurstRate = 100'000;
// A burst that cannot keep up does not make up for more than this, and lets the functions catch up
// when so many readings wait: it is as fast as the machine, and says how fast that was.
constexpr double kAllowanceMax = kBurstRate / 20;
constexpr int kBacklogMax = 10'000;
constexpr wisp::Duration kBreath = 500us;
// For what the quiet phase left: on a busy machine it may be too short to see the workers go.
constexpr wisp::Duration kSettleMax = 10s;

std::atomic<bool> interrupted{false};

double seconds(wisp::Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

struct Run::Phase {
  std::string_view name;
  double until;  // share of the run
  bool reads;
  bool bursts;
};

void interrupt() { interrupted.store(true); }

Run::Run(wisp::Runtime& runtime, const Subscriptions& subscriptions, const RunOptions& options)
    : runtime_(runtime),
      subscriptions_(subscriptions),
      options_(options),
      terminal_(isatty(STDOUT_FILENO) == 1),
      length_(std::chrono::seconds(options.seconds)) {}

void Run::go() {
  constexpr Phase kWork[] = {{.name = "steady", .until = 0.2, .reads = true, .bursts = false},
                             {.name = "burst", .until = 0.65, .reads = true, .bursts = true},
                             {.name = "steady", .until = 0.8, .reads = true, .bursts = false}};
  constexpr Phase kRest{.name = "quiet", .until = 1.0, .reads = false, .bursts = false};

  start_ = next_reading_ = next_look_ = next_draw_ = clock_.now();
  {
    const wisp::Schedule reports = report_every(runtime_, kReportEvery);
    for (const Phase& each : kWork) go_through(each);
  }  // no reports from here on: with no work at all, the workers end
  go_through(kRest);
  settle();
}

void Run::go_through(const Phase& phase) {
  phase_ = phase.name;
  const wisp::Time began = allowed_at_ = clock_.now();
  const wisp::Time end = start_ + share(phase.until);
  const std::uint64_t before = emitted_;
  bool ran = false;  // not once the run is over
  for (wisp::Time now = began; now < end && !interrupted.load(); now = clock_.now()) {
    if (phase.reads && now >= next_reading_) read_sensors(now);
    if (now >= next_look_) look(now);
    ran = true;
    if (phase.bursts) burst(now);
    else wait(std::min({end, next_look_, phase.reads ? next_reading_ : end}));
  }
  const double passed = seconds(clock_.now() - began);
  if (phase.bursts && ran && passed > 0)
    burst_rate_ = static_cast<double>(emitted_ - before) / passed;
}

void Run::read_sensors(wisp::Time now) {
  samples_ = sensors_.read();
  emit_all();
  next_reading_ = now + kReadEvery;
}

// The newest readings once more, if the rate allows it by now.
void Run::burst(wisp::Time now) {
  allowance_ = std::min(allowance_ + seconds(now - allowed_at_) * kBurstRate, kAllowanceMax);
  allowed_at_ = now;
  const auto size = static_cast<double>(samples_.size());
  if (size == 0 || allowance_ < size || subscriptions_.backlog() > kBacklogMax)
    return wait(now + kBreath);
  emit_all();
  allowance_ -= size;
}

void Run::emit_all() {
  for (const Sample& each : samples_) {
    // A full queue refuses: the gateway drops what it cannot take, and says how much that was.
    if (!runtime_.emit(each.topic, each.reading).ok()) ++refused_;
    ++emitted_;
  }
}

void Run::look(wisp::Time now) {
  const wisp::RuntimeStats stats = runtime_.stats();
  moments_.push_back({seconds(now - start_), stats.workers.current, emitted_});
  next_look_ = now + std::min<wisp::Duration>(share(0.01), kDrawEvery);
  if (!options_.silent) show(now, stats);
}

// The table is drawn from here; plain lines are what the function `report` saw, and one for each
// new phase.
void Run::show(wisp::Time now, const wisp::RuntimeStats& stats) {
  const Moment& moment = moments_.back();
  std::string text;
  if (terminal_) {
    if (now < next_draw_) return;
    next_draw_ = now + kDrawEvery;
    const double done = moment.seconds / options_.seconds;
    text = table_.draw(done, phase_, rate(), {stats, runtime_.bill(24h)});
  } else {
    std::optional<Report> report = take_report();
    if (!report && phase_ == shown_) return;
    shown_ = phase_;
    if (!report) report = Report{stats, runtime_.bill(24h)};
    text = plain_line(moment.seconds, phase_, rate(), *report);
  }
  if (!put(text)) interrupt();
}

// Events per second over the last half second.
double Run::rate() const {
  const Moment& last = moments_.back();
  const Moment* first = &last;
  for (auto each = moments_.rbegin(); each != moments_.rend(); ++each) {
    first = &*each;
    if (last.seconds - first->seconds >= 0.5) break;
  }
  const double passed = last.seconds - first->seconds;
  return passed > 0 ? static_cast<double>(last.emitted - first->emitted) / passed : 0;
}

void Run::settle() {
  const wisp::Time bound = clock_.now() + kSettleMax;
  for (wisp::Time now = clock_.now(); now < bound; now = clock_.now()) {
    look(now);
    const wisp::RuntimeStats stats = runtime_.stats();
    if (stats.queued == 0 && stats.workers.current == 0) return;
    wait(now + 10ms);
  }
}

void Run::wait(wisp::Time until) {
  wisp::Parker nobody_wakes;
  clock_.park(nobody_wakes, until);
}

wisp::Duration Run::share(double part) const {
  return wisp::Duration(static_cast<std::int64_t>(static_cast<double>(length_.count()) * part));
}

void Run::fill(Outcome& outcome) {
  outcome.moments = std::move(moments_);
  outcome.emitted = emitted_;
  outcome.refused = refused_;
  outcome.burst_rate = burst_rate_;
}

}  // namespace gateway
