// What the gateway does with its readings:
//
//   host.>  --ingest--> windows.> --detect--> alerts.> --alert--> the uplink
//                                 --archive-> a file               or alerts-failed
//
//   wisp::Status opened = open_archive(path);
//   wisp::Runtime runtime{wisp::linked_functions(), options};
//   Subscriptions subscriptions = subscribe(runtime);
//   wisp::Schedule reports = report_every(runtime, 1s);
//
// The functions are declared in gateway.cpp with WISP_FUNCTION: linked_functions() finds them, and
// nobody else needs their names.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <wisp/wisp.hpp>

namespace gateway {

// Ten readings of one sensor.
struct Window {
  std::string sensor;
  double mean = 0;
  double low = 0;
  double high = 0;
};
WISP_FIELDS(Window, sensor, mean, low, high)

// A window far from what the sensor used to show.
struct Anomaly {
  std::string sensor;
  double value = 0;
  double usual = 0;
  double deviations = 0;  // standard deviations between the two
};
WISP_FIELDS(Anomaly, sensor, value, usual, deviations)

// The events flow while these live.
struct Subscriptions {
  wisp::Subscription ingest;
  std::vector<wisp::Subscription> others;

  // Readings that wait.
  int backlog() const { return ingest.queued(); }
};

// Ties the functions to their topics; the error of the first that refuses.
wisp::Result<Subscriptions> subscribe(wisp::Runtime& runtime);

// What the function `report` saw.
struct Report {
  wisp::RuntimeStats stats;
  wisp::Bill bill;
};
wisp::Schedule report_every(wisp::Runtime& runtime, wisp::Duration period);
// The newest report, once.
std::optional<Report> take_report();

// What the functions have done so far.
struct Counts {
  std::uint64_t windows = 0;
  std::uint64_t alerts_sent = 0;
  std::uint64_t alerts_lost = 0;  // at every attempt
};
Counts counts();

// Where `archive` writes: a file that is appended to. Before the first event.
wisp::Status open_archive(const std::string& path);

}  // namespace gateway
