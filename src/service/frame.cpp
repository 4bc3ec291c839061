#include <wisp/service/detail/frame.hpp>

#include <utility>
#include <vector>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

const Lineage kPlainLineage;

constinit thread_local ActiveFrame* ActiveFrame::top_ = nullptr;
constinit thread_local BareFrame* BareFrame::top_ = nullptr;
constinit thread_local Errand* Errand::top_ = nullptr;

void Cancellation::request() {
  requested_.store(true, std::memory_order_release);
  std::optional<std::stop_source> source;
  std::vector<std::shared_ptr<CallNode>> waited_for;
  {
    const BriefLock lock(mutex_);
    source = source_;
    for (const Wait* each = waits_; each != nullptr; each = each->before)
      waited_for.push_back(each->node.shared_from_this());
  }
  if (source) source->request_stop();
  for (const auto& each : waited_for) each->cancel_from_above();
}

void Cancellation::begin(Wait& wait) {
  {
    const BriefLock lock(mutex_);
    wait.before = std::exchange(waits_, &wait);
  }
  // After it is listed: either request() sees it, or this sees the request. It may be both.
  if (requested()) wait.node.cancel_from_above();
}

void Cancellation::forget(const Wait& wait) {
  const BriefLock lock(mutex_);
  Wait** place = &waits_;
  while (*place != &wait) place = &(*place)->before;
  *place = wait.before;
}

std::stop_source Cancellation::source() {
  std::optional<std::stop_source> source(std::in_place);
  {
    const BriefLock lock(mutex_);
    if (!source_) source_ = source;
    else source = source_;
  }
  // Outside of the lock: it runs the callbacks of those who came earlier.
  if (requested()) source->request_stop();
  return *source;
}

void ActiveFrame::inherit() {
  on_executor = on_executor || outer->on_executor;
  for (const ActiveFrame* each = outer; each != nullptr; each = each->outer) {
    if (each->invoker != invoker) continue;
    running = each->running;
    return;
  }
}

void BareFrame::fill() {
  top_ = nullptr;
  // Of a publish within a handler: that handler.
  ActiveFrame* const around = ActiveFrame::top_;
  ActiveFrame* const parent = around != nullptr && around->invoker == &invoker_ ? around : nullptr;
  new (&filled_)
      ActiveFrame({.runtime = invoker_.parts().runtime,
                   .function = definition_->name,
                   .deadline = parent != nullptr ? parent->deadline : Deadline(),
                   .event = publish_ != nullptr ? publish_->event() : EventId(),
                   .lineage = publish_ != nullptr ? &publish_->lineage() : &kPlainLineage},
                  &invoker_, parent);
  filled_.push();
  if (publish_ != nullptr) publish_->seen();
}

void BareFrame::leave_filled() {
  filled_.pop();
  if (filled_.stops != nullptr) invoker_.forget_stops(filled_);
  filled_.~ActiveFrame();
}

// A look for the frame first: that of a publish brings an errand.
int Errand::count(const Invoker& invoker) {
  int count = 0;
  (void)ActiveFrame::top();
  for (const Errand* each = top_; each != nullptr; each = each->outer_)
    count += &each->invoker_ == &invoker ? 1 : 0;
  return count;
}

int Errand::count(const Route& route) {
  int count = 0;
  (void)ActiveFrame::top();
  for (const Errand* each = top_; each != nullptr; each = each->outer_) {
    const Route* const its =
        each->marked_ == nullptr ? each->route_ : each->marked_->load(std::memory_order_relaxed);
    count += its == &route ? 1 : 0;
  }
  return count;
}

Errand* Errand::under_call_token() {
  Errand* found = nullptr;
  for (Errand* each = top_; each != nullptr; each = each->outer_) {
    if (each->call_token != nullptr) found = each;
  }
  return found;
}

Blocking::Blocking(Executor& executor) {
  if (executor.begin_blocking()) executor_ = &executor;
  const auto begin = [&](Invoker& invoker) {
    Executor& holder = invoker.parts().executor;
    if (executor_ == nullptr && &holder != &executor && holder.begin_blocking())
      executor_ = &holder;
  };
  for (ActiveFrame* frame = ActiveFrame::top(); frame != nullptr; frame = frame->outer) {
    begin(*frame->invoker);
    if (frame->token != nullptr) lender_ = frame;
  }
  call_lender_ = Errand::under_call_token();
  if (call_lender_ != nullptr) begin(*call_lender_->call_token);
  if (executor_ == nullptr) return;
  // The outermost, which has the worker.
  if (call_lender_ != nullptr) {
    lent_call_ = std::exchange(call_lender_->call_token, nullptr);
    lent_call_->calls().lend_token();
  } else if (lender_ != nullptr) {
    lent_ = std::exchange(lender_->token, nullptr);
    lent_->lend_token();
  }
}

Blocking::~Blocking() {
  if (lent_ != nullptr) {
    lent_->take_token_back();
    lender_->token = lent_;
  }
  if (lent_call_ != nullptr) {
    lent_call_->calls().take_token_back();
    call_lender_->call_token = lent_call_;
  }
  if (executor_ != nullptr) executor_->end_blocking();
}

}  // namespace wisp::inline v0::detail
