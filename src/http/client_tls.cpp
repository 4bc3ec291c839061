#include "client_tls.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <utility>

namespace wisp::inline v0::http {
namespace {

struct Free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* stream) const { SSL_free(stream); }
};

constexpr std::size_t kRecord = 16'384;
constexpr int kChainMax = 10;  // certificates between the server's and one that is trusted

// What OpenSSL said last, and nothing of it is kept for the next that asks.
std::string why() {
  const char* const text = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return text == nullptr ? "unknown" : text;
}

// Not SSL_CTX_set_default_verify_paths(), which asks the environment. A system may have one of
// these and not the other; with neither, no certificate is good.
void trust_system(SSL_CTX* context) {
  SSL_CTX_load_verify_file(context, X509_get_default_cert_file());
  SSL_CTX_load_verify_dir(context, X509_get_default_cert_dir());
  ERR_clear_error();
}

}  // namespace

struct ClientTls::Handle {
  std::unique_ptr<SSL_CTX, Free> context;
};
struct ClientTlsStream::Handle {
  std::unique_ptr<SSL, Free> stream;
  BIO* in = nullptr;   // the stream's own
  BIO* out = nullptr;  // the stream's own
};

ClientTls::ClientTls(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
ClientTls::~ClientTls() = default;

Result<std::unique_ptr<ClientTls>> ClientTls::make(const std::string& ca_file) {
  ERR_clear_error();
  auto handle = std::make_unique<Handle>();
  handle->context.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* const context = handle->context.get();
  if (context == nullptr) return internal("no TLS: {}", why());
  static constexpr unsigned char kProtocols[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  const bool set = SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
                   // Of TLS 1.2 what has forward secrecy and authenticated encryption.
                   SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL") == 1 &&
                   SSL_CTX_set_alpn_protos(context, kProtocols, sizeof kProtocols) == 0;
  if (!set) return internal("no TLS: {}", why());
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_verify_depth(context, kChainMax);
  if (ca_file.empty()) {
    trust_system(context);
  } else if (SSL_CTX_load_verify_file(context, ca_file.c_str()) != 1) {
    return invalid_argument("ClientOptions::ca_file '{}': {}", ca_file, why());
  }
  return std::unique_ptr<ClientTls>(new ClientTls(std::move(handle)));
}

ClientTlsStream::ClientTlsStream(ClientTls& context, const Url& url, WallTime now)
    : handle_(std::make_unique<Handle>()) {
  ERR_clear_error();
  handle_->stream.reset(SSL_new(context.handle_->context.get()));
  if (handle_->stream == nullptr) return;  // receive() says so
  handle_->in = BIO_new(BIO_s_mem());
  handle_->out = BIO_new(BIO_s_mem());
  SSL_set_bio(handle_->stream.get(), handle_->in, handle_->out);
  SSL_set_connect_state(handle_->stream.get());
  // Without the name to check, nothing is begun.
  if (!check_name(url, now)) {
    handle_->stream.reset();
    return;
  }
  SSL_do_handshake(handle_->stream.get());
  ERR_clear_error();
  collect();
}
ClientTlsStream::~ClientTlsStream() = default;

bool ClientTlsStream::check_name(const Url& url, WallTime now) {
  SSL* const stream = handle_->stream.get();
  X509_VERIFY_PARAM* const check = SSL_get0_param(stream);
  X509_VERIFY_PARAM_set_time(check, std::chrono::system_clock::to_time_t(now));
  // Names are those that the certificate was made for (RFC 9525): no common name, no "w*.a.com".
  X509_VERIFY_PARAM_set_hostflags(
      check, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (url.address) {
    const std::size_t size = url.address->is_v6() ? 16 : 4;
    return X509_VERIFY_PARAM_set1_ip(check, url.address->bytes().data(), size) == 1;
  }
  return SSL_set1_host(stream, url.host.c_str()) == 1 &&
         SSL_set_tlsext_host_name(stream, url.host.c_str()) == 1;
}

bool ClientTlsStream::ready() const {
  return handle_->stream != nullptr && SSL_is_init_finished(handle_->stream.get()) == 1;
}

Status ClientTlsStream::receive(std::string_view bytes, std::string& plain) {
  SSL* const stream = handle_->stream.get();
  if (stream == nullptr) return internal("no TLS");
  ERR_clear_error();
  const auto size = static_cast<int>(bytes.size());
  if (size > 0 && BIO_write(handle_->in, bytes.data(), size) != size) return internal("no TLS");
  std::array<char, kRecord> piece;
  Status status;
  while (!ended_) {
    const int got = SSL_read(stream, piece.data(), static_cast<int>(piece.size()));
    if (got > 0) {
      plain.append(piece.data(), static_cast<std::size_t>(got));
      continue;
    }
    const int error = SSL_get_error(stream, got);
    if (error == SSL_ERROR_ZERO_RETURN) ended_ = true;
    else if (error != SSL_ERROR_WANT_READ) status = fault();
    break;
  }
  ERR_clear_error();
  collect();  // a handshake's part, or the alert that says why not
  return status;
}

Status ClientTlsStream::fault() {
  SSL* const stream = handle_->stream.get();
  const long verdict = SSL_get_verify_result(stream);
  if (verdict != X509_V_OK)
    return failed_precondition("its certificate is refused: {}",
                               X509_verify_cert_error_string(verdict));
  if (SSL_is_init_finished(stream) == 0) return failed_precondition("no TLS with it: {}", why());
  return unavailable("the TLS connection broke: {}", why());
}

void ClientTlsStream::encrypt(std::string_view plain) {
  ERR_clear_error();
  // A memory takes all.
  if (!plain.empty())
    SSL_write(handle_->stream.get(), plain.data(), static_cast<int>(plain.size()));
  ERR_clear_error();
  collect();
}

void ClientTlsStream::end() {
  if (!ready()) return;
  ERR_clear_error();
  SSL_shutdown(handle_->stream.get());
  ERR_clear_error();
  collect();
}

void ClientTlsStream::collect() {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(handle_->out, &data);
  if (size > 0) out_.append(data, static_cast<std::size_t>(size));
  BIO_reset(handle_->out);
}

void ClientTlsStream::sent(std::size_t bytes) {
  sent_ += bytes;
  if (sent_ < out_.size()) return;
  sent_ = 0;
  if (out_.capacity() > 4'096) std::string().swap(out_);
  else out_.clear();
}

}  // namespace wisp::inline v0::http
