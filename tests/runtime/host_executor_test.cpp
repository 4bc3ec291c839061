// A whole Runtime on threads that the test owns: Boost.Asio's.
#include <wisp/engine/executor.hpp>

// The thread sanitizer knows no fences, and Asio's own locks order what this test looks at.
#define BOOST_ASIO_DISABLE_FENCED_BLOCK
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"

namespace {

using namespace wisp::literals;
using wisp::test::eventually;

// The few lines of executor.hpp, and the threads.
class AsioExecutor final : public wisp::Executor {
 public:
  explicit AsioExecutor(int threads) : guard_(boost::asio::make_work_guard(io_)) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this] { io_.run(); });
      ids_.insert(threads_.back().get_id());
    }
  }
  ~AsioExecutor() override {
    guard_.reset();
    for (std::thread& each : threads_) each.join();
  }

  wisp::Status submit(wisp::Task& task) override {
    boost::asio::post(io_, [this, t = std::make_shared<wisp::Task>(std::move(task))] {
      current_ = this;
      (*t)();
      current_ = nullptr;
    });
    return wisp::Status();
  }
  bool on_executor_thread() const override { return current_ == this; }

  bool owns(std::thread::id id) const { return ids_.count(id) != 0; }

 private:
  static thread_local const AsioExecutor* current_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  std::vector<std::thread> threads_;
  std::set<std::thread::id> ids_;
};

thread_local const AsioExecutor* AsioExecutor::current_ = nullptr;

}  // namespace

TEST_CASE("host executor: a runtime runs on threads that the host owns", "[host_executor]") {
  AsioExecutor executor(2);
  std::atomic<int> foreign{0};
  std::atomic<int> ran{0};
  const auto here = [&] {
    ++ran;
    if (!executor.owns(std::this_thread::get_id())) ++foreign;
  };
  int failures = 2;
  const auto twice = wisp::function("twice",
                                    [&here](int n) {
                                      here();
                                      return 2 * n;
                                    },
                                    {.pool_only = true});
  const auto flaky =
      wisp::function("flaky",
                     [&](int) -> wisp::Status {
                       here();
                       return failures-- > 0 ? wisp::unavailable("not yet") : wisp::Status();
                     },
                     {.retry = {.attempts = 3, .first_delay = 1ms}});
  {
    wisp::Runtime runtime{wisp::Catalogue().add(twice).add(flaky), {.executor = &executor}};
    REQUIRE(runtime.status().ok());
    CHECK(*runtime.start(twice, 4).wait() == 8);
    auto subscription = runtime.on("a.*").to([&here](int) { here(); });
    for (int i = 0; i < 100; ++i) REQUIRE(runtime.emit("a.b", i).ok());
    REQUIRE(runtime.post(flaky, 1).ok());
    auto soon = runtime.after(1ms).run([&here] { here(); });
    CHECK(eventually([&] { return ran == 1 + 100 + 3 + 1; }));
    CHECK(runtime.stop(20s).status.ok());
    CHECK(runtime.stats().workers.peak == 0);
    CHECK(runtime.bill(1h).unattributed_quality == wisp::Quality::measured);
  }
  CHECK(foreign == 0);
}

TEST_CASE("host executor: a wait inside a handler ends on the only thread", "[host_executor]") {
  AsioExecutor executor(1);
  const bool pool_only = GENERATE(false, true);
  const auto leaf = wisp::function("leaf", [](int n) { return n; }, {.pool_only = pool_only});
  const auto outer = wisp::function("outer", [&leaf](int n, wisp::Context& context) {
    return *context.runtime().start(leaf, n).wait() + 1;
  });
  wisp::Runtime runtime{wisp::Catalogue().add(leaf).add(outer), {.executor = &executor}};
  std::vector<wisp::Pending<int>> pending;
  for (int i = 0; i < 50; ++i) pending.push_back(runtime.start(outer, i));
  for (int i = 0; i < 50; ++i) {
    REQUIRE(eventually([&] { return pending[static_cast<std::size_t>(i)].ready(); }));
    CHECK(*pending[static_cast<std::size_t>(i)].wait() == i + 1);
  }
}

TEST_CASE("host executor: tasks that are left when the runtime has gone find nothing to do",
          "[host_executor]") {
  std::optional<AsioExecutor> executor(1);
  wisp::test::Gate gate;
  std::atomic<int> ran{0};
  const auto count = wisp::function("count", [&ran](int) { ++ran; });
  boost::asio::io_context unused;
  {
    wisp::Task block([&gate] { gate.pass(); });
    REQUIRE(executor->submit(block).ok());
    gate.await(1);
    wisp::Runtime runtime{wisp::Catalogue().add(count), {.executor = &*executor}};
    for (int i = 0; i < 10; ++i) REQUIRE(runtime.post(count, i).ok());
    auto pending = runtime.start(count, 10);
    const wisp::Stopped stopped = runtime.stop(1ms);
    CHECK(stopped.status.code() == wisp::StatusCode::kDeadlineExceeded);
    CHECK(runtime.stats().events.cancelled == 10);
  }
  gate.open();
  executor.reset();
  CHECK(ran == 0);
}

namespace {

// The least that a host can write: it does not know its own threads.
class Plain final : public wisp::Executor {
 public:
  ~Plain() override {
    guard_.reset();
    thread_.join();
  }
  wisp::Status submit(wisp::Task& task) override {
    boost::asio::post(io_, [t = std::make_shared<wisp::Task>(std::move(task))] { (*t)(); });
    return wisp::Status();
  }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_{
      boost::asio::make_work_guard(io_)};
  std::thread thread_{[this] { io_.run(); }};
};

}  // namespace

TEST_CASE("host executor: one that does not know its threads never deadlocks either",
          "[host_executor]") {
  Plain executor;
  const auto leaf = wisp::function("leaf", [](int n) { return n; }, {.pool_only = true});
  const auto middle = wisp::function("middle", [&leaf](int n, wisp::Context& context) {
    return *context.runtime().start(leaf, n).wait() + 1;
  });
  const auto outer = wisp::function("outer", [&middle](int n, wisp::Context& context) {
    return *context.runtime().call(middle, n) + *context.runtime().start(middle, n).wait();
  });
  wisp::Runtime runtime{wisp::Catalogue().add(leaf).add(middle).add(outer),
                        {.executor = &executor}};
  auto pending = runtime.start(outer, 1);
  REQUIRE(pending.wait_for(20s).ok());
  CHECK(*pending.wait() == 4);
  std::atomic<int> sum{0};
  auto subscription = runtime.on("a").to(
      [&](int n, wisp::Context& context) { sum += *context.runtime().start(leaf, n).wait(); });
  REQUIRE(runtime.emit("a", 5).ok());
  CHECK(runtime.stop(20s).status.ok());
  CHECK(sum == 5);
}

TEST_CASE("host executor: handlers that are asked to stop have time to", "[host_executor]") {
  AsioExecutor executor(2);
  std::atomic<int> inside{0};
  std::atomic<int> ended{0};
  const auto sleeps = wisp::function("sleeps", [&](wisp::Context& context) {
    ++inside;
    const wisp::Status status = context.sleep(10h);
    ++ended;
    return status;
  });
  wisp::Runtime runtime{wisp::Catalogue().add(sleeps), {.executor = &executor}};
  auto pending = runtime.start(sleeps);
  auto queued = runtime.start(sleeps);
  REQUIRE(runtime.post(sleeps).ok());
  REQUIRE(eventually([&] { return inside == 2; }));
  const wisp::Stopped stopped = runtime.stop(0s);
  CHECK(ended == 2);
  for (const wisp::Abandoned& each : stopped.abandoned) CHECK(each.state == "queued");
  CHECK(pending.ready());
  CHECK(queued.ready());
  CHECK(runtime.stats().queued == 0);
}
