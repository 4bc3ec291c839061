// TLS of the client's side, on OpenSSL: encrypted bytes in, plain bytes out, and the other way
// round. The server's certificate and name are always checked. No socket here.
//
//   WISP_TRY(auto context, ClientTls::make(options.ca_file));
//   ClientTlsStream stream(*context, url, clock.wall());
//   send(stream.output());                          // and then stream.sent(n)
//   WISP_TRY(stream.receive(bytes, plain));
//   if (stream.ready()) stream.encrypt(request);
//
// Threads: a context any, a stream one-at-a-time.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>

#include "client_url.hpp"

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

class ClientTlsStream {
 public:
  // To the host of `url`; certificates are judged as of `now`.
  ClientTlsStream(ClientTls& context, const Url& url, WallTime now);
  ~ClientTlsStream();

  // Appends to `plain` what the server said, at most what `bytes` hold. kFailedPrecondition: its
  // certificate is refused, or there is no TLS with it. Also then there may be something to send.
  Status receive(std::string_view bytes, std::string& plain);
  bool ready() const;                    // the handshake is over
  bool ended() const { return ended_; }  // the server said that there is no more
  // Requires: ready().
  void encrypt(std::string_view plain);
  // Tells the server that there is no more.
  void end();

  std::string_view output() const { return std::string_view(out_).substr(sent_); }
  void sent(std::size_t bytes);

 private:
  struct Handle;
  bool check_name(const Url& url, WallTime now);
  Status fault();
  void collect();

  std::unique_ptr<Handle> handle_;
  bool ended_ = false;
  std::string out_;
  std::size_t sent_ = 0;
};

}  // namespace wisp::inline v0::http
