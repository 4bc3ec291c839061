// Who waits for a pool's tasks and threads, from outside and from within.
#include <wisp/engine/pool.hpp>

#include <atomic>

#include "catch.hpp"
#include "engine/waiting.hpp"

using namespace std::chrono_literals;
using wisp::Pool;
using wisp::Time;
using wisp::test::eventually;
using wisp::test::from_now;
using wisp::test::Gate;
using wisp::test::submit;
using wisp::test::threads;
using wisp::test::threads_at_rest;

namespace {

// Of a thread-local object that takes long to destroy.
struct PassesAtEnd {
  Gate* gate = nullptr;
  ~PassesAtEnd() {
    if (gate != nullptr) gate->pass();
  }
};

void pass_at_end(Gate& gate) {
  static thread_local PassesAtEnd at_end;
  at_end.gate = &gate;
}

}  // namespace

TEST_CASE("pool: a task that drains makes way for what it waits for", "[pool]") {
  Pool pool{{.workers = {.max = 1}}};
  bool drained = false;
  bool ran = false;
  REQUIRE(submit(pool, [&] {
            CHECK(submit(pool, [&] { ran = true; }).ok());
            drained = pool.drain(from_now(20s)) && ran;
          }).ok());
  REQUIRE(pool.drain(Time::never()));
  CHECK(drained);
  CHECK(pool.stats().waiting == 0);
}

TEST_CASE("pool: a callback may drain an idle pool", "[pool]") {
  Pool* drains = nullptr;
  std::atomic<bool> drained{false};
  Pool pool{{.workers = {.max = 1, .keep_alive = 0s},
             .on_thread_exit = [&](int) { drained = drains->drain(from_now(20s)); }}};
  drains = &pool;
  REQUIRE(submit(pool, [] {}).ok());
  CHECK(eventually([&] { return drained.load(); }));
}

TEST_CASE("pool: destructors of thread-local objects do not hold up close", "[pool]") {
  Gate gate;
  Pool pool{{.workers = {.max = 1}}};
  REQUIRE(submit(pool, [&] { pass_at_end(gate); }).ok());
  REQUIRE(pool.drain(from_now(20s)));
  CHECK(pool.close(from_now(1ms)) == 1);
  gate.await(1);
  CHECK(pool.close(from_now(1ms)) == 1);
  gate.open();
  CHECK(pool.close(from_now(20s)) == 0);
}

TEST_CASE("pool: a thread in the destructor of a thread-local object is left behind", "[pool]") {
  const int before = threads_at_rest();
  Gate gate;
  {
    Pool pool{{.workers = {.max = 1}}};
    REQUIRE(submit(pool, [&] { pass_at_end(gate); }).ok());
    REQUIRE(pool.drain(from_now(20s)));
    CHECK(pool.close(from_now(1ms)) == 1);
  }
  gate.await(1);
  gate.open();
  CHECK(eventually([&] { return threads() == before; }));
}
