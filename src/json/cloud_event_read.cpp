#include <optional>
#include <utility>

#include <wisp/base/base64.hpp>
#include <wisp/json/cloud_event.hpp>
#include <wisp/json/detail/cloud_event_attributes.hpp>

#include "raw.hpp"

namespace wisp::inline v0::json {
namespace {

// A value that stands for the data of an event, and its place among the members.
struct Found {
  Reader reader;
  std::size_t index;
};

// As it stands in the text of its object.
std::string_view raw_value(std::string_view object, std::size_t index) {
  RawText raw(object);
  raw.enter();
  for (std::size_t i = 0; i < 2 * index + 1; ++i) raw.next();
  return raw.next();
}

Status read_data(const Found& found, std::string_view object, CloudEvent& to) {
  if (to.datacontenttype.empty()) to.datacontenttype = "application/json";
  if (is_json_type(to.datacontenttype)) {
    to.data = raw_value(object, found.index);
    return Status();
  }
  if (found.reader.kind() != ValueKind::text)
    return found.reader.expected("a text, as its datacontenttype is not JSON");
  to.data = found.reader.value().view();
  return Status();
}

Status read_base64(const Reader& from, const Limits& limits, CloudEvent& to) {
  if (from.kind() != ValueKind::text) return from.expected("a text");
  auto bytes = from_base64(from.value().view(), {.bytes = limits.bytes});
  if (!bytes.ok()) return from.wrong(message(bytes.status()));
  to.data = *std::move(bytes);
  return detail::check_data(to, from, limits);
}

// `object`: the text that it was read from.
Status read_event(const Reader& from, std::string_view object, const Limits& limits,
                  CloudEvent& to) {
  detail::CloudEventAttributes attributes(to);
  std::optional<Found> data;
  std::optional<Found> base64;
  std::size_t index = 0;
  const auto read = [&](std::string_view name, const Reader& each) -> Status {
    const std::size_t place = index++;
    if (name != "data" && name != "data_base64") return attributes.read(name, each);
    std::optional<Found>& found = name == "data" ? data : base64;
    if (found) return each.wrong("is there twice");
    found.emplace(Found{each, place});
    return Status();
  };
  WISP_TRY(from.each_member(read));
  if (data && base64) return base64->reader.wrong("is there beside data");
  WISP_TRY(attributes.complete(from));
  if (data) return read_data(*data, object, to);
  return base64 ? read_base64(base64->reader, limits, to) : Status();
}

}  // namespace

Result<CloudEvent> read_cloud_event(std::string_view text, const CloudEventLimits& limits) {
  WISP_TRY(const Document document, Document::parse(text, limits.text));
  CloudEvent event;
  WISP_TRY(read_event(Reader(document.root(), ""), text, limits.text, event));
  return event;
}

Result<std::vector<CloudEvent>> read_cloud_events(std::string_view text,
                                                  const CloudEventLimits& limits) {
  WISP_TRY(const Document document, Document::parse(text, limits.text));
  const Value& root = document.root();
  if (root.kind == ValueKind::array && root.size > limits.events)
    return resource_exhausted("a batch of {} events: the limit is {}", root.size, limits.events);
  std::vector<CloudEvent> events;
  RawText raw(text);
  raw.enter();
  const auto read = [&](const Reader& each) {
    return read_event(each, raw.next(), limits.text, events.emplace_back());
  };
  WISP_TRY(Reader(root, "").each_element(read));
  return events;
}

}  // namespace wisp::inline v0::json
