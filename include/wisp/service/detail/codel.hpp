// Whether a call that has waited in a queue is still worth running.
//
//   if (codel.sheds(wait, now)) refuse(call);       // when it is taken from the queue
//
// A queue that empties now and then is good: it takes up bursts. One in which each call has waited
// longer than `kTarget` for a whole `kInterval` is a standing queue: it costs each call its wait
// and serves nobody, since in the end as many are served as without it. From then on calls are
// shed, until one comes that has waited for less than the target:
//   - one by one, the n-th at kInterval / sqrt(n) after the one before, so that more and more go
//     while the queue stands;
//   - each that has waited longer than twice the target, so that the queue is short at once,
//     however many more come than can be served. The law above alone is made for senders that slow
//     down when they lose something; ours need not.
// Sources: Nichols and Jacobson, "Controlling Queue Delay", ACM Queue (2012), and RFC 8289, of
// which the law is; Maurer, "Fail at Scale", ACM Queue (2015), and folly::Codel for the second
// rule.
//
// Threads: any.
#pragma once

#include <cstdint>

#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>

namespace wisp::inline v0::detail {

class Codel {
 public:
  static constexpr Duration kTarget = std::chrono::milliseconds(5);
  static constexpr Duration kInterval = std::chrono::milliseconds(100);

  // Of a call that is taken now, after having waited for so long. Times never go back.
  bool sheds(Duration wait, Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  std::uint64_t shed() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Whether all have waited for too long, for too long.
  bool standing(Duration wait, Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void begin(Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static Duration law(std::uint64_t count);

  mutable BriefMutex mutex_;
  // When the queue counts as standing; never: its last call had not waited for too long.
  Time standing_at_ ABSL_GUARDED_BY(mutex_) = Time::never();
  bool shedding_ ABSL_GUARDED_BY(mutex_) = false;
  Time next_ ABSL_GUARDED_BY(mutex_);                // by the law
  std::uint64_t count_ ABSL_GUARDED_BY(mutex_) = 0;  // by the law, since shedding began
  std::uint64_t last_count_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t shed_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace wisp::inline v0::detail
