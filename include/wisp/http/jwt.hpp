// JSON Web Tokens (RFC 7519): signs them for users that have signed in, and finds out who calls by
// one.
//
//   const wisp::http::JwtKey key{.id = "2026", .material = read_file("token-key.pem")};
//   WISP_TRY(auto signer, wisp::http::JwtSigner::make(key, {.issuer = "https://id.example.com",
//                                                           .audience = "notes"}));
//   WISP_TRY(std::string token, signer.sign({.id = "alice", .roles = {"writer"}}));
//
//   WISP_TRY(const auto tokens, wisp::http::JwtVerifier::make(
//                                   {.keys = {{.id = "2026", .material = public_pem}},
//                                    .issuer = "https://id.example.com", .audience = "notes"}));
//   wisp::http::Gateway gateway{runtime, {.tokens = &tokens}};
//
// A key is good for one algorithm, whatever a token says of itself; what a token brings along,
// "jwk", "jku" and the like, is not looked at. Nothing of a token's claims is read before its
// signature was found good.
//
// Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>
#include <wisp/http/principal.hpp>

namespace wisp::inline v0::http {

enum class JwtAlgorithm : std::uint8_t {
  es256,  // ECDSA on P-256
  rs256,  // RSA of 2,048 to 8,192 bits, PKCS #1 v1.5
  hs256,  // HMAC: whoever verifies could sign as well
};

// All with SHA-256.
struct JwtKey {
  std::string id{};  // a token's "kid"; empty: for tokens without one
  JwtAlgorithm algorithm = JwtAlgorithm::es256;
  // PEM, unencrypted: of a public key to verify, of a private one to sign. Of HS256 the secret
  // itself, 32 to 1,024 bytes.
  std::string material{};
};

inline constexpr std::size_t kJwtBytesMax = 8'192;  // of a token
inline constexpr std::size_t kJwtKeysMax = 32;

struct JwtVerifierOptions {
  std::vector<JwtKey> keys{};  // 1 to kJwtKeysMax, with different ids
  std::string issuer{};        // what "iss" has to be; empty: anything
  std::string audience{};      // what "aud" has to be or to hold; empty: there has to be none
  Duration leeway = std::chrono::seconds(30);  // of clocks; at most 5 minutes
  bool expires =
      true;        // a token without "exp" is refused; one that has it always is, once it is over
  Clock* clock{};  // null: the machine's; outlives the verifier
};

class JwtVerifier {
 public:
  // kInvalidArgument names the option, and nothing of the key.
  static Result<JwtVerifier> make(const JwtVerifierOptions& options);
  ~JwtVerifier();
  JwtVerifier(JwtVerifier&&) noexcept;
  JwtVerifier& operator=(JwtVerifier&&) noexcept;

  // Whose it is: of "iss", "sub", "tenant", and of the texts in "roles" and the words of "scope".
  // kUnauthenticated says what is wrong, for a log; a client is better told less.
  Result<Principal> verify(std::string_view token) const;

  // Whether all tokens are of one issuer.
  bool has_issuer() const;

 private:
  struct Inside;
  explicit JwtVerifier(std::unique_ptr<const Inside> inside);

  std::unique_ptr<const Inside> inside_;
};

struct JwtSignerOptions {
  std::string issuer{};                          // empty: none
  std::string audience{};                        // empty: none
  Duration lifetime = std::chrono::minutes(15);  // at least a second
  Clock* clock{};                                // null: the machine's; outlives the signer
};

class JwtSigner {
 public:
  // kInvalidArgument names the option, and nothing of the key.
  static Result<JwtSigner> make(const JwtKey& key, const JwtSignerOptions& options);
  ~JwtSigner();
  JwtSigner(JwtSigner&&) noexcept;
  JwtSigner& operator=(JwtSigner&&) noexcept;

  // A token for `subject`, of its id, tenant and roles, from now on. kInvalidArgument: it has no
  // id, or makes a token of more than kJwtBytesMax bytes.
  Result<std::string> sign(const Principal& subject) const;

 private:
  struct Inside;
  explicit JwtSigner(std::unique_ptr<const Inside> inside);

  std::unique_ptr<const Inside> inside_;
};

}  // namespace wisp::inline v0::http
