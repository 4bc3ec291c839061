// Server-sent events: what the clients of a route follow.
//
//   Hub hub({.events = 1'000, .bytes = 1 << 20}, clock, epoch, lost);
//   hub.publish(R"({"id":4711})");                     // on any thread
//   auto stream = hub.follow(last_event_id, wake);     // one for each client
//
// Events are kept once, for all clients, as many as fit; a client is a place in them. So a slow
// one costs nothing, and what it missed when it is overtaken is counted and told to it. A client
// that comes again says the last id that it had, and goes on from there.
//
// Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
//
// Threads: any; a stream one-at-a-time.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/http/detail/stream.hpp>

#include "stream.hpp"

namespace wisp::inline v0::http {

// After this a comment is sent, so that a client that has gone is noticed, and nothing between
// takes the connection for idle.
inline constexpr Duration kHeartbeat = std::chrono::seconds(15);
// After this a stream ends, and a browser comes again by itself: with a credential that is still
// good, where it needs one.
inline constexpr Duration kFollowMax = std::chrono::minutes(15);

struct HubLimits {
  std::size_t events = 1'000;     // that are kept
  std::size_t bytes = 1'048'576;  // of those, as they are sent
};

struct HubCounts {
  std::atomic<std::int64_t> followers{0};
  std::atomic<std::uint64_t> events{0};
  std::atomic<std::uint64_t> lost{0};  // for one client each
};

class Hub final : public detail::EventSink, public std::enable_shared_from_this<Hub> {
 public:
  // `epoch`: other than that of a hub before this one whose clients may come again. Requires:
  // `clock` and `counts` outlive this.
  Hub(const HubLimits& limits, Clock& clock, std::uint64_t epoch, HubCounts& counts);

  void publish(std::string_view json) override;

  // From the event after `last_id`, the value of Last-Event-ID; from now on without one.
  std::shared_ptr<Stream> follow(std::optional<std::string_view> last_id,
                                 std::shared_ptr<Wake> wake);

 private:
  class Follower;
  // Where a client goes on, and whether it has missed what nobody can count.
  struct Place {
    std::uint64_t next = 0;
    bool unknown = false;
  };

  Place place_of(std::string_view id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const HubLimits limits_;
  Clock& clock_;
  const std::string epoch_;
  HubCounts& counts_;

  Mutex mutex_;  // nothing else is locked under it
  std::deque<std::string> kept_ ABSL_GUARDED_BY(mutex_);
  std::size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t next_ ABSL_GUARDED_BY(mutex_) = 1;  // of the event to come
  // One for each loop that has a client, at most as many as there are loops.
  std::vector<std::shared_ptr<Wake>> wakes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace wisp::inline v0::http
