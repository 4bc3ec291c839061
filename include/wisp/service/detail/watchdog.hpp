// Who reports handlers that outlive their deadline.
//
//   watchdog.begins(mark, frame.deadline.at());   // the handler's mark is in place
//
// Cancellation is cooperative, and a handler that takes no notice holds its worker. Once it is
// kLateAfter past its deadline it is reported, once: in the log, to observers, in its function's
// counts; and its worker is set aside, so that the pool puts another one in its place, and its
// token lent, so that there is something to run. That may take kLook longer. There is a timer only
// while something with a deadline runs. What runs on its caller's own thread is not watched.
//
// Threads: any.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

#include <wisp/base/clock.hpp>

namespace wisp::inline v0::detail {

class Invoker;
struct FunctionState;
struct Running;

class Watchdog {
 public:
  static constexpr Duration kLateAfter = std::chrono::milliseconds(100);
  // Between looks while something with a deadline runs.
  static constexpr Duration kLook = std::chrono::seconds(1);
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  explicit Watchdog(Invoker& invoker) : invoker_(invoker) {}

  // Requires: others can see the mark.
  void begins(Running& mark, Time deadline);

 private:
  struct Late;

  void arm(Time at);
  void look();
  void report(const std::vector<Late>& late);

  Invoker& invoker_;
  // Whether a look is to come. Sequentially consistent with the marks' deadlines: either the look
  // sees the deadline, or who wrote it sees that there is no look to come.
  std::atomic<bool> armed_{false};
};

}  // namespace wisp::inline v0::detail
