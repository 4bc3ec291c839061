// An embedded guest behaves.
#include <wisp/runtime.hpp>

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "sanitized.hpp"

namespace {

using namespace wisp::literals;
using wisp::test::eventually;
using wisp::test::threads;
using wisp::test::threads_at_rest;

int open_files() {
  int count = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

}  // namespace

TEST_CASE("embedding: no thread before the first work", "[embedding]") {
  const int before = threads_at_rest();
  const auto twice = wisp::function("twice", [](int n) { return 2 * n; });
  wisp::Runtime runtime{wisp::Catalogue().add(twice), {.workers = {.min = 2}}};
  auto subscription = runtime.on("a").to([](int) {});
  CHECK(*runtime.call(twice, 1) == 2);
  CHECK(runtime.emit("nobody", 1).ok());
  (void)runtime.bill(1h);
  (void)runtime.stats();
  CHECK(threads() == before);
  CHECK(*runtime.start(twice, 1).wait() == 2);
  CHECK(threads() > before);
  CHECK(runtime.stop(20s).status.ok());
  CHECK(eventually([&] { return threads() == before; }));
}

TEST_CASE("embedding: a thousand runtimes one after another leave nothing behind", "[embedding]") {
  const int rounds = wisp::test::kSanitized ? 200 : 1000;
  const auto twice = wisp::function("twice", [](int n) { return 2 * n; });
  const auto once = [&twice] {
    wisp::Runtime runtime{wisp::Catalogue().add(twice), {.workers = {.max = 2}}};
    auto subscription = runtime.on("a").to(twice);
    auto soon = runtime.after(1h).run([] {});
    const bool emitted = runtime.emit("a", 1).ok();
    return emitted && *runtime.start(twice, 3).wait() == 6;
  };
  REQUIRE(once());
  const int threads_before = threads_at_rest();
  const int files_before = open_files();
  int good = 0;
  for (int i = 0; i < rounds; ++i) good += once() ? 1 : 0;
  CHECK(good == rounds);
  CHECK(eventually([&] { return threads() == threads_before; }));
  CHECK(open_files() == files_before);
}

TEST_CASE("embedding: workers are named and leave signals to the host", "[embedding]") {
  std::mutex mutex;
  std::set<std::string> names;
  bool masked = true;
  std::set<int> indices;
  const auto look = wisp::function("look", [&] {
    char name[16] = {};
    pthread_getname_np(pthread_self(), name, sizeof name);
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, nullptr, &set);
    const std::lock_guard lock(mutex);
    names.insert(name);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGALRM})
      masked = masked && sigismember(&set, signal) == 1;
    // One of a thread's own fault goes to the host's crash handler.
    masked = masked && sigismember(&set, SIGSEGV) == 0;
  });
  {
    wisp::Runtime runtime{wisp::Catalogue().add(look),
                          {.workers = {.max = 2}, .on_thread_start = [&](int index) {
                             const std::lock_guard lock(mutex);
                             indices.insert(index);
                           }}};
    for (int i = 0; i < 100; ++i) REQUIRE(runtime.post(look).ok());
    REQUIRE(runtime.stop(20s).status.ok());
  }
  CHECK(masked);
  CHECK_FALSE(names.empty());
  for (const std::string& each : names) CHECK((each == "wisp-0" || each == "wisp-1"));
  CHECK(indices.count(0) == 1);
}

TEST_CASE("embedding: two runtimes at once call into each other", "[embedding]") {
  const auto twice = wisp::function("twice", [](int n) { return 2 * n; });
  wisp::Runtime back{wisp::Catalogue().add(twice), {.workers = {.max = 1}}};
  const auto forward = wisp::function("forward", [&](int n, wisp::Context& context) {
    CHECK(&context.runtime() != &back);
    // Another runtime's handler starts a chain of its own.
    return *back.start(twice, n).wait() + *back.call(twice, n);
  });
  wisp::Runtime front{wisp::Catalogue().add(forward), {.workers = {.max = 1}}};
  std::vector<wisp::Pending<int>> pending;
  for (int i = 0; i < 20; ++i) pending.push_back(front.start(forward, i));
  for (int i = 0; i < 20; ++i) CHECK(*pending[static_cast<std::size_t>(i)].wait() == 4 * i);
  CHECK(back.bill(1h).lines.front().calls == 40);
  CHECK(front.bill(1h).lines.size() == 1);
}

// The thread sanitizer does not follow a fork of a process with threads, and g++ 12's address
// sanitizer leaves its allocator's locks to the child as another thread held them.
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
TEST_CASE("embedding: in a child after fork every verb refuses and nothing hangs", "[embedding]") {
  wisp::test::Gate gate;
  const auto twice = wisp::function("twice", [](int n) { return 2 * n; });
  const auto holds = wisp::function("holds", [&gate](int n) {
    gate.pass();
    return n;
  });
  std::optional<wisp::Runtime> runtime;
  runtime.emplace(wisp::Catalogue().add(twice).add(holds),
                  wisp::RuntimeOptions{.workers = {.max = 1}});
  std::optional<wisp::Subscription> subscription = runtime->on("a").to(holds);
  std::optional<wisp::Schedule> schedule = runtime->every(1h).run([] {});
  REQUIRE(runtime->emit("a", 1).ok());
  gate.await(1);
  auto queued = runtime->start(twice, 1);
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a hang ends here, by SIGALRM
    int faults = 0;
    const auto refused = [&faults](const wisp::Status& status) {
      if (wisp::reason_of(status) != wisp::Reason::stopped) ++faults;
    };
    refused(runtime->call(twice, 1).status());
    refused(runtime->start(twice, 1).wait().status());
    refused(runtime->post(twice, 1).status());
    refused(runtime->emit("a", 1).status());
    refused(runtime->on("a").to(twice).status());
    refused(runtime->after(1s).run([] {}).status());
    refused(queued.wait().status());
    refused(runtime->stop(1s).status);
    if (runtime->pump().ran != 0 || !runtime->bill(1h).lines.empty()) ++faults;
    subscription.reset();
    schedule.reset();
    runtime.reset();
    // A runtime of its own works.
    wisp::Runtime own{wisp::Catalogue().add(twice)};
    if (*own.start(twice, 4).wait() != 8) ++faults;
    if (!own.stop(10s).status.ok()) ++faults;
    _exit(faults);
  }
  REQUIRE(child > 0);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  gate.open();
  CHECK(*queued.wait() == 2);
  subscription.reset();
  CHECK(runtime->stop(20s).status.ok());
}
#endif
