// From a request to its answer: the route, the input, the call, and what a gateway has of its own.
//
// Threads: any, once no route is added any more.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/http/gateway.hpp>

#include "answer.hpp"
#include "binding.hpp"
#include "connection.hpp"
#include "guard.hpp"
#include "hub.hpp"
#include "results.hpp"
#include "router.hpp"

namespace wisp::inline v0::http {

// A request that is answered later.
class Reply {
 public:
  virtual ~Reply() = default;
  // Once, on any thread.
  virtual void send(Answer answer) = 0;
  // What to cancel should the client go first. On the thread that serves it.
  virtual void hold(std::unique_ptr<detail::Started> call) = 0;
};

// Who sent a request, as the dispatcher sees it.
class Peer {
 public:
  virtual ~Peer() = default;
  virtual std::shared_ptr<Reply> later() = 0;
  // What resumes its stream.
  virtual std::shared_ptr<Wake> wake() = 0;
  // As admit() has found out.
  virtual const Principal& caller() const = 0;
};

struct Route {
  std::string method;
  std::string path;
  std::unique_ptr<const detail::Endpoint> endpoint;  // null: one of events
  RouteOptions options;
  Binding binding;
  std::shared_ptr<Hub> events{};
  std::optional<Subscription> source{};
};

struct GatewayCounts {
  // By the first digit of the status.
  std::array<std::atomic<std::uint64_t>, 6> requests{};
  std::atomic<std::int64_t> connections{0};
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> refused{0};  // connections
  HubCounts events{};
};

class Dispatcher {
 public:
  // Requires: both outlive this.
  Dispatcher(Runtime& runtime, const GatewayOptions& options);
  ~Dispatcher();

  Status add(std::string_view method, std::string_view path,
             std::unique_ptr<const detail::Endpoint> endpoint, const RouteOptions& options);

  // The first route whose function the Runtime lacks.
  Status check_functions() const;

  Status add_events(std::string_view path, const RouteOptions& options,
                    const detail::Subscribe& subscribe);

  // How many requests it counts for where each address has so many; see RouteOptions.
  int weight(const Head& head, const Target& target) const;
  // Whether a request may go on to serve(), and who calls; `caller` is nobody before.
  std::optional<Answer> admit(const Head& head, const Target& target, Principal& caller) const;
  std::optional<Answer> serve(const Message& message, Peer& peer);
  Clock& clock() const;
  // Of any answer.
  std::string fields_for(const Head& head) const;

  // Since when none is accepted any more: not ready.
  std::atomic<bool> draining{false};
  GatewayCounts counts;

 private:
  std::string_view preflight_methods(std::string_view path, const RouteMatch& match) const;
  std::optional<Answer> stranger(const Head& head) const;
  std::optional<Answer> authenticate(const Head& head, const Target& target,
                                     Principal& caller) const;
  std::optional<Answer> allow_invoke(std::string_view name, const Principal& caller) const;
  std::optional<Answer> route(const Message& message, Peer& peer);
  std::optional<Answer> call(const Route& route, const RouteMatch& match, const Message& message,
                             Peer& peer);
  Answer follow(const Route& route, const Message& message, Peer& peer) const;
  std::optional<Answer> run(const Route& route, const RouteMatch& match, const Message& message,
                            Peer& peer, const Principal& caller,
                            const std::function<void(int)>& answered);
  Answer begin_webhook(const Route& route, const detail::Source& source,
                       const CallOptions& options);
  Answer begin(const Route& route, const detail::Source& source, const CallOptions& options,
               const Principal& caller);
  std::optional<Answer> own(const Message& message, const Principal& caller);
  std::optional<Answer> invoke(std::string_view name, const Message& message, Peer& peer);
  Result<CallOptions> call_options(const Head& head) const;

  Runtime& runtime_;
  const GatewayOptions& options_;
  const Guard guard_;
  bool webhooks_ = false;  // some route is one
  // Shared with calls that may end after this has; they look for it then.
  std::shared_ptr<Results> results_;
  Router router_;
  std::vector<Route> routes_;
};

std::string openapi(const GatewayOptions& options, const std::vector<Route>& routes);
// Prometheus' text format, 0.0.4.
std::string metrics(const RuntimeStats& stats, const GatewayCounts& counts);
std::string functions(const RuntimeStats& stats, const std::vector<Route>& routes);

}  // namespace wisp::inline v0::http
