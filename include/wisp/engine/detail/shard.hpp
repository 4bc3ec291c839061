// One thread's part of a ledger: its cells. See span.hpp for what fills them, ledger.hpp for the
// whole.
//
// Threads: a Shard belongs to the thread that it was made on; any thread reads cells.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <wisp/base/allocations.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/engine/detail/ticks.hpp>
#include <wisp/engine/meter.hpp>
#include <wisp/engine/metrics.hpp>
#include <wisp/model/policy.hpp>

namespace wisp::inline v0::detail {

// Lines a ledger holds. Beyond half of it, new tenants and tags of a function share its line
// without either; beyond all of it, new functions share the line kOthersLine. So do, beyond
// kUnnamedLinesMax, handlers that are called after a pattern or a schedule: a program may make some
// for each of its clients.
inline constexpr int kLinesMax = 16'384;
inline constexpr int kUnnamedLinesMax = 2'048;
inline constexpr int kOwnLine = 0;     // what wisp's threads spend outside of handlers
inline constexpr int kOthersLine = 1;  // "(others)"

// What a cell counts, so that a short call touches two words and an untimed one a single one: the
// rest is what is out of the ordinary. The last four are what attempts beyond their ordinary value
// (a first attempt; 1 ms; 100 ms at least; 100 ms) add, and what shorter ones lack, modulo 2^64.
enum class Count : int {
  attempts,  // in a cell those that are timed, in what it is read as all
  wall_ns,
  untimed,    // attempts of the sampled meter
  stood_for,  // of the untimed, those that a later timed one stood for
  cpu_ns,
  allocations,
  allocated_bytes,
  errors,
  retries,
  over_ms,
  over_ms_min,
  over_100ms
};
inline constexpr int kCounts = 12;
using Totals = std::array<std::uint64_t, kCounts>;
// The count of a Totals, const or not.
auto& at(auto& totals, Count count) { return totals[static_cast<std::size_t>(count)]; }

// How long a function's calls ran and waited on one thread, over tenants and tags.
struct Histograms {
  Histogram run;
  Histogram wait;
};

// What a timed call does besides reading ticks.
enum Watch : std::uint8_t {
  kTicks = 0,
  kThreadClock = 1,  // reads the thread's clock at both ends
  kAllocations = 2   // counts what the thread allocates between them
};

// One thread's counts of one line. What a warm call writes is one cache line.
struct alignas(64) Cell {
  explicit Cell(int number) : line(number) {}

  Histograms* histograms = nullptr;           // constant once made
  std::atomic<std::uint64_t> open_ticks{0};   // of handlers, whose CPU has not been shared out yet
  std::atomic<std::uint64_t> usual_ticks{0};  // its own CPU, of the last timed sampled one
  const int line;
  bool in_batch = false;  // listed in Shard::batch_
  bool touched = false;   // grew since the last flush
  std::uint8_t watch =    // of Watch; kThreadClock: the last timed call took over 50 µs
      alloc_meter_linked ? kAllocations : kTicks;
  bool brief = false;         // untimed ones may leave what they took to the next timed one
  std::uint32_t untimed = 0;  // of the sampled meter: calls until the next timed one
  std::array<std::atomic<std::uint64_t>, kCounts> totals{};
  std::uint64_t timed_at = 0;            // ticks, the start of the last timed sampled one
  std::atomic<std::uint64_t> opened{0};  // of the untimed, those whose ticks are in open_ticks
  Totals flushed{};                      // guarded by the ledger's mutex
  // Those of the function's own line are shared by its tenants and tags: they are large.
  std::unique_ptr<Histograms> own;

  std::atomic<std::uint64_t>& word(Count count) { return totals[static_cast<std::size_t>(count)]; }
  // Inlined by force: it is most of what an untimed call does.
  [[gnu::always_inline]] void add(Count count, std::uint64_t n) {
    auto& word = totals[static_cast<std::size_t>(count)];
    word.store(word.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::uint64_t count(Count count) const {
    return totals[static_cast<std::size_t>(count)].load(std::memory_order_relaxed);
  }

  std::uint64_t waiting() const { return count(Count::untimed) - count(Count::stood_for); }

  Totals read() const {
    Totals all{};
    for (std::size_t i = 0; i < kCounts; ++i) all[i] = totals[i].load(std::memory_order_relaxed);
    at(all, Count::attempts) += at(all, Count::untimed);
    return all;
  }
  // Of handlers, with those that are not in open_ticks yet.
  std::uint64_t open() const {
    const auto late =
        static_cast<std::int64_t>(count(Count::untimed) - opened.load(std::memory_order_relaxed));
    const std::uint64_t each = late > 0 ? usual_ticks.load(std::memory_order_relaxed) : 0;
    return open_ticks.load(std::memory_order_relaxed) + static_cast<std::uint64_t>(late) * each;
  }
};

// Of the sampled meter: so many calls for each timed one are not.
inline constexpr std::uint32_t kUntimed = 15;

class Ledger;
class Span;

// Reused by later threads of its kind once its own has ended.
class Shard {
 public:
  Shard(Ledger& ledger, bool wisp_thread);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // What the layer above runs on this thread, for a shutdown that has to give it up: any pointer,
  // valid until replaced. Returns the one before.
  void* set_running(void* running) {
    const MutexLock lock(running_mutex_);
    return std::exchange(running_, running);
  }

  // What the layer above must not lose while this thread is inside of it: any pointer, or null. One
  // at a time. The owner's.
  void mark(const void* used) { marked_.store(used, std::memory_order_relaxed); }
  void unmark() { marked_.store(nullptr, std::memory_order_release); }

  // Whether it stays this thread's until that ends, and not only until a handler has.
  bool lasting() const { return !borrowed_; }
  // Whether a handler that is timed runs.
  bool timing() const { return top_ != nullptr; }
  // Whether the next call, of the sampled meter, may be counted as untimed, and that is all: what
  // it takes is left to the next timed one.
  bool counts_only(const Cell& cell) const {
    return cell.untimed > 0 && cell.brief && !timing() && lasting();
  }

  Cell& cell(int line) {
    const auto number = static_cast<std::uint32_t>(line);
    const Page* page = pages_[number / kPage].load(std::memory_order_relaxed);
    if (page != nullptr) [[likely]] {
      Cell* found = page->cells[number % kPage].load(std::memory_order_relaxed);
      if (found != nullptr) [[likely]]
        return *found;
    }
    return make_cell(line);
  }

 private:
  friend class Ledger;
  friend class Span;
  static constexpr int kPage = 64;
  struct Page {
    std::array<std::atomic<Cell*>, kPage> cells{};
  };

  Cell& make_cell(int line);
  const Cell* peek(int line) const;  // null if this thread never used the line; any thread
  Cell& touch(Cell& cell) {
    // There is room: see make_cell().
    if (!std::exchange(cell.touched, true)) touched_.push_back(cell.line);
    return cell;
  }
  void add_segment(Cell& cell, std::uint64_t ticks) {
    if (!std::exchange(cell.in_batch, true)) batch_.push_back(cell.line);
    cell.open_ticks.store(cell.open_ticks.load(std::memory_order_relaxed) + ticks,
                          std::memory_order_relaxed);
    batch_ticks_ += ticks;
  }
  // Shares out the CPU since the last reading. The line of `late` ticks, a long segment, gets what
  // the batch and the gaps between its handlers leave; that is returned.
  std::uint64_t read_cpu(int late_line = 0, std::uint64_t late = 0);
  void flush();      // growth belongs to another second from now on
  void take_over();  // by the calling thread, which holds the ledger's mutex
  void let_go();     // by the thread that ends

  // Alive while a span or record is: the thread's last use of it comes before the ledger's end.
  Ledger& ledger_;
  const Ticks ticks_;
  const bool real_;         // CPU clocks are read
  const bool wisp_thread_;  // CPU outside of handlers is unattributed, not the host's
  bool borrowed_ = false;   // for this call: the thread has let go of its own
  int uses_ = 0;            // of a borrowed one: Ledger::Use
  // In ticks: a longer segment, gap or batch ends the batch.
  const std::uint64_t long_ticks_;
  const std::uint64_t away_ticks_;
  const std::uint64_t batch_max_;
  std::uint64_t batch_ticks_ = 0;
  std::uint64_t gap_ticks_ = 0;  // between the batch's handlers
  std::uint64_t last_end_ = 0;   // ticks, of the last handler
  std::uint64_t flush_at_ = 0;   // ticks
  Span* top_ = nullptr;
  std::vector<int> batch_;           // lines with open ticks
  std::vector<int> touched_;         // lines that grew since the last flush
  std::atomic<bool> inside_{false};  // a handler that is timed; as the four below
  std::size_t cells_ = 0;
  // Release by the owner, acquire by readers, as the cells within.
  std::array<std::atomic<Page*>, kLinesMax / kPage> pages_{};
  // Guarded by the ledger's mutex: the second that unflushed growth belongs to; how much of its
  // threads' own CPU is in the window of kOwnLine; the last thread; how much of the handlers' CPU
  // the last bill has seen, and on which thread.
  std::int64_t epoch_ = 0;
  std::uint64_t seen_own_ns_ = 0;
  int owner_ = 0;
  int seen_thread_ = 0;
  std::uint64_t seen_handlers_ns_ = 0;
  // Written by the owner, read by bills: all relaxed.
  std::atomic<std::uint64_t> cpu_read_ns_{0};     // the thread's CPU clock at the last reading
  std::atomic<std::uint64_t> handler_cpu_ns_{0};  // of this thread's handlers
  std::atomic<int> thread_{0};                    // kernel id; 0 when free
  std::atomic<bool> in_use_{true};                // release in let_go(), acquire by who takes over
  std::atomic<const void*> marked_{nullptr};  // release in unmark(), acquire in Ledger::marked()
  Mutex running_mutex_;
  void* running_ ABSL_GUARDED_BY(running_mutex_) = nullptr;
};

// What lies between two readings; nothing if the counter went back.
inline std::uint64_t ticks_between(std::uint64_t from, std::uint64_t to) {
  return to > from ? to - from : 0;
}

}  // namespace wisp::inline v0::detail
