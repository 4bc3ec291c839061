#include <wisp/engine/focus.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace wisp::inline v0::focus {
namespace {

using std::chrono::floor;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::sys_seconds;
using std::chrono::year_month_day;

// A field's text is null if it is not there.
using Text = std::optional<std::string>;

struct Field {
  std::string_view column;
  Text text;
  bool quoted = true;  // in JSON: a string, else a number or an object
};

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

// How many bytes at the beginning of `text` are one character of UTF-8 as RFC 3629 has it; 0: none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&text](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  // No overlong form, no surrogate, nothing beyond U+10FFFF.
  const unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i)
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  return length;
}

std::string json_string(std::string_view text) {
  std::string quoted = "\"";
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
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

Text text_or_null(std::string_view text) { return text.empty() ? Text() : Text(std::string(text)); }

// Exact, as both have nanoseconds.
std::string in_seconds(Duration time) {
  return fmt::format("{}.{:09}", time.count() / 1'000'000'000, time.count() % 1'000'000'000);
}

// In the specification's order, the alphabet's, with what is wisp's own behind.
auto row_of(const BillLine& line, const Bill& bill, const Dataset& dataset,
            const Periods& periods) {
  const auto plain = [](std::string_view text) { return Text(std::string(text)); };
  const std::string cost = to_string(line.cost);
  Text tags;
  if (!line.tag.empty()) tags = fmt::format(R"({{"tag":{}}})", json_string(line.tag));
  return std::to_array<Field>({
      {"BilledCost", cost, false},
      {"BillingAccountId", plain(dataset.account)},
      {"BillingCurrency", "USD"},
      {"BillingPeriodEnd", periods.billing_end},
      {"BillingPeriodStart", periods.billing_start},
      {"ChargeCategory", "Usage"},
      {"ChargeClass", Text()},  // no correction
      {"ChargeDescription", fmt::format("{} version {}", line.function, line.version)},
      {"ChargeFrequency", "Usage-Based"},
      {"ChargePeriodEnd", periods.end},
      {"ChargePeriodStart", periods.start},
      {"ConsumedQuantity", fmt::to_string(line.attempts), false},
      {"ConsumedUnit", "Requests"},
      {"ContractedCost", cost, false},
      {"EffectiveCost", cost, false},
      {"InvoiceIssuerName", plain(dataset.provider)},
      {"ListCost", cost, false},
      {"PricingCategory", "Standard"},
      {"ProviderName", plain(dataset.provider)},
      {"PublisherName", plain(dataset.provider)},
      {"ResourceId", plain(line.function)},
      {"ResourceName", plain(line.function)},
      {"ResourceType", "Function"},
      {"ServiceCategory", "Compute"},
      {"ServiceName", plain(dataset.service)},
      {"ServiceSubcategory", "Serverless Compute"},
      {"SubAccountId", text_or_null(line.tenant)},
      {"Tags", std::move(tags), false},
      {"x_Calls", fmt::to_string(line.calls), false},
      {"x_CostQuality", plain(to_string(line.cost_quality))},
      {"x_CpuSeconds",
       line.cpu_quality == Quality::unavailable ? Text() : Text(in_seconds(line.cpu)), false},
      {"x_Errors", fmt::to_string(line.errors), false},
      {"x_FunctionVersion", fmt::to_string(line.version), false},
      {"x_Tariff", plain(bill.tariff)},
      {"x_WallSeconds", in_seconds(line.wall), false},
  });
}

Status can_be_exported(const Bill& bill) {
  if (bill.total_quality == Quality::unavailable)
    return failed_precondition("a bill without a tariff has no costs, and each row needs one");
  for (const BillLine& line : bill.lines)
    if (line.cost.saturated())
      return failed_precondition("the cost of '{}' did not fit Money", line.function);
  return Status();
}

}  // namespace

Result<std::string> csv(const Bill& bill, const Dataset& dataset) {
  WISP_TRY(can_be_exported(bill));
  const Periods periods = periods_of(bill, dataset.end);
  std::string text;
  const auto append = [&text](const auto& row, const auto& field_of) {
    for (const Field& field : row) {
      if (&field != &row.front()) text += ',';
      text += csv_field(field_of(field));
    }
    text += '\n';
  };
  append(row_of({}, bill, dataset, periods), [](const Field& field) { return field.column; });
  for (const BillLine& line : bill.lines)
    append(row_of(line, bill, dataset, periods), [](const Field& field) -> std::string_view {
      return field.text ? std::string_view(*field.text) : std::string_view();
    });
  return text;
}

Result<std::string> json(const Bill& bill, const Dataset& dataset) {
  WISP_TRY(can_be_exported(bill));
  const Periods periods = periods_of(bill, dataset.end);
  std::string text = "[";
  for (const BillLine& line : bill.lines) {
    text += text.size() == 1 ? "\n{" : ",\n{";
    const auto row = row_of(line, bill, dataset, periods);
    for (const Field& field : row) {
      if (&field != &row.front()) text += ',';
      fmt::format_to(std::back_inserter(text), "\"{}\":", field.column);
      if (!field.text) text += "null";
      else if (field.quoted) text += json_string(*field.text);
      else text += *field.text;
    }
    text += '}';
  }
  return text += "\n]\n";
}

}  // namespace wisp::inline v0::focus
