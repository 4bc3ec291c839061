#include <wisp/base/allocations.hpp>

namespace wisp::inline v0::detail {

[[gnu::weak]] extern const bool alloc_meter_linked;
const bool alloc_meter_linked = false;

constinit thread_local Allocations thread_allocations;

}  // namespace wisp::inline v0::detail
