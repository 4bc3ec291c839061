// One end of a TLS connection, on OpenSSL: encrypted bytes in, plain bytes out, and the other way
// round. No socket here; whose end it is, tls.hpp and client_tls.hpp know.
//
// Threads: one-at-a-time.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct ssl_st;

namespace wisp::inline v0::http {

// What is encrypted at once: so much waits to be sent. What OpenSSL has to say by itself comes on
// top, and as much again is a fault: it answers each renegotiation that is asked for, and whoever
// asks without end and reads nothing would have it kept.
inline constexpr std::size_t kEncryptedMax = 65'536;

class TlsPipe {
 public:
  // Takes it; nullptr: each receive() is a fault.
  explicit TlsPipe(ssl_st* stream);
  ~TlsPipe();
  TlsPipe(const TlsPipe&) = delete;
  TlsPipe& operator=(const TlsPipe&) = delete;

  enum class Received {
    more,   // may come
    ended,  // the other side said that there is no more
    fault,  // nothing comes any more; OpenSSL still has its reason
  };
  // Appends to `plain` what the other side said, at most what `bytes` hold. After a fault, too,
  // there may be something to send: the alert that says why.
  Received receive(std::string_view bytes, std::string& plain);

  bool ready() const;  // the handshake is over
  bool failed() const { return failed_; }
  // Requires: ready(). After a fault it does nothing.
  void encrypt(std::string_view plain);
  // Tells the other side that there is no more, if it has been told anything.
  void end();

  std::string_view output() const { return std::string_view(out_).substr(sent_); }
  void sent(std::size_t bytes);

  // nullptr: there is none.
  ssl_st* stream() const;
  // Begins the handshake.
  void begin();

 private:
  struct Handle;
  Received read(std::string_view bytes, std::string& plain);
  void collect();

  std::unique_ptr<Handle> handle_;
  bool failed_ = false;
  std::string out_;
  std::size_t sent_ = 0;
};

}  // namespace wisp::inline v0::http
