// What the simulated threads of a world do not share although they are fibers of one thread.
#include <cerrno>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include <wisp/engine/detail/thread.hpp>
#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::sim::World;

constexpr int kHandlers = 8;

// Waits for as long as the world's chance has it, so that others come in between.
void wait(World& world, wisp::Context& context) {
  REQUIRE(context.sleep(wisp::Duration(wisp::uniform(world.random(), 1, 1'000))).ok());
}

// Whether each of several calls of `handler` that overlap returns the number that it was given.
template <class Handler>
bool each_own(World& world, Handler handler) {
  wisp::Runtime runtime{world.options()};
  const auto own = wisp::function("own", std::move(handler));
  REQUIRE(runtime.registry().add(own).ok());
  std::vector<wisp::Pending<int>> pending;
  for (int i = 0; i < kHandlers; ++i) pending.push_back(runtime.start(own, i));
  bool all = true;
  for (int i = 0; i < kHandlers; ++i) {
    const auto result = pending[static_cast<std::size_t>(i)].wait();
    all = all && result.ok() && *result == i;
  }
  return all;
}

// Waits while an exception is on its way through it.
struct WaitsAtEnd {
  World& world;
  wisp::Context& context;
  int& in_flight;
  ~WaitsAtEnd() {
    in_flight = std::uncaught_exceptions();
    wait(world, context);
    in_flight = in_flight == std::uncaught_exceptions() ? in_flight : -1;
  }
};

int through_all(int n) {
  volatile char deep[512 * 1024];
  for (std::size_t i = 0; i < sizeof(deep); i += 4096) deep[i] = static_cast<char>(n);
  return deep[sizeof(deep) / 2 / 4096 * 4096];
}

}  // namespace

TEST_CASE("fiber: an exception that a handler has caught is its own, whoever throws meanwhile",
          "[sim]") {
  for (int seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    World world{static_cast<std::uint64_t>(seed)};
    CHECK(each_own(world, [&world](int n, wisp::Context& context) {
      try {
        throw n;
      } catch (int) {
        wait(world, context);
        try {
          throw;
        } catch (int caught) {
          return caught;
        }
      }
    }));
  }
}

TEST_CASE("fiber: an exception in flight is counted in the handler that it goes through", "[sim]") {
  for (int seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    World world{static_cast<std::uint64_t>(seed)};
    CHECK(each_own(world, [&world](int n, wisp::Context& context) {
      int in_flight = 0;
      try {
        const WaitsAtEnd waits{world, context, in_flight};
        if (n % 2 == 1) throw n;
      } catch (int) {
        return in_flight == 1 ? n : -1;
      }
      return in_flight == 0 ? n : -1;
    }));
  }
}

TEST_CASE("fiber: errno is the handler's own, and half a megabyte of stack", "[sim]") {
  World world{1};
  CHECK(each_own(world, [&world](int n, wisp::Context& context) {
    errno = n;
    wait(world, context);
    return errno;
  }));
  CHECK(each_own(world, [&world](int n, wisp::Context& context) {
    wait(world, context);
    return through_all(n);
  }));
}

TEST_CASE("fiber: handlers of all runtimes of a world run on the thread that made it", "[sim]") {
  World world{1};
  const std::thread::id self = std::this_thread::get_id();
  CHECK(each_own(world, [&](int n, wisp::Context& context) {
    wait(world, context);
    return std::this_thread::get_id() == self ? n : -1;
  }));
}

TEST_CASE("fiber: a handler has a world of its own, whose handlers overlap while it runs",
          "[sim]") {
  World outer{1};
  CHECK(each_own(outer, [&outer](int n, wisp::Context& context) {
    wait(outer, context);
    World inner{static_cast<std::uint64_t>(n)};
    const bool all = each_own(inner, [&inner](int m, wisp::Context& inside) {
      wait(inner, inside);
      return m;
    });
    wait(outer, context);
    return all ? n : -1;
  }));
}

TEST_CASE("fiber: the thread that a world's loops run on stays the host's", "[sim]") {
  World world{1};
  wisp::Runtime runtime{world.options()};
  int ran = 0;
  auto schedule = runtime.every(1s).run([&ran] { ++ran; });
  world.advance(3s);
  CHECK(ran == 3);
  // Whose CPU the bill of a runtime without a world would leave out.
  CHECK_FALSE(wisp::detail::is_wisp_thread(wisp::detail::current_thread_id()));
}
