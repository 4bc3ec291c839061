#include "dispatcher.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include <wisp/model/traceparent.hpp>

#include "cors.hpp"
#include "problem.hpp"

namespace wisp::inline v0::http {
namespace {

constexpr std::string_view kInvoke = "/invoke/";
constexpr std::string_view kCalls = "/calls/";
constexpr std::string_view kTimeoutHeader = "x-request-timeout-ms";

// application/json, or another type that says it is JSON; parameters do not count.
bool is_json(std::string_view type) {
  type = trimmed(type.substr(0, type.find(';')));
  return same_name(type, "application/json") ||
         (type.size() > 5 && same_name(type.substr(type.size() - 5), "+json"));
}

Request request_of(const Message& message, const Principal& caller) {
  Request made{.method = std::string(message.head.method),
               .path = std::string(message.target.path),
               .query = std::string(message.target.query),
               .headers = {},
               .body = std::string(message.body),
               .caller = caller};
  for (const Field& each : message.head.fields)
    made.headers.push_back({std::string(each.name), std::string(each.value)});
  return made;
}

bool is_field_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  });
}

// Without the port.
std::string_view host_of(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

bool may_send(const Header& header) {
  constexpr std::string_view kOurs[] = {"content-length", "transfer-encoding", "connection", "date",
                                        "content-type"};
  return is_token(header.name) && is_field_text(header.value) &&
         std::none_of(std::begin(kOurs), std::end(kOurs),
                      [&](std::string_view name) { return same_name(header.name, name); });
}

Answer answer_of(Response response) {
  if (response.status < 200 || response.status > 599 || !is_field_text(response.content_type) ||
      !std::all_of(response.headers.begin(), response.headers.end(), may_send))
    return problem(500, "the function's response cannot be sent");
  Answer answer{.status = response.status, .content_type = "", .body = std::move(response.body)};
  if (!response.content_type.empty())
    answer.fields = "Content-Type: " + response.content_type + "\r\n";
  for (const Header& each : response.headers)
    answer.fields += each.name + ": " + each.value + "\r\n";
  const bool may_have_content =
      response.status != 204 && response.status != 205 && response.status != 304;
  if (response.stream || !may_have_content) answer.body.clear();
  if (response.stream && may_have_content)
    answer.stream = std::make_shared<Pieces>(std::move(response.stream));
  return answer;
}

// `tagged`: what is ours to tag; a function's own response is as it is.
Answer answer_of(detail::Outcome outcome, bool tagged) {
  if (!outcome.status.ok()) return problem(outcome.status);
  if (outcome.response) return answer_of(*std::move(outcome.response));
  if (outcome.empty) return {.status = 204};
  return {.body = std::move(outcome.json), .tagged = tagged};
}

// RFC 9111, 3.5: what is for one caller is not kept for others, by a cache that knows nothing of
// X-API-Key; unless the function says itself what may be.
void keep_private(Answer& answer) {
  constexpr std::string_view kName = "cache-control:";
  for (std::string_view rest = answer.fields; !rest.empty();) {
    if (same_name(rest.substr(0, kName.size()), kName)) return;
    rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
  }
  answer.fields += "Cache-Control: private\r\n";
}

}  // namespace

Dispatcher::Dispatcher(Runtime& runtime, const GatewayOptions& options)
    : runtime_(runtime),
      options_(options),
      guard_(options),
      results_(std::make_shared<Results>(clock(), options.random, options.limits.results,
                                         options.limits.result_time, options.limits.result_bytes)) {
}

Dispatcher::~Dispatcher() { results_->cancel_all(); }

Clock& Dispatcher::clock() const {
  return options_.clock == nullptr ? Clock::system() : *options_.clock;
}

std::optional<Answer> Dispatcher::admit(const Head& head, const Target& target,
                                        Principal& caller) const {
  std::optional<Answer> answer = stranger(head);
  if (!answer && (guard_.on() || webhooks_)) answer = authenticate(head, target, caller);
  if (answer) answer->fields += cors_fields(options_.cors, head);
  return answer;
}

std::optional<Answer> Dispatcher::serve(const Message& message, Peer& peer) {
  std::optional<Answer> answer = route(message, peer);
  if (answer && peer.caller().shown != Credential::none) keep_private(*answer);
  if (answer) answer->fields += cors_fields(options_.cors, message.head);
  return answer;
}

int Dispatcher::weight(const Head& head, const Target& target) const {
  if (options_.limits.requests_per_second_per_address == 0) return 1;
  const RouteMatch match = router_.find(head.method, target.path);
  if (match.route >= 0) return routes_[static_cast<std::size_t>(match.route)].options.weight;
  int most = 1;
  if (!options_.invoke || !target.path.starts_with(kInvoke)) return most;
  const std::string_view name = std::string_view(target.path).substr(kInvoke.size());
  for (const Route& each : routes_)
    if (each.endpoint != nullptr && each.endpoint->name() == name)
      most = std::max(most, each.options.weight);
  return most;
}

// What no route has is only for those that are known too, so that others do not learn what there
// is.
std::optional<Answer> Dispatcher::authenticate(const Head& head, const Target& target,
                                               Principal& caller) const {
  const RouteMatch match = router_.find(head.method, target.path);
  const RouteOptions* const wanted =
      match.route < 0 ? nullptr : &routes_[static_cast<std::size_t>(match.route)].options;
  if (wanted != nullptr && wanted->webhook != nullptr) return check_fields(head);
  if (!guard_.on() || (wanted != nullptr && wanted->open)) return std::nullopt;
  if (wanted == nullptr) {
    const bool looks = head.method == "GET" || head.method == "HEAD";
    if (looks && (target.path == "/healthz" || target.path == "/readyz")) return std::nullopt;
    if (!options_.cors.origins.empty() && is_preflight(head)) return std::nullopt;
    // One that an open route began is there for everybody who knows its id; see own().
    if (target.path.starts_with(kCalls) && !Guard::shows_something(head)) return std::nullopt;
  }
  if (std::optional<Answer> refused = guard_.identify(head, caller)) return refused;
  if (wanted != nullptr) return Guard::allow(caller, wanted->roles);
  if (options_.invoke && head.method == "POST" && target.path.starts_with(kInvoke))
    return allow_invoke(target.path.substr(kInvoke.size()), caller);
  return std::nullopt;
}

// No way around what a function's routes want.
std::optional<Answer> Dispatcher::allow_invoke(std::string_view name,
                                               const Principal& caller) const {
  for (const Route& each : routes_) {
    if (each.endpoint == nullptr || each.endpoint->name() != name) continue;
    if (std::optional<Answer> refused = Guard::allow(caller, each.options.roles)) return refused;
  }
  return std::nullopt;
}

// Who came by another name, or from a page that may not call this. A browser says where a request
// that may change something comes from.
std::optional<Answer> Dispatcher::stranger(const Head& head) const {
  const std::vector<std::string>& hosts = options_.hosts;
  const std::string_view host = host_of(head.host);
  if (!hosts.empty() && std::none_of(hosts.begin(), hosts.end(), [&](const std::string& each) {
        return same_name(each, host);
      }))
    return problem(421, "there is no such host here");
  const bool safe = head.method == "GET" || head.method == "HEAD" || head.method == "OPTIONS";
  if (!safe && !is_own_page(options_.cors, head))
    return problem(403, "a page of another origin may not call this");
  return std::nullopt;
}

std::optional<Answer> Dispatcher::route(const Message& message, Peer& peer) {
  const RouteMatch match = router_.find(message.head.method, message.target.path);
  if (match.route >= 0) {
    const Route& route = routes_[static_cast<std::size_t>(match.route)];
    if (route.events != nullptr) return follow(route, message, peer);
    return call(route, match, message, peer);
  }
  if (options_.invoke && message.head.method == "POST" && message.target.path.starts_with(kInvoke))
    return invoke(message.target.path.substr(kInvoke.size()), message, peer);
  if (std::optional<Answer> answer = own(message, peer.caller())) return answer;
  const bool asks = message.head.method == "OPTIONS";
  if (asks && is_preflight(message.head))
    if (const std::string_view methods = preflight_methods(message.target.path, match);
        !methods.empty())
      return Answer{.status = 204, .fields = preflight_fields(options_.cors, methods)};
  if (!match.known_path && !(asks && message.target.path == "*"))
    return problem(404, "there is nothing at this path");
  const std::string allow = (match.allow.empty() ? "" : match.allow + ", ") + "OPTIONS";
  Answer answer = asks ? Answer{.status = 204} : problem(405, "this path has no such method");
  answer.fields = "Allow: " + allow + "\r\n";
  return answer;
}

std::string Dispatcher::fields_for(const Head& head) const {
  return cors_fields(options_.cors, head);
}

// What a browser may go on with, of a route or of the gateway's own; of what is not there "". Where
// only those that are known learn what there is, every path has every method.
std::string_view Dispatcher::preflight_methods(std::string_view path,
                                               const RouteMatch& match) const {
  if (options_.cors.origins.empty()) return {};
  if (guard_.on()) return "DELETE, GET, HEAD, PATCH, POST, PUT";
  if (match.known_path || match.route >= 0) return match.allow;
  if (path.starts_with(kCalls)) return "DELETE, GET, HEAD";
  if (path.starts_with(kInvoke)) return options_.invoke ? "POST" : "";
  constexpr std::string_view kOwn[] = {"/healthz", "/readyz", "/metrics", "/functions",
                                       "/openapi.json"};
  return std::find(std::begin(kOwn), std::end(kOwn), path) == std::end(kOwn) ? "" : "GET, HEAD";
}

// What the client says about how it wants to be served.
Result<CallOptions> Dispatcher::call_options(const Head& head) const {
  CallOptions options{.timeout = options_.limits.call_time};
  if (const auto text = head.find(kTimeoutHeader)) {
    int milliseconds = 0;
    const auto [end, error] =
        std::from_chars(text->data(), text->data() + text->size(), milliseconds);
    if (error != std::errc() || end != text->data() + text->size() || milliseconds <= 0)
      return invalid_argument("{}: expected a number of milliseconds, got \"{}\"", kTimeoutHeader,
                              *text);
    options.timeout = std::min<Duration>(options.timeout, std::chrono::milliseconds(milliseconds));
  }
  // One that is none begins another trace, as W3C Trace Context has it.
  if (const auto trace = head.find("traceparent"); trace && parse_traceparent(*trace).ok())
    options.traceparent = *trace;
  return options;
}

std::optional<Answer> Dispatcher::call(const Route& route, const RouteMatch& match,
                                       const Message& message, Peer& peer) {
  Webhook* const webhook = route.options.webhook;
  if (webhook == nullptr) return run(route, match, message, peer, peer.caller(), nullptr);
  Principal sender;
  if (std::optional<Answer> refused = verify(*webhook, message.head, message.body, sender))
    return refused;
  const std::function<void(int)> answered = settle(*webhook, message.head);
  std::optional<Answer> answer = run(route, match, message, peer, sender, answered);
  if (answer) answered(answer->status);
  return answer;
}

std::optional<Answer> Dispatcher::run(const Route& route, const RouteMatch& match,
                                      const Message& message, Peer& peer, const Principal& caller,
                                      const std::function<void(int)>& answered) {
  Result<CallOptions> options = call_options(message.head);
  if (!options.ok()) return problem(options.status());
  options->tenant = caller.tenant;
  const auto type = message.head.find("content-type");
  if (!route.endpoint->takes_request() && (type ? !is_json(*type) : !message.body.empty()))
    return problem(415, "the body has to be application/json");
  const bool as_it_came = route.endpoint->takes_request() && !route.endpoint->takes_cloud_events();
  if (const auto coding = message.head.find("content-encoding");
      coding && !as_it_came && !same_name(*coding, "identity"))
    return problem(415, "the body has to come without a content coding");
  const std::string known_as = route.options.caller.empty() ? "" : caller.name();
  Bound bound;
  if (route.endpoint->input() != nullptr) {
    const Status status =
        route.binding.bind(match.values, message.target.query, message.body, known_as, bound);
    if (!status.ok()) return problem(status);
  }
  std::optional<Reader> reader;
  if (bound.root() != nullptr) reader.emplace(*bound.root(), "", route.options.unknown);
  detail::Source source{.reader = reader ? &*reader : nullptr};
  if (route.endpoint->takes_request()) source.request = [&] { return request_of(message, caller); };
  if (route.options.async && route.options.webhook != nullptr)
    return begin_webhook(route, source, *options);
  if (route.options.async) return begin(route, source, *options, caller);
  const bool tagged = message.head.method == "GET" || message.head.method == "HEAD";
  if (route.options.run == Run::here)
    return answer_of(route.endpoint->call(runtime_, source, *options), tagged);
  const std::shared_ptr<Reply> reply = peer.later();
  auto done = [reply, tagged, answered, known = caller.shown != Credential::none,
               fields = cors_fields(options_.cors, message.head)](detail::Outcome outcome) {
    Answer answer = answer_of(std::move(outcome), tagged);
    if (answered) answered(answer.status);
    if (known) keep_private(answer);
    answer.fields += fields;
    reply->send(std::move(answer));
  };
  reply->hold(route.endpoint->start(runtime_, source, *options, std::move(done)));
  return std::nullopt;
}

// RFC 9110, 12.5.1, as far as it is needed: a client that names other types wants none of this.
Answer Dispatcher::follow(const Route& route, const Message& message, Peer& peer) const {
  constexpr std::string_view kType = "text/event-stream";
  const auto& fields = message.head.fields;
  const auto is_accept = [](const Field& each) { return same_name(each.name, "accept"); };
  const auto takes = [&](const Field& each) {
    return is_accept(each) && (each.value.find(kType) != each.value.npos ||
                               each.value.find("*/*") != each.value.npos ||
                               each.value.find("text/*") != each.value.npos);
  };
  if (std::any_of(fields.begin(), fields.end(), is_accept) &&
      std::none_of(fields.begin(), fields.end(), takes))
    return problem(406, "this path has a text/event-stream");
  Answer answer{.content_type = kType, .fields = "Cache-Control: no-store\r\n"};
  answer.stream = route.events->follow(message.head.find("last-event-id"), peer.wake());
  return answer;
}

// Who sends a webhook comes back for nothing, so nothing is kept.
Answer Dispatcher::begin_webhook(const Route& route, const detail::Source& source,
                                 const CallOptions& options) {
  struct Ended {
    detail::Outcome outcome{};
    std::atomic<bool> known{false};  // with a release, so that `outcome` may be read
  };
  const auto ended = std::make_shared<Ended>();
  auto done = [ended](detail::Outcome outcome) {
    ended->outcome = std::move(outcome);
    ended->known.store(true, std::memory_order_release);
  };
  const auto call = route.endpoint->start(runtime_, source, options, std::move(done));
  // What failed already, as by a full queue, the sender has to send again.
  const bool known = ended->known.load(std::memory_order_acquire);
  if (known && (call == nullptr || !ended->outcome.status.ok()))
    return answer_of(std::move(ended->outcome), false);
  return {.status = 202};
}

// What its client comes back for.
Answer Dispatcher::begin(const Route& route, const detail::Source& source,
                         const CallOptions& options, const Principal& caller) {
  const Result<std::string> id = results_->open(caller);
  if (!id.ok()) return problem(id.status());
  auto done = [results = std::weak_ptr(results_), id = *id](detail::Outcome outcome) {
    const auto there = results.lock();
    if (there == nullptr) return;
    Answer answer = answer_of(std::move(outcome), false);
    if (answer.stream != nullptr) answer = problem(500, "what is kept cannot be a stream");
    there->done(id, std::move(answer));
  };
  auto call = route.endpoint->start(runtime_, source, options, std::move(done));
  if (call == nullptr) return results_->take(*id);
  results_->hold(*id, std::move(call));
  return {.status = 202,
          .body = R"({"status":"running"})",
          .fields = std::string("Location: ").append(kCalls).append(*id) + "\r\n"};
}

// Through its first route that is no webhook, whose parameters are members of the body here.
std::optional<Answer> Dispatcher::invoke(std::string_view name, const Message& message,
                                         Peer& peer) {
  for (const Route& each : routes_)
    if (each.endpoint != nullptr && each.endpoint->name() == name &&
        each.options.webhook == nullptr)
      return call(each, RouteMatch(), message, peer);
  return problem(404, "no route has a function of this name");
}

std::optional<Answer> Dispatcher::own(const Message& message, const Principal& caller) {
  const std::string_view method = message.head.method;
  const std::string_view path = message.target.path;
  const bool looks = method == "GET" || method == "HEAD";
  if (path.starts_with(kCalls)) {
    const std::string_view id = path.substr(kCalls.size());
    std::optional<Answer> answer;
    if (looks) answer = results_->look(id, caller);
    if (method == "DELETE") answer = results_->cancel(id, caller);
    // Who has not said who he is learns that he has to, and not whether there is such a call.
    const bool unknown = guard_.on() && caller.shown == Credential::none;
    if (unknown && (!answer || answer->status == 404)) return Guard::who_are_you();
    if (answer) return answer;
  }
  if (!looks) return std::nullopt;
  if (path == "/healthz") return Answer{.content_type = "text/plain", .body = "ok\n"};
  if (path == "/readyz") {
    const bool ready = !draining.load() && runtime_.status().ok();
    return Answer{.status = ready ? 200 : 503,
                  .content_type = "text/plain",
                  .body = ready ? "ok\n" : "stopping\n"};
  }
  if (path == "/metrics")
    return Answer{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                  .body = metrics(runtime_.stats(), counts)};
  if (path == "/functions") return Answer{.body = functions(runtime_.stats(), routes_)};
  if (path == "/openapi.json") return Answer{.body = openapi(options_, routes_), .tagged = true};
  return std::nullopt;
}

}  // namespace wisp::inline v0::http
