// What a queued token is to the executor: runs the head of its route's queue; lost when the
// executor drops it.
//
// Threads: one-at-a-time.
#pragma once

#include <memory>
#include <utility>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

struct Route::Token {
  std::shared_ptr<Route> route;
  std::shared_ptr<Invoker> keep;  // shared: whoever runs last lets the runtime's parts go
  bool slot_taken = false;        // of the function's concurrency limit

  Token(std::shared_ptr<Route> r, std::shared_ptr<Invoker> k, bool slot = false)
      : route(std::move(r)), keep(std::move(k)), slot_taken(slot) {}
  Token(Token&&) noexcept = default;
  Token& operator=(Token&&) = delete;
  ~Token() {
    if (route == nullptr) return;
    if (slot_taken) route->function_->leave(*keep);
    route->token_lost(slot_taken);
  }
  void operator()() {
    const std::shared_ptr<Route> mine = std::exchange(route, nullptr);
    if (mine->rules_.batch > 0) mine->run_batch_token(slot_taken);
    else mine->run_token(slot_taken);
  }
};

}  // namespace wisp::inline v0::detail
