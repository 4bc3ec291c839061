// The OpenAPI document of a gateway's routes (https://spec.openapis.org/oas/v3.1.0).
#include <algorithm>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/strings/ascii.h>
#include <fmt/format.h>

#include <wisp/json/json.hpp>

#include "dispatcher.hpp"

namespace wisp::inline v0::http {
namespace {

// Names that programs make out of the document: of the function, a word as every language takes it,
// numbered where a function has several routes.
class OperationIds {
 public:
  std::string make(std::string_view name) {
    std::string word(name);
    for (char& each : word)
      if (!absl::ascii_isalnum(static_cast<unsigned char>(each))) each = '_';
    std::string id = word;
    for (int n = 2; !taken_.insert(id).second; ++n) id = fmt::format("{}_{}", word, n);
    return id;
  }

 private:
  std::set<std::string> taken_;
};

void content(json::TextWriter& to, std::string_view type, const std::function<void()>& schema) {
  to.name("content");
  to.begin_object();
  to.name(type);
  to.begin_object();
  to.name("schema");
  schema();
  to.end_object();
  to.end_object();
}

void security(json::TextWriter& to, const RouteOptions& options) {
  if (!options.open && options.webhook == nullptr) return;
  to.name("security");
  to.begin_array();
  to.end_array();
}

constexpr std::string_view kProblem = "Problem";

// RFC 9457: what every route may answer instead.
void problem_response(json::TextWriter& to, Schema& schema) {
  to.name("responses");
  to.begin_object();
  to.name(kProblem);
  to.begin_object();
  schema.member("description",
                "what was wrong; with 429 and 503, Retry-After says when it may not be");
  content(to, "application/problem+json", [&] {
    to.begin_object();
    schema.member("type", "object");
    to.name("properties");
    to.begin_object();
    for (const auto& [member, type] :
         {std::pair<std::string_view, std::string_view>{"type", "string"},
          {"title", "string"},
          {"status", "integer"},
          {"detail", "string"}}) {
      to.name(member);
      schema.simple(type);
    }
    to.end_object();
    to.name("required");
    to.begin_array();
    for (const std::string_view each : {"type", "title", "status"}) to.text(each);
    to.end_array();
    to.end_object();
  });
  to.end_object();
  to.end_object();
}

void problems(json::TextWriter& to, Schema& schema) {
  for (const std::string_view each : {"4XX", "5XX"}) {
    to.name(each);
    to.begin_object();
    schema.member("$ref", fmt::format("#/components/responses/{}", kProblem));
    to.end_object();
  }
}

void events_operation(json::TextWriter& to, Schema& schema, const Route& route, OperationIds& ids) {
  to.begin_object();
  security(to, route.options);
  schema.member("operationId", ids.make(fmt::format("events{}", route.path)));
  schema.member("summary", "server-sent events");
  to.name("responses");
  to.begin_object();
  to.name("200");
  to.begin_object();
  schema.member("description", "events, until the client goes");
  to.name("content");
  to.begin_object();
  to.name("text/event-stream");
  to.begin_object();
  to.end_object();
  to.end_object();
  to.end_object();
  problems(to, schema);
  to.end_object();
  to.end_object();
}

// One event as a whole document, several, or one whose attributes are headers.
void cloud_events_body(json::TextWriter& to, Schema& schema) {
  const auto event = [&] {
    to.begin_object();
    schema.member("type", "object");
    to.name("required");
    to.begin_array();
    for (const std::string_view each : {"specversion", "id", "source", "type"}) to.text(each);
    to.end_array();
    to.end_object();
  };
  to.name("requestBody");
  to.begin_object();
  to.name("content");
  to.begin_object();
  to.name("application/cloudevents+json");
  to.begin_object();
  to.name("schema");
  event();
  to.end_object();
  to.name("application/cloudevents-batch+json");
  to.begin_object();
  to.name("schema");
  to.begin_object();
  schema.member("type", "array");
  to.name("items");
  event();
  to.end_object();
  to.end_object();
  to.name("*/*");
  to.begin_object();
  to.end_object();
  to.end_object();
  to.end_object();
}

struct Where {
  std::string_view in;
  bool required;
};

void parameter(json::TextWriter& to, Schema& schema, const Route& route, std::string_view name,
               const Where& where) {
  to.begin_object();
  schema.member("name", name);
  schema.member("in", where.in);
  to.name("required");
  to.boolean(where.required);
  to.name("schema");
  const TypeInfo* const input = route.endpoint->input();
  const FieldInfo* const field = input == nullptr ? nullptr : find_field(*input, name);
  if (field != nullptr)
    route.endpoint->parameters()[static_cast<std::size_t>(field - input->fields.data())].schema(
        schema);
  else if (input != nullptr)
    route.endpoint->input_schema(schema, {});  // a value, not one with fields
  else schema.simple("string");
  to.end_object();
}

// Those of the path, and, where there is no body, what else the input has.
void parameters(json::TextWriter& to, Schema& schema, const Route& route, bool has_body) {
  const TypeInfo* const input = route.endpoint->input();
  const std::vector<std::string> path = parameters_of(route.path);
  to.name("parameters");
  to.begin_array();
  for (const std::string& each : path) parameter(to, schema, route, each, {"path", true});
  const std::size_t count = has_body || input == nullptr ? 0 : input->fields.size();
  for (std::size_t i = 0; i < count; ++i) {
    const FieldInfo& field = input->fields[i];
    if (std::find(path.begin(), path.end(), field.name) == path.end() &&
        field.kind != FieldKind::object && field.name != route.options.caller)
      parameter(to, schema, route, field.name, {"query", route.endpoint->parameters()[i].required});
  }
  to.end_array();
}

// What of the input does not come from elsewhere.
void body(json::TextWriter& to, Schema& schema, const Route& route) {
  const TypeInfo* const input = route.endpoint->input();
  if (input == nullptr) return;
  const std::vector<std::string> path = parameters_of(route.path);
  std::vector<std::string_view> elsewhere(path.begin(), path.end());
  if (!route.options.caller.empty()) elsewhere.push_back(route.options.caller);
  if (elsewhere.size() >= std::max<std::size_t>(input->fields.size(), 1)) return;
  // A value that has no members, or one of them that may not be left out.
  const std::span<const detail::ParameterInfo> fields = route.endpoint->parameters();
  bool needed = input->fields.empty();
  for (std::size_t i = 0; i < fields.size(); ++i)
    needed = needed || (fields[i].required && std::find(elsewhere.begin(), elsewhere.end(),
                                                        input->fields[i].name) == elsewhere.end());
  to.name("requestBody");
  to.begin_object();
  to.name("required");
  to.boolean(needed);
  content(to, "application/json", [&] { route.endpoint->input_schema(schema, elsewhere); });
  to.end_object();
}

struct Answered {
  std::string_view status;
  std::string_view what;
};

Answered answered(const Route& route) {
  if (route.options.async && route.options.webhook == nullptr)
    return {"202", "accepted; its Location has the result"};
  if (route.options.async) return {"202", "accepted"};
  if (route.endpoint->takes_cloud_events()) return {"202", "accepted"};
  switch (route.endpoint->output()) {
    case detail::Output::nothing:
      return {"204", "done"};
    case detail::Output::json:
      return {"200", "the result"};
    case detail::Output::response:
      break;
  }
  return {"default", "what the function answers"};
}

void responses(json::TextWriter& to, Schema& schema, const Route& route) {
  const auto [status, what] = answered(route);
  to.name("responses");
  to.begin_object();
  to.name(status);
  to.begin_object();
  schema.member("description", what);
  if (status == "200")
    content(to, "application/json", [&] { route.endpoint->output_schema(schema); });
  to.end_object();
  problems(to, schema);
  to.end_object();
}

void operation(json::TextWriter& to, Schema& schema, const Route& route, OperationIds& ids) {
  to.begin_object();
  security(to, route.options);
  schema.member("operationId", ids.make(route.endpoint->name()));
  schema.member("summary", route.endpoint->name());
  const bool has_body = route.method != "GET" && route.method != "DELETE";
  parameters(to, schema, route, has_body);
  if (has_body) body(to, schema, route);
  if (route.endpoint->takes_cloud_events()) cloud_events_body(to, schema);
  responses(to, schema, route);
  to.end_object();
}

void scheme(Schema& schema, json::TextWriter& to, std::string_view name,
            std::initializer_list<std::pair<std::string_view, std::string_view>> members) {
  to.name(name);
  to.begin_object();
  for (const auto& [member, text] : members) schema.member(member, text);
  to.end_object();
}

}  // namespace

std::string openapi(const GatewayOptions& options, const std::vector<Route>& routes) {
  const bool guarded = Guard(options).on();
  const bool keys = options.api_keys != nullptr;
  std::string text;
  json::TextWriter to(text);
  Schema schema(to, "#/components/schemas/");
  OperationIds ids;
  to.begin_object();
  schema.member("openapi", "3.1.0");
  to.name("info");
  to.begin_object();
  schema.member("title", options.title);
  schema.member("version", "1");
  to.end_object();
  to.name("paths");
  to.begin_object();
  for (std::size_t i = 0; i < routes.size(); ++i) {
    // All methods of a path where it comes first.
    bool seen = false;
    for (std::size_t j = 0; j < i; ++j) seen = seen || routes[j].path == routes[i].path;
    if (seen) continue;
    to.name(routes[i].path);
    to.begin_object();
    for (std::size_t j = i; j < routes.size(); ++j) {
      if (routes[j].path != routes[i].path) continue;
      to.name(absl::AsciiStrToLower(routes[j].method));
      if (routes[j].events != nullptr) events_operation(to, schema, routes[j], ids);
      else operation(to, schema, routes[j], ids);
    }
    to.end_object();
  }
  to.end_object();
  to.name("components");
  to.begin_object();
  schema.define("schemas");
  problem_response(to, schema);
  if (guarded) {
    to.name("securitySchemes");
    to.begin_object();
    // By either an API key may be shown, a token as a bearer alone.
    scheme(schema, to, "bearer", {{"type", "http"}, {"scheme", "bearer"}});
    if (keys)
      scheme(schema, to, "key", {{"type", "apiKey"}, {"in", "header"}, {"name", "X-API-Key"}});
    to.end_object();
  }
  to.end_object();
  if (guarded) {
    to.name("security");
    to.begin_array();
    for (const std::string_view either : {"bearer", "key"}) {
      if (either == "key" && !keys) continue;
      to.begin_object();
      to.name(either);
      to.begin_array();
      to.end_array();
      to.end_object();
    }
    to.end_array();
  }
  to.end_object();
  return text;
}

}  // namespace wisp::inline v0::http
