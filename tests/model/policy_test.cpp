#include <wisp/model/policy.hpp>

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/strings/cord.h>

#include "catch.hpp"
#include "seeds.hpp"

using namespace std::chrono_literals;
using wisp::backoff;
using wisp::check;
using wisp::check_function_name;
using wisp::Delivery;
using wisp::Duration;
using wisp::FunctionOptions;
using wisp::Queue;
using wisp::Retry;
using wisp::SeededRandom;
using wisp::Status;
using wisp::StatusCode;
using wisp::test::Seeded;
using wisp::test::test_seeds;

namespace {

// Draws the end of every range.
class Largest final : public wisp::Random {
 public:
  std::uint64_t next() override { return UINT64_MAX; }
};

// min(max_delay, first_delay * 2^(attempt - 1)) in 128 bits.
Duration naive_limit(const Retry& retry, int attempt) {
  __extension__ using Wide = __int128;
  Wide limit = std::max<Wide>(retry.first_delay.count(), 0);
  for (int i = 1; i < attempt && limit <= retry.max_delay.count(); ++i) limit *= 2;
  return Duration(
      static_cast<std::int64_t>(std::max<Wide>(std::min<Wide>(limit, retry.max_delay.count()), 0)));
}

void check_refused(const Status& status, StatusCode code, std::string_view text) {
  CHECK(status.code() == code);
  CHECK(wisp::message(status) == text);
}

}  // namespace

TEST_CASE("policy: backoff doubles up to its limit", "[policy]") {
  Largest largest;
  const Retry retry;
  const Duration expected[] = {200ms,    400ms,    800ms,    1'600ms, 3'200ms, 6'400ms,
                               12'800ms, 25'600ms, 51'200ms, 60s,     60s};
  for (int i = 0; i < 11; ++i) CHECK(backoff(retry, i + 1, largest) == expected[i]);
  CHECK(backoff({.first_delay = 90s}, 1, largest) == 60s);
  CHECK(backoff({.first_delay = 0ns}, 9, largest) == 0ns);
  CHECK(backoff({.max_delay = 0ns}, 9, largest) == 0ns);
  CHECK(backoff({.first_delay = 3ns, .max_delay = 7ns}, 2, largest) == 6ns);
  CHECK(backoff({.first_delay = 3ns, .max_delay = 7ns}, 3, largest) == 7ns);
}

TEST_CASE("policy: backoff overflows nowhere, and ends at once at the extremes", "[policy]") {
  Largest largest;
  constexpr int kMany = std::numeric_limits<int>::max();
  const Retry widest{.first_delay = 1ns, .max_delay = Duration::max()};
  CHECK(backoff(widest, 63, largest) == Duration(std::int64_t{1} << 62));
  CHECK(backoff(widest, 64, largest) == Duration::max());
  CHECK(backoff(widest, kMany, largest) == Duration::max());
  CHECK(backoff({.first_delay = Duration::max(), .max_delay = Duration::max()}, kMany, largest) ==
        Duration::max());
  CHECK(backoff({.first_delay = 0ns}, kMany, largest) == 0ns);
  CHECK(backoff({.first_delay = Duration::min()}, kMany, largest) == 0ns);
  CHECK(backoff({.max_delay = Duration::min()}, kMany, largest) == 0ns);
  CHECK(backoff(Retry(), 0, largest) == 200ms);
  CHECK(backoff(Retry(), -5, largest) == 200ms);
}

TEST_CASE("policy: backoff is full jitter: within its bounds, over all of them", "[policy]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded chooser(seed);
    SeededRandom random(static_cast<std::uint64_t>(seed));
    Largest largest;
    for (int i = 0; i < 200; ++i) {
      const Retry retry{.first_delay = Duration(static_cast<std::int64_t>(chooser.any_size() >> 1)),
                        .max_delay = Duration(static_cast<std::int64_t>(chooser.any_size() >> 1))};
      const int attempt = 1 + static_cast<int>(chooser.below(wisp::kAttemptsMax));
      const Duration limit = naive_limit(retry, attempt);
      const Duration drawn = backoff(retry, attempt, random);
      if (drawn < 0ns || drawn > limit || backoff(retry, attempt, largest) != limit)
        FAIL("attempt " << attempt << ", first " << retry.first_delay.count() << ", max "
                        << retry.max_delay.count() << ": " << drawn.count());
    }
    // Uniform from zero on: a quarter of the draws in each quarter.
    int quarters[4] = {};
    for (int i = 0; i < 4'000; ++i)
      ++quarters[std::min<std::int64_t>(backoff(Retry(), 3, random) / 200ms, 3)];
    for (const int count : quarters) CHECK(std::abs(count - 1'000) < 270);
  }
}

TEST_CASE("policy: an error may ask the next attempt to stay away", "[policy]") {
  const Status down = wisp::unavailable("down");
  CHECK_FALSE(wisp::retry_after_of(down).has_value());
  CHECK_FALSE(wisp::retry_after_of(Status()).has_value());
  const Status asks = wisp::with_retry_after(down, 7s);
  CHECK(wisp::retry_after_of(asks) == 7s);
  CHECK(asks.code() == down.code());
  CHECK(wisp::message(asks) == "down");
  CHECK(wisp::retry_after_of(wisp::with_retry_after(asks, 1ns)) == 1ns);
  CHECK(wisp::retry_after_of(wisp::with_retry_after(down, -1s)) == 0s);
  CHECK(wisp::retry_after_of(wisp::with_retry_after(down, 11min)) == 10min);
  // A payload that another wrote.
  Status other = down;
  other.SetPayload("wisp/retry-after", absl::Cord("soon"));
  CHECK_FALSE(wisp::retry_after_of(other).has_value());
  other.SetPayload("wisp/retry-after", absl::Cord("9000000000000000000"));
  CHECK(wisp::retry_after_of(other) == 10min);

  Largest largest;
  const Retry retry{.first_delay = 1s, .max_delay = 3s};
  CHECK(wisp::retry_delay(retry, 1, down, largest) == 1s);
  CHECK(wisp::retry_delay(retry, 1, asks, largest) == 8s);
  CHECK(wisp::retry_delay(retry, 9, asks, largest) == 10s);
  const Retry widest{.first_delay = Duration::max(), .max_delay = Duration::max()};
  CHECK(wisp::retry_delay(widest, 9, wisp::with_retry_after(down, 10min), largest) ==
        Duration::max() / 2 + 10min);
}

TEST_CASE("policy: only what another attempt can mend is retried", "[policy]") {
  for (int code = 0; code <= 16; ++code) {
    const auto each = static_cast<StatusCode>(code);
    INFO(code);
    const bool mends = each == StatusCode::kUnavailable || each == StatusCode::kDeadlineExceeded ||
                       each == StatusCode::kAborted || each == StatusCode::kInternal ||
                       each == StatusCode::kResourceExhausted;
    CHECK(wisp::retryable(each) == mends);
  }
  CHECK_FALSE(wisp::retryable(static_cast<StatusCode>(999)));
}

TEST_CASE("policy: options that cannot be are refused, naming owner, field and limit", "[policy]") {
  constexpr auto kBad = StatusCode::kInvalidArgument;
  const auto of = [](const FunctionOptions& options) { return check(options, "function 'f'"); };
  check_refused(of({.timeout = -1ns}), kBad,
                "function 'f': timeout is -1 ns, it must not be negative");
  check_refused(of({.retry = {.attempts = 0}}), kBad,
                "function 'f': retry.attempts is 0, it must be 1 to 1000");
  check_refused(of({.retry = {.attempts = 1'001}}), kBad,
                "function 'f': retry.attempts is 1001, it must be 1 to 1000");
  check_refused(of({.retry = {.first_delay = -2ns}}), kBad,
                "function 'f': retry.first_delay is -2 ns, it must not be negative");
  check_refused(of({.retry = {.max_delay = -3ns}}), kBad,
                "function 'f': retry.max_delay is -3 ns, it must not be negative");
  check_refused(of({.limits = {.concurrency = -1}}), kBad,
                "function 'f': limits.concurrency is -1, it must not be negative");
  check_refused(of({.memory_mb = 0}), kBad,
                "function 'f': memory_mb is 0, it must be 1 to 1048576");
  check_refused(of({.memory_mb = 1'048'577}), kBad,
                "function 'f': memory_mb is 1048577, it must be 1 to 1048576");
  for (const FunctionOptions& good :
       {FunctionOptions(), FunctionOptions{.retry = {.attempts = 1}},
        FunctionOptions{.retry = {.attempts = 1'000}}, FunctionOptions{.memory_mb = 1},
        FunctionOptions{.memory_mb = 1'048'576}, FunctionOptions{.timeout = Duration::max()},
        FunctionOptions{.retry = {.first_delay = 0ns, .max_delay = 0ns}}}) {
    CHECK(of(good).ok());
  }
}

TEST_CASE("policy: a limit that cannot be is refused", "[policy]") {
  const auto rate = [](double per_second) {
    const auto bad = check(FunctionOptions{.limits = {.per_second = per_second}}, "function 'f'");
    CHECK((bad.ok() || bad.code() == StatusCode::kInvalidArgument));
    return std::string(wisp::message(bad));
  };
  for (const double good : {0.0, wisp::kRateMin, 0.5, wisp::kRateMax}) CHECK(rate(good).empty());
  CHECK(rate(-1) == "function 'f': limits.per_second is -1, it must be 0 or 1e-06 to 1000000");
  for (const double bad : {1e-7, 1e7, std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()})
    CHECK(rate(bad).find("it must be 0 or 1e-06 to 1000000") != std::string::npos);
  CHECK(wisp::message(check(FunctionOptions{.limits = {.reserved = -1}}, "function 'f'")) ==
        "function 'f': limits.reserved is -1, it must not be negative");
}

TEST_CASE("policy: deliveries and queues that cannot be are refused", "[policy]") {
  constexpr auto kBad = StatusCode::kInvalidArgument;
  const auto of = [](const Delivery& delivery) { return check(delivery, "'a.*'"); };
  check_refused(of({.attempts = 0}), kBad, "'a.*': attempts is 0, it must be 1 to 1000");
  check_refused(of({.attempts = 2, .synchronous = true}), kBad,
                "'a.*': a synchronous delivery is attempted once, not 2 times");
  check_refused(
      of({.serial = true, .synchronous = true}), kBad,
      "'a.*': a synchronous delivery runs on each publisher's thread and cannot be serial");
  check_refused(of({.queue = {.count = 0}}), kBad, "'a.*': queue.count is 0, it must be 1 or more");
  check_refused(of({.queue = {.count = -7}}), kBad,
                "'a.*': queue.count is -7, it must be 1 or more");
  check_refused(check(Queue{.bytes = 0}, "posts"), kBad,
                "posts: queue.bytes is 0, it must be 1 or more");
  CHECK(of({}).ok());
  CHECK(of({.attempts = 1, .synchronous = true}).ok());
  CHECK(of({.synchronous = true}).ok());
  CHECK(of({.attempts = 1'000, .serial = true}).ok());
  CHECK(check(Queue{.count = 1, .bytes = 1}, "posts").ok());
}

TEST_CASE("policy: function names are dotted lower-case identifiers", "[policy]") {
  for (const std::string& good :
       {std::string("a"), std::string("price_parcel"), std::string("billing.price_parcel"),
        std::string("_x"), std::string("a1.b2.c3"), std::string("a._"), std::string(256, 'a')}) {
    INFO(good);
    CHECK(check_function_name(good).ok());
  }
  for (const auto bad : {"Price", "1a", "a.1", ".a", "a.", ".", "a..b", "a b", "a-b", "a/b", "a\n",
                         "caf\xc3\xa9", "a*", ">"}) {
    INFO(bad);
    const Status status = check_function_name(bad);
    CHECK(status.code() == StatusCode::kInvalidArgument);
    CHECK(wisp::message(status).find(bad) != std::string_view::npos);
  }
  check_refused(check_function_name(""), StatusCode::kInvalidArgument, "a function needs a name");
  const Status long_name = check_function_name(std::string(257, 'a'));
  CHECK(wisp::message(long_name).find("257 characters, the limit is 256") !=
        std::string_view::npos);
  CHECK_FALSE(check_function_name(std::string_view("a\0b", 3)).ok());
}

TEST_CASE("policy: keys are bounded, and so are batches", "[policy]") {
  CHECK(wisp::check_key("").ok());
  CHECK(wisp::check_key(std::string(wisp::kKeyMax, 'k')).ok());
  check_refused(wisp::check_key(std::string(300, 'k')), StatusCode::kInvalidArgument,
                "key 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk...' has 300 bytes, the limit is 256");
  CHECK(check(Delivery{.batch = {.size = wisp::kBatchMax, .window = wisp::kWindowMax}}, "s").ok());
  check_refused(check(Delivery{.batch = {.size = 10'001}}, "s"), StatusCode::kInvalidArgument,
                "s: batch.size is 10001, it must be 0 to 10000");
  check_refused(check(Delivery{.batch = {.window = -1ns}}, "s"), StatusCode::kInvalidArgument,
                "s: batch.window is -1 ns, it must be 0 to 300 s");
  check_refused(check(Delivery{.queue = {.count = 5}, .batch = {.size = 6}}, "s"),
                StatusCode::kInvalidArgument,
                "s: batch.size is 6, and its queue holds 5 (queue.count)");
}
