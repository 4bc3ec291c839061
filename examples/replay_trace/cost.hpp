// What a simulated call costs, beside the least that any simulation does for one: a push and a pop
// of a heap of moments.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include <wisp/base/random.hpp>

namespace replay {

// Of this machine, unlike all other times here.
class Stopwatch {
 public:
  double ns() const {
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - began_)
        .count();
  }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

// Of one push and one pop, while so many others are pending.
inline double heap_ns(std::size_t pending) {
  constexpr int kTimes = 1'000'000;
  struct Moment {
    std::int64_t at;
    std::uint64_t what;
    bool operator>(const Moment& other) const { return at > other.at; }
  };
  wisp::SeededRandom random(1);
  const auto later = [&random] { return static_cast<std::int64_t>(random.next() >> 24U); };
  std::priority_queue<Moment, std::vector<Moment>, std::greater<>> heap;
  for (std::size_t i = 0; i < pending; ++i) heap.push({later(), i});
  const Stopwatch watch;
  for (std::uint64_t i = 0; i < kTimes; ++i) {
    const std::int64_t now = heap.empty() ? 0 : heap.top().at;
    heap.push({now + later(), i});
    heap.pop();
  }
  return watch.ns() / kTimes;
}

}  // namespace replay
