#include "tls.hpp"

#include <utility>

#include "openssl.hpp"

namespace wisp::inline v0::http {
namespace {

// HTTP/1.1, or 1.0, for those that ask; no answer to those that only speak something else.
int select_protocol(SSL*, const unsigned char** chosen, unsigned char* size,
                    const unsigned char* offered, unsigned int offered_size, void*) {
  static constexpr unsigned char kOurs[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1',
                                            8, 'h', 't', 't', 'p', '/', '1', '.', '0'};
  unsigned char* picked = nullptr;
  if (SSL_select_next_proto(&picked, size, kOurs, sizeof kOurs, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = picked;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

struct TlsContext::Handle {
  Owned<SSL_CTX> context;
};

TlsContext::TlsContext(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
TlsContext::~TlsContext() = default;

Result<std::unique_ptr<TlsContext>> TlsContext::make(const Tls& options) {
  ERR_clear_error();
  auto handle = std::make_unique<Handle>();
  handle->context.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* const context = handle->context.get();
  if (context == nullptr) return internal("no TLS: {}", openssl_error());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                   SSL_OP_NO_TICKET);
  // No session is taken up again: what that takes of TLS 1.2, a secret in memory, would undo its
  // forward secrecy.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  // Of TLS 1.2 what has forward secrecy and authenticated encryption; 1.3 has no other.
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL");
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(context, &select_protocol, nullptr);
  if (SSL_CTX_use_certificate_chain_file(context, options.certificate_file.c_str()) != 1)
    return invalid_argument("GatewayOptions::tls.certificate_file '{}': {}",
                            options.certificate_file, openssl_error());
  SSL_CTX_set_default_passwd_cb(context, no_password);
  if (SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    return invalid_argument("GatewayOptions::tls.key_file '{}': {}", options.key_file,
                            openssl_error());
  if (SSL_CTX_check_private_key(context) != 1)
    return invalid_argument("GatewayOptions::tls: the key in '{}' is not that of '{}'",
                            options.key_file, options.certificate_file);
  return std::unique_ptr<TlsContext>(new TlsContext(std::move(handle)));
}

TlsStream::TlsStream(TlsContext& context) : TlsPipe(SSL_new(context.handle_->context.get())) {
  if (stream() != nullptr) SSL_set_accept_state(stream());
}

bool TlsStream::receive(std::string_view bytes, std::string& plain) {
  const Quiet quiet;
  return TlsPipe::receive(bytes, plain) == Received::more;
}

}  // namespace wisp::inline v0::http
