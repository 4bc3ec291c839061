// Two translation units with the umbrella header, each with a function of the same name in its own
// runtime.
#include <cstdio>
#include <wisp/wisp.hpp>

int double_by_the_other_unit(wisp::Runtime& runtime, int n);

int main() {
  const auto twice = wisp::function("twice", [](const int& n) { return 2 * n; });
  wisp::Runtime runtime{wisp::Catalogue().add(twice)};
  const wisp::Result<int> here = runtime.call(twice, 21);
  const int there = double_by_the_other_unit(runtime, 21);
  if (!here.ok() || *here != 42 || there != 42) return std::puts("not 42"), 1;
  return 0;
}
