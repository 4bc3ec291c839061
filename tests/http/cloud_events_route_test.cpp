// CloudEvents that are sent to a gateway over a real socket.
#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <wisp/http/api_keys.hpp>
#include <wisp/http/cloud_event_headers.hpp>
#include <wisp/http/gateway.hpp>
#include <wisp/wisp.hpp>

#include "http/socket.hpp"

namespace {
struct ThrowsWhenRead {};
}  // namespace
template <>
struct wisp::Codec<ThrowsWhenRead> {
  static wisp::Status read(const wisp::Reader&, ThrowsWhenRead&) {
    throw std::runtime_error("read");
  }
  static void write(wisp::Writer&, const ThrowsWhenRead&) {}
};

namespace {

using namespace std::chrono_literals;
namespace json = wisp::json;
using wisp::http::CloudEventOptions;
using wisp::http::EventTypes;
using wisp::http::Gateway;
using wisp::test::body_of;
using wisp::test::detail_of;
using wisp::test::get;
using wisp::test::post;
using wisp::test::Socket;
using wisp::test::status_of;

constexpr std::string_view kStructured = "Content-Type: application/cloudevents+json\r\n";
constexpr std::string_view kBatch = "Content-Type: application/cloudevents-batch+json\r\n";

struct Order {
  std::string id;
  double total = 0;
};
WISP_FIELDS(Order, id, total)

std::string order(std::string_view id, std::string_view type = "orders.1.paid",
                  std::string_view data = R"({"id":"1","total":2.5})") {
  return R"({"specversion":"1.0","source":"/shop","id":")" + std::string(id) + R"(","type":")" +
         std::string(type) + R"(","data":)" + std::string(data) + '}';
}

std::string binary(std::string_view id, std::string_view more = "",
                   std::string_view body = R"({"id":"b","total":1})") {
  return post("/events", body,
              "ce-specversion: 1.0\r\nce-source: /shop\r\nce-type: orders.2.paid\r\nce-id: " +
                  std::string(id) + "\r\nContent-Type: application/json\r\n" + std::string(more));
}

// Nothing runs but what is synchronous, or pumped.
struct ServedCloudEvents {
  explicit ServedCloudEvents(
      CloudEventOptions events = {
          .types = EventTypes().add<Order>("orders.*.paid").add<ThrowsWhenRead>("throws.>")}) {
    gateway.cloud_events("/events", events);
    const wisp::Status begun = gateway.start();
    INFO(wisp::to_string(begun));
    REQUIRE(begun.ok());
  }

  void pump() {
    while (runtime.pump().ran > 0) {
    }
  }

  wisp::Runtime runtime{{.threads = wisp::Threads::none}};
  Gateway gateway{runtime, {.port = 0}};
};

}  // namespace

TEST_CASE("cloud_events_route: events in each form reach the subscribers of their type",
          "[cloud_event]") {
  ServedCloudEvents served;
  std::vector<std::string> paid;
  std::vector<json::CloudEvent> whole;
  auto orders =
      served.runtime.on("orders.*.paid").to([&](const Order& each) { paid.push_back(each.id); });
  auto others =
      served.runtime.on("other.>").to([&](const json::CloudEvent& each) { whole.push_back(each); });
  Socket client(served.gateway.port());
  const std::string taken = client.ask(post("/events", order("1"), kStructured));
  CHECK(status_of(taken) == 202);
  CHECK(body_of(taken) == R"({"accepted":1})");
  CHECK(status_of(client.ask(binary("2"))) == 202);
  CHECK(body_of(client.ask(post("/events", "[]", kBatch))) == R"({"accepted":0})");
  const std::string batch = "[" + order("3") + "," + order("4", "other.x", "[1.0]") + "]";
  CHECK(body_of(client.ask(post("/events", batch, kBatch))) == R"({"accepted":2})");
  served.pump();
  CHECK(paid == std::vector<std::string>{"1", "b", "1"});
  REQUIRE(whole.size() == 1);
  CHECK(whole[0].source == "/shop");
  CHECK(whole[0].data == "[1.0]");
  // Sent again, not done again.
  CHECK(body_of(client.ask(post("/events", batch, kBatch))) == R"({"accepted":2})");
  served.pump();
  CHECK(paid.size() == 3);
  CHECK(whole.size() == 1);
  CHECK(served.runtime.stats().events.duplicates == 2);
}

TEST_CASE("cloud_events_route: an event keeps its key and its trace, and its tenant if wanted",
          "[cloud_event]") {
  constexpr std::string_view kTrace = "00-00000000000000010000000000000002-0000000000000003-01";
  const std::string own =
      "ce-partitionkey: k\r\nce-tenant: acme\r\nce-traceparent: " + std::string(kTrace) + "\r\n";
  for (const bool tenant : {false, true}) {
    ServedCloudEvents served(CloudEventOptions{.mapping = {.tenant = tenant}});
    std::optional<wisp::Event> got;
    auto all =
        served.runtime.on(">").to([&](const wisp::Event& event, wisp::Context&) { got = event; });
    Socket client(served.gateway.port());
    CHECK(status_of(client.ask(binary("1", own))) == 202);
    served.pump();
    REQUIRE(got);
    CHECK(got->topic == "orders.2.paid");
    CHECK(got->key == "k");
    CHECK(got->lineage.tenant == (tenant ? "acme" : ""));
    CHECK(got->lineage.trace == wisp::EventId{1, 2});
    REQUIRE(got->as<json::CloudEvent>() != nullptr);
    CHECK(got->as<json::CloudEvent>()->id == "1");
    // The request's own trace, where the event has none.
    CHECK(status_of(client.ask(
              binary("2",
                     "traceparent: 00-00000000000000070000000000000002-0000000000000003-01"
                     "\r\n"))) == 202);
    served.pump();
    CHECK(got->lineage.trace == wisp::EventId{7, 2});
  }
}

TEST_CASE("cloud_events_route: of a batch with a bad event nothing is emitted", "[cloud_event]") {
  ServedCloudEvents served;
  std::atomic<int> seen{0};
  auto all =
      served.runtime.on(">").deliver({.synchronous = true}).to([&](const wisp::Event&) { ++seen; });
  Socket client(served.gateway.port());
  const auto refused = [&](const std::string& request, int status, std::string_view said) {
    INFO(request);
    const std::string response = client.ask(request);
    CHECK(status_of(response) == status);
    CHECK(detail_of(response) == said);
    CHECK(response.find("\r\nContent-Type: application/problem+json\r\n") != response.npos);
  };
  const auto batch = [](const std::string& last) {
    return post("/events", "[" + order("1") + "," + last + "]", kBatch);
  };
  refused(batch("5"), 400, "[1]: expected an object, got 5");
  refused(batch(R"({"specversion":"1.0"})"), 400, "[1].id: is missing");
  refused(batch(order("2", "a..b")), 400, "[1].type: bad topic 'a..b': an empty token at 2");
  refused(batch(order("2", "a b")), 400,
          "[1].type: bad topic 'a b': a blank or control character at 1");
  refused(batch(order("2", "orders.1.paid", R"({"id":"1"})")), 400, "[1].data.total: is missing");
  refused(batch(order("2", "orders.1.paid", R"({"id":"1","total":1,"x":1})")), 400,
          "[1].data.x: Order has no such member");
  refused(
      batch(order("2", "orders.1.paid", R"("x","partitionkey":")" + std::string(257, 'k') + '"')),
      400,
      "[1].partitionkey: key '" + std::string(32, 'k') + "...' has 257 bytes, the limit is 256");
  refused(batch(order("2", "orders.1.paid", R"("x","partitionkey":7)")), 400,
          "[1].partitionkey: expected a text, got 7");
  // Of a tenant nothing is looked at here, so it may be anything: what comes next is refused.
  refused(batch(order("2", "orders.1.paid", R"("x","tenant":7,"partitionkey":7)")), 400,
          "[1].partitionkey: expected a text, got 7");
  refused(binary("1", "Content-Encoding: gzip\r\n"), 415,
          "the body has to come without a content coding");
  refused(post("/events", order("1", "orders.1.paid", "[]"), kStructured), 400,
          "data: expected an object, got an array of 0");
  refused(post("/events", "{", kStructured), 400, "no JSON at line 1, byte 2: incomplete JSON");
  refused(post("/events", std::string(40, '['), kStructured), 400,
          "line 1, byte 33: arrays and objects are nested deeper than 32");
  refused(binary("1", "ce-id: 1\r\n"), 400, "id: is there twice");
  refused(binary("1", "ce-datacontenttype: a/b\r\n"), 400,
          "datacontenttype: in this form it is the header content-type");
  refused(binary("1", "ce-subject: \xc3\xa9\r\n"), 400,
          "subject: a character that has to be encoded");
  constexpr std::string_view kTypes =
      "expected application/cloudevents+json, application/cloudevents-batch+json, or headers such "
      "as ce-id";
  refused(post("/events", order("1")), 415, kTypes);
  refused(post("/events", order("1"), ""), 415, kTypes);
  refused(post("/events", order("1"), "Content-Type: application/cloudevents+xml\r\n"), 415,
          kTypes);
  refused(get("/events"), 405, "this path has no such method");
  refused(batch(order("2", "throws.x")), 500, "the function failed");
  CHECK(seen.load() == 0);
  CHECK(status_of(client.ask(batch(order("2")))) == 202);
  CHECK(seen.load() == 2);
}

TEST_CASE("cloud_events_route: where a queue is full it says how far it came", "[cloud_event]") {
  ServedCloudEvents served;
  std::vector<std::string> paid;
  auto orders = served.runtime.on("orders.*.paid")
                    .deliver({.queue = {.count = 2}})
                    .to([&](const Order& each) { paid.push_back(each.id); });
  Socket client(served.gateway.port());
  std::string all;
  for (const std::string id : {"1", "2", "3"})
    all += (all.empty() ? "[" : ",") +
           order(id, "orders.1.paid", R"({"id":")" + id + R"(","total":1})");
  const std::string batch = post("/events", all + "]", kBatch);
  const std::string refused = client.ask(batch);
  CHECK(status_of(refused) == 429);
  CHECK(refused.find("\r\nRetry-After: 1\r\n") != refused.npos);
  CHECK(detail_of(refused).starts_with("[2]: "));
  CHECK(detail_of(refused).ends_with("; of 3 events the 2 before it were accepted"));
  CHECK(status_of(client.ask(binary("4"))) == 429);
  served.pump();
  CHECK(status_of(client.ask(batch)) == 202);
  served.pump();
  CHECK(paid == std::vector<std::string>{"1", "2", "3"});
  served.runtime.stop(20s);
  const std::string stopped = client.ask(binary("5"));
  CHECK(status_of(stopped) == 503);
  CHECK(stopped.find("\r\nRetry-After: 1\r\n") != stopped.npos);
}

TEST_CASE("cloud_events_route: takes only what it is told to take", "[cloud_event]") {
  ServedCloudEvents served(CloudEventOptions{.types = EventTypes().add<Order>("orders.*.paid"),
                                             .typed_only = true,
                                             .limits = {.events = 1}});
  Socket client(served.gateway.port());
  const std::string other = client.ask(post("/events", order("1", "other.x"), kStructured));
  CHECK(status_of(other) == 400);
  CHECK(detail_of(other) == "type: no events of the type 'other.x' are taken here");
  const std::string many =
      client.ask(post("/events", "[" + order("1") + "," + order("2") + "]", kBatch));
  CHECK(status_of(many) == 400);
  CHECK(detail_of(many) == "a batch of 2 events: the limit is 1");
  CHECK(status_of(client.ask(post("/events", "[" + order("1") + "]", kBatch))) == 202);
  const std::string document = body_of(client.ask(get("/openapi.json")));
  CHECK(document.find(R"("operationId":"CloudEvents")") != document.npos);
  CHECK(json::Document::parse(document).ok());
  CHECK(document.find(R"("application/cloudevents-batch+json":{"schema":{"type":"array","items":{)"
                      R"("type":"object","required":["specversion","id","source","type"]}}})") !=
        document.npos);
}

TEST_CASE("cloud_events_route: a route that cannot be is refused at the start", "[cloud_event]") {
  wisp::Runtime runtime;
  Gateway bad{runtime, {.port = 0}};
  bad.cloud_events("/events", {.types = EventTypes().add<Order>("orders.**")});
  CHECK(wisp::message(bad.start()).starts_with("route 'POST /events': bad pattern 'orders.**'"));
  Gateway twice{runtime, {.port = 0}};
  twice.cloud_events("/events").cloud_events("/events");
  CHECK(wisp::message(twice.start()) == "route 'POST /events': there is another one of this shape");
  EventTypes many;
  for (std::size_t i = 0; i <= wisp::http::kEventTypesMax; ++i) many.add<Order>("a");
  Gateway much{runtime, {.port = 0}};
  much.cloud_events("/events", {.types = many});
  CHECK(wisp::message(much.start()) ==
        "route 'POST /events': 1001 types of events: the limit is 1000");
}

TEST_CASE("cloud_events_route: what one gateway sends another one takes", "[cloud_event]") {
  ServedCloudEvents served;
  wisp::Runtime sender{{.threads = wisp::Threads::none, .source = "/sender"}};
  std::vector<wisp::http::EventMessage> sent;
  auto out = sender.on(">")
                 .deliver({.synchronous = true})
                 .to([&](const wisp::Event& event, wisp::Context&) -> wisp::Status {
                   for (const auto form :
                        {wisp::http::EventForm::binary, wisp::http::EventForm::structured}) {
                     WISP_TRY(auto told, json::to_cloud_event<Order>(event));
                     WISP_TRY(auto message, wisp::http::write_cloud_event(told, form));
                     sent.push_back(std::move(message));
                   }
                   return wisp::Status();
                 });
  REQUIRE(sender.emit("orders.7.paid", Order{"seven", 7}).ok());
  REQUIRE(sent.size() == 2);
  std::vector<std::string> paid;
  auto orders =
      served.runtime.on("orders.*.paid").to([&](const Order& each) { paid.push_back(each.id); });
  Socket client(served.gateway.port());
  for (const wisp::http::EventMessage& each : sent) {
    std::string fields = "Content-Type: " + each.content_type + "\r\n";
    for (const auto& [name, value] : each.headers) fields += name + ": " + value + "\r\n";
    CHECK(status_of(client.ask(post("/events", each.body, fields))) == 202);
  }
  served.pump();
  // One event, whichever way it comes.
  CHECK(paid == std::vector<std::string>{"seven"});
}

TEST_CASE("cloud_events_route: an event that one tenant sends does not stand for another's",
          "[cloud_event]") {
  wisp::http::ApiKeys keys;
  const auto key_of = [&keys](std::string_view tenant) {
    const auto made =
        wisp::http::ApiKeys::generate({.id = "sender", .tenant = std::string(tenant)});
    REQUIRE(made.ok());
    REQUIRE(keys.add(made->record).ok());
    return "X-API-Key: " + made->key + "\r\n";
  };
  const std::vector<std::string> senders = {key_of("acme"), key_of("umbrella"), key_of("")};
  wisp::Runtime runtime{{.threads = wisp::Threads::none}};
  Gateway gateway{runtime, {.port = 0, .api_keys = &keys}};
  gateway.cloud_events("/events", {.types = EventTypes().add<Order>("orders.*.paid")});
  REQUIRE(gateway.start().ok());
  std::vector<std::string> got;
  auto orders = runtime.on("orders.*.paid").to([&got](const wisp::Event& event) {
    got.push_back(event.lineage.tenant);
  });
  Socket client(gateway.port());
  // The second is cut short in its key.
  for (const std::string& id : {std::string("1"), std::string(245, 'x')}) {
    got.clear();
    for (int round = 0; round < 2; ++round)
      for (const std::string& sender : senders)
        CHECK(status_of(client.ask(binary(id, sender))) == 202);
    while (runtime.pump().ran > 0) {
    }
    CHECK(got == std::vector<std::string>{"acme", "umbrella", ""});
  }
  CHECK(runtime.stats().events.duplicates == 6);
}
