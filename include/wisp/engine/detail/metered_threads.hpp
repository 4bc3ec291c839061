// An executor's long loops, such as the timer's, on the bill.
//
// Threads: any.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include <wisp/engine/detail/ledger.hpp>
#include <wisp/engine/executor.hpp>

namespace wisp::inline v0::detail {

// Threads of an executor whose CPU a ledger knows as wisp's own.
class MeteredThreads final : public Executor {
 public:
  MeteredThreads(Executor& executor, std::shared_ptr<Ledger> ledger)
      : executor_(executor), ledger_(std::move(ledger)) {}

  Status submit(Task& task) override { return executor_.submit(task); }
  Status start_thread(std::string_view name, Task body) override {
    return executor_.start_thread(name, boxed([ledger = ledger_, body = std::move(body)]() mutable {
                                    ledger->thread_begins();
                                    body();
                                    body.reset();
                                    ledger->thread_ends();
                                  }));
  }

 private:
  Executor& executor_;
  const std::shared_ptr<Ledger> ledger_;  // outlived by a thread that is left behind
};

}  // namespace wisp::inline v0::detail
