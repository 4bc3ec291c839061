#include <wisp/model/topic_index.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"

namespace {

using wisp::TopicIndex;
using wisp::TopicPattern;

TopicPattern pattern_of(const std::string& text) { return *TopicPattern::parse(text); }

template <class T>
std::size_t count(TopicIndex<T>& index, const std::string& topic) {
  return typename TopicIndex<T>::Match(index, topic).size();
}

}  // namespace

TEST_CASE("topic index: a match sees every change that came before it", "[topic_index]") {
  TopicIndex<int> index;
  CHECK(count(index, "a.b") == 0);
  index.add(pattern_of("a.b"), 1);
  CHECK(count(index, "a.b") == 1);
  index.add(pattern_of("a.*"), 2);
  CHECK(count(index, "a.b") == 2);
  CHECK(count(index, "a.c") == 1);
  index.remove(pattern_of("a.*"), 2);
  CHECK(count(index, "a.b") == 1);
  CHECK(count(index, "a.c") == 0);
  index.remove(pattern_of("a.b"), 1);
  CHECK(count(index, "a.b") == 0);
}

TEST_CASE("topic index: more topics than it keeps are matched all the same", "[topic_index]") {
  TopicIndex<int> index;
  for (int i = 0; i < 100; ++i) index.add(pattern_of("exact." + std::to_string(i)), i);
  index.add(pattern_of("other.*"), 7);
  for (int i = 0; i < 3 * static_cast<int>(TopicIndex<int>::kTopicsKept); ++i)
    REQUIRE(count(index, "other." + std::to_string(i)) == 1);
  for (int i = 0; i < 100; ++i) REQUIRE(count(index, "exact." + std::to_string(i)) == 1);
  CHECK(count(index, std::string(2 * wisp::kTopicMax, 'a')) == 0);
}

TEST_CASE("topic index: what a thread remembers of a topic is never older than the last change",
          "[topic_index]") {
  using Index = TopicIndex<int>;
  Index index;
  // Nothing while no list is kept.
  const auto kept = [&index](const std::string& topic) -> std::size_t {
    const Index::Remembered remembered(index, topic);
    if (remembered.list() != nullptr) return remembered.list()->size();
    const Index::Match match(index, topic, Index::Match::kKept);
    return match.list() == nullptr ? 0 : match.size();
  };
  const std::string longest(wisp::detail::Readers::kTextMax, 'l');
  std::vector<std::string> topics{"a.b", "a.c", "b", "orders.4711.paid", longest, longest + "l"};
  for (int i = 0; i < 40; ++i) topics.push_back("many." + std::to_string(i));
  for (const std::string& each : topics) {
    index.add(pattern_of(each), 1);
    CHECK(kept(each) == 0);
    CHECK(count(index, each) == 1);
    for (int i = 0; i < 3; ++i) REQUIRE(kept(each) == 1);
    index.add(pattern_of(each), 2);
    REQUIRE(kept(each) != 1);
    CHECK(count(index, each) == 2);
    REQUIRE(kept(each) == 2);
    std::thread([&] { index.remove(pattern_of(each), 2); }).join();
    REQUIRE(kept(each) != 2);
    CHECK(count(index, each) == 1);
    REQUIRE(kept(each) == 1);
  }
  for (int round = 0; round < 2; ++round)
    for (const std::string& each : topics) REQUIRE(kept(each) == 1);
  index.add(pattern_of(">"), 3);
  for (const std::string& each : topics) {
    REQUIRE(kept(each) == 0);
    CHECK(count(index, each) == 2);
    REQUIRE(kept(each) == 2);
  }
}

TEST_CASE("topic index: a match keeps its values when its topic is kept no longer",
          "[topic_index]") {
  TopicIndex<std::shared_ptr<int>> index;
  auto value = std::make_shared<int>(7);
  const std::weak_ptr<int> watch = value;
  index.add(pattern_of("other.*"), value);
  {
    const TopicIndex<std::shared_ptr<int>>::Match match(index, "other.first");
    for (int i = 0; i < 6 * static_cast<int>(TopicIndex<int>::kTopicsKept); ++i)
      REQUIRE(count(index, "other." + std::to_string(i)) == 1);
    index.remove(pattern_of("other.*"), value);
    value.reset();
    REQUIRE_FALSE(watch.expired());
    CHECK(**match.begin() == 7);
  }
  (void)count(index, "b");
  CHECK(watch.expired());
}

TEST_CASE("topic index: a removed value goes with the last match that reads it", "[topic_index]") {
  TopicIndex<std::shared_ptr<int>> index;
  using Match = TopicIndex<std::shared_ptr<int>>::Match;
  auto value = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = value;
  index.add(pattern_of("a"), value);
  {
    const Match outer(index, "a");
    {
      const Match inner(index, "a");
      index.remove(pattern_of("a"), value);
      value.reset();
      CHECK(count(index, "a") == 0);
      CHECK(**inner.begin() == 1);
    }
    CHECK(**outer.begin() == 1);
  }
  CHECK(watch.expired());
}

TEST_CASE("topic index: a removed value does not outlive a match that looked it up in vain",
          "[topic_index][stress]") {
  using Index = TopicIndex<std::shared_ptr<int>>;
  Index index;
  constexpr int kRounds = 500;
  std::atomic<int> round{0};  // even: the reader matches; odd: it rests
  std::atomic<int> rested{0};
  std::thread reader([&] {
    for (int seen = 0; seen < kRounds; ++seen) {
      while (round == 2 * seen) {
        if (const Index::Remembered match(index, "a"); match.list() != nullptr) continue;
        const Index::Match match(index, "a", Index::Match::kKept);
      }
      ++rested;
      while (round == 2 * seen + 1) std::this_thread::yield();
    }
  });
  int kept = 0;
  for (int i = 0; i < kRounds; ++i) {
    auto value = std::make_shared<int>(i);
    const std::weak_ptr<int> watch = value;
    index.add(pattern_of("a"), value);
    CHECK(count(index, "a") == 1);
    for (int turn = 0; turn < 20; ++turn) std::this_thread::yield();  // the reader remembers it
    index.remove(pattern_of("a"), value);
    value.reset();
    ++round;
    while (rested == i) std::this_thread::yield();
    // Nobody reads, and all that did have looked whether somebody waits for them.
    kept += watch.expired() ? 0 : 1;
    ++round;
  }
  reader.join();
  CHECK(kept == 0);
}

TEST_CASE("topic index: matches nest deeper than there are holds", "[topic_index]") {
  TopicIndex<int> index;
  index.add(pattern_of("a"), 5);
  std::vector<std::unique_ptr<TopicIndex<int>::Match>> matches;
  for (int i = 0; i < 3 * wisp::detail::Readers::kHolds; ++i) {
    matches.push_back(std::make_unique<TopicIndex<int>::Match>(index, "a"));
    REQUIRE(*matches.back()->begin() == 5);
  }
  while (!matches.empty()) matches.pop_back();
  CHECK(count(index, "a") == 1);
}

TEST_CASE("topic index: threads match while others add and remove", "[topic_index][stress]") {
  struct Live {
    std::atomic<int> alive{1};
    ~Live() { alive = 0; }
  };
  using Index = TopicIndex<std::shared_ptr<Live>>;
  Index index;
  index.add(pattern_of("steady"), std::make_shared<Live>());
  std::atomic<bool> stop{false};
  std::atomic<int> faults{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; !stop; ++i) {
        const Index::Match match(index, i % 3 == 0 ? "steady" : "t." + std::to_string(i % 50));
        for (const auto& each : match) faults += each->alive == 1 ? 0 : 1;
        if (i % 3 == 0 && match.size() == 0) ++faults;
        const Index::Remembered again(index, "t.1");
        if (again.list() == nullptr) {
          const Index::Match kept(index, "t.1", Index::Match::kKept);
          continue;
        }
        for (const auto& each : *again.list()) faults += each->alive == 1 ? 0 : 1;
      }
    });
  }
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&index, &faults, t] {
      for (int i = 0; i < 3'000; ++i) {
        const std::string topic = "t." + std::to_string((i + 25 * t) % 50);
        const TopicPattern pattern = pattern_of(i % 10 == 0 ? "t.*" : topic);
        const auto value = std::make_shared<Live>();
        index.add(pattern, value);
        if (count(index, topic) == 0) ++faults;
        index.remove(pattern, value);
      }
    });
  }
  for (int t = 2; t < 4; ++t) threads[static_cast<std::size_t>(t)].join();
  stop = true;
  for (int t = 0; t < 2; ++t) threads[static_cast<std::size_t>(t)].join();
  CHECK(faults == 0);
  CHECK(count(index, "t.1") == 0);
}
