#include <wisp/model/keep_alive.hpp>

#include <algorithm>

namespace wisp::inline v0::keep_alive {

int IdleTimes::bin(Duration idle) {
  if (idle > kBins * kBin) return kBins;
  return static_cast<int>((std::max(idle, Duration::zero()) + kBin / 2) / kBin);
}

void IdleTimes::add(Duration idle) {
  const int where = bin(idle);
  if (where == 0) return;
  ++count_;
  if (where >= kBins) return;
  std::uint16_t& ended = ended_[static_cast<std::size_t>(where)];
  if (ended == UINT16_MAX) {
    // What happened lately counts for more than what happened before.
    std::int64_t beyond = count_ - 1;
    for (const std::uint16_t each : ended_) beyond -= each;
    count_ = beyond / 2 + 1;
    for (std::uint16_t& each : ended_) count_ += each /= 2;
  }
  ++ended;
}

std::optional<Span> Fixed::next(const IdleTimes& /*seen*/, Duration idle) const {
  if (idle >= keep) return std::nullopt;
  return Span{Duration::zero(), keep};
}

std::optional<Span> Predictive::next(const IdleTimes& seen, Duration idle) const {
  constexpr Duration kBin = IdleTimes::kBin;
  constexpr int kBins = IdleTimes::kBins;
  if (seen.count() < known) return Fixed{keep}.next(seen, idle);
  const int now = IdleTimes::bin(idle);
  std::int64_t left = seen.count();
  int from = 0;  // of the likely bins that belong together, the first
  int last = 0;  // and the last
  for (int bin = 1; bin < kBins; ++bin) {
    const int ended = seen.in_bin(bin);
    const bool likely =
        ended > 0 && static_cast<double>(ended) >= chance * static_cast<double>(left);
    left -= ended;
    if (!likely) continue;
    if ((bin - last - 1) * kBin > keep) {
      if (now <= last) break;
      from = bin;
    }
    last = bin;
  }
  if (now > last) return std::nullopt;
  return Span{std::max(from * kBin - kBin / 2, Duration::zero()), last * kBin + kBin / 2};
}

}  // namespace wisp::inline v0::keep_alive
