#include "cloud_events.hpp"

#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <wisp/base/id.hpp>
#include <wisp/http/cloud_event_headers.hpp>
#include <wisp/model/pattern.hpp>
#include <wisp/service/call_options.hpp>
#include <wisp/service/idempotency.hpp>

#include "problem.hpp"

namespace wisp::inline v0::http {
namespace {

struct Known {
  TopicPattern pattern;
  detail::ReadEmission read;
};

// One that no type matches.
class WholeEmission final : public detail::Emission {
 public:
  explicit WholeEmission(json::CloudEvent event) : event_(std::move(event)) {}
  Result<EventId> emit(Runtime& runtime, std::string_view topic,
                       const CallOptions& options) const override {
    return runtime.emit(topic, event_, options);
  }

 private:
  json::CloudEvent event_;
};

struct Ready {
  std::string key;  // of idempotency
  CallOptions options;
  std::unique_ptr<const detail::Emission> emission;
};

class CloudEventEndpoint final : public detail::Endpoint {
 public:
  CloudEventEndpoint(std::vector<Known> known, const CloudEventOptions& options,
                     UnknownMembers unknown, Clock& clock)
      : known_(std::move(known)), options_(options), unknown_(unknown), clock_(clock) {}

  std::string_view name() const override { return "CloudEvents"; }
  Status find_in(Runtime&) const override { return Status(); }
  const TypeInfo* input() const override { return nullptr; }
  bool takes_request() const override { return true; }
  bool takes_cloud_events() const override { return true; }
  detail::Output output() const override { return detail::Output::response; }
  void input_schema(Schema&, std::span<const std::string_view>) const override {}
  void output_schema(Schema&) const override {}

  detail::Outcome call(Runtime& runtime, const detail::Source& from,
                       const CallOptions& options) const override {
    // A codec of the host's may throw.
    return detail::contained([&] { return take(runtime, from.request(), options); });
  }
  std::unique_ptr<detail::Started> start(Runtime& runtime, const detail::Source& from,
                                         const CallOptions& options,
                                         std::function<void(detail::Outcome)> done) const override {
    done(call(runtime, from, options));
    return nullptr;
  }

 private:
  detail::Outcome take(Runtime& runtime, const Request& request, const CallOptions& given) const;
  Result<Ready> prepare(const json::CloudEvent& event, std::string_view place,
                        const CallOptions& given) const;
  Result<std::unique_ptr<const detail::Emission>> read(const json::CloudEvent& event,
                                                       std::string_view place) const;

  std::vector<Known> known_;
  CloudEventOptions options_;
  UnknownMembers unknown_;
  Clock& clock_;
};

// "[3].type" of a batch, "type" of an event alone.
std::string within(std::string_view place, std::string_view name) {
  return place.empty() ? std::string(name) : fmt::format("{}.{}", place, name);
}

Result<std::unique_ptr<const detail::Emission>> CloudEventEndpoint::read(
    const json::CloudEvent& event, std::string_view place) const {
  for (const Known& each : known_)
    if (each.pattern.matches(event.type))
      return each.read(
          event,
          {.root = within(place, "data"), .unknown = unknown_, .limits = options_.limits.text});
  if (options_.typed_only)
    return invalid_argument("{}: no events of the type '{}' are taken here", within(place, "type"),
                            event.type);
  return std::make_unique<const WholeEmission>(event);
}

// Each tenant's are apart, or one could suppress another's event by sending its source and id
// first. No source begins with a blank.
std::string key_of(const json::CloudEvent& event, std::string_view tenant) {
  std::string key = json::idempotency_key(event);
  if (tenant.empty()) return key;
  key = fmt::format(" {}:{} {}", tenant.size(), tenant, key);
  if (key.size() <= kIdempotencyKeyMax) return key;
  const std::string rest = fmt::format(" {:016x}", stable_hash(key));
  key.resize(kIdempotencyKeyMax - rest.size());
  return key + rest;
}

Result<Ready> CloudEventEndpoint::prepare(const json::CloudEvent& event, std::string_view place,
                                          const CallOptions& given) const {
  const Status topic = check_topic(event.type);
  if (!topic.ok()) return invalid_argument("{}: {}", within(place, "type"), message(topic));
  // In headers they are texts, and no event is in another order than its sender meant.
  for (const std::string_view name : {"partitionkey", "tenant", "traceparent"}) {
    if (name == "tenant" && !options_.mapping.tenant) continue;  // not looked at
    const auto found = event.extensions.find(name);
    if (found != event.extensions.end() && !std::holds_alternative<std::string>(found->second))
      return invalid_argument("{}: expected a text, got {}", within(place, name),
                              json::to_string(found->second));
  }
  Ready ready{.key = key_of(event, given.tenant),
              .options = json::emit_options(event, options_.mapping)};
  // Who calls is who pays, whatever the event says.
  if (!given.tenant.empty()) ready.options.tenant = given.tenant;
  if (ready.options.traceparent.empty()) ready.options.traceparent = given.traceparent;
  const Status options = wisp::detail::check_publish(ready.options);
  if (!options.ok())
    return invalid_argument("{}: {}", within(place, "partitionkey"), message(options));
  WISP_TRY(ready.emission, read(event, place));
  return ready;
}

Answer not_taken() {
  return problem(415,
                 "expected application/cloudevents+json, application/cloudevents-batch+json, or "
                 "headers such as ce-id");
}

// As a function's own response, which a problem document is no less.
detail::Outcome outcome_of(Answer answer) {
  return {.response = Response{.status = answer.status,
                               .content_type = std::string(answer.content_type),
                               .body = std::move(answer.body)}};
}

// Why the event at `at` of a batch was refused, and what became of the others.
Status in_batch(const Status& status, std::size_t at, std::size_t all) {
  const std::string text = fmt::format("[{}]: {}; of {} events the {} before it were accepted", at,
                                       message(status), all, at);
  const std::optional<Reason> reason = reason_of(status);
  return reason ? refused(status.code(), *reason, text) : Status(status.code(), text);
}

detail::Outcome CloudEventEndpoint::take(Runtime& runtime, const Request& request,
                                         const CallOptions& given) const {
  const std::optional<EventForm> form = event_form(request);
  if (!form) return outcome_of(not_taken());
  const auto events = read_cloud_events(request, options_.limits);
  // What is beyond a limit too: another time would be no better.
  if (!events.ok()) return {.status = invalid_argument("{}", message(events.status()))};
  std::vector<Ready> all;
  all.reserve(events->size());
  for (std::size_t i = 0; i < events->size(); ++i) {
    const std::string place = *form == EventForm::batch ? fmt::format("[{}]", i) : "";
    Result<Ready> ready = prepare((*events)[i], place, given);
    if (!ready.ok()) return {.status = ready.status()};
    all.push_back(*std::move(ready));
  }
  // One time for all of them, which queues that block may take on this thread.
  const Time until = clock_.now() + given.timeout;
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].options.idempotency_key = all[i].key;
    all[i].options.timeout = std::max(until - clock_.now(), Duration(1));
    const Result<EventId> id = all[i].emission->emit(runtime, (*events)[i].type, all[i].options);
    if (id.ok()) continue;
    const bool batch = *form == EventForm::batch;
    return {.status = batch ? in_batch(id.status(), i, all.size()) : id.status()};
  }
  return outcome_of({.status = 202, .body = fmt::format(R"({{"accepted":{}}})", all.size())});
}

}  // namespace

Result<std::unique_ptr<const detail::Endpoint>> cloud_event_endpoint(
    const CloudEventOptions& options, UnknownMembers unknown, Clock& clock) {
  const std::vector<EventTypes::Entry>& entries = options.types.entries();
  if (entries.size() > kEventTypesMax)
    return resource_exhausted("{} types of events: the limit is {}", entries.size(),
                              kEventTypesMax);
  std::vector<Known> known;
  for (const EventTypes::Entry& each : entries) {
    WISP_TRY(TopicPattern pattern, TopicPattern::parse(each.pattern));
    known.push_back({std::move(pattern), each.read});
  }
  return std::make_unique<const CloudEventEndpoint>(std::move(known), options, unknown, clock);
}

}  // namespace wisp::inline v0::http
