#include "server.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "problem.hpp"
#include "session.hpp"

namespace wisp::inline v0::http {
namespace {

using boost::system::error_code;
constexpr Duration kTick = std::chrono::seconds(1);
// After an accept that failed, for want of descriptors most likely.
constexpr Duration kPause = std::chrono::milliseconds(50);
constexpr Duration kBurst = std::chrono::seconds(1);
constexpr std::size_t kRememberedMax = 100'000;
constexpr int kUnsentMax = 131'072;  // of a socket

// Of IPv6 the network: one client has all the addresses of it.
std::string counted_as(const asio::ip::address& address) {
  if (!address.is_v6() || address.to_v6().is_v4_mapped()) return address.to_string();
  auto bytes = address.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), static_cast<unsigned char>(0));
  return asio::ip::address_v6(bytes).to_string() + "/64";
}

// As many as there may be, but for what the program needs besides.
int connections_within(int wanted) {
  constexpr rlim_t kOthers = 64;
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return wanted;
  const rlim_t left = files.rlim_cur > 2 * kOthers ? files.rlim_cur - kOthers : kOthers;
  return left < static_cast<rlim_t>(wanted) ? static_cast<int>(left) : wanted;
}

Duration interval_of(double per_second) {
  if (per_second <= 0) return Duration::zero();
  return std::max(Duration(1), Duration(std::llround(1e9 / per_second)));
}

Status failed(std::string_view what, const error_code& error) {
  return unavailable("{}: {}", what, error.message());
}

}  // namespace

Server::Shared::Shared(Dispatcher& to, const GatewayOptions& options)
    : dispatcher(to),
      limits(options.limits),
      connection_limits{
          .head = {.bytes = limits.head_bytes, .line = limits.line_bytes, .fields = limits.fields},
          .body = limits.body_bytes,
          .head_time = limits.head_time,
          .idle_time = limits.idle_time,
          .write_time = limits.write_time,
          .body_rate = limits.body_bytes_per_second,
          .gzip = options.gzip},
      clock(options.clock == nullptr ? Clock::system() : *options.clock),
      connections_max_(connections_within(limits.connections)),
      interval_(interval_of(limits.requests_per_second_per_address)) {}

int Server::Shared::admit(const std::string& address) {
  const MutexLock lock(mutex_);
  if (connections_ >= connections_max_) return 503;
  const auto [found, is_new] = addresses_.try_emplace(address);
  int& count = found->second.connections;
  if (count >= limits.connections_per_address) return 429;
  if (count++ == 0 && !is_new) --remembered_;
  ++connections_;
  dispatcher.counts.connections.store(connections_, std::memory_order_relaxed);
  return 0;
}

void Server::Shared::leave(const std::string& address) {
  const Time now = clock.now();
  const MutexLock lock(mutex_);
  --connections_;
  dispatcher.counts.connections.store(connections_, std::memory_order_relaxed);
  const auto found = addresses_.find(address);
  if (--found->second.connections > 0) return;
  // One that comes back at once is not new; but there is a bound to what strangers make us keep.
  if (found->second.owed <= now || remembered_ >= kRememberedMax) addresses_.erase(found);
  else ++remembered_;
}

// The generic cell rate algorithm (ITU-T I.371): one moment is all there is to keep.
Duration Server::Shared::until_next(const std::string& address, int weight) {
  if (interval_ == Duration::zero()) return Duration::zero();
  const Duration taken = interval_ * weight;
  const Duration burst = std::max<Duration>(kBurst, taken);
  const Time now = clock.now();
  const MutexLock lock(mutex_);
  Time& owed = addresses_[address].owed;
  const Time next = std::max(owed, now) + taken;
  if (next - now > burst) return next - now - burst;
  owed = next;
  return Duration::zero();
}

void Server::Shared::tick() {
  if (interval_ == Duration::zero()) return;
  const Time now = clock.now();
  const MutexLock lock(mutex_);
  if (now - swept_ < kTick) return;  // by another loop
  swept_ = now;
  for (auto at = addresses_.begin(); at != addresses_.end();) {
    const bool over = at->second.connections == 0 && at->second.owed <= now;
    if (over) --remembered_;
    at = over ? addresses_.erase(at) : std::next(at);
  }
}

// Once for all that happens until the loop comes to it.
class Server::Loop::Resume final : public Wake, public std::enable_shared_from_this<Resume> {
 public:
  explicit Resume(Loop& loop) : loop_(loop), token_(loop.token()), mailbox_(loop.mailbox()) {}

  void wake() override {
    const std::shared_ptr<char> token = token_.lock();
    if (token == nullptr || pending_.exchange(true)) return;
    mailbox_->post([self = shared_from_this(), token] {
      // Before it looks: what comes from here on posts again.
      self->pending_.store(false);
      self->loop_.resume_streams();
    });
  }

 private:
  Loop& loop_;  // while the mailbox is open
  const std::weak_ptr<char> token_;
  const std::shared_ptr<Mailbox> mailbox_;
  std::atomic<bool> pending_{false};
};

Server::Loop::Loop(Shared& shared, asio::io_context* host)
    : shared_(shared),
      own_(host == nullptr ? std::make_unique<asio::io_context>(1) : nullptr),
      context_(host == nullptr ? *own_ : *host),
      wake_(std::make_shared<Resume>(*this)) {}

Server::Loop::~Loop() {
  mailbox_->close();
  if (thread_.started()) {
    context_.stop();
    thread_.join();
  }
}

Status Server::Loop::listen(const tcp::endpoint& endpoint, bool several) {
  error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (error) return failed("no socket", error);
  acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (several) {
    const int on = 1;
    setsockopt(acceptor_.native_handle(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  }
  const std::string where = fmt::format("{}:{}", endpoint.address().to_string(), endpoint.port());
  acceptor_.bind(endpoint, error);
  if (error) return failed(where, error);
  acceptor_.listen(tcp::acceptor::max_listen_connections, error);
  if (error) return failed(where, error);
  acceptor_.non_blocking(true, error);
  return Status();
}

Status Server::Loop::run(int number) {
  runs_ = true;
  accept();
  tick();
  if (own_ == nullptr) return Status();
  WISP_TRY(thread_, wisp::detail::Thread::start(fmt::format("wisp-http-{}", number),
                                                [this] { context_.run(); }));
  return Status();
}

void Server::Loop::accept() {
  acceptor_.async_accept([this, token = token_](const error_code& error, tcp::socket socket) {
    if (draining_ || error == asio::error::operation_aborted) return;
    if (!error) {
      admit(std::move(socket));
      return accept();
    }
    pause_.expires_after(kPause);
    pause_.async_wait(held([this](const error_code& stopped) {
      if (!stopped && !draining_) accept();
    }));
  });
}

void Server::Loop::admit(tcp::socket socket) {
  error_code error;
  const tcp::endpoint peer = socket.remote_endpoint(error);
  if (error) return;
  std::string address = counted_as(peer.address());
  socket.non_blocking(true, error);
  socket.set_option(tcp::no_delay(true), error);
  // The kernel would take megabytes for a client that hardly reads.
  setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentMax,
             sizeof kUnsentMax);
  if (const int refusal = shared_.admit(address)) {
    shared_.dispatcher.counts.refused++;
    if (shared_.tls != nullptr) return;  // nobody is answered in plain text where TLS is on
    std::string text;
    write_answer(problem(refusal, "too many connections"), {.keep_alive = false},
                 dates_.at(shared_.clock.wall()), text);
    socket.write_some(asio::buffer(text), error);
    return;
  }
  shared_.dispatcher.counts.accepted++;
  const auto session = std::make_shared<Session>(*this, std::move(socket), std::move(address));
  sessions_.insert(session);
  {
    const MutexLock lock(mutex_);
    ++owed_;
  }
  session->begin();
}

void Server::Loop::forget(const std::shared_ptr<Session>& session) { sessions_.erase(session); }

void Server::Loop::stream(const std::shared_ptr<Session>& session, bool streams) {
  if (streams) streaming_.insert(session);
  else streaming_.erase(session);
}

void Server::Loop::resume_streams() {
  // A copy: one may end.
  const std::vector<std::shared_ptr<Session>> all(streaming_.begin(), streaming_.end());
  for (const std::shared_ptr<Session>& each : all) each->resume();
}

void Server::Loop::settled(Session& session) {
  if (!std::exchange(session.owed, false)) return;
  {
    const MutexLock lock(mutex_);
    --owed_;
  }
  if (all_settled()) shared_.clock.wake(stopper_);
}

bool Server::Loop::all_settled() {
  const MutexLock lock(mutex_);
  return drained_ && owed_ == 0;
}

void Server::Loop::tick() {
  timer_.expires_after(kTick);
  timer_.async_wait(held([this](const error_code& stopped) {
    if (stopped || ended_) return;
    // A copy: one may close.
    const std::vector<std::shared_ptr<Session>> all(sessions_.begin(), sessions_.end());
    for (const std::shared_ptr<Session>& each : all) each->tick();
    shared_.tick();
    tick();
  }));
}

void Server::Loop::drain() {
  if (!runs_) return;
  asio::post(context_, held([this] {
               draining_ = true;
               error_code error;
               acceptor_.close(error);
               const std::vector<std::shared_ptr<Session>> all(sessions_.begin(), sessions_.end());
               for (const std::shared_ptr<Session>& each : all) each->drain();
               {
                 const MutexLock lock(mutex_);
                 drained_ = true;
               }
               shared_.clock.wake(stopper_);
             }));
}

bool Server::Loop::finish(Time until) {
  if (!std::exchange(runs_, false)) return true;
  if (own_ == nullptr) return finish_on_host(until);
  while (!all_settled() && shared_.clock.now() < until) shared_.clock.park(stopper_, until);
  bool all = false;
  asio::post(context_, [this, &all] {
    all = all_settled();  // once it has drained, if there was no time at all
    end();
    context_.stop();
  });
  if (thread_.started()) thread_.join();
  return all;
}

void Server::Loop::end() {
  ended_ = true;
  const std::vector<std::shared_ptr<Session>> sessions(sessions_.begin(), sessions_.end());
  for (const std::shared_ptr<Session>& each : sessions) each->end();
  timer_.cancel();
  pause_.cancel();
}

// Asio throws where the kernel has no more descriptors.
Status Server::make_loop(std::vector<std::unique_ptr<Loop>>& to) {
#if WISP_EXCEPTIONS
  try {
    to.push_back(std::make_unique<Loop>(*shared_, options_.io_context));
  } catch (const std::exception& error) {
    return unavailable("no loop for clients: {}", error.what());
  }
#else
  to.push_back(std::make_unique<Loop>(*shared_, options_.io_context));
#endif
  return Status();
}

Server::Server(Dispatcher& dispatcher, const GatewayOptions& options)
    : dispatcher_(dispatcher),
      options_(options),
      shared_(std::make_unique<Shared>(dispatcher, options)) {}

Server::~Server() { (void)stop(Duration::zero()); }

Status Server::start() {
  error_code error;
  const auto address = asio::ip::make_address(options_.address, error);
  if (error)
    return invalid_argument("GatewayOptions::address is '{}', and has to be an IP address",
                            options_.address);
  if (options_.tls.wanted()) {
    WISP_TRY(shared_->tls, TlsContext::make(options_.tls));
  }
  auto port = static_cast<unsigned short>(options_.port);
  if (options_.threads > 1) {
    // Sockets that share a port would share it with another server's.
    WISP_TRY(make_loop(loops_));
    WISP_TRY(loops_.back()->listen({address, port}, false));
    loops_.clear();
  }
  for (int i = 0; i < options_.threads; ++i) {
    WISP_TRY(make_loop(loops_));
    WISP_TRY(loops_.back()->listen({address, port}, options_.threads > 1));
    port = static_cast<unsigned short>(loops_.back()->port());
  }
  for (int i = 0; i < options_.threads; ++i) WISP_TRY(loops_[static_cast<std::size_t>(i)]->run(i));
  port_ = port;
  dispatcher_.draining.store(false);
  return Status();
}

Status Server::stop(Duration deadline) {
  // On a host's loop what else is there runs meanwhile, and may come back to here.
  if (std::exchange(stopping_, true)) return failed_precondition("the gateway is stopping already");
  const Time until = shared_->clock.now() + deadline;
  dispatcher_.draining.store(true);
  for (const auto& each : loops_) each->drain();
  int left = 0;
  for (const auto& each : loops_) left += each->finish(until) ? 0 : 1;
  loops_.clear();
  stopping_ = false;
  if (left > 0) return deadline_exceeded("clients were cut off after {} ns", deadline.count());
  return Status();
}

}  // namespace wisp::inline v0::http
