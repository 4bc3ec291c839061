// What an invoker stands on. Its runtime owns it all and outlives it.
//
// Threads: value.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include <wisp/base/clock.hpp>
#include <wisp/base/random.hpp>
#include <wisp/engine/detail/ledger.hpp>
#include <wisp/engine/executor.hpp>
#include <wisp/engine/timer.hpp>
#include <wisp/model/context.hpp>
#include <wisp/model/policy.hpp>
#include <wisp/model/registry.hpp>
#include <wisp/service/idempotency.hpp>

namespace wisp::inline v0 {

class Runtime;

namespace detail {

class Simulator;
class Tuner;

// Bumped in every child after fork; a Runtime compares it with what it was born under.
std::uint64_t fork_generation();
// The same once somebody has asked. Relaxed: a child has one thread at first.
extern constinit std::atomic<std::uint64_t> forks;

// Names of what a stop had to abandon.
inline constexpr std::size_t kAbandonedMax = 1000;

struct InvokerParts {
  Clock& clock;
  Executor& executor;
  Timer& timer;
  Random& random;
  Ledger& ledger;
  Registry& registry;
  Runtime* runtime;
  std::string source;
  LogSink log;
  Queue queue;          // of posts, per function
  bool manual = false;  // the host pumps: nothing may wait for its own thread
  bool pooled = false;  // the executor is the runtime's own pool
  int tokens_max = 64;  // of one route in the executor, at first
  Simulator* simulator = nullptr;
  Idempotency idempotency{};
  Tuner* tuner = nullptr;
  bool adjustable = false;  // what has no limits at first may have some later
};

}  // namespace detail
}  // namespace wisp::inline v0
