#include <wisp/engine/detail/thread.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <memory>
#include <system_error>
#include <utility>

namespace wisp::inline v0::detail {
namespace {

constexpr std::size_t kNameMax = 15;

struct Start {
  std::array<char, kNameMax + 1> name{};
  Thread::Body body;
};

void* run(void* argument) {
  const std::unique_ptr<Start> start(static_cast<Start*>(argument));
  pthread_setname_np(pthread_self(), start->name.data());
  start->body();
  return nullptr;
}

// Which threads are wisp's. Slots are pushed at the front, reused, and never freed: as many as
// there ever were such threads at once. A slot names its process too, so that a child after fork
// finds none of its own in those of its parent.
struct Mark {
  std::atomic<std::uint64_t> thread{0};  // 0: free, with a release, acquire by who looks
  // The last one that ended in it, 0 while that is written, and what it had used. Who reads looks
  // at `ended` on both sides; all seq_cst.
  std::atomic<std::uint64_t> ended{0};
  std::atomic<std::uint64_t> ended_cpu_ns{0};
  Mark* next = nullptr;  // constant once pushed
};
std::atomic<Mark*> marks{nullptr};  // release when pushed, acquire by who walks

std::uint64_t mark_of(pid_t thread_id) {
  return std::uint64_t{static_cast<std::uint32_t>(getpid())} << 32 |
         static_cast<std::uint32_t>(thread_id);
}

template <class Wanted>
Mark* find_mark(const Wanted& wanted) {
  Mark* each = marks.load(std::memory_order_acquire);
  while (each != nullptr && !wanted(*each)) each = each->next;
  return each;
}

sigset_t masked_signals() {
  sigset_t signals;
  sigfillset(&signals);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS})
    sigdelset(&signals, fault);
  return signals;
}

}  // namespace

Thread::Thread(Thread&& other) noexcept
    : id_(other.id_), started_(std::exchange(other.started_, false)) {}

Thread& Thread::operator=(Thread&& other) noexcept {
  assert(!started_);
  id_ = other.id_;
  started_ = std::exchange(other.started_, false);
  return *this;
}

Thread::~Thread() { assert(!started_); }

Result<Thread> Thread::start(std::string_view name, Body body) {
  auto start = std::make_unique<Start>();
  std::copy_n(name.data(), std::min(name.size(), kNameMax), start->name.data());
  start->body = std::move(body);
  Thread thread;
  // The child inherits the mask, so no signal finds it unmasked.
  const sigset_t masked = masked_signals();
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, &masked, &before);
  const int error = pthread_create(&thread.id_, nullptr, &run, start.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) return no_thread(error);
  start.release();
  thread.started_ = true;
  return thread;
}

void Thread::join() {
  assert(started_);
  started_ = false;
  pthread_join(id_, nullptr);
}

void Thread::detach() {
  assert(started_);
  started_ = false;
  pthread_detach(id_);
}

bool Thread::join_within(Duration bound) {
  assert(started_);
#if defined(__SANITIZE_THREAD__)
  constexpr clockid_t kClock = CLOCK_REALTIME;  // the sanitizer knows no other join
#else
  constexpr clockid_t kClock = CLOCK_MONOTONIC;
#endif
  timespec now{};
  clock_gettime(kClock, &now);
  const Duration since = std::chrono::seconds(now.tv_sec) + Duration(now.tv_nsec);
  const Duration end = (Time(since) + bound).since_origin();
  const timespec until{.tv_sec = static_cast<time_t>(end / std::chrono::seconds(1)),
                       .tv_nsec = static_cast<long>((end % std::chrono::seconds(1)).count())};
#if defined(__SANITIZE_THREAD__)
  const int error = pthread_timedjoin_np(id_, nullptr, &until);
#else
  const int error = pthread_clockjoin_np(id_, nullptr, kClock, &until);
#endif
  started_ = error == ETIMEDOUT;
  return !started_;
}

pid_t current_thread_id() { return static_cast<pid_t>(syscall(SYS_gettid)); }

std::uint64_t thread_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

void mark_wisp_thread() {
  const std::uint64_t self = mark_of(current_thread_id());
  const auto take = [self](Mark& each) {
    std::uint64_t free = 0;
    return each.thread.compare_exchange_strong(free, self, std::memory_order_relaxed);
  };
  if (find_mark(take) != nullptr) return;
  auto* const mark = new Mark;
  mark->thread.store(self, std::memory_order_relaxed);
  mark->next = marks.load(std::memory_order_relaxed);
  while (!marks.compare_exchange_weak(mark->next, mark, std::memory_order_release,
                                      std::memory_order_relaxed)) {
  }
}

void unmark_wisp_thread() {
  const std::uint64_t self = mark_of(current_thread_id());
  Mark* const mark = find_mark(
      [self](const Mark& each) { return each.thread.load(std::memory_order_relaxed) == self; });
  if (mark == nullptr) return;
  mark->ended = 0;
  mark->ended_cpu_ns = thread_cpu_ns();
  mark->ended = self;
  mark->thread.store(0, std::memory_order_release);
}

bool is_wisp_thread(pid_t thread_id) {
  const std::uint64_t wanted = mark_of(thread_id);
  return find_mark([wanted](const Mark& each) {
           return each.thread.load(std::memory_order_acquire) == wanted;
         }) != nullptr;
}

std::uint64_t wisp_cpu_ns(pid_t thread_id) {
  const std::uint64_t wanted = mark_of(thread_id);
  std::uint64_t most_ns = 0;
  for (const Mark* each = marks.load(std::memory_order_acquire); each != nullptr;
       each = each->next) {
    if (each->ended != wanted) continue;
    const std::uint64_t cpu_ns = each->ended_cpu_ns;
    if (each->ended == wanted) most_ns = std::max(most_ns, cpu_ns);
  }
  return most_ns;
}

void wake_punctually() { prctl(PR_SET_TIMERSLACK, 1UL); }

Status no_thread(int error) {
  return unavailable("no thread could be started: {}", std::generic_category().message(error));
}

std::optional<bool> asleep(pid_t thread_id) {
  std::array<char, 64> path{};
  // Not fmt: into an array it would be compiled once more, all 80 KB of it.
  std::snprintf(path.data(), path.size(), "/proc/self/task/%d/stat", thread_id);
  const int file = open(path.data(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno == ENOENT ? std::optional(false) : std::nullopt;
  // "id (name) state ...": the name has at most 15 characters, and may hold parentheses.
  std::array<char, 64> text{};
  const ssize_t size = read(file, text.data(), text.size());
  close(file);
  if (size <= 0) return false;
  const std::string_view head(text.data(), static_cast<std::size_t>(size));
  const std::size_t name_begin = head.find('(');
  const std::size_t name_end = head.substr(0, name_begin + kNameMax + 2).rfind(')');
  if (name_begin == head.npos || name_end == head.npos || name_end + 2 >= head.size()) return false;
  const char state = head[name_end + 2];
  return state == 'S' || state == 'D';
}

}  // namespace wisp::inline v0::detail
