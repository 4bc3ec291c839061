#include <wisp/engine/detail/ledger.hpp>

#include <algorithm>

#include <wisp/base/agent.hpp>
#include <wisp/engine/detail/thread.hpp>

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

constexpr std::uint64_t kFlushNs = 1'000'000'000;

std::atomic<std::uint64_t> ledgers{0};

}  // namespace

Ledger::ThreadShards::~ThreadShards() {
  // A thread that its pool has left behind says nobody that it ends.
  if (std::any_of(held.begin(), held.end(),
                  [](const Held& each) { return each.shard->wisp_thread_; }))
    unmark_wisp_thread();
  for (Held& each : held) each.shard->let_go();
}

Ledger::ThreadShards& Ledger::ThreadShards::mine() {
  // Destructors of older thread-local objects may still call.
  struct OfThread : ThreadShards {
    ~OfThread() { last_ = {.thread_ends = true}; }
  };
  thread_local OfThread shards;
  return shards;
}

constinit thread_local Ledger::Last Ledger::last_;

Ledger::Ledger(Clock& clock, Tariff tariff)
    : clock_(clock),
      ticks_(clock),
      tariff_(std::move(tariff)),
      // Relaxed: only uniqueness matters.
      id_(ledgers.fetch_add(1, std::memory_order_relaxed) + 1),
      began_(now_second()) {
  const MutexLock lock(mutex_);
  lines_.push_back(std::make_unique<Line>());
  lines_.push_back(
      std::make_unique<Line>(Line{.key = {.function = "(others)"}, .base = kOthersLine}));
  if (std::optional<ThreadCpu> threads = host_threads()) host_seen_ = *std::move(threads);
  host_readings_.push_back({began_, 0});
}

Ledger::~Ledger() = default;

std::int64_t Ledger::now_second() const {
  return std::chrono::duration_cast<std::chrono::seconds>(clock_.now().since_origin()).count();
}

int Ledger::line(const LineKey& key) {
  const MutexLock lock(mutex_);
  const auto found = line_index_.find(name_of(key));
  if (found != line_index_.end()) return found->second;
  const bool labelled = !key.tenant.empty() || !key.tag.empty();
  if (lines_.size() >= static_cast<std::size_t>(labelled ? kLinesMax / 2 : kLinesMax))
    return kOthersLine;
  // No function's name has a space.
  const bool unnamed = key.function.find(' ') != std::string_view::npos;
  if (unnamed && unnamed_ == kUnnamedLinesMax) return kOthersLine;
  unnamed_ += unnamed ? 1 : 0;
  const int number = static_cast<int>(lines_.size());
  int base = number;
  if (labelled) {
    const auto own = line_index_.find({key.function, key.version, "", ""});
    if (own != line_index_.end()) base = own->second;
  }
  lines_.push_back(std::make_unique<Line>(Line{.key = key, .base = base}));
  line_index_.emplace(name_of(lines_.back()->key), number);
  return number;
}

int Ledger::base_of(int line) {
  const MutexLock lock(mutex_);
  return lines_[static_cast<std::size_t>(line)]->base;
}

Shard& Ledger::shard_slow(bool wisp_thread) {
  if (last_.thread_ends) {
    const MutexLock lock(mutex_);
    last_.shard = take_shard(wisp_thread).get();
    last_.ledger = id_;
    return *last_.shard;
  }
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
    shard = take_shard(wisp_thread);
  }
  last_ = {id_, shard.get()};
  mine.held.push_back({id_, wisp_thread, shard});
  return *shard;
}

// One that is free, or a new one. Nothing tells when a thread on its way out has made its last
// call: it borrows the shard for each.
std::shared_ptr<Shard> Ledger::take_shard(bool wisp_thread) {
  const auto free = std::find_if(shards_.begin(), shards_.end(), [wisp_thread](const auto& each) {
    bool unused = false;
    // Acquire: pairs with the release in let_go(); the last owner's writes are seen.
    return each->wisp_thread_ == wisp_thread &&
           each->in_use_.compare_exchange_strong(unused, true, std::memory_order_acquire);
  });
  std::shared_ptr<Shard> taken;
  if (free != shards_.end()) {
    taken = *free;
    // What the thread before has used since the last look at it counts as of now.
    advance_own(*taken, own_of(*taken), now_second());
    taken->take_over();
  } else {
    taken = shards_.emplace_back(std::make_shared<Shard>(*this, wisp_thread));
    taken->epoch_ = now_second();
  }
  taken->borrowed_ = last_.thread_ends;
  return taken;
}

void Ledger::thread_begins() {
  // A fiber's thread is the host's.
  if (current_fiber == nullptr) mark_wisp_thread();
  shard_slow(true);
}

void Ledger::thread_ends() {
  ThreadShards& mine = ThreadShards::mine();
  // Asks no clock, which may have gone before the last of the threads.
  std::erase_if(mine.held, [this](const ThreadShards::Held& each) {
    if (each.ledger != id_) return false;
    each.shard->let_go();
    return true;
  });
  last_ = {};
  if (current_fiber == nullptr) unmark_wisp_thread();
}

bool Ledger::marked(const void* used) const {
  const MutexLock lock(mutex_);
  // Acquire: what was done under a mark is seen once it has gone.
  return std::any_of(shards_.begin(), shards_.end(), [used](const auto& shard) {
    return shard->marked_.load(std::memory_order_acquire) == used;
  });
}

void Ledger::give_back(Shard& shard) {
  if (shard.timing() || shard.uses_ > 0) return;
  shard.borrowed_ = false;
  last_ = {.thread_ends = true};
  shard.let_go();
}

void Ledger::add_unusual(Cell& cell, std::uint64_t wall_ns, std::uint64_t weight) {
  const Usage usage = Usage::of({.wall = Duration(wall_ns)});
  cell.add(Count::over_ms, (usage.wall_ms - kOrdinary.wall_ms) * weight);
  cell.add(Count::over_ms_min, (usage.wall_min_100_ms - kOrdinary.wall_min_100_ms) * weight);
  cell.add(Count::over_100ms, (usage.wall_by_100_ms - kOrdinary.wall_by_100_ms) * weight);
}

// Inside a handler's stopwatch, so it does not throw: what there is no memory for counts as of the
// next second.
void Ledger::flush(Shard& shard) {
  const MutexLock lock(mutex_);
  std::size_t left = 0;
  for (const int line : shard.touched_)
    if (!flush_line(shard, line)) shard.touched_[left++] = line;
  shard.touched_.resize(left);
  shard.epoch_ = now_second();
  // When the next second begins, so that growth belongs to one second alone.
  const auto into = static_cast<std::uint64_t>(clock_.now().since_origin().count()) % kFlushNs;
  shard.flush_at_ = ticks_.now() + ticks_.from_ns(kFlushNs - into);
}

bool Ledger::flush_line(Shard& shard, int line) {
  Cell& cell = shard.cell(line);
  if (line == kOwnLine) {
    // What remains is added by the next look.
    advance_own(shard, cell.count(Count::cpu_ns), shard.epoch_);
  } else {
    const Totals now = cell.read();
    Totals growth{};
    for (std::size_t i = 0; i < kCounts; ++i) growth[i] = now[i] - cell.flushed[i];
    if (!lines_[static_cast<std::size_t>(line)]->window.add(shard.epoch_, growth)) return false;
    cell.flushed = now;
  }
  // The next call has to touch it.
  cell.touched = cell.brief = false;
  return true;
}

}  // namespace detail
}  // namespace wisp::inline v0
