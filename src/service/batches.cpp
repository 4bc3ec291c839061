// Deliveries in batches: when one is due, and how it ends.
#include <algorithm>
#include <new>
#include <optional>
#include <utility>

#include <wisp/model/batch.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

// One batch, from the queue to the end of its deliveries or their next attempts.
class Invoker::BatchRun {
 public:
  using Part = std::vector<std::unique_ptr<Shipment>>;

  BatchRun(Invoker& invoker, Route& route) : invoker_(invoker), route_(route) {}
  ~BatchRun() { route_.give_back(turns_); }
  BatchRun(const BatchRun&) = delete;
  BatchRun& operator=(const BatchRun&) = delete;

  // The parts of a batch that fails as a whole are tried before what comes behind it.
  void run(Part batch) {
    std::vector<Part> parts;
    turns_ = std::exchange(batch.front()->turns, {});
    parts.push_back(std::move(batch));
    while (!parts.empty()) {
      Part part = std::move(parts.back());
      parts.pop_back();
      expire(part);
      set_aside(part, parts);
      if (part.empty()) continue;
      if (route_.closed()) {
        cancel(part);
        continue;
      }
      const Ended ended = attempt(part);
      const bool stop = ended.outcome == Outcome::cancelled || stopped();
      // Who asks not to come back soon is not asked for each half; but where nothing comes back,
      // halves are all that can save the others.
      const bool later = retryable(ended.status.code()) && retry_after_of(ended.status);
      const bool halves = ended.outcome != Outcome::ok && !stop && part.size() > 1 && !later;
      note_calls(part, ended.began, halves);
      if (ended.outcome == Outcome::ok) {
        settle_each(part);
      } else if (stop) {
        cancel(part);
      } else if (halves) {
        bisect(std::move(part), parts);
      } else {
        for (auto& each : part) settle(std::move(each), ended);
      }
    }
  }

  // Those that came to their end.
  Part over;
  // Those that did not.
  Part again;

 private:
  bool stopped() const { return invoker_.phase_.load(std::memory_order_acquire) == Phase::stopped; }

  void expire(Part& part) {
    const Time now = invoker_.parts_.clock.now();
    for (auto& each : part) {
      if (now - each->accepted <= kAgeMax) continue;
      invoker_.give_up(route_, *each, true);
      over.push_back(std::move(each));
    }
    std::erase(part, nullptr);
  }

  // What no budget covers for now, and on a serial route all that is behind it.
  void set_aside(Part& part, std::vector<Part>& behind) {
    if (route_.function().accounts.empty()) return;
    std::optional<Time> until;
    std::uint64_t asked = 0;
    const auto look_at = [&](Part& items) {
      for (auto& each : items) {
        if (until) {
          each->due = *until;
          each->put_off = true;
          each->asked = asked;
        } else if (route_.affords(*each)) {
          continue;
        } else if (route_.rules().serial) {
          until = each->due;
          asked = each->asked;
        }
        // Or the same batch would fail in the same way, for all that there is to spend.
        each->alone = each->alone || bisected_;
        again.push_back(std::move(each));
      }
      std::erase(items, nullptr);
    };
    look_at(part);
    if (until) std::for_each(behind.rbegin(), behind.rend(), look_at);
  }

  void cancel(Part& part) {
    for (auto& each : part) {
      invoker_.note_cancelled(route_, *each);
      over.push_back(std::move(each));
    }
  }

  void settle(std::unique_ptr<Shipment> delivery, const Ended& ended) {
    const bool ends = invoker_.settle_failed(route_, *delivery, ended);
    (ends ? over : again).push_back(std::move(delivery));
  }

  // The meter has a batch for one call, its function counts deliveries.
  void note_calls(const Part& part, bool began, bool halves) const {
    std::uint64_t first = 0;
    int most = 0;
    for (const auto& each : part) {
      most = std::max(most, each->attempts);
      first += each->attempts == 1 && !halves ? 1 : 0;
    }
    if (began && most == 1) --first;  // wraps, and so does the sum
    route_.function().unbegun.fetch_add(first, std::memory_order_relaxed);
  }

  // What the attempt itself notes of the oldest.
  void note_others(Step step, const Part& part, const Ended* ended) const {
    if (!invoker_.observers_.any()) return;
    const Errand errand(invoker_, nullptr);  // a sink may stop the runtime
    for (std::size_t i = 1; i < part.size(); ++i) {
      const Event& event = *part[i]->event;
      Record record{.step = step,
                    .id = event.id,
                    .function = route_.function().definition->name,
                    .topic = event.topic,
                    .attempt = part[i]->attempts,
                    .lineage = &event.lineage};
      if (ended != nullptr) {
        record.outcome = ended->outcome;
        record.wall = Duration(ended->taken.wall_ns);
        record.error = ended->status;
      }
      invoker_.observers_.note(std::move(record));
    }
  }

  // After an attempt that was ok but for those that it lists.
  void settle_each(Part& part) {
    std::vector<const Failed::Item*> failed(part.size());
    for (auto each = failed_.items.rbegin(); each != failed_.items.rend(); ++each)
      failed[each->index] = &*each;
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (failed[i] == nullptr) {
        invoker_.note(Step::done, route_, *part[i]->event, part[i]->attempts);
        count(invoker_.counters_.done);
        over.push_back(std::move(part[i]));
        continue;
      }
      Status error = failed[i]->error;
      if (error.ok())
        error = unavailable("'{}' could not handle this item of a batch",
                            route_.function().definition->name);
      settle(std::move(part[i]), {.outcome = Outcome::error, .status = error, .taken = {}});
    }
  }

  // Nobody's attempt was spent.
  void bisect(Part part, std::vector<Part>& parts) {
    bisected_ = true;
    for (const auto& each : part) --each->attempts;
    const auto middle = part.begin() + static_cast<std::ptrdiff_t>(part.size() / 2);
    parts.emplace_back(std::move_iterator(middle), std::move_iterator(part.end()));
    part.erase(middle, part.end());
    parts.push_back(std::move(part));
  }

  static Lineage common(const Part& part) {
    Lineage lineage = part.front()->event->lineage;
    for (const auto& each : part) {
      const Lineage& its = each->event->lineage;
      lineage.hops = std::max(lineage.hops, its.hops);
      if (its.tenant != lineage.tenant) lineage.tenant.clear();
      if (its.tag != lineage.tag) lineage.tag.clear();
    }
    return lineage;
  }

  Ended attempt(const Part& part) {
    FunctionState& function = route_.function();
    const Definition& definition = *function.definition;
    turns_ = {};  // used
    std::vector<const Event*> events;
    int most = 0;
    int first = 0;
    for (const auto& each : part) {
      events.push_back(each->event.get());
      most = std::max(most, ++each->attempts);
      first += static_cast<int>(each->attempts == 1);
    }
    const Lineage lineage = common(part);
    const Shipment& oldest = *part.front();
    alignas(BatchItems) std::byte place[sizeof(BatchItems)];
    definition.make_batch(place, events);
    Result<Failed> result{Failed()};
    note_others(Step::began, part, nullptr);
    Ended ended = invoker_.attempt({.function = function,
                                    .line = invoker_.line_of(function, lineage),
                                    .in = place,
                                    .result = definition.out == nullptr ? nullptr : &result,
                                    .lineage = &lineage,
                                    .event = oldest.event->id,
                                    .deadline = {},
                                    .attempt = most,
                                    .cancellation = nullptr,
                                    .route = &route_,
                                    .parent = nullptr,
                                    .accepted_ticks = most == 1 ? oldest.accepted_ticks : 0,
                                    .node = nullptr,
                                    .on_executor = true,
                                    .token = &route_,
                                    .items = first});
    if (ended.began) note_others(Step::ended, part, &ended);
    failed_ = result.ok() ? *std::move(result) : Failed();
    for (const Failed::Item& each : failed_.items) {
      if (ended.outcome != Outcome::ok || each.index < part.size()) continue;
      ended.outcome = Outcome::error;
      ended.status = invalid_argument("'{}' lists item {} of a batch of {} as failed",
                                      definition.name, each.index, part.size());
    }
    return ended;
  }

  Invoker& invoker_;
  Route& route_;
  Failed failed_;  // of the last attempt
  bool bisected_ = false;
  Pace::Turns turns_;  // until they are used
};

bool Route::batch_due() const {
  if (queue_.ready() == 0 || closed_ || held()) return false;
  if (queue_.ready() >= static_cast<std::size_t>(rules_.batch)) return true;
  // What drains does not wait for more.
  return hurried_ || invoker_.stopping() ||
         queue_.first()->since + rules_.window <= invoker_.parts().clock.now();
}

std::int64_t Route::batches_due() const {
  if (!batch_due()) return 0;
  return std::max<std::int64_t>(static_cast<std::int64_t>(queue_.ready()) / rules_.batch, 1);
}

Route::Shipments Route::begin_batch() {
  Shipments batch;
  if (!batch_due() || !in_turn()) return batch;
  do {
    batch.push_back(queue_.take());
    uncount(*batch.back());
  } while (queue_.ready() > 0 && batch.size() < static_cast<std::size_t>(rules_.batch) &&
           !batch.back()->alone && !queue_.first()->alone);
  batch.front()->turns = std::exchange(turns_, {});
  hurried_ = false;
  ++active_;
  ++busy_;
  wake_waiters();
  return batch;
}

void Route::run_batch_token(bool slot_taken) {
  slot_taken = keeps(slot_taken);
  // What is queued may grow to a whole batch while the token waits.
  if (function_->limited() && !slot_taken && !function_->try_enter()) return await_slot();
  Shipments batch;
  {
    const BriefLock lock(mutex_);
    batch = begin_batch();
    if (batch.empty()) --tokens_;
  }
  if (!batch.empty()) {
    top_up();  // for what is queued beside
    run_batch(std::move(batch));
    const BriefLock lock(mutex_);
    --busy_;
    --tokens_;
  }
  if (function_->limited()) function_->leave(invoker_);
  top_up();
  arm_turn();
}

void Route::run_batch(Shipments batch) {
  Invoker::BatchRun run(invoker_, *this);
  {
    const Errand errand(invoker_, this);
    run.run(std::move(batch));
    int left = 0;
    for (auto& each : run.again) {
      each = delay(std::move(each));
      if (each != nullptr) run.over.push_back(std::move(each));
      else ++left;
    }
    const BriefLock lock(mutex_);
    leaving_ -= left;
    for (const auto& each : run.over) queue_.release(*each);
    end();
  }
  // As in run().
  const Errand errand(invoker_, nullptr);
  for (auto& each : run.over) {
    each.reset();
    invoker_.one_less();
  }
}

// When to look for the next batch again, unless a timer will by then.
std::optional<Time> Route::window_to_arm() {
  if (queue_.ready() == 0 || closed_ || held() || batch_due()) return std::nullopt;
  const Time due = queue_.first()->since + rules_.window;
  if (window_due_ && *window_due_ <= due) return std::nullopt;
  window_due_ = due;
  return due;
}

void Route::arm_window(Time due) {
  Task task([due, weak = weak_from_this(), keep = keep_] {
    const std::shared_ptr<Invoker> invoker = keep.lock();
    const std::shared_ptr<Route> route = weak.lock();
    if (invoker != nullptr && route != nullptr) route->window_over(due);
  });
  Timer& timer = invoker_.parts().timer;
  Result<TimerId> id = timer.schedule(due, std::move(task));
  if (!id.ok()) return window_over(due, true);
  std::optional<TimerId> unused = *id;
  {
    const BriefLock lock(mutex_);
    // Else it has fired already, or another one is to come before it.
    if (!closed_ && window_due_ == due) unused = std::exchange(window_timer_, unused);
  }
  if (unused) timer.cancel(*unused);
}

// `hurried`: no timer has room, and a batch goes as it is.
void Route::window_over(Time due, bool hurried) {
  {
    const BriefLock lock(mutex_);
    if (window_due_ == due) {
      window_due_.reset();
      window_timer_.reset();
    }
    hurried_ = hurried_ || hurried;
  }
  top_up();
}

}  // namespace wisp::inline v0::detail
