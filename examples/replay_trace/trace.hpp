// One day, or any number of minutes, of the functions of a cloud: the schema of the Azure Functions
// trace of 2019 (Shahrad et al., "Serverless in the Wild", USENIX ATC 2020).
//
//   invocations.csv   HashFunction, HashApp, HashOwner, then the calls in each minute
//   durations.csv     the same three, Count, Average, Minimum, Maximum, and milliseconds at the
//                     percentiles 0, 1, 25, 50, 75, 99, 100
//   memory.csv        HashApp, HashOwner, SampleCount, AverageAllocatedMb, and megabytes at the
//                     percentiles 1, 5, 25, 50, 75, 95, 99, 100
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <wisp/wisp.hpp>

namespace replay {

struct Traced {
  std::string name;                     // its hash
  std::vector<std::uint32_t> calls;     // in each minute
  std::uint64_t calls_of_all = 0;       // the sum
  std::array<double, 7> duration_ms{};  // at kDurationPercentiles
  int memory_mb = 128;                  // the average that its app allocated
};

inline constexpr std::array kDurationPercentiles = {0.0, 1.0, 25.0, 50.0, 75.0, 99.0, 100.0};

struct Trace {
  std::vector<Traced> functions;
  int minutes = 0;
};

// Of the three files in `folder`. An error names the file, its line and what is wrong there. A
// function without durations or memory is one.
wisp::Result<Trace> read_trace(const std::string& folder);

}  // namespace replay
