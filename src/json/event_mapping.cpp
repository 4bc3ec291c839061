#include <wisp/json/event_mapping.hpp>

#include <fmt/format.h>

#include <wisp/base/id.hpp>
#include <wisp/model/traceparent.hpp>
#include <wisp/service/idempotency.hpp>

namespace wisp::inline v0::json {
namespace {

constexpr std::string_view kKey = "partitionkey";
constexpr std::string_view kTrace = "traceparent";
constexpr std::string_view kTenant = "tenant";

// "" for one that is not there, or no text.
std::string_view text_of(const CloudEvent& event, std::string_view extension) {
  const auto found = event.extensions.find(extension);
  if (found == event.extensions.end()) return {};
  const std::string* const text = std::get_if<std::string>(&found->second);
  return text == nullptr ? std::string_view() : *text;
}

}  // namespace

CloudEvent attributes_of(const Event& event, const EventMapping& mapping) {
  CloudEvent made{.id = wisp::to_string(event.id),
                  .source = event.source,
                  .type = event.topic,
                  .time = event.time};
  const auto extend = [&made](std::string_view name, std::string text) {
    if (!text.empty()) made.extensions.emplace(name, std::move(text));
  };
  extend(kKey, event.key);
  extend(kTrace, traceparent(event.lineage.trace, event.id, 0));
  if (mapping.tenant) extend(kTenant, event.lineage.tenant);
  return made;
}

CallOptions emit_options(const CloudEvent& event, const EventMapping& mapping) {
  CallOptions options{.key = text_of(event, kKey)};
  if (mapping.tenant) options.tenant = text_of(event, kTenant);
  const std::string_view trace = text_of(event, kTrace);
  if (!trace.empty() && parse_traceparent(trace).ok()) options.traceparent = trace;
  return options;
}

std::string idempotency_key(const CloudEvent& event) {
  // No source has a blank in it.
  std::string key = fmt::format("{} {}", event.source, event.id);
  if (key.size() <= kIdempotencyKeyMax) return key;
  const std::string rest = fmt::format(" {:016x}", stable_hash(key));
  key.resize(kIdempotencyKeyMax - rest.size());
  return key + rest;
}

}  // namespace wisp::inline v0::json
