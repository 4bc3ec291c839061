// Functions behind an HTTP API.
//
//   wisp::http::Gateway gateway{runtime, {.port = 8080}};
//   gateway.post("/parcels/price", price_parcel)        // its input is the body, in JSON
//       .get("/notes/{id}", read_note);                 // its input's field id is in the path
//   if (const wisp::Status begun = gateway.start(); !begun.ok()) return report(begun);
//
// A function's input is put together from the path, the query and a JSON body; each parameter is a
// field of it. What it returns is the body of the response: JSON, or an http::Response as it is.
// Errors are problem details (RFC 9457) with the status that fits the code: an input that is none
// is 400, a limit 429, an overload 503. What clients may do is bounded; see Limits, and
// src/http/README.md for which attack meets which answer.
//
// Threads: one-at-a-time; clients are served on threads of the gateway's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/random.hpp>
#include <wisp/base/status.hpp>
#include <wisp/http/cloud_event_route.hpp>
#include <wisp/http/detail/endpoint.hpp>
#include <wisp/http/detail/stream.hpp>
#include <wisp/http/message.hpp>
#include <wisp/runtime.hpp>

namespace boost::asio {
class io_context;
}

namespace wisp::inline v0::http {

class ApiKeys;      // wisp/http/api_keys.hpp
class JwtVerifier;  // wisp/http/jwt.hpp
class Webhook;      // wisp/http/webhook.hpp

// Beyond these a client is refused, by the status that is named, or goes. Times are above 0.
struct Limits {
  std::size_t head_bytes = 16'384;                // 431; 256 bytes to 1 MiB
  std::size_t line_bytes = 8'192;                 // 414, 431; 64 to head_bytes
  int fields = 100;                               // 431; 1 to 1,000
  std::size_t body_bytes = 1'048'576;             // 413; at most 1 GiB
  Duration head_time = std::chrono::seconds(10);  // 408
  std::uint64_t body_bytes_per_second = 1'024;    // 408, in each head_time
  Duration idle_time = std::chrono::seconds(60);  // between requests
  // In which nothing of an answer could be sent: the client took none of what the kernel held.
  Duration write_time = std::chrono::seconds(30);
  // 503, and closed (with TLS without a word); 1 to 1,000,000, never more than the process's files
  int connections = 10'000;
  int connections_per_address = 1'000;  // 429, as above; of IPv6 for a network of 64 bits
  // 429; of one address, counted as above, over all its connections, with bursts of a second's
  // worth. At least one in a day; 0: as many as come. An address without a connection is remembered
  // as long as it matters, and of 100,000 at most.
  double requests_per_second_per_address = 0;
  Duration call_time = std::chrono::seconds(60);  // of one call, whatever a client asks for: 504
  // Calls of routes that answer at once, and how long the result of one is kept.
  std::size_t results = 10'000;  // 503
  Duration result_time = std::chrono::minutes(5);
  std::size_t result_bytes = 67'108'864;  // of all of them, beyond which none is begun: 503
  // Of each route of events, for clients that are slow or come again; older ones are lost to them.
  // 1 to 1,000,000, and 1 KiB to 1 GiB.
  std::size_t kept_events = 1'000;
  std::size_t kept_event_bytes = 1'048'576;
};

// PEM files, read by start(), without a pass phrase. Both empty: no TLS. 1.2 and 1.3, with forward
// secrecy; sessions are not taken up again, so each connection has a handshake of its own.
struct Tls {
  std::string certificate_file{};  // the certificate first, then those that vouch for it
  std::string key_file{};

  bool wanted() const { return !certificate_file.empty() || !key_file.empty(); }
};

// Which pages of other origins may call this API from a browser, without cookies. None: no page.
struct Cors {
  std::vector<std::string> origins{};  // "https://app.example.com"; or "*" alone: any
  // That a page may send beside those that always may be.
  std::vector<std::string> headers{"Content-Type"};
  Duration max_age = std::chrono::minutes(10);  // for which a browser need not ask again
};

struct GatewayOptions {
  std::string address = "127.0.0.1";  // of IPv4 or IPv6, no name; "::" or "0.0.0.0": all
  int port = 8080;                    // 0: one that is free; see port()
  int threads = 1;                    // at most 64
  Limits limits{};
  Tls tls{};
  Clock* clock{};  // null: the machine's; outlives the gateway
  // POST /invoke/{function} calls any function that has a route, with its input as the body.
  bool invoke = false;
  std::string title = "wisp";  // of the OpenAPI document
  // Those that may stand in Host, "api.example.com", whatever the port; none: any. A page whose own
  // name was made to point here can else call what listens on a private address: 421.
  std::vector<std::string> hosts{};
  Cors cors{};
  Random* random{};  // for the ids of async calls; null: OpenSSL's; outlives the gateway
  // Where one of these is set, all but open routes, webhooks, /healthz, /readyz and what browsers
  // ask beforehand needs to know who calls: 401. A request shows "Authorization: Bearer " and a
  // token or an API key, or "X-API-Key: " and one; both, or one twice, is 400. Each outlives the
  // gateway.
  const ApiKeys* api_keys{};
  const JwtVerifier* tokens{};
  // Compresses texts of 1 KiB to 1 MiB, on the gateway's thread, for clients that take it. Not
  // where a secret stands in a body beside what a stranger chose: its length then tells about it
  // (BREACH).
  bool gzip = false;
  // Serves on the host's, which outlives the gateway, instead of threads of its own; `threads` is
  // 1 then.
  // start(), stop() and the destructor then belong to the thread that runs it, within a handler of
  // it or between; while stop() waits, it runs what else is there.
  boost::asio::io_context* io_context = nullptr;
};

// Where a route's function runs.
enum class Run : std::uint8_t {
  pool,  // on the runtime's workers
  here,  // on the gateway's thread: for those that neither block nor compute for long, and that are
         // spared a change of threads; while one runs, other clients of the thread wait, and stop()
};

struct RouteOptions {
  Run run = Run::pool;
  UnknownMembers unknown = UnknownMembers::refuse;  // of the body and the query
  // Answers at once: 202, and in Location a resource of its own, /calls/ and an id that nobody can
  // guess. It answers 202 while the call runs, then what the call came to; DELETE cancels. It is
  // there for who began the call alone: 404 to others; of an open route for who knows the id.
  // A webhook has no Location: who sends it does not come back.
  bool async = false;
  bool open = false;  // to everybody, whoever the gateway knows
  // Of which a caller has one: 403. None: whoever the gateway knows. Of a function with several
  // routes /invoke wants what all of them want.
  std::vector<std::string> roles{};
  // Who sends has to have signed: 401. Neither open nor with roles, and not to be had by /invoke.
  // Outlives the gateway.
  Webhook* webhook{};
  // A field of the input, a text, that is who calls, by Principal::name(); a request that has it
  // itself is refused. Tokens have to be of one issuer then. Empty: none.
  std::string caller{};
  // How many requests one counts for in Limits::requests_per_second_per_address, such as ten
  // for a sign-in, whose password takes that long to look at; 1 to 1,000. For /invoke the most of
  // any of the function's routes.
  int weight = 1;
};

class Gateway {
 public:
  // Requires: `runtime` outlives this. Opens nothing yet.
  explicit Gateway(Runtime& runtime, GatewayOptions options = {});
  // As stop() without time.
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Routes: "/notes/{id}" has a parameter, one whole segment. A GET route answers HEAD too. What
  // cannot be, a parameter that the input lacks, a second route of the same method and shape, or a
  // function that the Runtime lacks, is what start() returns. After start() routes are refused.
  template <wisp::detail::FunctionHandle F, bool = WISP_EXCEPTIONS>
  Gateway& get(std::string_view path, const F& function, const RouteOptions& options = {}) {
    return add("GET", path, function, options);
  }
  template <wisp::detail::FunctionHandle F, bool = WISP_EXCEPTIONS>
  Gateway& post(std::string_view path, const F& function, const RouteOptions& options = {}) {
    return add("POST", path, function, options);
  }
  template <wisp::detail::FunctionHandle F, bool = WISP_EXCEPTIONS>
  Gateway& put(std::string_view path, const F& function, const RouteOptions& options = {}) {
    return add("PUT", path, function, options);
  }
  template <wisp::detail::FunctionHandle F, bool = WISP_EXCEPTIONS>
  Gateway& patch(std::string_view path, const F& function, const RouteOptions& options = {}) {
    return add("PATCH", path, function, options);
  }
  template <wisp::detail::FunctionHandle F, bool = WISP_EXCEPTIONS>
  Gateway& remove(std::string_view path, const F& function, const RouteOptions& options = {}) {
    return add("DELETE", path, function, options);
  }
  // POST of CloudEvents 1.0 in any of their three forms, see cloud_event_headers.hpp: emits each to
  // the topic that is its type. 202 says how many were accepted. 400 names the attribute that is
  // wrong, and nothing is emitted then. Where the runtime refuses one, with 429 or 503, those
  // before it were accepted; all may be sent again, as an event's source and id, and the caller's
  // tenant, are its idempotency key on its topic. Synchronous subscriptions, and queues that block,
  // hold the gateway's thread. Of `options` run and async have no meaning here; unknown is for the
  // data of typed events.
  Gateway& cloud_events(std::string_view path, const CloudEventOptions& events = {},
                        const RouteOptions& options = {});

  // Server-sent events: each T that is published to a topic of `pattern` is JSON for each client of
  // `path`. One that comes again with Last-Event-ID goes on where it was; what it missed for good
  // it is told by an event "lost" with their number, null where nobody knows it. A slow client
  // keeps neither a worker nor another client waiting. All clients get all events: `options` may
  // say who follows, by `open` and `roles`. A stream ends after 15 minutes, and a browser comes
  // again by itself, with what it shows then. Of several publishers the order is the one of
  // delivery. On the bill: "on <pattern>".
  template <class T, bool = WISP_EXCEPTIONS>
  Gateway& events(std::string_view path, std::string_view pattern,
                  const RouteOptions& options = {}) {
    static_assert(HasCodec<T>,
                  "wisp: events are of a type that JSON is made of: with a codec (WISP_FIELDS)");
    add_events(path, options, [pattern](Runtime& runtime, std::shared_ptr<detail::EventSink> sink) {
      return runtime.on(pattern).deliver({.serial = true}).to([sink](const T& value) {
        sink->publish(json::write(value));
      });
    });
    return *this;
  }

  // Serves from here on. The first thing that was wrong with a route or an option, or why the
  // address cannot be had.
  [[nodiscard]] Status start();

  // The port that it listens on; 0 before start().
  int port() const;

  // Accepts no more, answers what it is at until `deadline` from now, and closes. kDeadlineExceeded
  // if clients were cut off. Requires: not called by a function that runs on the gateway's thread.
  Status stop(Duration deadline);

 private:
  template <wisp::detail::FunctionHandle F, bool = WISP_EXCEPTIONS>
  Gateway& add(std::string_view method, std::string_view path, const F& function,
               const RouteOptions& options) {
    using Typed = detail::TypedEndpoint<typename F::Output, typename F::Input>;
    add_route(method, path,
              std::make_unique<Typed>(
                  Function<typename F::Output, typename F::Input>(function.definition())),
              options);
    return *this;
  }
  void add_route(std::string_view method, std::string_view path,
                 std::unique_ptr<const detail::Endpoint> endpoint, const RouteOptions& options);
  void add_events(std::string_view path, const RouteOptions& options,
                  const detail::Subscribe& subscribe);

  struct Server;
  std::unique_ptr<Server> server_;
};

}  // namespace wisp::inline v0::http
