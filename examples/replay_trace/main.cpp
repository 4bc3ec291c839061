// What keep-alive policies cost and save on a day of a cloud's functions. See README.md beside this
// file.
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/model/keep_alive.hpp>
#include <wisp/wisp.hpp>

#include "cost.hpp"
#include "day.hpp"
#include "plot.hpp"
#include "trace.hpp"
#include "yardstick.hpp"

namespace replay {
namespace {

using namespace std::chrono_literals;
using wisp::keep_alive::Fixed;
using wisp::keep_alive::IdleTimes;
using wisp::keep_alive::Predictive;
using wisp::keep_alive::Span;

constexpr const char* kUsage =
    "usage: replay_trace DIR [--chance P] [--calls-max N] [--seed N] [--json] [--plot FILE.svg]\n"
    "  DIR            has invocations.csv, durations.csv and memory.csv\n"
    "  --chance P     of a call in a minute that the yardstick's predictive policy keeps (0.015)\n"
    "  --calls-max N  functions with more calls do not go through the runtime (no limit); 0: none "
    "does\n"
    "  --seed N       of the moments and durations of those that do (1)\n"
    "  --json         one JSON document in place of the tables\n"
    "  --plot FILE    draws demand, capacity and spend of the runtime's days, as SVG\n"
    "  --help         this\n";

// Whether all of it could be written is known at the end.
void put(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }
bool written() { return std::fflush(stdout) == 0 && std::ferror(stdout) == 0; }

struct Arguments {
  std::string folder;
  Predictive predictive{};
  std::uint64_t calls_max = DayOptions().calls_max;
  std::uint64_t seed = 1;
  bool json = false;
  std::string plot;
  bool help = false;
};

template <class T>
bool parse_number(std::string_view text, T& number) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end;
}

wisp::Result<Arguments> parse(int count, char** values) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string_view name = values[i];
    if (name == "--help") {
      arguments.help = true;
      return arguments;
    }
    if (name == "--json") {
      arguments.json = true;
      continue;
    }
    if (!name.starts_with("-")) {
      if (!arguments.folder.empty()) return wisp::invalid_argument("two folders");
      arguments.folder = name;
      continue;
    }
    const std::string_view value = i + 1 < count ? values[++i] : "";
    bool good = false;
    if (name == "--chance") {
      double& chance = arguments.predictive.chance;
      good = parse_number(value, chance) && chance > 0 && chance <= 1;
    } else if (name == "--calls-max") {
      good = parse_number(value, arguments.calls_max);
    } else if (name == "--plot") {
      arguments.plot = value;
      good = !value.empty() && !value.starts_with("--");
    } else if (name == "--seed") {
      good = parse_number(value, arguments.seed);
    } else {
      return wisp::invalid_argument("there is no option {}", name);
    }
    if (!good) return wisp::invalid_argument("{} cannot be '{}'", name, value);
  }
  if (arguments.folder.empty()) return wisp::invalid_argument("which folder?");
  if (!arguments.plot.empty() && arguments.calls_max == 0)
    return wisp::invalid_argument("--plot draws what --calls-max 0 leaves out");
  return arguments;
}

// After the policy of the paper whose trace this is, as a contender: from the 5th to the 99th
// percentile of the idle times, with a margin of a tenth; fixed while there are few.
struct Percentiles {
  std::optional<Span> next(const IdleTimes& seen, wisp::Duration idle) const {
    if (seen.count() < 2) return Fixed{.keep = 10min}.next(seen, idle);
    const wisp::Duration from = at(seen, 0.05) - at(seen, 0.05) / 10;
    const wisp::Duration until = at(seen, 0.99) + at(seen, 0.99) / 10;
    if (idle >= until) return std::nullopt;
    return Span{from, until};
  }

  // Those beyond the histogram count as its end.
  static wisp::Duration at(const IdleTimes& seen, double share) {
    std::int64_t below = 0;
    int bin = 0;
    while (bin < IdleTimes::kBins - 1) {
      below += seen.in_bin(bin);
      if (static_cast<double>(below) >= share * static_cast<double>(seen.count())) break;
      ++bin;
    }
    return bin * IdleTimes::kBin;
  }
};

// Which functions: every second line, or all.
enum class Part { all, odd, even };

template <class Policy>
Minutes measure_all(const Policy& policy, const Trace& trace, Part part = Part::all) {
  Minutes sum;
  for (std::size_t i = 0; i < trace.functions.size(); ++i) {
    if (part == Part::odd && i % 2 != 0) continue;
    if (part == Part::even && i % 2 == 0) continue;
    sum += measure(policy, trace.functions[i].calls);
  }
  return sum;
}

// The cold minutes of a fixed policy with so many warm ones, on the line between two whole numbers
// of minutes. Negative: none has so few, or so many.
double cold_of_equal(std::int64_t warm, const Trace& trace, Part part) {
  int low = 0;
  int high = trace.minutes;
  const auto fixed = [&](int keep) {
    return measure_all(Fixed{.keep = std::chrono::minutes(keep)}, trace, part);
  };
  if (fixed(low).warm > warm || fixed(high).warm < warm) return -1;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (fixed(middle).warm <= warm ? low : high) = middle;
  }
  const Minutes below = fixed(low);
  const Minutes above = fixed(high);
  const double share = above.warm == below.warm ? 0
                                                : static_cast<double>(warm - below.warm) /
                                                      static_cast<double>(above.warm - below.warm);
  return static_cast<double>(below.cold) + share * static_cast<double>(above.cold - below.cold);
}

struct Row {
  std::string policy;
  std::string part;
  Minutes minutes;
  double cold_of_equal = -1;  // unless it is fixed itself
};

template <class Policy>
void add_rows(std::vector<Row>& rows, const std::string& name, const Policy& policy,
              const Trace& trace) {
  constexpr std::pair<Part, const char*> kParts[] = {
      {Part::all, "all"}, {Part::odd, "odd lines"}, {Part::even, "even lines"}};
  for (const auto& [part, words] : kParts) {
    const Minutes minutes = measure_all(policy, trace, part);
    rows.push_back({name, words, minutes, cold_of_equal(minutes.warm, trace, part)});
  }
}

std::vector<Row> yardstick(const Trace& trace, const Predictive& predictive) {
  std::vector<Row> rows;
  for (const int keep : {10, 20, 60, 120}) {
    rows.push_back({fmt::format("fixed {} min", keep), "all",
                    measure_all(Fixed{.keep = std::chrono::minutes(keep)}, trace)});
  }
  add_rows(rows, "percentiles", Percentiles{}, trace);
  add_rows(rows, "predictive", predictive, trace);
  return rows;
}

void print(const std::vector<Row>& rows) {
  put(fmt::format("{:<14} {:<10} {:>8} {:>8}   {}\n", "policy", "functions", "cold", "warm",
                  "beside a fixed one of as many warm minutes"));
  for (const Row& each : rows) {
    put(fmt::format("{:<14} {:<10} {:>8} {:>8}", each.policy, each.part, each.minutes.cold,
                    each.minutes.warm));
    if (each.cold_of_equal > 0) {
      put(fmt::format("   {:.0f} % fewer cold than {:.0f}",
                      100 * (1 - static_cast<double>(each.minutes.cold) / each.cold_of_equal),
                      each.cold_of_equal));
    }
    put("\n");
  }
}

void print(const std::string& policy, const Day& day) {
  const std::optional<std::uint64_t> wait = day.wait.quantile(0.99);
  put(fmt::format(
      "{:<14} {} functions, {} calls: {} cold starts, {} instances built ahead, {:.1f} "
      "instance-hours, at most {} instances and {} calls at once, wait p99 {}\n",
      policy, day.functions, day.calls, day.cold, day.ahead, day.instance_hours, day.instances_most,
      day.workers_most, wait ? fmt::format("{} ns", *wait) : "unavailable"));
}

// Not in the document, which is the same for the same seed.
void print_cost(const Day& day, double ns) {
  if (day.calls == 0) return;
  const double call = ns / static_cast<double>(day.calls);
  const double few = heap_ns(static_cast<std::size_t>(day.workers_most));
  const double all = heap_ns(day.calls);
  put(fmt::format(
      "a simulated call took {:.1f} us: {:.1f} times a push and a pop of a heap that holds all of "
      "the day's calls ({:.2f} us), {:.1f} times those of one that holds the calls in flight "
      "({:.2f} us)\n",
      call / 1e3, call / all, all / 1e3, call / few, few / 1e3));
}

void print_last(const Day& day, double took_ns) {
  for (const std::string& each : day.too_many)
    put(fmt::format("left out: {}, with more calls in flight than a runtime has workers\n", each));
  for (const auto& [tariff, cost] : day.bills)
    put(fmt::format("the bill by {}: {}\n", tariff, wisp::to_string(cost)));
  print_cost(day, took_ns);
}

// A name of the trace's in a document.
std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char each : text) {
    if (static_cast<unsigned char>(each) < 0x20) {
      result += fmt::format("\\u{:04x}", static_cast<int>(each));
      continue;
    }
    if (each == '"' || each == '\\') result += '\\';
    result += each;
  }
  return result + '"';
}

std::string json(const std::vector<Row>& rows,
                 const std::vector<std::pair<std::string, Day>>& days) {
  std::string text = "{\"yardstick\":[";
  for (const Row& each : rows) {
    text += fmt::format(
        R"({}{{"policy":"{}","functions":"{}","cold":{},"warm":{},"cold_of_equal":{}}})",
        text.back() == '[' ? "" : ",", each.policy, each.part, each.minutes.cold, each.minutes.warm,
        each.cold_of_equal < 0 ? "null" : fmt::format("{:.3f}", each.cold_of_equal));
  }
  text += "],\"days\":[";
  for (const auto& [policy, day] : days) {
    text +=
        fmt::format(R"({}{{"policy":"{}","functions":{},"calls":{},"cold":{},"ahead":{},)"
                    R"("instance_hours":{:.3f},"instances_most":{},"workers_most":{},"bills":[)",
                    text.back() == '[' ? "" : ",", policy, day.functions, day.calls, day.cold,
                    day.ahead, day.instance_hours, day.instances_most, day.workers_most);
    for (const auto& [tariff, cost] : day.bills)
      text += fmt::format(R"({}{{"tariff":"{}","cost":"{}"}})", text.back() == '[' ? "" : ",",
                          tariff, wisp::to_string(cost));
    text += "],\"too_many\":[";
    for (const std::string& name : day.too_many)
      text += fmt::format("{}{}", text.back() == '[' ? "" : ",", quoted(name));
    text += "]}";
  }
  return text + "]}\n";
}

int fail(const wisp::Status& status, int code) {
  fmt::print(stderr, "replay_trace: {}\n", wisp::message(status));
  return code;
}

int run(int count, char** values) {
  const wisp::Result<Arguments> arguments = parse(count, values);
  if (!arguments.ok()) {
    fmt::print(stderr, "{}", kUsage);
    return fail(arguments.status(), 2);
  }
  if (arguments->help) {
    put(kUsage);
    return 0;
  }
  const wisp::Result<Trace> trace = read_trace(arguments->folder);
  if (!trace.ok()) return fail(trace.status(), 2);
  const std::string& plot = arguments->plot;
  std::ofstream drawing;  // before the day is run for it
  if (!plot.empty()) drawing.open(plot);
  if (!drawing) return fail(wisp::unavailable("{} cannot be written", plot), 1);
  const std::vector<Row> rows = yardstick(*trace, arguments->predictive);
  if (!arguments->json) print(rows);

  std::vector<std::pair<std::string, Day>> days;
  const DayOptions options{.seed = arguments->seed,
                           .calls_max = arguments->calls_max,
                           .instances = {},
                           .samples = !arguments->plot.empty()};
  double took_ns = 0;  // the last one
  for (const bool predictive : {false, true}) {
    if (arguments->calls_max == 0) break;
    DayOptions each = options;
    each.instances.predictive = predictive;
    const Stopwatch watch;
    wisp::Result<Day> day = replay_day(*trace, each);
    took_ns = watch.ns();
    if (!day.ok()) return fail(day.status(), 1);
    days.emplace_back(predictive ? "predictive" : "fixed 10 min", *std::move(day));
    if (!arguments->json) print(days.back().first, days.back().second);
  }
  if (arguments->json) put(json(rows, days));
  else if (!days.empty()) print_last(days.back().second, took_ns);
  if (!plot.empty()) {
    drawing << svg(days);
    drawing.close();
  }
  if (!drawing) return fail(wisp::unavailable("{} cannot be written", plot), 1);
  return written() ? 0 : fail(wisp::unavailable("the output cannot be written"), 1);
}

}  // namespace
}  // namespace replay

int main(int count, char** values) { return replay::run(count, values); }
