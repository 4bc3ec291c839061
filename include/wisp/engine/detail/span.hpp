// The stopwatch around each handler. See ledger.hpp.
//
// What a warm call passes through is inline here, and its rare turns (another second, a long
// handler, a gap) each hide behind one comparison of ticks.
//
// Threads: a Span belongs to the thread that it was made on.
#pragma once

#include <algorithm>
#include <cstdint>

#include <wisp/engine/detail/shard.hpp>
#include <wisp/engine/meter.hpp>
#include <wisp/model/policy.hpp>

namespace wisp::inline v0::detail {

// A handler's stay on this thread. Spans nest as calls do.
class Span {
 public:
  // Requires: shard is the calling thread's.
  Span(Shard& shard, int line, Meter mode) : Span(shard, shard.cell(line), mode) {}
  Span(Shard& shard, Cell& cell, Meter mode)
      : shard_(shard),
        cell_(cell),
        mode_(mode),
        // Timed in a borrowed shard, which is given back once no handler that is timed is left.
        timed_(mode != Meter::sampled || cell_.untimed == 0 || !shard.lasting()) {
    if (timed_) begin();
    else --cell_.untimed;
  }
  // If `follows`, begins where the last one ended, with that one's reading. Requires:
  // Meter::batched, and then that the thread has done next to nothing since.
  Span(Shard& shard, Cell& cell, Meter mode, bool follows)
      : shard_(shard), cell_(cell), mode_(mode), timed_(true), weight_(1) {
    if (follows) follow();
    else begin();
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

  struct Taken {
    std::uint64_t wall_ns = 0;
    std::uint64_t cpu_ns = 0;
    Quality wall_quality = Quality::measured;
    Quality cpu_quality = Quality::estimated;
    bool timed = false;
    Allocations allocated{};
    unsigned weight = 1;  // calls that a sampled one stands for: those since the last, and itself
  };
  // Ends the stay. Once, and before an outer span ends.
  Taken end();
  // Without the rest of what it took. Requires: timed.
  std::uint64_t end_for_wall_ns() {
    Used used;
    return stop(used);
  }

  // Ends it where nothing was out of the ordinary, which is next to nothing to do: what it took, at
  // least 1 ns. Else 0, and it goes on.
  std::uint64_t end_briefly() {
    if (!plain_) return 0;  // before a reading in vain
    const std::uint64_t end = shard_.ticks_.now();
    const std::uint64_t wall_ns = count_briefly(end);
    if (wall_ns != 0) [[likely]]
      leave(end, wall_ns);
    return wall_ns;
  }
  // The same, and begins the next one of the same line with the same reading.
  std::uint64_t next_briefly() {
    if (!plain_) return 0;
    const std::uint64_t end = shard_.ticks_.now();
    const std::uint64_t wall_ns = count_briefly(end);
    if (wall_ns == 0) [[unlikely]]
      return 0;
    if (parent_ != nullptr) [[unlikely]]
      parent_->nested_ns_ += wall_ns;
    start_ = segment_ = end;
    return wall_ns;
  }

  // Ends it, and begins the next one of the same line with the same reading. What it took.
  // Requires: Meter::batched.
  std::uint64_t next() {
    Used used;
    const std::uint64_t wall_ns = stop(used);
    follow();
    return wall_ns;
  }
  // The same for one with a receipt.
  Taken next_taken() {
    if (const std::uint64_t wall_ns = next_briefly(); wall_ns != 0) [[likely]]
      return {.wall_ns = wall_ns, .cpu_ns = wall_ns, .timed = true};
    Used used;
    const std::uint64_t wall_ns = stop(used);
    const Allocations own = allocated();  // the next one's begin where they end
    follow();
    return {.wall_ns = wall_ns,
            .cpu_ns = used.cpu_ns,
            .cpu_quality = used.measured ? Quality::measured : Quality::estimated,
            .timed = true,
            .allocated = own};
  }
  // Ends that of calls in a row, each counted as untimed since it ended. What all took.
  // Requires: Meter::sampled, timed.
  std::uint64_t end_row(std::uint64_t calls, std::uint64_t weight);
  // Ends it as if it had not begun: what was allocated since is no call's.
  void abandon() {
    if (!timed_) return;
    watch_ = static_cast<std::uint8_t>(watch_ & ~kAllocations);
    (void)end_for_wall_ns();
  }
  // In ticks; of a call that is not timed the time now.
  std::uint64_t started() const { return timed_ ? start_ : shard_.ticks_.now(); }

  // Ends that of a sampled call that is not timed: as the last timed one, also for whoever called
  // it.
  void end_untimed() {
    const std::uint64_t usual = cell_.usual_ticks.load(std::memory_order_relaxed);
    shard_.add_segment(cell_, usual);
    (shard_.top_ != nullptr ? shard_.top_->segment_ : shard_.last_end_) += usual;
    cell_.opened.store(cell_.opened.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  bool timed() const { return timed_; }
  unsigned weight() const { return weight_; }
  Cell& cell() const { return cell_; }

 private:
  struct Used {
    std::uint64_t cpu_ns = 0;
    bool measured = false;
  };
  void begin();
  void follow();
  std::uint64_t stop(Used& used);
  void leave(std::uint64_t at, std::uint64_t cpu_ns);
  // That the handler was short and called no other, that nobody asks for its CPU or what it has
  // allocated, and that its cell is listed where one that has grown must be: then it is counted as
  // stop() would, up to `end`. 0: it was not so, and nothing is done. Requires: plain_.
  std::uint64_t count_briefly(std::uint64_t end) {
    const std::uint64_t own = end - start_;  // huge if the counter went back
    const std::uint64_t batch = shard_.batch_ticks_ + own;
    if (segment_ != start_ || own > shard_.long_ticks_ || batch > shard_.batch_max_ ||
        end >= shard_.flush_at_ || !cell_.in_batch || !cell_.touched) [[unlikely]]
      return 0;
    shard_.batch_ticks_ = batch;
    cell_.open_ticks.store(cell_.open_ticks.load(std::memory_order_relaxed) + own,
                           std::memory_order_relaxed);
    return std::max(shard_.ticks_.to_ns(own), shard_.ticks_.least_ns());
  }
  void sample();
  void sampled(std::uint64_t calls, std::uint64_t weight);
  void turn_second();  // the calls before belong to the last one
  void begin_watched(bool away);
  void end_watched(bool lasted, Used& used);
  bool close_late(std::uint64_t own);
  // Once it has ended.
  Allocations allocated() const {
    if ((watch_ & kAllocations) == 0) return {};
    return {allocations_, allocated_bytes_};
  }

  // Counts what this handler itself did since its start, or since the call that it made came back.
  // True if the CPU was read, which takes its time.
  bool close_segment(std::uint64_t now) {
    const std::uint64_t own = ticks_between(segment_, now);
    if (own > shard_.long_ticks_) [[unlikely]]
      return close_late(own);
    shard_.add_segment(cell_, own);
    own_ticks_ += own;
    return false;
  }

  Shard& shard_;
  Cell& cell_;
  const Meter mode_;
  const bool timed_;
  // Set in begin(): an untimed call has none of these, and is to cost next to nothing.
  std::uint8_t watch_;  // of Watch
  bool plain_;          // of the batched meter, with no watch, in a shard that lasts
  unsigned weight_;
  Span* parent_;
  std::uint64_t start_;
  std::uint64_t segment_;    // where the current own segment began
  std::uint64_t own_ticks_;  // of CPU, in the segments before
  std::uint64_t nested_ns_;  // CPU of the calls that it made
  std::uint64_t cpu_start_ns_;
  std::uint64_t allocations_;  // of this thread when it began, then its own; as the next
  std::uint64_t allocated_bytes_;
  std::uint64_t passed_ns_;  // of the sampled meter: since the last timed call
};

inline void Span::begin() {
  start_ = shard_.ticks_.now();
  weight_ = 1;
  own_ticks_ = nested_ns_ = 0;
  if (mode_ == Meter::sampled) sample();
  parent_ = shard_.top_;
  if (start_ >= shard_.flush_at_) [[unlikely]]
    turn_second();
  bool away = false;
  if (parent_ != nullptr) {
    if (parent_->close_segment(start_)) start_ = shard_.ticks_.now();
  } else {
    const std::uint64_t gap = ticks_between(shard_.last_end_, start_);
    shard_.gap_ticks_ += gap;
    away = gap > shard_.away_ticks_;
    shard_.inside_.store(true, std::memory_order_relaxed);
  }
  shard_.top_ = this;
  watch_ = cell_.watch;
  if (mode_ == Meter::exact) watch_ |= kThreadClock;
  plain_ = watch_ == kTicks && mode_ == Meter::batched && shard_.lasting();
  if (watch_ != kTicks || away) [[unlikely]]
    begin_watched(away);
  segment_ = start_;
}

inline void Span::follow() {
  parent_ = shard_.top_;
  start_ = segment_ = parent_ != nullptr ? parent_->segment_ : shard_.last_end_;
  own_ticks_ = nested_ns_ = 0;
  shard_.top_ = this;
  if (parent_ == nullptr) shard_.inside_.store(true, std::memory_order_relaxed);
  watch_ = cell_.watch;
  plain_ = watch_ == kTicks && shard_.lasting();
  if (watch_ != kTicks) [[unlikely]] {
    begin_watched(false);
    segment_ = start_;
  }
}

inline std::uint64_t Span::stop(Used& used) {
  const Ticks& ticks = shard_.ticks_;
  // First of all: what follows may allocate too.
  if ((watch_ & kAllocations) != 0) [[unlikely]] {
    allocations_ = thread_allocations.count - allocations_;
    allocated_bytes_ = thread_allocations.bytes - allocated_bytes_;
  }
  const std::uint64_t end = std::max(ticks.now(), start_);
  // At least 1 ns: between two ticks of a slow counter nothing passes, and sheets round up.
  const std::uint64_t wall_ns = std::max(ticks.to_ns(end - start_), ticks.least_ns());
  used = {wall_ns, false};
  // A call belongs to the second that it ends in.
  if (end >= shard_.flush_at_) [[unlikely]]
    shard_.flush();
  bool read = close_segment(end);
  if (!read && ((watch_ & kThreadClock) != 0 || shard_.batch_ticks_ > shard_.batch_max_))
      [[unlikely]] {
    shard_.read_cpu();
    read = true;
  }
  const bool lasted = end - start_ > shard_.long_ticks_;
  if (lasted || watch_ != kTicks) [[unlikely]]
    end_watched(lasted, used);
  if (mode_ == Meter::sampled) {
    cell_.usual_ticks.store(own_ticks_, std::memory_order_relaxed);
    // All that wait for the next timed one are no gap worth a reading of the CPU.
    cell_.brief = own_ticks_ * kUntimed <= shard_.away_ticks_;
    // Only now: of calls within each other each would stand for those that waited before.
    weight_ = static_cast<unsigned>(cell_.waiting() + 1);
  }
  leave(read ? ticks.now() : end, used.cpu_ns);
  return wall_ns;
}

inline void Span::leave(std::uint64_t at, std::uint64_t cpu_ns) {
  shard_.top_ = parent_;
  if (parent_ != nullptr) [[unlikely]] {
    parent_->segment_ = at;
    parent_->nested_ns_ += cpu_ns;
  } else {
    shard_.last_end_ = at;
    shard_.inside_.store(false, std::memory_order_relaxed);
  }
}

// What a finished attempt adds to its line.
struct Attempt {
  Span::Taken taken;
  bool first = true;  // of its call
  bool failed = false;
  bool waited = false;
  std::uint64_t wait_ns = 0;
};

}  // namespace wisp::inline v0::detail
