#include <wisp/engine/detail/ledger.hpp>

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

namespace wisp::inline v0 {

std::string_view to_string(Quality quality) {
  constexpr std::string_view kNames[] = {"unavailable", "estimated", "measured"};
  return kNames[static_cast<int>(quality)];
}

std::string_view to_string(Outcome outcome) {
  constexpr std::string_view kNames[] = {"ok",        "error",     "threw",
                                         "timed_out", "cancelled", "rejected"};
  return kNames[static_cast<int>(outcome)];
}

namespace detail {
namespace {

constexpr std::uint64_t kLongNs = 50'000;
constexpr std::uint64_t kGapNs = 20'000;
// A batch is closed after a millisecond of handlers at the latest.
constexpr std::uint64_t kBatchNs = 1'000'000;
constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr unsigned kSampledEvery = 16;

std::atomic<std::uint64_t> ledgers{0};

std::uint64_t thread_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kSecondNs +
         static_cast<std::uint64_t>(now.tv_nsec);
}

void relaxed_add(std::atomic<std::uint64_t>& word, std::uint64_t n) {
  word.store(word.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

}  // namespace

// The shards that the calling thread holds, one per ledger that it has met. Bounded: those of ended
// ledgers go first.
struct Ledger::ThreadShards {
  struct Held {
    std::uint64_t ledger;
    bool wisp_thread;
    std::shared_ptr<Shard> shard;  // shared with the ledger, which may end first
  };
  std::vector<Held> held;

  ~ThreadShards() {
    for (Held& each : held) each.shard->let_go();
  }

  static ThreadShards& mine() {
    thread_local ThreadShards shards;
    return shards;
  }
};

thread_local Ledger::Last Ledger::last_;

Shard::Shard(Ledger& ledger, bool wisp_thread)
    : ledger_(ledger),
      ticks_(ledger.ticks_),
      real_(ledger.clock_.real()),
      wisp_thread_(wisp_thread) {
  take_over();
}

Shard::~Shard() {
  for (auto& slot : pages_) {
    Page* page = slot.load(std::memory_order_relaxed);
    if (page == nullptr) continue;
    for (auto& each : page->cells) delete each.load(std::memory_order_relaxed);
    delete page;
  }
}

void Shard::take_over() {
  // A thread of wisp's own is wisp's from its first instruction on, and this is nearly that.
  if (real_) cpu_read_ns_.store(wisp_thread_ ? 0 : thread_cpu_ns(), std::memory_order_relaxed);
  thread_.store(static_cast<int>(syscall(SYS_gettid)), std::memory_order_relaxed);
  last_end_ = ticks_.now();
}

void Shard::let_go() {
  read_cpu();
  thread_.store(0, std::memory_order_relaxed);
  in_use_.store(false, std::memory_order_release);
}

Cell& Shard::make_cell(int line) {
  auto& slot = pages_[static_cast<std::size_t>(line / kPage)];
  Page* page = slot.load(std::memory_order_relaxed);
  if (page == nullptr) {
    page = new Page;
    slot.store(page, std::memory_order_release);
  }
  auto* cell = new Cell;
  page->cells[static_cast<std::size_t>(line % kPage)].store(cell, std::memory_order_release);
  // Room for every cell, so that a warm call never allocates here.
  if (++cells_ > touched_.capacity()) {
    touched_.reserve(2 * cells_);
    batch_.reserve(2 * cells_);
  }
  return *cell;
}

const Cell* Shard::peek(int line) const {
  const Page* page = pages_[static_cast<std::size_t>(line / kPage)].load(std::memory_order_acquire);
  if (page == nullptr) return nullptr;
  return page->cells[static_cast<std::size_t>(line % kPage)].load(std::memory_order_acquire);
}

Cell& Shard::touch(int line) {
  Cell& touched = cell(line);
  if (!touched.touched) {
    touched.touched = true;
    touched_.push_back(line);
  }
  return touched;
}

void Shard::add_segment(int line, std::uint64_t ticks) {
  Cell& own = cell(line);
  if (!std::exchange(own.in_batch, true)) batch_.push_back(line);
  relaxed_add(own.open_ticks, ticks);
  batch_ticks_ += ticks;
}

std::uint64_t Shard::read_cpu(int late_line, std::uint64_t late) {
  const auto batch_ns = static_cast<double>(ticks_.to_ns(batch_ticks_));
  const std::uint64_t late_ns = ticks_.to_ns(late);
  std::uint64_t left = static_cast<std::uint64_t>(batch_ns) + late_ns;
  if (real_) {
    const std::uint64_t now = thread_cpu_ns();
    left = now - cpu_read_ns_.load(std::memory_order_relaxed);
    cpu_read_ns_.store(now, std::memory_order_relaxed);
  }
  const double scale = batch_ns > 0 ? std::min(1.0, static_cast<double>(left) / batch_ns) : 0;
  std::uint64_t handlers = 0;
  const auto give = [&](int line, std::uint64_t ns) {
    ns = std::min(ns, left);
    touch(line).add(Count::cpu_ns, ns);
    handlers += ns;
    left -= ns;
    return ns;
  };
  for (const int line : batch_) {
    Cell& own = cell(line);
    own.in_batch = false;
    std::atomic<std::uint64_t>& open = own.open_ticks;
    const auto ns = static_cast<double>(ticks_.to_ns(open.load(std::memory_order_relaxed))) * scale;
    open.store(0, std::memory_order_relaxed);
    give(line, static_cast<std::uint64_t>(ns));
  }
  // What ran between the handlers was no part of the late one.
  const std::uint64_t gaps = std::min(left, ticks_.to_ns(gap_ticks_));
  batch_.clear();
  batch_ticks_ = gap_ticks_ = 0;
  const std::uint64_t given = late == 0 ? 0 : give(late_line, std::min(late_ns, left - gaps));
  relaxed_add(handler_cpu_ns_, handlers);
  if (wisp_thread_ && real_) touch(kOwnLine).add(Count::cpu_ns, left);
  return given;
}

Span::Span(Shard& shard, int line, Meter mode)
    : shard_(shard), cell_(shard.cell(line)), line_(line), mode_(mode) {
  if (mode == Meter::sampled) {
    if (cell_.untimed > 0) {
      --cell_.untimed;
      return;
    }
    cell_.untimed = kSampledEvery - 1;
    weight_ = std::exchange(cell_.sampled, true) ? kSampledEvery : 1;
  }
  start_ = shard.ticks_.now();
  if (start_ >= shard.flush_at_) shard.ledger_.flush(shard);
  parent_ = shard.top_;
  bool away = false;
  if (parent_ != nullptr) {
    shard.add_segment(parent_->line_, start_ - parent_->segment_);
  } else {
    const std::uint64_t gap = start_ - shard.last_end_;
    shard.gap_ticks_ += gap;
    away = shard.ticks_.to_ns(gap) > kGapNs;
  }
  shard.top_ = this;
  clocked_ = mode == Meter::exact || cell_.long_running;
  if (clocked_ || away) {
    shard.read_cpu();
    cpu_start_ns_ = shard.cpu_read_ns_.load(std::memory_order_relaxed);
    start_ = shard.ticks_.now();
  }
  segment_ = start_;
}

Span::Taken Span::estimate() const {
  const auto total = [this](Count count) {
    return cell_.totals[static_cast<std::size_t>(count)].load(std::memory_order_relaxed);
  };
  const std::uint64_t attempts = std::max<std::uint64_t>(total(Count::attempts), 1);
  return {.wall_ns = total(Count::wall_ns) / attempts,
          .cpu_ns = total(Count::cpu_ns) / attempts,
          .wall_quality = Quality::estimated,
          .cpu_quality = Quality::estimated,
          .end = 0,
          .weight = 1};
}

Span::Taken Span::end() {
  if (start_ == 0) return estimate();
  Taken taken;
  taken.end = shard_.ticks_.now();
  taken.wall_ns = shard_.ticks_.to_ns(taken.end - start_);
  taken.cpu_ns = taken.wall_ns;
  const bool sampled = mode_ == Meter::sampled;
  const bool ran_long = taken.wall_ns > kLongNs;
  taken.weight = weight_;
  const std::uint64_t own = (taken.end - segment_) * weight_;
  if (ran_long && !clocked_) {
    taken.cpu_ns = shard_.read_cpu(line_, own);
  } else {
    shard_.add_segment(line_, own);
    if (clocked_ || shard_.ticks_.to_ns(shard_.batch_ticks_) > kBatchNs) shard_.read_cpu();
  }
  if (clocked_ && shard_.real_) {
    taken.cpu_ns = shard_.cpu_read_ns_.load(std::memory_order_relaxed) - cpu_start_ns_;
    taken.cpu_quality = Quality::measured;
  }
  if (sampled) taken.wall_quality = taken.cpu_quality = Quality::estimated;
  cell_.long_running = ran_long;
  shard_.top_ = parent_;
  const std::uint64_t left_at = clocked_ || ran_long ? shard_.ticks_.now() : taken.end;
  if (parent_ != nullptr) parent_->segment_ = left_at;
  else shard_.last_end_ = left_at;
  return taken;
}

Ledger::Ledger(Clock& clock, Tariff tariff)
    : clock_(clock),
      ticks_(clock),
      tariff_(std::move(tariff)),
      // Relaxed: only uniqueness matters.
      id_(ledgers.fetch_add(1, std::memory_order_relaxed) + 1),
      began_(now_second()) {
  const MutexLock lock(mutex_);
  lines_.push_back(std::make_unique<Line>());
  lines_.push_back(std::make_unique<Line>(Line{{.function = "(others)"}, {}}));
  Bill unused;
  add_host(unused, began_);
}

Ledger::~Ledger() = default;

std::int64_t Ledger::now_second() const {
  return std::chrono::duration_cast<std::chrono::seconds>(clock_.now().since_origin()).count();
}

int Ledger::line(const LineKey& key) {
  std::string text;
  for (const std::string* part : {&key.function, &key.tenant, &key.tag})
    text.append(*part).push_back('\0');
  text += std::to_string(key.version);
  const MutexLock lock(mutex_);
  const auto found = line_index_.find(text);
  if (found != line_index_.end()) return found->second;
  const bool labelled = !key.tenant.empty() || !key.tag.empty();
  if (lines_.size() >= static_cast<std::size_t>(labelled ? kLinesMax / 2 : kLinesMax))
    return kOthersLine;
  const int number = static_cast<int>(lines_.size());
  lines_.push_back(std::make_unique<Line>(Line{key, {}}));
  line_index_.emplace(std::move(text), number);
  return number;
}

Shard& Ledger::shard_slow(bool wisp_thread) {
  ThreadShards& mine = ThreadShards::mine();
  std::erase_if(mine.held,
                [](const ThreadShards::Held& each) { return each.shard.use_count() == 1; });
  for (const ThreadShards::Held& each : mine.held) {
    if (each.ledger != id_) continue;
    last_ = {id_, each.shard.get()};
    return *each.shard;
  }
  std::shared_ptr<Shard> shard;
  {
    const MutexLock lock(mutex_);
    for (const auto& each : shards_) {
      bool free = false;
      // Acquire: pairs with the release in let_go(); the last owner's writes are seen.
      if (each->wisp_thread_ == wisp_thread &&
          each->in_use_.compare_exchange_strong(free, true, std::memory_order_acquire)) {
        shard = each;
        break;
      }
    }
    if (shard == nullptr) {
      shards_.push_back(shard = std::make_shared<Shard>(*this, wisp_thread));
      shard->epoch_ = now_second();
    }
  }
  shard->take_over();
  last_ = {id_, shard.get()};
  mine.held.push_back({id_, wisp_thread, shard});
  return *shard;
}

void Ledger::thread_begins() { shard_slow(true); }

void Ledger::thread_ends() {
  ThreadShards& mine = ThreadShards::mine();
  std::erase_if(mine.held, [this](const ThreadShards::Held& each) {
    if (each.ledger != id_) return false;
    each.shard->let_go();
    return true;
  });
  last_ = {};
}

void Ledger::record(Shard& shard, int line, const Attempt& attempt) {
  const Span::Taken& taken = attempt.taken;
  Cell& cell = shard.touch(line);
  if (attempt.first) cell.add(Count::calls, 1);
  if (attempt.failed) cell.add(Count::errors, 1);
  cell.add(Count::attempts, 1);
  if (attempt.waited) cell.wait.record(attempt.wait_ns);
  if (taken.end == 0) return;
  const std::uint64_t weight = taken.weight;
  const Usage usage = Usage::of({.wall = Duration(taken.wall_ns)});
  cell.add(Count::wall_ns, usage.wall_ns * weight);
  cell.add(Count::wall_ms, usage.wall_ms * weight);
  cell.add(Count::wall_ms_min, usage.wall_min_100_ms * weight);
  cell.add(Count::wall_100ms, usage.wall_by_100_ms * weight);
  cell.run.record(taken.wall_ns);
}

void Ledger::flush(Shard& shard) {
  const MutexLock lock(mutex_);
  for (const int line : shard.touched_) {
    Cell& cell = shard.cell(line);
    Totals growth{};
    for (std::size_t i = 0; i < kCounts; ++i) {
      const std::uint64_t now = cell.totals[i].load(std::memory_order_relaxed);
      growth[i] = now - cell.flushed[i];
      cell.flushed[i] = now;
    }
    cell.touched = false;
    lines_[static_cast<std::size_t>(line)]->window.add(shard.epoch_, growth);
  }
  shard.touched_.clear();
  shard.epoch_ = now_second();
  // When the next second begins, so that growth belongs to one second alone.
  const auto into = static_cast<std::uint64_t>(clock_.now().since_origin().count()) % kSecondNs;
  shard.flush_at_ = ticks_.now() + ticks_.from_ns(kSecondNs - into);
}

}  // namespace detail
}  // namespace wisp::inline v0
