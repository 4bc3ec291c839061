#include <wisp/service/detail/thread_locals.hpp>

#include <utility>

#include <wisp/model/detail/definition.hpp>

namespace wisp::inline v0::detail {

void ThreadLocals::swap() {
  std::swap(fiber_, current_fiber);
  std::swap(frame_, ActiveFrame::top_);
  std::swap(bare_frame_, BareFrame::top_);
  std::swap(errand_, Errand::top_);
  std::swap(holding_, IdempotencyTable::Holding::top_);
  std::swap(leaving_, Leaving::top);
  std::swap(allocations_, thread_allocations);
  ledger_.swap();
  readers_.swap();
  counters_.swap();
  publishers_.swap();
}

std::string_view ThreadLocals::function() const {
  if (bare_frame_ != nullptr) return bare_frame_->definition_->name;
  return frame_ != nullptr ? frame_->function : std::string_view();
}

}  // namespace wisp::inline v0::detail
