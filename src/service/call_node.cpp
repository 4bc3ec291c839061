#include <wisp/service/detail/call_node.hpp>

#include <utility>
#include <vector>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

// See wait().
constexpr Duration kLookAgain = std::chrono::milliseconds(10);

// All that nobody has, and the last number given out.
struct Anchors {
  const std::uint64_t forks;
  Anchors* const before;  // the parent's, whose locks may be held for ever: never looked at

  Mutex mutex;
  std::vector<Anchor*> free ABSL_GUARDED_BY(mutex);
  std::uint64_t number ABSL_GUARDED_BY(mutex) = 0;
};

// Those of this process. A child after fork, which may start a runtime of its own, begins anew.
Anchors& anchors() {
  static constinit std::atomic<Anchors*> all{nullptr};
  const std::uint64_t forks = fork_generation();
  // Acquire, release below: it is whole.
  Anchors* now = all.load(std::memory_order_acquire);
  while (now == nullptr || now->forks != forks) {
    auto made = std::unique_ptr<Anchors>(new Anchors{.forks = forks, .before = now});
    if (all.compare_exchange_strong(now, made.get(), std::memory_order_acq_rel,
                                    std::memory_order_acquire))
      now = made.release();
  }
  return *now;
}

}  // namespace

Anchor& Anchor::take(std::uint64_t& number) {
  Anchors& all = anchors();
  const MutexLock lock(all.mutex);
  number = ++all.number;
  Anchor* anchor = nullptr;
  if (all.free.empty()) {
    anchor = new Anchor;
  } else {
    anchor = all.free.back();
    all.free.pop_back();
  }
  const BriefLock own(anchor->mutex_);
  anchor->number_ = number;
  return *anchor;
}

void Anchor::give_back() {
  std::weak_ptr<Invoker> gone;  // released outside of the lock
  {
    const BriefLock lock(mutex_);
    number_ = 0;
    gone.swap(invoker_);
  }
  Anchors& all = anchors();
  const MutexLock lock(all.mutex);
  all.free.push_back(this);
}

void Anchor::hold(std::weak_ptr<Invoker> invoker) {
  const BriefLock lock(mutex_);
  invoker_ = std::move(invoker);
}

std::shared_ptr<Invoker> Anchor::find(std::uint64_t number) {
  const BriefLock lock(mutex_);
  return number_ == number ? invoker_.lock() : nullptr;
}

// Not in each call's own destructor, which is one more for each pair of types.
CallNode::~CallNode() = default;

const Lineage& CallNode::lineage() const { return lineage_ != nullptr ? *lineage_ : kPlainLineage; }

Receipt CallNode::receipt() const {
  Receipt receipt{.function = name_,
                  .version = charged_.version,
                  .attempts = attempts_,
                  .outcome = charged_.outcome};
  if (attempts_ == 0) return receipt;
  receipt.queued = Duration(charged_.queued_ns);
  receipt.queued_quality = Quality::measured;
  receipt.wall = Duration(charged_.wall_ns);
  receipt.wall_quality = charged_.wall_quality;
  receipt.cpu = Duration(charged_.cpu_ns);
  receipt.cpu_quality = charged_.cpu_quality;
  receipt.bytes_in = bytes_in;
  receipt.bytes_in_quality = Quality::measured;
  receipt.allocations = charged_.allocated.count;
  receipt.allocated_bytes = charged_.allocated.bytes;
  receipt.cold = charged_.cold;
  receipt.init = Duration(charged_.init_ns);
  receipt.init_quality = Quality::measured;
  if (alloc_meter_linked) receipt.allocations_quality = Quality::measured;
  if (cost_ == nullptr) return receipt;
  receipt.cost = *cost_;
  receipt.cost_quality = Quality::estimated;
  return receipt;
}

EventId CallNode::id(Invoker& invoker) {
  const EventId fresh = invoker.next_id_here();
  const BriefLock lock(mutex_);
  if (id_.empty()) id_ = fresh;
  return id_;
}

EventId CallNode::id() {
  const std::shared_ptr<Invoker> invoker = this->invoker();
  if (invoker != nullptr) return id(*invoker);
  const BriefLock lock(mutex_);
  return id_;
}

std::shared_ptr<Invoker> CallNode::invoker() {
  {
    const BriefLock lock(mutex_);
    if (state_ == State::done || anchor_ == nullptr) return invoker_;
  }
  return anchor_->find(anchored_);
}

std::shared_ptr<Invoker> CallNode::claim(Time* due) {
  // Null: it is done, or will be any moment.
  std::shared_ptr<Invoker> invoker = this->invoker();
  if (invoker == nullptr) return nullptr;
  bool lodges = false;
  bool queued = false;
  std::uint64_t number = 0;
  {
    const BriefLock lock(mutex_);
    if (state_ != State::queued && state_ != State::delayed) return nullptr;
    if (due != nullptr) *due = state_ == State::delayed ? due_ : Time();
    lodges = lodges_;
    if (state_ == State::queued && place_.block != 0) {
      // Before its queue may come to rest.
      counted_ = queued = true;
      invoker->one_more();
    } else if (state_ == State::queued && number_ != 0) {
      number = number_;
    } else if (state_ == State::queued && !lodges_) {
      // Its task stays in the executor's queue.
      spare_of_ = invoker;
      invoker->lodgers_.add_spare();
    }
    state_ = State::running;
  }
  if (lodges) invoker->lodgers_.forget(*this);
  if (queued) invoker->calls_.forget(*this);
  // What comes back finds that the call is somebody else's.
  if (number != 0) invoker->sharing_.queue()->remove(number, *invoker->flow_of(*this));
  return invoker;
}

std::shared_ptr<Invoker> CallNode::claim_by_task(bool lodger) {
  std::shared_ptr<Invoker> invoker = this->invoker();
  const BriefLock lock(mutex_);
  if (lodger) lodges_ = false;
  if (lodges_ || (state_ != State::queued && state_ != State::delayed)) return nullptr;
  state_ = State::running;
  return invoker;
}

bool CallNode::claim_attached() {
  const BriefLock lock(mutex_);
  if (state_ != State::attached) return false;
  state_ = State::running;
  return true;
}

bool CallNode::claim_by_row() {
  const BriefLock lock(mutex_);
  if (state_ != State::queued) return false;
  state_ = State::running;
  return true;
}

void CallNode::withdraw(Task& task) {
  {
    const BriefLock lock(mutex_);
    lodges_ = true;
  }
  task.reset();  // leaves a call that lodges alone
  const BriefLock lock(mutex_);
  lodges_ = false;
}

std::shared_ptr<Invoker> CallNode::spare_task() {
  const BriefLock lock(mutex_);
  return std::exchange(spare_of_, {}).lock();
}

bool CallNode::delay(Time due) {
  bool parked = false;
  {
    const BriefLock lock(mutex_);
    // Not if it was cancelled, or given up, a moment ago.
    if (state_ != State::running || cancellation_.requested()) return false;
    state_ = State::delayed;
    due_ = due;
    parked = parked_;
  }
  // Perhaps who waits has to run it.
  if (parked) clock_->wake(parker_);
  return true;
}

bool CallNode::finish(bool abandoned) {
  std::unique_ptr<Continuation> then;
  bool parked = false;
  std::shared_ptr<Invoker> last;  // released outside of the lock
  {
    const BriefLock lock(mutex_);
    if (state_ == State::done) return false;
    state_ = State::done;
    abandoned_.store(abandoned, std::memory_order_release);
    ready_.store(true, std::memory_order_release);
    parked = parked_;
    then = std::move(then_);
    last = std::move(invoker_);
  }
  if (parked) clock_->wake(parker_);
  if (then != nullptr) (*then)();
  return true;
}

void CallNode::then(Continuation continuation) {
  if (given_up_by_fork()) return;
  auto next = std::make_unique<Continuation>(std::move(continuation));
  {
    const BriefLock lock(mutex_);
    if (state_ != State::done) {
      // The one that it replaces goes once the lock is gone.
      std::swap(then_, next);
      attended_.store(true, std::memory_order_relaxed);
      return;
    }
  }
  (*next)();
}

void CallNode::cancel() {
  if (given_up_by_fork()) return;
  // Whoever waits may let go of it as soon as it has been woken.
  const std::shared_ptr<CallNode> self = shared_from_this();
  std::shared_ptr<Invoker> invoker = claim(nullptr);
  if (invoker == nullptr && claim_attached()) {
    invoker = this->invoker();  // which ends what is attached before it goes
    return Keyed(*invoker).cancel(*this);
  }
  if (invoker == nullptr) {
    cancellation_.request();
    // An attempt may have ended meanwhile, and the next one wait for its time.
    invoker = claim(nullptr);
  }
  if (invoker == nullptr) return;
  invoker->refuse(*this, Outcome::cancelled,
                  Status(StatusCode::kCancelled,
                         attempts_ == 0 ? "cancelled before it began"
                                        : "cancelled while it waited for its next attempt"));
}

// In a child after fork nobody runs the call, and whoever held the lock is gone.
bool CallNode::given_up_by_fork() {
  if (forks_ == fork_generation()) return false;
  if (!ready()) {
    abandoned_.store(true, std::memory_order_release);
    ready_.store(true, std::memory_order_release);
  }
  return true;
}

// While a handler waits for a call that a handler started: who cancels the one cancels the other.
class CallNode::Inherited {
 public:
  explicit Inherited(CallNode& node) : wait_{.node = node} {
    if (!node.nested_) return;
    const ActiveFrame* const frame = ActiveFrame::top();
    above_ = frame == nullptr ? nullptr : frame->canceller();
    if (above_ != nullptr) above_->begin(wait_);
  }
  ~Inherited() {
    if (above_ != nullptr) above_->forget(wait_);
  }
  Inherited(const Inherited&) = delete;
  Inherited& operator=(const Inherited&) = delete;

 private:
  Cancellation::Wait wait_;
  Cancellation* above_ = nullptr;  // of the handler on whose stack this is
};

// Others may wait for what the holder of an idempotency key brings: it goes on.
void CallNode::cancel_from_above() {
  if (key_ == nullptr || attached()) cancel();
}

void CallNode::wait_until(Time until) {
  if (given_up_by_fork()) return;
  const Inherited inherited(*this);
  std::shared_ptr<Invoker> invoker = this->invoker();
  if (invoker == nullptr) return park(until);  // it is ending right now
  const Blocking blocking(invoker->parts_.executor);
  // Or this thread, the last to hold the runtime's parts, would end them when their owner and its
  // clock have gone.
  invoker.reset();
  park(until);
}

void CallNode::park(Time until, bool claimable) {
  const auto over = [&] { return ready() || (claimable && can_be_claimed()); };
  {
    const BriefLock lock(mutex_);
    if (state_ == State::done) return;
    parked_ = true;
    attended_.store(true, std::memory_order_relaxed);
  }
  while (!over() && clock_->now() < until) clock_->park(parker_, until);
  // A wake that comes too late stays, and ends the next wait's first park: that looks again.
  const BriefLock lock(mutex_);
  parked_ = false;
}

bool CallNode::can_be_claimed() {
  const BriefLock lock(mutex_);
  return state_ == State::queued || state_ == State::delayed;
}

bool CallNode::attached() {
  const BriefLock lock(mutex_);
  return state_ == State::attached;
}

bool CallNode::run_here(bool even_on_pool) {
  Time due;
  std::shared_ptr<Invoker> invoker = claim(&due);
  if (invoker == nullptr) {
    if (key_ == nullptr || !attached()) return false;
    invoker = this->invoker();
    return invoker != nullptr && Keyed(*invoker).run_holder(*this, even_on_pool) && ready();
  }
  if (due != Time() && invoker->parts_.manual) {
    invoker->complete(*this, charged_.outcome);
    return true;
  }
  if (due != Time()) invoker->wait_for_retry(cancellation_, due);
  invoker->run_claimed(*this, true);
  return true;
}

void CallNode::wait() {
  if (ready() || given_up_by_fork()) return;
  const Inherited inherited(*this);
  std::shared_ptr<Invoker> invoker = this->invoker();
  if (invoker == nullptr) return park(Time::never());  // it is ending right now
  if (!function_->definition->options.pool_only && run_here()) return;
  invoker.reset();  // see wait_until()
  // For as long as a short handler takes: nobody has to stand in for this thread, or to wake it.
  if (clock_->real() && Patience::look([this] { return ready(); })) return;
  invoker = this->invoker();
  if (invoker == nullptr) return park(Time::never());
  Executor& executor = invoker->parts_.executor;
  const Blocking blocking(executor);
  const ActiveFrame* frame = ActiveFrame::top();
  // A host's executor may not know its threads; what runs on them does.
  const bool on_worker = executor.on_executor_thread() || (frame != nullptr && frame->on_executor);
  invoker.reset();  // see wait_until()
  if (!on_worker || blocking.substituted()) return park(Time::never());
  // A worker that nobody can stand in for runs even what should stay on the pool, and what fails
  // meanwhile and is to be tried again: waiting might be for ever.
  while (!ready() && !run_here(true)) {
    // Nobody wakes it when the holder of its key is to be tried again.
    const bool looks = key_ != nullptr && attached();
    park(looks ? clock_->now() + kLookAgain : Time::never(), true);
  }
}

}  // namespace wisp::inline v0::detail
