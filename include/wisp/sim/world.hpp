// A world whose time and threads belong to a test: a virtual clock and a seeded scheduler under an
// unchanged Runtime.
//
//   wisp::sim::World world{seed};
//   wisp::Runtime runtime{functions, world.options({.tariff = wisp::tariffs::aws_lambda_x86()})};
//   auto nightly = runtime.every(24h).run(compact_logs);
//   world.advance(std::chrono::days{30});       // thirty firings, in milliseconds of real time
//   INFO("seed " << world.seed());
//   CHECK(runtime.stats().events.done == 30);
//   CHECK(world.run_until([&] { return delivered == 3; }, 1h));   // and stands at that moment
//
// Handlers run on simulated threads: fibers that take turns on the world's main thread, each with a
// stack of 1 MiB and all that wisp and C++ keep of a thread. One runs until it waits
// (context.sleep, pending.wait(), a full queue, the end of a Subscription) or ends; then the seed
// chooses who goes on. So handlers overlap as they would on a pool, one inside while another waits,
// and a seed replays its interleaving exactly, unless something beside it differs: real time, real
// randomness, the order of addresses, threads of the program's own. The program's own thread_local
// variables, and std::this_thread::get_id(), are the main thread's in all of them; what goes by the
// latter takes two handlers for one thread: a std::recursive_mutex held over a wait, the destructor
// of a std::stop_callback whose callback waits.
//
// Virtual time passes only while nobody can run: inside advance() and run_until(), and while the
// world's main thread, the one that made it, waits for something itself, as in pending.wait() or
// runtime.stop(). Work takes none, unless a handler says how much: context.elapse(3ms).
//
// A world never hangs on its own waits; it ends the process by abort(), after a report on stderr
// with the seed, the virtual time and what each thread waits for, when
//   - the main thread waits, nobody can run, and nothing is ever due: a deadlock;
//   - WorldOptions::steps_max steps went by in which nobody woke the main thread, and advance() or
//     run_until() did not bring virtual time forward. A wait of the main thread's own that ends by
//     its time, as context.elapse() in a call that it makes, is no progress: it may be one of a
//     thousand looks at something that never comes;
//   - a member of its WorldOptions or Faults is not within its bounds.
// It cannot see a wait that does not go through wisp, which would stop all of its threads: a mutex
// that a handler holds across a context.sleep and that another one wants, a condition variable, a
// sleep on real time.
//
// Threads: one-at-a-time, the main thread, but for yield(), clock(), executor(), random(),
// faults() and note(): any of the world's threads, its handlers' among them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/random.hpp>
#include <wisp/engine/executor.hpp>
#include <wisp/runtime.hpp>
#include <wisp/sim/faults.hpp>

namespace wisp::inline v0::sim {

// Tasks that a world queues; the next is refused with kResourceExhausted.
inline constexpr int kTasksMax = 65'536;

struct WorldOptions {
  // Tasks that have begun and not ended, waiting ones included; 1 or more. Beyond it tasks are
  // queued until one ends, at most kTasksMax, and a handler that waits for a queued call runs it
  // itself. As many of wisp's own loops (a timer's) may run beside them; the next is refused with
  // kUnavailable. Each takes two of the mappings that the kernel allows a process, its
  // vm.max_map_count, 65,530 unless raised: without one left for the next, the world ends the
  // process as above, so stay below 32,000.
  int threads_max = 64;
  // Switches between threads without progress; see above. A test that means to take more raises it.
  std::int64_t steps_max = 1'000'000;
  Faults faults{};     // from the beginning
  int log_max = 1000;  // lines that the log keeps; 0 or more
};

// What happened, a line each: "0d 00:00:01.250 thread 2: 'charge' begins, attempt 1, event …".
struct Log {
  std::vector<std::string> lines;  // the last WorldOptions::log_max
  std::uint64_t forgotten = 0;     // those before
};

class Scheduler;

class World {
 public:
  explicit World(std::uint64_t seed, WorldOptions options = {});

  // Drops queued tasks and lets handlers that their runtime abandoned run to their end, for as long
  // as that takes in virtual time. One that never ends (it waits for what never comes, or keeps on
  // waiting) stays where it is, with what it holds, until the process exits; stderr names it.
  // Requires: the world's runtimes have been destroyed, and its main thread has not ended.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // `given`, with this world's clock, random numbers and (but for Threads::none, whose tasks wait
  // for a pump) executor in place of its own. Any number of runtimes may live in one world.
  RuntimeOptions options(RuntimeOptions given = {});

  // Runs what can run and moves time to whatever is due next, until `d` has passed and nobody can
  // run any more. Requires: d >= 0, and not called from a handler.
  void advance(Duration d);

  // Runs one thread after the other, and moves time from one event to the next, until
  // `predicate()` holds: looked at on this thread at first and whenever a thread gives way, so that
  // the world stands still at that moment. False if it does not before `limit` has passed and
  // nobody can run any more. Requires: limit >= 0, and not called from a handler.
  bool run_until(const std::function<bool()>& predicate, Duration limit);

  // Runs what can run without moving time: advance(0). What waits for a later moment still does.
  void run_until_idle() { advance(Duration::zero()); }

  // Lets another thread go on, if the seed says so: a place where a handler under test can be
  // overtaken although it waits for nothing.
  void yield();

  // Starts at an hour on the steady line, at 2020 on the wall.
  Clock& clock();
  Executor& executor();
  // Of its own sequence: drawing from it leaves the choices of threads alone.
  Random& random();

  std::uint64_t seed() const;

  // What goes wrong from now on. None for a while, and everything must come to rest.
  void faults(const Faults& faults);

  // Writes each record of `runtime` into the log, and so into the hash, for as long as the result
  // lives. Looked at, a runtime does without its shorter ways: a test that watches for half of its
  // seeds tries both. Requires: a runtime of this world's, with room for one more observer.
  Observation watch(Runtime& runtime);

  // Adds a line of the test's own to the log.
  void note(std::string_view text);

  // Which handlers began and ended, the records of runtimes that are watched, the test's notes.
  Log log() const;

  // Of every choice so far (who went on, and when) and every line of the log. Equal for equal runs,
  // in every process and on every machine.
  std::uint64_t hash() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace wisp::inline v0::sim
