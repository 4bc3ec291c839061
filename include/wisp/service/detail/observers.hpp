// Who watches a runtime's calls and deliveries, and what is remembered of those that went wrong.
//
//   if (observers.wants(Step::done)) observers.note({.step = Step::done, .id = id});
//
// Nobody watches at first: then only what is out of the ordinary is noted, and remembered, on paths
// that are slow anyway. While somebody does, the invoker's fast paths are closed, and every step
// comes here.
//
// Threads: any.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <wisp/base/agent.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/base/park.hpp>
#include <wisp/service/record.hpp>

namespace wisp::inline v0::detail {

struct Observer {
  RecordSink sink;
  // Threads inside of the sink. The Observers' mutex guards both.
  std::vector<AgentId> inside;
  std::vector<Parker*> waiting;
};

class Observers {
 public:
  // The oldest step makes room for one more; explain() says so.
  static constexpr std::size_t kRemembered = 4096;
  static constexpr std::size_t kObserversMax = 16;

  explicit Observers(Clock& clock) : clock_(clock) {}

  // False: there are kObserversMax.
  bool add(const std::shared_ptr<Observer>& observer);
  // Returns once no other thread is inside of its sink.
  void remove(const std::shared_ptr<Observer>& observer);
  // Relaxed: an observer sees what begins after it came.
  bool any() const { return any_.load(std::memory_order_relaxed); }

  static bool ordinary(Step step) {
    return step <= Step::ended && step != Step::refused ? true : step == Step::done;
  }
  bool wants(Step step) const { return !ordinary(step) || any(); }
  // Fills in the time. Requires: no lock is held.
  void note(Record record);

  // What is remembered of `id`, a line for each step; "" if nothing is.
  std::string story(EventId id) const;
  // Steps that made room for later ones.
  std::uint64_t forgotten() const;

 private:
  struct Remembered {
    Step step{};
    WallTime wall;
    EventId id;
    int attempt = 0;
    Outcome outcome{};
    Duration wall_time{};
    Duration wait{};  // until the next attempt
    std::string function;
    std::string topic;
    Status error;
  };
  static std::string line(const Remembered& step);
  void remember(const Record& record, WallTime wall) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock& clock_;
  std::atomic<bool> any_{false};
  mutable Mutex mutex_;
  std::vector<std::shared_ptr<Observer>> observers_ ABSL_GUARDED_BY(mutex_);
  // A ring, grown once: a step takes over the strings of the one that it replaces.
  std::vector<Remembered> steps_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t noted_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace wisp::inline v0::detail
