// What the gateway says about itself: functions, metrics. Its API: openapi.cpp.
#include <fmt/format.h>

#include <wisp/base/text.hpp>
#include <wisp/json/json.hpp>

#include "dispatcher.hpp"

namespace wisp::inline v0::http {
namespace {

// What a function's samples are labelled with. A subscription is called after its pattern, which
// may hold any visible byte. Source: Prometheus, "Text-based format".
std::string labels_of(const FunctionStats& function) {
  const bool legible = wisp::detail::is_utf8(function.name);
  std::string name;
  for (const char c : function.name) {
    if (c == '"' || c == '\\') name += '\\';
    name += legible || static_cast<unsigned char>(c) < 0x80 ? c : '?';
  }
  return fmt::format("function=\"{}\",version=\"{}\"", name, function.version);
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
    for (const FunctionStats& each : stats.functions) to.sample(name, labels_of(each), value(each));
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
    const std::string labels = labels_of(each);
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
