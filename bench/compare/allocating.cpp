// What does it cost to count allocations? Linked as it is, and once more with wisp::alloc_meter:
// calls that allocate nothing, calls that allocate once, and a new and delete alone.
#include <memory>

#include <wisp/wisp.hpp>

#include "measure.hpp"

namespace {

using compare::Options;
using compare::Outcome;
using compare::Stopwatch;

constexpr std::size_t kBytes = 64;

void allocate() {
  void* const memory = ::operator new(kBytes);
  compare::escape(memory);
  ::operator delete(memory, kBytes);
}

Outcome pairs(const Options& options) {
  const int count = options.pick(10'000'000, 1'000'000);
  const Stopwatch watch;
  for (int i = 0; i < count; ++i) allocate();
  return watch.per(count);
}

Outcome calls(const Options& options, bool allocates) {
  const auto function = wisp::function("f", [allocates](int n) {
    if (allocates) allocate();
    return n + 1;
  });
  auto* runtime = new wisp::Runtime(wisp::Catalogue().add(function));
  const int count = options.pick(2'000'000, 200'000);
  for (int i = 0; i < 1'000; ++i) compare::keep(*runtime->call(function, i));
  const Stopwatch watch;
  for (int i = 0; i < count; ++i) compare::keep(*runtime->call(function, i));
  return watch.per(count);
}

}  // namespace

int main(int argc, char** argv) {
  return compare::run({{"pair", pairs},
                       {"call", [](const Options& o) { return calls(o, false); }},
                       {"allocating_call", [](const Options& o) { return calls(o, true); }}},
                      argc, argv);
}
