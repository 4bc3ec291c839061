// Connections that wait for the next request to the same origin.
//
// Threads: any.
#pragma once

#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/http/client.hpp>

#include "client_wire.hpp"

namespace wisp::inline v0::http {

class Pool {
 public:
  // Requires: all outlive this; the reactor is started before put() and stopped before this ends.
  Pool(Reactor& reactor, Clock& clock, const KeepAlive& limits);

  // The one that served last, of those on which the server has said nothing since; null: none.
  std::unique_ptr<Wire> take(const std::string& origin);
  // Beyond a limit the one that has waited longest goes.
  void put(const std::string& origin, std::unique_ptr<Wire> wire);

  std::size_t size() const;

 private:
  struct Idle {
    std::string origin;
    Time since;
    std::unique_ptr<Wire> wire;
  };

  std::unique_ptr<Wire> take_last(const std::string& origin);
  void tick();
  bool sweep();

  Reactor& reactor_;
  Clock& clock_;
  const KeepAlive& limits_;
  std::optional<asio::steady_timer> timer_;         // the reactor's thread's
  mutable Mutex mutex_;                             // nothing else is locked under it
  std::vector<Idle> idle_ ABSL_GUARDED_BY(mutex_);  // since longest first
  bool ticking_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace wisp::inline v0::http
