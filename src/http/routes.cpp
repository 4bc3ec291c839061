// What a gateway is told before it begins: its routes.
#include <utility>

#include <fmt/format.h>

#include "dispatcher.hpp"

namespace wisp::inline v0::http {

Status Dispatcher::add(std::string_view method, std::string_view path,
                       std::unique_ptr<const detail::Endpoint> endpoint,
                       const RouteOptions& options) {
  const std::vector<std::string> parameters = parameters_of(path);
  auto binding =
      Binding::make(endpoint->input(), parameters, endpoint->parameters(), options.caller);
  if (!binding.ok())
    return invalid_argument("route '{} {}': {}", method, path, message(binding.status()));
  const Status allowed = check(options_, options);
  if (!allowed.ok()) return invalid_argument("route '{} {}': {}", method, path, message(allowed));
  WISP_TRY(router_.add(method, path, static_cast<int>(routes_.size())));
  webhooks_ = webhooks_ || options.webhook != nullptr;
  routes_.push_back(
      {std::string(method), std::string(path), std::move(endpoint), options, *std::move(binding)});
  return Status();
}

Status Dispatcher::add_events(std::string_view path, const RouteOptions& options,
                              const detail::Subscribe& subscribe) {
  const auto refuse = [&](std::string_view why) {
    return invalid_argument("route 'GET {}': {}", path, why);
  };
  if (!parameters_of(path).empty()) return refuse("events have no parameters");
  if (options.async || options.webhook != nullptr || !options.caller.empty())
    return refuse("events are no call: of the options they have but open and roles");
  const Status allowed = check(options_, options);
  if (!allowed.ok()) return refuse(message(allowed));
  WISP_TRY(router_.add("GET", path, static_cast<int>(routes_.size())));
  const auto epoch = static_cast<std::uint64_t>(clock().wall().time_since_epoch().count());
  const Limits& limits = options_.limits;
  auto hub = std::make_shared<Hub>(HubLimits{limits.kept_events, limits.kept_event_bytes}, clock(),
                                   epoch, counts.events);
  Subscription source = subscribe(runtime_, hub);
  if (!source.status().ok()) return refuse(message(source.status()));
  routes_.push_back({.method = "GET",
                     .path = std::string(path),
                     .endpoint = nullptr,
                     .options = options,
                     .binding = {},
                     .events = std::move(hub),
                     .source = std::move(source)});
  return Status();
}

Status Dispatcher::check_functions() const {
  for (const Route& route : routes_) {
    if (route.endpoint == nullptr) continue;
    const Status found = route.endpoint->find_in(runtime_);
    if (!found.ok())
      return Status(found.code(),
                    fmt::format("route '{} {}': {}", route.method, route.path, message(found)));
  }
  return Status();
}

}  // namespace wisp::inline v0::http
