// A started call's future result.
//
//   auto pending = runtime.start(price_parcel, {1.0, "ES"});
//   const wisp::Result<wisp::Money>& price = pending.wait();
//   fmt::print("{} ns\n", pending.receipt().wall.count());
//
// Destruction detaches: the call goes on. A Pending may outlive its Runtime, whose end completes
// what was queued as kCancelled with Reason::stopped: at once, or on a host's executor when that
// comes to it or somebody waits.
//
// References to a result or a receipt are good until the Pending ends or is asked again.
//
// Threads: one-at-a-time, except ready() and cancel(): any.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>
#include <wisp/engine/meter.hpp>
#include <wisp/service/detail/call_node.hpp>

namespace wisp::inline v0 {

template <class R>
class Pending {
 public:
  explicit Pending(std::shared_ptr<detail::ResultCall<R>> node) : node_(std::move(node)) {}
  Pending(Pending&&) noexcept = default;
  Pending& operator=(Pending&&) noexcept = default;

  // The result, however often it is asked for. If the call has not started and is not `.pool_only`,
  // it runs here, on the calling thread; else this blocks. Inside a handler no other work runs
  // meanwhile, and the pool finds a substitute for the worker that waits, so a wait never stands in
  // the way of what it waits for.
  //
  // Who cancels a handler cancels the call that it waits for here or in wait_for(), if a handler
  // started that, and unless others may want its result for its idempotency key. So a handler that
  // is cancelled already cannot wait for one that cleans up after it: call() that.
  const Result<R>& wait() & {
    node_->wait();
    return settled();
  }
  // Of a Pending that nobody keeps, as with the other two.
  Result<R> wait() && {
    node_->wait();
    return given();
  }

  // The result if it comes within `d`, else kDeadlineExceeded; ready() tells that from the call's
  // own. Never runs the call.
  const Result<R>& wait_for(Duration d) & {
    if (!node_->ready()) node_->wait_until(node_->clock().now() + d);
    if (node_->ready()) return settled();
    const std::chrono::duration<double, std::milli> waited = d;
    return own().refusal =
               deadline_exceeded("'{}' was not ready within {} ms", node_->name(), waited.count());
  }
  Result<R> wait_for(Duration d) && {
    wait_for(d);
    return node_->ready() ? given() : std::move(own().refusal);
  }

  bool ready() const { return node_->ready(); }

  // The call's own, for Runtime::explain(). Empty if it was not asked for before the runtime went.
  EventId id() const { return node_->id(); }

  // A queued call ends as kCancelled and never runs; a running one is asked to stop. Changes
  // nothing once ready.
  void cancel() { node_->cancel(); }

  // What it cost. Waits for it first, as wait() does.
  const Receipt& receipt() & {
    node_->wait();
    Receipt& receipt = own().receipt;
    if (!node_->abandoned()) return receipt = node_->receipt();
    // What the handler that goes on may still write is not read.
    receipt = {.function = node_->name(), .outcome = Outcome::cancelled};
    return receipt;
  }
  Receipt receipt() && { return receipt(); }

  // Calls `continuation` once, with the result or with nothing, on the thread that completes the
  // call, or here if it is ready. One slot: a second one replaces the first. At most 48 bytes; wrap
  // a larger one in wisp::boxed(...). Must not throw.
  template <class F>
  void then(F&& continuation) {
    using Callable = std::decay_t<F>;
    static_assert(sizeof(Callable) <= 48,
                  "wisp: this callable is larger than the inline size: capture less, or wrap it in "
                  "wisp::boxed(...)");
    if constexpr (std::is_invocable_v<Callable&, const Result<R>&>) {
      detail::ResultCall<R>* const node = node_.get();
      node_->then([node, callable = std::forward<F>(continuation)]() mutable {
        if (!node->abandoned()) return static_cast<void>(callable(node->output));
        callable(stopped());
      });
    } else {
      node_->then([callable = std::forward<F>(continuation)]() mutable { callable(); });
    }
  }

 private:
  static Result<R> stopped() {
    return refused(StatusCode::kCancelled, Reason::stopped,
                   "the runtime stopped while the call was running");
  }

  const Result<R>& settled() {
    if (!node_->abandoned()) return node_->output;
    return own().refusal = stopped();
  }

  // A copy, as a continuation may look at the other, where there can be one.
  Result<R> given() {
    if (node_->abandoned()) return stopped();
    if constexpr (std::copy_constructible<Result<R>>) return node_->output;
    else return std::move(node_->output);
  }

  // What most never need.
  struct Own {
    Receipt receipt;
    Result<R> refusal = Status(StatusCode::kUnknown, "");  // what no handler said
  };
  Own& own() {
    if (own_ == nullptr) own_ = std::make_unique<Own>();
    return *own_;
  }

  std::shared_ptr<detail::ResultCall<R>> node_;
  std::unique_ptr<Own> own_;
};

}  // namespace wisp::inline v0
