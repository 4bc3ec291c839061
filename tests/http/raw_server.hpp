// A server that says what it is told to, over real sockets of the loopback.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <wisp/http/client.hpp>

#include "catch.hpp"

namespace wisp::test {

// One client of it.
class Peer {
 public:
  Peer(int descriptor, int number) : descriptor_(descriptor), number_(number) {}

  // The next request, by its Content-Length; "" once there is none.
  std::string hear() {
    std::size_t end = std::string::npos;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
      if (!more()) return {};
    end += 4;
    const std::size_t at = buffer_.find("Content-Length: ");
    if (at < end) end += static_cast<std::size_t>(std::atoll(buffer_.c_str() + at + 16));
    while (buffer_.size() < end)
      if (!more()) return {};
    std::string request = buffer_.substr(0, end);
    buffer_.erase(0, end);
    return request;
  }
  void say(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  // Until the client closes, or the server ends.
  void wait() {
    while (more()) buffer_.clear();
  }
  // With a reset, once this returns from its service.
  void abort() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  int number() const { return number_; }  // of the connection, from 0
  int descriptor() const { return descriptor_; }

 private:
  bool more() {
    char piece[4'096];
    const ssize_t got = ::recv(descriptor_, piece, sizeof piece, 0);
    if (got > 0) buffer_.append(piece, static_cast<std::size_t>(got));
    return got > 0;
  }

  int descriptor_;
  int number_;
  std::string buffer_;
};

class RawServer {
 public:
  using Serve = std::function<void(Peer&)>;

  // `serve` is called for each client, on a thread of its own; the connection ends with it.
  explicit RawServer(Serve serve) : serve_(std::move(serve)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&here), sizeof here) == 0);
    REQUIRE(::listen(listener_, 16) == 0);
    socklen_t size = sizeof here;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&here), &size);
    port_ = ntohs(here.sin_port);
    thread_ = std::thread([this] { accept(); });
  }
  RawServer(const RawServer&) = delete;
  // Ends all connections first, so no service waits.
  ~RawServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const int each : open_) ::shutdown(each, SHUT_RDWR);
    }
    for (std::thread& each : services_) each.join();
  }

  int port() const { return port_; }
  std::string url(std::string_view target = "/") const {
    return "http://127.0.0.1:" + std::to_string(port_) + std::string(target);
  }
  int connections() const { return connections_; }

 private:
  void accept() {
    for (;;) {
      const int descriptor = ::accept(listener_, nullptr, nullptr);
      if (descriptor < 0) return;
      const std::lock_guard<std::mutex> lock(mutex_);
      open_.push_back(descriptor);
      services_.emplace_back([this, descriptor, number = connections_++] {
        Peer peer(descriptor, number);
        serve_(peer);
        const std::lock_guard<std::mutex> closing(mutex_);
        std::erase(open_, descriptor);
        ::close(descriptor);
      });
    }
  }

  Serve serve_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_{0};
  std::thread thread_;
  std::mutex mutex_;
  std::vector<int> open_;
  std::vector<std::thread> services_;
};

inline std::string answer(std::string_view body, std::string_view fields = "", int status = 200) {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\n" + std::string(fields) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

// Answers with what it heard.
inline void echo(Peer& peer) {
  for (std::string request; !(request = peer.hear()).empty();) peer.say(answer(request));
}

// A client that may call it.
inline http::ClientOptions local() { return {.allow_private = true}; }

inline StatusCode code_of(const Result<http::ClientResponse>& result) {
  return result.status().code();
}

}  // namespace wisp::test
