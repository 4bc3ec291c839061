// The inside of the server: its loops and their clients. Only src/http/server.cpp, server_host.cpp
// and session.cpp see Asio.
//
// Threads: one-at-a-time: a loop's thread, but for what says otherwise.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include <wisp/base/mutex.hpp>
#include <wisp/base/park.hpp>
#include <wisp/engine/detail/thread.hpp>

#include "connection.hpp"
#include "server.hpp"
#include "stream.hpp"
#include "tls.hpp"

namespace wisp::inline v0::http {

namespace asio = boost::asio;
using asio::ip::tcp;

// What all loops of a server share. Threads: any.
class Server::Shared {
 public:
  Shared(Dispatcher& dispatcher, const GatewayOptions& options);

  // Whether one more client of that address is within the limits: 0, or the status that refuses it.
  int admit(const std::string& address);
  void leave(const std::string& address);
  // How long until a request of that weight may come from that address; 0: now, and it is counted.
  Duration until_next(const std::string& address, int weight);
  // Forgets addresses that are owed no patience any more.
  void tick();

  Dispatcher& dispatcher;
  const Limits& limits;
  const ConnectionLimits connection_limits;

  Clock& clock;
  std::unique_ptr<TlsContext> tls;  // null: none; constant once a loop runs

 private:
  struct Address {
    int connections = 0;
    Time owed{};  // when its requests so far would be within the rate
  };
  using Addresses = std::map<std::string, Address>;

  const int connections_max_;
  const Duration interval_;  // of an address's requests; 0: no limit
  Mutex mutex_;              // nothing else is locked under it
  Addresses addresses_ ABSL_GUARDED_BY(mutex_);
  Time swept_ ABSL_GUARDED_BY(mutex_){};
  std::size_t remembered_ ABSL_GUARDED_BY(mutex_) = 0;  // of those, without a connection
  int connections_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Where answers go that come from other threads, while their loop is there. Threads: any.
class Mailbox {
 public:
  explicit Mailbox(asio::io_context& context) : context_(&context) {}
  template <class F>
  void post(F&& work) {
    const MutexLock lock(mutex_);
    if (context_ != nullptr) asio::post(*context_, std::forward<F>(work));
  }
  void close() {
    const MutexLock lock(mutex_);
    context_ = nullptr;
  }

 private:
  Mutex mutex_;  // before those of the context
  asio::io_context* context_ ABSL_GUARDED_BY(mutex_);
};

class Server::Loop {
 public:
  // `host`: serves on that, from whose thread all but mailbox() is used; null: on a thread of its
  // own.
  Loop(Shared& shared, asio::io_context* host);
  ~Loop();

  Status listen(const tcp::endpoint& endpoint, bool several);
  int port() const {
    boost::system::error_code error;
    return acceptor_.local_endpoint(error).port();
  }
  Status run(int number);

  // Stops accepting and drains; then, cuts off who is left. False: somebody was.
  void drain();
  bool finish(Time until);

  Shared& shared() { return shared_; }
  const std::shared_ptr<Mailbox>& mailbox() const { return mailbox_; }
  std::array<char, 65'536>& scratch() { return scratch_; }
  DateCache& dates() { return dates_; }
  void forget(const std::shared_ptr<Session>& session);
  // Whether its streams are resumed when there is something again.
  void stream(const std::shared_ptr<Session>& session, bool streams);
  const std::shared_ptr<Wake>& wake() const { return wake_; }
  // Nothing more is owed to it.
  void settled(Session& session);
  // What is held by all that still comes back here from the host's context.
  const std::shared_ptr<char>& token() const { return token_; }

 private:
  class Resume;

  // Such a handler.
  template <class F>
  auto held(F work) {
    return [work = std::move(work), token = token_](const auto&... with) { work(with...); };
  }
  bool all_settled();
  void end();
  bool finish_on_host(Time until);
  void resume_streams();
  void accept();
  void admit(tcp::socket socket);
  void tick();

  Shared& shared_;
  const std::shared_ptr<char> token_ = std::make_shared<char>();
  std::unique_ptr<asio::io_context> own_;  // null: the host's
  asio::io_context& context_;
  tcp::acceptor acceptor_{context_};
  asio::steady_timer timer_{context_};
  asio::steady_timer pause_{context_};
  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>(context_);
  std::shared_ptr<Wake> wake_;
  DateCache dates_;
  std::unordered_set<std::shared_ptr<Session>> sessions_;
  std::unordered_set<std::shared_ptr<Session>> streaming_;
  bool draining_ = false;
  bool runs_ = false;
  bool ended_ = false;
  wisp::detail::Thread thread_;

  Parker stopper_;  // of who is in finish()
  Mutex mutex_;     // nothing else is locked under it
  bool drained_ ABSL_GUARDED_BY(mutex_) = false;
  int owed_ ABSL_GUARDED_BY(mutex_) = 0;  // clients

  std::array<char, 65'536> scratch_;
};

// One client. It is kept by its loop, and by what waits for its socket.
class Server::Session final : public std::enable_shared_from_this<Session>,
                              private Connection::Service,
                              private Peer {
 public:
  Session(Loop& loop, tcp::socket socket, std::string address);

  void begin() { go_on(); }
  void tick();
  void resume();
  void drain();
  void cut();
  // As stop() ends it: what was sent to one that lingers still arrives.
  void end();
  // Whether it is counted among those that are owed something; once it is not, never again.
  bool owed = true;

 private:
  class Later;

  std::optional<Answer> admit(const Head& head, const Target& target) override;
  std::optional<Answer> serve(const Message& message) override;
  void gone() override;
  void refused(int status) override;
  std::shared_ptr<Reply> later() override;
  std::shared_ptr<Wake> wake() override { return loop_.wake(); }
  const Principal& caller() const override { return caller_; }

  void go_on();
  void look_at_turn();
  void wait_readable();
  void readable();
  std::string_view output();
  void sent(std::size_t bytes);
  void receive(std::string_view bytes);
  bool flush();
  void linger();
  void close();
  void answer(Answer answer);

  Loop& loop_;
  const std::shared_ptr<char> token_;
  tcp::socket socket_;
  const std::string address_;
  Connection connection_;
  std::optional<TlsStream> tls_;
  std::string plain_;          // of what was decrypted last
  std::size_t encrypted_ = 0;  // of the connection's output: what is on its way
  bool said_end_ = false;      // by TLS
  bool ends_ = false;          // its client said it by TLS, and the connection does not know yet
  std::unique_ptr<detail::Started> call_;
  Principal caller_;  // of the request that was admitted last, until it is served
  bool reading_ = false;
  bool writing_ = false;
  bool closed_ = false;
  bool streams_ = false;
  bool resuming_ = false;
  bool lingering_ = false;
  std::optional<Time> leaves_since_{};  // there is nothing more to serve
};

}  // namespace wisp::inline v0::http
