// What the gateway says about itself: OpenAPI, functions, metrics.
#include <algorithm>

#include <absl/strings/ascii.h>
#include <fmt/format.h>

#include <wisp/json/json.hpp>

#include "dispatcher.hpp"

namespace wisp::inline v0::http {
namespace {

void schema_body(json::TextWriter& to, const std::function<void()>& schema) {
  to.name("content");
  to.begin_object();
  to.name("application/json");
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

void events_operation(json::TextWriter& to, Schema& schema, const Route& route) {
  to.begin_object();
  security(to, route.options);
  schema.member("operationId", fmt::format("GET {}", route.path));
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

void of_kind(Schema& schema, FieldKind kind) {
  schema.simple(kind == FieldKind::boolean  ? "boolean"
                : kind == FieldKind::number ? "number"
                                            : "string");
}

struct Where {
  std::string_view in;
  bool required;
};

void parameter(json::TextWriter& to, Schema& schema, std::string_view name, const Where& where,
               const FieldInfo* field, FieldKind element) {
  to.begin_object();
  schema.member("name", name);
  schema.member("in", where.in);
  to.name("required");
  to.boolean(where.required);
  to.name("schema");
  if (field != nullptr && field->kind == FieldKind::other) {
    to.begin_object();
    schema.member("type", "array");
    to.name("items");
    of_kind(schema, element);
    to.end_object();
  } else {
    of_kind(schema, field == nullptr ? FieldKind::text : field->kind);
  }
  to.end_object();
}

// Those of the path, and, where there is no body, what else the input has.
void parameters(json::TextWriter& to, Schema& schema, const Route& route, bool has_body) {
  const TypeInfo* const input = route.endpoint->input();
  const std::vector<std::string> path = parameters_of(route.path);
  to.name("parameters");
  to.begin_array();
  for (const std::string& each : path)
    parameter(to, schema, each, {"path", true},
              input == nullptr ? nullptr : find_field(*input, each), FieldKind::other);
  const std::size_t count = has_body || input == nullptr ? 0 : input->fields.size();
  for (std::size_t i = 0; i < count; ++i) {
    const FieldInfo& field = input->fields[i];
    if (std::find(path.begin(), path.end(), field.name) == path.end() &&
        field.kind != FieldKind::object && field.name != route.options.caller)
      parameter(to, schema, field.name, {"query", route.endpoint->required()[i]}, &field,
                route.endpoint->elements()[i]);
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
  to.name("requestBody");
  to.begin_object();
  schema_body(to, [&] { route.endpoint->input_schema(schema, elsewhere); });
  to.end_object();
}

void responses(json::TextWriter& to, Schema& schema, const Route& route) {
  const bool output = route.endpoint->has_output() && !route.options.async;
  to.name("responses");
  to.begin_object();
  to.name(route.options.async ? "202" : output ? "200" : "default");
  to.begin_object();
  schema.member("description", route.options.async ? "accepted; its Location has the result"
                               : output            ? "the result"
                                                   : "see the function");
  if (output) schema_body(to, [&] { route.endpoint->output_schema(schema); });
  to.end_object();
  to.end_object();
}

void operation(json::TextWriter& to, Schema& schema, const Route& route) {
  to.begin_object();
  security(to, route.options);
  to.name("operationId");
  to.text(fmt::format("{} {}", route.method, route.path));
  to.name("summary");
  to.text(route.endpoint->name());
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

class Exposition {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  template <class Number>
  void sample(std::string_view name, std::string_view labels, Number value) {
    text += labels.empty() ? fmt::format("{} {}\n", name, value)
                           : fmt::format("{}{{{}}} {}\n", name, labels, value);
  }
  std::string text;
};

}  // namespace

std::string openapi(const GatewayOptions& options, const std::vector<Route>& routes) {
  const bool guarded = Guard(options).on();
  std::string text;
  json::TextWriter to(text);
  Schema schema(to, "#/components/schemas/");
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
      if (routes[j].events != nullptr) events_operation(to, schema, routes[j]);
      else operation(to, schema, routes[j]);
    }
    to.end_object();
  }
  to.end_object();
  to.name("components");
  to.begin_object();
  schema.define("schemas");
  if (guarded) {
    to.name("securitySchemes");
    to.begin_object();
    scheme(schema, to, "bearer", {{"type", "http"}, {"scheme", "bearer"}});
    scheme(schema, to, "key", {{"type", "apiKey"}, {"in", "header"}, {"name", "X-API-Key"}});
    to.end_object();
  }
  to.end_object();
  if (guarded) {
    to.name("security");
    to.begin_array();
    for (const std::string_view either : {"bearer", "key"}) {
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

std::string functions(const RuntimeStats& stats, const std::vector<Route>& routes) {
  std::string text;
  json::TextWriter to(text);
  to.begin_array();
  for (const FunctionStats& each : stats.functions) {
    to.begin_object();
    to.name("name");
    to.text(each.name);
    to.name("version");
    to.integer(each.version);
    to.name("calls");
    to.natural(each.calls);
    to.name("errors");
    to.natural(each.errors);
    to.name("routes");
    to.begin_array();
    for (const Route& route : routes)
      if (route.endpoint != nullptr && route.endpoint->name() == each.name)
        to.text(route.method + ' ' + route.path);
    to.end_array();
    to.end_object();
  }
  to.end_array();
  return text;
}

std::string metrics(const RuntimeStats& stats, const GatewayCounts& counts) {
  Exposition to;
  const auto each_function = [&](std::string_view name, auto value) {
    for (const FunctionStats& each : stats.functions)
      to.sample(name, fmt::format("function=\"{}\",version=\"{}\"", each.name, each.version),
                value(each));
  };
  to.family("wisp_calls_total", "counter", "Calls that entered a handler.");
  each_function("wisp_calls_total", [](const FunctionStats& f) { return f.calls; });
  to.family("wisp_attempts_total", "counter", "Attempts, retries included.");
  each_function("wisp_attempts_total", [](const FunctionStats& f) { return f.attempts; });
  to.family("wisp_errors_total", "counter", "Attempts that failed.");
  each_function("wisp_errors_total", [](const FunctionStats& f) { return f.errors; });
  to.family("wisp_cpu_seconds_total", "counter", "CPU time of handlers.");
  each_function("wisp_cpu_seconds_total", [](const FunctionStats& f) {
    return std::chrono::duration<double>(f.cpu).count();
  });
  to.family("wisp_function_queued", "gauge", "Deliveries that wait.");
  each_function("wisp_function_queued", [](const FunctionStats& f) { return f.queued; });
  to.family("wisp_run_seconds", "summary", "How long attempts took, since the start.");
  for (const FunctionStats& each : stats.functions) {
    const auto labels = fmt::format("function=\"{}\",version=\"{}\"", each.name, each.version);
    for (const double q : {0.5, 0.99})
      if (const auto value = each.run.quantile(q))
        to.sample("wisp_run_seconds", fmt::format("{},quantile=\"{}\"", labels, q),
                  static_cast<double>(*value) * 1e-9);
    to.sample("wisp_run_seconds_count", labels, each.run.count());
  }
  to.family("wisp_workers", "gauge", "Workers of the pool.");
  to.sample("wisp_workers", "", stats.workers.current);
  to.family("wisp_dead_letters", "gauge", "Dead letters that are kept.");
  to.sample("wisp_dead_letters", "", stats.dead_letters);
  to.family("wisp_http_requests_total", "counter", "Requests answered, by the class of status.");
  for (std::size_t i = 2; i < counts.requests.size(); ++i)
    to.sample("wisp_http_requests_total", fmt::format("status=\"{}xx\"", i),
              counts.requests[i].load());
  to.family("wisp_http_connections", "gauge", "Connections that are open.");
  to.sample("wisp_http_connections", "", counts.connections.load());
  to.family("wisp_http_connections_accepted_total", "counter", "Connections that were accepted.");
  to.sample("wisp_http_connections_accepted_total", "", counts.accepted.load());
  to.family("wisp_http_connections_refused_total", "counter",
            "Connections that were refused at a limit.");
  to.sample("wisp_http_connections_refused_total", "", counts.refused.load());
  to.family("wisp_http_event_streams", "gauge", "Clients that follow events.");
  to.sample("wisp_http_event_streams", "", counts.events.followers.load());
  to.family("wisp_http_events_total", "counter", "Events for those who follow.");
  to.sample("wisp_http_events_total", "", counts.events.events.load());
  to.family("wisp_http_events_lost_total", "counter",
            "Events that a client was too slow for, once for each.");
  to.sample("wisp_http_events_lost_total", "", counts.events.lost.load());
  return to.text;
}

}  // namespace wisp::inline v0::http
