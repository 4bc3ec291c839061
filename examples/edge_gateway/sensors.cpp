#include "sensors.hpp"

#include <algorithm>
#include <cctype>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

namespace gateway {
namespace {

// Calls visit(fields) for each line of a file that may not exist.
template <class Visitor>
void for_each_line(const char* path, Visitor visit) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    visit(fields);
  }
}

// Names become one token of a topic: no dots, blanks or wildcards.
std::string token(std::string name) {
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '-') c = '-';
  }
  return name.empty() ? "unnamed" : name;
}

}  // namespace

std::vector<Sample> Sensors::read() {
  samples_.clear();
  read_cpu();
  read_memory();
  read_load();
  read_disks();
  read_network();
  read_temperatures();
  read_self();
  return std::move(samples_);
}

void Sensors::add(std::string sensor, double value, const char* unit) {
  samples_.push_back({"host." + sensor, {std::move(sensor), value, unit}});
}

void Sensors::add_rate(const std::string& sensor, double counter, const char* unit) {
  const auto now = std::chrono::steady_clock::now();
  const auto [entry, first] = counters_.try_emplace(sensor, Counter{counter, now});
  if (first) return;
  const std::chrono::duration<double> passed = now - entry->second.at;
  if (passed.count() > 0)
    add(sensor, std::max(0.0, (counter - entry->second.value) / passed.count()), unit);
  entry->second = {counter, now};
}

void Sensors::read_cpu() {
  // "cpu0 user nice system idle iowait …", in hundredths of a second. Source: proc(5).
  for_each_line("/proc/stat", [this](std::istream& line) {
    std::string name;
    double user = 0;
    double nice = 0;
    double system = 0;
    if (!(line >> name >> user >> nice >> system)) return;
    if (name.size() < 4 || name.compare(0, 3, "cpu") != 0) return;
    add_rate("cpu." + token(name.substr(3)), user + nice + system, "%");
  });
}

void Sensors::read_memory() {
  for_each_line("/proc/meminfo", [this](std::istream& line) {
    std::string name;
    double kb = 0;
    if (line >> name >> kb && name == "MemAvailable:") add("memory.available", kb / 1024, "MB");
  });
}

void Sensors::read_load() {
  for_each_line("/proc/loadavg", [this](std::istream& line) {
    double load = 0;
    if (line >> load) add("load", load, "");
  });
}

void Sensors::read_disks() {
  // "8 0 sda reads merged sectors ms writes merged sectors …". Source: iostats.rst of the kernel.
  for_each_line("/proc/diskstats", [this](std::istream& line) {
    int major = 0;
    int minor = 0;
    std::string name;
    double n[7] = {};
    line >> major >> minor >> name;
    for (double& each : n) line >> each;
    if (!line || name.compare(0, 4, "loop") == 0 || name.compare(0, 3, "ram") == 0) return;
    add_rate("disk." + token(name) + ".read", n[2] / 2, "kB/s");
    add_rate("disk." + token(name) + ".written", n[6] / 2, "kB/s");
  });
}

void Sensors::read_network() {
  // "eth0: bytes packets errs drop fifo frame compressed multicast bytes …". Source: proc(5).
  for_each_line("/proc/net/dev", [this](std::istream& line) {
    std::string name;
    if (!std::getline(line, name, ':')) return;
    double n[9] = {};
    for (double& each : n) line >> each;
    if (!line) return;  // a title
    name.erase(0, name.find_first_not_of(' '));
    add_rate("net." + token(name) + ".received", n[0] / 1024, "kB/s");
    add_rate("net." + token(name) + ".sent", n[8] / 1024, "kB/s");
  });
}

void Sensors::read_temperatures() {
  std::error_code none;
  for (const auto& zone : std::filesystem::directory_iterator("/sys/class/thermal", none)) {
    double thousandths = 0;
    if (std::ifstream(zone.path() / "temp") >> thousandths)
      add("temperature." + token(zone.path().filename()), thousandths / 1000, "C");
  }
}

void Sensors::read_self() {
  timespec used{};
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0) return;
  const auto seconds = static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
  add_rate("gateway.cpu", 100 * seconds, "%");
}

}  // namespace gateway
