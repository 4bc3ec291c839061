// TLS between a connection and its socket, on OpenSSL: encrypted bytes in, plain bytes out, and the
// other way round. No socket here either.
//
//   WISP_TRY(auto context, TlsContext::make(options.tls));
//   TlsStream stream(*context);
//   if (!stream.receive(bytes, plain)) close();     // after what is in output() has been sent
//   stream.encrypt(answer);
//   send(stream.output());                          // and then stream.sent(n)
//
// Threads: a context any, a stream one-at-a-time.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include <wisp/base/status.hpp>
#include <wisp/http/gateway.hpp>

namespace wisp::inline v0::http {

class TlsContext {
 public:
  // kInvalidArgument: the files are no certificate and its key; says which, and never what is in
  // them.
  static Result<std::unique_ptr<TlsContext>> make(const Tls& options);
  ~TlsContext();

 private:
  friend class TlsStream;
  struct Handle;
  explicit TlsContext(std::unique_ptr<Handle> handle);

  std::unique_ptr<Handle> handle_;
};

class TlsStream {
 public:
  explicit TlsStream(TlsContext& context);
  ~TlsStream();

  // Appends to `plain` what the client said, at most what `bytes` hold. False: it has ended, by a
  // close_notify or a fault, and nothing more is to be read.
  bool receive(std::string_view bytes, std::string& plain);
  // Requires: the handshake is over, which it is once anything plain came.
  void encrypt(std::string_view plain);
  // Tells the client that there is no more.
  void end();

  std::string_view output() const { return std::string_view(out_).substr(sent_); }
  void sent(std::size_t bytes);

 private:
  struct Handle;
  void collect();

  std::unique_ptr<Handle> handle_;
  std::string out_;
  std::size_t sent_ = 0;
};

}  // namespace wisp::inline v0::http
