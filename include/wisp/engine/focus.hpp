// A bill as rows that cost tools read: FOCUS, the FinOps Open Cost and Usage Specification, 1.2.
//
//   const wisp::Result<std::string> csv =
//       wisp::focus::csv(runtime.bill(24h), {.end = std::chrono::system_clock::now()});
//
// One row for each line of the bill, whose costs sum to its total exactly; the CPU that no function
// used has no price and no row. Columns have the names and meanings of the specification's columns
// (https://focus.finops.org/focus-specification/v1-2/) in alphabetical order; what it has no column
// for follows under x_. A line is priced by several units at once, requests, memory and CPU, so
// that PricingQuantity, PricingUnit, SkuId and the unit prices, which are of one, are left out, and
// with them what a strict validator wants of a Usage row. ConsumedQuantity counts requests.
//
//   function -> ResourceId, ResourceName    tenant -> SubAccountId    tag -> Tags, under "tag"
//
// Threads: any.
#pragma once

#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>
#include <wisp/engine/meter.hpp>

namespace wisp::inline v0::focus {

// What a bill does not know of itself.
struct Dataset {
  // When the bill's window ended. ChargePeriodStart lies the window before; both are cut to whole
  // seconds, so that windows which follow each other do so here, and are at least one second apart.
  // A bill's window may be longer than what was asked for: see Bill::window.
  WallTime end{};
  // BillingPeriod is the month of the last moment of the window, in UTC.
  std::string_view account = "wisp";   // BillingAccountId
  std::string_view provider = "wisp";  // ProviderName, PublisherName and InvoiceIssuerName
  std::string_view service = "wisp";   // ServiceName
};

// RFC 4180 but for the line ends, which are \n; the first line names the columns. An empty field is
// null. Text is what it was, byte by byte: a spreadsheet may take a tenant's name for a formula.
// kFailedPrecondition for a bill without a tariff, since a row needs a cost, and for one of which a
// cost did not fit Money.
Result<std::string> csv(const Bill& bill, const Dataset& dataset);

// An array of objects, a line each. Costs are exact decimals. Bytes that are no UTF-8 become
// U+FFFD. Errors: as csv().
Result<std::string> json(const Bill& bill, const Dataset& dataset);

}  // namespace wisp::inline v0::focus
