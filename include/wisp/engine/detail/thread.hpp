// A thread whose failure to start is a value, and what the kernel says of one.
//
//   WISP_TRY(detail::Thread thread, detail::Thread::start("wisp-0", [state] { state->work(); }));
//   ...
//   thread.join();
//
// std::thread reports failure by an exception and cannot name or mask its thread before it runs.
//
// Threads: one-at-a-time.
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include <wisp/base/callable.hpp>
#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>

namespace wisp::inline v0::detail {

class Thread {
 public:
  // No thread.
  Thread() = default;
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;  // Requires: this one holds no thread.
  ~Thread();                                   // Requires: joined, detached, or never started.

  using Body = InlineFunction<void(), 48>;

  // Runs `body`, then destroys it, on a new thread. The name keeps 15 characters. The thread is
  // born with every signal masked but those that a fault of its own raises (SIGSEGV, SIGBUS,
  // SIGFPE, SIGILL, SIGTRAP, SIGSYS): masked, the kernel would kill the process past the host's
  // crash handler. kUnavailable with errno's text if the system refuses; `body` is then destroyed.
  static Result<Thread> start(std::string_view name, Body body);

  bool started() const { return started_; }

  // Requires: started.
  void join();
  void detach();
  // Within that time by a steady clock; false: it has not ended, and is still to be joined.
  bool join_within(Duration bound);

 private:
  pthread_t id_{};
  bool started_ = false;
};

// The calling thread's kernel id, and its CPU clock.
pid_t current_thread_id();
std::uint64_t thread_cpu_ns();

// The calling thread is one of wisp's own from now on, and then no longer. /proc lists the threads
// of a process, not of a Runtime, so this is known process-wide; no lock, since a fork may come at
// any time.
void mark_wisp_thread();
void unmark_wisp_thread();
bool is_wisp_thread(pid_t thread_id);
// What a thread had used when it was last unmarked, so that it is nobody else's while the thread is
// on its way out: 0 if it never was, or another one has ended in the place of its mark since. The
// thread that is asked about may be a later one of the same id.
std::uint64_t wisp_cpu_ns(pid_t thread_id);

// The calling thread's timed waits end when they should, not up to 50 µs later.
void wake_punctually();

// "no thread could be started: <errno's text>".
Status no_thread(int error);

// Whether the kernel has the thread of this process asleep (state S or D in its stat file). False
// for one that runs, waits for a processor or has ended; nothing if it cannot be looked at, as
// without free descriptors. About 10 µs.
std::optional<bool> asleep(pid_t thread_id);

}  // namespace wisp::inline v0::detail
