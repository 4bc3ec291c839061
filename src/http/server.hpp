// Sockets: loops of their own thread that accept clients and move their bytes.
//
// Threads: one-at-a-time.
#pragma once

#include <memory>
#include <vector>

#include <wisp/http/gateway.hpp>

#include "dispatcher.hpp"

namespace wisp::inline v0::http {

class Server {
 public:
  // Requires: both outlive this.
  Server(Dispatcher& dispatcher, const GatewayOptions& options);
  ~Server();

  Status start();
  int port() const { return port_; }
  Status stop(Duration deadline);

 private:
  class Shared;
  class Loop;
  class Session;

  Status make_loop(std::vector<std::unique_ptr<Loop>>& to);

  Dispatcher& dispatcher_;
  const GatewayOptions& options_;
  std::unique_ptr<Shared> shared_;
  std::vector<std::unique_ptr<Loop>> loops_;
  int port_ = 0;
  bool stopping_ = false;
};

}  // namespace wisp::inline v0::http
