// How to test functions that wait, retry and overlap: in a simulated world, where a month takes
// milliseconds and a seed replays every interleaving. Built with wisp::sim.
//
// The flow sells seats. It looks whether one is left, charges the buyer, which takes a while and
// sometimes fails, and then takes the seat: right as long as nobody else buys meanwhile.
#include <cstdlib>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

using namespace wisp::literals;

namespace {

constexpr int kSeats = 10;
constexpr int kBuyers = 15;
constexpr int kSeeds = 200;

struct Theatre {
  int sold = 0;
  int refused = 0;
};

// The flow under test. The program that sells real seats makes its subscription in the same way.
wisp::Subscription sell_seats(wisp::Runtime& runtime, Theatre& theatre, wisp::Random& bank,
                              bool serial) {
  return runtime.on("seats.wanted")
      .deliver({.attempts = 20, .serial = serial})
      .to([&](int, wisp::Context& context) -> wisp::Status {
        if (theatre.sold >= kSeats) {
          ++theatre.refused;
          return wisp::Status();
        }
        WISP_TRY(context.sleep(wisp::uniform(bank, 1, 80) * 1ms));  // charges the buyer
        if (wisp::uniform(bank, 1, 10) == 1) return wisp::unavailable("the bank does not answer");
        ++theatre.sold;
        return wisp::Status();
      });
}

struct Evening {
  Theatre theatre;
  std::uint64_t trace = 0;
};

// One evening at the box office. Everything that happens follows from the seed.
Evening evening(std::uint64_t seed, bool serial) {
  Evening result;
  wisp::sim::World world{seed};
  wisp::Runtime runtime{world.options()};
  auto sales = sell_seats(runtime, result.theatre, world.random(), serial);
  for (int buyer = 0; buyer < kBuyers; ++buyer) {
    if (!runtime.emit("seats.wanted", buyer).ok()) std::abort();
    world.advance(wisp::uniform(world.random(), 0, 100) * 1ms);
  }
  world.advance(1h);
  result.trace = world.hash();
  return result;
}

// How many evenings sold more seats than there are; `first` is the seed of the first such.
int oversold(bool serial, std::uint64_t& first) {
  int evenings = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const Theatre theatre = evening(seed, serial).theatre;
    if (theatre.sold + theatre.refused != kBuyers) std::abort();  // somebody got no answer
    if (theatre.sold <= kSeats) continue;
    if (evenings++ == 0) first = seed;
  }
  return evenings;
}

int reports_in_a_month() {
  int reports = 0;
  wisp::sim::World world{1};
  wisp::Runtime runtime{world.options()};
  auto nightly = runtime.every(24h).run([&reports] { ++reports; });
  world.advance(std::chrono::days{30});
  return reports;
}

}  // namespace

int main() {
  std::uint64_t seed = 0;
  const int faulty = oversold(false, seed);
  fmt::print("sold at once: {} of {} evenings oversold, the first with seed {}\n", faulty, kSeeds,
             seed);
  if (faulty == 0) return 1;  // the simulator overlooked the fault

  // The seed that found the fault shows it again, choice by choice, for as long as it takes to fix.
  const Evening again = evening(seed, false);
  fmt::print("seed {} again: {} sold, trace {:016x}\n", seed, again.theatre.sold, again.trace);
  if (again.theatre.sold <= kSeats || again.trace != evening(seed, false).trace) return 1;

  const int fixed = oversold(true, seed);
  fmt::print("sold one by one: {} of {} evenings oversold\n", fixed, kSeeds);

  const int reports = reports_in_a_month();
  fmt::print("a nightly report ran {} times in thirty days\n", reports);
  return fixed == 0 && reports == 30 ? 0 : 1;
}
