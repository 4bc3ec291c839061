// The rows of idempotency keys.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

// Rows that are over and leave with each look: more than one comes.
constexpr int kSweep = 4;

Status stopped() {
  return refused(StatusCode::kCancelled, Reason::stopped,
                 "the runtime stopped before the call began");
}

}  // namespace

constinit thread_local IdempotencyTable::Holding* IdempotencyTable::Holding::top_ = nullptr;

IdempotencyTable::Holding::Holding(IdempotencyTable& table, KeyHold hold)
    : table_(table), hold_(std::move(hold)), outer_(std::exchange(top_, this)) {}

IdempotencyTable::Holding::~Holding() {
  if (!ended_) (void)end({.status = aborted("the first caller of this key threw")}, 0);
  top_ = outer_;
}

IdempotencyTable::AllAttached IdempotencyTable::Holding::end(const Kept& kept, std::size_t bytes) {
  ended_ = true;
  return table_.end(hold_, kept, bytes);
}

bool IdempotencyTable::holds(const Row& row) const {
  for (const Holding* each = Holding::top_; each != nullptr; each = each->outer_) {
    if (&each->table_ == this && each->hold_.holder == row.holder) return true;
  }
  if (row.holder_node == nullptr) return false;
  const Cancellation* const cancellation = &row.holder_node->cancellation_;
  for (const ActiveFrame* each = ActiveFrame::top(); each != nullptr; each = each->outer) {
    if (each->cancellation == cancellation) return true;
  }
  return false;
}

std::string IdempotencyTable::id_of(const Wanted& wanted) {
  std::string id(1, static_cast<char>(wanted.space));
  id.append(wanted.name);
  id.push_back('\0');  // no name has it
  id.append(wanted.key);
  return id;
}

void IdempotencyTable::remove(Rows& from, Rows::iterator row, Rows& gone) {
  by_id_.erase(row->id);
  stats_.bytes -= row->bytes;
  gone.splice(gone.end(), from, row);
}

void IdempotencyTable::forget_oldest(Rows& gone) {
  if (done_.front().until > clock_.now()) ++stats_.forgotten;
  remove(done_, done_.begin(), gone);
}

IdempotencyTable::Joined IdempotencyTable::hold(Row& row, Deadline deadline, const CallNode* node) {
  row.holder = ++holders_;
  row.holder_node = node;
  row.runnable.reset();
  row.until = deadline.none() ? clock_.now() + kIdempotencyHolderMax : deadline.at();
  return {.answer = Answer::first, .hold = {row.id, row.holder}};
}

IdempotencyTable::Joined IdempotencyTable::add(std::string id, const Wanted& wanted,
                                               const CallNode* node, Rows& gone) {
  if (by_id_.size() >= static_cast<std::size_t>(bounds_.rows)) {
    if (done_.empty()) {
      return {.answer = Answer::refused,
              .kept = {.status = refused(StatusCode::kResourceExhausted, Reason::full,
                                         fmt::format("the table of idempotency keys is full ({}), "
                                                     "and all of them are in progress",
                                                     bounds_.rows))}};
    }
    forget_oldest(gone);
  }
  const bool topic = wanted.space == Space::topic;
  in_progress_.push_back({.id = std::move(id),
                          .name = fmt::format("'{}' of {} '{}'", wanted.key,
                                              topic ? "topic" : "function", wanted.name),
                          .event = wanted.event,
                          .out = wanted.out,
                          .version = wanted.version,
                          .until = {}});
  const Rows::iterator row = std::prev(in_progress_.end());
  by_id_.emplace(row->id, row);
  return hold(*row, wanted.deadline, node);
}

IdempotencyTable::Joined IdempotencyTable::look_up(std::string id, const Wanted& wanted,
                                                   const CallNode* node, Row** found, Rows& gone) {
  const auto refuse = [](Status why) {
    return Joined{.answer = Answer::refused, .kept = {.status = std::move(why)}};
  };
  if (closed_) return refuse(stopped());
  const Time now = clock_.now();
  for (int i = 0; i < kSweep && !done_.empty() && done_.front().until <= now; ++i)
    forget_oldest(gone);
  const auto place = by_id_.find(id);
  if (place == by_id_.end()) return add(std::move(id), wanted, node, gone);
  Row& row = *place->second;
  if (row.done && row.until <= now) {
    remove(done_, place->second, gone);
    return add(std::move(id), wanted, node, gone);
  }
  const bool same_out = row.out == wanted.out || (row.out != nullptr && wanted.out != nullptr &&
                                                  same_type(*row.out, *wanted.out));
  if (row.event != wanted.event) {
    return refuse(invalid_argument("idempotency key {} belongs to a {}, this is a {}", row.name,
                                   row.event ? "post" : "call", wanted.event ? "post" : "call"));
  }
  if (!same_out || row.version != wanted.version) {
    const auto name = [](const TypeInfo* type) {
      return type == nullptr ? std::string_view("nothing") : type->name();
    };
    return refuse(invalid_argument(
        "idempotency key {} belongs to a call of version {} that gives {}, this is version {} and "
        "gives {}",
        row.name, row.version, name(row.out), wanted.version, name(wanted.out)));
  }
  if (row.done) return {.answer = Answer::done, .kept = row.kept};
  if (holds(row)) {
    return refuse(failed_precondition(
        "idempotency key {} is held by the handler that asks for it: it would wait for itself",
        row.name));
  }
  if (row.until <= now) {
    ++stats_.taken_over;
    return hold(row, wanted.deadline, node);
  }
  *found = &row;
  return {.answer = Answer::waits, .until = row.until, .holder = row.runnable};
}

IdempotencyTable::Joined IdempotencyTable::join(const Wanted& wanted, Waiter& waiter) {
  Rows gone;  // destroyed outside of the lock, as its results are the user's
  std::string id = id_of(wanted);
  waiter.deadline = wanted.deadline;
  const MutexLock lock(mutex_);
  Joined joined = look_up(std::move(id), wanted, nullptr, &waiter.row, gone);
  if (joined.answer == Answer::waits) waiter.row->waiters.push_back(&waiter);
  return joined;
}

IdempotencyTable::Joined IdempotencyTable::look(Waiter& waiter) {
  const MutexLock lock(mutex_);
  if (waiter.answer) {
    const bool ok = waiter.answer->status.ok();
    return {.answer = ok ? Answer::done : Answer::refused, .kept = *waiter.answer};
  }
  Row& row = *waiter.row;
  if (row.until > clock_.now())
    return {.answer = Answer::waits, .until = row.until, .holder = row.runnable};
  std::erase(row.waiters, &waiter);
  if (waiter.deadline.passed(clock_)) return {.answer = Answer::refused};
  ++stats_.taken_over;
  return hold(row, waiter.deadline, nullptr);
}

bool IdempotencyTable::leave(Waiter& waiter) {
  const MutexLock lock(mutex_);
  if (waiter.answer) return false;
  std::erase(waiter.row->waiters, &waiter);
  return true;
}

IdempotencyTable::Joined IdempotencyTable::attach(const Wanted& wanted,
                                                  const std::shared_ptr<CallNode>& node) {
  Rows gone;
  Row* row = nullptr;
  const MutexLock lock(mutex_);
  Joined joined = look_up(node->key_->id, wanted, node.get(), &row, gone);
  if (joined.answer == Answer::waits) row->attached.push_back({node});
  return joined;
}

IdempotencyTable::Row* IdempotencyTable::in_progress(const std::string& id) {
  const auto place = by_id_.find(id);
  return place == by_id_.end() || place->second->done ? nullptr : &*place->second;
}

void IdempotencyTable::can_run(const std::shared_ptr<CallNode>& holder) {
  const MutexLock lock(mutex_);
  Row* const row = in_progress(holder->key_->id);
  if (row != nullptr && row->holder == holder->key_->holder) row->runnable = holder;
}

std::shared_ptr<CallNode> IdempotencyTable::holder_of(const CallNode& attached) {
  const MutexLock lock(mutex_);
  Row* const row = in_progress(attached.key_->id);
  return row == nullptr ? nullptr : row->runnable;
}

bool IdempotencyTable::keep_timer(const CallNode& node, TimerId timer) {
  const MutexLock lock(mutex_);
  Row* const row = in_progress(node.key_->id);
  if (row == nullptr) return false;
  for (Attached& each : row->attached) {
    if (each.node.get() != &node) continue;
    each.timer = timer;
    return true;
  }
  return false;
}

IdempotencyTable::Joined IdempotencyTable::look(const std::shared_ptr<CallNode>& node) {
  const MutexLock lock(mutex_);
  Row* const row = in_progress(node->key_->id);
  if (row == nullptr) return {.answer = Answer::done};
  const auto place = std::find_if(row->attached.begin(), row->attached.end(),
                                  [&node](const auto& each) { return each.node == node; });
  if (place == row->attached.end()) return {.answer = Answer::done};
  const Time now = clock_.now();
  const bool late = row->until <= now;
  if (!node->deadline_.passed(clock_) && !late)
    return {.answer = Answer::waits, .until = row->until};
  // Else somebody cancels it right now.
  if (!node->claim_attached()) return {.answer = Answer::done};
  row->attached.erase(place);
  if (node->deadline_.passed(clock_)) return {.answer = Answer::refused};
  ++stats_.taken_over;
  Joined joined = hold(*row, node->deadline_, node.get());
  row->runnable = node;
  return joined;
}

std::optional<TimerId> IdempotencyTable::detach(const CallNode& node) {
  std::shared_ptr<CallNode> gone;  // released outside of the lock
  const MutexLock lock(mutex_);
  Row* const row = in_progress(node.key_->id);
  if (row == nullptr) return std::nullopt;
  const auto place = std::find_if(row->attached.begin(), row->attached.end(),
                                  [&node](const auto& each) { return each.node.get() == &node; });
  if (place == row->attached.end()) return std::nullopt;
  const std::optional<TimerId> timer = place->timer;
  gone = std::move(place->node);
  row->attached.erase(place);
  return timer;
}

void IdempotencyTable::answer_all(Row& row, const Kept& kept) {
  for (Waiter* const each : row.waiters) {
    each->answer = kept;
    clock_.wake(each->parker);
  }
  row.waiters.clear();
}

IdempotencyTable::AllAttached IdempotencyTable::end(const KeyHold& hold, const Kept& kept,
                                                    std::size_t bytes) {
  Rows gone;
  std::shared_ptr<CallNode> holder;  // released outside of the lock, too
  const MutexLock lock(mutex_);
  const auto place = by_id_.find(hold.id);
  if (place == by_id_.end()) return {};
  const Rows::iterator row = place->second;
  if (row->done || row->holder != hold.holder) return {};
  holder = std::move(row->runnable);
  AllAttached attached = std::move(row->attached);
  answer_all(*row, kept);
  if (!kept.status.ok() || kept.passing || closed_) {
    remove(in_progress_, row, gone);
    return attached;
  }
  row->done = true;
  row->until = clock_.now() + kIdempotencyWindow;
  row->kept = kept;
  row->bytes = row->id.size() + bytes;
  stats_.bytes += row->bytes;
  done_.splice(done_.end(), in_progress_, row);
  while (stats_.bytes > bounds_.bytes) forget_oldest(gone);
  return attached;
}

IdempotencyTable::AllAttached IdempotencyTable::close() {
  AllAttached all;
  Rows gone;
  const MutexLock lock(mutex_);
  closed_ = true;
  for (Row& each : in_progress_) {
    answer_all(each, {.status = stopped()});
    std::move(each.attached.begin(), each.attached.end(), std::back_inserter(all));
    each.attached.clear();
  }
  // Nobody asks any more.
  by_id_.clear();
  stats_.bytes = 0;
  gone.splice(gone.end(), in_progress_);
  gone.splice(gone.end(), done_);
  return all;
}

IdempotencyStats IdempotencyTable::stats() const {
  const MutexLock lock(mutex_);
  IdempotencyStats stats = stats_;
  stats.rows = by_id_.size();
  return stats;
}

}  // namespace wisp::inline v0::detail
