// A connection without its socket, and who speaks to it.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>

#include "catch.hpp"
#include "http/connection.hpp"
#include "http/messages.hpp"

namespace wisp::test {

// Answers "METHOD PATH?QUERY BODY", but to those of "/secret".
class Echo final : public wisp::http::Connection::Service {
 public:
  std::optional<wisp::http::Answer> admit(const wisp::http::Head&,
                                          const wisp::http::Target& target) override {
    ++asked;
    if (target.path != "/secret") return std::nullopt;
    return wisp::http::Answer{.status = 401, .content_type = "text/plain", .body = "who?"};
  }
  std::optional<wisp::http::Answer> serve(const wisp::http::Message& message) override {
    ++served;
    last = std::string(message.head.method) + ' ' + std::string(message.target.path);
    if (!message.target.query.empty()) last += '?' + std::string(message.target.query);
    if (!message.body.empty()) last += ' ' + std::string(message.body);
    if (later) return std::nullopt;
    return wisp::http::Answer{.content_type = "text/plain", .body = last, .tagged = true};
  }
  void gone() override { ++left; }
  void refused(int) override { ++refusals; }

  int asked = 0;
  int served = 0;
  int left = 0;
  int refusals = 0;
  bool later = false;
  std::string last;
};

struct Talk {
  wisp::http::ConnectionLimits limits{};
  wisp::ManualClock clock{};
  wisp::http::DateCache dates{};
  Echo echo{};
  wisp::http::Connection connection{limits, echo, dates, clock};

  // What is there to send, and what it says to the rest once others had their turn.
  std::string take() {
    std::string all;
    do {
      if (connection.yields()) connection.resume();
      const std::size_t size = connection.output().size();
      all += connection.output();
      connection.sent(size);
    } while (connection.yields());
    return all;
  }
  std::string say(std::string_view text) {
    connection.receive(text);
    return take();
  }
  // One byte at a time.
  std::string spell(std::string_view text) {
    std::string all;
    for (const char& c : text) all += say({&c, 1});
    return all;
  }
};

inline std::size_t responses_in(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = text.find("HTTP/1.1 "); at != text.npos;
       at = text.find("HTTP/1.1 ", at + 1))
    ++count;
  return count;
}

struct Case {
  int status;
  std::string text;
};

inline std::string with(std::string_view fields) {
  return "POST /p HTTP/1.1\r\nHost: a\r\n" + std::string(fields);
}
inline std::string chunked(std::string_view body) {
  return with("Transfer-Encoding: chunked\r\n\r\n") + std::string(body);
}

// Whole and byte by byte: that status, once, nothing served, and the connection ends, whatever
// follows.
inline void refuses(const Case& each) {
  INFO(each.text.substr(0, 200));
  constexpr std::string_view kNext = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
  Talk whole;
  const std::string answer = whole.say(each.text + std::string(kNext));
  CHECK(status_of(answer) == each.status);
  CHECK(responses_in(answer) == 1);
  CHECK(whole.echo.served == 0);
  CHECK(whole.echo.refusals == 1);
  CHECK(whole.connection.finished());
  CHECK(answer.find("\r\nConnection: close\r\n") != answer.npos);
  CHECK(whole.say(kNext).empty());
  Talk slow;
  CHECK(slow.spell(each.text + std::string(kNext)) == answer);
  CHECK(slow.echo.served == 0);
  CHECK(slow.connection.finished());
}

}  // namespace wisp::test
