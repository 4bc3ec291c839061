#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iterator>

namespace gateway {
namespace {

using Text = fmt::memory_buffer;

template <class... Args>
void add(Text& text, fmt::format_string<Args...> format, Args&&... arguments) {
  fmt::format_to(std::back_inserter(text), format, std::forward<Args>(arguments)...);
}

// "1.2 ms".
std::string in_words(std::int64_t ns) {
  const auto value = static_cast<double>(ns);
  if (ns < 1'000) return fmt::format("{} ns", ns);
  if (ns < 1'000'000) return fmt::format("{:.1f} us", value / 1e3);
  if (ns < 1'000'000'000) return fmt::format("{:.1f} ms", value / 1e6);
  return fmt::format("{:.2f} s", value / 1e9);
}

// "-" where nothing was recorded.
std::string in_words(const std::optional<std::uint64_t>& ns) {
  return ns ? in_words(static_cast<std::int64_t>(*ns)) : "-";
}

std::string cost_of(const wisp::Money& cost, wisp::Quality quality) {
  return quality == wisp::Quality::unavailable ? "unavailable" : fmt::format("{}", cost);
}

std::string time_of(wisp::Duration time, wisp::Quality quality) {
  return quality == wisp::Quality::unavailable ? "unavailable" : in_words(time.count());
}

int add_functions(Text& text, const std::vector<wisp::FunctionStats>& functions) {
  add(text, "{:<20} {:>9} {:>7} {:>10} {:>10} {:>10} {:>10}\n", "function", "calls", "errors",
      "wait p50", "wait p99", "run p50", "run p99");
  for (const wisp::FunctionStats& each : functions) {
    add(text, "{:<20} {:>9} {:>7} {:>10} {:>10} {:>10} {:>10}\n", each.name, each.calls,
        each.errors, in_words(each.wait.quantile(0.5)), in_words(each.wait.quantile(0.99)),
        in_words(each.run.quantile(0.5)), in_words(each.run.quantile(0.99)));
  }
  return 1 + static_cast<int>(functions.size());
}

// Workers over time: a column for each sixtieth of the run, a row for each eighth of the peak.
void add_chart(Text& text, const std::vector<Moment>& moments) {
  constexpr std::size_t kColumns = 60;
  constexpr int kRows = 8;
  if (moments.empty()) return;
  std::vector<int> columns(kColumns, 0);
  const double end = std::max(moments.back().seconds, 1e-9);
  int peak = 1;
  for (const Moment& each : moments) {
    const auto column = std::min(
        kColumns - 1, static_cast<std::size_t>(each.seconds / end * static_cast<double>(kColumns)));
    columns[column] = std::max(columns[column], each.workers);
    peak = std::max(peak, each.workers);
  }
  for (int row = kRows; row > 0; --row) {
    const double height = static_cast<double>(peak) * (row - 0.5) / kRows;
    add(text, "{:>5} |", row == kRows ? fmt::format("{}", peak) : "");
    for (const int workers : columns) add(text, "{}", workers >= height ? '#' : ' ');
    add(text, "\n");
  }
  add(text, "    0 +{:-<60}\n       0 s{:>57.1f} s\n", "", end);
}

void add_bill(Text& text, const wisp::Bill& bill, const std::string& source) {
  add(text, "{:<42} {:>22} USD\n", bill.tariff, cost_of(bill.total, bill.total_quality));
  for (const wisp::BillLine& each : bill.lines)
    add(text, "  {:<40} {:>22}\n", each.function, cost_of(each.cost, each.cost_quality));
  add(text, "  source: {}\n", source);
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out.append({'\\', c});
    else if (static_cast<unsigned char>(c) < 0x20) out += fmt::format("\\u{:04x}", c);
    else out += c;
  }
  return out + '"';
}

std::string number_or_null(const std::optional<std::uint64_t>& value) {
  return value ? fmt::format("{}", *value) : "null";
}

std::string money_or_null(const wisp::Money& cost, wisp::Quality quality) {
  return quality == wisp::Quality::unavailable ? "null" : fmt::format("\"{}\"", cost);
}

std::string ns_or_null(wisp::Duration time, wisp::Quality quality) {
  return quality == wisp::Quality::unavailable ? "null" : fmt::format("{}", time.count());
}

std::string rate_or(std::optional<double> per_second, std::string_view none) {
  return per_second ? fmt::format("{:.0f}", *per_second) : std::string(none);
}

// A function's lines of the first bill, over tenants and tags. One that never ran has none: it used
// nothing, and cost nothing.
struct Billed {
  wisp::Money cost{};
  wisp::Quality cost_quality = wisp::Quality::measured;
  wisp::Duration cpu{};
  wisp::Quality cpu_quality = wisp::Quality::measured;
};

Billed billed(const wisp::Bill& bill, std::string_view function) {
  Billed sum{.cost_quality = bill.total_quality};
  for (const wisp::BillLine& each : bill.lines) {
    if (each.function != function) continue;
    sum.cost += each.cost;
    sum.cost_quality = std::min(sum.cost_quality, each.cost_quality);
    sum.cpu += each.cpu;
    sum.cpu_quality = std::min(sum.cpu_quality, each.cpu_quality);
  }
  return sum;
}

void add_json_functions(Text& text, const Outcome& outcome) {
  const char* comma = "";
  for (const wisp::FunctionStats& each : outcome.stats.functions) {
    const Billed sum = billed(outcome.bills.front(), each.name);
    add(text,
        "{}\n    {{\"name\": {}, \"calls\": {}, \"attempts\": {}, \"errors\": {}, "
        "\"wait_ns\": {{\"p50\": {}, \"p99\": {}}}, \"run_ns\": {{\"p50\": {}, \"p99\": {}}}, "
        "\"cpu_ns\": {}, \"cost\": {}}}",
        comma, quoted(each.name), each.calls, each.attempts, each.errors,
        number_or_null(each.wait.quantile(0.5)), number_or_null(each.wait.quantile(0.99)),
        number_or_null(each.run.quantile(0.5)), number_or_null(each.run.quantile(0.99)),
        ns_or_null(sum.cpu, sum.cpu_quality), money_or_null(sum.cost, sum.cost_quality));
    comma = ",";
  }
}

void add_json_bills(Text& text, const std::vector<wisp::Bill>& bills) {
  const char* comma = "";
  for (const wisp::Bill& bill : bills) {
    add(text, "{}\n    {{\"tariff\": {}, \"total\": {}, \"lines\": [", comma, quoted(bill.tariff),
        money_or_null(bill.total, bill.total_quality));
    const char* inner = "";
    for (const wisp::BillLine& each : bill.lines) {
      add(text, "{}{{\"function\": {}, \"cost\": {}}}", inner, quoted(each.function),
          money_or_null(each.cost, each.cost_quality));
      inner = ", ";
    }
    add(text, "]}}");
    comma = ",";
  }
}

}  // namespace

std::string LiveTable::draw(double share_done, std::string_view phase, double rate,
                            const Report& report) {
  constexpr int kWidth = 40;
  Text text;
  if (lines_ > 0) add(text, "\x1b[{}A\x1b[J", lines_);  // up, and clear to the end
  add(text, "\x1b[?7l");  // a narrow terminal cuts lines, instead of making two of one
  const int done = static_cast<int>(std::clamp(share_done, 0.0, 1.0) * kWidth);
  add(text, "[{:=<{}}{: <{}}] {:>3.0f} %  {}\n", "", done, "", kWidth - done,
      100 * std::clamp(share_done, 0.0, 1.0), phase);
  add(text, "{:.0f} events/s  {} queued  {} workers  {} USD ({})\n", rate, report.stats.queued,
      report.stats.workers.current, cost_of(report.bill.total, report.bill.total_quality),
      report.bill.tariff);
  lines_ = 2 + add_functions(text, report.stats.functions);
  add(text, "\x1b[?7h");
  return to_string(text);
}

std::string plain_line(double seconds, std::string_view phase, double rate, const Report& report) {
  std::string line =
      fmt::format("{:5.1f} s  {:<6} {:>7.0f} events/s  {:>6} queued  {:>3} workers  {} USD",
                  seconds, phase, rate, report.stats.queued, report.stats.workers.current,
                  cost_of(report.bill.total, report.bill.total_quality));
  for (const wisp::FunctionStats& each : report.stats.functions) {
    if (each.name == "ingest")
      line += fmt::format("  ingest waits {} (p99)", in_words(each.wait.quantile(0.99)));
  }
  return line + '\n';
}

std::string summary(const Outcome& outcome) {
  Text text;
  const wisp::EventStats& events = outcome.stats.events;
  add(text, "\nEvents: {} emitted, {} of them refused; the burst reached {} a second\n",
      outcome.emitted, outcome.refused, rate_or(outcome.burst_rate, "-"));
  add(text,
      "Deliveries: {} accepted = {} done + {} dead + {} expired + {} cancelled; {} events met "
      "nobody\n",
      events.accepted, events.done, events.dead, events.expired, events.cancelled,
      events.unmatched);
  add(text, "{} windows, {} alerts sent, {} never got through\n\n", outcome.counts.windows,
      outcome.counts.alerts_sent, outcome.counts.alerts_lost);
  add_functions(text, outcome.stats.functions);
  add(text, "\nWorkers over time, {} at most, {} at the end:\n", outcome.stats.workers.peak,
      outcome.workers_at_end);
  add_chart(text, outcome.moments);
  add(text, "\nWhat this run would cost, without free allowances:\n");
  for (std::size_t i = 0; i < outcome.bills.size(); ++i)
    add_bill(text, outcome.bills[i], outcome.sources[i]);
  const wisp::Bill& bill = outcome.bills.front();
  wisp::Duration functions{};
  for (const wisp::BillLine& each : bill.lines) functions += each.cpu;
  add(text, "\nCPU: {} in functions, {} in wisp, {} in the host's threads; the process used {}\n",
      in_words(functions.count()), time_of(bill.unattributed, bill.unattributed_quality),
      time_of(bill.host, bill.host_quality), in_words(outcome.process_cpu_ns));
  return to_string(text);
}

std::string json(const Outcome& outcome) {
  Text text;
  const wisp::EventStats& events = outcome.stats.events;
  const wisp::Bill& bill = outcome.bills.front();
  add(text, "{{\n  \"functions\": [");
  add_json_functions(text, outcome);
  add(text,
      "\n  ],\n  \"events\": {{\"accepted\": {}, \"done\": {}, \"dead\": {}, \"expired\": {}, "
      "\"cancelled\": {}, \"unmatched\": {}}},\n",
      events.accepted, events.done, events.dead, events.expired, events.cancelled,
      events.unmatched);
  add(text, "  \"workers\": {{\"peak\": {}, \"at_end\": {}}},\n", outcome.stats.workers.peak,
      outcome.workers_at_end);
  add(text, "  \"burst_events_per_second\": {},\n  \"bills\": [",
      rate_or(outcome.burst_rate, "null"));
  add_json_bills(text, outcome.bills);
  add(text,
      "\n  ],\n  \"process_cpu_ns\": {},\n  \"unattributed_cpu_ns\": {},\n  \"host_cpu_ns\": {}\n"
      "}}\n",
      outcome.process_cpu_ns, ns_or_null(bill.unattributed, bill.unattributed_quality),
      ns_or_null(bill.host, bill.host_quality));
  return to_string(text);
}

bool put(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
         std::fflush(stdout) == 0;
}

}  // namespace gateway
