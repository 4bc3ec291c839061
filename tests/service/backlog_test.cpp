#include <wisp/service/detail/backlog.hpp>

#include <algorithm>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using wisp::detail::Backlog;
using wisp::detail::Shipment;
using wisp::test::Seeded;

std::unique_ptr<Shipment> shipment(int number, std::string key, std::size_t bytes = 1) {
  auto event = std::make_shared<wisp::Event>();
  event->key = std::move(key);
  auto made = std::make_unique<Shipment>();
  made->event = std::move(event);
  made->attempts = number;  // tells them apart
  made->bytes = bytes;
  return made;
}

int number_of(const std::unique_ptr<Shipment>& each) {
  return each == nullptr ? -1 : each->attempts;
}

// Takes and releases all that is ready.
std::vector<int> drained(Backlog& backlog) {
  std::vector<int> numbers;
  while (const auto each = backlog.take()) {
    numbers.push_back(number_of(each));
    backlog.release(*each);
  }
  return numbers;
}

}  // namespace

TEST_CASE("backlog: without keys it is a queue", "[backlog]") {
  Backlog backlog(false);
  for (int i = 0; i < 4; ++i) backlog.push(shipment(i, ""));
  CHECK(backlog.ready() == 4);
  CHECK(backlog.waiting().count == 4);
  CHECK(backlog.waiting().bytes == 4);
  CHECK(number_of(backlog.drop_oldest()) == 0);
  CHECK(drained(backlog) == std::vector<int>{1, 2, 3});
  CHECK(backlog.waiting().count == 0);
  CHECK(backlog.drop_oldest() == nullptr);
  CHECK(backlog.take() == nullptr);
}

TEST_CASE("backlog: one of a key is out, the others go on", "[backlog]") {
  Backlog backlog(false);
  backlog.push(shipment(0, "a"));
  backlog.push(shipment(1, "a"));
  backlog.push(shipment(2, "b"));
  backlog.push(shipment(3, ""));
  CHECK(backlog.ready() == 3);
  const auto first = backlog.take();
  CHECK(number_of(first) == 0);
  CHECK(number_of(backlog.take()) == 2);
  CHECK(number_of(backlog.take()) == 3);
  CHECK(backlog.take() == nullptr);
  CHECK(backlog.waiting().count == 1);
  backlog.release(*first);
  // Older than what comes now.
  backlog.push(shipment(4, ""));
  CHECK(drained(backlog) == std::vector<int>{1, 4});
}

TEST_CASE("backlog: the oldest is dropped wherever it waits", "[backlog]") {
  Backlog backlog(false);
  backlog.push(shipment(0, "a"));
  backlog.push(shipment(1, "a"));
  backlog.push(shipment(2, ""));
  const auto out = backlog.take();
  CHECK(number_of(backlog.drop_oldest()) == 1);
  backlog.push(shipment(3, "a"));
  CHECK(number_of(backlog.drop_oldest()) == 2);
  backlog.release(*out);
  CHECK(drained(backlog) == std::vector<int>{3});
}

TEST_CASE("backlog: what displaces another has its place, but for a strict one", "[backlog]") {
  for (const bool strict : {false, true}) {
    Backlog backlog(strict);
    backlog.push(shipment(0, "a"));
    backlog.push(shipment(1, "b"));
    CHECK(backlog.displace("c") == nullptr);
    CHECK(number_of(backlog.displace("a")) == 0);
    CHECK(backlog.displace("a") == nullptr);
    backlog.push(shipment(2, "a"));
    CHECK(drained(backlog) == (strict ? std::vector<int>{1, 2} : std::vector<int>{2, 1}));
  }
}

TEST_CASE("backlog: of a key's line the first is displaced, and its place goes to the next",
          "[backlog]") {
  Backlog backlog(false);
  backlog.push(shipment(0, "a"));
  backlog.push(shipment(1, "b"));
  backlog.push(shipment(2, "a"));
  CHECK(backlog.waiting("a").count == 2);
  CHECK(backlog.waiting("a").bytes == 2);
  CHECK(number_of(backlog.displace("a")) == 0);
  backlog.push(shipment(3, "a"));
  CHECK(drained(backlog) == std::vector<int>{2, 1, 3});
  CHECK(backlog.waiting("a").count == 0);
}

TEST_CASE("backlog: a place that is given up is nobody's", "[backlog]") {
  Backlog backlog(false);
  backlog.push(shipment(0, "a"));
  backlog.push(shipment(1, "b"));
  CHECK(number_of(backlog.displace("a")) == 0);
  backlog.give_place_up("a");
  backlog.give_place_up("c");
  backlog.push(shipment(2, "a"));
  CHECK(drained(backlog) == std::vector<int>{1, 2});
}

TEST_CASE("backlog: what is put back comes first, is not dropped and keeps its key out",
          "[backlog]") {
  Backlog backlog(false);
  backlog.push(shipment(0, "a"));
  backlog.push(shipment(1, ""));
  backlog.push(shipment(2, "a"));
  backlog.put_back(backlog.take());
  CHECK(backlog.ready() == 2);
  CHECK(backlog.waiting().count == 2);
  CHECK(number_of(backlog.drop_oldest()) == 1);
  const auto again = backlog.take();
  CHECK(number_of(again) == 0);
  CHECK(backlog.take() == nullptr);
  backlog.put_back(shipment(7, ""));
  backlog.release(*again);
  std::vector<int> all;
  for (const auto& each : backlog.take_all()) all.push_back(number_of(each));
  CHECK(all == std::vector<int>{7, 2});
  CHECK(backlog.ready() == 0);
}

// Against lists that are searched from end to end.
TEST_CASE("backlog: agrees with a naive one", "[backlog]") {
  struct Naive {
    int number;
    std::string key;
  };
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    Seeded random(seed);
    Backlog backlog(false);
    std::deque<Naive> waiting;
    std::set<std::string> out;
    std::vector<std::unique_ptr<Shipment>> taken;
    for (int i = 0; i < 200; ++i) {
      const auto act = random.below(8);
      if (act < 4) {
        const auto letter = random.below(4);
        const std::string key = letter == 0 ? "" : std::string(1, static_cast<char>('a' + letter));
        backlog.push(shipment(i, key));
        waiting.push_back({i, key});
      } else if (act < 6) {
        const auto ready = std::find_if(waiting.begin(), waiting.end(),
                                        [&](const Naive& each) { return !out.contains(each.key); });
        auto each = backlog.take();
        CHECK(number_of(each) == (ready == waiting.end() ? -1 : ready->number));
        if (each == nullptr) continue;
        if (!ready->key.empty()) out.insert(ready->key);
        waiting.erase(ready);
        taken.push_back(std::move(each));
      } else if (act == 6 && !taken.empty()) {
        const auto which = static_cast<std::ptrdiff_t>(random.below(taken.size()));
        backlog.release(*taken[static_cast<std::size_t>(which)]);
        out.erase(taken[static_cast<std::size_t>(which)]->event->key);
        taken.erase(taken.begin() + which);
      } else if (act == 7) {
        CHECK(number_of(backlog.drop_oldest()) == (waiting.empty() ? -1 : waiting.front().number));
        if (!waiting.empty()) waiting.pop_front();
      }
      CHECK(backlog.waiting().count == static_cast<int>(waiting.size()));
    }
    std::vector<int> left;
    for (const auto& each : backlog.take_all()) left.push_back(number_of(each));
    std::vector<int> expected;
    for (const Naive& each : waiting) expected.push_back(each.number);
    CHECK(left == expected);
  }
}
