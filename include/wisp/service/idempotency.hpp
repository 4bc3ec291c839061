// Idempotency keys: a call, post or emit that is sent again is not done again.
//
//   auto receipt = runtime.call(charge, order, {.idempotency_key = order.id});
//   auto again = runtime.call(charge, order, {.idempotency_key = order.id});   // the same receipt
//
// A key belongs to a function's name, for call, start and post, or to an emit's topic. The first
// caller of a key holds it and runs. Whoever comes with the same key meanwhile waits for the
// holder's end: in call, post and emit on its own thread, no longer than its deadline; a started
// call takes no thread for it. Whoever comes later gets what is remembered, and nothing runs:
//   call, start  the result, if it was ok. An error is given to those that wait at that moment and
//                then forgotten, so that the next caller tries again. So is the end of a call that
//                was cancelled, refused or given up.
//   post, emit   the first's EventId, for what was accepted; nothing is delivered, and
//                EventStats::duplicates counts it. An emit that no subscription matched is
//                forgotten: once somebody subscribes, it can be sent again.
// A key is remembered for kIdempotencyWindow, from the holder's end on, in this process only, and
// within the bounds below: of what is remembered the oldest goes first, and is counted.
//
// A holder that has not come to its end by its call's deadline, or after kIdempotencyHolderMax if
// it has none, may have been lost: the next caller of its key, or one that waits and still has
// time, holds the key instead and runs. Should the late one come to an end after all, that is given
// to its own caller alone: what is remembered is the end of who holds the key then. A late ok
// result of a call with a deadline is none (kDeadlineExceeded), so two results are seen only where
// a call without a deadline took longer than kIdempotencyHolderMax.
//
// A handler that comes with the key that it runs under itself would wait for itself: refused with
// kFailedPrecondition. So is a key that a call and a post, or functions of different results,
// share, and one of more than kIdempotencyKeyMax bytes: kInvalidArgument. A function whose result
// cannot be copied has no keys: kUnimplemented. Its versions share their keys: what is remembered
// of one is given under another too.
//
// Threads: value.
#pragma once

#include <cstddef>
#include <cstdint>

#include <wisp/base/clock.hpp>

namespace wisp::inline v0 {

inline constexpr std::size_t kIdempotencyKeyMax = 256;  // bytes of a key
inline constexpr int kIdempotencyRowsMax = 65'536;
inline constexpr Duration kIdempotencyWindow = std::chrono::hours(24);
inline constexpr Duration kIdempotencyHolderMax = std::chrono::minutes(15);

// What a Runtime remembers. Where all rows are of keys whose holder has not come to its end, a new
// key is refused: kResourceExhausted, Reason::full.
struct Idempotency {
  int rows = kIdempotencyRowsMax;  // 1 or more
  std::size_t bytes =
      64 * 1024 * 1024;  // of keys and results; a larger result is forgotten at once
};

struct IdempotencyStats {
  std::uint64_t rows = 0;   // keys in progress or remembered; some that are over may be among them
  std::uint64_t bytes = 0;  // of those that are remembered
  std::uint64_t forgotten = 0;   // before their window was over, for want of room
  std::uint64_t taken_over = 0;  // from a holder that was late
};

}  // namespace wisp::inline v0
