// A body that is made while it is sent.
//
// Threads: one-at-a-time, but Wake: any.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include <wisp/http/detail/endpoint.hpp>

namespace wisp::inline v0::http {

// Whom to tell that a stream has something again.
class Wake {
 public:
  virtual ~Wake() = default;
  // Any thread. Once for all streams of a loop.
  virtual void wake() = 0;
};

class Stream {
 public:
  enum class Next : std::uint8_t {
    more,    // something, and perhaps there is more
    wait,    // nothing for now
    end,     // nothing ever
    broken,  // what was sent is not whole
  };

  virtual ~Stream() = default;
  // Appends the next piece, about 16 KiB at most where it has the choice.
  virtual Next next(std::string& to) = 0;
  // The server stops. One without an end has one now.
  virtual void drain() {}
};

// Of a function's response.
class Pieces final : public Stream {
 public:
  explicit Pieces(detail::NextPiece next) : next_(std::move(next)) {}

  Next next(std::string& to) override {
    Result<std::optional<std::string>> piece = next_();
    if (!piece.ok()) return Next::broken;
    if (!piece->has_value()) return Next::end;
    if ((*piece)->empty()) return Next::wait;
    to += **piece;
    return Next::more;
  }

 private:
  detail::NextPiece next_;
};

}  // namespace wisp::inline v0::http
