#include "guard.hpp"

#include <algorithm>
#include <utility>

#include <wisp/http/api_keys.hpp>
#include <wisp/http/jwt.hpp>

#include "problem.hpp"

namespace wisp::inline v0::http {
namespace {

constexpr std::string_view kKeyHeader = "x-api-key";
constexpr int kWeightMax = 1'000;
constexpr std::string_view kBearer = "bearer";
constexpr std::string_view kKeyPrefix = "wisp_";
constexpr std::string_view kWebhookId = "webhook-id";
constexpr std::string_view kWebhookTimestamp = "webhook-timestamp";
constexpr std::string_view kWebhookSignature = "webhook-signature";

std::size_t count_of(const Head& head, std::string_view name) {
  return static_cast<std::size_t>(
      std::count_if(head.fields.begin(), head.fields.end(),
                    [&](const Field& each) { return same_name(each.name, name); }));
}

// What follows the scheme (RFC 9110, 11.4); nullopt: it is of another scheme.
std::optional<std::string_view> bearer_of(std::string_view value) {
  const std::size_t end = std::min(value.find(' '), value.size());
  if (!same_name(value.substr(0, end), kBearer)) return std::nullopt;
  value.remove_prefix(end);
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return value;
}

Answer unauthorized(std::string_view challenge, std::string_view detail) {
  Answer answer = problem(401, detail);
  answer.fields = std::string("WWW-Authenticate: ").append(challenge).append("\r\n");
  return answer;
}

// RFC 6750, 3.1, and nothing about what is wrong with it: that helps who guesses most.
Answer invalid_token() {
  return unauthorized("Bearer error=\"invalid_token\"", "the credential is not valid here");
}

Answer unsigned_webhook() { return unauthorized("StandardWebhooks", "not signed, or not now"); }

}  // namespace

Status check(const GatewayOptions& gateway, const RouteOptions& route) {
  const bool guarded = gateway.api_keys != nullptr || gateway.tokens != nullptr;
  if (route.webhook != nullptr && route.open)
    return invalid_argument("is open, and a webhook is signed");
  if (route.webhook != nullptr && !route.roles.empty())
    return invalid_argument("is a webhook, and who signs one has no roles");
  if (route.open && !route.roles.empty())
    return invalid_argument("is open, and wants a role of its callers");
  if (route.weight < 1 || route.weight > kWeightMax)
    return invalid_argument("RouteOptions::weight is {}, and may be 1 to {}", route.weight,
                            kWeightMax);
  if (!route.caller.empty() && (route.open || (!guarded && route.webhook == nullptr)))
    return invalid_argument("has a field that is who calls, and does not ask who that is");
  if (!route.caller.empty() && gateway.tokens != nullptr && !gateway.tokens->has_issuer())
    return invalid_argument("has a field that is who calls, and takes tokens of any issuer");
  if (!guarded && !route.roles.empty())
    return invalid_argument(
        "wants a role, and the gateway knows nobody: neither GatewayOptions::api_keys nor tokens");
  for (const std::string& each : route.roles)
    if (each.empty()) return invalid_argument("wants an empty role");
  return Status();
}

bool Guard::shows_something(const Head& head) {
  return head.find("authorization") || head.find(kKeyHeader);
}

std::optional<Principal> Guard::find(std::string_view credential) const {
  if (credential.starts_with(kKeyPrefix)) {
    if (options_.api_keys == nullptr) return std::nullopt;
    Result<Principal> found = options_.api_keys->find(credential);
    return found.ok() ? std::optional(*std::move(found)) : std::nullopt;
  }
  if (options_.tokens == nullptr) return std::nullopt;
  Result<Principal> found = options_.tokens->verify(credential);
  return found.ok() ? std::optional(*std::move(found)) : std::nullopt;
}

std::optional<Answer> Guard::identify(const Head& head, Principal& to) const {
  const std::size_t shown = count_of(head, "authorization") + count_of(head, kKeyHeader);
  if (shown > 1) return problem(400, "more than one Authorization or X-API-Key");
  std::optional<std::string_view> credential = head.find(kKeyHeader);
  if (credential && !credential->starts_with(kKeyPrefix)) return invalid_token();
  if (!credential && shown == 1) credential = bearer_of(*head.find("authorization"));
  if (!credential) return who_are_you();
  std::optional<Principal> found = find(*credential);
  if (!found) return invalid_token();
  to = *std::move(found);
  return std::nullopt;
}

std::optional<Answer> Guard::allow(const Principal& caller, const std::vector<std::string>& roles) {
  if (roles.empty() || std::any_of(roles.begin(), roles.end(),
                                   [&](const std::string& each) { return caller.has_role(each); }))
    return std::nullopt;
  Answer answer = problem(403, "the caller may not do this");
  answer.fields = "WWW-Authenticate: Bearer error=\"insufficient_scope\"\r\n";
  return answer;
}

Answer Guard::who_are_you() { return unauthorized("Bearer", "this needs to know who calls"); }

std::optional<Answer> check_fields(const Head& head) {
  for (const std::string_view each : {kWebhookId, kWebhookTimestamp, kWebhookSignature})
    if (count_of(head, each) != 1) return unsigned_webhook();
  return std::nullopt;
}

std::optional<Answer> verify(Webhook& webhook, const Head& head, std::string_view body,
                             Principal& to) {
  const auto field = [&](std::string_view name) {
    return std::string(head.find(name).value_or(""));
  };
  Result<Principal> sender = webhook.verify({.id = field(kWebhookId),
                                             .timestamp = field(kWebhookTimestamp),
                                             .signature = field(kWebhookSignature)},
                                            body);
  if (sender.ok()) {
    to = *std::move(sender);
    return std::nullopt;
  }
  switch (sender.status().code()) {
    case StatusCode::kUnauthenticated:
      return unsigned_webhook();
    case StatusCode::kAlreadyExists:
      return Answer{.status = 204};
    case StatusCode::kAborted:
      return problem(aborted("this is being handled"));
    default:
      return problem(unavailable("this cannot be taken now"));
  }
}

std::function<void(int)> settle(const Webhook& webhook, const Head& head) {
  std::string id(head.find(kWebhookId).value_or(""));
  return [copy = webhook, id = std::move(id)](int status) mutable {
    copy.settle(id, status / 100 == 2);
  };
}

}  // namespace wisp::inline v0::http
