// What one thread counts, and how its CPU is shared out among the handlers that ran on it.
#include <algorithm>
#include <utility>

#include <wisp/engine/detail/ledger.hpp>
#include <wisp/engine/detail/thread.hpp>

namespace wisp::inline v0::detail {
namespace {

constexpr std::uint64_t kLongNs = 50'000;
constexpr std::uint64_t kGapNs = 20'000;
// A batch is closed after a millisecond of handlers at the latest.
constexpr std::uint64_t kBatchNs = 1'000'000;
constexpr std::uint64_t kSecondNs = 1'000'000'000;

void relaxed_add(std::atomic<std::uint64_t>& word, std::uint64_t n) {
  word.store(word.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

}  // namespace

Shard::Shard(Ledger& ledger, bool wisp_thread)
    : ledger_(ledger),
      ticks_(ledger.ticks_),
      real_(ledger.clock_.real()),
      wisp_thread_(wisp_thread),
      long_ticks_(ticks_.from_ns(kLongNs)),
      away_ticks_(ticks_.from_ns(kGapNs)),
      batch_max_(ticks_.from_ns(kBatchNs)) {
  take_over();
  // Now, as a handler's end makes none.
  if (wisp_thread_ && real_) cell(kOwnLine);
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
  const int self = current_thread_id();
  // A thread on its way out may borrow again what was its own: its handlers stay its.
  if (std::exchange(owner_, self) != self) {
    handler_cpu_ns_.store(0, std::memory_order_relaxed);
    seen_thread_ = 0;
  }
  thread_.store(self, std::memory_order_relaxed);
  last_end_ = ticks_.now();
}

void Shard::let_go() {
  read_cpu();
  // A bill that still takes it for this thread's finds its handlers.
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
  auto made = std::make_unique<Cell>(line);
  const int base = line == kOwnLine ? line : ledger_.base_of(line);
  if (base == line) made->own = std::make_unique<Histograms>();
  made->histograms = base == line ? made->own.get() : this->cell(base).histograms;
  // Room for every cell, so that a warm call never allocates here.
  if (cells_ == touched_.capacity()) {
    batch_.reserve(2 * (cells_ + 1));
    touched_.reserve(2 * (cells_ + 1));
  }
  ++cells_;
  Cell* const cell = made.release();
  page->cells[static_cast<std::size_t>(line % kPage)].store(cell, std::memory_order_release);
  return *cell;
}

const Cell* Shard::peek(int line) const {
  const Page* page = pages_[static_cast<std::size_t>(line / kPage)].load(std::memory_order_acquire);
  if (page == nullptr) return nullptr;
  return page->cells[static_cast<std::size_t>(line % kPage)].load(std::memory_order_acquire);
}

void Shard::flush() { ledger_.flush(*this); }

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
    touch(cell(line)).add(Count::cpu_ns, ns);
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
  const std::uint64_t gaps = real_ ? std::min(left, ticks_.to_ns(gap_ticks_)) : 0;
  batch_.clear();
  batch_ticks_ = gap_ticks_ = 0;
  const std::uint64_t given = late == 0 ? 0 : give(late_line, std::min(late_ns, left - gaps));
  relaxed_add(handler_cpu_ns_, handlers);
  if (wisp_thread_ && real_) touch(cell(kOwnLine)).add(Count::cpu_ns, left);
  return given;
}

void Span::sample() {
  // What untimed calls took that left it to later.
  const std::uint64_t usual = cell_.usual_ticks.load(std::memory_order_relaxed);
  const std::uint64_t untimed = cell_.count(Count::untimed);
  const std::uint64_t late = untimed - cell_.opened.load(std::memory_order_relaxed);
  if (static_cast<std::int64_t>(late) > 0) {
    cell_.opened.store(untimed, std::memory_order_relaxed);
    shard_.add_segment(cell_, late * usual);
    shard_.last_end_ += late * usual;
  }
  const bool first = usual == 0 && cell_.timed_at == 0;
  passed_ns_ = first ? kSecondNs : shard_.ticks_.to_ns(ticks_between(cell_.timed_at, start_));
  cell_.timed_at = start_;
  sampled(1, cell_.waiting() + 1);
}

// How many of the next calls to leave untimed: none if these come so rarely that a window would
// miss them, since what is not timed waits for the next timed call.
void Span::sampled(std::uint64_t calls, std::uint64_t weight) {
  const bool often =
      passed_ns_ < kSecondNs && passed_ns_ * (kUntimed + 1) * calls < kSecondNs * weight;
  cell_.untimed = often ? static_cast<std::uint32_t>(kUntimed * calls) : 0;
}

std::uint64_t Span::end_row(std::uint64_t calls, std::uint64_t weight) {
  const std::uint64_t wall_ns = end_for_wall_ns();
  cell_.usual_ticks.store(own_ticks_ / calls, std::memory_order_relaxed);
  cell_.opened.store(cell_.count(Count::untimed), std::memory_order_relaxed);
  sampled(calls, weight);
  return wall_ns;
}

void Span::turn_second() {
  // The open batch belongs to the second that has gone.
  if (parent_ == nullptr) shard_.read_cpu();
  shard_.flush();
}

void Span::begin_watched(bool away) {
  if ((watch_ & kThreadClock) != 0 || away) {
    shard_.read_cpu();
    cpu_start_ns_ = shard_.cpu_read_ns_.load(std::memory_order_relaxed);
    start_ = shard_.ticks_.now();
  }
  allocations_ = thread_allocations.count;
  allocated_bytes_ = thread_allocations.bytes;
}

void Span::end_watched(bool lasted, Used& used) {
  cell_.watch =
      static_cast<std::uint8_t>((cell_.watch & kAllocations) | (lasted ? kThreadClock : kTicks));
  if (lasted) used.cpu_ns = shard_.ticks_.to_ns(own_ticks_) + nested_ns_;
  if ((watch_ & kThreadClock) != 0 && shard_.real_)
    used = {shard_.cpu_read_ns_.load(std::memory_order_relaxed) - cpu_start_ns_, true};
  if ((watch_ & kAllocations) == 0) return;
  cell_.add(Count::allocations, allocations_);
  cell_.add(Count::allocated_bytes, allocated_bytes_);
}

bool Span::close_late(std::uint64_t own) {
  own_ticks_ += shard_.ticks_.from_ns(shard_.read_cpu(cell_.line, own));
  return true;
}

void Ledger::end_late(Shard& shard, Span& span, bool first, bool failed) {
  Cell& cell = span.cell();
  if (span.timed()) {
    const std::uint64_t wall_ns = span.end_for_wall_ns();
    add_times(cell, wall_ns, span.weight());
  } else {
    span.end_untimed();
    cell.add(Count::untimed, 1);
  }
  count_attempt(shard, cell, first, failed);
}

Span::Taken Span::end() {
  if (timed_) {
    Used used;
    const std::uint64_t wall_ns = stop(used);
    const bool sampled = mode_ == Meter::sampled;
    return {.wall_ns = wall_ns,
            .cpu_ns = used.cpu_ns,
            .wall_quality = sampled ? Quality::estimated : Quality::measured,
            .cpu_quality = used.measured && !sampled ? Quality::measured : Quality::estimated,
            .timed = true,
            .allocated = allocated(),
            .weight = weight_};
  }
  end_untimed();
  const std::uint64_t timed = cell_.count(Count::attempts) + cell_.count(Count::stood_for);
  return {.wall_ns = cell_.count(Count::wall_ns) / std::max<std::uint64_t>(timed, 1),
          .cpu_ns = shard_.ticks_.to_ns(cell_.usual_ticks.load(std::memory_order_relaxed)),
          .wall_quality = Quality::estimated,
          .cpu_quality = Quality::estimated};
}

}  // namespace wisp::inline v0::detail
