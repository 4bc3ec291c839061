#include "session.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include <utility>

#include "problem.hpp"

namespace wisp::inline v0::http {
namespace {

using boost::system::error_code;
constexpr Duration kLinger = std::chrono::seconds(2);

}  // namespace

// The way back of a request that is answered later.
class Server::Session::Later final : public Reply {
 public:
  Later(std::shared_ptr<Session> session, std::shared_ptr<Mailbox> mailbox)
      : session_(session), direct_(session.get()), mailbox_(std::move(mailbox)) {}

  void send(Answer answer) override {
    mailbox_->post([session = session_, answer = std::move(answer)]() mutable {
      if (const auto there = session.lock()) there->answer(std::move(answer));
    });
  }
  void hold(std::unique_ptr<detail::Started> call) override { direct_->call_ = std::move(call); }

 private:
  std::weak_ptr<Session> session_;
  Session* direct_;  // on its own thread, while it serves
  std::shared_ptr<Mailbox> mailbox_;
};

Server::Session::Session(Loop& loop, tcp::socket socket, std::string address)
    : loop_(loop),
      token_(loop.token()),
      socket_(std::move(socket)),
      address_(std::move(address)),
      connection_(loop.shared().connection_limits, *this, loop.dates(), loop.shared().clock) {
  if (loop.shared().tls != nullptr) tls_.emplace(*loop.shared().tls);
}

// What is to be sent next, by whatever is between.
std::string_view Server::Session::output() {
  if (!tls_) return connection_.output();
  if (tls_->output().empty() && !connection_.output().empty()) {
    const std::string_view piece = connection_.output().substr(0, kEncryptedMax);
    tls_->encrypt(piece);
    encrypted_ = piece.size();
  }
  return tls_->output();
}

void Server::Session::sent(std::size_t bytes) {
  if (!tls_) return connection_.sent(bytes);
  tls_->sent(bytes);
  connection_.progressed();
  if (tls_->output().empty() && encrypted_ > 0) connection_.sent(std::exchange(encrypted_, 0));
}

void Server::Session::receive(std::string_view bytes) {
  if (!tls_) return connection_.receive(bytes);
  plain_.clear();
  const bool goes_on = tls_->receive(bytes, plain_);
  if (!plain_.empty()) connection_.receive(plain_);
  // The end is no sooner than what came with it is taken, as that of a socket is not read before.
  if (!goes_on && (tls_->failed() || connection_.wants_more())) connection_.end();
  else if (!goes_on) ends_ = true;
  if (plain_.capacity() > 4'096) std::string().swap(plain_);
}

std::optional<Answer> Server::Session::admit(const Head& head, const Target& target) {
  Dispatcher& dispatcher = loop_.shared().dispatcher;
  caller_ = Principal();
  std::optional<Answer> answer;
  const Duration wait = loop_.shared().until_next(address_, dispatcher.weight(head, target));
  if (wait == Duration::zero()) {
    answer = dispatcher.admit(head, target, caller_);
  } else {
    answer = problem(429, "this address asks too often");
    answer->fields = retry_after_field(wait) + dispatcher.fields_for(head);
  }
  if (answer) dispatcher.counts.requests[static_cast<std::size_t>(answer->status / 100)]++;
  return answer;
}

std::optional<Answer> Server::Session::serve(const Message& message) {
  Dispatcher& dispatcher = loop_.shared().dispatcher;
  std::optional<Answer> answer = dispatcher.serve(message, *this);
  if (caller_.shown != Credential::none) caller_ = Principal();
  if (answer) dispatcher.counts.requests[static_cast<std::size_t>(answer->status / 100)]++;
  return answer;
}

void Server::Session::gone() {
  if (call_ != nullptr) call_->cancel();
}

void Server::Session::refused(int status) {
  loop_.shared().dispatcher.counts.requests[static_cast<std::size_t>(status / 100)]++;
}

std::shared_ptr<Reply> Server::Session::later() {
  return std::make_shared<Later>(shared_from_this(), loop_.mailbox());
}

void Server::Session::answer(Answer answer) {
  if (closed_) return;
  call_.reset();
  loop_.shared().dispatcher.counts.requests[static_cast<std::size_t>(answer.status / 100)]++;
  connection_.answer(std::move(answer));
  go_on();
}

// After anything that may have changed what there is to send or to read.
void Server::Session::go_on() {
  if (closed_) return;
  if (connection_.broken()) return cut();
  if (!flush()) return;
  if (connection_.broken()) return cut();  // by what was taken on once there was room
  look_at_turn();
  if (ends_ && connection_.wants_more()) {
    ends_ = false;
    connection_.end();
    return go_on();
  }
  // After a fault of TLS nothing that is still to come can be said.
  if (connection_.finished() || (tls_ && tls_->failed())) return linger();
  wait_readable();
}

// A client that reads as fast as its stream makes, or that sends many requests at once, would
// otherwise have the thread for itself.
void Server::Session::look_at_turn() {
  if (streams_ != connection_.streaming()) {
    streams_ = !streams_;
    loop_.stream(shared_from_this(), streams_);
  }
  if ((!connection_.hungry() && !connection_.yields()) || resuming_) return;
  resuming_ = true;
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->resuming_ = false;
    self->resume();
  });
}

void Server::Session::resume() {
  if (closed_) return;
  connection_.resume();
  go_on();
}

// False: the socket is closed, or takes no more for now.
bool Server::Session::flush() {
  for (std::string_view next; !writing_ && !(next = output()).empty();) {
    error_code error;
    const std::size_t written = socket_.write_some(asio::buffer(next.data(), next.size()), error);
    if (error == asio::error::would_block) {
      writing_ = true;
      socket_.async_wait(tcp::socket::wait_write,
                         [self = shared_from_this()](const error_code& failed) {
                           self->writing_ = false;
                           if (failed) self->close();
                           else self->go_on();
                         });
      break;
    }
    if (error) return close(), false;
    sent(written);
  }
  return !writing_ || connection_.wants_more();
}

void Server::Session::wait_readable() {
  if (reading_ || (!connection_.wants_more() && !lingering_)) return;
  reading_ = true;
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code& failed) {
    self->reading_ = false;
    if (failed) self->close();
    else self->readable();
  });
}

void Server::Session::readable() {
  if (closed_ || connection_.yields()) return;  // resume() waits again
  error_code error;
  auto& scratch = loop_.scratch();
  const std::size_t size = socket_.read_some(asio::buffer(scratch), error);
  if (error == asio::error::would_block) return wait_readable();
  if (lingering_) return error ? close() : wait_readable();
  if (error && error != asio::error::eof) return close();
  if (error) connection_.end();
  else receive({scratch.data(), size});
  go_on();
}

// Closed at once, a socket whose client still sends would be reset, and the answer lost with it.
void Server::Session::linger() {
  if (lingering_) return;
  if (tls_ && !said_end_) {
    said_end_ = true;
    tls_->end();
    if (!flush()) return;  // comes back once that is sent
  }
  lingering_ = true;
  loop_.settled(*this);
  error_code error;
  socket_.shutdown(tcp::socket::shutdown_send, error);
  if (error) return close();
  wait_readable();
}

void Server::Session::tick() {
  if (closed_) return;
  if (!lingering_) connection_.tick();
  if (connection_.broken()) return cut();
  if (lingering_ || connection_.finished()) {
    const Time now = loop_.shared().clock.now();
    if (!leaves_since_) leaves_since_ = now;
    // One that does not even take TLS's good-bye is not waited for.
    if (now - *leaves_since_ > kLinger) return lingering_ ? close() : cut();
    if (lingering_) return;
  }
  if (!output().empty() || connection_.finished()) go_on();
}

void Server::Session::drain() {
  connection_.drain();
  if (connection_.broken()) return cut();
  // One that is owed nothing may go at once.
  if (connection_.finished() && !lingering_) close();
  else go_on();
}

void Server::Session::end() {
  if (lingering_) close();
  else cut();
}

// Not lingering in the kernel either.
void Server::Session::cut() {
  if (closed_) return;
  error_code error;
  socket_.set_option(asio::socket_base::linger(true, 0), error);
  close();
}

void Server::Session::close() {
  if (closed_) return;
  closed_ = true;
  gone();
  call_.reset();
  connection_.end();
  if (std::exchange(streams_, false)) loop_.stream(shared_from_this(), false);
  error_code error;
  socket_.close(error);
  loop_.settled(*this);
  loop_.shared().leave(address_);
  loop_.forget(shared_from_this());
}

}  // namespace wisp::inline v0::http
