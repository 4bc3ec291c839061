#include <wisp/engine/executor.hpp>

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <wisp/engine/detail/thread.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"

using namespace std::chrono_literals;
using wisp::ManualClock;
using wisp::ManualExecutor;
using wisp::Status;
using wisp::StatusCode;
using wisp::Task;
using wisp::test::AtEnd;
using wisp::test::submit;

TEST_CASE("executor: a pump runs what was queued when it began, in order", "[executor]") {
  ManualClock clock;
  ManualExecutor executor(clock);
  std::vector<int> ran;
  for (int i = 0; i < 3; ++i) {
    REQUIRE(submit(executor, [&ran, i] { ran.push_back(i); }).ok());
  }
  REQUIRE(submit(executor, [&] {
            ran.push_back(3);
            CHECK(submit(executor, [&ran] { ran.push_back(4); }).ok());
          }).ok());
  CHECK(executor.queued() == 4);
  CHECK(ran.empty());

  const ManualExecutor::Pumped first = executor.pump();
  CHECK(first.ran == 4);
  CHECK(first.left == 1);
  CHECK(ran == std::vector<int>{0, 1, 2, 3});

  CHECK(executor.pump().ran == 1);
  CHECK(ran.back() == 4);
  CHECK(executor.pump().ran == 0);
}

TEST_CASE("executor: a pump keeps to its budget of time and of tasks", "[executor]") {
  ManualClock clock;
  ManualExecutor executor(clock);
  for (int i = 0; i < 10; ++i) REQUIRE(submit(executor, [&clock] { clock.advance(1ms); }).ok());

  CHECK(executor.pump({}, 4).ran == 4);
  const ManualExecutor::Pumped timed = executor.pump(2ms);
  CHECK(timed.ran == 2);
  CHECK(timed.left == 4);
  // The first task always runs: else a budget that is too short would never get anywhere.
  CHECK(executor.pump(1ns, 9).ran == 1);
  CHECK(executor.pump(1h).ran == 3);
}

TEST_CASE("executor: one pump at a time", "[executor]") {
  ManualClock clock;
  ManualExecutor executor(clock);
  bool second = false;
  REQUIRE(submit(executor, [&] {
            CHECK(executor.pump().ran == 0);
            CHECK(executor.pump().left == 1);
            std::thread([&] { second = executor.pump().ran == 0; }).join();
          }).ok());
  REQUIRE(submit(executor, [] {}).ok());
  CHECK(executor.pump().ran == 2);
  CHECK(second);
}

TEST_CASE("executor: the pumping thread is the executor's while it pumps", "[executor]") {
  ManualClock clock;
  ManualExecutor executor(clock);
  ManualExecutor other(clock);
  bool inside = false;
  bool elsewhere = true;
  bool blocking = true;
  REQUIRE(submit(executor, [&] {
            inside = executor.on_executor_thread() && !other.on_executor_thread();
            std::thread([&] { elsewhere = executor.on_executor_thread(); }).join();
            blocking = executor.begin_blocking();
          }).ok());
  CHECK_FALSE(executor.on_executor_thread());
  executor.pump();
  CHECK(inside);
  CHECK_FALSE(elsewhere);
  CHECK_FALSE(blocking);  // nobody else runs tasks: the waiter runs what it waits for
  CHECK_FALSE(executor.on_executor_thread());
}

TEST_CASE("executor: a full queue refuses and leaves the task", "[executor]") {
  ManualClock clock;
  ManualExecutor executor(clock, 2);
  REQUIRE(submit(executor, [] {}).ok());
  REQUIRE(submit(executor, [] {}).ok());

  bool ran = false;
  Task third = [&ran] { ran = true; };
  const Status full = executor.submit(third);
  CHECK(full.code() == StatusCode::kResourceExhausted);
  CHECK(wisp::reason_of(full) == wisp::Reason::full);
  CHECK(wisp::message(full) == "queue of the pump is full (2)");
  REQUIRE(third);
  third();
  CHECK(ran);

  executor.pump({}, 1);
  CHECK(executor.submit(third).ok());
  CHECK_FALSE(third);
}

TEST_CASE("executor: close destroys what is queued, with no lock held", "[executor]") {
  ManualClock clock;
  ManualExecutor executor(clock);
  int destroyed = 0;
  for (int i = 0; i < 3; ++i) {
    AtEnd end([&] {
      ++destroyed;
      CHECK(executor.queued() == 0);
      CHECK(wisp::reason_of(submit(executor, [] {})) == wisp::Reason::stopped);
    });
    REQUIRE(submit(executor, [end = std::move(end)] { FAIL("ran"); }).ok());
  }
  executor.close();
  CHECK(destroyed == 3);
  CHECK(executor.pump().ran == 0);

  Task task = [] {};
  CHECK(executor.submit(task).code() == StatusCode::kUnavailable);
  CHECK(task);
}

TEST_CASE("executor: a task may close its executor, and the destructor closes", "[executor]") {
  ManualClock clock;
  int destroyed = 0;
  {
    ManualExecutor executor(clock);
    const auto counted = [&] {
      return AtEnd([&] {
        ++destroyed;
        CHECK_FALSE(submit(executor, [] {}).ok());
      });
    };
    REQUIRE(submit(executor, [&executor] { executor.close(); }).ok());
    REQUIRE(submit(executor, [end = counted()] { FAIL("ran"); }).ok());
    CHECK(executor.pump().ran == 1);
    CHECK(destroyed == 1);
  }
  {
    ManualExecutor executor(clock);
    REQUIRE(submit(executor, [end = AtEnd([&] { ++destroyed; })] { FAIL("ran"); }).ok());
  }
  CHECK(destroyed == 2);
}

TEST_CASE("executor: any thread submits while another pumps", "[executor]") {
  constexpr int kThreads = 4;
  constexpr int kTasks = 2'000;
  ManualClock clock;
  ManualExecutor executor(clock, 64);
  int ran = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&executor, &ran] {
      for (int i = 0; i < kTasks; ++i) {
        Task task = [&ran] { ++ran; };
        while (!executor.submit(task).ok()) std::this_thread::yield();
      }
    });
  }
  while (ran < kThreads * kTasks) {
    if (executor.pump().ran == 0) std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(executor.queued() == 0);
}

TEST_CASE("executor: a thread of its own is named and masked", "[executor]") {
  ManualClock clock;
  ManualExecutor executor(clock);
  std::binary_semaphore done(0);
  std::string name;
  sigset_t masked;
  bool ran = false;
  // The semaphore is released by the body's end, after it ran.
  REQUIRE(executor
              .start_thread("wisp-a-name-that-is-long",
                            [&, end = AtEnd([&done] { done.release(); })] {
                              std::array<char, 64> text{};
                              pthread_getname_np(pthread_self(), text.data(), text.size());
                              name = text.data();
                              pthread_sigmask(SIG_BLOCK, nullptr, &masked);
                              ran = true;
                            })
              .ok());
  done.acquire();
  CHECK(ran);
  CHECK(name == "wisp-a-name-tha");
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGALRM, SIGPROF, SIGCHLD, SIGPIPE}) {
    CHECK(sigismember(&masked, signal) == 1);
  }
  CHECK(sigismember(&masked, SIGSEGV) == 0);
  sigset_t own;
  pthread_sigmask(SIG_BLOCK, nullptr, &own);
  CHECK(sigismember(&own, SIGTERM) == 0);
}

TEST_CASE("executor: the kernel tells who sleeps", "[executor]") {
  std::atomic<pid_t> id{0};
  std::atomic<bool> spin{true};
  std::binary_semaphore go(0);
  wisp::Result<wisp::detail::Thread> thread = wisp::detail::Thread::start(") S (", [&] {
    id = wisp::detail::current_thread_id();
    while (spin) {
    }
    go.acquire();
  });
  REQUIRE(thread.ok());
  while (id == 0) std::this_thread::yield();
  for (int i = 0; i < 100; ++i) CHECK(wisp::detail::asleep(id) == false);
  spin = false;
  while (wisp::detail::asleep(id) != true) std::this_thread::yield();
  // Without a free descriptor it tells nothing.
  rlimit files{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &files) == 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = files.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const std::optional<bool> unknown = wisp::detail::asleep(id);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &files) == 0);
  CHECK_FALSE(unknown);
  go.release();
  thread->join();
  CHECK(wisp::detail::asleep(id) == false);  // gone
  CHECK(wisp::detail::asleep(-1) == false);
}
