// Who shares the threads of a runtime: its tenants and lanes. Nobody, unless some are set.
//
// Constant once the runtime has started.
//
// Threads: any.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
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
  // `lanes`: some function is in another than normal. `adjustable`: a tenant without a rate may
  // have one later.
  Status open(Clock& clock, const std::vector<Tenant>& tenants, bool lanes, bool adjustable,
              FairQueue::Rules rules);

  // Null: neither lanes nor tenants.
  FairQueue* queue() const { return queue_.get(); }
  // Null without a queue.
  std::shared_ptr<Flow> flow(Lane lane, std::string_view tenant) const {
    return queue_ == nullptr ? nullptr : queue_->flow(lane, tenant);
  }
  // Whether something waits in a lane above the flow's. Null: no.
  bool above(const std::shared_ptr<Flow>& flow) const {
    return flow != nullptr && queue_->waits_above(flow->lane);
  }
  bool by_tenant() const { return queue_ != nullptr && queue_->by_tenant(); }

  // Executor::submit and Invoker::submit_surely, in the flow's turn if there is one; the number of
  // the task in it, else 0.
  Result<std::uint64_t> submit(Invoker& invoker, Task& task,
                               const std::shared_ptr<Flow>& flow) const;
  void submit_surely(Invoker& invoker, Task task, const std::shared_ptr<Flow>& flow,
                     double prepaid = 0) const;

  // Those that are set.
  const std::vector<std::string>& names() const { return names_; }
  bool set(std::string_view tenant) const { return set_.find(tenant) != set_.end(); }

  // Whether a tenant has a rate, or may have one.
  bool paced() const { return !rates_.empty(); }
  // Null: it has none.
  Rate* rate(std::string_view tenant) const;
  // Takes a token of its rate, one of the function's, and a slot, or says why not.
  Result<Pace::Turns> enter(FunctionState& function, std::string_view tenant,
                            const Clock& clock) const;
  // Of a call that has entered, perhaps long ago, and does not begin after all.
  void give_back(const FunctionState& function, std::string_view tenant, Pace::Turns& turns,
                 Time now) const;

 private:
  std::shared_ptr<FairQueue> queue_;
  std::vector<std::string> names_;
  std::unordered_set<std::string, TenantHash, std::equal_to<>> set_;
  ByTenant<std::unique_ptr<Rate>> rates_;
};

}  // namespace wisp::inline v0::detail
