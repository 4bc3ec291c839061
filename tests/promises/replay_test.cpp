// Prints how to replay a property that failed: on a line of its own, which a reporter would wrap.
#define CATCH_CONFIG_EXTERNAL_INTERFACES  // Catch2 2 hides its listeners otherwise

#include <cstdio>
#include <string>
#include <utility>

#include "promise.hpp"

namespace {

#if __has_include(<catch2/catch_all.hpp>)
using Listener = Catch::EventListenerBase;
#else
using Listener = Catch::TestEventListenerBase;
#endif

class Replay : public Listener {
 public:
  using Listener::Listener;

  auto assertionEnded(const Catch::AssertionStats& stats)
      -> decltype(std::declval<Listener&>().assertionEnded(stats)) override {
    std::string& line = wisp::test::replay_line();
    if (!stats.assertionResult.isOk() && !line.empty()) {
      std::fprintf(stderr, "replay: %s\n", line.c_str());
      line.clear();  // once a seed
    }
    return Listener::assertionEnded(stats);
  }

  // A test that ended by an exception left its line.
  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    wisp::test::replay_line().clear();
    Listener::testCaseEnded(stats);
  }
};

CATCH_REGISTER_LISTENER(Replay)

}  // namespace

TEST_CASE("replay: a test is named as a shell and Catch2 read it, and runs with one seed",
          "[replay]") {
  CHECK(wisp::test::replay(17).find("WISP_TEST_SEED=17 \"") == 0);
  CHECK(wisp::test::replay(17).find("read it\\\\, and runs") != std::string::npos);
  int runs = 0;
  wisp::test::for_each_seed([&runs](std::uint64_t) { ++runs; });
  CHECK(runs == wisp::test::seeds_here().count());
}
