#include <fmt/format.h>

#include <wisp/base/base64.hpp>
#include <wisp/base/text.hpp>
#include <wisp/json/cloud_event.hpp>
#include <wisp/json/detail/cloud_event_attributes.hpp>

namespace wisp::inline v0::json {
namespace {

void write_member(std::string_view name, std::string_view text, TextWriter& to) {
  if (text.empty()) return;
  to.name(name);
  to.text(text);
}

void write_extension(const ExtensionValue& value, TextWriter& to) {
  if (const bool* flag = std::get_if<bool>(&value)) return to.boolean(*flag);
  if (const std::int32_t* number = std::get_if<std::int32_t>(&value)) return to.integer(*number);
  to.text(std::get<std::string>(value));
}

// What may stand in JSON as a text, and is one by its type.
bool is_text(const CloudEvent& event) {
  return event.datacontenttype.starts_with("text/") && wisp::detail::is_utf8(event.data);
}

void write_data(const CloudEvent& event, std::string& text, TextWriter& to) {
  if (event.data.empty()) return;
  if (event.has_json()) {
    to.name("data");
    text += event.data;
  } else if (is_text(event)) {
    write_member("data", event.data, to);
  } else {
    write_member("data_base64", to_base64(event.data), to);
  }
}

// Requires: it is valid.
void write_event(const CloudEvent& event, std::string& text) {
  TextWriter to(text);
  to.begin_object();
  write_member("specversion", "1.0", to);
  write_member("id", event.id, to);
  write_member("source", event.source, to);
  write_member("type", event.type, to);
  write_member("subject", event.subject, to);
  if (event.time) write_member("time", wisp::detail::time_text(*event.time), to);
  write_member("datacontenttype", event.datacontenttype, to);
  write_member("dataschema", event.dataschema, to);
  for (const auto& [name, value] : event.extensions) {
    to.name(name);
    write_extension(value, to);
  }
  write_data(event, text, to);
  to.end_object();
}

}  // namespace

Result<std::string> write_cloud_event(const CloudEvent& event) {
  WISP_TRY(check(event));
  std::string text;
  write_event(event, text);
  return text;
}

Result<std::string> write_cloud_events(std::span<const CloudEvent> events) {
  std::string text = "[";
  for (std::size_t i = 0; i < events.size(); ++i) {
    WISP_TRY(check(events[i], fmt::format("[{}]", i)));
    if (i > 0) text += ',';
    write_event(events[i], text);
  }
  return text += ']';
}

}  // namespace wisp::inline v0::json
