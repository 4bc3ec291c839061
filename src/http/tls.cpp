#include "tls.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <array>
#include <utility>

namespace wisp::inline v0::http {
namespace {

struct Free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* stream) const { SSL_free(stream); }
};

constexpr std::size_t kRecord = 16'384;

// What OpenSSL said last, and nothing of it is kept for the next that asks.
std::string why() {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_peek_last_error(), text.data(), text.size());
  ERR_clear_error();
  return text.data();
}

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
  std::unique_ptr<SSL_CTX, Free> context;
};
struct TlsStream::Handle {
  std::unique_ptr<SSL, Free> stream;
  BIO* in = nullptr;   // the stream's own
  BIO* out = nullptr;  // the stream's own
};

TlsContext::TlsContext(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
TlsContext::~TlsContext() = default;

Result<std::unique_ptr<TlsContext>> TlsContext::make(const Tls& options) {
  ERR_clear_error();
  auto handle = std::make_unique<Handle>();
  handle->context.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* const context = handle->context.get();
  if (context == nullptr) return internal("no TLS: {}", why());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Of TLS 1.2 what has forward secrecy and authenticated encryption; 1.3 has no other.
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL");
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(context, &select_protocol, nullptr);
  if (SSL_CTX_use_certificate_chain_file(context, options.certificate_file.c_str()) != 1)
    return invalid_argument("GatewayOptions::tls.certificate_file '{}': {}",
                            options.certificate_file, why());
  if (SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    return invalid_argument("GatewayOptions::tls.key_file '{}': {}", options.key_file, why());
  if (SSL_CTX_check_private_key(context) != 1)
    return invalid_argument("GatewayOptions::tls: the key in '{}' is not that of '{}'",
                            options.key_file, options.certificate_file);
  return std::unique_ptr<TlsContext>(new TlsContext(std::move(handle)));
}

TlsStream::TlsStream(TlsContext& context) : handle_(std::make_unique<Handle>()) {
  handle_->stream.reset(SSL_new(context.handle_->context.get()));
  if (handle_->stream == nullptr) return;  // receive() says so
  handle_->in = BIO_new(BIO_s_mem());
  handle_->out = BIO_new(BIO_s_mem());
  SSL_set_bio(handle_->stream.get(), handle_->in, handle_->out);
  SSL_set_accept_state(handle_->stream.get());
}
TlsStream::~TlsStream() = default;

bool TlsStream::receive(std::string_view bytes, std::string& plain) {
  SSL* const stream = handle_->stream.get();
  if (stream == nullptr) return false;
  ERR_clear_error();
  const auto size = static_cast<int>(bytes.size());
  if (BIO_write(handle_->in, bytes.data(), size) != size) return false;
  std::array<char, kRecord> piece;
  bool goes_on = true;
  for (;;) {
    const int got = SSL_read(stream, piece.data(), static_cast<int>(piece.size()));
    if (got > 0) {
      plain.append(piece.data(), static_cast<std::size_t>(got));
      continue;
    }
    goes_on = SSL_get_error(stream, got) == SSL_ERROR_WANT_READ;
    break;
  }
  ERR_clear_error();
  collect();  // a handshake's part, or the alert that says why not
  return goes_on;
}

void TlsStream::encrypt(std::string_view plain) {
  ERR_clear_error();
  // A memory takes all.
  if (!plain.empty())
    SSL_write(handle_->stream.get(), plain.data(), static_cast<int>(plain.size()));
  ERR_clear_error();
  collect();
}

void TlsStream::end() {
  SSL* const stream = handle_->stream.get();
  if (stream == nullptr || SSL_in_init(stream) != 0) return;
  ERR_clear_error();
  SSL_shutdown(stream);
  ERR_clear_error();
  collect();
}

void TlsStream::collect() {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(handle_->out, &data);
  if (size > 0) out_.append(data, static_cast<std::size_t>(size));
  BIO_reset(handle_->out);
}

void TlsStream::sent(std::size_t bytes) {
  sent_ += bytes;
  if (sent_ < out_.size()) return;
  sent_ = 0;
  if (out_.capacity() > 4'096) std::string().swap(out_);
  else out_.clear();
}

}  // namespace wisp::inline v0::http
