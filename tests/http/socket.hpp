// A client that says what it is told to, over a real socket of the loopback.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "catch.hpp"
#include "http/messages.hpp"

namespace wisp::test {

class Socket {
 public:
  explicit Socket(int port) : descriptor_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(descriptor_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  }
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  ~Socket() { close(); }

  void say(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  // The next response, by its Content-Length; what came before the end of the connection if there
  // is none.
  std::string hear(bool bodiless = false) {
    std::size_t end = std::string::npos;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
      if (!more()) return std::exchange(buffer_, {});
    end += 4;
    const std::size_t at = buffer_.find("Content-Length: ");
    if (!bodiless && at < end) {
      end += static_cast<std::size_t>(std::atoll(buffer_.c_str() + at + 16));
      while (buffer_.size() < end)
        if (!more()) return std::exchange(buffer_, {});
    }
    std::string response = buffer_.substr(0, end);
    buffer_.erase(0, end);
    return response;
  }
  // All up to the end of `what`; what came before the end of the connection if that does not come.
  std::string hear_until(std::string_view what) {
    std::size_t at = std::string::npos;
    std::size_t looked = 0;
    while ((at = buffer_.find(what, looked)) == std::string::npos) {
      looked = buffer_.size() - std::min(buffer_.size(), what.size() - 1);
      if (!more()) return std::exchange(buffer_, {});
    }
    std::string heard = buffer_.substr(0, at + what.size());
    buffer_.erase(0, heard.size());
    return heard;
  }
  std::string ask(std::string_view text) {
    say(text);
    return hear(text.starts_with("HEAD"));
  }
  // Whether the other side closes, within the patience of 20 s, and says nothing before.
  bool at_end() {
    while (more()) {
    }
    return buffer_.empty() && ended_;
  }
  int descriptor() const { return descriptor_; }
  void half_close() { ::shutdown(descriptor_, SHUT_WR); }
  void close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }
  // With a reset.
  void abort() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }

 private:
  bool more() {
    char piece[4'096];
    const ssize_t got = ::recv(descriptor_, piece, sizeof piece, 0);
    if (got > 0) buffer_.append(piece, static_cast<std::size_t>(got));
    ended_ = got == 0 || (got < 0 && errno == ECONNRESET);
    return got > 0;
  }

  int descriptor_;
  std::string buffer_;
  bool ended_ = false;
};

}  // namespace wisp::test
