#include <wisp/engine/focus.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <wisp/base/text.hpp>

namespace wisp::inline v0::focus {
namespace {

using std::chrono::floor;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::sys_seconds;
using std::chrono::year_month_day;

// What all rows of a dataset have in common.
struct Periods {
  std::string start, end;
  std::string billing_start, billing_end;
};

std::string utc(sys_seconds time) {
  const sys_days day = floor<std::chrono::days>(time);
  const year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

Periods periods_of(const Bill& bill, WallTime end) {
  const sys_seconds to = floor<seconds>(end);
  const auto window = std::chrono::duration_cast<WallTime::duration>(bill.window);
  const sys_seconds from = std::min(floor<seconds>(end - window), to - seconds(1));
  const year_month_day last(floor<std::chrono::days>(to - seconds(1)));
  const auto month = last.year() / last.month();
  return {.start = utc(from),
          .end = utc(to),
          .billing_start = utc(sys_days(month / 1)),
          .billing_end = utc(sys_days((month + std::chrono::months(1)) / 1))};
}

std::string json_string(std::string_view text) {
  std::string quoted = "\"";
  while (!text.empty()) {
    const std::size_t length = detail::utf8_length(text);
    const char first = text.front();
    if (length == 0) quoted += "\\ufffd";
    else if (first == '"' || first == '\\') quoted += {'\\', first};
    else if (static_cast<unsigned char>(first) < 0x20)
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(first));
    else quoted += text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return quoted += '"';
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted += '"';
}

// Exact, as both have nanoseconds.
std::string in_seconds(Duration time) {
  return fmt::format("{}.{:09}", time.count() / 1'000'000'000, time.count() % 1'000'000'000);
}

// Where the fields of a row go, one after the other.
class Row {
 public:
  virtual ~Row() = default;
  // Empty text is null.
  void text(std::string_view column, std::string_view text) { field(column, text, true); }
  // What JSON has without quotes: a number, or an object.
  void plain(std::string_view column, std::string_view text) { field(column, text, false); }
  void number(std::string_view column, std::uint64_t number) {
    plain(column, fmt::to_string(number));
  }

 private:
  virtual void field(std::string_view column, std::string_view text, bool quoted) = 0;
};

// In the specification's order, the alphabet's, with what is wisp's own behind.
void write(Row& row, const BillLine& line, const Bill& bill, const Dataset& dataset,
           const Periods& periods) {
  const std::string cost = to_string(line.cost);
  row.plain("BilledCost", cost);
  row.text("BillingAccountId", dataset.account);
  row.text("BillingCurrency", "USD");
  row.text("BillingPeriodEnd", periods.billing_end);
  row.text("BillingPeriodStart", periods.billing_start);
  row.text("ChargeCategory", "Usage");
  row.text("ChargeClass", "");  // no correction
  row.text("ChargeDescription", fmt::format("{} version {}", line.function, line.version));
  row.text("ChargeFrequency", "Usage-Based");
  row.text("ChargePeriodEnd", periods.end);
  row.text("ChargePeriodStart", periods.start);
  row.number("ConsumedQuantity", line.attempts);
  row.text("ConsumedUnit", "Requests");
  row.plain("ContractedCost", cost);
  row.plain("EffectiveCost", cost);
  row.text("InvoiceIssuerName", dataset.provider);
  row.plain("ListCost", cost);
  row.text("PricingCategory", "Standard");
  row.text("ProviderName", dataset.provider);
  row.text("PublisherName", dataset.provider);
  row.text("ResourceId", line.function);
  row.text("ResourceName", line.function);
  row.text("ResourceType", "Function");
  row.text("ServiceCategory", "Compute");
  row.text("ServiceName", dataset.service);
  row.text("ServiceSubcategory", "Serverless Compute");
  row.text("SubAccountId", line.tenant);
  row.plain("Tags", line.tag.empty() ? std::string()
                                     : fmt::format(R"({{"tag":{}}})", json_string(line.tag)));
  row.number("x_Calls", line.calls);
  row.text("x_CostQuality", to_string(line.cost_quality));
  const bool measured = line.cpu_quality != Quality::unavailable;
  row.plain("x_CpuSeconds", measured ? in_seconds(line.cpu) : std::string());
  row.number("x_Errors", line.errors);
  row.number("x_FunctionVersion", static_cast<std::uint64_t>(line.version));
  row.text("x_Tariff", bill.tariff);
  row.plain("x_WallSeconds", in_seconds(line.wall));
}

class CsvRow final : public Row {
 public:
  CsvRow(std::string& out, bool heads) : out_(out), heads_(heads) {}

 private:
  void field(std::string_view column, std::string_view text, bool) override {
    if (!std::exchange(first_, false)) out_ += ',';
    out_ += csv_field(heads_ ? column : text);
  }

  std::string& out_;
  const bool heads_;
  bool first_ = true;
};

class JsonRow final : public Row {
 public:
  explicit JsonRow(std::string& out) : out_(out) {}

 private:
  void field(std::string_view column, std::string_view text, bool quoted) override {
    out_ += std::exchange(first_, false) ? "\"" : ",\"";
    out_ += column;
    out_ += "\":";
    if (text.empty()) out_ += "null";
    else if (quoted) out_ += json_string(text);
    else out_ += text;
  }

  std::string& out_;
  bool first_ = true;
};

Status can_be_exported(const Bill& bill) {
  if (bill.total_quality == Quality::unavailable)
    return failed_precondition("a bill without a tariff has no costs, and each row needs one");
  for (const BillLine& line : bill.lines)
    if (line.cost.saturated())
      return failed_precondition("the cost of '{}' did not fit Money", line.function);
  if (bill.total.saturated()) return failed_precondition("the bill's total did not fit Money");
  return Status();
}

}  // namespace

Result<std::string> csv(const Bill& bill, const Dataset& dataset) {
  WISP_TRY(can_be_exported(bill));
  const Periods periods = periods_of(bill, dataset.end);
  std::string text;
  const auto append = [&](const BillLine& line, bool heads) {
    CsvRow row(text, heads);
    write(row, line, bill, dataset, periods);
    text += '\n';
  };
  append({}, true);
  for (const BillLine& line : bill.lines) append(line, false);
  return text;
}

Result<std::string> json(const Bill& bill, const Dataset& dataset) {
  WISP_TRY(can_be_exported(bill));
  const Periods periods = periods_of(bill, dataset.end);
  std::string text = "[";
  for (const BillLine& line : bill.lines) {
    text += text.size() == 1 ? "\n{" : ",\n{";
    JsonRow row(text);
    write(row, line, bill, dataset, periods);
    text += '}';
  }
  return text += "\n]\n";
}

}  // namespace wisp::inline v0::focus
