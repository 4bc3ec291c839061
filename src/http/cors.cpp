#include "cors.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace wisp::inline v0::http {
namespace {

bool is_any(const Cors& cors) { return cors.origins.size() == 1 && cors.origins[0] == "*"; }

// A scheme, a host, perhaps a port, and nothing after it: as browsers write one.
bool is_origin(std::string_view text) {
  const std::size_t scheme = text.find("://");
  if (scheme == text.npos ||
      (text.substr(0, scheme) != "http" && text.substr(0, scheme) != "https"))
    return false;
  const std::string_view rest = text.substr(scheme + 3);
  return !rest.empty() && std::all_of(rest.begin(), rest.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("-.:[]").find(c) != std::string_view::npos;
  });
}

}  // namespace

Status check(const Cors& cors) {
  for (const std::string& each : cors.origins)
    if (!is_any(cors) && !is_origin(each))
      return invalid_argument(
          "GatewayOptions::cors.origins: '{}' is no origin like https://app.example.com", each);
  for (const std::string& each : cors.headers)
    if (!is_token(each))
      return invalid_argument("GatewayOptions::cors.headers: '{}' is no name of a header", each);
  return Status();
}

std::string cors_fields(const Cors& cors, const Head& head) {
  if (cors.origins.empty()) return {};
  constexpr std::string_view kExposed =
      "Access-Control-Expose-Headers: ETag, Location, Retry-After\r\n";
  if (is_any(cors)) return std::string("Access-Control-Allow-Origin: *\r\n").append(kExposed);
  const std::string_view origin = head.find("origin").value_or("");
  // A cache has to know either way.
  std::string fields = "Vary: Origin\r\n";
  if (std::find(cors.origins.begin(), cors.origins.end(), origin) != cors.origins.end())
    fields += fmt::format("Access-Control-Allow-Origin: {}\r\n{}", origin, kExposed);
  return fields;
}

bool is_own_page(const Cors& cors, const Head& head) {
  const auto origin = head.find("origin");
  if (!origin) return !same_name(head.find("sec-fetch-site").value_or(""), "cross-site");
  if (is_any(cors) ||
      std::find(cors.origins.begin(), cors.origins.end(), *origin) != cors.origins.end())
    return true;
  const std::size_t scheme = origin->find("://");
  return scheme != origin->npos && same_name(origin->substr(scheme + 3), head.host);
}

bool is_preflight(const Head& head) {
  return head.method == "OPTIONS" && head.find("origin") &&
         head.find("access-control-request-method");
}

std::string preflight_fields(const Cors& cors, std::string_view allow) {
  if (cors.origins.empty()) return {};
  return fmt::format(
      "Access-Control-Allow-Methods: {}\r\nAccess-Control-Allow-Headers: {}\r\n"
      "Access-Control-Max-Age: {}\r\n",
      allow, fmt::join(cors.headers, ", "),
      std::chrono::floor<std::chrono::seconds>(cors.max_age).count());
}

}  // namespace wisp::inline v0::http
