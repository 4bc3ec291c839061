// Random input that a number replays: property tests run once for each seed and name it on failure.
//
//   for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
//     INFO("seed " << seed);
//     wisp::test::Seeded random(seed);
//     CHECK(round_trips(random.between(-1'000, 1'000)));
//   }
//
// Threads: value.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace wisp::test {

// How many seeds a property test runs: WISP_TEST_SEEDS, or 20 if that is no positive number.
inline int test_seeds() {
  const char* text = std::getenv("WISP_TEST_SEEDS");
  const long seeds = text == nullptr ? 0 : std::strtol(text, nullptr, 10);
  return seeds > 0 && seeds <= 1'000'000'000 ? static_cast<int>(seeds) : 20;
}

// SplitMix64. The same on every machine, unlike the distributions of std.
// Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
class Seeded {
 public:
  explicit Seeded(int seed) : state_(static_cast<std::uint64_t>(seed)) {}

  // 64 uniform bits.
  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }

  // In [0, bound), as uniform as a test needs. Requires: bound > 0.
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }

  // In [low, high]. Requires: low <= high.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    const auto span = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
    const std::uint64_t pick = span == UINT64_MAX ? next() : below(span + 1);
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + pick);
  }

  // A number of a uniformly random bit length, so that small, large and extreme ones all occur.
  std::uint64_t any_size() {
    const std::uint64_t bits = below(65);
    return bits == 0 ? 0 : next() >> (64 - bits);
  }

 private:
  std::uint64_t state_;
};

}  // namespace wisp::test
