#include "jwt_key.hpp"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include <array>
#include <utility>

#include "openssl.hpp"

namespace wisp::inline v0::http {
namespace {

constexpr std::size_t kHmacKeyMin = 32;
constexpr std::size_t kHmacKeyMax = 1'024;
constexpr int kRsaBitsMin = 2'048;
constexpr int kRsaBitsMax = 8'192;
constexpr int kScalar = 32;  // bytes of each half of a signature on P-256
constexpr std::string_view kPem = "-----BEGIN ";
constexpr std::string_view kPublicPem = "-----BEGIN PUBLIC KEY-----";

Owned<EVP_PKEY> read_pem(std::string_view text, JwtUse use) {
  if (use == JwtUse::verify && text.find(kPublicPem) == text.npos) return nullptr;
  const Owned<BIO> from(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (from == nullptr) return nullptr;
  return Owned<EVP_PKEY>(use == JwtUse::sign
                             ? PEM_read_bio_PrivateKey(from.get(), nullptr, no_password, nullptr)
                             : PEM_read_bio_PUBKEY(from.get(), nullptr, no_password, nullptr));
}

bool is_p256(const EVP_PKEY* key) {
  std::array<char, 64> name{};
  std::size_t size = 0;
  return EVP_PKEY_is_a(key, "EC") == 1 &&
         EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, name.data(), name.size(),
                                        &size) == 1 &&
         std::string_view(name.data(), size) == "prime256v1";
}

// Empty, or what is wrong with the key.
std::string_view fault_of(EVP_PKEY* key, JwtAlgorithm algorithm) {
  if (algorithm == JwtAlgorithm::es256) {
    if (!is_p256(key)) return "is no key on P-256";
  } else {
    if (EVP_PKEY_is_a(key, "RSA") != 1) return "is no RSA key";
    const int bits = EVP_PKEY_get_bits(key);
    if (bits < kRsaBitsMin || bits > kRsaBitsMax) return "has not 2048 to 8192 bits";
  }
  const Owned<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  if (context == nullptr || EVP_PKEY_public_check(context.get()) != 1) return "is no sound key";
  return {};
}

// RFC 7518, 3.4: both numbers in 32 bytes each; OpenSSL has them in DER. Empty: they are none.
std::string der_of(std::string_view signature) {
  if (signature.size() != 2 * kScalar) return {};
  const Owned<ECDSA_SIG> pair(ECDSA_SIG_new());
  if (pair == nullptr) return {};
  BIGNUM* const r = BN_bin2bn(openssl_bytes(signature), kScalar, nullptr);
  BIGNUM* const s = BN_bin2bn(openssl_bytes(signature) + kScalar, kScalar, nullptr);
  if (r == nullptr || s == nullptr || ECDSA_SIG_set0(pair.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return {};
  }
  unsigned char* made = nullptr;
  const int size = i2d_ECDSA_SIG(pair.get(), &made);
  const Owned<unsigned char> der(made);
  if (size <= 0) return {};
  return {reinterpret_cast<const char*>(made), static_cast<std::size_t>(size)};
}

// The other way round.
std::string raw_of(std::string_view der) {
  const unsigned char* at = openssl_bytes(der);
  const Owned<ECDSA_SIG> pair(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (pair == nullptr) return {};
  std::string raw(2 * kScalar, '\0');
  auto* const to = reinterpret_cast<unsigned char*>(raw.data());
  if (BN_bn2binpad(ECDSA_SIG_get0_r(pair.get()), to, kScalar) != kScalar ||
      BN_bn2binpad(ECDSA_SIG_get0_s(pair.get()), to + kScalar, kScalar) != kScalar)
    return {};
  return raw;
}

}  // namespace

struct SignatureKey::Pair {
  Owned<EVP_PKEY> key;
};

SignatureKey::SignatureKey() = default;
SignatureKey::~SignatureKey() = default;
SignatureKey::SignatureKey(SignatureKey&&) noexcept = default;
SignatureKey& SignatureKey::operator=(SignatureKey&&) noexcept = default;

std::string_view SignatureKey::algorithm() const {
  switch (algorithm_) {
    case JwtAlgorithm::es256:
      return "ES256";
    case JwtAlgorithm::rs256:
      return "RS256";
    case JwtAlgorithm::hs256:
      break;
  }
  return "HS256";
}

Result<SignatureKey> SignatureKey::make(const JwtKey& key, JwtUse use) {
  const Quiet quiet;
  SignatureKey made;
  made.id_ = key.id;
  made.algorithm_ = key.algorithm;
  const std::string_view material = key.material;
  if (key.algorithm == JwtAlgorithm::hs256) {
    // A public key as a secret would let everybody sign.
    if (material.find(kPem) != material.npos)
      return invalid_argument("JWT key '{}': PEM is no secret of HS256", key.id);
    if (material.size() < kHmacKeyMin || material.size() > kHmacKeyMax)
      return invalid_argument("JWT key '{}': a secret of {} bytes, and it may have {} to {}",
                              key.id, material.size(), kHmacKeyMin, kHmacKeyMax);
    made.secret_ = Secret(material);
    return made;
  }
  Owned<EVP_PKEY> pair = read_pem(material.substr(0, 65'536), use);
  if (pair == nullptr)
    return invalid_argument("JWT key '{}': is no {} key in PEM", key.id,
                            use == JwtUse::sign ? "private" : "public");
  if (const std::string_view fault = fault_of(pair.get(), key.algorithm); !fault.empty())
    return invalid_argument("JWT key '{}': {}", key.id, fault);
  made.pair_ = std::make_unique<const Pair>(Pair{.key = std::move(pair)});
  return made;
}

bool SignatureKey::fits(std::string_view text, std::string_view signature) const {
  if (algorithm_ == JwtAlgorithm::hs256) {
    const Result<Digest> wanted = hmac_sha256(secret_.view(), {text});
    return wanted.ok() && constant_time_equal(signature, view(*wanted));
  }
  const Quiet quiet;
  std::string der;
  if (algorithm_ == JwtAlgorithm::es256) {
    der = der_of(signature);
    if (der.empty()) return false;
    signature = der;
  }
  const Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
  return context != nullptr &&
         EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, pair_->key.get()) ==
             1 &&
         EVP_DigestVerify(context.get(), openssl_bytes(signature), signature.size(),
                          openssl_bytes(text), text.size()) == 1;
}

Result<std::string> SignatureKey::sign(std::string_view text) const {
  if (algorithm_ == JwtAlgorithm::hs256) {
    WISP_TRY(const Digest digest, hmac_sha256(secret_.view(), {text}));
    return std::string(view(digest));
  }
  const Quiet quiet;
  std::string signature(kRsaBitsMax / 8, '\0');  // one in DER on P-256 is shorter
  std::size_t size = signature.size();
  const Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
  if (context == nullptr ||
      EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, pair_->key.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     openssl_bytes(text), text.size()) != 1)
    return internal("JWT key '{}': OpenSSL cannot sign", id_);
  signature.resize(size);
  if (algorithm_ == JwtAlgorithm::rs256) return signature;
  signature = raw_of(signature);
  if (signature.empty()) return internal("JWT key '{}': OpenSSL cannot sign", id_);
  return signature;
}

}  // namespace wisp::inline v0::http
