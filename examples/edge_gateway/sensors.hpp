// The gateway's sensors: the machine it runs on, read from /proc and /sys.
//
//   Sensors sensors;
//   for (const Sample& each : sensors.read()) runtime.emit(each.topic, each.reading);
//
// What a machine or container does not have is left out: no temperatures, no network, no disk. The
// gateway's own processor time is always there.
//
// Threads: one-at-a-time.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <wisp/wisp.hpp>

namespace gateway {

struct Reading {
  std::string sensor;  // "cpu.0"
  double value = 0;
  std::string unit;
};
WISP_FIELDS(Reading, sensor, value, unit)

struct Sample {
  std::string topic;  // "host.cpu.0"
  Reading reading;
};

class Sensors {
 public:
  // All sensors once. Rates (disk, network, CPU shares) are since the last reading, so they are
  // missing from the first.
  std::vector<Sample> read();

 private:
  struct Counter {
    double value = 0;
    std::chrono::steady_clock::time_point at{};
  };

  void add(std::string sensor, double value, const char* unit);
  // The growth of a counter per second, once there are two readings of it.
  void add_rate(const std::string& sensor, double counter, const char* unit);
  void read_cpu();
  void read_memory();
  void read_load();
  void read_disks();
  void read_network();
  void read_temperatures();
  void read_self();

  std::vector<Sample> samples_;
  std::map<std::string, Counter> counters_;
};

}  // namespace gateway
