// The meter's machinery: each thread counts into cells of its own, readers add them up.
//
// A cell belongs to one thread and one bill line. Its owner writes with relaxed stores and no
// read-modify-write, so a warm call touches no cache line that another thread writes; readers read
// relaxed and may be one call behind, except for calls whose end happened before the read. Cells
// only grow. Once a second of activity their owner moves the growth into the ledger's windows,
// under its mutex.
//
// CPU time: reading the thread's CPU clock costs hundreds of nanoseconds, the cycle counter nine.
// Handlers' cycles are summed per line in a batch, and the CPU that passed between two readings is
// shared out by those cycles, never more than the cycles themselves. A batch ends where a thread
// was away from handlers for over 20 µs: it may have slept. So does a handler's own segment, from
// its start, or the end of a call that it made, to the next of these, that took over 50 µs: it was
// perhaps preempted or blocked, and gets what the short segments of its batch, and the gaps between
// its handlers, leave. A call expected to be long (its line's last one was) is read before and
// after. A sampled call that is not timed adds what the last timed one had.
//
// Threads: any, except Shard and Span, which belong to the thread that they were made on.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/engine/detail/ticks.hpp>
#include <wisp/engine/meter.hpp>
#include <wisp/engine/metrics.hpp>
#include <wisp/model/policy.hpp>

namespace wisp::inline v0::detail {

// Lines a ledger holds. Beyond half of it, new tenants and tags of a function share its line
// without either; beyond all of it, new functions share the line kOthersLine.
inline constexpr int kLinesMax = 16'384;
inline constexpr int kOwnLine = 0;     // what wisp's threads spend outside of handlers
inline constexpr int kOthersLine = 1;  // "(others)"

enum class Count : int {
  calls,
  attempts,
  errors,
  wall_ns,
  wall_ms,
  wall_ms_min,
  wall_100ms,
  cpu_ns
};
inline constexpr int kCounts = 8;
using Totals = std::array<std::uint64_t, kCounts>;
inline std::uint64_t& at(Totals& totals, Count count) {
  return totals[static_cast<std::size_t>(count)];
}
inline std::uint64_t at(const Totals& totals, Count count) {
  return totals[static_cast<std::size_t>(count)];
}

// How long a function's calls ran and waited on one thread, over tenants and tags.
struct Histograms {
  Histogram run;
  Histogram wait;
};

// One thread's counts of one line.
struct Cell {
  std::array<std::atomic<std::uint64_t>, kCounts> totals{};
  std::atomic<std::uint64_t> open_ticks{0};  // of handlers, whose CPU has not been shared out yet
  bool in_batch = false;                     // listed in Shard::batch_
  bool touched = false;                      // grew since the last flush
  bool long_running = false;                 // the last timed call took over 50 µs
  // Of the sampled meter: calls until the next timed one, and since the last.
  std::uint8_t untimed = 0;
  std::uint8_t skipped = 0;
  std::uint64_t timed_at = 0;     // ticks, the start of the last timed one
  std::uint64_t usual_ticks = 0;  // its own CPU
  Totals flushed{};               // guarded by the ledger's mutex
  // Those of the function's own line are shared by its tenants and tags: they are large.
  std::unique_ptr<Histograms> own;
  Histograms* histograms = nullptr;  // constant once made

  void add(Count count, std::uint64_t n) {
    auto& word = totals[static_cast<std::size_t>(count)];
    word.store(word.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
};

class Ledger;
class Span;

// One thread's part of a ledger. Reused by later threads of its kind once its own has ended.
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

  Cell& cell(int line) {
    const Page* page =
        pages_[static_cast<std::size_t>(line / kPage)].load(std::memory_order_relaxed);
    if (page != nullptr) {
      Cell* found =
          page->cells[static_cast<std::size_t>(line % kPage)].load(std::memory_order_relaxed);
      if (found != nullptr) return *found;
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
  Cell& touch(int line);
  void add_segment(int line, std::uint64_t ticks);
  // Shares out the CPU since the last reading. The line of `late` ticks, a long segment, gets what
  // the batch and the gaps between its handlers leave; that is returned.
  std::uint64_t read_cpu(int late_line = 0, std::uint64_t late = 0);
  void take_over();  // by the calling thread
  void let_go();     // by the thread that ends

  // Alive while a span or record is: the thread's last use of it comes before the ledger's end.
  Ledger& ledger_;
  const Ticks ticks_;
  const bool real_;         // CPU clocks are read
  const bool wisp_thread_;  // CPU outside of handlers is unattributed, not the host's
  // Release by the owner, acquire by readers, as the cells within.
  std::array<std::atomic<Page*>, kLinesMax / kPage> pages_{};
  std::vector<int> batch_;    // lines with open ticks
  std::vector<int> touched_;  // lines that grew since the last flush
  std::size_t cells_ = 0;
  std::uint64_t batch_ticks_ = 0;
  std::uint64_t gap_ticks_ = 0;  // between the batch's handlers
  std::uint64_t last_end_ = 0;   // ticks, of the last handler
  std::uint64_t flush_at_ = 0;   // ticks
  Span* top_ = nullptr;
  bool borrowed_ = false;  // for this call: the thread has let go of its own
  // Guarded by the ledger's mutex: the second that unflushed growth belongs to; how much of the
  // handlers' CPU the last bill has seen, and on which thread.
  std::int64_t epoch_ = 0;
  int seen_thread_ = 0;
  std::uint64_t seen_handlers_ns_ = 0;
  // Written by the owner, read by bills: all relaxed.
  std::atomic<std::uint64_t> cpu_read_ns_{0};     // the thread's CPU clock at the last reading
  std::atomic<std::uint64_t> handler_cpu_ns_{0};  // of this thread's handlers
  std::atomic<bool> inside_{false};               // a handler that is timed
  std::atomic<int> thread_{0};                    // kernel id; 0 when free
  std::atomic<bool> in_use_{true};                // release in let_go(), acquire by who takes over
  Mutex running_mutex_;
  void* running_ ABSL_GUARDED_BY(running_mutex_) = nullptr;
};

// A handler's stay on this thread. Spans nest as calls do.
class Span {
 public:
  // Requires: shard is the calling thread's.
  Span(Shard& shard, int line, Meter mode);
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

  struct Taken {
    std::uint64_t wall_ns = 0;
    std::uint64_t cpu_ns = 0;
    Quality wall_quality = Quality::measured;
    Quality cpu_quality = Quality::estimated;
    bool timed = false;
    unsigned weight = 1;  // calls that a sampled one stands for: those since the last, and itself
  };
  // Ends the stay. Once, and before an outer span ends.
  Taken end();

 private:
  bool skip();
  void sample();
  Taken estimate();
  bool close_segment(std::uint64_t now);

  Shard& shard_;
  Cell& cell_;
  Span* parent_ = nullptr;
  const int line_;
  const Meter mode_;
  const bool timed_;
  bool clocked_ = false;
  unsigned weight_ = 1;
  std::uint64_t start_ = 0;
  std::uint64_t segment_ = 0;    // where the current own segment began
  std::uint64_t own_ticks_ = 0;  // of CPU, in the segments before
  std::uint64_t nested_ns_ = 0;  // CPU of the calls that it made
  std::uint64_t cpu_start_ns_ = 0;
};

// What a finished attempt adds to its line.
struct Attempt {
  Span::Taken taken;
  bool first = true;  // of its call
  bool failed = false;
  bool waited = false;
  std::uint64_t wait_ns = 0;
};

class Ledger {
 public:
  Ledger(Clock& clock, Tariff tariff);
  ~Ledger();

  struct LineKey {
    std::string function;
    int version = 1;
    std::string tenant;
    std::string tag;
    int memory_mb = 128;
    Meter meter = Meter::batched;
  };
  // The line of that key, made at first. Takes the mutex: callers keep the number.
  int line(const LineKey& key);

  // The calling thread's shard. Takes no lock once the thread has one.
  Shard& shard() {
    if (last_.ledger == id_) return *last_.shard;
    return shard_slow();
  }

  // Around everything else that a thread of wisp's own does. The process knows it as wisp's
  // meanwhile, so that no ledger takes it for the host's.
  void thread_begins();
  void thread_ends();

  // Calls visit with what each thread has set_running, while it cannot be replaced.
  template <class Visitor>
  void for_each_running(const Visitor& visit) {
    const MutexLock lock(mutex_);
    for (const auto& shard : shards_) {
      const MutexLock running(shard->running_mutex_);
      if (shard->running_ != nullptr) visit(shard->running_);
    }
  }

  // The last use of `shard` in this call.
  void record(Shard& shard, int line, const Attempt& attempt);

  const Ticks& ticks() const { return ticks_; }
  const Tariff& tariff() const { return tariff_; }

  // Requires: window > 0.
  Bill bill(Duration window, const Tariff& tariff);
  std::vector<FunctionStats> functions();

 private:
  struct Last {
    std::uint64_t ledger = 0;
    Shard* shard = nullptr;
    bool thread_ends = false;  // its shards have been let go, but destructors may still call
  };
  struct ThreadShards;

  // Growth per second, minute and hour: at most 60, 1,440 and 768 buckets, oldest first, none for
  // idle times.
  struct Window {
    struct Bucket {
      std::int64_t start = 0;  // seconds
      std::int64_t end = 0;    // of the last second in it
      Totals totals{};
    };
    std::deque<Bucket> seconds;
    std::deque<Bucket> minutes;
    std::deque<Bucket> hours;

    void add(std::int64_t second, const Totals& growth);
    Totals sum(std::int64_t from) const;
  };
  struct Line {
    LineKey key;
    int base = 0;  // the line of its function without tenant and tag, or this one
    Window window{};
  };
  struct HostReading {
    std::int64_t second = 0;
    std::int64_t host_ns = 0;  // since the ledger began
  };

  friend class Shard;
  friend class Span;
  Shard& shard_slow(bool wisp_thread = false);
  static std::string text_of(const LineKey& key);
  int base_of(int line) ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<Shard> take_shard(bool wisp_thread) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void flush(Shard& shard);
  static void add_times(Cell& cell, const Span::Taken& taken);
  std::int64_t now_second() const;
  std::vector<Totals> totals_since(std::int64_t from) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void add_unattributed(Bill& bill, std::uint64_t shared_out_ns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What a thread has used so far, by kernel id.
  using ThreadCpu = absl::flat_hash_map<int, std::uint64_t>;
  std::optional<ThreadCpu> host_threads() const;
  std::uint64_t open_of(const Shard& shard) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void advance_host(ThreadCpu threads) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void add_host(Bill& bill, std::int64_t from) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  static thread_local Last last_;

  Clock& clock_;
  const Ticks ticks_;
  const Tariff tariff_;
  const std::uint64_t id_;  // never reused in a process
  const std::int64_t began_;

  mutable Mutex mutex_;
  std::vector<std::unique_ptr<Line>> lines_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, int> line_index_ ABSL_GUARDED_BY(mutex_);
  // Shared with the threads that they belong to.
  std::vector<std::shared_ptr<Shard>> shards_ ABSL_GUARDED_BY(mutex_);
  std::deque<HostReading> host_readings_ ABSL_GUARDED_BY(mutex_);
  ThreadCpu host_seen_ ABSL_GUARDED_BY(mutex_);       // at the last bill
  std::int64_t host_ns_ ABSL_GUARDED_BY(mutex_) = 0;  // until then; a handler is read late
};

}  // namespace wisp::inline v0::detail
