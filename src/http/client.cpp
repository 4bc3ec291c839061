#include <wisp/http/client.hpp>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/base/config.hpp>
#include <wisp/model/policy.hpp>

#include "client_lookup.hpp"
#include "client_pool.hpp"
#include "client_url.hpp"
#include "client_wire.hpp"

namespace wisp::inline v0::http {
namespace {

constexpr int kRedirectsMax = 5;
constexpr std::size_t kBodyMax = 1'073'741'824;

// Of the connection and its messages, which are the client's.
constexpr std::string_view kOwnHeaders[] = {
    "host",    "content-length", "transfer-encoding", "connection",       "keep-alive",
    "upgrade", "expect",         "trailer",           "proxy-connection", "te"};
// What may go to an origin that another named.
constexpr std::string_view kHarmlessHeaders[] = {"accept", "accept-language", "content-type",
                                                 "user-agent"};
// Of a body, which a redirect to GET leaves behind.
constexpr std::string_view kBodyHeaders[] = {"content-encoding", "content-language",
                                             "content-location", "content-type"};

template <std::size_t N>
bool among(const std::string_view (&names)[N], std::string_view name) {
  return std::any_of(std::begin(names), std::end(names),
                     [name](std::string_view each) { return same_name(each, name); });
}

bool is_idempotent(std::string_view method) {
  constexpr std::string_view kMethods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
  return std::find(std::begin(kMethods), std::end(kMethods), method) != std::end(kMethods);
}

bool is_value(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  });
}

Status check(const ClientOptions& options) {
  const ClientTimeouts& times = options.timeouts;
  const std::pair<std::string_view, Duration> durations[] = {
      {"timeouts.lookup", times.lookup},
      {"timeouts.connect", times.connect},
      {"timeouts.handshake", times.handshake},
      {"timeouts.total", times.total},
      {"keep_alive.idle_time", options.keep_alive.idle_time}};
  for (const auto& [name, value] : durations)
    if (value <= Duration::zero())
      return invalid_argument("ClientOptions::{} is {} ns, it must be positive", name,
                              value.count());
  const ClientLimits& limits = options.limits;
  if (limits.fields < 0 || limits.body_bytes > kBodyMax)
    return invalid_argument(
        "ClientOptions::limits: fields may not be negative, body_bytes at most {}", kBodyMax);
  if (options.max_redirects < 0 || options.max_redirects > kRedirectsMax)
    return invalid_argument("ClientOptions::max_redirects is {}, it must be 0 to {}",
                            options.max_redirects, kRedirectsMax);
  return Status();
}

Status check(const ClientRequest& request, const ClientLimits& limits) {
  if (!is_token(request.method) || request.method == "CONNECT")
    return invalid_argument("the request's method is none");
  if (request.headers.size() > static_cast<std::size_t>(limits.fields))
    return invalid_argument("the request has more than {} headers", limits.fields);
  std::size_t bytes = request.method.size() + request.url.size();
  for (const Header& each : request.headers) {
    bytes += each.name.size() + each.value.size() + 4;
    if (!is_token(each.name)) return invalid_argument("a header of the request has no name");
    if (!is_value(each.value))
      return invalid_argument("the request's header '{}' has a control character", each.name);
    if (among(kOwnHeaders, each.name))
      return invalid_argument("the request's header '{}' is the client's own", each.name);
  }
  if (bytes > limits.head_bytes)
    return invalid_argument("the request's head is longer than {} bytes", limits.head_bytes);
  return Status();
}

std::string text_of(const ClientRequest& request, const Url& url) {
  std::string text =
      fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, url.target, url.authority());
  bool agent = false;
  for (const Header& each : request.headers) {
    agent = agent || same_name(each.name, "user-agent");
    text.append(each.name).append(": ").append(each.value).append("\r\n");
  }
  if (!agent) text += "User-Agent: wisp/" WISP_VERSION "\r\n";
  const bool may_have_body =
      request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (may_have_body || !request.body.empty())
    text += fmt::format("Content-Length: {}\r\n", request.body.size());
  return text.append("\r\n").append(request.body);
}

// The same with who was asked.
Status named(const Status& status, std::string_view origin) {
  const std::string_view text = message(status);
  return wisp::detail::make_status(status.code(), "{}: {}", fmt::make_format_args(origin, text));
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// As browsers have it (Fetch, 4.4).
void redirect(ClientRequest& request, int status, bool same_origin) {
  const bool to_get =
      (status == 303 && request.method != "HEAD") || (status < 303 && request.method == "POST");
  if (to_get) {
    request.method = "GET";
    request.body.clear();
  }
  std::erase_if(request.headers, [to_get, same_origin](const Header& each) {
    return (!same_origin && !among(kHarmlessHeaders, each.name)) ||
           (to_get && among(kBodyHeaders, each.name));
  });
}

}  // namespace

class Client::Inside {
 public:
  explicit Inside(ClientOptions options)
      : options_(std::move(options)),
        clock_(options_.clock == nullptr ? Clock::system() : *options_.clock),
        limits_{.head = {.bytes = options_.limits.head_bytes,
                         .line = options_.limits.line_bytes,
                         .fields = options_.limits.fields},
                .body = options_.limits.body_bytes},
        lookups_(options_.resolver),
        pool_(reactor_, clock_, options_.keep_alive),
        status_(begin()) {}
  ~Inside() { reactor_.stop(); }

  const Status& status() const { return status_; }
  Clock& clock() { return clock_; }
  Result<ClientResponse> send(const ClientRequest& request, const Wait& wait);
  Wait wait_of(Deadline deadline, std::stop_token stop) const {
    return Wait{clock_, deadline.at(), std::move(stop), "no response"}.within(
        options_.timeouts.total, "no response");
  }

 private:
  Status begin() {
    WISP_TRY(check(options_));
    WISP_TRY(tls_, ClientTls::make(options_.ca_file));
    return Status();
  }
  Result<std::vector<IpAddress>> addresses(const Url& url, const Wait& wait);
  Result<std::unique_ptr<Wire>> connect(const Url& url, const Wait& wait);
  Result<ClientResponse> exchange(const Url& url, const ClientRequest& request, const Wait& wait);
  Result<Url> next(const Url& url, std::string_view location) const;

  const ClientOptions options_;
  Clock& clock_;
  const ResponseLimits limits_;
  Reactor reactor_;
  Lookups lookups_;
  Pool pool_;
  std::unique_ptr<ClientTls> tls_;
  const Status status_;
};

// All of them are public, or it is not asked at all: what it is connected to is what was looked at.
Result<std::vector<IpAddress>> Client::Inside::addresses(const Url& url, const Wait& wait) {
  std::vector<IpAddress> found;
  if (url.address) {
    found.push_back(*url.address);
  } else {
    WISP_TRY(found,
             lookups_.resolve(url.host, wait.within(options_.timeouts.lookup, "no address")));
  }
  const auto& except = options_.private_hosts;
  const bool may =
      options_.allow_private || std::find(except.begin(), except.end(), url.host) != except.end();
  if (!may && !std::all_of(found.begin(), found.end(), is_public))
    return permission_denied("the host has an address that is not public");
  return found;
}

Result<std::unique_ptr<Wire>> Client::Inside::connect(const Url& url, const Wait& wait) {
  WISP_TRY(const std::vector<IpAddress> found, addresses(url, wait));
  WISP_TRY(std::unique_ptr<Wire> wire,
           Wire::connect(reactor_, found, url.port,
                         wait.within(options_.timeouts.connect, "no connection")));
  if (url.tls) {
    WISP_TRY(
        wire->handshake(*tls_, url, wait.within(options_.timeouts.handshake, "no TLS handshake")));
  }
  return wire;
}

Result<ClientResponse> Client::Inside::exchange(const Url& url, const ClientRequest& request,
                                                const Wait& wait) {
  const std::string origin = url.origin();
  const std::string text = text_of(request, url);
  std::unique_ptr<Wire> wire = pool_.take(origin);
  for (bool reused = wire != nullptr;; reused = false) {
    if (wire == nullptr) {
      WISP_TRY(wire, connect(url, wait));
    }
    ResponseReader reader(limits_, request.method == "HEAD");
    const Status status = wire->exchange(text, reader, wait);
    if (status.ok()) {
      if (reader.reusable() && wire->quiet()) pool_.put(origin, std::move(wire));
      ClientResponse response = reader.take();
      response.origin = origin;
      if (const auto after = response.header("retry-after"))
        response.retry_after = parse_retry_after(*after, clock_.wall());
      return response;
    }
    // A server closes what was idle just as the next request is on its way.
    const bool stale = reused && !reader.begun() && status.code() == StatusCode::kUnavailable;
    if (!stale || !is_idempotent(request.method)) return status;
    wire.reset();
  }
}

Result<Url> Client::Inside::next(const Url& url, std::string_view location) const {
  Result<Url> to = follow(url, location, options_.limits.url_bytes);
  if (!to.ok()) return failed_precondition("its redirect is none: {}", message(to.status()));
  if (url.tls && !to->tls) return failed_precondition("it redirects from https to http");
  return to;
}

Result<ClientResponse> Client::Inside::send(const ClientRequest& request, const Wait& wait) {
  WISP_TRY(status_);
  WISP_TRY(Url url, parse_url(request.url, options_.limits.url_bytes));
  WISP_TRY(check(request, options_.limits));
  if (Status begun = reactor_.start(); !begun.ok()) return begun;
  Result<ClientResponse> response = exchange(url, request, wait);
  ClientRequest changed;
  for (int hops = 0; options_.max_redirects > 0 && response.ok(); ++hops) {
    const std::optional<std::string_view> location = response->header("location");
    if (!is_redirect(response->status) || !location) break;
    if (hops == options_.max_redirects)
      return named(failed_precondition("more than {} redirects", hops), url.origin());
    Result<Url> to = next(url, *location);
    if (!to.ok()) return named(to.status(), url.origin());
    if (hops == 0) changed = request;
    redirect(changed, response->status, to->origin() == url.origin());
    url = *std::move(to);
    response = exchange(url, changed, wait);
  }
  if (!response.ok()) return named(response.status(), url.origin());
  return response;
}

Client::Client(ClientOptions options) : inside_(std::make_unique<Inside>(std::move(options))) {}
Client::~Client() = default;

const Status& Client::status() const { return inside_->status(); }

Result<ClientResponse> Client::send(const ClientRequest& request, Deadline deadline,
                                    std::stop_token stop) {
  return inside_->send(request, inside_->wait_of(deadline, std::move(stop)));
}

Result<ClientResponse> Client::send(const ClientRequest& request, Context& context) {
  // The context's clock may be another.
  const Deadline deadline(inside_->clock().now() + context.remaining());
  Result<ClientResponse> response = send(request, deadline, context.stop_token());
  // Its token stops at the deadline too.
  if (response.status().code() == StatusCode::kCancelled && context.remaining() == Duration::zero())
    return deadline_exceeded("{}", message(response.status()));
  return response;
}

std::optional<std::string_view> ClientResponse::header(std::string_view name) const {
  for (const Header& each : headers)
    if (same_name(each.name, name)) return each.value;
  return std::nullopt;
}

namespace {

StatusCode code_of(int status) {
  switch (status) {
    case 401:
      return StatusCode::kUnauthenticated;
    case 403:
      return StatusCode::kPermissionDenied;
    case 404:
    case 410:
      return StatusCode::kNotFound;
    case 408:
      return StatusCode::kDeadlineExceeded;
    case 409:
    case 412:
      return StatusCode::kFailedPrecondition;
    case 405:
    case 501:
      return StatusCode::kUnimplemented;
    case 429:
      return StatusCode::kResourceExhausted;
    case 425:
    case 502:
    case 503:
    case 504:
      return StatusCode::kUnavailable;
    default:
      break;
  }
  if (status >= 500) return StatusCode::kInternal;
  return status >= 400 ? StatusCode::kInvalidArgument : StatusCode::kFailedPrecondition;
}

}  // namespace

Status to_status(const ClientResponse& response) {
  if (response.status >= 200 && response.status < 300) return Status();
  Status status =
      wisp::detail::make_status(code_of(response.status), "{} answered {}",
                                fmt::make_format_args(response.origin, response.status));
  return response.retry_after ? with_retry_after(std::move(status), *response.retry_after) : status;
}

}  // namespace wisp::inline v0::http
