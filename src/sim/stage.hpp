// Stands between the runtimes of a world and their handlers: writes into the log who enters and
// leaves, and lets faults strike.
//
// Threads: any of the world's.
#pragma once

#include <memory>

#include <wisp/base/clock.hpp>
#include <wisp/model/detail/definition.hpp>

#include "scheduler.hpp"

namespace wisp::inline v0::sim {

class Stage final : public wisp::detail::Simulator {
 public:
  Stage(Scheduler& scheduler, Clock& clock) : scheduler_(scheduler), clock_(clock) {}

  std::shared_ptr<const wisp::detail::Definition> around(
      std::shared_ptr<const wisp::detail::Definition> handler) override;

  // What `handler` does, with what strikes it.
  bool run(const wisp::detail::Definition& handler, const void* in, void* result, Context* context,
           wisp::detail::Attempted& failed);

 private:
  // False: it is over.
  bool strike_before(const Strike& strike, Context* context, wisp::detail::Attempted& failed);

  Scheduler& scheduler_;
  Clock& clock_;
};

}  // namespace wisp::inline v0::sim
