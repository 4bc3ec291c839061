#include <wisp/service/detail/frame.hpp>

#include <utility>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

ActiveFrame*& ActiveFrame::top() {
  thread_local ActiveFrame* frame = nullptr;
  return frame;
}

Blocking::Blocking(Executor& executor) {
  if (executor.begin_blocking()) executor_ = &executor;
  for (ActiveFrame* frame = ActiveFrame::top(); frame != nullptr; frame = frame->outer) {
    Executor& holder = frame->invoker->parts().executor;
    if (executor_ == nullptr && &holder != &executor && holder.begin_blocking())
      executor_ = &holder;
    if (frame->token != nullptr) lender_ = frame;
  }
  if (executor_ == nullptr || lender_ == nullptr) return;
  lent_ = std::exchange(lender_->token, nullptr);
  lent_->lend_token();
}

Blocking::~Blocking() {
  if (lent_ != nullptr) {
    lent_->take_token_back();
    lender_->token = lent_;
  }
  if (executor_ != nullptr) executor_->end_blocking();
}

}  // namespace wisp::inline v0::detail
