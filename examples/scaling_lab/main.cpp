// Scaling policies side by side. See README.md beside this file.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <numbers>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <wisp/engine/kpa.hpp>
#include <wisp/wisp.hpp>

#include "lab.hpp"

namespace lab {
namespace {

using namespace std::chrono_literals;
using wisp::scaling::Kpa;
using wisp::scaling::TargetWait;

constexpr const char* kUsage =
    "usage: scaling_lab [--seeds N] [--json] [--plot FILE.svg]\n"
    "  --seeds N        each figure is the mean of so many runs (5); most and last are the "
    "highest\n"
    "  --json           one JSON document in place of the table\n"
    "  --plot FILE.svg  draws demand and capacity\n"
    "  --help           this\n";

// Whether all of it could be written is known at the end.
void put(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }
bool written() { return std::fflush(stdout) == 0 && std::ferror(stdout) == 0; }

const std::vector<Load>& loads() {
  static const std::vector<Load> all = {
      {"step", 130, [](double s) { return s < 10 ? 0.0 : 1.0; }},
      {"ramp", 150, [](double s) { return std::min(1.0, s / 120); }},
      {"spike", 120, [](double s) { return s >= 60 && s < 65 ? 1.0 : 0.1; }},
      {"on-off", 160, [](double s) { return static_cast<int>(s / 20) % 2 == 0 ? 1.0 : 0.0; }},
      {"diurnal", 600, [](double s) { return (1 - std::cos(s * 2 * std::numbers::pi / 300)) / 2; }},
  };
  return all;
}

const std::vector<Work>& works() {
  static const std::vector<Work> all = {
      {"short", 2ms, false, 1ms, 1.2},
      {"long", 100ms, false, 1ms, 1.2},
      {"blocking", 100ms, true, 1ms, 20},
      {"slow start", 100ms, true, 2s, 20},
  };
  return all;
}

std::vector<Contender> contenders(std::vector<std::unique_ptr<Kpa>>& kept) {
  return {
      {"target-wait", Pool::wisp, [] { return wisp::scaling::Policy(TargetWait{}); }},
      {"KPA", Pool::knative,
       [&kept] {
         kept.push_back(std::make_unique<Kpa>());
         return wisp::scaling::Policy(Kpa::Ref{kept.back().get()});
       }},
      {"fixed 64", Pool::wisp,
       [] { return wisp::scaling::Policy(wisp::scaling::Fixed{.workers = kWorkersMax}); }},
  };
}

struct Row {
  std::string load;
  std::string work;
  std::string policy;
  Result result;
};

// Of some seeds; the seconds are the first one's.
Result mean(const Load& load, const Work& work, const Contender& contender, int seeds) {
  Result sum = run(load, work, contender, 1);
  for (int seed = 2; seed <= seeds; ++seed) {
    const Result one = run(load, work, contender, static_cast<std::uint64_t>(seed));
    sum.calls += one.calls;
    sum.wait_p50_ms += one.wait_p50_ms;
    sum.wait_p99_ms += one.wait_p99_ms;
    sum.over_provision += one.over_provision;
    const bool both = sum.to_capacity_s >= 0 && one.to_capacity_s >= 0;
    sum.to_capacity_s = both ? sum.to_capacity_s + one.to_capacity_s : -1;
    sum.changes += one.changes;
    sum.workers_most = std::max(sum.workers_most, one.workers_most);
    sum.workers_last = std::max(sum.workers_last, one.workers_last);
  }
  sum.calls /= static_cast<std::uint64_t>(seeds);
  sum.wait_p50_ms /= seeds;
  sum.wait_p99_ms /= seeds;
  sum.over_provision /= seeds;
  if (sum.to_capacity_s >= 0) sum.to_capacity_s /= seeds;
  sum.changes /= seeds;
  return sum;
}

std::vector<Row> run_all(int seeds) {
  std::vector<std::unique_ptr<Kpa>> kept;
  std::vector<Row> rows;
  for (const Load& load : loads()) {
    for (const Work& work : works()) {
      for (const Contender& each : contenders(kept))
        rows.push_back({load.name, work.name, each.name, mean(load, work, each, seeds)});
    }
  }
  return rows;
}

void print(const std::vector<Row>& rows) {
  put(fmt::format("{:<8} {:<10} {:<12} {:>8} {:>9} {:>9} {:>9} {:>9} {:>8} {:>5} {:>4}\n", "load",
                  "work", "policy", "calls", "p50 ms", "p99 ms", "surplus", "capacity", "changes",
                  "most", "last"));
  for (const Row& each : rows) {
    const Result& r = each.result;
    put(fmt::format(
        "{:<8} {:<10} {:<12} {:>8} {:>9.0f} {:>9.0f} {:>9.0f} {:>9} {:>8.1f} {:>5} {:>4}\n",
        each.load, each.work, each.policy, r.calls, r.wait_p50_ms, r.wait_p99_ms, r.over_provision,
        r.to_capacity_s < 0 ? "never" : fmt::format("{:.3f} s", r.to_capacity_s), r.changes,
        r.workers_most, r.workers_last));
  }
}

std::string json(const std::vector<Row>& rows) {
  std::string text = "[";
  for (const Row& each : rows) {
    const Result& r = each.result;
    text +=
        fmt::format(R"({}{{"load":"{}","work":"{}","policy":"{}","calls":{},"wait_p50_ms":{:.3f},)"
                    R"("wait_p99_ms":{:.3f},"over_provision_s":{:.3f},"to_capacity_s":{},)"
                    R"("changes_per_minute":{:.3f},"workers_most":{},"workers_last":{}}})",
                    text.size() == 1 ? "" : ",\n", each.load, each.work, each.policy, r.calls,
                    r.wait_p50_ms, r.wait_p99_ms, r.over_provision,
                    r.to_capacity_s < 0 ? "null" : fmt::format("{:.3f}", r.to_capacity_s),
                    r.changes, r.workers_most, r.workers_last);
  }
  return text + "]\n";
}

// One picture for each load and work: demand as an area, what each policy had ready as a line.
std::string svg(const std::vector<Row>& rows) {
  constexpr int kWidth = 260;
  constexpr int kHeight = 110;
  constexpr std::pair<const char*, const char*> kColours[] = {{"target-wait", "#0a7d55"},
                                                              {"KPA", "#c2410c"}};
  const auto columns = static_cast<int>(works().size());
  const auto lines = static_cast<int>(loads().size());
  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" "
      "font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      columns * kWidth, lines * kHeight + 24);
  int x = 8;
  for (const auto& [policy, colour] : kColours) {
    text += fmt::format("<text x=\"{}\" y=\"14\" fill=\"{}\">workers of {}</text>\n", x, colour,
                        policy);
    x += 140;
  }
  text += fmt::format("<text x=\"{}\" y=\"14\" fill=\"#64748b\">calls in the system</text>\n", x);
  const auto line = [&](const Row& row, double (*of)(const Second&), double top, int left,
                        int base) {
    // The highest of some seconds, so that no peak is lost.
    const std::vector<Second>& seconds = row.result.seconds;
    const std::size_t some = seconds.size() / 100;
    std::string points;
    for (std::size_t at = 0; at + some <= seconds.size(); at += some) {
      double most = 0;
      for (std::size_t k = at; k < at + some; ++k) most = std::max(most, of(seconds[k]));
      points += fmt::format(
          "{:.0f},{:.0f} ",
          left + static_cast<double>(at * (kWidth - 24)) / static_cast<double>(seconds.size()),
          base - std::min(most, top) * (kHeight - 34) / top);
    }
    return points;
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    const auto cell = static_cast<int>(i / 3);
    const int left = cell % columns * kWidth + 12;
    const int base = 24 + (cell / columns + 1) * kHeight - 8;
    const double top = row.work == "short" || row.work == "long" ? 16 : kWorkersMax;
    for (const auto& [policy, colour] : kColours) {
      if (row.policy != policy) continue;
      if (policy == kColours[0].first) {
        text += fmt::format("<text x=\"{}\" y=\"{}\">{}, {} (to {:.0f})</text>\n", left,
                            base - kHeight + 30, row.load, row.work, top);
        text += fmt::format("<polygon points=\"{},{} {}{},{}\" fill=\"#cbd5e1\"/>\n", left, base,
                            line(
                                row, [](const Second& s) { return s.demand; }, top, left, base),
                            left + kWidth - 24, base);
      }
      text += fmt::format(
          "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\"/>\n",
          line(row, [](const Second& s) { return s.capacity; }, top, left, base), colour);
    }
  }
  return text + "</svg>\n";
}

int lab_main(int count, char** values) {
  bool as_json = false;
  int seeds = 5;
  std::string plot;
  for (int i = 1; i < count; ++i) {
    const std::string_view name = values[i];
    if (name == "--help") {
      put(kUsage);
      return 0;
    }
    if (name == "--json") {
      as_json = true;
    } else if (name == "--seeds" && i + 1 < count) {
      const std::string_view text = values[++i];
      const char* const end = text.data() + text.size();
      const auto [stop, error] = std::from_chars(text.data(), end, seeds);
      if (error == std::errc() && stop == end && seeds >= 1 && seeds <= 1'000) continue;
      fmt::print(stderr, "scaling_lab: --seeds is '{}', it must be 1 to 1000\n", text);
      return 2;
    } else if (name == "--plot" && i + 1 < count &&
               !std::string_view(values[i + 1]).starts_with("--")) {
      plot = values[++i];
    } else {
      fmt::print(stderr, "{}scaling_lab: {}\n", kUsage,
                 name == "--plot" || name == "--seeds"
                     ? fmt::format("{} needs a value", name)
                     : fmt::format("there is no option {}", name));
      return 2;
    }
  }
  // Before a minute has gone into what it is for.
  std::ofstream file;
  if (!plot.empty()) file.open(plot);
  if (!file) {
    fmt::print(stderr, "scaling_lab: {} cannot be written\n", plot);
    return 1;
  }
  const std::vector<Row> rows = run_all(seeds);
  if (as_json) put(json(rows));
  else print(rows);
  if (!plot.empty()) {
    file << svg(rows);
    file.close();
  }
  if (file && written()) return 0;
  fmt::print(stderr, "scaling_lab: {} cannot be written\n", file ? "the output" : plot);
  return 1;
}

}  // namespace
}  // namespace lab

int main(int count, char** values) { return lab::lab_main(count, values); }
