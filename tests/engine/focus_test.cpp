#include <wisp/engine/focus.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using namespace std::chrono_literals;

using wisp::Bill;
using wisp::BillLine;
using wisp::Money;
using wisp::Quality;
using wisp::test::test_seeds;

wisp::WallTime at(int year, unsigned month, unsigned day, wisp::Duration time) {
  const std::chrono::sys_days date(std::chrono::year(year) / std::chrono::month(month) /
                                   std::chrono::day(day));
  return wisp::WallTime(date.time_since_epoch()) + time;
}

Bill bill_of(std::vector<BillLine> lines) {
  Bill bill{.tariff = "AWS Lambda x86", .window = 24h, .total_quality = Quality::measured};
  for (BillLine& line : lines) {
    line.cost_quality = Quality::measured;
    bill.total += line.cost;
  }
  bill.lines = std::move(lines);
  return bill;
}

BillLine line_of(std::string function, Money cost) {
  return {.function = std::move(function), .cost = cost};
}

// RFC 4180, by a reader of its own: rows of fields.
std::vector<std::vector<std::string>> read_csv(std::string_view text) {
  std::vector<std::vector<std::string>> rows(1, {""});
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    std::string& field = rows.back().back();
    if (quoted && c == '"' && text.substr(i + 1, 1) == "\"") {
      field += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && c == ',') {
      rows.back().emplace_back();
    } else if (!quoted && c == '\n') {
      rows.push_back({""});
    } else {
      field += c;
    }
  }
  CHECK_FALSE(quoted);
  REQUIRE(rows.back() == std::vector<std::string>{""});  // the last line ends as well
  rows.pop_back();
  return rows;
}

std::vector<std::map<std::string, std::string>> rows_of(const Bill& bill,
                                                        const wisp::focus::Dataset& dataset) {
  const wisp::Result<std::string> csv = wisp::focus::csv(bill, dataset);
  REQUIRE(csv.ok());
  const auto table = read_csv(*csv);
  CHECK(std::is_sorted(table.front().begin(), table.front().end()));
  std::vector<std::map<std::string, std::string>> rows;
  for (std::size_t i = 1; i < table.size(); ++i) {
    REQUIRE(table[i].size() == table.front().size());
    rows.emplace_back();
    for (std::size_t j = 0; j < table[i].size(); ++j) rows.back()[table.front()[j]] = table[i][j];
  }
  return rows;
}

}  // namespace

TEST_CASE("focus: a row has its line's figures under the specification's names", "[focus]") {
  BillLine line = line_of("resize", Money::picodollars(225'000));
  line.version = 3;
  line.tenant = "acme";
  line.tag = "nightly";
  line.calls = 7;
  line.attempts = 9;
  line.errors = 2;
  line.wall = 1500ms;
  line.cpu = 70us;
  line.cpu_quality = Quality::measured;
  auto rows = rows_of(bill_of({line}), {.end = at(2026, 3, 1, 6h + 500ms), .account = "studio"});
  REQUIRE(rows.size() == 1);
  const std::map<std::string, std::string> expected = {
      {"BilledCost", "0.000000225"},
      {"BillingAccountId", "studio"},
      {"BillingCurrency", "USD"},
      {"BillingPeriodEnd", "2026-04-01T00:00:00Z"},
      {"BillingPeriodStart", "2026-03-01T00:00:00Z"},
      {"ChargeCategory", "Usage"},
      {"ChargeClass", ""},
      {"ChargeDescription", "resize version 3"},
      {"ChargeFrequency", "Usage-Based"},
      {"ChargePeriodEnd", "2026-03-01T06:00:00Z"},
      {"ChargePeriodStart", "2026-02-28T06:00:00Z"},
      {"ConsumedQuantity", "9"},
      {"ConsumedUnit", "Requests"},
      {"ContractedCost", "0.000000225"},
      {"EffectiveCost", "0.000000225"},
      {"InvoiceIssuerName", "wisp"},
      {"ListCost", "0.000000225"},
      {"PricingCategory", "Standard"},
      {"ProviderName", "wisp"},
      {"PublisherName", "wisp"},
      {"ResourceId", "resize"},
      {"ResourceName", "resize"},
      {"ResourceType", "Function"},
      {"ServiceCategory", "Compute"},
      {"ServiceName", "wisp"},
      {"ServiceSubcategory", "Serverless Compute"},
      {"SubAccountId", "acme"},
      {"Tags", R"({"tag":"nightly"})"},
      {"x_Calls", "7"},
      {"x_CostQuality", "measured"},
      {"x_CpuSeconds", "0.000070000"},
      {"x_Errors", "2"},
      {"x_FunctionVersion", "3"},
      {"x_Tariff", "AWS Lambda x86"},
      {"x_WallSeconds", "1.500000000"},
  };
  CHECK(rows.front() == expected);
}

TEST_CASE("focus: JSON has the same, numbers as numbers and null for what is not there",
          "[focus]") {
  const auto json = wisp::focus::json(bill_of({line_of("a", Money::cents(490)), line_of("b", {})}),
                                      {.end = at(2026, 12, 31, 0h)});
  REQUIRE(json.ok());
  const auto row = [](std::string_view function, std::string_view cost) {
    return fmt::format(
        R"({{"BilledCost":{1},"BillingAccountId":"wisp","BillingCurrency":"USD",)"
        R"("BillingPeriodEnd":"2027-01-01T00:00:00Z","BillingPeriodStart":"2026-12-01T00:00:00Z",)"
        R"("ChargeCategory":"Usage","ChargeClass":null,"ChargeDescription":"{0} version 1",)"
        R"("ChargeFrequency":"Usage-Based","ChargePeriodEnd":"2026-12-31T00:00:00Z",)"
        R"("ChargePeriodStart":"2026-12-30T00:00:00Z","ConsumedQuantity":0,)"
        R"("ConsumedUnit":"Requests","ContractedCost":{1},"EffectiveCost":{1},)"
        R"("InvoiceIssuerName":"wisp","ListCost":{1},"PricingCategory":"Standard",)"
        R"("ProviderName":"wisp","PublisherName":"wisp","ResourceId":"{0}","ResourceName":"{0}",)"
        R"("ResourceType":"Function","ServiceCategory":"Compute","ServiceName":"wisp",)"
        R"("ServiceSubcategory":"Serverless Compute","SubAccountId":null,"Tags":null,)"
        R"("x_Calls":0,"x_CostQuality":"measured","x_CpuSeconds":null,"x_Errors":0,)"
        R"("x_FunctionVersion":1,"x_Tariff":"AWS Lambda x86","x_WallSeconds":0.000000000}})",
        function, cost);
  };
  CHECK(*json == "[\n" + row("a", "4.90") + ",\n" + row("b", "0.00") + "\n]\n");
}

TEST_CASE("focus: a bill without lines has its columns, and an empty array", "[focus]") {
  const wisp::focus::Dataset dataset{.end = at(2026, 1, 1, 0h)};
  const auto csv = wisp::focus::csv(bill_of({}), dataset);
  REQUIRE(csv.ok());
  CHECK(csv->starts_with("BilledCost,BillingAccountId,"));
  CHECK(std::count(csv->begin(), csv->end(), '\n') == 1);
  CHECK(wisp::focus::json(bill_of({}), dataset).value() == "[\n]\n");
}

TEST_CASE("focus: without a cost there is no row", "[focus]") {
  Bill bill = bill_of({line_of("a", {})});
  bill.total_quality = Quality::unavailable;
  CHECK(wisp::focus::csv(bill, {}).status().code() == wisp::StatusCode::kFailedPrecondition);
  CHECK(wisp::message(wisp::focus::json(bill, {}).status()).find("without a tariff") !=
        std::string_view::npos);
  const Bill saturated = bill_of({line_of("huge", Money::max())});
  for (const auto& exported : {wisp::focus::csv(saturated, {}), wisp::focus::json(saturated, {})}) {
    CHECK(exported.status().code() == wisp::StatusCode::kFailedPrecondition);
    CHECK(wisp::message(exported.status()).find("'huge'") != std::string_view::npos);
  }
  Bill shared = bill_of({line_of("a", {}), line_of("b", {})});
  shared.total = Money::max();
  CHECK(wisp::message(wisp::focus::csv(shared, {}).status()) ==
        "the bill's total did not fit Money");
}

TEST_CASE("focus: windows that follow each other do so in whole seconds", "[focus]") {
  Bill bill = bill_of({line_of("a", {})});
  const wisp::WallTime noon = at(2026, 5, 5, 12h);
  wisp::WallTime end = noon + 1ms;
  std::string last;
  for (const auto window : {1500ms, 2700ms, 999ms, 1000ms, 60'001ms}) {
    end += window;
    bill.window = window;
    auto rows = rows_of(bill, {.end = end});
    REQUIRE(rows.size() == 1);
    if (!last.empty()) CHECK(rows.front()["ChargePeriodStart"] <= last);
    if (!last.empty() && window >= 1s) CHECK(rows.front()["ChargePeriodStart"] == last);
    last = rows.front()["ChargePeriodEnd"];
    CHECK(rows.front()["ChargePeriodStart"] < last);
  }
  bill.window = 10ms;
  auto brief = rows_of(bill, {.end = noon + 500ms});
  CHECK(brief.front()["ChargePeriodStart"] == "2026-05-05T11:59:59Z");
  CHECK(brief.front()["ChargePeriodEnd"] == "2026-05-05T12:00:00Z");
  // The last moment of a window that ends with a month is in that month.
  bill.window = 1h;
  auto rows = rows_of(bill, {.end = at(2026, 3, 1, 0h)});
  CHECK(rows.front()["BillingPeriodStart"] == "2026-02-01T00:00:00Z");
  CHECK(rows.front()["BillingPeriodEnd"] == "2026-03-01T00:00:00Z");
}

TEST_CASE("focus: any text comes back as it was, and costs sum to the total", "[focus]") {
  const std::vector<std::string> pieces = {"a",  "\"", ",",  "\n", "\r", "\\", " ", "=1+1",
                                           "\t", "'",  "{}", "é",  "日", "🎈", ";", "null"};
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    const auto any_text = [&] {
      std::string text;
      for (std::size_t n = random.below(6); n > 0; --n) text += pieces[random.below(pieces.size())];
      return text;
    };
    std::vector<BillLine> lines;
    for (std::size_t n = random.below(5); n > 0; --n) {
      lines.push_back(line_of("f" + any_text(), Money::picodollars(random.between(0, 1'000'000))));
      lines.back().tenant = any_text();
      lines.back().tag = any_text();
    }
    const Bill bill = bill_of(lines);
    auto rows = rows_of(bill, {.end = at(2026, 7, 1, 0h)});
    REQUIRE(rows.size() == bill.lines.size());
    Money total;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      CHECK(rows[i]["ResourceId"] == bill.lines[i].function);
      CHECK(rows[i]["SubAccountId"] == bill.lines[i].tenant);
      total += Money::parse(rows[i]["BilledCost"]).value();
    }
    CHECK(total == bill.total);
  }
}

TEST_CASE("focus: JSON escapes what it has to, and takes no bytes that are not UTF-8", "[focus]") {
  const auto name_of = [](std::string_view function) {
    const auto json = wisp::focus::json(bill_of({line_of(std::string(function), {})}), {});
    REQUIRE(json.ok());
    constexpr std::string_view kBefore = "\"ResourceId\":";
    const std::size_t from = json->find(kBefore) + kBefore.size();
    return json->substr(from, json->find(",\"ResourceName\"") - from);
  };
  CHECK(name_of("a\"b\\c") == R"("a\"b\\c")");
  CHECK(name_of("\n\t\x1f\x7f") == "\"\\u000a\\u0009\\u001f\x7f\"");
  CHECK(name_of("é日🎈") == "\"é日🎈\"");
  CHECK(name_of("\xf4\x8f\xbf\xbf") == "\"\xf4\x8f\xbf\xbf\"");  // U+10FFFF
  CHECK(name_of("\x80") == R"("\ufffd")");                       // a continuation
  CHECK(name_of("\xc3") == R"("\ufffd")");                       // cut short
  CHECK(name_of("\xe6\x97") == R"("\ufffd\ufffd")");
  CHECK(name_of("\xc0\xaf") == R"("\ufffd\ufffd")");                      // overlong
  CHECK(name_of("\xe0\x9f\xbf") == R"("\ufffd\ufffd\ufffd")");            // overlong
  CHECK(name_of("\xed\xa0\x80") == R"("\ufffd\ufffd\ufffd")");            // a surrogate
  CHECK(name_of("\xf4\x90\x80\x80") == R"("\ufffd\ufffd\ufffd\ufffd")");  // beyond U+10FFFF
  CHECK(name_of("\xf5\x80\x80\x80") == R"("\ufffd\ufffd\ufffd\ufffd")");
  CHECK(name_of("\xffz") == R"("\ufffdz")");
}
