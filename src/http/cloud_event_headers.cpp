#include <wisp/http/cloud_event_headers.hpp>

#include <absl/strings/ascii.h>

#include <algorithm>
#include <utility>

#include <wisp/base/reader.hpp>
#include <wisp/base/text.hpp>
#include <wisp/base/value.hpp>
#include <wisp/json/detail/cloud_event_attributes.hpp>

#include "head.hpp"

namespace wisp::inline v0::http {
namespace {

constexpr std::string_view kHeaderPrefix = "ce-";
constexpr std::string_view kFamily = "application/cloudevents";
constexpr std::string_view kStructured = "application/cloudevents+json";
constexpr std::string_view kBatch = "application/cloudevents-batch+json";

std::string lower(std::string_view text) {
  return absl::AsciiStrToLower({text.data(), text.size()});
}

// JSON is UTF-8: a type that says another one means something else.
bool is_utf8_type(std::string_view media_type) {
  std::size_t at = media_type.find(';');
  while (at != media_type.npos) {
    media_type.remove_prefix(at + 1);
    at = media_type.find(';');
    const std::string_view parameter = media_type.substr(0, at);
    const std::size_t sign = std::min(parameter.find('='), parameter.size());
    if (!same_name(trimmed(parameter.substr(0, sign)), "charset")) continue;
    const std::string_view charset =
        trimmed(parameter.substr(std::min(sign + 1, parameter.size())));
    if (!same_name(charset, "utf-8") && !same_name(charset, "\"utf-8\"")) return false;
  }
  return true;
}

bool is_attribute(const Header& header) {
  return header.name.size() > kHeaderPrefix.size() &&
         same_name(std::string_view(header.name).substr(0, kHeaderPrefix.size()), kHeaderPrefix);
}

// What stands between the quotes of a quoted text (RFC 7230, 3.2.6); others as they are.
Result<std::string> unquoted(std::string_view value) {
  if (!value.starts_with('"')) {
    if (value.find('"') == value.npos) return std::string(value);
    return invalid_argument("a quote within the value");
  }
  std::string text;
  for (std::size_t i = 1; i < value.size(); ++i) {
    if (value[i] == '"') {
      if (i + 1 == value.size()) return text;
      return invalid_argument("something follows the quoted value");
    }
    if (value[i] == '\\' && ++i == value.size()) break;
    text += value[i];
  }
  return invalid_argument("a quote without its end");
}

Status read_header(std::string_view name, std::string_view text,
                   wisp::detail::CloudEventAttributes& to) {
  const Value value{.kind = ValueKind::text,
                    .size = static_cast<std::uint32_t>(text.size()),
                    .text = text.data()};
  return to.read(name, Reader(value, name));
}

Result<json::CloudEvent> read_binary(const Request& request, const json::Limits& limits) {
  json::CloudEvent event;
  wisp::detail::CloudEventAttributes attributes(event);
  for (const Header& each : request.headers) {
    if (same_name(each.name, "content-type"))
      WISP_TRY(read_header("datacontenttype", each.value, attributes));
    if (!is_attribute(each)) continue;
    const std::string name = lower(std::string_view(each.name).substr(kHeaderPrefix.size()));
    if (name == "datacontenttype")
      return invalid_argument("{}: in this form it is the header content-type", name);
    const Result<std::string> text = decode_header(each.value);
    if (!text.ok()) return invalid_argument("{}: {}", name, message(text.status()));
    WISP_TRY(read_header(name, *text, attributes));
  }
  const Value none{};
  WISP_TRY(attributes.complete(Reader(none, "")));
  event.data = request.body;
  WISP_TRY(wisp::detail::check_data(event, Reader(none, "data"), limits));
  return event;
}

EventMessage write_binary(const json::CloudEvent& event) {
  EventMessage message{.content_type = event.datacontenttype, .body = event.data};
  const auto add = [&message](std::string_view name, std::string_view text) {
    message.headers.push_back({std::string(kHeaderPrefix).append(name), encode_header(text)});
  };
  const auto add_if = [&add](std::string_view name, std::string_view text) {
    if (!text.empty()) add(name, text);
  };
  add("specversion", "1.0");
  add("id", event.id);
  add("source", event.source);
  add("type", event.type);
  add_if("subject", event.subject);
  if (event.time) add("time", wisp::detail::time_text(*event.time));
  add_if("dataschema", event.dataschema);
  for (const auto& [name, value] : event.extensions) add(name, json::to_string(value));
  return message;
}

}  // namespace

std::string encode_header(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string value;
  for (const char c : text) {
    if (c > ' ' && c < '\x7f' && c != '"' && c != '%') {
      value += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    value += '%';
    value += kDigits[byte >> 4U];
    value += kDigits[byte & 0xfU];
  }
  return value;
}

Result<std::string> decode_header(std::string_view value) {
  WISP_TRY(const std::string quoted, unquoted(value));
  std::string text;
  for (std::size_t i = 0; i < quoted.size(); ++i) {
    const char c = quoted[i];
    if (c < ' ' || c >= '\x7f') return invalid_argument("a character that has to be encoded");
    if (c != '%') {
      text += c;
      continue;
    }
    if (quoted.size() - i < 3 || hex_digit(quoted[i + 1]) < 0 || hex_digit(quoted[i + 2]) < 0)
      return invalid_argument("a percent sign without two digits");
    text += static_cast<char>(hex_digit(quoted[i + 1]) * 16 + hex_digit(quoted[i + 2]));
    i += 2;
  }
  if (!wisp::detail::is_utf8(text)) return invalid_argument("it encodes what is no UTF-8");
  return text;
}

std::optional<EventForm> event_form(const Request& request) {
  const std::string_view all = request.header("content-type").value_or("");
  const std::string type = lower(trimmed(all.substr(0, all.find(';'))));
  if (type.starts_with(kFamily)) {
    if (!is_utf8_type(all)) return std::nullopt;
    if (type == kStructured) return EventForm::structured;
    if (type == kBatch) return EventForm::batch;
    return std::nullopt;
  }
  const auto& headers = request.headers;
  if (std::none_of(headers.begin(), headers.end(), is_attribute)) return std::nullopt;
  return EventForm::binary;
}

Result<std::vector<json::CloudEvent>> read_cloud_events(const Request& request,
                                                        const json::CloudEventLimits& limits) {
  const std::optional<EventForm> form = event_form(request);
  if (!form) return invalid_argument("the request has no CloudEvent");
  const auto is_type = [](const Header& each) { return same_name(each.name, "content-type"); };
  if (std::count_if(request.headers.begin(), request.headers.end(), is_type) > 1)
    return invalid_argument("content-type: is there twice");
  if (*form == EventForm::batch) return json::read_cloud_events(request.body, limits);
  std::vector<json::CloudEvent> events;
  if (*form == EventForm::binary) {
    WISP_TRY(json::CloudEvent event, read_binary(request, limits.text));
    events.push_back(std::move(event));
  } else {
    WISP_TRY(json::CloudEvent event, json::read_cloud_event(request.body, limits));
    events.push_back(std::move(event));
  }
  return events;
}

Result<EventMessage> write_cloud_event(const json::CloudEvent& event, EventForm form) {
  if (form == EventForm::batch) return write_cloud_events({&event, 1});
  if (form == EventForm::binary) {
    WISP_TRY(json::check(event));
    if (lower(event.datacontenttype).starts_with(kFamily))
      return invalid_argument("datacontenttype: in binary form '{}' would mean another one",
                              event.datacontenttype);
    return write_binary(event);
  }
  WISP_TRY(std::string body, json::write_cloud_event(event));
  return EventMessage{.content_type = std::string(kStructured), .body = std::move(body)};
}

Result<EventMessage> write_cloud_events(std::span<const json::CloudEvent> events) {
  WISP_TRY(std::string body, json::write_cloud_events(events));
  return EventMessage{.content_type = std::string(kBatch), .body = std::move(body)};
}

}  // namespace wisp::inline v0::http
