// Boost.Asio: post() to a thread_pool, and steady_timers in one io_context.
#include <utility>  // which Boost 1.74's awaitable.hpp forgets

#include <boost/asio.hpp>

#include "pools.hpp"

namespace {

using compare::Options;
using compare::Outcome;

class AsioPool {
 public:
  explicit AsioPool(int workers) : pool_(static_cast<std::size_t>(workers)) {}
  template <class F>
  void post(F f) {
    boost::asio::post(pool_, std::move(f));
  }

 private:
  boost::asio::thread_pool pool_;
};

// I1, I2: all of them pending together; the due ones fire in one run().
Outcome timers(const Options& options, bool fire) {
  const int count = options.pick(1'000'000, 50'000);
  boost::asio::io_context context(1);
  std::vector<boost::asio::steady_timer> all;
  all.reserve(count);
  int fired = 0;
  int cancelled = 0;
  const auto now = std::chrono::steady_clock::now();
  const compare::Stopwatch watch;
  for (int i = 0; i < count; ++i) {
    const auto spread = std::chrono::nanoseconds((i * 7919LL) % 1'000'003);
    all.emplace_back(context, fire ? now - spread : now + std::chrono::hours(1) + spread);
    all.back().async_wait(
        [&](const boost::system::error_code& error) { ++(error ? cancelled : fired); });
  }
  if (!fire) {
    for (auto& each : all) each.cancel();
  }
  context.run();
  Outcome outcome = watch.per(count);
  compare::require((fire ? fired : cancelled) == count, "a timer was lost");
  return outcome;
}

}  // namespace

int main(int argc, char** argv) {
  auto workloads = compare::pool_workloads<AsioPool>();
  workloads["I1"] = [](const Options& o) { return timers(o, false); };
  workloads["I2"] = [](const Options& o) { return timers(o, true); };
  return compare::run(workloads, argc, argv);
}
