// An event put together from its attributes, in whatever form they come.
//
//   CloudEventAttributes attributes(event);
//   WISP_TRY(attributes.read("id", reader));          // for each one that is there
//   WISP_TRY(attributes.complete(all));               // "[3].type: is missing"
//
// Threads: one-at-a-time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/reader.hpp>
#include <wisp/base/status.hpp>
#include <wisp/json/cloud_event.hpp>

namespace wisp::inline v0::detail {

class CloudEventAttributes {
 public:
  // Requires: `to` outlives this, and is new.
  explicit CloudEventAttributes(json::CloudEvent& to) : to_(to) {}

  // The attribute of that name, null for one that is not set. kInvalidArgument if it is not of its
  // type, is no attribute, or was there before.
  Status read(std::string_view name, const Reader& from);
  // kInvalidArgument names the first one that is required and missing. `all`: what has them.
  Status complete(const Reader& all) const;

 private:
  Status read_extension(std::string_view name, const Reader& from);

  json::CloudEvent& to_;
  std::uint32_t seen_ = 0;  // by the place of the name among all known
  bool version_ = false;
  std::vector<std::string> unset_;  // extensions that are null
};

// kInvalidArgument if `event` says that its data are JSON, and they are not.
Status check_data(const json::CloudEvent& event, const Reader& from, const json::Limits& limits);

// RFC 3339, in UTC.
std::string time_text(WallTime time);

}  // namespace wisp::inline v0::detail
