#include <wisp/base/random.hpp>

#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <set>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "refuse_call.hpp"
#include "seeds.hpp"

using wisp::SeededRandom;
using wisp::uniform;

namespace {

constexpr std::int64_t kLow = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kHigh = std::numeric_limits<std::int64_t>::max();

// Gives one word for ever, to reach the ends of a range.
class Constant final : public wisp::Random {
 public:
  explicit Constant(std::uint64_t word) : word_(word) {}
  std::uint64_t next() override { return word_; }

 private:
  std::uint64_t word_;
};

}  // namespace

TEST_CASE("random: a seed gives the same numbers for ever", "[random]") {
  // The reference vectors of SplitMix64.
  SeededRandom random(1'234'567);
  CHECK(random.next() == 6'457'827'717'110'365'317U);
  CHECK(random.next() == 3'203'168'211'198'807'973U);
  CHECK(random.next() == 9'817'491'932'198'370'423U);
  CHECK(random.next() == 4'593'380'528'125'082'431U);
  CHECK(random.next() == 16'408'922'859'458'223'821U);
  // What a stored seed replays goes through uniform().
  SeededRandom picks(42);
  std::vector<std::int64_t> seen;
  for (int i = 0; i < 8; ++i) seen.push_back(uniform(picks, 0, 999));
  CHECK(seen == std::vector<std::int64_t>{741, 159, 278, 344, 38, 868, 218, 800});
}

TEST_CASE("random: uniform stays within its bounds, extreme ones included", "[random]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded chooser(seed);
    SeededRandom random(static_cast<std::uint64_t>(seed));
    for (int i = 0; i < 200; ++i) {
      auto low = static_cast<std::int64_t>(chooser.any_size());
      auto high = static_cast<std::int64_t>(chooser.any_size());
      if (chooser.below(2) == 0) low = -low;
      if (low > high) std::swap(low, high);
      const std::int64_t picked = uniform(random, low, high);
      if (picked < low || picked > high) FAIL(picked << " is not in " << low << " to " << high);
      CHECK(uniform(random, low, low) == low);
    }
  }
}

TEST_CASE("random: uniform reaches both ends and no further", "[random]") {
  Constant smallest(0);
  Constant largest(UINT64_MAX);
  const std::pair<std::int64_t, std::int64_t> ranges[] = {
      {0, 0},        {0, 1},       {-1, 1},        {-7, 7},           {0, kHigh},       {kLow, -1},
      {kLow, kHigh}, {kLow, kLow}, {kHigh, kHigh}, {kLow + 1, kHigh}, {kLow, kHigh - 1}};
  for (const auto& [low, high] : ranges) {
    INFO(low << " to " << high);
    if (low == kLow && high == kHigh) continue;  // every word is a value of its own
    CHECK(uniform(smallest, low, high) == low);
    CHECK(uniform(largest, low, high) == high);
  }
  SeededRandom random(7);
  std::set<std::int64_t> seen;
  for (int i = 0; i < 1'000; ++i) seen.insert(uniform(random, -3, 3));
  CHECK(seen == std::set<std::int64_t>{-3, -2, -1, 0, 1, 2, 3});
}

TEST_CASE("random: no part of a range is favoured, as a remainder would favour it", "[random]") {
  // 3 * 2^62 values: taken as a remainder, the lowest third would come up half of the time.
  constexpr std::int64_t kQuarter = std::int64_t{1} << 62;
  SeededRandom random(11);
  std::array<int, 3> thirds{};
  constexpr int kDraws = 30'000;
  for (int i = 0; i < kDraws; ++i) {
    const std::int64_t picked = uniform(random, -kQuarter, 2 * (kQuarter - 1) + 1);
    ++thirds[picked < 0 ? 0 : picked < kQuarter ? 1 : 2];
  }
  // Ten standard deviations of the binomial distribution: 82 each.
  for (const int count : thirds) CHECK(std::abs(count - kDraws / 3) < 820);
}

TEST_CASE("random: threads that share a generator draw each number once", "[random]") {
  constexpr int kThreads = 4;
  constexpr int kDraws = 5'000;
  SeededRandom shared(3);
  std::array<std::vector<std::uint64_t>, kThreads> drawn;
  std::vector<std::thread> threads;
  for (auto& mine : drawn) {
    threads.emplace_back([&shared, &mine] {
      for (int i = 0; i < kDraws; ++i) mine.push_back(shared.next());
    });
  }
  for (std::thread& each : threads) each.join();
  std::vector<std::uint64_t> all;
  for (const auto& mine : drawn) all.insert(all.end(), mine.begin(), mine.end());
  SeededRandom alone(3);
  std::vector<std::uint64_t> expected;
  for (int i = 0; i < kThreads * kDraws; ++i) expected.push_back(alone.next());
  std::sort(all.begin(), all.end());
  std::sort(expected.begin(), expected.end());
  CHECK(all == expected);
}

TEST_CASE("random: the kernel gives each its own seed", "[random]") {
  std::set<std::uint64_t> seeds;
  for (int i = 0; i < 100; ++i) seeds.insert(SeededRandom::entropy());
  CHECK(seeds.size() == 100);
}

TEST_CASE("random: there is a seed where the kernel refuses one", "[random]") {
  std::set<std::uint64_t> seeds;
  std::thread([&seeds] {
    (void)wisp::test::refuse_call(SYS_getrandom);
    for (int i = 0; i < 100; ++i) seeds.insert(SeededRandom::entropy());
  }).join();
  CHECK(seeds.size() == 100);
}
