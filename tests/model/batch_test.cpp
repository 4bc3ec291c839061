#include <wisp/model/batch.hpp>

#include <algorithm>
#include <iterator>
#include <string>
#include <type_traits>
#include <vector>

#include <wisp/model/function.hpp>

#include "catch.hpp"

namespace {

using wisp::Batch;
using wisp::Event;
using wisp::Failed;

std::vector<Event> events_of(const std::vector<std::string>& texts) {
  std::vector<Event> events;
  for (const std::string& each : texts)
    events.push_back({.topic = "t", .payload = wisp::Payload::of(each)});
  return events;
}

std::vector<const Event*> pointers(const std::vector<Event>& events) {
  std::vector<const Event*> all;
  for (const Event& each : events) all.push_back(&each);
  return all;
}

static_assert(std::random_access_iterator<Batch<std::string>::Iterator>);
static_assert(!std::is_copy_constructible_v<Batch<std::string>>);

}  // namespace

TEST_CASE("batch: shows the payloads, by reference and in order", "[batch]") {
  const std::vector<Event> events = events_of({"c", "a", "b"});
  const std::vector<const Event*> all = pointers(events);
  const Batch<std::string> batch{all};
  CHECK(batch.size() == 3);
  CHECK_FALSE(batch.empty());
  CHECK(batch[1] == "a");
  CHECK(&batch[1] == events[1].as<std::string>());
  CHECK(&batch.event(2) == &events[2]);
  CHECK(std::vector<std::string>(batch.begin(), batch.end()) ==
        std::vector<std::string>{"c", "a", "b"});
  CHECK(batch.begin()[2] == "b");
  CHECK(batch.end() - batch.begin() == 3);
  CHECK(*(batch.end() - 1) == "b");
  CHECK((batch.begin() + 1)->size() == 1);
  CHECK(batch.begin() < batch.end());
  CHECK(*std::min_element(batch.begin(), batch.end()) == "a");
}

TEST_CASE("batch: one of events has whatever was published", "[batch]") {
  const std::vector<Event> events = events_of({"c", "a"});
  const std::vector<const Event*> all = pointers(events);
  const Batch<Event> batch{all};
  CHECK(&batch[1] == &events[1]);
  for (const Event& each : batch) CHECK(each.topic == "t");
  CHECK(Batch<int>({}).empty());
  CHECK(Batch<int>({}).begin() == Batch<int>({}).end());
}

TEST_CASE("batch: a handler of one is defined with the type of its items", "[batch]") {
  std::string seen;
  const auto join = wisp::function("join", [&seen](const Batch<std::string>& batch) {
    for (const std::string& each : batch) seen += each;
    Failed failed;
    failed.add(1);
    return failed;
  });
  static_assert(std::is_same_v<decltype(join)::Output, Failed>);
  const wisp::detail::Definition& definition = *join.definition();
  CHECK(definition.takes() == &wisp::type_info<std::string>());
  const std::vector<Event> events = events_of({"x", "y"});
  const std::vector<const Event*> all = pointers(events);
  alignas(wisp::detail::BatchItems) std::byte place[sizeof(wisp::detail::BatchItems)];
  definition.make_batch(place, all);
  wisp::Result<Failed> failed{Failed()};
  wisp::detail::Attempted attempted;
  CHECK(definition.run(definition, place, &failed, nullptr, attempted));
  CHECK(seen == "xy");
  REQUIRE(failed->items.size() == 1);
  CHECK(failed->items.front().index == 1);
  CHECK(failed->items.front().error.ok());
  const auto plain = wisp::function("plain", [](int) {});
  CHECK(plain.definition()->make_batch == nullptr);
  CHECK(plain.definition()->takes() == plain.definition()->in);
}
