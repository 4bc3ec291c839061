#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::Context;
using wisp::sim::World;

// What the versions of a function do, and which of them are still there.
class Book {
 public:
  explicit Book(World& world) : world_(world) {}

  // A version's handler holds one.
  class Life {
   public:
    Life(Book& book, int version) : book_(book), version_(version) {}
    ~Life() {
      CHECK(book_.inside_[version_] == 0);
      CHECK(book_.gone_.insert(version_).second);
    }

   private:
    Book& book_;
    int version_;
  };

  wisp::Result<int> run(int version, int n, std::optional<int> attempt) {
    CHECK(gone_.count(version) == 0);
    // Even ones are deliveries, each of whose attempts is a choice of its own.
    const bool chosen = n % 2 == 0 || seen_.count(n) == 0;
    if (chosen) CHECK(is_aliased(version));
    else CHECK(seen_[n] == version);
    seen_[n] = version;
    ++inside_[version];
    world_.yield();
    wisp::test::pass(world_.clock(), wisp::uniform(world_.random(), 0, 3) * 1ms);
    --inside_[version];
    CHECK(gone_.count(version) == 0);
    const bool first = attempt ? *attempt == 1 : tried_.insert(n).second;
    if (n % 3 == 0 && first) return wisp::unavailable("not now");
    return version;
  }

  wisp::Function<int, int> version(int number) {
    const auto life = std::make_shared<Life>(*this, number);
    wisp::FunctionOptions options{.retry = {.attempts = 3, .first_delay = 4ms}};
    switch (wisp::uniform(world_.random(), 0, 2)) {
      case 0:
        return wisp::function(
            "f", [this, life, number](int n) { return run(number, n, std::nullopt); }, options);
      case 1:
        options.meter = wisp::Meter::sampled;
        return wisp::function(
            "f", [this, life, number](int n) { return run(number, n, std::nullopt); }, options);
      default:
        return wisp::function(
            "f",
            [this, life, number](int n, Context& context) {
              return run(number, n, context.attempt());
            },
            options);
    }
  }

  // By version, its part in ten.
  using Alias = std::vector<std::pair<int, int>>;
  void aliased(const Alias& to) {
    if (to == now_) return;  // no change
    before_ = std::exchange(now_, to);
    for (const auto& [version, part] : to) waits_.erase(version);
  }
  void rolled_back() { std::swap(now_, before_); }
  void published(int version) {
    waits_.insert(version);
    last_ = version;
  }
  // It has gone at once, and its number will be another one's.
  void refused(int version) { CHECK(gone_.erase(version) == 1); }
  std::vector<int> there() const {
    std::set<int> all = {1};
    for (const auto* alias : {&now_, &before_})
      for (const auto& [version, part] : *alias) all.insert(version);
    all.insert(waits_.begin(), waits_.end());
    return {all.begin(), all.end()};
  }
  bool is_aliased(int version) const {
    return std::any_of(now_.begin(), now_.end(),
                       [version](const auto& each) { return each.first == version; });
  }
  bool may_roll_back() const { return !before_.empty(); }
  int seen(int n) const { return seen_.at(n); }
  int last() const { return last_; }
  void check_all_gone() const { CHECK(gone_.size() == static_cast<std::size_t>(last_)); }

  // Nothing runs: what is not there has gone, and nothing else has.
  void check_at_rest() const {
    const std::vector<int> here = there();
    for (int version = 1; version <= last_; ++version) {
      const bool kept = std::find(here.begin(), here.end(), version) != here.end();
      CHECK((gone_.count(version) == 0) == kept);
    }
  }

 private:
  World& world_;
  Alias now_ = {{1, 10}};
  Alias before_;
  std::set<int> waits_;
  int last_ = 1;
  std::map<int, int> inside_;
  std::map<int, int> seen_;  // by call, the version of its last attempt
  std::set<int> tried_;
  std::set<int> gone_;
};

int next_of(const Book& book) { return book.last() + 1; }

void publish(wisp::Registry& registry, Book& book) {
  const wisp::Result<int> number = registry.publish(book.version(next_of(book)));
  if (!number.ok()) {
    CHECK(number.status().code() == wisp::StatusCode::kResourceExhausted);
    return book.refused(next_of(book));
  }
  CHECK(*number == next_of(book));
  book.published(*number);
}

void direct(World& world, wisp::Registry& registry, Book& book) {
  const std::vector<int> all = book.there();
  const auto any = [&] {
    const auto last = static_cast<std::int64_t>(all.size()) - 1;
    return all[static_cast<std::size_t>(wisp::uniform(world.random(), 0, last))];
  };
  const int one = any();
  const int two = any();
  if (one == two) {
    book.aliased({{one, 10}});
    CHECK(registry.alias("f", {{one}}).ok());
  } else {
    const auto part = static_cast<int>(wisp::uniform(world.random(), 1, 9));
    book.aliased({{one, 10 - part}, {two, part}});
    CHECK(registry.alias("f", {{one, (10 - part) / 10.0}, {two, part / 10.0}}).ok());
  }
}

void roll_back(wisp::Registry& registry, Book& book) {
  const bool may = book.may_roll_back();
  if (may) book.rolled_back();
  CHECK(registry.rollback("f").ok() == may);
}

void change(World& world, wisp::Registry& registry, Book& book) {
  switch (wisp::uniform(world.random(), 0, 3)) {
    case 0:
      return publish(registry, book);
    case 1:
      return roll_back(registry, book);
    default:
      return direct(world, registry, book);
  }
}

}  // namespace

TEST_CASE("versions: each call ends on the version that it began on, and what has none goes",
          "[versions]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    Book book(world);
    {
      wisp::Runtime runtime{world.options()};
      const auto watch = wisp::test::watch_some(world, runtime);
      wisp::Registry& registry = runtime.registry();
      const wisp::Function<int, int> f = book.version(1);
      REQUIRE(registry.add(f).ok());
      auto queued = runtime.on("n").to(f);
      auto here = runtime.on("here").deliver({.synchronous = true}).to(f);
      auto operators = runtime.on("change").to([&] {
        for (int i = 0; i < 3; ++i) {
          change(world, registry, book);
          wisp::test::pass(world.clock(), 1ms);
        }
      });
      std::map<int, wisp::Pending<int>> started;
      for (int round = 0; round < 10; ++round) {
        const int n = 20 * round;
        publish(registry, book);
        REQUIRE(runtime.emit("change", round).ok());
        for (const int each : {1, 3, 5}) {
          const wisp::CallOptions options{.tenant = each == 3 ? "acme" : ""};
          started.emplace(n + each, runtime.start(f, n + each, options));
        }
        REQUIRE(runtime.emit("n", n).ok());
        REQUIRE(runtime.post(f, n + 2).ok());
        REQUIRE(runtime.post(f, n + 4, {.key = "k"}).ok());
        REQUIRE(runtime.emit("here", n + 6).ok());
        const wisp::Result<int> called = runtime.call(f, n + 7);
        if (called.ok()) CHECK(*called == book.seen(n + 7));
        change(world, registry, book);
        world.advance(wisp::uniform(world.random(), 0, 3) * 1ms);
      }
      for (auto& [n, each] : started) {
        const wisp::Result<int>& result = each.wait();
        CHECK(result.ok());
        if (result.ok()) CHECK(*result == book.seen(n));
        CHECK(each.receipt().version == book.seen(n));
      }
      world.advance(1h);
      book.check_at_rest();
      wisp::test::conserved_at_rest(runtime);
      CHECK(runtime.stats().events.done + runtime.stats().events.dead == 50);
    }
    book.check_all_gone();
  });
}

TEST_CASE("versions: a caller that was inside of one lets go of it as it leaves", "[versions]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    wisp::Registry& registry = runtime.registry();
    const auto meter = seed % 2 == 0 ? wisp::Meter::sampled : wisp::Meter::batched;
    const auto take = [&](const std::shared_ptr<int>& held) {
      return wisp::function("f", [&world, held] { wisp::test::pass(world.clock(), 10ms); },
                            {.meter = meter});
    };
    const auto f = take(nullptr);
    REQUIRE(registry.add(f).ok());
    auto own = std::make_shared<int>();
    const std::weak_ptr<int> second = own;
    REQUIRE(registry.publish(take(std::exchange(own, nullptr))).ok());
    REQUIRE(registry.alias("f", {{2}}).ok());
    auto swap = runtime.after(5ms).run([&] {
      CHECK(registry.alias("f", {{1}}).ok());
      CHECK(registry.publish(take(nullptr)).ok());
      CHECK(registry.alias("f", {{3}}).ok());
      CHECK_FALSE(second.expired());
    });
    CHECK(runtime.call(f).ok());
    CHECK(second.expired());
  });
}

TEST_CASE("versions: a key keeps its version while the weights do, and a larger one takes no key",
          "[versions]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    std::map<std::string, int> of_key;  // by what it was called
    const auto take = [&](int version) {
      return wisp::function("f", [&of_key, version](const std::string& key) {
        of_key[key] = version;
        return version;
      });
    };
    const auto f = take(1);
    REQUIRE(runtime.registry().add(f).ok());
    REQUIRE(*runtime.registry().publish(take(2)) == 2);
    auto events = runtime.on("f").to(f);
    std::set<std::string> moved;
    constexpr int kKeys = 200;
    for (const double weight : {0.1, 0.3, 0.8}) {
      REQUIRE(runtime.registry().alias("f", {{1, 1 - weight}, {2, weight}}).ok());
      std::set<std::string> now;
      for (int i = 0; i < kKeys; ++i) {
        const std::string key = fmt::format("user-{}-{}", seed, i);
        const wisp::Result<int> called = runtime.call(f, key, {.key = key});
        REQUIRE(called.ok());
        if (*called == 2) now.insert(key);
        CHECK(*runtime.start(f, key, {.key = key}).wait() == *called);
        of_key.clear();
        switch (i % 2) {
          case 0:
            REQUIRE(runtime.post(f, key, {.key = key}).ok());
            break;
          default:
            REQUIRE(runtime.emit("f", key, {.key = key}).ok());
        }
        world.advance(1s);
        CHECK(of_key[key] == *called);
      }
      CHECK(std::includes(now.begin(), now.end(), moved.begin(), moved.end()));
      // Six standard deviations.
      const double within = 6 * std::sqrt(kKeys * weight * (1 - weight));
      CHECK(std::abs(static_cast<double>(now.size()) - kKeys * weight) <= within);
      moved = std::move(now);
    }
  });
}

TEST_CASE("versions: without a key it is a coin, and each version has its line of the bill",
          "[versions]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options({.tariff = wisp::tariffs::aws_lambda_x86()})};
    const auto watch = wisp::test::watch_some(world, runtime);
    std::map<int, std::uint64_t> ran;
    const auto take = [&](int version) {
      return wisp::function("f",
                            [&ran, version](int, Context& context) {
                              ++ran[version];
                              context.elapse(version * 10ms);
                            },
                            {.memory_mb = 1'024 * version});
    };
    const auto f = take(1);
    REQUIRE(runtime.registry().add(f).ok());
    REQUIRE(*runtime.registry().publish(take(2)) == 2);
    auto events = runtime.on("f").to(f);
    auto here = runtime.on("here").deliver({.synchronous = true}).to(f);
    const double weight = static_cast<double>(wisp::uniform(world.random(), 1, 9)) / 10;
    REQUIRE(runtime.registry().alias("f", {{1, 1 - weight}, {2, weight}}).ok());
    constexpr int kRounds = 100;
    std::vector<wisp::Pending<void>> started;
    for (int i = 0; i < kRounds; ++i) {
      REQUIRE(runtime.call(f, i).ok());
      started.push_back(runtime.start(f, i, {.tenant = "acme"}));
      REQUIRE(runtime.post(f, i).ok());
      REQUIRE(runtime.emit("f", i).ok());
      REQUIRE(runtime.emit("here", i).ok());
    }
    world.advance(1min);
    const double all = 5 * kRounds;
    CHECK(ran[1] + ran[2] == 5 * kRounds);
    CHECK(std::abs(static_cast<double>(ran[2]) - all * weight) <=
          6 * std::sqrt(all * weight * (1 - weight)));
    std::map<int, std::uint64_t> billed;
    std::map<int, wisp::Money> cost;
    for (const wisp::BillLine& each : runtime.bill(1h).lines) {
      CHECK(each.function == "f");
      billed[each.version] += each.calls;
      cost[each.version] += each.cost;
    }
    CHECK(billed == ran);
    // Twice the time and twice the memory, and the price of a request.
    const wisp::Money request = wisp::Money::picodollars(200'000);
    const auto compute = [&](int version) {
      return (cost[version] - request * static_cast<std::int64_t>(ran[version])).picodollars();
    };
    if (ran[1] > 0 && ran[2] > 0) {
      const double one = static_cast<double>(compute(1)) / static_cast<double>(ran[1]);
      const double two = static_cast<double>(compute(2)) / static_cast<double>(ran[2]);
      CHECK(two / one == Approx(4).epsilon(0.01));
    }
    for (auto& each : started) {
      const wisp::Receipt receipt = each.receipt();
      CHECK(receipt.wall == receipt.version * 10ms);
    }
  });
}

TEST_CASE("versions: after a rollback what failed is tried on what was there before",
          "[versions]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    wisp::Runtime runtime{world.options()};
    int good = 0;
    const auto f = wisp::function("f", [&](int) { ++good; }, {.retry = {.first_delay = 1min}});
    REQUIRE(runtime.registry().add(f).ok());
    const auto bad =
        wisp::function("f", [](int) -> wisp::Status { return wisp::unavailable("no"); },
                       {.retry = {.first_delay = 1min}});
    REQUIRE(runtime.registry().publish(bad).ok());
    REQUIRE(runtime.registry().alias("f", {{2}}).ok());
    for (int n = 0; n < 20; ++n) REQUIRE(runtime.post(f, n).ok());
    world.run_until_idle();
    CHECK(good == 0);
    REQUIRE(runtime.registry().rollback("f").ok());
    world.advance(2h);
    CHECK(good == 20);
    wisp::test::conserved_at_rest(runtime);
  });
}
