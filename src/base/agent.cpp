#include <wisp/base/agent.hpp>

namespace wisp::inline v0::detail {

constinit thread_local AgentId current_fiber = nullptr;

}  // namespace wisp::inline v0::detail
