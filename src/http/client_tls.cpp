#include "client_tls.hpp"

#include <openssl/x509v3.h>

#include <utility>

#include "openssl.hpp"

namespace wisp::inline v0::http {
namespace {

constexpr int kChainMax = 10;  // certificates between the server's and one that is trusted

// Not SSL_CTX_set_default_verify_paths(), which asks the environment. A system may have one of
// these and not the other; with neither, no certificate is good.
void trust_system(SSL_CTX* context) {
  SSL_CTX_load_verify_file(context, X509_get_default_cert_file());
  SSL_CTX_load_verify_dir(context, X509_get_default_cert_dir());
  ERR_clear_error();
}

}  // namespace

struct ClientTls::Handle {
  Owned<SSL_CTX> context;
};

ClientTls::ClientTls(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
ClientTls::~ClientTls() = default;

Result<std::unique_ptr<ClientTls>> ClientTls::make(const std::string& ca_file) {
  ERR_clear_error();
  auto handle = std::make_unique<Handle>();
  handle->context.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* const context = handle->context.get();
  if (context == nullptr) return internal("no TLS: {}", openssl_error());
  static constexpr unsigned char kProtocols[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  const bool set = SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
                   // Of TLS 1.2 what has forward secrecy and authenticated encryption.
                   SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL") == 1 &&
                   SSL_CTX_set_alpn_protos(context, kProtocols, sizeof kProtocols) == 0;
  if (!set) return internal("no TLS: {}", openssl_error());
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_verify_depth(context, kChainMax);
  if (ca_file.empty()) {
    trust_system(context);
  } else if (SSL_CTX_load_verify_file(context, ca_file.c_str()) != 1) {
    return invalid_argument("ClientOptions::ca_file '{}': {}", ca_file, openssl_error());
  }
  return std::unique_ptr<ClientTls>(new ClientTls(std::move(handle)));
}

ClientTlsStream::ClientTlsStream(ClientTls& context, const Url& url, WallTime now)
    : TlsPipe(SSL_new(context.handle_->context.get())) {
  if (stream() == nullptr) return;  // receive() says so
  SSL_set_connect_state(stream());
  // Without the name to check, nothing is begun.
  named_ = check_name(url, now);
  if (named_) begin();
}

bool ClientTlsStream::check_name(const Url& url, WallTime now) {
  const Quiet quiet;
  X509_VERIFY_PARAM* const check = SSL_get0_param(stream());
  X509_VERIFY_PARAM_set_time(check, std::chrono::system_clock::to_time_t(now));
  // Names are those that the certificate was made for (RFC 9525): no common name, no "w*.a.com".
  X509_VERIFY_PARAM_set_hostflags(
      check, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (url.address) {
    const std::size_t size = url.address->is_v6() ? 16 : 4;
    return X509_VERIFY_PARAM_set1_ip(check, url.address->bytes().data(), size) == 1;
  }
  return SSL_set1_host(stream(), url.host.c_str()) == 1 &&
         SSL_set_tlsext_host_name(stream(), url.host.c_str()) == 1;
}

Status ClientTlsStream::receive(std::string_view bytes, std::string& plain) {
  if (!named_) return internal("no TLS");
  if (ended_) return Status();
  const Quiet quiet;
  const Received received = TlsPipe::receive(bytes, plain);
  ended_ = received == Received::ended;
  return received == Received::fault ? fault() : Status();
}

Status ClientTlsStream::fault() {
  const long verdict = SSL_get_verify_result(stream());
  if (verdict != X509_V_OK)
    return failed_precondition("its certificate is refused: {}",
                               X509_verify_cert_error_string(verdict));
  if (!ready()) return failed_precondition("no TLS with it: {}", openssl_error());
  return unavailable("the TLS connection broke: {}", openssl_error());
}

}  // namespace wisp::inline v0::http
