// Synchronous deliveries that need no queue, slot or timer: what a publisher's thread does for
// them, and how others see it.
//
//   PublishHere here(invoker, id, lineage);
//   if (here.room()) here.deliver(route, &value, keep);
//
// A publisher marks the route that it is inside of in a word of its own thread and then looks
// whether the route has closed; whoever closes a route, or waits for the runtime's handlers, does
// the opposite, with a heavy barrier between (readers.hpp). So either the publisher does not enter,
// or the other sees it and waits; and no publisher writes what another reads.
//
// Threads: Publishers any; PublishHere belongs to the thread that made it.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <wisp/base/id.hpp>
#include <wisp/base/per_thread.hpp>
#include <wisp/model/event.hpp>
#include <wisp/service/detail/frame.hpp>

namespace wisp::inline v0::detail {

class Invoker;
class Route;

// What each thread delivers at the moment.
class Publishers {
 public:
  // Publishes within each other on one thread; a deeper one goes the way of all deliveries.
  static constexpr int kDepth = 20;
  // Event ids that a thread takes at once.
  static constexpr std::uint64_t kIds = 256;

  struct Level {
    // Release, acquire by whoever looks: what the handler did is seen once its mark has gone.
    std::atomic<const Route*> route{nullptr};
    std::atomic<std::uint64_t> sequence{0};  // of the event
  };
  struct Slot {
    std::array<Level, kDepth> levels;
    int depth = 0;  // the owner's alone, as the next
    std::uint64_t next_id = 0;
    std::uint64_t last_id = 0;
  };

  // How many are inside of `route`, or whether any is at all. With a heavy barrier before.
  int count(const Route& route) const;
  bool any_inside() const;
  // Routes, and the sequence of the event that each delivers.
  using Marks = std::vector<std::pair<const Route*, std::uint64_t>>;
  Marks inside() const;

  PerThread<Slot>& slots() { return slots_; }

 private:
  PerThread<Slot> slots_;
};

class PublishHere {
 public:
  using Keep = std::function<std::shared_ptr<const Event>()>;

  PublishHere(Invoker& invoker, EventId event, const Lineage& lineage);
  ~PublishHere();
  PublishHere(const PublishHere&) = delete;
  PublishHere& operator=(const PublishHere&) = delete;

  bool room() const { return level_ != nullptr; }

  // One attempt, counted and metered. False if the route has closed. Requires: room(), and a
  // handler without timeout and concurrency limit. `keep`, which may throw, makes the event whole
  // for a dead letter.
  bool deliver(Route& route, const void* in, const Keep& keep);

 private:
  Invoker& invoker_;
  const PerThread<Publishers::Slot>::Use slot_;
  Publishers::Level* level_ = nullptr;
  ActiveFrame frame_;  // without a cancellation: nobody can cancel it
};

}  // namespace wisp::inline v0::detail
