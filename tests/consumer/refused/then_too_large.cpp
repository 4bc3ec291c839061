#include <array>
#include <utility>
#include <wisp/wisp.hpp>

void log_later(wisp::Pending<int>& pending, const std::array<char, 256>& line) {
  auto log = [line](const wisp::Result<int>&) { static_cast<void>(line); };
#ifdef FIXED
  pending.then(wisp::boxed(std::move(log)));
#else
  pending.then(std::move(log));
#endif
}
