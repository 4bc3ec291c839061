// Synchronous deliveries that need no queue, slot or timer: what a publisher's thread does for
// them, and how others see it.
//
//   const std::uint64_t closings = invoker.publishers().closings();   // before the match
//   PublishHere here(invoker, closings);
//   if (here.room()) { here.begin(id, lineage); here.deliver(rows, &value, keep); }
//
// A publisher marks the route that it is inside of in a word of its own thread and then looks
// whether a route has closed since it began; whoever closes a route, or waits for the runtime's
// handlers, does the opposite, with a heavy barrier between (readers.hpp). So either the publisher
// does not enter, or the other sees it and waits; and no publisher writes what another reads.
//
// One word counts the closings of all routes, so that a publisher asks each route only if some have
// closed since it read that word. A route that had closed before is not in its match: it left the
// index first. When the runtime stops, routes close that stay in the index, but the word is read
// before the runtime is asked whether it still accepts.
//
// Threads: Publishers any; PublishHere belongs to the thread that made it.
#pragma once

#include <absl/functional/function_ref.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <wisp/base/id.hpp>
#include <wisp/base/per_thread.hpp>
#include <wisp/base/readers.hpp>
#include <wisp/engine/detail/shard.hpp>
#include <wisp/engine/detail/span.hpp>
#include <wisp/model/event.hpp>
#include <wisp/model/function.hpp>
#include <wisp/service/detail/frame.hpp>

namespace wisp::inline v0::detail {

struct FunctionState;
class Invoker;
class Route;

// What each thread delivers at the moment, and how many it has.
class Publishers {
 public:
  // Publishes within each other on one thread; a deeper one goes the way of all deliveries.
  static constexpr int kDepth = 20;
  // Event ids that a thread takes at once.
  static constexpr std::uint64_t kIds = 256;

  // One publish. Each word is written by its thread alone. The route's is read with acquire by
  // whoever looks: what the handler did is seen once its mark has gone. So are the two counts in
  // sum(), as in counters.hpp: accepted and done. What fails is counted there as dead.
  struct Level : Turns::Progress {
    std::atomic<std::uint64_t> sequence{0};  // of the event
  };
  struct Slot {
    std::array<Level, kDepth> levels;
    int depth = 0;  // the owner's alone, as the next
    std::uint64_t next_id = 0;
    std::uint64_t last_id = 0;
    std::array<Lineage, kDepth> lineages{};  // of events from outside
  };

  using Aside = PerThread<Slot>::Aside;  // see ThreadLocals in thread_locals.hpp

  // How many are inside of `route`, or whether any is at all. With a heavy barrier before.
  int count(const Route& route) const;
  bool any_inside() const;
  // Routes, and the sequence of the event that each delivers.
  using Marks = std::vector<std::pair<const Route*, std::uint64_t>>;
  Marks inside() const;

  // Who compares them reads `accepted` last.
  std::uint64_t accepted() const { return sum(&Level::begun); }
  std::uint64_t done() const { return sum(&Level::ended); }

  // Of a route that has closed, before the heavy barrier. Release, acquire in closings().
  void note_closing() { closings_.fetch_add(1, std::memory_order_release); }
  std::uint64_t closings() const { return closings_.load(std::memory_order_acquire); }
  const std::atomic<std::uint64_t>& closings_word() const { return closings_; }

  PerThread<Slot>& slots() { return slots_; }

 private:
  std::uint64_t sum(std::atomic<std::uint64_t> Level::* word) const;

  PerThread<Slot> slots_;
  alignas(64) std::atomic<std::uint64_t> closings_{0};  // on a line that nobody else writes
};

// Deliveries to one function in a row.
struct PublishRow {
  FunctionState* function;
  std::vector<Route*> routes;
};

class PublishHere {
 public:
  using Keep = absl::FunctionRef<std::shared_ptr<const Event>()>;

  // `closings`: read before the runtime was asked, and before the match was looked up.
  PublishHere(Invoker& invoker, std::uint64_t closings);
  ~PublishHere();
  PublishHere(const PublishHere&) = delete;
  PublishHere& operator=(const PublishHere&) = delete;

  bool room() const { return level_ != nullptr; }

  // With an id of its own and an empty lineage, or with these. Requires: room().
  EventId begin();
  void begin(EventId event, const Lineage& lineage);
  EventId event() const { return event_; }
  const Lineage& lineage();

  // One attempt each, counted and metered. False if all of the routes have closed. Requires:
  // begin(), once, and handlers without timeout and concurrency limit. `keep`, which may throw,
  // makes the event whole for dead letters, once: then the rest is not delivered.
  bool deliver(std::span<const PublishRow> rows, const void* in, Keep keep);

 private:
  friend class BareFrame;

  void deliver_row(const PublishRow& row, const void* in, Keep keep);
  void deliver_rows(std::span<const PublishRow> rows, const void* in, Keep keep);
  void deliver_rest(const PublishRow& row, Route* const* from, const void* in, Keep keep);
  void deliver_versions(const PublishRow& row, Route* const* from, const void* in, Keep keep);
  void deliver_timed(std::span<Route* const> routes, const void* in, Keep keep);
  std::span<Route* const> deliver_chained(Route& first, std::span<Route* const> rest,
                                          const void* in, Keep keep);
  // How its run ended; rejected: the route had closed.
  Outcome deliver_one(Route& route, const void* in, Keep keep);
  bool enter(Route& route);
  bool enter_late(Route& route);
  void begin_row(FunctionState& function);
  void end_row();
  bool run_alone(const void* in, Attempted& failed);
  bool run(const void* in, Attempted& failed);
  void forget_stops();
  void bury(Route& route, Attempted& failed, Keep keep);
  void bury_counted(Cell& cell, Attempted& failed, Keep keep);
  void leave();
  // The frame has been, in a delivery: what is made there of it has to go before the next one.
  void seen() {
    expected_ = kNever;
    if (!errand_) errand_.emplace(invoker_, level_->route);
  }
  const Definition& definition() const { return frame_.definition(); }
  std::uint64_t accepted() const { return level_->begun.load(std::memory_order_relaxed); }
  void count_accepted() { level_->begun.store(accepted() + 1, std::memory_order_release); }
  void count_done() {
    level_->ended.store(level_->ended.load(std::memory_order_relaxed) + 1,
                        std::memory_order_release);
  }

  static constexpr std::uint64_t kNever = UINT64_MAX;  // closings do not come to it

  Invoker& invoker_;
  const std::uint64_t closings_;
  std::uint64_t expected_;  // closings_, or kNever: a run is to be asked for by itself
  Publishers::Slot* const slot_;
  Publishers::Level* level_ = nullptr;
  Shard* shard_ = nullptr;
  EventId event_;
  const Lineage* lineage_ = nullptr;  // null: its own, to be made
  Route* left_ = nullptr;             // the one marked before this
  // Deliveries to one function in a row. Of the sampled meter a row is timed as a whole or not at
  // all, and nothing but a count is left to do for each. Set in begin_row(), but for counting_: a
  // publish of counted deliveries needs none of these, and is to cost next to nothing.
  Cell* cell_;
  bool counting_ = false;
  bool chained_ = false;     // the last delivery's end has just been read
  std::uint64_t row_at_;     // accepted when it began
  std::optional<Span> row_;  // if it is timed
  BareFrame frame_;
  std::optional<Errand> errand_;  // once it may be asked for
  // For dead letters, once there is one: so that most publishes destroy none.
  std::optional<std::shared_ptr<const Event>> whole_;
};

}  // namespace wisp::inline v0::detail
