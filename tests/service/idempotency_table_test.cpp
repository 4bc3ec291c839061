// The table of idempotency keys by itself.
#include <wisp/service/detail/idempotency.hpp>

#include <memory>
#include <string>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::StatusCode;
using wisp::detail::IdempotencyTable;
using wisp::test::says;

using Answer = IdempotencyTable::Answer;

IdempotencyTable::Wanted wanted(std::string_view key, wisp::Deadline deadline = {}) {
  return {.space = IdempotencyTable::Space::function,
          .name = "charge",
          .key = key,
          .out = &wisp::type_info<int>(),
          .version = 1,
          .deadline = deadline};
}

IdempotencyTable::Kept kept(int value) { return {.value = std::make_shared<const int>(value)}; }

}  // namespace

TEST_CASE("idempotency: a holder that is late is taken over", "[idempotency]") {
  wisp::ManualClock clock;
  IdempotencyTable table(clock, {});
  IdempotencyTable::Waiter nobody;
  const auto first = table.join(wanted("a", wisp::Deadline::after(clock, 1s)), nobody);
  REQUIRE(first.answer == Answer::first);
  IdempotencyTable::Waiter waiter;
  const auto waits = table.join(wanted("a"), waiter);
  REQUIRE(waits.answer == Answer::waits);
  CHECK(waits.until == clock.now() + 1s);
  clock.advance(1s - 1ns);
  CHECK(table.look(waiter).answer == Answer::waits);
  clock.advance(1ns);
  const auto second = table.look(waiter);
  REQUIRE(second.answer == Answer::first);
  CHECK(table.stats().taken_over == 1);
  // The late one changes nothing.
  table.end(first.hold, kept(1), 4);
  IdempotencyTable::Waiter third;
  REQUIRE(table.join(wanted("a"), third).answer == Answer::waits);
  table.end(second.hold, kept(2), 4);
  const auto done = table.look(third);
  REQUIRE(done.answer == Answer::done);
  CHECK(*static_cast<const int*>(done.kept.value.get()) == 2);
  table.end(first.hold, {.status = wisp::unavailable("late")}, 0);
  CHECK(table.join(wanted("a"), nobody).answer == Answer::done);

  // Without a deadline, after a quarter of an hour, by whoever comes.
  const auto other = table.join(wanted("b"), nobody);
  clock.advance(15min - 1ns);
  IdempotencyTable::Waiter patient;
  CHECK(table.join(wanted("b"), patient).answer == Answer::waits);
  CHECK(table.leave(patient));
  clock.advance(1ns);
  CHECK(table.join(wanted("b"), nobody).answer == Answer::first);
  // A late one whose place nobody took is none the worse for it.
  const auto slow = table.join(wanted("c"), nobody);
  clock.advance(1h);
  table.end(slow.hold, kept(3), 4);
  CHECK(table.join(wanted("c"), nobody).answer == Answer::done);
}

TEST_CASE("idempotency: who waits takes no key over after its own deadline", "[idempotency]") {
  wisp::ManualClock clock;
  IdempotencyTable table(clock, {});
  IdempotencyTable::Waiter nobody;
  const auto first = table.join(wanted("a", wisp::Deadline::after(clock, 2s)), nobody);
  IdempotencyTable::Waiter late;
  IdempotencyTable::Waiter patient;
  REQUIRE(table.join(wanted("a", wisp::Deadline::after(clock, 1s)), late).answer == Answer::waits);
  REQUIRE(table.join(wanted("a", wisp::Deadline::after(clock, 3s)), patient).answer ==
          Answer::waits);
  clock.advance(2s);
  CHECK(table.look(late).answer == Answer::refused);
  CHECK(table.stats().taken_over == 0);
  CHECK(table.look(patient).answer == Answer::first);
  table.end(first.hold, kept(1), 4);
  CHECK_FALSE(late.answer);
}

TEST_CASE("idempotency: the table forgets its oldest end, and refuses when none has ended",
          "[idempotency]") {
  wisp::ManualClock clock;
  IdempotencyTable table(clock, {.rows = 2});
  IdempotencyTable::Waiter nobody;
  const auto a = table.join(wanted("a"), nobody);
  const auto b = table.join(wanted("b"), nobody);
  const auto full = table.join(wanted("c"), nobody);
  REQUIRE(full.answer == Answer::refused);
  CHECK(full.kept.status.code() == StatusCode::kResourceExhausted);
  CHECK(wisp::reason_of(full.kept.status) == wisp::Reason::full);
  CHECK(says(full.kept.status, "is full (2)"));
  table.end(b.hold, kept(2), 4);
  table.end(a.hold, kept(1), 4);
  CHECK(table.join(wanted("c"), nobody).answer == Answer::first);
  CHECK(table.stats().forgotten == 1);
  CHECK(table.stats().rows == 2);
  CHECK(table.join(wanted("a"), nobody).answer == Answer::done);
  CHECK(table.join(wanted("b"), nobody).answer == Answer::first);
  CHECK(table.stats().forgotten == 2);
}

TEST_CASE("idempotency: the table is bounded in bytes", "[idempotency]") {
  wisp::ManualClock clock;
  IdempotencyTable table(clock, {.bytes = 1'000});
  IdempotencyTable::Waiter nobody;
  for (int i = 0; i < 10; ++i) {
    const auto each = table.join(wanted(std::to_string(i)), nobody);
    table.end(each.hold, kept(i), 300);
    CHECK(table.stats().bytes <= 1'000);
  }
  CHECK(table.stats().forgotten == 7);
  CHECK(table.join(wanted("9"), nobody).answer == Answer::done);
  const auto huge = table.join(wanted("huge"), nobody);
  table.end(huge.hold, kept(0), 2'000);
  CHECK(table.stats().bytes == 0);
  CHECK(table.stats().rows == 0);
}

TEST_CASE("idempotency: a key that two kinds of calls share is refused", "[idempotency]") {
  wisp::ManualClock clock;
  IdempotencyTable table(clock, {});
  IdempotencyTable::Waiter nobody;
  table.end(table.join(wanted("a"), nobody).hold, kept(1), 4);
  auto other = wanted("a");
  other.version = 2;
  CHECK(table.join(other, nobody).kept.status.code() == StatusCode::kInvalidArgument);
  other = wanted("a");
  other.out = &wisp::type_info<std::string>();
  CHECK(says(table.join(other, nobody).kept.status, "version 1 that gives int"));
  other = wanted("a");
  other.event = true;
  CHECK(says(table.join(other, nobody).kept.status, "belongs to a call, this is a post"));
  other = wanted("a");
  other.space = IdempotencyTable::Space::topic;
  CHECK(table.join(other, nobody).answer == Answer::first);
}
