#include <wisp/model/event.hpp>

#include <memory>
#include <string>

#include "catch.hpp"

using wisp::Event;
using wisp::EventId;
using wisp::Payload;

namespace {

struct Sale {
  std::string id;
};
WISP_FIELDS(Sale, id)

struct Private {
  int n;
};

Event published(Payload payload) {
  return {.id = {1, 2},
          .topic = "orders.1",
          .source = "wisp",
          .payload = std::move(payload),
          .lineage = {}};
}

}  // namespace

TEST_CASE("event: names its payload's type by wire name, or as it is spelled", "[event]") {
  CHECK(Event().type().empty());
  CHECK(published(Payload::of(Sale{"7"})).type() == "Sale");
  CHECK(published(Payload::of("text")).type() == "string");
  CHECK(published(Payload::of(7)).type() == "int32");
  CHECK(published(Payload::of(Private{1})).type().find("Private") != std::string_view::npos);
}

TEST_CASE("event: gives its payload as the type that it is, else null", "[event]") {
  const Event event = published(Payload::of(Sale{"7"}));
  REQUIRE(event.as<Sale>() != nullptr);
  CHECK(event.as<Sale>()->id == "7");
  CHECK(event.as<std::string>() == nullptr);
  CHECK(event.as<Private>() == nullptr);
  CHECK(Event().as<Sale>() == nullptr);
}

TEST_CASE("event: a copy shares the value and keeps the attributes", "[event]") {
  Event event = published(Payload::of(Sale{"7"}));
  event.lineage = {.cause = {3, 4}, .trace = {5, 6}, .hops = 2, .tenant = "acme", .tag = "night"};
  event.failure = std::make_shared<const wisp::Failure>(
      wisp::Failure{"price", "orders.1", wisp::aborted("no"), 3});
  const Event copy = event;
  CHECK(copy.as<Sale>() == event.as<Sale>());
  CHECK(copy.id == EventId{1, 2});
  CHECK(copy.topic == "orders.1");
  CHECK(copy.lineage.cause == EventId{3, 4});
  CHECK(copy.lineage.tag == "night");
  CHECK(copy.failure == event.failure);
}

TEST_CASE("event: one from outside has no cause and no failure", "[event]") {
  const Event event;
  CHECK(event.id.empty());
  CHECK(event.lineage.cause.empty());
  CHECK(event.lineage.hops == 0);
  CHECK(event.failure == nullptr);
}
