// The rules that a function or a subscription sets for its calls: retries, limits, queues,
// delivery.
//
//   WISP_FUNCTION(charge, .timeout = 2s, .retry = {.attempts = 3}, .limits = {.concurrency = 8}) =
//       [](const Order& order) -> wisp::Status { ... };
//   auto paid = runtime.on("orders.*")
//       .deliver({.attempts = 5, .dead_letter = "orders.failed", .serial = true})
//       .to(charge);
//
// Fields are set by designated initialisers; new ones are only ever appended.
//
// Threads: value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <wisp/base/clock.hpp>
#include <wisp/base/random.hpp>
#include <wisp/base/status.hpp>

namespace wisp::inline v0 {

// An event may cause another, that one a third, up to this many. Beyond it emit refuses: AWS
// Lambda's loop detection stops at 16 too. Plain calls and posts between functions carry the count
// on without adding to it.
inline constexpr int kHopsMax = 16;

// An accepted delivery that has not come to an end after this long is dead-lettered as expired. The
// age is looked at when an attempt would begin: what waits for a slot of its function, for the end
// of a pause or for its turn under a rate comes to its end only after that.
inline constexpr Duration kAgeMax = std::chrono::hours(6);

// Attempts where neither the subscription nor the function says.
inline constexpr int kAttemptsOfEvents = 5;
inline constexpr int kAttemptsOfCalls = 1;
inline constexpr int kAttemptsMax = 1000;

struct Retry {
  std::optional<int> attempts{};  // in all, the first included; 1 to kAttemptsMax
  Duration first_delay = std::chrono::milliseconds(200);
  Duration max_delay = std::chrono::seconds(60);
};

// An error that asks the next attempt to stay away for `wait`, as Retry-After of HTTP does: from a
// handler, its retry begins that much later, see retry_delay(). From 0 to kRetryAfterMax; what is
// beyond counts as that: often another server asks for it, and a delivery that waits has a place in
// its queue, or holds up what comes behind it. Requires: an error.
Status with_retry_after(Status error, Duration wait);
std::optional<Duration> retry_after_of(const Status& status);
inline constexpr Duration kRetryAfterMax = std::chrono::minutes(10);

// Before attempt `attempt` + 1, once `attempt` of them (>= 1) have failed: uniform in [0,
// min(max_delay, first_delay * 2^(attempt - 1))]. Source: Brooker, "Exponential Backoff And
// Jitter", AWS Architecture Blog (2015).
Duration backoff(const Retry& retry, int attempt, Random& random);

// What the error asks for, and backoff() on top, so that all those who were told the same do not
// come back at once. A delivery waits for it. A call, for which somebody waits, ends with the error
// where that asks for more than retry.max_delay.
Duration retry_delay(const Retry& retry, int attempt, const Status& error, Random& random);

// Whether another attempt can mend an error of this code: kUnavailable, kDeadlineExceeded,
// kAborted, kInternal and kResourceExhausted.
bool retryable(StatusCode code);

struct Limits {
  // Calls inside the handler at once; 0: unlimited. Beyond it calls and starts are refused at once
  // (Reason::limit), and so is a synchronous delivery, which is a dead letter then; posts and other
  // deliveries wait for a slot, however long: see kAgeMax. A call that is tried again keeps its
  // slot until then, a delivery takes one for each attempt.
  int concurrency = 0;
  // So many of the runtime's workers are kept for this function, and it gets no more; 0 switches it
  // off: its calls are refused, its events wait. Known when the Runtime starts. Once one function
  // has a reservation, the calls of those without share the rest; one that a handler makes takes a
  // place beside its caller's.
  std::optional<int> reserved{};
  // Calls and attempts of deliveries that begin, on average; a second's worth of them, one at
  // least, may come at once. Beyond it calls and starts are refused (Reason::rate), what is queued
  // waits. Retries of a call and halves of a batch are part of it. A start counts when it is
  // accepted, so that those which wait for a worker may begin together; one that ends before it has
  // begun gives back what of its token has not come again. 0: unlimited; else kRateMin to kRateMax.
  double per_second = 0;
};

inline constexpr double kRateMin = 1e-6;
inline constexpr double kRateMax = 1e6;

// What a bounded queue does with a delivery that finds it full.
enum class Overflow : std::uint8_t {
  reject,       // the publisher is refused: kResourceExhausted, Reason::full
  block,        // the publisher waits, at most kBlockMax and its deadline, then is refused
  drop_oldest,  // the oldest queued delivery that never began is dropped and counted
  drop_newest,  // this delivery is dropped and counted
  // The oldest queued delivery of the same CallOptions::key is dropped and counted, and this one
  // has its place; where there is none, or no key, the publisher is refused as by reject.
  coalesce,
};

inline constexpr Duration kBlockMax = std::chrono::seconds(30);

struct Queue {
  int count = 65'536;  // queued deliveries; 1 or more
  std::size_t bytes =
      64 * 1024 * 1024;  // Payload::bytes() of those; one delivery always fits an empty queue
  Overflow act = Overflow::reject;
};

// How a subscription whose handler takes a Batch gathers deliveries: it is called once `size` of
// them wait, each of another CallOptions::key, or the oldest has waited for `window`, with those
// that are there. In a queue that coalesces, a delivery has waited for as long as what it replaced.
// A runtime that is being stopped does not wait for more.
struct Batching {
  int size = 0;       // at most so many at once, kBatchMax and queue.count; 0: kBatchSize, or less
  Duration window{};  // at most kWindowMax; 0: what is there
};

inline constexpr int kBatchSize = 100;
inline constexpr int kBatchMax = 10'000;
inline constexpr Duration kWindowMax = std::chrono::seconds(300);

struct Delivery {
  std::optional<int> attempts{};   // unset: the function's; unset there too: kAttemptsOfEvents
  std::string_view dead_letter{};  // a topic; else Runtime::dead_letters()
  bool serial = false;             // one at a time, in each publisher's order; or one batch
  bool synchronous = false;        // on the publisher's thread, inside emit, one attempt
  Queue queue{};                   // of this subscription
  Batching batch{};                // where the handler takes a Batch, and only there
};

// What a schedule does with a firing that finds the last one still on its way, its retries
// included.
enum class Overlap : std::uint8_t {
  allow,      // they run beside each other
  forbid,     // it is skipped and counted
  replace,    // the last one is asked to stop, tried no more, and followed as soon as it has ended
  queue_one,  // it follows the last one; where one does already, it is skipped and counted
};

// A firing is missed if it comes later than this, or when the next one is due already: the process
// was stopped or, of one by the wall clock, that was set or went on while the machine slept.
inline constexpr Duration kMissedAfter = std::chrono::minutes(1);

struct Firing {
  Overlap overlap = Overlap::forbid;
  // Of several firings that are due at once the latest so many run, one after the other, unless
  // they may overlap; the others were missed, and are counted. One that is not late runs in any
  // case. At most kMakeUpMax.
  int make_up = 1;
  // Each firing is put off by a random time up to this, and less than up to the next one's. At most
  // kJitterMax.
  Duration jitter{};
};

inline constexpr int kMakeUpMax = 1'000;
inline constexpr Duration kJitterMax = std::chrono::hours(24);

// Bytes of a CallOptions::key.
inline constexpr std::size_t kKeyMax = 256;

// Whose work a free thread takes first. While something waits in a lane, nothing of the lanes below
// begins, however long it has waited: what must not wait for ever in Lane::background has a
// deadline, or expires. What runs is not interrupted.
enum class Lane : std::uint8_t {
  urgent,  // a game's tick, a control loop: short, and rare enough to leave room for others
  normal,
  background,  // when nothing else waits; shadows too
};

inline constexpr std::size_t kLanes = 3;

// How a function's run and CPU time are taken.
enum class Meter : std::uint8_t {
  // Every call counted, one in 16 timed; the rest estimated from those. In a row of synchronous
  // deliveries of an event all are timed, as one, or none.
  sampled,
  batched,  // every call timed by the cycle counter, CPU read per batch and shared out by cycles
  exact,    // the thread's CPU clock read before and after each call
};

// How many objects of a stateful function there are, and for how long; see stateful.hpp.
struct Instances {
  // Built before the first call can begin, and kept however idle they are; 0 to kProvisionedMax. An
  // add to a registry fails with the factory's error.
  int provisioned = 0;
  // A concurrency limit as Limits::concurrency, of which the smaller holds; 0: unlimited.
  int max = 0;
  Duration keep_alive = std::chrono::minutes(10);  // of one that is idle, before it is destroyed
  // While no call is inside, the last one is kept for when a call is likely, going by how long the
  // function was idle before, and built ahead of it: keep_alive::Predictive. It is freed for no
  // less than `keep_alive`, and kept for so long the first two times. Of no use beside provisioned
  // ones.
  bool predictive = false;
};

inline constexpr int kProvisionedMax = 10'000;

struct FunctionOptions {
  std::string_view name{};  // else the macro's identifier; dotted lower-case identifiers
  Duration timeout{};       // of each attempt; 0: none but the parent's
  Retry retry{};
  Limits limits{};
  int memory_mb = 128;  // what GB-second tariffs price; 1 to 1,048,576
  Meter meter = Meter::batched;
  bool pool_only = false;  // Pending::wait may not run it on the waiting thread
  Instances instances{};   // of a stateful function
  // Of its starts, posts and deliveries. Other than normal: known when the Runtime starts.
  Lane lane = Lane::normal;
};

// Why these options, or this name, cannot be; ok if they can. `what` names the owner in the
// message.
Status check(const FunctionOptions& options, std::string_view what);
Status check(const Delivery& delivery, std::string_view what);
Status check(const Queue& queue, std::string_view what);
Status check(const Firing& firing, std::string_view what);
Status check_function_name(std::string_view name);
Status check_key(std::string_view key);

}  // namespace wisp::inline v0
