#include "../../src/engine/timer_wheel.hpp"

#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "seeds.hpp"

using wisp::Duration;
using wisp::Task;
using wisp::Time;
using wisp::TimerId;
using wisp::detail::TimerWheel;
using wisp::test::Seeded;
using wisp::test::test_seeds;

namespace {

// What a wheel does, written down. Equal times keep their order, as a multimap's do.
class Oracle {
 public:
  explicit Oracle(Seeded& random) : random_(random) {}

  void add(Time at) {
    const int number = next_++;
    const TimerId id = wheel_.add(at, [this, number] { ran_ = number; });
    REQUIRE(id.order == static_cast<std::uint64_t>(next_));
    pending_.emplace(at, std::pair(number, id));
  }
  // Any of them, or one that is not there.
  void remove() {
    if (pending_.empty() || random_.below(8) == 0) {
      REQUIRE_FALSE(wheel_.remove(gone_));
      return;
    }
    const auto it = std::next(pending_.begin(), random_.between(0, size() - 1));
    Task task = wheel_.remove(it->second.second);
    check(task, it);
  }
  void remove_next() {
    if (pending_.empty()) return;
    Task task = wheel_.remove_next();
    check(task, pending_.begin());
  }
  void look() {
    REQUIRE(wheel_.size() == pending_.size());
    REQUIRE(wheel_.empty() == pending_.empty());
    if (!pending_.empty()) REQUIRE(wheel_.next() == pending_.begin()->first);
  }
  Time first() const { return pending_.empty() ? Time() : pending_.begin()->first; }
  int size() const { return static_cast<int>(pending_.size()); }
  void clear() {
    REQUIRE(wheel_.clear().size() == pending_.size());
    pending_.clear();
  }

 private:
  using Pending = std::multimap<Time, std::pair<int, TimerId>>;

  void check(Task& task, Pending::iterator it) {
    REQUIRE(task);
    task();
    REQUIRE(ran_ == it->second.first);
    gone_ = it->second.second;
    pending_.erase(it);
    REQUIRE_FALSE(wheel_.remove(gone_));
  }

  Seeded& random_;
  TimerWheel wheel_;
  Pending pending_;
  TimerId gone_;
  int next_ = 0;
  int ran_ = -1;
};

// Times where a wheel may go wrong: at both ends, equal, far apart, and beside a power of 64.
Time some_time(Seeded& random, Time near) {
  const auto moved = [&](std::int64_t distance) { return near + Duration(distance); };
  switch (random.below(8)) {
    case 0:
      return Time::never();
    case 1:
      return Time(Duration(static_cast<std::int64_t>(random.next())));
    case 2:
      return Time(Duration(random.between(-3, 3)));
    case 3:
      return Time(Duration::min() + Duration(random.between(0, 2)));
    case 4:
      return near;
    case 5:
      return moved(static_cast<std::int64_t>(random.any_size() >> 1));
    case 6:
      return moved(-random.between(0, 5'000));
    default:
      return moved((std::int64_t{1} << (6 * random.below(11))) + random.between(-1, 1));
  }
}

}  // namespace

TEST_CASE("timer wheel: it does what a multimap does, at any time", "[timer]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    Oracle oracle(random);
    // Some runs grow, some shrink, some look at the next one seldom.
    const std::uint64_t adds = random.between(3, 6);
    const std::uint64_t looks = random.between(1, 40);
    Time near;
    for (int step = 0; step < 2'000; ++step) {
      const std::uint64_t kind = random.below(10);
      if (kind < adds) {
        oracle.add(some_time(random, near));
      } else if (kind < adds + 2) {
        oracle.remove();
      } else {
        near = oracle.first();
        oracle.remove_next();
      }
      if (random.below(looks) == 0) oracle.look();
      if (random.below(1'000) == 0) oracle.clear();
    }
    while (oracle.size() > 0) {
      oracle.remove_next();
      oracle.look();
    }
  }
}

TEST_CASE("timer wheel: many timers together are opened level by level", "[timer]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    Oracle oracle(random);
    const std::int64_t span = std::int64_t{1} << random.between(0, 40);
    const Time start(Duration(random.between(-span, span)));
    for (int i = 0; i < 3'000; ++i) oracle.add(start + Duration(random.between(0, span)));
    while (oracle.size() > 0) {
      oracle.look();
      oracle.remove_next();
      const std::uint64_t kind = random.below(8);
      // Before the earliest one that was looked at, beside it, and after it.
      if (kind == 0) oracle.add(oracle.first() + Duration(random.between(-span, span)));
      if (kind < 3) oracle.remove();
    }
  }
}

TEST_CASE("timer wheel: equal times keep their order, however many they are", "[timer]") {
  TimerWheel wheel;
  std::vector<int> ran;
  for (const Time at : {Time(Duration(100)), Time::never(), Time(Duration::min())}) {
    ran.clear();
    for (int i = 0; i < 3'000; ++i) wheel.add(at, [&ran, i] { ran.push_back(i); });
    CHECK(wheel.next() == at);
    for (int i = 0; i < 1'000; ++i) wheel.remove_next()();
    for (int i = 3'000; i < 4'000; ++i) wheel.add(at, [&ran, i] { ran.push_back(i); });
    while (!wheel.empty()) wheel.remove_next()();
    std::vector<int> expected(4'000);
    for (int i = 0; i < 4'000; ++i) expected[static_cast<std::size_t>(i)] = i;
    CHECK(ran == expected);
  }
}

TEST_CASE("timer wheel: ids of elsewhere are nobody's", "[timer]") {
  TimerWheel wheel;
  CHECK_FALSE(wheel.remove({}));
  CHECK_FALSE(wheel.remove({.slot = 5'000, .order = 1}));
  const TimerId id = wheel.add(Time(), [] {});
  CHECK_FALSE(wheel.remove({.slot = 0, .order = id.order}));
  CHECK_FALSE(wheel.remove({.slot = id.slot, .order = 0}));
  CHECK_FALSE(wheel.remove({.slot = std::numeric_limits<std::uint32_t>::max(), .order = 1}));
  CHECK(wheel.remove(id));
  CHECK(wheel.empty());
}

TEST_CASE("timer wheel: more timers than a huge page holds, twice", "[timer]") {
  constexpr int kCount = 120'000;
  TimerWheel wheel;
  std::vector<TimerId> ids;
  for (int round = 0; round < 2; ++round) {
    ids.clear();
    int ran = 0;
    for (int i = 0; i < kCount; ++i) {
      ids.push_back(wheel.add(Time(Duration((i * 7'919LL) % 100'003)), [&ran] { ++ran; }));
    }
    for (std::size_t i = 0; i < ids.size(); i += 2) REQUIRE(wheel.remove(ids[i]));
    Time last;
    while (!wheel.empty()) {
      REQUIRE(wheel.next() >= last);
      last = wheel.next();
      wheel.remove_next()();
    }
    CHECK(ran == kCount / 2);
    for (const TimerId id : ids) REQUIRE_FALSE(wheel.remove(id));
  }
}
