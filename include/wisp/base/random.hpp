// Where random numbers come from: backoff jitter, ids. Injected, so that a seed replays a run.
//
//   wisp::SeededRandom random{42};
//   Duration jitter = Duration(wisp::uniform(random, 0, 200'000'000));
//
// Threads: any.
#pragma once

#include <atomic>
#include <cstdint>

namespace wisp::inline v0 {

class Random {
 public:
  virtual ~Random() = default;

  // 64 uniform bits.
  virtual std::uint64_t next() = 0;
};

// SplitMix64 over an atomic counter: any thread may draw, and one thread's draws depend on the seed
// alone. Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}

  // Seeded by the kernel; where that refuses, by what it gave the process at its start and by the
  // time.
  static std::uint64_t entropy();

  std::uint64_t next() override {
    std::uint64_t z = state_.fetch_add(kGamma, std::memory_order_relaxed) + kGamma;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }

 private:
  static constexpr std::uint64_t kGamma = 0x9e3779b97f4a7c15U;
  std::atomic<std::uint64_t> state_;
};

// Uniform in [low, high]; the bias of the multiply-shift is below 2^-32 for every range that fits
// 32 bits and below the range / 2^64 otherwise. Requires: low <= high.
inline std::int64_t uniform(Random& random, std::int64_t low, std::int64_t high) {
  const auto range = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  if (range == UINT64_MAX) return static_cast<std::int64_t>(random.next());
  __extension__ using Wide = unsigned __int128;
  const auto pick = static_cast<std::uint64_t>((Wide{random.next()} * (range + 1)) >> 64);
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + pick);
}

}  // namespace wisp::inline v0
