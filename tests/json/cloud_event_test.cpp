#include <wisp/json/cloud_event.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/json/event_mapping.hpp>
#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "json/random_cloud_event.hpp"
#include "seeds.hpp"

namespace {

namespace json = wisp::json;
using json::CloudEvent;
using wisp::StatusCode;

struct Parcel {
  double kg = 0;
};
WISP_FIELDS(Parcel, kg)

// An event with these members beside the required ones.
std::string with(std::string_view members) {
  return R"({"specversion":"1.0","id":"1","source":"/s","type":"t",)" + std::string(members) + '}';
}
// One of these members alone.
std::string only(std::string_view members) {
  return R"({"specversion":"1.0",)" + std::string(members) + '}';
}

std::string why(std::string_view text) {
  const wisp::Result<CloudEvent> event = json::read_cloud_event(text);
  if (event.ok()) return "read";
  CHECK(event.status().code() == StatusCode::kInvalidArgument);
  return std::string(wisp::message(event.status()));
}

// The only member that is not as it has to be, and what is said of it.
struct Refusal {
  std::string text;
  std::string_view said;
};

constexpr std::string_view kName = ": no attribute has such a name: a to z and 0 to 9, at most 20";

std::vector<Refusal> attributes() {
  return {
      {"[]", "the value: expected an object, got an array of 0"},
      {"{", "no JSON at line 1, byte 2: incomplete JSON"},
      {"{}", "specversion: is missing"},
      {only(R"("source":"/s","type":"t")"), "id: is missing"},
      {only(R"("id":null,"source":"/s","type":"t")"), "id: is missing"},
      {only(R"("id":"1","type":"t")"), "source: is missing"},
      {only(R"("id":"1","source":"/s")"), "type: is missing"},
      {only(R"("id":7)"), "id: expected a text, got 7"},
      {only(R"("id":["1"])"), "id: expected a text, got an array of 1"},
      {only(R"("id":"")"), "id: expected a text that is not empty, got \"\""},
      {only(R"("id":"1","id":"1")"), "id: is there twice"},
      {only(R"("id":"a\u0001")"), "id: expected a text without control characters, got \"a\\x01\""},
      {only(R"("id":"\u007f")"), "id: expected a text without control characters, got \"\\x7f\""},
      {only(R"("id":"\u009f")"), "id: expected a text without control characters, got \"\u009f\""},
      {only(R"("id":"\ufdd0")"), "id: expected a text without control characters, got \"\ufdd0\""},
      {only(R"("id":"\uffff")"), "id: expected a text without control characters, got \"\uffff\""},
      {only(R"("source":"")"), "source: expected a URI reference that is not empty, got \"\""},
      {only(R"("source":"a b")"),
       "source: expected a URI reference that is not empty, got \"a b\""},
      {only(R"("source":"%2")"), "source: expected a URI reference that is not empty, got \"%2\""},
      {only(R"("source":"é")"), "source: expected a URI reference that is not empty, got \"é\""},
      {only(R"("type":true)"), "type: expected a text, got true"},
      {only(R"("type":"")"), "type: expected a text that is not empty, got \"\""},
      {R"({"specversion":"0.3"})", "specversion: expected \"1.0\", got \"0.3\""},
      {R"({"specversion":"1.0.2"})", "specversion: expected \"1.0\", got \"1.0.2\""},
      {R"({"specversion":2})", "specversion: expected a text, got 2"},
      {with(R"("specversion":"1.0")"), "specversion: is there twice"},
      {with(R"("subject":"")"), "subject: expected a text that is not empty, got \"\""},
      {with(R"("subject":{})"), "subject: expected a text, got an object"},
      {with(R"("datacontenttype":"json")"), "datacontenttype: expected a media type, got \"json\""},
      {with(R"("datacontenttype":"a/")"), "datacontenttype: expected a media type, got \"a/\""},
      {with(R"("datacontenttype":"a/b c")"),
       "datacontenttype: expected a media type, got \"a/b c\""},
      {with(R"("datacontenttype":"a/b;c\td")"),
       "datacontenttype: expected a media type, got \"a/b;c\\x09d\""},
      {with(R"("dataschema":"/s")"), "dataschema: expected a URI, got \"/s\""},
      {with(R"("dataschema":"1a:b")"), "dataschema: expected a URI, got \"1a:b\""},
  };
}

std::vector<Refusal> others() {
  std::string many = "\"x0\":0";
  for (int i = 1; i < 33; ++i) many += ",\"x" + std::to_string(i) + "\":0";
  return {
      {with(R"("A":1)"), "A: no attribute has such a name: a to z and 0 to 9, at most 20"},
      {with(R"("a_b":1)"), "a_b: no attribute has such a name: a to z and 0 to 9, at most 20"},
      {with(R"("abcdefghijklmnopqrstu":1)"),
       "abcdefghijklmnopqrstu: no attribute has such a name: a to z and 0 to 9, at most 20"},
      {with(R"("":1)"), kName},
      {with(R"("x":{})"), "x: expected a text, a whole number, true or false, got an object"},
      {with(R"("x":[1])"), "x: expected a text, a whole number, true or false, got an array of 1"},
      {with(R"("x":1.5)"), "x: expected a whole number from -2147483648 to 2147483647, got 1.5"},
      {with(R"("x":2147483648)"),
       "x: expected a whole number from -2147483648 to 2147483647, got 2147483648"},
      {with(R"("x":"\n")"), "x: expected a text without control characters, got \"\\x0a\""},
      {with(R"("x":1,"x":2)"), "x: is there twice"},
      {with(R"("x":null,"x":2)"), "x: is there twice"},
      {with(many), "x32: more than 32 extensions"},
      {with(R"("data":1,"data_base64":"Zg==")"), "data_base64: is there beside data"},
      {with(R"("data_base64":"Zg==","data":1)"), "data_base64: is there beside data"},
      {with(R"("data":1,"data":1)"), "data: is there twice"},
      {with(R"("data_base64":"","data_base64":"")"), "data_base64: is there twice"},
      {with(R"("data_base64":"Zg=")"),
       "data_base64: base64 of 3 characters: it comes in groups of four"},
      {with(R"("data_base64":5)"), "data_base64: expected a text, got 5"},
      {with(R"("data_base64":null)"), "data_base64: expected a text, got null"},
      {with(R"("data":{},"datacontenttype":"text/plain")"),
       "data: expected a text, as its datacontenttype is not JSON, got an object"},
      {with(R"("datacontenttype":"application/json","data_base64":"ew==")"),
       "data_base64: no JSON at line 1, byte 2: incomplete JSON"},
  };
}

}  // namespace

TEST_CASE("cloud_event: one that is not valid is refused, and its attribute named",
          "[cloud_event]") {
  for (const auto& table : {attributes(), others()}) {
    for (const auto& [text, said] : table) {
      INFO(text);
      CHECK(why(text) == said);
    }
  }
  CHECK(why(with(R"("x":1)")) == "read");
}

TEST_CASE("cloud_event: a time is RFC 3339's", "[cloud_event]") {
  const auto time = [](std::string_view text) -> std::string {
    const auto event = json::read_cloud_event(with("\"time\":\"" + std::string(text) + '"'));
    if (!event.ok()) return std::string(wisp::message(event.status()));
    const std::string written = json::write_cloud_event(*event).value();
    const std::size_t at = written.find("\"time\":\"") + 8;
    return written.substr(at, written.find('"', at) - at);
  };
  CHECK(time("2026-11-29T17:30:00Z") == "2026-11-29T17:30:00Z");
  CHECK(time("2026-11-29t17:30:00.25z") == "2026-11-29T17:30:00.250Z");
  CHECK(time("2026-11-29T17:30:00.123456789+05:30") == "2026-11-29T12:00:00.123456789Z");
  CHECK(time("2026-01-01T00:00:00-00:01") == "2026-01-01T00:01:00Z");
  for (const std::string_view bad :
       {"yesterday", "", "2026-11-29", "2026-11-29T17:30:00", "2026-11-29 17:30:00Z",
        "2026-02-29T00:00:00Z", "2026-11-29T24:00:00Z", "2026-11-29T17:30:00.Z",
        "2026-11-29T17:30:00+5:30", "2026-11-29T17:30:00+24:00", "2026-11-29T17:30:00Z ",
        "26-11-29T17:30:00Z", "2026-11-29T17:60:00Z", "0001-01-01T00:00:00Z"}) {
    CHECK(time(bad) == "time: expected a time such as \"2026-11-29T17:30:00Z\", got \"" +
                           std::string(bad) + '"');
  }
  CHECK(why(with(R"("time":5)")) ==
        "time: expected a time such as \"2026-11-29T17:30:00Z\", got 5");
}

TEST_CASE("cloud_event: all of one is read", "[cloud_event]") {
  const CloudEvent event = json::read_cloud_event(R"( {
    "specversion": "1.0", "type": "orders.4711.paid", "source": "/shop", "id": "A234",
    "time": "2026-11-29T17:30:00Z", "subject": "4711", "dataschema": "https://a.example/s",
    "comexampleextension1": "value", "comexampleothervalue": 5, "flag": false, "unset": null,
    "datacontenttype": "application/json", "data": { "kg" :1.50, "data":["}"] } } )")
                               .value();
  CHECK(event.id == "A234");
  CHECK(event.source == "/shop");
  CHECK(event.type == "orders.4711.paid");
  CHECK(event.subject == "4711");
  CHECK(event.dataschema == "https://a.example/s");
  CHECK(event.time == wisp::WallTime(std::chrono::seconds(1'795'973'400)));
  CHECK(event.extensions.size() == 3);
  CHECK(event.extensions.at("comexampleextension1") == json::ExtensionValue("value"));
  CHECK(event.extensions.at("comexampleothervalue") == json::ExtensionValue(5));
  CHECK(event.extensions.at("flag") == json::ExtensionValue(false));
  CHECK(event.data == R"({ "kg" :1.50, "data":["}"] })");
  CHECK(event.read<Parcel>({.root = "data", .unknown = wisp::UnknownMembers::ignore})->kg == 1.5);
}

TEST_CASE("cloud_event: data in each of its forms", "[cloud_event]") {
  const auto data = [](std::string_view members) {
    return json::read_cloud_event(with(members)).value();
  };
  CHECK(data(R"("data":"I'm just a string")").data == R"("I'm just a string")");
  CHECK(data(R"("data":1)").datacontenttype == "application/json");
  CHECK(data(R"("data":null)").data == "null");
  CHECK(data(R"("d\u0061ta":[ 1 ])").data == "[ 1 ]");
  CHECK(data(R"("x":"y")").datacontenttype.empty());
  const CloudEvent xml = data(R"("datacontenttype":"text/xml","data":"<much wow=\"xml\"/>")");
  CHECK(xml.data == "<much wow=\"xml\"/>");
  CHECK_FALSE(xml.has_json());
  CHECK(json::write_cloud_event(xml).value() ==
        with(R"("datacontenttype":"text/xml","data":"<much wow=\"xml\"/>")"));
  const CloudEvent bytes = data(R"("data_base64":"+//+")");
  CHECK(bytes.data == "\xfb\xff\xfe");
  CHECK(json::write_cloud_event(bytes).value() == with(R"("data_base64":"+//+")"));
  CHECK(wisp::message(bytes.read<Parcel>().status()) ==
        "data: expected JSON, got bytes of no type");
  CHECK(wisp::message(xml.read<Parcel>().status()) == "data: expected JSON, got text/xml");
  CHECK(data(R"("datacontenttype":"a/b+JSON; x=y","data_base64":"eyJrZyI6Mn0=")")
            .read<Parcel>()
            ->kg == 2);
  CHECK(wisp::message(data(R"("data":{"kg":"x"})").read<Parcel>().status()) ==
        "data.kg: expected a number, got \"x\"");
  CHECK(wisp::message(data(R"("x":1)").read<Parcel>().status()) == "data: is missing");
  for (const std::string_view type : {"application/json", "A/JSON", "a/b+json;c=d", "a/json ;x"})
    CHECK(json::is_json_type(type));
  for (const std::string_view type :
       {"", "json", "application/jsonx", "text/plain;a=/json", "+json"})
    CHECK_FALSE(json::is_json_type(type));
}

TEST_CASE("cloud_event: what was written is read again", "[cloud_event]") {
  for (int seed = 1; seed <= 10 * wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    std::vector<CloudEvent> events(random.below(5));
    for (CloudEvent& each : events) each = wisp::test::random_cloud_event(random);
    const std::string text = json::write_cloud_events(events).value();
    INFO(text);
    CHECK(json::read_cloud_events(text).value() == events);
    for (const CloudEvent& each : events) {
      const std::string alone = json::write_cloud_event(each).value();
      CHECK(json::read_cloud_event(alone).value() == each);
    }
  }
}

TEST_CASE("cloud_event: a batch is read as a whole, or not", "[cloud_event]") {
  const std::string good = with(R"("data":[1,"]"])");
  const auto refused = [](std::string_view text, std::string_view said) {
    INFO(text);
    CHECK(wisp::message(json::read_cloud_events(text).status()) == said);
  };
  CHECK(json::read_cloud_events("[]")->empty());
  const std::vector<CloudEvent> two =
      json::read_cloud_events(" [ " + good + " ,\n" + with(R"("data":{})") + "]").value();
  REQUIRE(two.size() == 2);
  CHECK(two[0].data == R"([1,"]"])");
  CHECK(two[1].data == "{}");
  refused("{}", "the value: expected an array, got an object");
  refused("[5]", "[0]: expected an object, got 5");
  refused("[" + good + "," + good + "," + good + ",{\"specversion\":\"1.0\"}]",
          "[3].id: is missing");
  refused("[" + good + "," + with(R"("data_base64":"Z")") + "]",
          "[1].data_base64: base64 of 1 characters: it comes in groups of four");
  std::string full = "[" + good;
  for (int i = 1; i < 3; ++i) full += "," + good;
  CHECK(json::read_cloud_events(full + "]", {.events = 3}).ok());
  const auto more = json::read_cloud_events(full + "," + good + "]", {.events = 3});
  CHECK(more.status().code() == StatusCode::kResourceExhausted);
  CHECK(wisp::message(more.status()) == "a batch of 4 events: the limit is 3");
}

TEST_CASE("cloud_event: one that is not valid is not written", "[cloud_event]") {
  const auto refused = [](auto&& spoil, std::string_view said) {
    CloudEvent event{.id = "1", .source = "/s", .type = "t"};
    REQUIRE(json::write_cloud_event(event).ok());
    spoil(event);
    CHECK(wisp::message(json::write_cloud_event(event).status()) == said);
    const CloudEvent two[] = {{.id = "1", .source = "/s", .type = "t"}, event};
    const auto batch = json::write_cloud_events(two);
    CHECK(wisp::message(batch.status()) == "[1]." + std::string(said));
  };
  refused([](CloudEvent& e) { e.id.clear(); }, "id: is missing");
  refused([](CloudEvent& e) { e.source = "a b"; },
          "source: expected a URI reference that is not empty, got \"a b\"");
  refused([](CloudEvent& e) { e.subject = "a\r\nb"; },
          "subject: expected a text without control characters, got \"a\\x0d\\x0ab\"");
  refused([](CloudEvent& e) { e.extensions["id"] = "1"; }, "id: no extension has such a name");
  refused([](CloudEvent& e) { e.extensions["data"] = 1; }, "data: no extension has such a name");
  refused([](CloudEvent& e) { e.extensions["x"] = "\xff"; },
          "x: expected a text without control characters, got \"\xff\"");
  refused(
      [](CloudEvent& e) {
        e.data = "}";
        e.datacontenttype = "application/json";
      },
      "data: no JSON at line 1, byte 1: syntax error");
}

TEST_CASE("cloud_event: an event of wisp's becomes one", "[cloud_event]") {
  wisp::Event event;
  event.id = {1, 2};
  event.topic = "parcels.sent";
  event.source = "/depot";
  event.time = wisp::WallTime(std::chrono::seconds(60));
  event.payload = wisp::Payload::of(Parcel{2.5});
  event.lineage.trace = {3, 4};
  event.lineage.tenant = "acme";
  event.key = "4711";
  const CloudEvent made = json::to_cloud_event<Parcel>(event).value();
  CHECK(made.id == "00000000000000010000000000000002");
  CHECK(made.source == "/depot");
  CHECK(made.type == "parcels.sent");
  CHECK(made.time == event.time);
  CHECK(made.data == R"({"kg":2.5})");
  CHECK(made.extensions.size() == 2);
  CHECK(made.extensions.at("partitionkey") == json::ExtensionValue("4711"));
  CHECK(json::check(made).ok());
  CHECK(json::to_cloud_event<Parcel>(event, {.tenant = true})->extensions.at("tenant") ==
        json::ExtensionValue("acme"));
  CHECK(wisp::message(json::to_cloud_event<int>(event).status()) ==
        "the event on 'parcels.sent' is of type Parcel, not int32");
  const wisp::CallOptions options = json::emit_options(made);
  CHECK(options.key == "4711");
  CHECK(options.tenant.empty());
  CHECK(wisp::parse_traceparent(options.traceparent).value() == wisp::EventId{3, 4});
  CloudEvent other = made;
  other.extensions = {{"traceparent", "none"}, {"tenant", "free"}, {"partitionkey", 7}};
  CHECK(json::emit_options(other).traceparent.empty());
  CHECK(json::emit_options(other).key.empty());
  CHECK(json::emit_options(other).tenant.empty());
  CHECK(json::emit_options(other, {.tenant = true}).tenant == "free");
  event.payload = wisp::Payload::of(other);
  CHECK(json::to_cloud_event<CloudEvent>(event).value() == other);
}

TEST_CASE("cloud_event: the key of two events is the same only if they are", "[cloud_event]") {
  const auto key = [](std::string source, std::string id) {
    return json::idempotency_key({.id = std::move(id), .source = std::move(source), .type = "t"});
  };
  CHECK(key("/s", "1") == "/s 1");
  CHECK(key("/s", "1") != key("/s1", ""));
  const std::string longest(wisp::kIdempotencyKeyMax - 3, 'x');
  CHECK(key("/s", longest) == "/s " + longest);
  CHECK(key("/s", longest + "1").size() == wisp::kIdempotencyKeyMax);
  CHECK(key("/s", longest + "1") != key("/s", longest + "2"));
}
