// Requests at a given rate, whatever becomes of those before: how long each takes from when it was
// due, which is what counts for who sends it (Tene, "How NOT to Measure Latency", 2013).
//
//   http_open_loop PORT PATH RATE SECONDS [BODY]
//   {"requests": n, "p50_ns": ..., "p99_ns": ..., "max_ns": ...}
//
// Times between requests are exponential, from a fixed seed. 32 connections; what is due while all
// are busy waits, and its time runs. The first second is not counted. Ends with 1 at any answer but
// 200, or if more than 10,000 wait.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kConnections = 32;
constexpr std::size_t kWaitingMax = 10'000;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "http_open_loop: %s\n", what);
  std::exit(1);
}

struct Connection {
  int socket = -1;
  Clock::time_point due;
  std::string answer;
};

int connected(int port) {
  const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (made < 0 || ::connect(made, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
    fail("cannot connect");
  const int on = 1;
  ::setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::fcntl(made, F_SETFL, O_NONBLOCK);
  return made;
}

// Whether the answer is whole, by its Content-Length.
bool whole(std::string_view answer) {
  const std::size_t end = answer.find("\r\n\r\n");
  if (end == answer.npos) return false;
  if (!answer.starts_with("HTTP/1.1 200 ")) fail("an answer is not 200");
  for (const std::string_view name : {"\r\nContent-Length: ", "\r\ncontent-length: "}) {
    const std::size_t at = answer.find(name);
    if (at < end)
      return answer.size() >=
             end + 4 + static_cast<std::size_t>(std::atoll(answer.data() + at + name.size()));
  }
  fail("an answer has no Content-Length");
}

class Load {
 public:
  Load(int port, std::string request)
      : request_(std::move(request)), poll_(::epoll_create1(EPOLL_CLOEXEC)) {
    for (int i = 0; i < kConnections; ++i) {
      connections_[static_cast<std::size_t>(i)].socket = connected(port);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u32 = static_cast<std::uint32_t>(i);
      ::epoll_ctl(poll_, EPOLL_CTL_ADD, connections_[static_cast<std::size_t>(i)].socket, &event);
      idle_.push_back(&connections_[static_cast<std::size_t>(i)]);
    }
  }

  // The time of each request that was due after the first second, in nanoseconds.
  std::vector<double> run(double rate, int seconds) {
    std::mt19937_64 random(1);
    std::exponential_distribution<double> gap(rate);
    const Clock::time_point begin = Clock::now();
    const Clock::time_point counted = begin + std::chrono::seconds(1);
    const Clock::time_point end = counted + std::chrono::seconds(seconds);
    Clock::time_point due = begin;
    for (;;) {
      for (; due <= Clock::now() && due < end; due += after(gap(random))) waiting_.push_back(due);
      if (waiting_.size() > kWaitingMax) fail("the server does not keep up");
      while (!waiting_.empty() && !idle_.empty()) send();
      if (due >= end && idle_.size() == kConnections) return times_;
      receive(due, counted);
    }
  }

 private:
  static Clock::duration after(double seconds) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }

  void send() {
    Connection& to = *idle_.front();
    idle_.pop_front();
    to.due = waiting_.front();
    waiting_.pop_front();
    if (::send(to.socket, request_.data(), request_.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request_.size()))
      fail("a request was not taken whole");
  }

  // Sleeps until something arrives or the next is due.
  void receive(Clock::time_point due, Clock::time_point counted) {
    const auto left =
        std::chrono::duration_cast<std::chrono::nanoseconds>(due - Clock::now()).count();
    const std::int64_t wait = std::clamp<std::int64_t>(left, 0, 100'000'000);
    timespec time{};
    time.tv_sec = 0;
    time.tv_nsec = wait;
    std::array<epoll_event, kConnections> ready;
    const int count = ::epoll_pwait2(poll_, ready.data(), kConnections, &time, nullptr);
    for (int i = 0; i < count; ++i)
      take(connections_[ready[static_cast<std::size_t>(i)].data.u32], counted);
  }

  void take(Connection& from, Clock::time_point counted) {
    std::array<char, 4'096> piece;
    const ssize_t got = ::recv(from.socket, piece.data(), piece.size(), 0);
    if (got <= 0) fail("a connection was closed");
    from.answer.append(piece.data(), static_cast<std::size_t>(got));
    if (!whole(from.answer)) return;
    from.answer.clear();
    if (from.due >= counted)
      times_.push_back(std::chrono::duration<double, std::nano>(Clock::now() - from.due).count());
    idle_.push_back(&from);
  }

  std::string request_;
  int poll_;
  std::array<Connection, kConnections> connections_;
  std::deque<Connection*> idle_;
  std::deque<Clock::time_point> waiting_;
  std::vector<double> times_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) fail("PORT PATH RATE SECONDS [BODY]");
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // as the kernel would make each sleep 50 us longer
  const std::string body = argc > 5 ? argv[5] : "";
  std::string request =
      std::string(body.empty() ? "GET " : "POST ") + argv[2] + " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
  if (!body.empty())
    request +=
        "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  Load load(std::atoi(argv[1]), request + "\r\n" + body);
  std::vector<double> times = load.run(std::atof(argv[3]), std::atoi(argv[4]));
  if (times.empty()) fail("no request was counted");
  std::sort(times.begin(), times.end());
  const auto rank = [&](double share) {
    return times[static_cast<std::size_t>(std::ceil(share * static_cast<double>(times.size()))) -
                 1];
  };
  std::printf("{\"requests\": %zu, \"p50_ns\": %.0f, \"p99_ns\": %.0f, \"max_ns\": %.0f}\n",
              times.size(), rank(0.5), rank(0.99), times.back());
}
