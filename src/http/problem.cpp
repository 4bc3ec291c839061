#include "problem.hpp"

#include <algorithm>

#include <wisp/json/json.hpp>
#include <wisp/model/policy.hpp>

namespace wisp::inline v0::http {
namespace {

int http_status(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return 200;
    case StatusCode::kInvalidArgument:
    case StatusCode::kOutOfRange:
      return 400;
    case StatusCode::kUnauthenticated:
      return 401;
    case StatusCode::kPermissionDenied:
      return 403;
    case StatusCode::kNotFound:
      return 404;
    case StatusCode::kAlreadyExists:
    case StatusCode::kAborted:
    case StatusCode::kFailedPrecondition:
      return 409;
    case StatusCode::kResourceExhausted:
      return 429;
    case StatusCode::kCancelled:
      return 499;
    case StatusCode::kUnimplemented:
      return 501;
    case StatusCode::kUnavailable:
      return 503;
    case StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

}  // namespace

Answer problem(int status, std::string_view detail) {
  Answer answer{.status = status, .content_type = "application/problem+json"};
  json::TextWriter to(answer.body);
  to.begin_object();
  to.name("type");
  to.text("about:blank");
  to.name("title");
  to.text(reason_of_status(status));
  to.name("status");
  to.integer(status);
  if (!detail.empty()) {
    to.name("detail");
    to.text(detail);
  }
  to.end_object();
  return answer;
}

std::string retry_after_field(Duration wait) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(wait).count();
  return "Retry-After: " + std::to_string(std::max<std::int64_t>(seconds, 1)) + "\r\n";
}

Answer problem(const Status& status) {
  const std::optional<Reason> reason = reason_of(status);
  int code = http_status(status.code());
  // Wisp's own refusals of what could be served later.
  if (reason == Reason::stopped) code = 503;
  const bool inside = code == 500 || (code == 499 && !reason);
  Answer answer = problem(code, inside ? "the function failed" : message(status));
  if (code == 401) answer.fields = "WWW-Authenticate: Bearer\r\n";  // RFC 9110, 15.5.2
  if (code == 429 || code == 503) {
    const Duration wait = retry_after_of(status).value_or(std::chrono::seconds(1));
    answer.fields = retry_after_field(wait);
  }
  return answer;
}

}  // namespace wisp::inline v0::http
