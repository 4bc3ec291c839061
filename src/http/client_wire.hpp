// A connection of the client's to a server: the socket, and TLS where the URL wants it. Only
// src/http/client_wire.cpp and client_pool.cpp see Asio, which here only says when a socket is
// ready: the bytes move on the thread that calls.
//
// Threads: see methods.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/engine/detail/thread.hpp>
#include <wisp/http/client.hpp>

#include "client_response.hpp"
#include "client_tls.hpp"
#include "client_wait.hpp"

namespace wisp::inline v0::http {

namespace asio = boost::asio;
using asio::ip::tcp;

inline constexpr std::size_t kAddressesMax = 8;  // of a host, that are tried

// A thread that watches sockets, started by the first call. Threads: any.
class Reactor {
 public:
  Reactor() = default;
  ~Reactor() { stop(); }

  Status start();
  // Nothing is watched afterwards. Requires: no call is under way.
  void stop();
  // Requires: start() was ok.
  asio::io_context& context() { return *context_; }

 private:
  std::optional<asio::io_context> context_;  // constant once started
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_;
  Mutex mutex_;  // nothing else is locked under it
  wisp::detail::Thread thread_ ABSL_GUARDED_BY(mutex_);
};

// Threads: one-at-a-time.
class Wire {
 public:
  // To the first of `addresses` that takes it, each of which has its share of the time. Requires:
  // `reactor` outlives this, and addresses is not empty.
  static Result<std::unique_ptr<Wire>> connect(Reactor& reactor,
                                               const std::vector<IpAddress>& addresses, int port,
                                               const Wait& wait);
  explicit Wire(Reactor& reactor) : socket_(reactor.context()) {}
  // Says to the server that there is no more, without waiting.
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  Status handshake(ClientTls& context, const Url& url, const Wait& wait);

  // Sends the request and reads the response to its end. One that comes before the request is sent
  // is read all the same. Requires: a handshake, if there is to be one.
  Status exchange(std::string_view request, ResponseReader& reader, const Wait& wait);

  // Whether another request may follow: the last was sent, and nothing but its response came.
  bool quiet();

 private:
  Status try_address(const tcp::endpoint& endpoint, const Wait& wait);
  // Whether something could be sent.
  bool send_some(std::string_view& request);
  // Of bytes that were read, what they say.
  Status take(std::string_view bytes, std::string& plain);
  Status ready(bool write, const Wait& wait);

  tcp::socket socket_;
  std::optional<ClientTlsStream> tls_;
  std::size_t encrypted_ = 0;  // of the request: what is on its way
  bool unsent_ = false;        // something of the last request
  bool broken_ = false;        // nothing more can be sent
};

}  // namespace wisp::inline v0::http
