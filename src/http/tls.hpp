// TLS between a connection and its socket: the server's side.
//
//   WISP_TRY(auto context, TlsContext::make(options.tls));
//   TlsStream stream(*context);
//   if (!stream.receive(bytes, plain)) close();     // after what is in output() has been sent
//   stream.encrypt(answer);
//   send(stream.output());                          // and then stream.sent(n)
//
// Threads: a context any, a stream one-at-a-time.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <wisp/base/status.hpp>
#include <wisp/http/gateway.hpp>

#include "tls_pipe.hpp"

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

class TlsStream : public TlsPipe {
 public:
  explicit TlsStream(TlsContext& context);

  // False: the client has ended, by a close_notify or a fault, and nothing more is to be read.
  bool receive(std::string_view bytes, std::string& plain);
};

}  // namespace wisp::inline v0::http
