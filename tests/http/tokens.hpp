// Key pairs made anew, and tokens that say anything.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <string>
#include <string_view>

#include "catch.hpp"
#include "http/crypto.hpp"
#include "http/jwt_key.hpp"

namespace wisp::test {

class KeyPair {
 public:
  static KeyPair ec(const char* curve = "P-256") { return KeyPair(EVP_EC_gen(curve)); }
  static KeyPair rsa(unsigned bits) { return KeyPair(EVP_RSA_gen(bits)); }
  static KeyPair ed25519() { return KeyPair(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")); }
  KeyPair(const KeyPair&) = delete;
  ~KeyPair() { EVP_PKEY_free(key_); }

  std::string public_pem() const {
    return text([this](BIO* to) { return PEM_write_bio_PUBKEY(to, key_); });
  }
  std::string private_pem() const {
    return text([this](BIO* to) {
      return PEM_write_bio_PrivateKey(to, key_, nullptr, nullptr, 0, nullptr, nullptr);
    });
  }
  std::string encrypted_pem() const {
    return text([this](BIO* to) {
      return PEM_write_bio_PrivateKey(to, key_, EVP_aes_256_cbc(),
                                      reinterpret_cast<const unsigned char*>("word"), 4, nullptr,
                                      nullptr);
    });
  }

 private:
  explicit KeyPair(EVP_PKEY* key) : key_(key) { REQUIRE(key != nullptr); }
  template <class Write>
  static std::string text(Write write) {
    BIO* const to = BIO_new(BIO_s_mem());
    REQUIRE(write(to) == 1);
    char* data = nullptr;
    const auto size = BIO_get_mem_data(to, &data);
    std::string made(data, static_cast<std::size_t>(size));
    BIO_free(to);
    return made;
  }

  EVP_PKEY* key_;
};

inline wisp::http::SignatureKey signing(const wisp::http::JwtKey& key) {
  auto made = wisp::http::SignatureKey::make(key, wisp::http::JwtUse::sign);
  REQUIRE(made.ok());
  return *std::move(made);
}

// Header and claims are any texts.
inline std::string token(const wisp::http::SignatureKey& key, std::string_view header,
                         std::string_view claims) {
  const std::string text = wisp::http::base64url(header) + '.' + wisp::http::base64url(claims);
  return text + '.' + wisp::http::base64url(*key.sign(text));
}

}  // namespace wisp::test
