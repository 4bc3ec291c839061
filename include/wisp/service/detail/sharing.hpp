// Who shares the threads of a runtime: its tenants and lanes. Nobody, unless some are set.
//
// Constant once the runtime has started.
//
// Threads: any.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>
#include <wisp/engine/executor.hpp>
#include <wisp/model/tenant.hpp>
#include <wisp/service/detail/fair_queue.hpp>
#include <wisp/service/detail/function_state.hpp>
#include <wisp/service/detail/rate.hpp>

namespace wisp::inline v0::detail {

class Sharing {
 public:
  // `lanes`: some function is in another than normal. `queue_max`: the executor's.
  Status open(Clock& clock, const std::vector<Tenant>& tenants, bool lanes, int queue_max);

  // Null: neither lanes nor tenants.
  FairQueue* queue() const { return queue_.get(); }
  // Null without a queue.
  std::shared_ptr<Flow> flow(Lane lane, std::string_view tenant) const {
    return queue_ == nullptr ? nullptr : queue_->flow(lane, tenant);
  }
  bool by_tenant() const { return queue_ != nullptr && queue_->by_tenant(); }

  // Executor::submit and Invoker::submit_surely, in the flow's turn if there is one.
  Status submit(Invoker& invoker, Task& task, const std::shared_ptr<Flow>& flow) const;
  void submit_surely(Invoker& invoker, Task task, const std::shared_ptr<Flow>& flow) const;

  // Whether a tenant has a rate.
  bool paced() const { return !rates_.empty(); }
  // Null: it has none.
  Rate* rate(std::string_view tenant) const;
  // Takes a token of its rate, one of the function's, and a slot, or says why not.
  Status enter(FunctionState& function, std::string_view tenant, const Clock& clock) const;

 private:
  struct TenantRate {
    std::unique_ptr<Rate> rate;
    double per_second;
  };

  std::shared_ptr<FairQueue> queue_;
  ByTenant<TenantRate> rates_;
};

}  // namespace wisp::inline v0::detail
