// What the sources on OpenSSL share; for these only.
//
// Threads: any.
#pragma once

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>
#include <system_error>

namespace wisp::inline v0::http {

struct OpensslFree {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(ECDSA_SIG* signature) const { ECDSA_SIG_free(signature); }
  void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(SSL* stream) const { SSL_free(stream); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(unsigned char* bytes) const { OPENSSL_free(bytes); }
};
template <class T>
using Owned = std::unique_ptr<T, OpensslFree>;

// So that a key under a pass phrase is refused, and nobody asked for it at a terminal.
inline int no_password(char*, int, int, void*) { return -1; }

// Forgets what OpenSSL said: the next one to ask would take it for its own.
struct Quiet {
  Quiet() { ERR_clear_error(); }
  ~Quiet() { ERR_clear_error(); }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};

// What OpenSSL said last on this thread, which it forgets; or the system, if it began with that.
inline std::string openssl_error() {
  const unsigned long first = ERR_peek_error();
  if (ERR_SYSTEM_ERROR(first)) {
    ERR_clear_error();
    return std::generic_category().message(ERR_GET_REASON(first));
  }
  const char* const text = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return text == nullptr ? "unknown" : text;
}

inline const unsigned char* openssl_bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace wisp::inline v0::http
