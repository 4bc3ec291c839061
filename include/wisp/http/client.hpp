// Calls to other servers, with the care that the gateway takes of those that come in.
//
//   wisp::http::Client client;                                // outlives the functions
//   WISP_FUNCTION(notify, .timeout = 5s, .retry = {.attempts = 5}) =
//       [](const Order& order, wisp::Context& context) -> wisp::Status {
//     WISP_TRY(const auto response, client.send({.method = "POST",
//                                                .url = order.callback,  // from outside
//                                                .headers = {{"Content-Type", "application/json"}},
//                                                .body = wisp::json::write(order)}, context));
//     return to_status(response);                             // what is not 2xx, as an error
//   };
//
// A call blocks its worker, ends with its context, and is tried once: errors have the codes by
// which the function's own retry rule knows what another attempt can mend. Of what may have
// reached the server, a kUnavailable or a kDeadlineExceeded says nothing: where that counts, send
// an idempotency key.
//
// TLS is 1.2 or 1.3, and always checks the server's certificate and name. Unless the options say
// otherwise, a host is refused if one of its addresses is not of the public internet (see
// address.hpp), so a URL may come from outside. No proxy, cookie or environment variable is used.
//
// Threads: any; the destructor when no call is under way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>
#include <wisp/http/address.hpp>
#include <wisp/http/message.hpp>
#include <wisp/model/context.hpp>
#include <wisp/model/policy.hpp>

namespace wisp::inline v0::http {

struct ClientRequest {
  std::string method = "GET";
  // http or https, with a host, without user and password; a fragment is not sent. Of a host not in
  // ASCII its encoded name, "xn--…".
  std::string url{};
  // Not Host, Content-Length, Transfer-Encoding, Connection and what else is the client's:
  // kInvalidArgument.
  std::vector<Header> headers{};
  std::string body{};
};

struct ClientResponse {
  int status = 0;  // 200 to 599
  std::vector<Header> headers{};
  std::string body{};    // as it came, whatever its Content-Encoding
  std::string origin{};  // who answered, after redirects: "https://example.com"
  // Until another attempt is welcome, as Retry-After has it; at most kRetryAfterMax.
  std::optional<Duration> retry_after{};

  // The value of the first header of that name, whatever its case; nullopt: there is none.
  std::optional<std::string_view> header(std::string_view name) const;
};

// Ok for 2xx. Else what the caller should do: kUnavailable (502, 503, 504, 425), kResourceExhausted
// (429), kDeadlineExceeded (408) and kInternal (500 and other 5xx) are for another attempt; those
// of 3xx and other 4xx are not. Nothing of the body is in it. It has ClientResponse::retry_after
// with it: a function that fails with it is tried again no sooner.
Status to_status(const ClientResponse& response);

// Where addresses come from.
class Resolver {
 public:
  virtual ~Resolver() = default;

  // All addresses of `host`, in the order in which to try them. Any thread, and may block.
  // kNotFound if there is no such host, kUnavailable if that is not known.
  virtual Result<std::vector<IpAddress>> resolve(const std::string& host) = 0;
};

// Each within `total`, and that within the deadline of the call.
struct ClientTimeouts {
  Duration lookup = std::chrono::seconds(5);
  Duration connect = std::chrono::seconds(5);  // to all addresses of the host
  Duration handshake = std::chrono::seconds(5);
  Duration total = std::chrono::seconds(30);  // redirects included
};

// Of a response what is beyond them is kOutOfRange, which another attempt would not mend; of a
// request kInvalidArgument.
struct ClientLimits {
  std::size_t url_bytes = 8'192;
  std::size_t head_bytes = 16'384;     // of a response, and of a request
  std::size_t line_bytes = 8'192;      // of a response's
  int fields = 100;                    // of either
  std::size_t body_bytes = 1'048'576;  // of a response; at most 1 GiB
};

// Connections that are kept for the next call.
struct KeepAlive {
  int connections = 64;  // 0: none is kept
  int per_origin = 8;
  Duration idle_time = std::chrono::seconds(15);
};

struct ClientOptions {
  std::string ca_file{};  // PEM: who may vouch for servers; empty: whom the system trusts
  ClientTimeouts timeouts{};
  ClientLimits limits{};
  KeepAlive keep_alive{};
  // Whether hosts may have addresses that are not public. For URLs that are the program's own.
  bool allow_private = false;
  // Hosts that may all the same, as URLs name them in lower case: "billing.internal". Whoever
  // chooses URLs may choose these.
  std::vector<std::string> private_hosts{};
  // 0: a 3xx is a response as any other. At most 5. From https none leads to http, and to another
  // origin only Accept, Accept-Language, Content-Type and User-Agent are sent.
  int max_redirects = 0;
  Clock* clock{};        // null: the machine's; outlives the client. Best the runtime's
  Resolver* resolver{};  // null: the system's; outlives the client
};

class Client {
 public:
  // Opens nothing yet.
  explicit Client(ClientOptions options = {});
  // Waits for lookups of names that a call has given up; the system's resolver bounds them.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Ok, or what is wrong with the options: then it is what every call returns.
  const Status& status() const;

  // The response, whatever its status. Else
  //   kInvalidArgument     the request is none
  //   kPermissionDenied    the host, or one of a redirect, has an address that is not public
  //   kNotFound            there is no such host
  //   kUnavailable         refused, reset, cut short, or not known where: try again
  //   kDeadlineExceeded    not in time: try again
  //   kFailedPrecondition  its certificate is none for that host, it speaks no TLS, or redirects
  //                        too often or where it must not
  //   kOutOfRange          the response is beyond a limit
  //   kDataLoss            the response is none, or may mean two things
  //   kCancelled           by `stop` or the context
  // naming the host, and never the path or the query, in which secrets are common.
  Result<ClientResponse> send(const ClientRequest& request, Deadline deadline = {},
                              std::stop_token stop = {});
  // With the deadline of the call that `context` is of, and its end.
  Result<ClientResponse> send(const ClientRequest& request, Context& context);

 private:
  class Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace wisp::inline v0::http
