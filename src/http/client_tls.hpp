// TLS of the client's side. The server's certificate and name are always checked.
//
//   WISP_TRY(auto context, ClientTls::make(options.ca_file));
//   ClientTlsStream stream(*context, url, clock.wall());
//   send(stream.output());                          // and then stream.sent(n)
//   WISP_TRY(stream.receive(bytes, plain));
//   if (stream.ready()) stream.encrypt(request);
//
// Threads: a context any, a stream one-at-a-time.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>

#include "client_url.hpp"
#include "tls_pipe.hpp"

namespace wisp::inline v0::http {

class ClientTls {
 public:
  // Empty: whom the system trusts, whatever the environment says. kInvalidArgument: the file holds
  // no certificate.
  static Result<std::unique_ptr<ClientTls>> make(const std::string& ca_file);
  ~ClientTls();

 private:
  friend class ClientTlsStream;
  struct Handle;
  explicit ClientTls(std::unique_ptr<Handle> handle);

  std::unique_ptr<Handle> handle_;
};

class ClientTlsStream : public TlsPipe {
 public:
  // To the host of `url`; certificates are judged as of `now`.
  ClientTlsStream(ClientTls& context, const Url& url, WallTime now);

  // kFailedPrecondition: the server's certificate is refused, or there is no TLS with it.
  Status receive(std::string_view bytes, std::string& plain);
  bool ended() const { return ended_; }  // the server said that there is no more

 private:
  bool check_name(const Url& url, WallTime now);
  Status fault();

  bool ended_ = false;
  bool named_ = false;  // what the certificate has to say is known
};

}  // namespace wisp::inline v0::http
