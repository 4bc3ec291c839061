#include <wisp/http/gateway.hpp>

#include <utility>

#include "cloud_events.hpp"
#include "cors.hpp"
#include "dispatcher.hpp"
#include "head.hpp"
#include "server.hpp"

namespace wisp::inline v0::http {

std::optional<std::string_view> Request::header(std::string_view name) const {
  for (const Header& each : headers)
    if (same_name(each.name, name)) return each.value;
  return std::nullopt;
}

namespace {

Status check(const GatewayOptions& options) {
  const Limits& limits = options.limits;
  const auto within = [](std::string_view name, auto value, auto low, auto high) -> Status {
    if (value >= low && value <= high) return Status();
    return invalid_argument("GatewayOptions::{} is {}, and may be {} to {}", name, value, low,
                            high);
  };
  WISP_TRY(within("port", options.port, 0, 65'535));
  WISP_TRY(within("threads", options.threads, 1, options.io_context == nullptr ? 64 : 1));
  WISP_TRY(within("limits.head_bytes", limits.head_bytes, std::size_t{256}, std::size_t{1} << 20));
  WISP_TRY(within("limits.line_bytes", limits.line_bytes, std::size_t{64}, limits.head_bytes));
  WISP_TRY(within("limits.fields", limits.fields, 1, 1'000));
  WISP_TRY(within("limits.body_bytes", limits.body_bytes, std::size_t{0}, json::kBytesMax));
  WISP_TRY(within("limits.connections", limits.connections, 1, 1'000'000));
  WISP_TRY(within("limits.connections_per_address", limits.connections_per_address, 1, 1'000'000));
  const double rate = limits.requests_per_second_per_address;  // at least one in a day
  WISP_TRY(
      within("limits.requests_per_second_per_address", rate == 0 ? 1 : rate, 1.0 / 86'400, 1e9));
  WISP_TRY(
      within("limits.kept_events", limits.kept_events, std::size_t{1}, std::size_t{1'000'000}));
  WISP_TRY(within("limits.kept_event_bytes", limits.kept_event_bytes, std::size_t{1'024},
                  std::size_t{1} << 30));
  const auto positive = [](std::string_view name, Duration value) -> Status {
    if (value > Duration::zero()) return Status();
    return invalid_argument("GatewayOptions::limits.{} is {} ns, and has to be positive", name,
                            value.count());
  };
  WISP_TRY(positive("head_time", limits.head_time));
  WISP_TRY(positive("idle_time", limits.idle_time));
  WISP_TRY(positive("write_time", limits.write_time));
  WISP_TRY(positive("call_time", limits.call_time));
  WISP_TRY(positive("result_time", limits.result_time));
  return check(options.cors);
}

}  // namespace

struct Gateway::Server {
  Server(Runtime& runtime, GatewayOptions given)
      : options(std::move(given)), status(check(options)), dispatcher(runtime, options) {}

  const GatewayOptions options;
  Status status;
  Dispatcher dispatcher;
  std::unique_ptr<http::Server> sockets;
};

Gateway::Gateway(Runtime& runtime, GatewayOptions options)
    : server_(std::make_unique<Server>(runtime, std::move(options))) {}

Gateway::~Gateway() = default;

void Gateway::add_route(std::string_view method, std::string_view path,
                        std::unique_ptr<const detail::Endpoint> endpoint,
                        const RouteOptions& options) {
  if (!server_->status.ok()) return;
  if (server_->sockets != nullptr) {
    server_->status = failed_precondition("route '{} {}': the gateway has begun", method, path);
    return;
  }
  server_->status = server_->dispatcher.add(method, path, std::move(endpoint), options);
}

void Gateway::add_events(std::string_view path, const RouteOptions& options,
                         const detail::Subscribe& subscribe) {
  if (!server_->status.ok()) return;
  if (server_->sockets != nullptr) {
    server_->status = failed_precondition("route 'GET {}': the gateway has begun", path);
    return;
  }
  server_->status = server_->dispatcher.add_events(path, options, subscribe);
}

Gateway& Gateway::cloud_events(std::string_view path, const CloudEventOptions& events,
                               const RouteOptions& options) {
  auto endpoint = cloud_event_endpoint(events, options.unknown, server_->dispatcher.clock());
  if (!endpoint.ok()) {
    if (server_->status.ok())
      server_->status = invalid_argument("route 'POST {}': {}", path, message(endpoint.status()));
    return *this;
  }
  RouteOptions here = options;
  here.run = Run::here;
  here.async = false;
  add_route("POST", path, *std::move(endpoint), here);
  return *this;
}

Status Gateway::start() {
  WISP_TRY(server_->status);
  if (server_->sockets != nullptr) return failed_precondition("the gateway has begun already");
  WISP_TRY(server_->dispatcher.check_functions());
  server_->sockets = std::make_unique<http::Server>(server_->dispatcher, server_->options);
  Status begun = server_->sockets->start();
  if (!begun.ok()) server_->sockets.reset();
  return begun;
}

int Gateway::port() const { return server_->sockets == nullptr ? 0 : server_->sockets->port(); }

Status Gateway::stop(Duration deadline) {
  if (server_->sockets == nullptr) return Status();
  return server_->sockets->stop(deadline);
}

}  // namespace wisp::inline v0::http
