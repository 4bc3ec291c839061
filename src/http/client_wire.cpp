#include "client_wire.hpp"

#include <boost/asio/buffer.hpp>

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

#include <wisp/base/config.hpp>

namespace wisp::inline v0::http {
namespace {

using boost::system::error_code;
constexpr std::size_t kPiece = 16'384;

tcp::endpoint endpoint_of(const IpAddress& address, int port) {
  const auto number = static_cast<unsigned short>(port);
  const auto& bytes = address.bytes();
  if (address.is_v6()) return {asio::ip::address_v6(bytes), number};
  return {asio::ip::address_v4({bytes[0], bytes[1], bytes[2], bytes[3]}), number};
}

}  // namespace

Status Reactor::start() {
  const MutexLock lock(mutex_);
  if (thread_.started()) return Status();
  if (!context_) {
    // Asio throws where the kernel has no more descriptors.
#if WISP_EXCEPTIONS
    try {
      context_.emplace();
    } catch (const std::exception& error) {
      return unavailable("no loop for connections: {}", error.what());
    }
#else
    context_.emplace();
#endif
    work_.emplace(context_->get_executor());
  }
  WISP_TRY(thread_, wisp::detail::Thread::start("wisp-http-out", [this] { context_->run(); }));
  return Status();
}

void Reactor::stop() {
  if (context_) context_->stop();
  wisp::detail::Thread thread;
  {
    const MutexLock lock(mutex_);
    thread = std::move(thread_);
  }
  if (thread.started()) thread.join();
}

Result<std::unique_ptr<Wire>> Wire::connect(Reactor& reactor,
                                            const std::vector<IpAddress>& addresses, int port,
                                            const Wait& wait) {
  const std::size_t count = std::min(addresses.size(), kAddressesMax);
  Status last;
  for (std::size_t i = 0; i < count; ++i) {
    // One that swallows packets leaves time for the others.
    const Duration left = std::max(wait.until - wait.clock.now(), Duration::zero());
    const Wait share = wait.within(left / static_cast<std::int64_t>(count - i), wait.what);
    auto wire = std::make_unique<Wire>(reactor);
    last = wire->try_address(endpoint_of(addresses[i], port), share);
    if (last.ok()) return wire;
    if (last.code() == StatusCode::kCancelled) return last;
  }
  return last;
}

Status Wire::try_address(const tcp::endpoint& endpoint, const Wait& wait) {
  WISP_TRY(wait.check());
  error_code error;
  socket_.open(endpoint.protocol(), error);
  if (error) return unavailable("no socket: {}", error.message());
  socket_.non_blocking(true, error);
  socket_.set_option(tcp::no_delay(true), error);
  const auto signal = std::make_shared<Signal>(wait.clock);
  const auto result = std::make_shared<error_code>();
  socket_.async_connect(endpoint, [signal, result](const error_code& failed) {
    *result = failed;
    signal->fire();
  });
  if (const Status waited = wait.until_fired(signal); !waited.ok()) {
    socket_.close(error);
    return waited;
  }
  if (*result) return unavailable("no connection: {}", result->message());
  return Status();
}

Wire::~Wire() {
  if (!tls_ || broken_ || unsent_) return;
  tls_->end();
  const std::string_view last = tls_->output();
  error_code error;
  socket_.write_some(asio::buffer(last.data(), last.size()), error);
}

Status Wire::handshake(ClientTls& context, const Url& url, const Wait& wait) {
  tls_.emplace(context, url, wait.clock.wall());
  std::array<char, kPiece> piece;
  std::string plain;
  std::string_view nothing;
  WISP_TRY(tls_->receive(nothing, plain));
  while (!tls_->ready()) {
    WISP_TRY(wait.check());
    bool moved = send_some(nothing);
    error_code error;
    const std::size_t size = socket_.read_some(asio::buffer(piece), error);
    if (error && error != asio::error::would_block) {
      broken_ = true;
      return unavailable("the TLS handshake was cut short: {}", error.message());
    }
    if (!error) {
      moved = true;
      if (const Status status = tls_->receive({piece.data(), size}, plain); !status.ok()) {
        send_some(nothing);  // the alert
        broken_ = true;
        return status;
      }
      if (tls_->ended() || !plain.empty()) {
        broken_ = true;
        return data_loss("it speaks before it is asked");
      }
    }
    if (!moved) WISP_TRY(ready(!tls_->output().empty(), wait));
  }
  return Status();
}

bool Wire::send_some(std::string_view& request) {
  if (broken_) return false;
  std::string_view next = request;
  if (tls_) {
    if (tls_->output().empty() && tls_->ready() && !request.empty()) {
      encrypted_ = std::min(request.size(), kEncryptedMax);
      tls_->encrypt(request.substr(0, encrypted_));
    }
    next = tls_->output();
  }
  if (next.empty()) return false;
  error_code error;
  const std::size_t size = socket_.write_some(asio::buffer(next.data(), next.size()), error);
  if (error == asio::error::would_block) return false;
  if (error) {
    broken_ = true;
    return false;
  }
  if (!tls_) {
    request.remove_prefix(size);
    return true;
  }
  tls_->sent(size);
  if (tls_->output().empty()) request.remove_prefix(std::exchange(encrypted_, 0));
  return true;
}

Status Wire::take(std::string_view bytes, std::string& plain) {
  plain.clear();
  if (tls_) return tls_->receive(bytes, plain);
  plain.assign(bytes);
  return Status();
}

Status Wire::exchange(std::string_view request, ResponseReader& reader, const Wait& wait) {
  std::array<char, kPiece> piece;
  std::string plain;
  while (!reader.done()) {
    unsent_ = !request.empty();
    WISP_TRY(wait.check());
    bool moved = send_some(request);
    unsent_ = !request.empty();
    error_code error;
    const std::size_t size = socket_.read_some(asio::buffer(piece), error);
    if (error == asio::error::eof) {
      broken_ = true;
      return reader.end(!tls_);  // TLS says itself when it ends
    }
    if (error && error != asio::error::would_block) {
      broken_ = true;
      if (reader.begun()) return unavailable("the response was cut short: {}", error.message());
      return unavailable("the connection broke: {}", error.message());
    }
    if (!error) {
      moved = true;
      const Status status = take({piece.data(), size}, plain);
      WISP_TRY(reader.receive(plain));
      WISP_TRY(status);
      if (tls_ && tls_->ended()) {
        broken_ = true;
        return reader.end(true);
      }
    }
    const bool more = !broken_ && (!request.empty() || (tls_ && !tls_->output().empty()));
    if (!moved && !reader.done()) WISP_TRY(ready(more, wait));
  }
  return Status();
}

bool Wire::quiet() {
  if (broken_ || unsent_) return false;
  std::array<char, kPiece> piece;
  std::string plain;
  // TLS may have more to say of itself; not without end.
  for (int i = 0; i < 4; ++i) {
    error_code error;
    const std::size_t size = socket_.read_some(asio::buffer(piece), error);
    if (error == asio::error::would_block) return true;
    if (error || !tls_ || !take({piece.data(), size}, plain).ok()) break;
    if (!plain.empty() || tls_->ended()) break;
  }
  broken_ = true;
  return false;
}

Status Wire::ready(bool write, const Wait& wait) {
  const auto signal = std::make_shared<Signal>(wait.clock);
  const auto fire = [signal](const error_code&) { signal->fire(); };
  socket_.async_wait(tcp::socket::wait_read, fire);
  if (write) socket_.async_wait(tcp::socket::wait_write, fire);
  const Status waited = wait.until_fired(signal);
  // One of two may still be waiting, and its handler then only holds the signal.
  error_code error;
  if (write || !waited.ok()) socket_.cancel(error);
  return waited;
}

}  // namespace wisp::inline v0::http
