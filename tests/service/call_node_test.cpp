// Started calls beyond the ordinary: who runs them when threads are few, and what they leave.
#include <wisp/service/detail/call_node.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "service/pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::Context;
using wisp::Status;
using wisp::StatusCode;
using wisp::test::AtEnd;
using wisp::test::eventually;
using wisp::test::Gate;
using wisp::test::Pumped;

// Two threads, and nobody to stand in for one that waits.
class Two final : public wisp::Executor {
 public:
  Status submit(wisp::Task& task) override { return pool_.submit(task); }

 private:
  wisp::Pool pool_{{.workers = {.max = 2, .policy = wisp::scaling::Fixed{2}}}};
};

}  // namespace

TEST_CASE("call: a waiter that nobody stands in for makes the retry itself", "[call]") {
  wisp::ManualClock clock;
  Two executor;
  Gate first;
  Gate waiting;
  const auto flaky = wisp::function("flaky",
                                    [&first](Context& context) -> wisp::Result<int> {
                                      if (context.attempt() > 1) return 7;
                                      first.pass();
                                      return wisp::unavailable("again");
                                    },
                                    {.retry = {.attempts = 2, .first_delay = 1s}});
  std::optional<wisp::Pending<int>> retried;
  std::optional<wisp::Pending<int>> middle;
  const auto waits = wisp::function("waits", [&] {
    waiting.pass();
    return *retried->wait();
  });
  const auto last = wisp::function("last", [&] { return *middle->wait() + 1; });
  wisp::Runtime runtime{wisp::Catalogue().add(flaky).add(waits).add(last),
                        {.clock = &clock, .executor = &executor}};
  retried.emplace(runtime.start(flaky));
  first.await(1);
  middle.emplace(runtime.start(waits));
  waiting.await(1);
  waiting.open();
  // It waits, so that no thread is left but the one that the first attempt holds.
  for (int i = 0; i < 10'000; ++i) std::this_thread::yield();
  auto outer = runtime.start(last);
  first.open();
  CHECK(eventually([&] {
    clock.advance(100ms);
    return outer.ready();
  }));
  CHECK(*outer.wait() == 8);
}

TEST_CASE("call: a continuation that another replaces may use its Pending while it goes",
          "[call]") {
  Pumped p;
  const auto nothing = wisp::function("nothing", [] {});
  REQUIRE(p.runtime.registry().add(nothing).ok());
  auto pending = p.runtime.start(nothing);
  bool ran = false;
  bool cancelled = false;
  const auto cancel = [&] {
    pending.cancel();
    cancelled = true;
  };
  pending.then([first = AtEnd<decltype(cancel)>(cancel)] {});
  pending.then([&ran] { ran = true; });
  CHECK(cancelled);
  CHECK(pending.ready());
}
