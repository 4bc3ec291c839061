// One client's side of HTTP/1.1, without its socket: bytes in, bytes out, and requests to somebody
// who answers them one after the other.
//
//   Connection connection(limits, service, dates, clock);
//   connection.receive(bytes);                   // calls service.serve() for each request
//   send(connection.output());                   // and then connection.sent(n)
//   if (connection.finished()) close();
//
// What it holds is bounded: a head, a body, one answer more than `output` bytes, and of what a
// client sends ahead while it is served a head's bytes before wants_more() says no.
//
// Threads: one-at-a-time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>

#include "answer.hpp"
#include "chunks.hpp"
#include "head.hpp"
#include "stream.hpp"
#include "target.hpp"

namespace wisp::inline v0::http {

struct ConnectionLimits {
  HeadLimits head{};
  std::uint64_t body = 1'048'576;
  Duration head_time = std::chrono::seconds(10);   // from its first byte, or the connection's begin
  Duration idle_time = std::chrono::seconds(60);   // between requests
  Duration write_time = std::chrono::seconds(30);  // without a byte that the client took
  std::uint64_t body_rate = 1'024;                 // bytes a second, in each head_time
  std::size_t output = 65'536;                     // unsent, beyond which no request is taken
  bool gzip = false;                               // answers, for clients that take it
};

struct Message {
  const Head& head;
  const Target& target;
  std::string_view body;
};

class Connection {
 public:
  class Service {
   public:
    virtual ~Service() = default;
    // Asked once of each request, as soon as its head is there: whether serve() is to follow, once
    // its body is. An answer ends the request, and if it has a body, which is not read then, the
    // connection.
    virtual std::optional<Answer> admit(const Head& head, const Target& target);
    // The answer; nullopt: answer() comes later. What `message` refers to is gone afterwards.
    virtual std::optional<Answer> serve(const Message& message) = 0;
    // The client has gone before it was answered.
    virtual void gone() = 0;
    // A request was, by the connection itself.
    virtual void refused(int status) = 0;
  };

  // Requires: `limits`, `service` and `clock` outlive this.
  Connection(const ConnectionLimits& limits, Service& service, DateCache& dates, Clock& clock);

  void receive(std::string_view bytes);
  // The client sends no more.
  void end();
  // Of the request that serve() put off. Goes on with what came meanwhile.
  void answer(Answer answer);
  // Its stream may have something again, or there is room for more of it; or it had its turn of
  // requests, and gets the next one.
  void resume();

  std::string_view output() const { return std::string_view(out_).substr(sent_); }
  void sent(std::size_t bytes);
  // The client takes what comes, though none of it counts as sent yet.
  void progressed() { progress_ = clock_.now(); }

  // Looks whether the client is too slow. Call about every second.
  void tick();
  // Answers what it is at, and closes.
  void drain();

  bool wants_more() const;
  // Nothing more will be read, and all is sent.
  bool finished() const { return phase_ == Phase::closing && output().empty(); }
  // To be closed as it is: the client does not even take what it was sent.
  bool broken() const { return broken_; }
  bool serving() const { return phase_ == Phase::serving; }
  bool streaming() const { return phase_ == Phase::streaming; }
  // All that its stream gave is sent, and it may give more at once.
  bool hungry() const { return streaming() && !waiting_ && output().empty(); }
  // More requests are there, but it is the turn of others: resume() once these had theirs.
  bool yields() const;
  // Bytes of its buffers.
  std::size_t held() const;

 private:
  enum class Phase : std::uint8_t { head, body, serving, streaming, closing };

  // A request whose body is still to come.
  struct Coming {
    std::string text;  // of the head
    Head head{};
    Target target{};
    std::string body{};
    std::size_t judged = 0;  // of the body, when its rate was last looked at
    std::optional<ChunkDecoder> chunks{};
  };

  void consume(std::string_view& rest);
  bool take_head(std::string_view& rest);
  bool take_body(std::string_view& rest);
  Rejection expect_body(std::string_view text);
  void serve(const Message& message);
  void wish(const Head& head);
  void finish(const Answer& answer);
  void pull();
  void add(std::string_view text);
  void end_stream(Stream::Next how);
  void go_on_with_input();
  void refuse(const Rejection& rejected, bool head);  // of a HEAD: without content

  const ConnectionLimits& limits_;
  Service& service_;
  DateCache& dates_;
  Clock& clock_;
  Phase phase_ = Phase::head;
  bool begun_ = true;  // a head: its first byte is there, or the connection is new
  bool ended_ = false;
  bool draining_ = false;
  bool broken_ = false;
  HeadScanner scanner_;
  Time since_;      // the phase began
  Time progress_;   // bytes were last taken by the client, or there was nothing to take
  std::string in_;  // arrived and not taken
  std::unique_ptr<Coming> coming_;
  Wish wish_;     // of the request that is served
  int turn_ = 0;  // requests that may still be taken before others have theirs
  std::shared_ptr<Stream> stream_;
  std::string piece_;     // of it, for pull()
  bool waiting_ = false;  // it had nothing
  std::string out_;
  std::size_t sent_ = 0;
};

}  // namespace wisp::inline v0::http
