// Bytes into a connection: however they arrive, the same requests are served and the same bytes go
// back, each response is whole, and nothing comes after one that closes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>

#include "http/connection.hpp"

namespace {

using wisp::http::Answer;
using wisp::http::Connection;

void require(bool holds) {
  if (!holds) std::abort();
}

class Service final : public Connection::Service {
 public:
  std::optional<Answer> admit(const wisp::http::Head&, const wisp::http::Target& target) override {
    if (!target.path.starts_with("/no")) return std::nullopt;
    return Answer{.status = 401, .body = "{}"};
  }
  std::optional<Answer> serve(const wisp::http::Message& message) override {
    require(message.body.size() <= 4'096 && message.head.fields.size() <= 20);
    require(message.target.path == "*" || message.target.path.starts_with('/'));
    require(message.target.path.find('\0') == std::string_view::npos);
    require((std::string(message.target.path) + '/').find("/../") == std::string::npos);
    served += std::string(message.head.method) + ' ' + std::string(message.target.path) + '?' +
              std::string(message.target.query) + '\n' + std::string(message.body) + '\n';
    wisp::http::Parameters parameters;
    (void)wisp::http::parse_query(message.target.query, parameters);
    return Answer{.body = "{}", .tagged = true};
  }
  void gone() override {}
  void refused(int) override {}

  std::string served;
};

struct Run {
  std::string served;
  std::string sent;
  bool finished;
};

// In pieces of `step` bytes.
Run run(std::string_view bytes, std::size_t step) {
  const wisp::http::ConnectionLimits limits{
      .head = {.bytes = 2'048, .line = 512, .fields = 20}, .body = 4'096, .output = 4'096};
  wisp::ManualClock clock;
  wisp::http::DateCache dates;
  Service service;
  Connection connection(limits, service, dates, clock);
  Run made{};
  const auto take = [&] {
    // In pieces too.
    while (!connection.output().empty() || connection.yields()) {
      if (connection.yields()) connection.resume();
      const std::string_view piece = connection.output().substr(0, 13 * step);
      made.sent += piece;
      connection.sent(piece.size());
    }
  };
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, step);
    bytes.remove_prefix(piece.size());
    connection.receive(piece);
    take();
  }
  made.served = std::move(service.served);
  made.finished = connection.finished();
  connection.end();
  require(connection.finished());
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Run whole = run(bytes, bytes.size() + 1);
  const Run slow = run(bytes, 1);
  const Run uneven = run(bytes, 7);
  // Who sends what was waited for is not told to go on: all else is the same.
  if (whole.sent.find(" 100 Continue") == std::string::npos &&
      slow.sent.find(" 100 Continue") == std::string::npos &&
      uneven.sent.find(" 100 Continue") == std::string::npos) {
    require(whole.sent == slow.sent && whole.sent == uneven.sent);
  }
  require(whole.served == slow.served && whole.served == uneven.served);
  require(whole.finished == slow.finished && whole.finished == uneven.finished);
  const std::size_t last = whole.sent.find("\r\nConnection: close\r\n");
  require(last == std::string::npos || whole.sent.find("HTTP/1.1 ", last) == std::string::npos);
  return 0;
}
