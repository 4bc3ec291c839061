#include <algorithm>
#include <vector>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::Time;
using wisp::sim::World;

constexpr int kPosts = 400;
constexpr int kBudgetAttempts = 3;

}  // namespace

TEST_CASE("budget: a function that fails is not stormed with retries, and loses none", "[budget]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    std::vector<Time> retries;
    const auto failing =
        wisp::function("failing",
                       [&](int, Context& context) {
                         if (context.attempt() > 1) retries.push_back(world.clock().now());
                         return wisp::unavailable("down");
                       },
                       {.retry = {.attempts = kBudgetAttempts,
                                  .first_delay = wisp::uniform(world.random(), 1, 50) * 1ms}});
    wisp::Runtime runtime{wisp::Catalogue().add(failing), world.options()};
    const auto watch = wisp::test::watch_some(world, runtime);
    for (int i = 0; i < kPosts; ++i) CHECK(runtime.post(failing, i).ok());
    world.advance(1h);
    CHECK(retries.size() == static_cast<std::size_t>(kPosts * (kBudgetAttempts - 1)));
    wisp::test::conserved_at_rest(runtime);
    CHECK(runtime.stats().events.dead == kPosts);
    // A minute's worth at once, ten a second after it, and a fifth of the calls; a retry that was
    // put off has its backoff besides.
    const Time first = retries.front();
    const auto in_first_second = std::count_if(retries.begin(), retries.end(),
                                               [first](Time each) { return each - first < 1s; });
    CHECK(in_first_second <= 600 + 20 + kPosts / 5);
    CHECK(retries.back() - first >= 5s);
  });
}
