// CloudEvents in HTTP requests: one in headers and body, one as JSON, many as JSON.
//
//   WISP_TRY(auto message, wisp::http::write_cloud_event(event, EventForm::binary));
//   // message.content_type, message.headers, message.body: to be sent
//   WISP_TRY(auto events, wisp::http::read_cloud_events(request));
//
// In binary form the body is the data and Content-Type their type; each other attribute is a header
// of its own, "ce-id", percent-encoded. All extensions are texts there. An event without data has
// an empty body.
//
// Source: "HTTP Protocol Binding for CloudEvents", version 1.0.2. Stricter: a header that is there
// twice, or that has to be encoded and is not, is refused.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/status.hpp>
#include <wisp/http/message.hpp>
#include <wisp/json/cloud_event.hpp>

namespace wisp::inline v0::http {

enum class EventForm : std::uint8_t { binary, structured, batch };

// By its Content-Type, or by having headers "ce-"; nullopt: the request has no CloudEvent, or one
// in a format other than JSON.
std::optional<EventForm> event_form(const Request& request);

// All events of the request, each valid; errors as in cloud_event.hpp. kInvalidArgument too for a
// request without a form.
Result<std::vector<json::CloudEvent>> read_cloud_events(const Request& request,
                                                        const json::CloudEventLimits& limits = {});

// What a request that carries events consists of.
struct EventMessage {
  std::string content_type{};  // empty: the header is left out
  std::vector<Header> headers{};
  std::string body{};
};

// kInvalidArgument for an event that is not valid. Of batch: a batch of one.
Result<EventMessage> write_cloud_event(const json::CloudEvent& event,
                                       EventForm form = EventForm::binary);
Result<EventMessage> write_cloud_events(std::span<const json::CloudEvent> events);

// The value of a header for an attribute's text, and back: "Euro%20%E2%82%AC". Takes a quoted text
// too, as older versions wrote it. kInvalidArgument for what is not encoded, or is no UTF-8.
std::string encode_header(std::string_view text);
Result<std::string> decode_header(std::string_view value);

}  // namespace wisp::inline v0::http
