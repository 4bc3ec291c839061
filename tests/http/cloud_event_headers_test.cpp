#include <wisp/http/cloud_event_headers.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "json/random_cloud_event.hpp"
#include "seeds.hpp"

namespace {

namespace json = wisp::json;
using json::CloudEvent;
using wisp::http::event_form;
using wisp::http::EventForm;
using wisp::http::EventMessage;
using wisp::http::Header;
using wisp::http::Request;

Request request_of(const EventMessage& message) {
  Request request{
      .method = "POST", .path = "/events", .headers = message.headers, .body = message.body};
  if (!message.content_type.empty())
    request.headers.push_back({"Content-Type", message.content_type});
  return request;
}

// One that is right, with these headers besides.
Request made_of(std::vector<Header> more, std::string body = "") {
  Request request{
      .headers = {{"ce-specversion", "1.0"}, {"Ce-Id", "1"}, {"CE-SOURCE", "/s"}, {"ce-type", "t"}},
      .body = std::move(body)};
  for (Header& each : more) request.headers.push_back(std::move(each));
  return request;
}

std::string why(const Request& request) {
  const auto events = wisp::http::read_cloud_events(request);
  return events.ok() ? "read" : std::string(wisp::message(events.status()));
}

std::optional<EventForm> form_of(std::string content_type, bool headers = false) {
  Request request{.headers = {{"content-type", std::move(content_type)}}};
  if (headers) request.headers.push_back({"CE-ID", "1"});
  return event_form(request);
}

}  // namespace

TEST_CASE("cloud_event_headers: values are encoded as the binding says", "[cloud_event]") {
  using wisp::http::decode_header;
  using wisp::http::encode_header;
  CHECK(encode_header("Euro € 😀") == "Euro%20%E2%82%AC%20%F0%9F%98%80");
  CHECK(encode_header("a\"b%c~!'d") == "a%22b%25c~!'d");
  CHECK(encode_header("a\r\nb\x7f") == "a%0D%0Ab%7F");
  constexpr std::pair<std::string_view, std::string_view> kRead[] = {
      {"Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"},
      {"%e2%82%ac", "€"},
      {"%41%2541", "A%41"},
      {"a b", "a b"},
      {"\"a b\"", "a b"},
      {R"("a\"\\b%20c")", R"(a"\b c)"},
      {"\"\"", ""},
      {"", ""}};
  for (const auto& [value, text] : kRead) {
    INFO(value);
    CHECK(decode_header(value).value() == text);
  }
  constexpr std::pair<std::string_view, std::string_view> kRefused[] = {
      {"%", "a percent sign without two digits"},
      {"a%2", "a percent sign without two digits"},
      {"%G0", "a percent sign without two digits"},
      {"%0g", "a percent sign without two digits"},
      {"%C0%A0", "it encodes what is no UTF-8"},
      {"%E2%82", "it encodes what is no UTF-8"},
      {"%ED%A0%80", "it encodes what is no UTF-8"},
      {"%FF", "it encodes what is no UTF-8"},
      {"€", "a character that has to be encoded"},
      {"a\tb", "a character that has to be encoded"},
      {"a\"b", "a quote within the value"},
      {"\"a", "a quote without its end"},
      {"\"", "a quote without its end"},
      {R"("a\)", "a quote without its end"},
      {"\"a\"b", "something follows the quoted value"},
      {"\"a\" ", "something follows the quoted value"}};
  for (const auto& [value, said] : kRefused) {
    INFO(value);
    CHECK(wisp::message(decode_header(value).status()) == said);
  }
}

TEST_CASE("cloud_event_headers: the form of a request is what its type says", "[cloud_event]") {
  CHECK(form_of("application/cloudevents+json") == EventForm::structured);
  CHECK(form_of("Application/CloudEvents+JSON ; charset=UTF-8") == EventForm::structured);
  CHECK(form_of("application/cloudevents+json;a=b; Charset=\"utf-8\"") == EventForm::structured);
  CHECK(form_of("application/cloudevents-batch+json", true) == EventForm::batch);
  CHECK(form_of("application/json", true) == EventForm::binary);
  for (const std::string type :
       {"application/cloudevents", "application/cloudevents+xml", "application/cloudevents+json2",
        "application/cloudevents-batch+avro", "application/cloudevents+json; charset=utf-16",
        "application/cloudevents+json;x; charset=latin1"}) {
    INFO(type);
    CHECK_FALSE(form_of(type, true).has_value());
  }
  CHECK_FALSE(form_of("application/json").has_value());
  CHECK_FALSE(event_form(Request{}).has_value());
  CHECK_FALSE(event_form(Request{.headers = {{"ce-", "1"}, {"cex-id", "1"}}}).has_value());
  CHECK(event_form(Request{.headers = {{"ce-id", "1"}}}) == EventForm::binary);
  CHECK(why(Request{}) == "the request has no CloudEvent");
}

TEST_CASE("cloud_event_headers: headers that make no event are refused", "[cloud_event]") {
  CHECK(why(made_of({})) == "read");
  const std::pair<Request, std::string_view> refused[] = {
      {Request{.headers = {{"ce-id", "1"}}}, "specversion: is missing"},
      {Request{.headers = {{"ce-specversion", "1.0"}, {"ce-id", "1"}}}, "source: is missing"},
      {Request{.headers = {{"ce-specversion", "0.3"}}},
       "specversion: expected \"1.0\", got \"0.3\""},
      {made_of({{"ce-id", "1"}}), "id: is there twice"},
      {made_of({{"CE-Id", "2"}}), "id: is there twice"},
      {made_of({{"ce-specversion", "1.0"}}), "specversion: is there twice"},
      {made_of({{"ce-x", "1"}, {"Ce-X", "1"}}), "x: is there twice"},
      {made_of({{"ce-datacontenttype", "a/b"}}),
       "datacontenttype: in this form it is the header content-type"},
      {made_of({{"content-type", "a/b"}, {"Content-Type", "a/b"}}), "content-type: is there twice"},
      {made_of({{"content-type", "none"}}), "datacontenttype: expected a media type, got \"none\""},
      {made_of({{"content-type", ""}}), "datacontenttype: expected a media type, got \"\""},
      {made_of({{"ce-data", "1"}}),
       "data: no attribute has such a name: a to z and 0 to 9, at most 20"},
      {made_of({{"ce-a-b", "1"}}),
       "a-b: no attribute has such a name: a to z and 0 to 9, at most 20"},
      {made_of({{"ce-subject", ""}}), "subject: expected a text that is not empty, got \"\""},
      {made_of({{"ce-subject", "%"}}), "subject: a percent sign without two digits"},
      {made_of({{"ce-subject", "%0D%0Aa"}}),
       "subject: expected a text without control characters, got \"\\x0d\\x0aa\""},
      {made_of({{"ce-subject", "%C2%85"}}),
       "subject: expected a text without control characters, got \"\u0085\""},
      {made_of({{"ce-time", "now"}}),
       "time: expected a time such as \"2026-11-29T17:30:00Z\", got \"now\""},
      {made_of({{"ce-dataschema", "s"}}), "dataschema: expected a URI, got \"s\""},
      {made_of({{"content-type", "application/json"}}, "{"),
       "data: no JSON at line 1, byte 2: incomplete JSON"},
      {made_of({{"content-type", "a/b+json"}}, "[1] 2"),
       "data: no JSON at line 1, byte 5: extra data"},
  };
  for (const auto& [request, said] : refused) CHECK(why(request) == said);
}

TEST_CASE("cloud_event_headers: an event in binary form", "[cloud_event]") {
  CloudEvent event{.id = "1", .source = "/s", .type = "t", .subject = "a é"};
  event.extensions = {{"flag", true}, {"n", -7}, {"x", "%"}};
  event.data = "\x01\xff";
  event.datacontenttype = "image/png";
  const EventMessage message = wisp::http::write_cloud_event(event).value();
  CHECK(message.content_type == "image/png");
  CHECK(message.body == "\x01\xff");
  std::string headers;
  for (const Header& each : message.headers) headers += each.name + ": " + each.value + "\n";
  CHECK(headers ==
        "ce-specversion: 1.0\nce-id: 1\nce-source: /s\nce-type: t\nce-subject: a%20%C3%A9\n"
        "ce-flag: true\nce-n: -7\nce-x: %25\n");
  const auto again = wisp::http::read_cloud_events(request_of(message)).value();
  REQUIRE(again.size() == 1);
  CHECK(again[0].subject == "a é");
  CHECK(again[0].extensions.at("n") == json::ExtensionValue("-7"));
  event.datacontenttype = "Application/CloudEvents+json";
  CHECK(wisp::message(wisp::http::write_cloud_event(event).status()) ==
        "data: no JSON at line 1, byte 1: syntax error");
  event.data.clear();
  CHECK(wisp::message(wisp::http::write_cloud_event(event).status()) ==
        "datacontenttype: in binary form 'Application/CloudEvents+json' would mean another one");
  CHECK(wisp::http::write_cloud_event(event, EventForm::structured).ok());
  event.id.clear();
  for (const EventForm form : {EventForm::binary, EventForm::structured})
    CHECK(wisp::message(wisp::http::write_cloud_event(event, form).status()) == "id: is missing");
  CHECK(wisp::message(wisp::http::write_cloud_event(event, EventForm::batch).status()) ==
        "[0].id: is missing");
}

TEST_CASE("cloud_event_headers: what was written is read again, in each form", "[cloud_event]") {
  for (int seed = 1; seed <= 10 * wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    const CloudEvent event = wisp::test::random_cloud_event(random);
    for (const EventForm form : {EventForm::structured, EventForm::batch, EventForm::binary}) {
      const EventMessage message = wisp::http::write_cloud_event(event, form).value();
      const Request request = request_of(message);
      CHECK(event_form(request) == form);
      const auto events = wisp::http::read_cloud_events(request);
      INFO(wisp::to_string(events.status()));
      REQUIRE(events.ok());
      REQUIRE(events->size() == 1);
      CloudEvent expected = event;
      if (form == EventForm::binary)
        for (auto& [name, value] : expected.extensions) value = json::to_string(value);
      CHECK(events->front() == expected);
    }
  }
}
