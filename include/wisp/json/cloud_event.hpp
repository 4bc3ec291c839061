// Events as CloudEvents 1.0 has them, between programs of any kind; in JSON, alone and in batches.
//
//   WISP_TRY(wisp::json::CloudEvent event, wisp::json::read_cloud_event(text));
//   WISP_TRY(Order order, event.read<Order>());              // its data
//   WISP_TRY(std::string again, wisp::json::write_cloud_event(event));
//
// What is read is valid: it has its required attributes, each attribute is of its type, and data
// that says it is JSON is. Errors are kInvalidArgument and name the attribute: "[3].id: is
// missing". How events travel over HTTP is in http/cloud_event_headers.hpp, how they become wisp's
// own in json/event_mapping.hpp.
//
// Source: "CloudEvents" and "JSON Event Format for CloudEvents", both version 1.0.2.
//
// Threads: value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/fields.hpp>
#include <wisp/base/status.hpp>
#include <wisp/json/json.hpp>

namespace wisp::inline v0::json {

inline constexpr std::size_t kExtensionsMax = 32;
inline constexpr std::size_t kExtensionNameMax = 20;

// The other types of the specification are texts.
using ExtensionValue = std::variant<bool, std::int32_t, std::string>;

// "true", "-7", or the text: how headers and logs have it.
std::string to_string(const ExtensionValue& value);

// */json or */*+json, whatever its parameters.
bool is_json_type(std::string_view media_type);

// The members are named as the attributes. An optional one that is empty is not there.
struct CloudEvent {
  std::string id{};      // differs among the events of one source
  std::string source{};  // a URI reference
  std::string type{};    // wisp's topic
  std::string subject{};
  std::optional<WallTime> time{};
  std::string datacontenttype{};  // a media type
  std::string dataschema{};       // a URI
  // At most kExtensionsMax, their names of a to z and 0 to 9, at most kExtensionNameMax.
  std::map<std::string, ExtensionValue, std::less<>> extensions{};
  // Bytes, as datacontenttype says. JSON is kept as it stood in the text. Empty: there are none;
  // no form that the events travel in tells the two apart but this one.
  std::string data{};

  bool has_json() const { return !data.empty() && is_json_type(datacontenttype); }

  // What Codec<T> makes of the data. kInvalidArgument if they are not JSON, or no T: "data.kg:
  // expected a number, got \"abc\"".
  template <HasCodec T>
  Result<T> read(const ReadOptions& options = {.root = "data"}) const {
    if (!has_json()) return no_json(options.root);
    return json::read<T>(data, options);
  }
  template <HasCodec T>
  void write(const T& value) {
    data = json::write(value);
    datacontenttype = "application/json";
  }

  friend bool operator==(const CloudEvent&, const CloudEvent&) = default;

 private:
  Status no_json(std::string_view root) const;
};
// For filters; the extensions are not among them.
WISP_FIELDS(CloudEvent, id, source, type, subject, time, datacontenttype, dataschema, data)

struct CloudEventLimits {
  Limits text{};
  std::size_t events = 1'000;  // of a batch: kResourceExhausted
};

// application/cloudevents+json.
Result<CloudEvent> read_cloud_event(std::string_view text, const CloudEventLimits& limits = {});
// application/cloudevents-batch+json. All are valid, or none is returned.
Result<std::vector<CloudEvent>> read_cloud_events(std::string_view text,
                                                  const CloudEventLimits& limits = {});

// The same the other way. kInvalidArgument for one that is not valid.
Result<std::string> write_cloud_event(const CloudEvent& event);
Result<std::string> write_cloud_events(std::span<const CloudEvent> events);

// Whether it is valid. `place`: what errors name before the attribute, "[3]"; empty: nothing.
Status check(const CloudEvent& event, std::string_view place = {});

}  // namespace wisp::inline v0::json

namespace wisp::inline v0 {
// None: as a member of another type a CloudEvent would have to give up its data's bytes.
template <>
struct Codec<json::CloudEvent>;
}  // namespace wisp::inline v0
