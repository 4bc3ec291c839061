// post: into the log of its function, if it is a plain one, and out of it again.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/base/readers.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

// How a row of posts ended.
struct Invoker::RowEnd {
  // That was not run, or failed; null: no more posts, or no more time.
  PostRecord* record = nullptr;
  bool began = false;
  Ended ended{};
};

inline bool Route::append(Post& post) {
  After after;
  {
    const BriefLock lock(mutex_);
    if (closed_ || !invoker_.accepts() || full(post.bytes)) [[unlikely]]
      return false;
    after = append_within(post);
  }
  see_to(after);
  return true;
}

bool Route::append_reserved(Post& post) {
  After after;
  {
    const BriefLock lock(mutex_);
    --count_;
    bytes_ -= post.bytes;
    if (!closed_) after = append_within(post);
    else wake_waiters();
  }
  see_to(after);
  // The place was outstanding; the post is with its log.
  invoker_.one_less();
  return after.done;
}

inline Route::After Route::append_within(Post& post) {
  After after{.done = true, .low = log_.append(post)};
  // Before others can see it, as the lock is held: it does not end before it was accepted. And
  // after what may throw.
  invoker_.sums().add(Counter::accepted);
  if (!log_counted_) [[unlikely]] {
    log_counted_ = true;
    invoker_.one_more();
  }
  // One token that is free is enough here: it asks for more when it begins, if they are wanted.
  after.wanted = tokens_ == busy_ && tokens_ < invoker_.tokens_max();
  if (after.wanted) ++tokens_;
  return after;
}

inline void Route::see_to(const After& after) {
  if (after.wanted) [[unlikely]]
    submit_tokens(1);
  if (after.low) [[unlikely]]
    invoker_.post_blocks().put(PostBlock::make(PostBlock::kLarge));
}

Result<EventId> Invoker::post(const Definition& function, const Given& input,
                              const CallOptions& options) {
  const Registered* entry = forked() || !open() ? nullptr : parts_.registry.lookup(function);
  bool record = true;
  if (entry == nullptr) [[unlikely]] {
    WISP_TRY(admit());
    WISP_TRY(entry, parts_.registry.resolve(function));
    record = !observers_.any();
  }
  Route& route = *static_cast<FunctionState&>(*entry->attachment).posts;
  Post post;
  record = record && prepare(route, input, options, post);
  if (record && route.append(post)) [[likely]]
    return EventId{origin_, post.sequence};
  return post_late(route, input, options, record, post);
}

// Where there is no room yet, or what a record cannot hold.
Result<EventId> Invoker::post_late(Route& route, const Given& input, const CallOptions& options,
                                   bool record, Post& post) {
  WISP_TRY(admit());
  WISP_TRY(check_publish(options));
  if (!options.idempotency_key.empty()) {
    const auto accept = [&](const CallOptions& without) -> Result<Keyed::Published> {
      WISP_TRY(const EventId id, post_late(route, input, without, false, post));
      return Keyed::Published{.id = id};
    };
    return Keyed(*this).publish(IdempotencyTable::Space::function,
                                route.function().definition->name, options, accept);
  }
  Lineage lineage = record ? Lineage() : this->lineage(options);
  std::shared_ptr<Route> keep;
  Route& mine = route.of(lineage.tenant, keep);
  if (!record && post.boxed.empty() && input.type != nullptr) post.boxed = input.keep(input.data);
  const std::size_t bytes = record ? post.bytes : post.boxed.bytes();
  const Result<Route::Room> room = mine.reserve(bytes, options.key, deadline(options).at());
  if (!room.ok()) {
    count(counters_.refused);
    note_refused(route.function().definition->name, "", room.status());
    return room.status();
  }
  const EventId id = record ? EventId{origin_, post.sequence} : next_id();
  if (*room == Route::Room::dropped) {
    Event event;
    event.id = id;
    event.key = options.key;
    drop_new(mine, event);
    return id;
  }
  if (record) {
    if (route.append_reserved(post)) return id;
    count(counters_.refused);
    return refused(StatusCode::kCancelled, Reason::stopped,
                   fmt::format("{} has ended", route.rules().name));
  }
  auto event = std::make_shared<Event>();
  event->id = id;
  event->source = parts_.source;
  event->time = parts_.clock.wall();
  event->payload = std::move(post.boxed);
  event->lineage = std::move(lineage);
  event->key = options.key;
  if (event->lineage.trace.empty()) event->lineage.trace = id;
  deliver(mine, std::move(event), bytes);
  return id;
}

// What a post made within a handler has from it. False: more than a record holds.
bool Invoker::inherit(const ActiveFrame& frame, std::uint64_t origin, Post& post) {
  const Lineage& lineage = *frame.lineage;
  if (!lineage.tenant.empty() || !lineage.tag.empty()) return false;
  if (frame.event.empty()) return lineage.cause.empty() && lineage.trace.empty();
  if (frame.event.origin != origin || lineage.trace.origin != origin) return false;
  if (lineage.hops < 0 || lineage.hops >= kLoopHops) return false;
  post.cause = {.event = frame.event.sequence, .trace = lineage.trace.sequence};
  post.hops = static_cast<std::uint8_t>(lineage.hops);
  return true;
}

bool Invoker::prepare(Route& route, const Given& input, const CallOptions& options, Post& post) {
  if (!route.takes_records || !unlabelled(options)) return false;
  const ActiveFrame* const frame = ActiveFrame::top();
  if (frame != nullptr && frame->invoker == this && !inherit(*frame, origin_, post)) return false;
  if (input.type != nullptr) {
    post.bytes = input.type->bytes(input.data);
    if (post.bytes > PostLog::kBytesMax) return false;
    // The copy of anything else may throw, or call back: before any lock is taken.
    if (input.flat != 0 && input.flat <= PostLog::kInputMax) post.input = input;
    else post.boxed = input.keep(input.data);
  }
  post.sequence = next_id_here().sequence;
  post.accepted_ticks = parts_.ledger.ticks().now();
  return true;
}

void Invoker::cancel_post(const Route& route, PostRecord& record) {
  abandoned({route.function().definition->name, {origin_, record.sequence}, "queued"});
  count(counters_.cancelled);
  count(route.function().unbegun);
  Event event;
  event.id = {origin_, record.sequence};
  note(Step::cancelled, route, event, 0);
  PostBlock::release(record);
}

void Invoker::run_posts(Route& route, PostBlock& block, std::uint64_t until) {
  const Errand errand(*this, &route);
  while (true) {
    RowEnd end = run_row(route, block, until);
    if (end.record != nullptr) see_off(route, block, end);
    if (parts_.ledger.ticks().now() >= until || !block.has_more()) return;
  }
}

// Posts of one function that run one after the other, in one frame.
class Invoker::Row {
 public:
  Row(Invoker& invoker, Route& route, const RunVersion& version, Shard& shard)
      : invoker_(invoker),
        route_(route),
        definition_(*version.definition),
        shard_(shard),
        frame_(
            {.runtime = invoker.parts_.runtime, .function = definition_.name, .lineage = &lineage_},
            &invoker, nullptr),
        context_(invoker, frame_) {
    frame_.token = &route;
    frame_.on_executor = true;
    frame_.push();
    running_.function = definition_.name;
    running_.event.origin = invoker.origin_;
    running_.before = std::exchange(frame_.running, &running_);
    running_.post = true;
    running_.late = &route_.function().late;
    running_.token = &route_;
    shard.set_running(&running_);
  }
  ~Row() {
    frame_.pop();
    forget_stops();
    shard_.set_running(running_.before);
  }
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;

  // False once the route has closed, or the runtime asks handlers to stop, which comes before that.
  bool enter(const PostRecord& record) {
    // Release: who sees it sees that the deadline before has gone.
    running_.sequence.store(record.sequence, std::memory_order_release);
    // After the mark: either stop() sees this handler, or the handler is not entered.
    light_barrier();
    if (invoker_.phase_.load(std::memory_order_acquire) == Phase::stopped) [[unlikely]]
      return false;
    if (!route_.noticed()) [[likely]]
      return true;
    if (route_.closed()) return false;
    route_.tell_of_room();
    return true;
  }

  Outcome run(PostRecord& record, Status& why) {
    const std::uint64_t origin = invoker_.origin_;
    frame_.event = lineage_.trace = {origin, record.sequence};
    lineage_.cause = {};
    lineage_.hops = record.hops;
    if (record.caused) {
      lineage_.cause = {origin, record.cause()->event};
      lineage_.trace.sequence = record.cause()->trace;
    }
    const Duration timeout = definition_.options.timeout;
    if (timeout != Duration()) [[unlikely]] {
      frame_.deadline = Deadline::after(invoker_.parts_.clock, timeout);
      invoker_.watchdog_.begins(running_, frame_.deadline.at());
    }
    Attempted failed;
    const bool well = definition_.run(definition_, record.value(), nullptr, &context_, failed);
    Outcome outcome = Outcome::ok;
    if (!well || !frame_.deadline.none()) [[unlikely]] {
      if (!frame_.deadline.none()) came_back();
      outcome = invoker_.judge(frame_, failed);
      why = std::move(failed.status);
    }
    forget_stops();
    return outcome;
  }

  // The watchdog does not look at it any more, and has not lent its token.
  void came_back() {
    running_.deadline.store(Watchdog::kNever);
    shard_.set_running(&running_);  // takes the lock of the mark
    if (std::exchange(running_.lent, false)) route_.take_token_back();
  }

  void follow(FunctionState& function, const VersionUse& version, PostRecord& record,
              Outcome outcome) {
    frame_.pop();  // neither is what this calls
    Shadow::follow(invoker_, function, version, record.value(), nullptr, outcome);
    frame_.push();
  }
  void release(PostRecord& record) {
    if (record.kind != PostRecord::Input::boxed) return;
    frame_.pop();  // what it destroys is not inside the handler
    PostBlock::release(record);
    frame_.push();
  }

 private:
  // Each attempt has its own.
  void forget_stops() {
    if (frame_.stops != nullptr) [[unlikely]]
      invoker_.forget_stops(frame_);
  }

  Invoker& invoker_;
  Route& route_;
  const Definition& definition_;
  Shard& shard_;
  Lineage lineage_;
  ActiveFrame frame_;
  Context context_;
  Running running_;
};

// One reading of the clock ends a post and begins the next, so what lies between them, some tens of
// nanoseconds, counts as the later one's.
Invoker::RowEnd Invoker::run_row(Route& route, PostBlock& block, std::uint64_t until) {
  PostRecord* record = block.take();
  if (record == nullptr) return {};
  Ledger& ledger = parts_.ledger;
  const Ticks& ticks = ledger.ticks();
  const std::uint64_t age_max = ticks.from_ns(static_cast<std::uint64_t>(kAgeMax.count()));
  FunctionState& function = route.function();
  const VersionUse version(function, function.directions, {}, parts_.random);
  const Meter meter = version->definition->options.meter;
  const Ledger::Use use(ledger);
  Shard& shard = use.shard();
  Row row(*this, route, *version, shard);
  Span span(shard, version->line, meter);
  while (true) {
    const std::uint64_t began = span.started();
    const std::uint64_t waited = ticks_between(record->accepted_ticks, began);
    if (!row.enter(*record) || waited > age_max) [[unlikely]] {
      span.abandon();
      return {.record = record, .ended = {}};
    }
    Status why;
    const Outcome outcome = row.run(*record, why);
    if (version.shadowed()) [[unlikely]]
      row.follow(function, version, *record, outcome);
    if (outcome != Outcome::ok) [[unlikely]] {
      ledger.end_and_record_waited(shard, span, ticks.to_ns(waited), true);
      return {record, true, {.outcome = outcome, .status = std::move(why), .taken = {}}};
    }
    row.release(*record);
    const bool on =
        meter == Meter::batched && began < until && function.directions.only() == &*version;
    record = on ? block.take() : nullptr;
    if (record == nullptr) ledger.end_and_record_waited(shard, span, ticks.to_ns(waited), false);
    else ledger.next_and_record(shard, span, ticks.to_ns(waited));
    sums_.add(Counter::done);
    if (record == nullptr) return {};
  }
}

// A post that has closed its row: the route has, or it was too old, or it failed.
void Invoker::see_off(Route& route, PostBlock& block, RowEnd& end) {
  PostRecord& record = *end.record;
  const bool stopped = phase_.load(std::memory_order_acquire) == Phase::stopped;
  if (!end.began && (stopped || route.closed())) return cancel_post(route, record);
  const EventId id{origin_, record.sequence};
  const bool caused = record.caused;
  const std::uint64_t since = ticks_between(record.accepted_ticks, parts_.ledger.ticks().now());
  const Duration age(static_cast<Duration::rep>(parts_.ledger.ticks().to_ns(since)));
  auto event = std::make_shared<Event>();
  event->id = id;
  event->source = parts_.source;
  event->time = parts_.clock.wall() - age;
  event->payload = block.keep(record);
  event->lineage.trace = {origin_, caused ? record.cause()->trace : id.sequence};
  event->lineage.hops = record.hops;
  if (caused) event->lineage.cause = {origin_, record.cause()->event};
  auto delivery = std::make_unique<Shipment>();
  delivery->event = std::move(event);
  delivery->bytes = record.bytes;
  delivery->attempts = end.began ? 1 : 0;
  delivery->accepted = parts_.clock.now() + -age;
  delivery->accepted_ticks = record.accepted_ticks;
  PostBlock::release(record);
  one_more();
  if (end.began) {
    route.function().note_failed(end.ended.outcome);
    if (!settle_failed(route, *delivery, end.ended))
      delivery = route.delay_post(std::move(delivery));
  } else {
    give_up(route, *delivery, true);
  }
  if (delivery == nullptr) return;
  delivery.reset();
  one_less();
}

}  // namespace wisp::inline v0::detail
