// Who may call what: what a request shows, and what its route asks for.
//
// Threads: any.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/status.hpp>
#include <wisp/http/gateway.hpp>
#include <wisp/http/principal.hpp>
#include <wisp/http/webhook.hpp>

#include "answer.hpp"
#include "head.hpp"

namespace wisp::inline v0::http {

// What a route's options say about who may call it that cannot be. kInvalidArgument.
Status check(const GatewayOptions& gateway, const RouteOptions& route);

class Guard {
 public:
  // Requires: `options` and what it refers to outlive this.
  explicit Guard(const GatewayOptions& options) : options_(options) {}

  // Whether whoever calls has to say who he is, but for open routes.
  bool on() const { return options_.api_keys != nullptr || options_.tokens != nullptr; }

  // Whether a request shows anything at all by which identify() could know who it is.
  static bool shows_something(const Head& head);
  // Who calls; the answer is 400 to what means two things, and 401.
  std::optional<Answer> identify(const Head& head, Principal& to) const;
  // 403 to who has none of `roles`; none: anybody may.
  static std::optional<Answer> allow(const Principal& caller,
                                     const std::vector<std::string>& roles);
  // 401 to who has shown nothing.
  static Answer who_are_you();

 private:
  std::optional<Principal> find(std::string_view credential) const;

  const GatewayOptions& options_;
};

// 401 to what has not all fields of a webhook once: its body need not be waited for.
std::optional<Answer> check_fields(const Head& head);
// 401, 409, 503; 204 to what was handled. Requires: check_fields().
std::optional<Answer> verify(Webhook& webhook, const Head& head, std::string_view body,
                             Principal& to);

// What settles one that verify() accepted: to be called with the status of its answer. It may be
// called after the gateway has gone.
std::function<void(int)> settle(const Webhook& webhook, const Head& head);

}  // namespace wisp::inline v0::http
