#include "trace.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <string_view>

#include <fmt/format.h>

namespace replay {
namespace {

constexpr std::size_t kMinutesMax = 60 * 24 * 31;
constexpr std::size_t kCellsMax = 64'000'000;  // minutes of functions

// What stands in a line of a CSV file without quotes.
class Line {
 public:
  Line(const std::string& file, int number, std::string_view text) : file_(file), number_(number) {
    if (text.ends_with('\r')) text.remove_suffix(1);
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      cells_.push_back(text.substr(begin, end - begin));
      begin = end + 1;
    }
  }

  std::size_t size() const { return cells_.size(); }
  std::string_view text(std::size_t column) const { return cells_[column]; }

  // Finite and not negative.
  wisp::Result<double> number(std::size_t column) const {
    const std::string_view cell = cells_[column];
    double value = 0;
    const auto [stop, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    const bool whole = error == std::errc() && stop == cell.data() + cell.size();
    if (whole && std::isfinite(value) && value >= 0) return value;
    return wrong("column {} is '{}', it must be a number and not negative", column + 1, cell);
  }

  wisp::Result<std::uint32_t> count(std::size_t column) const {
    const std::string_view cell = cells_[column];
    std::uint32_t value = 0;
    const auto [stop, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (error == std::errc() && stop == cell.data() + cell.size()) return value;
    return wrong("column {} is '{}', it must be a number of calls", column + 1, cell);
  }

  template <class... Args>
  wisp::Status wrong(fmt::format_string<Args...> format, Args&&... args) const {
    return wisp::invalid_argument("{}:{}: {}", file_, number_,
                                  fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  const std::string& file_;
  const int number_;
  std::vector<std::string_view> cells_;
};

// Calls `take` with each line after the first, which must have as many columns. Requires of the
// first: at least `columns`, of these names at the front.
wisp::Status each_line(const std::string& file, std::vector<std::string_view> names,
                       std::size_t columns, const std::function<wisp::Status(const Line&)>& take) {
  std::ifstream in(file);
  if (!in) return wisp::not_found("{} cannot be read", file);
  std::string text;
  std::size_t width = 0;
  int number = 0;
  while (std::getline(in, text)) {
    const Line line(file, ++number, text);
    if (in.eof()) return line.wrong("the last line ends without a newline: torn?");
    if (number == 1) {
      width = line.size();
      if (width < columns)
        return line.wrong("{} columns, there must be {} or more", width, columns);
      for (std::size_t i = 0; i < names.size(); ++i) {
        if (line.text(i) != names[i])
          return line.wrong("column {} is '{}', it must be {}", i + 1, line.text(i), names[i]);
      }
      continue;
    }
    if (line.size() != width)
      return line.wrong("{} columns, the first line has {}", line.size(), width);
    WISP_TRY(take(line));
  }
  if (in.bad()) return wisp::unavailable("{} cannot be read to its end", file);
  if (number == 0) return wisp::invalid_argument("{} is empty", file);
  return wisp::Status();
}

using Apps = std::map<std::string, int, std::less<>>;
using Durations = std::map<std::string, std::array<double, 7>, std::less<>>;

wisp::Result<Apps> read_memory(const std::string& file) {
  Apps apps;
  WISP_TRY(each_line(file, {"HashApp", "HashOwner", "SampleCount", "AverageAllocatedMb"}, 4,
                     [&apps](const Line& line) -> wisp::Status {
                       WISP_TRY(const double mb, line.number(3));
                       if (mb > 1'048'576) return line.wrong("{} MB of memory", mb);
                       const int memory = std::max(1, static_cast<int>(mb));
                       if (!apps.emplace(line.text(0), memory).second)
                         return line.wrong("app {} is there twice", line.text(0));
                       return wisp::Status();
                     }));
  return apps;
}

wisp::Result<Durations> read_durations(const std::string& file) {
  Durations durations;
  WISP_TRY(each_line(file, {"HashFunction", "HashApp", "HashOwner", "Count", "Average"}, 14,
                     [&durations](const Line& line) -> wisp::Status {
                       std::array<double, 7> at{};
                       for (std::size_t i = 0; i < at.size(); ++i) {
                         WISP_TRY(at[i], line.number(7 + i));
                         if (i > 0 && at[i] < at[i - 1])
                           return line.wrong("the percentiles of its durations fall");
                       }
                       if (at.back() > 86'400'000)
                         return line.wrong("a call of {} ms, more than a day", at.back());
                       if (!durations.emplace(line.text(0), at).second)
                         return line.wrong("function {} is there twice", line.text(0));
                       return wisp::Status();
                     }));
  return durations;
}

}  // namespace

wisp::Result<Trace> read_trace(const std::string& folder) {
  WISP_TRY(const Apps apps, read_memory(folder + "/memory.csv"));
  WISP_TRY(const Durations durations, read_durations(folder + "/durations.csv"));
  Trace trace;
  const auto take = [&](const Line& line) -> wisp::Status {
    const auto memory = apps.find(line.text(1));
    if (memory == apps.end()) return line.wrong("memory.csv has no app {}", line.text(1));
    const auto duration = durations.find(line.text(0));
    if (duration == durations.end())
      return line.wrong("durations.csv has no function {}", line.text(0));
    if (line.size() > kMinutesMax + 3)
      return line.wrong("{} minutes, the limit is {}", line.size() - 3, kMinutesMax);
    if ((trace.functions.size() + 1) * line.size() > kCellsMax)
      return line.wrong("more minutes of functions than the limit, {}", kCellsMax);
    Traced function{.name = std::string(line.text(0)),
                    .calls = {},
                    .duration_ms = duration->second,
                    .memory_mb = memory->second};
    trace.minutes = static_cast<int>(line.size()) - 3;
    for (std::size_t i = 3; i < line.size(); ++i) {
      WISP_TRY(const std::uint32_t calls, line.count(i));
      function.calls.push_back(calls);
      function.calls_of_all += calls;
    }
    trace.functions.push_back(std::move(function));
    return wisp::Status();
  };
  WISP_TRY(
      each_line(folder + "/invocations.csv", {"HashFunction", "HashApp", "HashOwner"}, 4, take));
  if (trace.functions.empty())
    return wisp::invalid_argument("{}/invocations.csv has no functions", folder);
  return trace;
}

}  // namespace replay
