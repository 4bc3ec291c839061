// Windows, bills and the CPU of the rest of the process.
#include <dirent.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <map>
#include <span>
#include <tuple>

#include <wisp/engine/detail/ledger.hpp>
#include <wisp/engine/detail/thread.hpp>

#include "has_memory.hpp"

namespace wisp::inline v0::detail {
namespace {

constexpr std::int64_t kMinute = 60;
constexpr std::int64_t kHour = 3600;
constexpr std::size_t kSecondsMax = 61;  // the current one, and a whole minute before it
constexpr std::size_t kMinutesMax = 1440;
constexpr std::size_t kHoursMax = 768;
constexpr std::size_t kHostReadingsMax = 256;

template <class Bucket>
void insert(std::deque<Bucket>& buckets, std::int64_t start, std::int64_t end,
            const Totals& growth) {
  // Growth comes almost in order: the search from the end is short.
  auto place = buckets.end();
  while (place != buckets.begin() && std::prev(place)->start >= start) --place;
  if (place == buckets.end() || place->start != start)
    place = buckets.insert(place, Bucket{.start = start});
  place->end = std::max(place->end, end);
  for (std::size_t i = 0; i < kCounts; ++i) place->totals[i] += growth[i];
}

template <class Bucket>
void sum_from(const std::deque<Bucket>& buckets, std::int64_t from, Totals& sum) {
  for (const Bucket& each : buckets) {
    if (each.end <= from) continue;
    for (std::size_t i = 0; i < kCounts; ++i) sum[i] += each.totals[i];
  }
}

// The CPU clock of any thread of this process, by its kernel id. Source: clock_getcpuclockid(3) and
// the kernel's posix-timers_types.h, MAKE_THREAD_CPUCLOCK(tid, CPUCLOCK_SCHED).
std::uint64_t cpu_of_thread(int thread) {
  const auto clock = static_cast<clockid_t>((~static_cast<unsigned>(thread) << 3) | 4U | 2U);
  timespec now{};
  if (clock_gettime(clock, &now) != 0) return 0;
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// What a cell's words stand for. They are read one after another while their owner goes on, so a
// difference may be short of a call: it is nothing then, not 2^64.
std::uint64_t settled(std::uint64_t difference) {
  return static_cast<std::int64_t>(difference) < 0 ? 0 : difference;
}

std::uint64_t calls_of(const Totals& totals) {
  return settled(at(totals, Count::attempts) - at(totals, Count::retries));
}

Usage usage_of(const Totals& totals) {
  Usage usage;
  usage.attempts = at(totals, Count::attempts);
  usage.wall_ns = at(totals, Count::wall_ns);
  // The others are in these.
  const std::uint64_t timed =
      usage.attempts - at(totals, Count::untimed) + at(totals, Count::stood_for);
  usage.wall_ms = settled(timed * kOrdinary.wall_ms + at(totals, Count::over_ms));
  usage.wall_min_100_ms =
      settled(timed * kOrdinary.wall_min_100_ms + at(totals, Count::over_ms_min));
  usage.wall_by_100_ms = settled(timed * kOrdinary.wall_by_100_ms + at(totals, Count::over_100ms));
  usage.cpu_ns = at(totals, Count::cpu_ns);
  return usage;
}

// The numbers of lines by function, version, tenant and tag. Numbers: to sort the lines of a bill
// themselves takes 30 KB of code.
template <class KeyOf>
void sort_lines(std::vector<std::size_t>& lines, const KeyOf& key_of) {
  std::sort(lines.begin(), lines.end(), [&key_of](std::size_t a, std::size_t b) {
    const auto& left = key_of(a);
    const auto& right = key_of(b);
    return std::tie(left.function, left.version, left.tenant, left.tag) <
           std::tie(right.function, right.version, right.tenant, right.tag);
  });
}

}  // namespace

bool Ledger::Window::add(std::int64_t second, const Totals& growth) {
  if (!has_memory([&] { insert(seconds, second, second + 1, growth); })) return false;
  const auto roll = [](std::deque<Bucket>& fine, std::size_t max, std::deque<Bucket>& coarse,
                       std::int64_t fine_width, std::int64_t coarse_width) {
    const std::int64_t oldest =
        fine.empty() ? 0 : fine.back().start - static_cast<std::int64_t>(max) * fine_width;
    while (!fine.empty() && fine.front().start <= oldest) {
      insert(coarse, fine.front().start / coarse_width * coarse_width, fine.front().end,
             fine.front().totals);
      fine.pop_front();
    }
  };
  // What finds no room in a coarser bucket stays for the next time.
  (void)has_memory([&] {
    roll(seconds, kSecondsMax, minutes, 1, kMinute);
    roll(minutes, kMinutesMax, hours, kMinute, kHour);
  });
  while (hours.size() > kHoursMax) hours.pop_front();
  return true;
}

Totals Ledger::Window::sum(std::int64_t from) const {
  Totals sum{};
  sum_from(seconds, from, sum);
  sum_from(minutes, from, sum);
  sum_from(hours, from, sum);
  return sum;
}

std::int64_t Ledger::Window::first(std::int64_t from) const {
  std::int64_t first = from;
  const auto look = [&](const std::deque<Bucket>& buckets) {
    for (const Bucket& each : buckets)
      if (each.end > from) first = std::min(first, each.start);
  };
  look(seconds);
  look(minutes);
  look(hours);
  return first;
}

// Per line: whole buckets since `from`, and what the threads have not flushed yet.
std::vector<Totals> Ledger::totals_since(std::int64_t from) {
  std::vector<Totals> all;
  all.reserve(lines_.size());
  for (const auto& line : lines_) all.push_back(line->window.sum(from));
  for (const auto& shard : shards_) {
    if (shard->epoch_ + 1 <= from) continue;
    for (std::size_t i = kOwnLine + 1; i < all.size(); ++i) {
      const Cell* cell = shard->peek(static_cast<int>(i));
      if (cell == nullptr) continue;
      const Totals totals = cell->read();
      for (std::size_t k = 0; k < kCounts; ++k) all[i][k] += totals[k] - cell->flushed[k];
      at(all[i], Count::cpu_ns) += ticks_.to_ns(cell->open());
    }
  }
  return all;
}

// What wisp's own thread has used outside of handlers, with what it has not read itself yet.
std::uint64_t Ledger::own_of(const Shard& shard) const {
  const Cell* cell = shard.peek(kOwnLine);
  const std::uint64_t own = cell != nullptr ? cell->count(Count::cpu_ns) : 0;
  const int thread = shard.thread_.load(std::memory_order_relaxed);
  // What runs inside a handler is its line's, as soon as it has ended.
  const bool inside = shard.inside_.load(std::memory_order_relaxed);
  if (!shard.wisp_thread_ || !shard.real_ || thread == 0 || inside) return own;
  const std::uint64_t read = shard.cpu_read_ns_.load(std::memory_order_relaxed) + open_of(shard);
  const std::uint64_t now = cpu_of_thread(thread);
  return now > read ? own + (now - read) : own;
}

// What is unread may turn out to be a little less: then nothing is added until there is more.
void Ledger::advance_own(Shard& shard, std::uint64_t own_ns, std::int64_t second) {
  if (own_ns <= shard.seen_own_ns_) return;
  Totals growth{};
  at(growth, Count::cpu_ns) = own_ns - shard.seen_own_ns_;
  if (lines_[kOwnLine]->window.add(second, growth)) shard.seen_own_ns_ = own_ns;
}

// What handlers have used on this thread and is not shared out yet.
std::uint64_t Ledger::open_of(const Shard& shard) const {
  std::uint64_t open = 0;
  for (std::size_t i = 1; i < lines_.size(); ++i) {
    if (const Cell* cell = shard.peek(static_cast<int>(i)); cell != nullptr)
      open += ticks_.to_ns(cell->open());
  }
  return open;
}

// CPU of the process's live threads that wisp did not start; nothing if /proc does not tell.
std::optional<Ledger::ThreadCpu> Ledger::host_threads() const {
  if (!clock_.real()) return std::nullopt;
  DIR* tasks = opendir("/proc/self/task");
  if (tasks == nullptr) return std::nullopt;
  ThreadCpu all;
  while (const dirent* entry = readdir(tasks)) {
    const int thread = std::atoi(entry->d_name);
    if (thread > 0 && !is_wisp_thread(thread)) all.emplace(thread, cpu_of_thread(thread));
  }
  closedir(tasks);
  return all;
}

// Adds what has come since the last bill, thread by thread: what a thread used after it and before
// its own end is not seen, and its handlers' part is not taken off either.
void Ledger::advance_host(ThreadCpu threads) {
  const auto growth = [](std::uint64_t now, std::uint64_t before) {
    return static_cast<std::int64_t>(now >= before ? now - before : now);
  };
  for (const auto& [thread, cpu] : threads) {
    const auto seen = host_seen_.find(thread);
    std::uint64_t before = seen == host_seen_.end() ? 0 : seen->second;
    // As one of wisp's, unless that was an earlier thread.
    if (const std::uint64_t own = wisp_cpu_ns(thread); own <= cpu) before = std::max(before, own);
    host_ns_ += growth(cpu, before);
  }
  for (const auto& shard : shards_) {
    const int thread = shard->thread_.load(std::memory_order_relaxed);
    const auto live = threads.find(thread);
    if (shard->wisp_thread_ || live == threads.end()) continue;
    std::uint64_t open = open_of(*shard);
    // Inside a handler all since the last reading is its own.
    const std::uint64_t read = shard->cpu_read_ns_.load(std::memory_order_relaxed);
    if (shard->inside_.load(std::memory_order_relaxed) && live->second > read)
      open = std::max(open, live->second - read);
    const std::uint64_t handlers = shard->handler_cpu_ns_.load(std::memory_order_relaxed) + open;
    const bool same = std::exchange(shard->seen_thread_, thread) == thread;
    const std::uint64_t before = std::exchange(shard->seen_handlers_ns_, handlers);
    if (!same) host_ns_ -= static_cast<std::int64_t>(handlers);
    else host_ns_ -= static_cast<std::int64_t>(handlers) - static_cast<std::int64_t>(before);
  }
  host_seen_ = std::move(threads);
}

// The reading at a window's beginning: the last one not after `from`, unless it is older than a
// bucket of that age.
std::optional<std::int64_t> Ledger::host_at(std::int64_t from) const {
  const std::int64_t now = now_second();
  std::optional<std::int64_t> before;
  for (const HostReading& each : host_readings_) {
    if (each.second <= from && each.second + (now - from > kHour ? kMinute : 1) >= from)
      before = each.host_ns;
  }
  return from <= began_ ? 0 : before;
}

void Ledger::add_host(Bill& bill, std::optional<std::int64_t> before) {
  const std::int64_t now = now_second();
  if (before) {
    bill.host = Duration(std::max<std::int64_t>(host_ns_ - *before, 0));
    bill.host_quality = Quality::measured;
  }
  if (host_readings_.empty() || host_readings_.back().second != now)
    host_readings_.push_back({now, host_ns_});
  if (host_readings_.size() > kHostReadingsMax) host_readings_.pop_front();
}

std::uint64_t Ledger::calls_within(std::string_view function, Duration window) {
  const MutexLock lock(mutex_);
  const Duration since = clock_.now().since_origin() - window;
  const std::vector<Totals> all =
      totals_since(std::chrono::floor<std::chrono::seconds>(since).count());
  std::uint64_t calls = 0;
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (lines_[i]->key.function == function) calls += calls_of(all[i]);
  }
  return calls;
}

Bill Ledger::bill(Duration window, const Tariff& tariff, const Units& month_so_far) {
  Bill bill;
  bill.tariff = tariff.name;
  const MutexLock host(host_mutex_);
  std::optional<ThreadCpu> threads = host_threads();
  const MutexLock lock(mutex_);
  const Duration longest = std::chrono::hours(kHoursMax);
  const Duration now = clock_.now().since_origin();
  const Duration since = now - std::clamp(window, Duration::zero(), longest);
  const std::int64_t from =
      std::max(began_, std::chrono::floor<std::chrono::seconds>(since).count());
  for (const auto& shard : shards_) advance_own(*shard, own_of(*shard), now_second());
  std::int64_t first = from;
  for (const auto& line : lines_) first = std::min(first, line->window.first(from));
  bill.window = now - std::chrono::seconds(std::max(began_, first));
  const std::vector<Totals> totals = totals_since(from);
  std::vector<LineUsage> usages;
  const Quality cpu = clock_.real() ? Quality::measured : Quality::estimated;
  const Quality cost = tariff.empty() ? Quality::unavailable : Quality::measured;
  std::vector<std::size_t> used;
  for (std::size_t i = 1; i < lines_.size(); ++i)
    if (at(totals[i], Count::attempts) != 0) used.push_back(i);
  const std::span lines(lines_);
  sort_lines(used, [lines](std::size_t i) -> const LineKey& { return lines[i]->key; });
  for (const std::size_t i : used) {
    const LineKey& key = lines_[i]->key;
    BillLine line{
        .function = key.function, .version = key.version, .tenant = key.tenant, .tag = key.tag};
    line.calls = calls_of(totals[i]);
    line.attempts = at(totals[i], Count::attempts);
    line.errors = at(totals[i], Count::errors);
    line.wall = Duration(at(totals[i], Count::wall_ns));
    line.cpu = Duration(at(totals[i], Count::cpu_ns));
    line.cpu_quality = key.meter == Meter::sampled ? Quality::estimated : cpu;
    line.allocations = at(totals[i], Count::allocations);
    line.allocated_bytes = at(totals[i], Count::allocated_bytes);
    if (alloc_meter_linked) line.allocations_quality = Quality::measured;
    // Functions that share a line are priced at one size of memory.
    const bool estimated = key.meter == Meter::sampled || i == kOthersLine;
    line.cost_quality = estimated ? std::min(cost, Quality::estimated) : cost;
    bill.lines.push_back(std::move(line));
    usages.push_back({usage_of(totals[i]), key.memory_mb});
  }
  if (!tariff.empty()) {
    const PricedLines priced = price_lines(tariff, usages, month_so_far);
    bill.total = priced.total;
    bill.total_quality = cost;
    for (std::size_t i = 0; i < bill.lines.size(); ++i) {
      BillLine& line = bill.lines[i];
      line.cost = priced.lines[i];
      bill.total_quality = std::min(bill.total_quality, line.cost_quality);
      bill.units += tariff.units(usages[i].usage, usages[i].memory_mb);
    }
  }
  const std::optional<std::int64_t> host_before = host_at(from);
  if (clock_.real()) {
    bill.unattributed = Duration(at(totals[kOwnLine], Count::cpu_ns));
    bill.unattributed_quality = host_before ? Quality::measured : Quality::estimated;
  }
  if (threads) {
    advance_host(*std::move(threads));
    add_host(bill, host_before);
  }
  return bill;
}

std::vector<FunctionStats> Ledger::functions() {
  const MutexLock lock(mutex_);
  std::map<std::pair<std::string, int>, FunctionStats> sums;
  for (std::size_t i = 1; i < lines_.size(); ++i) {
    const LineKey& key = lines_[i]->key;
    FunctionStats& sum = sums[{key.function, key.version}];
    sum.name = key.function;
    sum.version = key.version;
    for (const auto& shard : shards_) {
      const Cell* cell = shard->peek(static_cast<int>(i));
      if (cell == nullptr) continue;
      const Totals totals = cell->read();
      sum.calls += calls_of(totals);
      sum.attempts += at(totals, Count::attempts);
      sum.errors += at(totals, Count::errors);
      sum.cpu += Duration(at(totals, Count::cpu_ns) + ticks_.to_ns(cell->open()));
      if (cell->own == nullptr) continue;
      sum.run += cell->own->run.snapshot();
      sum.wait += cell->own->wait.snapshot();
    }
  }
  std::vector<FunctionStats> all;
  all.reserve(sums.size());
  for (auto& [key, sum] : sums) {
    if (sum.attempts == 0 && key.first == lines_[kOthersLine]->key.function) continue;
    all.push_back(std::move(sum));
  }
  return all;
}

}  // namespace wisp::inline v0::detail
