#include "accounts.hpp"

#include <argon2.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <fmt/format.h>

namespace backend {
namespace {

constexpr wisp::Duration kLifetime = std::chrono::minutes(15);
constexpr std::string_view kIssuer = "web_backend";

// OWASP's least for argon2id: 19 MiB, two passes, one lane.
constexpr std::uint32_t kPasses = 2;
constexpr std::uint32_t kKibibytes = 19 * 1'024;
constexpr std::uint32_t kLanes = 1;

template <std::size_t Size>
wisp::Result<std::array<unsigned char, Size>> random_bytes() {
  std::array<unsigned char, Size> bytes{};
  if (getentropy(bytes.data(), bytes.size()) != 0) return wisp::internal("no randomness");
  return bytes;
}

wisp::Result<std::string> hash_of(std::string_view password) {
  WISP_TRY(const auto salt, random_bytes<16>());
  std::array<char, 128> encoded{};
  const int error =
      argon2id_hash_encoded(kPasses, kKibibytes, kLanes, password.data(), password.size(),
                            salt.data(), salt.size(), 32, encoded.data(), encoded.size());
  if (error != ARGON2_OK) return wisp::internal("argon2: {}", argon2_error_message(error));
  return std::string(encoded.data());
}

// What a mail server makes of it is not for us to say; that it is one word with an @ is.
bool is_email(std::string_view text) {
  const std::size_t at = text.find('@');
  return text.size() <= 254 && at != text.npos && at > 0 && at + 1 < text.size() &&
         text.find('@', at + 1) == text.npos &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

Accounts::Accounts(wisp::http::JwtSigner signer, wisp::http::JwtVerifier verifier,
                   std::string nobody)
    : signer_(std::move(signer)), verifier_(std::move(verifier)), nobody_(std::move(nobody)) {}

wisp::Result<std::unique_ptr<Accounts>> Accounts::make() {
  WISP_TRY(const auto secret, random_bytes<32>());
  const wisp::http::JwtKey key{.algorithm = wisp::http::JwtAlgorithm::hs256,
                               .material = std::string(secret.begin(), secret.end())};
  const std::string name(kIssuer);
  WISP_TRY(auto signer, wisp::http::JwtSigner::make(
                            key, {.issuer = name, .audience = name, .lifetime = kLifetime}));
  WISP_TRY(auto verifier,
           wisp::http::JwtVerifier::make({.keys = {key}, .issuer = name, .audience = name}));
  WISP_TRY(std::string nobody, hash_of(key.material));
  return std::unique_ptr<Accounts>(
      new Accounts(std::move(signer), std::move(verifier), std::move(nobody)));
}

wisp::Result<Account> Accounts::sign_up(const SignUp& wanted) {
  if (!is_email(wanted.email)) return wisp::invalid_argument("'{}' is no address", wanted.email);
  if (wanted.password.size() < kPasswordMin || wanted.password.size() > kPasswordMax)
    return wisp::invalid_argument("a password has {} to {} bytes", kPasswordMin, kPasswordMax);
  if (wanted.plan != "free" && wanted.plan != "pro")
    return wisp::invalid_argument("the plans are free and pro, not '{}'", wanted.plan);
  WISP_TRY(std::string hash, hash_of(wanted.password));
  WISP_TRY(const auto id, random_bytes<8>());
  Kept made{.account = {.id = "", .email = wanted.email, .plan = wanted.plan},
            .hash = std::move(hash)};
  for (const unsigned char each : id) made.account.id += fmt::format("{:02x}", each);
  const wisp::MutexLock lock(mutex_);
  if (by_email_.size() >= kAccountsMax)
    return wisp::resource_exhausted("there are {} accounts, as many as may be", kAccountsMax);
  const auto [found, is_new] = by_email_.try_emplace(wanted.email, std::move(made));
  if (!is_new) return wisp::already_exists("there is an account of '{}'", wanted.email);
  return found->second.account;
}

wisp::Result<Session> Accounts::sign_in(const SignIn& given) {
  if (given.password.size() > kPasswordMax)
    return wisp::invalid_argument("a password has {} to {} bytes", kPasswordMin, kPasswordMax);
  Kept kept{.account = {}, .hash = nobody_};
  {
    const wisp::MutexLock lock(mutex_);
    const auto found = by_email_.find(given.email);
    if (found != by_email_.end()) kept = found->second;
  }
  const bool right =
      argon2id_verify(kept.hash.c_str(), given.password.data(), given.password.size()) == ARGON2_OK;
  if (!right || kept.account.id.empty())
    return wisp::unauthenticated("there is no account of this address and password");
  WISP_TRY(std::string token,
           signer_.sign({.id = kept.account.id, .tenant = kept.account.plan, .roles = {"user"}}));
  return Session{.token = std::move(token),
                 .expires_in = static_cast<int>(
                     std::chrono::duration_cast<std::chrono::seconds>(kLifetime).count())};
}

}  // namespace backend
