#include <wisp/engine/cost_band.hpp>

#include <algorithm>
#include <cmath>

namespace wisp::inline v0 {
namespace {

constexpr double kMeanGain = 1.0 / 8;
constexpr double kDeviationGrowth = 1.0 / 4;
constexpr double kDeviationDecline = 1.0 / 16;
constexpr int kCounted = 16;  // until the least gain is the largest
constexpr double kDeviations = 4;
constexpr double kLeast = 0.40546510810816438;  // ln 1.5

}  // namespace

// The first values count alike, so that the very first does not linger.
void CostBand::learn(double value) {
  const double first = 1.0 / (learnt_ + 1);
  const double error = value - mean_;
  mean_ += std::max(kMeanGain, first) * error;
  if (learnt_ > 0) {
    const double more = std::abs(error) - deviation_;
    const double gain = more > 0 ? kDeviationGrowth : kDeviationDecline;
    deviation_ += std::max(gain, 1.0 / learnt_) * more;
  }
  learnt_ = std::min(learnt_ + 1, kCounted);
}

std::optional<Money> CostBand::look(Money cost, std::uint64_t calls) {
  if (calls < kCallsMin || cost <= Money()) return std::nullopt;
  const double value =
      std::log(static_cast<double>(cost.picodollars()) / static_cast<double>(calls));
  const bool judges = learnt_ >= kLearn;
  if (!judges || std::abs(value - mean_) <= std::max(kDeviations * deviation_, kLeast)) {
    outside_ = 0;
    learn(value);
    return std::nullopt;
  }
  if (++outside_ == kSettle) {
    *this = CostBand();
    learn(value);
    return std::nullopt;
  }
  if (outside_ > 1) return std::nullopt;
  return Money::picodollars(std::llround(std::exp(mean_)));
}

}  // namespace wisp::inline v0
