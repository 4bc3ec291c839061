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
// Threads: any.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/engine/detail/shard.hpp>
#include <wisp/engine/detail/span.hpp>
#include <wisp/engine/detail/ticks.hpp>
#include <wisp/engine/meter.hpp>
#include <wisp/engine/metrics.hpp>
#include <wisp/model/policy.hpp>

namespace wisp::inline v0::detail {

// What an attempt adds that took a millisecond or less, and some time.
inline constexpr Usage kOrdinary = Usage::of({.wall = std::chrono::milliseconds(1)});

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
  // What tells one line from another.
  struct LineName {
    std::string_view function;
    int version;
    std::string_view tenant;
    std::string_view tag;

    friend bool operator==(const LineName&, const LineName&) = default;
  };
  // The line of that key, made at first. Takes the mutex, as the next: callers keep the number.
  int line(const LineKey& key);
  // The same, if it has been made.
  std::optional<int> line(const LineName& name) const;

  // The calling thread's shard. Takes no lock once the thread has one.
  Shard& shard() {
    if (last_.ledger == id_) [[likely]]
      return *last_.shard;
    return shard_slow();
  }
  // The same, but null where it would be, or is, one for a handler alone: a thread on its way out.
  Shard* lasting_shard() {
    if (last_.ledger == id_) [[likely]]
      return last_.shard->lasting() ? last_.shard : nullptr;
    return last_.thread_ends ? nullptr : &shard_slow();
  }
  // That shard, kept for more than one handler and what is done around it.
  class Use;

  // See ThreadLocals in service/detail/thread_locals.hpp.
  class Aside;

  // Around everything else that a thread of wisp's own does. The process knows it as wisp's
  // meanwhile, so that no ledger takes it for the host's.
  void thread_begins();
  void thread_ends();

  // Calls visit with what each thread has set_running, while it cannot be replaced, and the
  // kernel's id of the thread.
  template <class Visitor>
  void for_each_running(const Visitor& visit) {
    const MutexLock lock(mutex_);
    for (const auto& shard : shards_) {
      const MutexLock running(shard->running_mutex_);
      if (shard->running_ == nullptr) continue;
      visit(shard->running_, shard->thread_.load(std::memory_order_relaxed));
    }
  }

  // Whether a thread has marked it; see Shard::mark(). With a heavy barrier before.
  bool marked(const void* used) const;

  // The last use of `shard` in this call, but for an outer Use.
  void record(Shard& shard, int line, const Attempt& attempt) {
    Cell& cell = shard.cell(line);
    if (attempt.taken.timed) add_times(cell, attempt.taken.wall_ns, attempt.taken.weight);
    else cell.add(Count::untimed, 1);
    if (attempt.waited) cell.histograms->wait.record(attempt.wait_ns);
    count_attempt(shard, cell, attempt.first, attempt.failed);
  }
  // Both, for an attempt without a receipt that did not wait.
  void end_and_record(Shard& shard, Span& span, bool first, bool failed) {
    if (span.timed() && first && !failed) [[likely]] {
      const std::uint64_t brief_ns = span.end_briefly();
      if (brief_ns != 0) [[likely]]
        return add_brief(span.cell(), brief_ns);
    }
    end_late(shard, span, first, failed);
  }

  // Ends that of a row of first attempts that did not wait: each ended before the next began, and
  // was counted as untimed then. Requires: Meter::sampled, timed, calls > 0.
  void end_and_record_row(Shard& shard, Span& span, std::uint64_t calls) {
    Cell& cell = span.cell();
    const std::uint64_t weight = std::max(cell.waiting(), calls);
    const std::uint64_t all_ns = span.end_row(calls, weight);
    const std::uint64_t wall_ns = std::max(all_ns / calls, ticks_.least_ns());
    cell.add(Count::wall_ns, all_ns * weight / calls);
    cell.add(Count::stood_for, cell.waiting());
    if (wall_ns - 1 >= kOrdinary.wall_ns) [[unlikely]]
      add_unusual(cell, wall_ns, weight);
    cell.histograms->run.record(wall_ns, calls);
    shard.touch(cell);
  }

  // The same for one that waited.
  void end_and_record_waited(Shard& shard, Span& span, std::uint64_t wait_ns, bool failed) {
    span.cell().histograms->wait.record(wait_ns);
    end_and_record(shard, span, true, failed);
  }
  // And the next attempt begins. Requires: Meter::batched.
  void next_and_record(Shard& shard, Span& span) {
    Cell& cell = span.cell();
    const std::uint64_t brief_ns = span.next_briefly();
    if (brief_ns != 0) [[likely]]
      return add_brief(cell, brief_ns);
    add_times(cell, span.next(), 1);
    count_attempt(shard, cell, true, false);
  }
  void next_and_record(Shard& shard, Span& span, std::uint64_t wait_ns) {
    span.cell().histograms->wait.record(wait_ns);
    next_and_record(shard, span);
  }

  const Ticks& ticks() const { return ticks_; }
  const Tariff& tariff() const { return tariff_; }

  // That entered a handler of a function in the last `window`, all its lines together.
  std::uint64_t calls_within(std::string_view function, Duration window);

  // Requires: window > 0.
  Bill bill(Duration window, const Tariff& tariff, const Units& month_so_far = {});
  std::vector<FunctionStats> functions();

 private:
  struct Last {
    std::uint64_t ledger = 0;
    Shard* shard = nullptr;
    bool thread_ends = false;  // its shards have been let go, but destructors may still call
  };

  // The shards that the calling thread holds, one per ledger that it has met. Bounded: those of
  // ended ledgers go first.
  struct ThreadShards {
    struct Held {
      std::uint64_t ledger;
      bool wisp_thread;
      std::shared_ptr<Shard> shard;  // shared with the ledger, which may end first
    };
    std::vector<Held> held;

    ~ThreadShards();
    static ThreadShards& mine();
  };

  // Growth per second, minute and hour: at most 61, 1,440 and 768 buckets, oldest first, none for
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

    // False, and nothing has changed: there was no memory.
    bool add(std::int64_t second, const Totals& growth);
    Totals sum(std::int64_t from) const;
    std::int64_t first(std::int64_t from) const;  // since when what sum() counts is
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
  struct LineHash {
    std::size_t operator()(const LineName& name) const;
  };
  static LineName name_of(const LineKey& key) {
    return {key.function, key.version, key.tenant, key.tag};
  }
  int base_of(int line) ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<Shard> take_shard(bool wisp_thread) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void flush(Shard& shard);
  bool flush_line(Shard& shard, int line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void count_attempt(Shard& shard, Cell& cell, bool first, bool failed) {
    shard.touch(cell);
    if (!first) [[unlikely]]
      cell.add(Count::retries, 1);
    if (failed) [[unlikely]]
      cell.add(Count::errors, 1);
    if (shard.borrowed_) [[unlikely]]
      give_back(shard);
  }
  // Unless it is in use.
  static void give_back(Shard& shard);
  // Of a first attempt that went well, in a cell that is listed.
  static void add_brief(Cell& cell, std::uint64_t wall_ns) {
    cell.add(Count::attempts, 1);
    cell.add(Count::wall_ns, wall_ns);
    cell.histograms->run.record(wall_ns);
  }
  static void add_times(Cell& cell, std::uint64_t wall_ns, std::uint64_t weight) {
    cell.add(Count::attempts, 1);
    cell.add(Count::wall_ns, wall_ns * weight);
    if (weight != 1) [[unlikely]]
      cell.add(Count::stood_for, weight - 1);
    if (wall_ns - 1 >= kOrdinary.wall_ns) [[unlikely]]
      add_unusual(cell, wall_ns, weight);
    cell.histograms->run.record(wall_ns);
  }
  // What end_and_record() does otherwise. In shard.cpp: not compiled for size.
  static void end_late(Shard& shard, Span& span, bool first, bool failed);
  static void add_unusual(Cell& cell, std::uint64_t wall_ns, std::uint64_t weight);
  std::int64_t now_second() const;
  std::vector<Totals> totals_since(std::int64_t from) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::uint64_t own_of(const Shard& shard) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What has come since the last look at it, to the line of wisp's own threads.
  void advance_own(Shard& shard, std::uint64_t own_ns, std::int64_t second)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What a thread has used so far, by kernel id.
  using ThreadCpu = absl::flat_hash_map<int, std::uint64_t>;
  std::optional<ThreadCpu> host_threads() const;
  std::uint64_t open_of(const Shard& shard) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void advance_host(ThreadCpu threads) ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_mutex_, mutex_);
  std::optional<std::int64_t> host_at(std::int64_t from) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void add_host(Bill& bill, std::optional<std::int64_t> before)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Constant at first, so that no access has to ask whether it has been initialised.
  static constinit thread_local Last last_;

  Clock& clock_;
  const Ticks ticks_;
  const Tariff tariff_;
  const std::uint64_t id_;  // never reused in a process
  const std::int64_t began_;

  // Of who looks at the process's threads: one at a time, or a later look would be taken for an
  // earlier one. Taken before mutex_.
  Mutex host_mutex_;
  mutable Mutex mutex_;
  std::vector<std::unique_ptr<Line>> lines_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<LineName, int, LineHash> line_index_ ABSL_GUARDED_BY(mutex_);  // of lines_
  int unnamed_ ABSL_GUARDED_BY(mutex_) = 0;
  // Shared with the threads that they belong to.
  std::vector<std::shared_ptr<Shard>> shards_ ABSL_GUARDED_BY(mutex_);
  std::deque<HostReading> host_readings_ ABSL_GUARDED_BY(mutex_);
  ThreadCpu host_seen_ ABSL_GUARDED_BY(host_mutex_);  // at the last bill
  std::int64_t host_ns_ ABSL_GUARDED_BY(mutex_) = 0;  // until then; a handler is read late
};

class Ledger::Use {
 public:
  explicit Use(Ledger& ledger) : shard_(ledger.shard()), borrowed_(!shard_.lasting()) {
    if (borrowed_) [[unlikely]]
      ++shard_.uses_;
  }
  ~Use() {
    if (!borrowed_) [[likely]]
      return;
    --shard_.uses_;
    give_back(shard_);
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

  Shard& shard() const { return shard_; }

 private:
  Shard& shard_;
  const bool borrowed_;
};

class Ledger::Aside {
 public:
  void swap() {
    std::swap(last_, Ledger::last_);
    shards_.held.swap(ThreadShards::mine().held);
  }

 private:
  Last last_;
  ThreadShards shards_;
};

}  // namespace wisp::inline v0::detail
