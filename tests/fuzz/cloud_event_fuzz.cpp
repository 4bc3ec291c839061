// Bytes are refused or are events; what was read is valid, and is the same in each of its forms.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/base64.hpp>
#include <wisp/http/cloud_event_headers.hpp>
#include <wisp/json/cloud_event.hpp>

namespace {

namespace json = wisp::json;
using wisp::http::EventForm;
using wisp::http::Request;

constexpr std::string_view kFamily = "application/cloudevents";

void require(bool holds) {
  if (!holds) std::abort();
}

// Lines of "name: value", an empty line, the body.
Request request_of(std::string_view text) {
  Request request;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (line.empty()) break;
    const std::size_t colon = line.find(": ");
    if (colon == line.npos) continue;
    request.headers.push_back(
        {std::string(line.substr(0, colon)), std::string(line.substr(colon + 2))});
  }
  request.body = text;
  return request;
}

void check_forms(const json::CloudEvent& event) {
  require(json::check(event).ok());
  for (const EventForm form : {EventForm::binary, EventForm::structured, EventForm::batch}) {
    const auto message = wisp::http::write_cloud_event(event, form);
    if (!message.ok()) {
      // What would mean another form.
      require(form == EventForm::binary && event.datacontenttype.size() >= kFamily.size());
      continue;
    }
    Request request{.headers = message->headers, .body = message->body};
    if (!message->content_type.empty())
      request.headers.push_back({"Content-Type", message->content_type});
    require(wisp::http::event_form(request) == form);
    const json::CloudEventLimits limits{
        .text = {.bytes = 64U << 20U, .depth = 40, .values = 1U << 20U}};
    const auto again = wisp::http::read_cloud_events(request, limits);
    require(again.ok() && again->size() == 1);
    json::CloudEvent expected = event;
    if (form == EventForm::binary)
      for (auto& [name, value] : expected.extensions) value = json::to_string(value);
    require(again->front() == expected);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto event = json::read_cloud_event(text); event.ok()) check_forms(*event);
  if (const auto events = json::read_cloud_events(text); events.ok())
    for (const json::CloudEvent& each : *events) check_forms(each);
  if (const auto events = wisp::http::read_cloud_events(request_of(text)); events.ok())
    for (const json::CloudEvent& each : *events) check_forms(each);
  for (const auto form : {wisp::Base64::standard, wisp::Base64::url, wisp::Base64::url_bare}) {
    const auto bytes = wisp::from_base64(text, {.form = form});
    if (bytes.ok()) require(wisp::to_base64(*bytes, form) == text);
  }
  return 0;
}
