#include "crypto.hpp"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include <wisp/base/base64.hpp>

#include "openssl.hpp"

namespace wisp::inline v0::http {
namespace {

Status failed() {
  ERR_clear_error();
  return internal("OpenSSL cannot hash");
}

std::optional<std::string> decode(std::string_view text, Base64 form) {
  Result<std::string> bytes = from_base64(text, {.form = form});
  if (!bytes.ok()) return std::nullopt;
  return *std::move(bytes);
}

}  // namespace

Secret::Secret(std::string_view bytes)
    : bytes_(std::make_unique<char[]>(bytes.size())), size_(bytes.size()) {
  if (!bytes.empty()) std::memcpy(bytes_.get(), bytes.data(), bytes.size());
}

Secret::Secret(std::string&& bytes) : Secret(std::string_view(bytes)) {
  OPENSSL_cleanse(bytes.data(), bytes.size());
  bytes.clear();
}

Secret::Secret(Secret&& other) noexcept
    : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this == &other) return *this;
  wipe();
  bytes_ = std::move(other.bytes_);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

void Secret::wipe() {
  if (bytes_ != nullptr) OPENSSL_cleanse(bytes_.get(), size_);
}

Result<Digest> sha256(std::string_view text) {
  Digest digest{};
  auto* const to = reinterpret_cast<unsigned char*>(digest.data());
  if (EVP_Digest(text.data(), text.size(), to, nullptr, EVP_sha256(), nullptr) != 1)
    return failed();
  return digest;
}

Result<Digest> hmac_sha256(std::string_view key, std::initializer_list<std::string_view> parts) {
  const Owned<EVP_MAC> mac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  if (mac == nullptr) return failed();
  const Owned<EVP_MAC_CTX> context(EVP_MAC_CTX_new(mac.get()));
  if (context == nullptr) return failed();
  char name[] = "SHA256";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                                   OSSL_PARAM_construct_end()};
  if (EVP_MAC_init(context.get(), openssl_bytes(key), key.size(), parameters) != 1) return failed();
  for (const std::string_view part : parts)
    if (EVP_MAC_update(context.get(), openssl_bytes(part), part.size()) != 1) return failed();
  Digest digest{};
  std::size_t size = 0;
  if (EVP_MAC_final(context.get(), reinterpret_cast<unsigned char*>(digest.data()), &size,
                    digest.size()) != 1 ||
      size != digest.size())
    return failed();
  return digest;
}

bool constant_time_equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Status fill_random(Random* random, std::span<char> to) {
  if (random == nullptr) {
    if (RAND_bytes(reinterpret_cast<unsigned char*>(to.data()), static_cast<int>(to.size())) == 1)
      return Status();
    ERR_clear_error();
    return internal("OpenSSL has no randomness");
  }
  while (!to.empty()) {
    const std::uint64_t bits = random->next();
    const std::size_t size = std::min(to.size(), sizeof bits);
    std::memcpy(to.data(), &bits, size);
    to = to.subspan(size);
  }
  return Status();
}

std::string base64(std::string_view bytes) { return to_base64(bytes); }

std::string base64url(std::string_view bytes) { return to_base64(bytes, Base64::url_bare); }

std::optional<std::string> decode_base64(std::string_view text) {
  return decode(text, Base64::standard);
}

std::optional<std::string> decode_base64url(std::string_view text) {
  return decode(text, Base64::url_bare);
}

}  // namespace wisp::inline v0::http
