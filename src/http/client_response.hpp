// The response to a request of the client's, without its socket: bytes in, a response out. What
// could mean two things is refused, as of requests: a proxy in between may have taken the other.
//
//   ResponseReader reader(limits, method == "HEAD");
//   WISP_TRY(reader.receive(bytes));              // again, until reader.done()
//   WISP_TRY(reader.end(true));                   // where the server closes instead
//   ClientResponse response = reader.take();
//
// Errors do not name the server: who reads it does.
//
// Threads: one-at-a-time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <wisp/base/status.hpp>
#include <wisp/http/client.hpp>

#include "chunks.hpp"
#include "head.hpp"

namespace wisp::inline v0::http {

inline constexpr int kInterimMax = 8;  // responses 1xx before the one that counts

struct ResponseLimits {
  HeadLimits head{};
  std::uint64_t body = 1'048'576;
};

class ResponseReader {
 public:
  // `bodiless`: to HEAD. Requires: `limits` outlives this.
  ResponseReader(const ResponseLimits& limits, bool bodiless);

  // Takes all of it; after an error no more is to be given.
  Status receive(std::string_view bytes);
  // The server sends no more; `clean`: which nobody on the way can have feigned. kUnavailable if
  // that is before the end of the response.
  Status end(bool clean);

  bool begun() const { return begun_; }  // something of it came
  bool done() const { return phase_ == Phase::done; }
  // Whether the connection may serve another request. Requires: done().
  bool reusable() const { return keep_alive_ && !excess_; }
  // Requires: done().
  ClientResponse take() { return std::move(response_); }

 private:
  enum class Phase : std::uint8_t { head, body, body_to_end, done };

  Status consume(std::string_view& rest);
  Status take_head(std::string_view& rest);
  Status take_field(std::string_view line);
  Status take_length(std::string_view value);
  Status begin_body();
  Status take_body(std::string_view& rest);

  const ResponseLimits& limits_;
  const bool bodiless_;
  Phase phase_ = Phase::head;
  bool begun_ = false;
  bool excess_ = false;  // bytes came after the response
  int interim_ = 0;
  HeadScanner scanner_;
  std::string in_;  // arrived and not taken
  // Of the head.
  int minor_ = 1;
  bool keep_alive_ = true;
  bool chunked_ = false;
  std::optional<std::uint64_t> length_;
  std::optional<ChunkDecoder> chunks_;
  ClientResponse response_;
};

// A Retry-After: seconds or a date; nullopt: neither. `now` is the wall time.
std::optional<Duration> parse_retry_after(std::string_view value, WallTime now);

}  // namespace wisp::inline v0::http
