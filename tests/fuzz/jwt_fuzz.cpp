// Bytes as a token, and as what a token says that is signed well: it is refused, or means somebody,
// and then it is written in the one way that there is.
//
// The first byte chooses: a whole token; claims, or a header and claims apart by a NUL, to be
// signed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>
#include <wisp/http/jwt.hpp>

#include "http/crypto.hpp"
#include "http/jwt_key.hpp"

namespace {

using namespace wisp::http;

void require(bool holds) {
  if (!holds) std::abort();
}

const JwtKey kSecret{.algorithm = JwtAlgorithm::hs256,
                     .material = "a secret that has more bytes than 32"};
const JwtKey kPublic{.id = "e",
                     .material =
                         "-----BEGIN PUBLIC KEY-----\n"
                         "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"
                         "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
                         "-----END PUBLIC KEY-----\n"};

void look(const JwtVerifier& verifier, std::string_view token) {
  const auto who = verifier.verify(token);
  if (!who.ok()) {
    require(who.status().code() == wisp::StatusCode::kUnauthenticated);
    return;
  }
  require(token.size() <= kJwtBytesMax);
  require(who->shown == Credential::token);
  require(!who->id.empty() && who->id.size() <= kPrincipalIdMax);
  require(who->roles.size() <= kRolesMax && !who->has_role(""));
  std::string written;
  for (std::string_view rest = token; !rest.empty();) {
    const std::string_view part = rest.substr(0, rest.find('.'));
    rest.remove_prefix(part.size() < rest.size() ? part.size() + 1 : part.size());
    const auto bytes = decode_base64url(part);
    require(bytes.has_value());
    written += (written.empty() ? "" : ".") + base64url(*bytes);
  }
  require(written == token);
}

std::string signed_token(const SignatureKey& key, std::string_view header,
                         std::string_view claims) {
  const std::string text = base64url(header) + '.' + base64url(claims);
  const auto signature = key.sign(text);
  require(signature.ok());
  return text + '.' + base64url(*signature);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static wisp::ManualClock clock{wisp::WallTime(std::chrono::seconds(1'800'000'000))};
  static const auto verifier = JwtVerifier::make({.keys = {kSecret, kPublic}, .clock = &clock});
  static const auto key = SignatureKey::make(kSecret, JwtUse::sign);
  require(verifier.ok() && key.ok());
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 3 == 0) {
    look(*verifier, bytes);
  } else if (data[0] % 3 == 1) {
    look(*verifier, signed_token(*key, R"({"alg":"HS256"})", bytes));
  } else {
    const std::string_view header = bytes.substr(0, bytes.find('\0'));
    const std::string_view claims =
        header.size() < bytes.size() ? bytes.substr(header.size() + 1) : std::string_view();
    look(*verifier, signed_token(*key, header, claims));
  }
  return 0;
}
