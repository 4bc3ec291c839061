// Deliveries that came to no good end and had no dead-letter topic.
//
//   for (const wisp::DeadLetter& letter : runtime.dead_letters().list())
//     fmt::print("{}: {}\n", letter.function, wisp::message(letter.error));
//   int accepted = runtime.dead_letters().redrive(100);
//
// Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/model/event.hpp>
#include <wisp/service/detail/rate.hpp>

namespace wisp::inline v0 {

struct DeadLetter {
  std::shared_ptr<const Event> event;  // shared with other deliveries of it; immutable
  std::string function;
  Status error;
  int attempts = 0;
  bool expired = false;  // older than kAgeMax, rather than out of attempts
};

class DeadLetters {
 public:
  // The oldest letters make room for one more; forgotten() counts those.
  static constexpr std::size_t kLettersMax = 1024;
  // Payload::bytes() of them all, each as if its payload were its own. One always fits.
  static constexpr std::size_t kBytesMax = std::size_t{64} * 1024 * 1024;
  // The redrives of a second, and of a moment after a quiet one.
  static constexpr int kRedrivesPerSecond = 100;

  explicit DeadLetters(Clock& clock = Clock::system()) : clock_(clock) {}

  std::vector<DeadLetter> list() const;
  std::size_t size() const;
  std::uint64_t forgotten() const;
  void clear();

  // Delivers up to `count` of the oldest letters anew, each to the function that failed, with all
  // its attempts; the event, its id and its key are what they were, and who comes again with its
  // idempotency key still gets that id. At most kRedrivesPerSecond, so that what comes back does
  // not fall upon who has just recovered: call again for the rest. One that is refused stays in its
  // place: its subscription has ended, its queue is full, its payload is of another type, or the
  // runtime stops. Returns how many were accepted.
  int redrive(int count);

  // Wisp's own. `again` delivers the letter's event anew.
  using Again = std::function<Status(const std::shared_ptr<const Event>&)>;
  void add(DeadLetter letter, Again again);

 private:
  struct Entry {
    DeadLetter letter;
    Again again;
    std::size_t bytes = 0;  // of the payload
  };
  // Whether so many bytes more have no room.
  bool full(std::size_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Entry take_oldest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock& clock_;
  mutable Mutex mutex_;
  detail::Rate rate_{kRedrivesPerSecond};
  std::deque<Entry> letters_ ABSL_GUARDED_BY(mutex_);
  std::size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t forgotten_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace wisp::inline v0
