// A key that signs, or looks at signatures, by the one algorithm that it is for (RFC 7518, 3).
//
// Threads: any.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <wisp/base/status.hpp>
#include <wisp/http/jwt.hpp>

#include "crypto.hpp"

namespace wisp::inline v0::http {

enum class JwtUse : std::uint8_t { verify, sign };

class SignatureKey {
 public:
  // kInvalidArgument: the material is no key for its algorithm and use.
  static Result<SignatureKey> make(const JwtKey& key, JwtUse use);
  ~SignatureKey();
  SignatureKey(SignatureKey&&) noexcept;
  SignatureKey& operator=(SignatureKey&&) noexcept;

  std::string_view id() const { return id_; }
  // As a token's header names it.
  std::string_view algorithm() const;

  // Whether `signature`, as bytes, is one of `text`.
  bool fits(std::string_view text, std::string_view signature) const;
  // kInternal: OpenSSL could not. Requires: made to sign.
  Result<std::string> sign(std::string_view text) const;

 private:
  struct Pair;
  SignatureKey();

  std::string id_;
  JwtAlgorithm algorithm_ = JwtAlgorithm::hs256;
  Secret secret_;                     // of HS256
  std::unique_ptr<const Pair> pair_;  // of the others
};

}  // namespace wisp::inline v0::http
