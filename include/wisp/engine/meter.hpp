// What a call cost, and what all calls of a window cost.
//
//   auto pending = runtime.start(price_parcel, {1.0, "ES"});
//   const wisp::Receipt& receipt = pending.receipt();
//   fmt::print("{} ns, {}\n", receipt.wall.count(), receipt.cost);
//   for (const wisp::BillLine& line : runtime.bill(24h).lines)
//     fmt::print("{} {}\n", line.function, line.cost);
//
// Each figure has its quality beside it: a figure that nobody took reads unavailable, and its value
// means nothing.
//
// Threads: value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/id.hpp>
#include <wisp/base/money.hpp>
#include <wisp/engine/metrics.hpp>
#include <wisp/model/tariff.hpp>

namespace wisp::inline v0 {

enum class Quality : std::uint8_t { unavailable, estimated, measured };

std::string_view to_string(Quality quality);

// How a call or an attempt ended.
enum class Outcome : std::uint8_t { ok, error, threw, timed_out, cancelled, rejected };

std::string_view to_string(Outcome outcome);

// One call, all attempts together.
struct Receipt {
  std::string function;
  int version = 0;
  EventId event{};
  int attempts = 0;  // that entered the handler
  Outcome outcome = Outcome::rejected;

  // From acceptance to the first attempt.
  Duration queued{};
  Quality queued_quality = Quality::unavailable;
  // Inside the handler, calls that it made and waited for included.
  Duration wall{};
  Quality wall_quality = Quality::unavailable;
  // CPU of the handler's thread in that time. Measured where the thread's clock was read at both
  // ends; estimated where a short call ran within a batch: its wall time.
  Duration cpu{};
  Quality cpu_quality = Quality::unavailable;
  // Input: its size and the text in its fields.
  std::uint64_t bytes_in = 0;
  Quality bytes_in_quality = Quality::unavailable;
  // On the handler's thread, inside it, nested calls included. Measured in programs that link
  // wisp::alloc_meter.
  std::uint64_t allocations = 0;
  std::uint64_t allocated_bytes = 0;
  Quality allocations_quality = Quality::unavailable;
  // The marginal price of this call at the tariff's first tier: at best an estimate of its share of
  // a bill.
  Money cost{};
  Quality cost_quality = Quality::unavailable;
  // Of a stateful function's call that found no idle instance: what building one took, all attempts
  // together. Part of `wall`, `cpu` and what follows.
  bool cold = false;
  Duration init{};
  Quality init_quality = Quality::unavailable;
};

// Everything that one function cost for one tenant and tag.
struct BillLine {
  std::string function;
  int version = 1;
  std::string tenant;
  std::string tag;
  std::uint64_t calls = 0;     // that entered a handler
  std::uint64_t attempts = 0;  // entries into the handler: what clouds price as requests
  std::uint64_t errors = 0;    // attempts that did not end ok
  Duration wall{};
  Duration cpu{};  // without that of nested calls, which have their own lines
  Quality cpu_quality = Quality::unavailable;
  Money cost{};
  Quality cost_quality = Quality::unavailable;
  // With those of nested calls, as `wall`.
  std::uint64_t allocations = 0;
  std::uint64_t allocated_bytes = 0;
  Quality allocations_quality = Quality::unavailable;
};

// A window's costs. Covers every call whose wait() or call() has returned; but of a sampled
// function up to 15 calls of a thread, after a pause, may be counted with the burst before it. The
// lines' costs sum to the total exactly, and their CPU, `unattributed` and `host` together are the
// process's: each is taken on its own, none is the remainder.
struct Bill {
  std::string tariff;  // its name; "" without one
  // What the buckets really cover: 61 of a second, 1,440 of a minute, 768 of an hour. They are
  // counted whole: it may be longer than what was asked for, by less than a minute beyond 60
  // seconds and less than an hour beyond a day, and bills that follow each other overlap by that.
  Duration window{};
  std::vector<BillLine> lines;  // by function, tenant, tag
  Money total{};
  Quality total_quality = Quality::unavailable;  // the least of the lines'
  Units units{};                                 // what the tariff bills, all lines together

  // CPU of wisp's own threads outside of handlers. A thread that runs handlers tells each second
  // what it has used, others are looked at by each bill, and what is new then counts as of that
  // moment: estimated for a window whose beginning no bill has looked at, see `host`.
  Duration unattributed{};
  Quality unattributed_quality = Quality::unavailable;
  // CPU of the process's threads that wisp did not start, less the handlers that ran on them.
  // Threads that ended in the window are missing. Unavailable for a window whose beginning no bill
  // has looked at, of the last 256 that were a second apart: the first one of a window shorter than
  // the runtime's life, and a long one where short ones are frequent.
  Duration host{};
  Quality host_quality = Quality::unavailable;
};

// One function's totals since the Runtime began, over tenants and tags.
//
// Of a function with several versions the first one's row has what is counted of all together:
// accepted, queued, running, retries, dead, late, and how errors came about.
struct FunctionStats {
  std::string name;
  int version = 1;
  std::uint64_t calls = 0;
  std::uint64_t attempts = 0;
  std::uint64_t errors = 0;
  // Of attempts, in nanoseconds: how long they waited for a worker, and how long they took. Of the
  // sampled meter those that were timed.
  Histogram::Snapshot wait;
  Histogram::Snapshot run;
  Duration cpu{};
  // Calls and deliveries that were taken in. Each is seen once at most: a delivery while it waits,
  // runs, or has ended its first attempt, and on its way from one to the next perhaps not; a
  // started call once it has begun, a direct one once it has ended its first attempt.
  std::uint64_t accepted = 0;
  // Deliveries that wait for a worker or, before their first attempt, for a slot of the limit.
  std::int64_t queued = 0;
  std::int64_t running = 0;  // started calls and deliveries inside the handler; a batch is one
  std::uint64_t retries = 0;
  std::uint64_t retries_withheld = 0;  // refused to a call, or put off for a delivery: the budget
  std::uint64_t dead = 0;  // deliveries that came to a bad end, expired or dropped ones too
  // Of the errors, by how they came about; the others are what the handler returned.
  std::uint64_t threw = 0;
  std::uint64_t timed_out = 0;
  std::uint64_t cancelled = 0;
  // Started calls and deliveries that did not come back by their deadline, while they were inside.
  std::uint64_t late = 0;
  // Instances that a call had to build; without the provisioned ones.
  std::uint64_t cold_starts = 0;
  std::uint64_t built_ahead = 0;  // before the calls that Instances::predictive foresaw
  // Of a version that is the shadow of others, see Registry::shadow(): attempts that it ran again,
  // and those of them that it ended otherwise. Where the result is known, which it is not of posts
  // and events, the values and the codes of errors are compared, else whether it went well. And
  // those that it left out: over kShadowsMax were on their way, the function had no slot to spare,
  // the input could not be copied, or the runtime was about to stop.
  std::uint64_t shadowed = 0;
  std::uint64_t differed = 0;
  std::uint64_t shadow_skipped = 0;
};

// Of one version, between the end of an attempt and that of its shadow.
inline constexpr int kShadowsMax = 64;

}  // namespace wisp::inline v0
