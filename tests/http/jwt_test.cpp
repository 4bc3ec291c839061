// JSON Web Tokens: those that are good, and what else is sent in their place.
#include <wisp/http/jwt.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "http/tokens.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::http::Credential;
using wisp::http::JwtAlgorithm;
using wisp::http::JwtKey;
using wisp::http::JwtSigner;
using wisp::http::JwtVerifier;
using wisp::http::JwtVerifierOptions;
using wisp::http::SignatureKey;
using wisp::test::KeyPair;
using wisp::test::signing;
using wisp::test::token;

constexpr std::int64_t kNow = 1'800'000'000;
constexpr std::string_view kClaims = R"({"sub":"alice","exp":1800000100})";
const std::string kTokenSecret = "a secret that has more bytes than 32";

JwtVerifier verifier(JwtVerifierOptions options) {
  auto made = JwtVerifier::make(options);
  INFO(wisp::to_string(made.status()));
  REQUIRE(made.ok());
  return *std::move(made);
}

std::string refusal(const JwtVerifier& by, std::string_view text) {
  const auto who = by.verify(text);
  if (who.ok()) return "taken, for " + who->id;
  CHECK(who.status().code() == wisp::StatusCode::kUnauthenticated);
  return std::string(wisp::message(who.status()));
}

// One secret, and a clock that stands at kNow.
struct Verified {
  explicit Verified(JwtVerifierOptions options = {}) {
    options.keys = {{.algorithm = JwtAlgorithm::hs256, .material = kTokenSecret}};
    options.clock = &clock;
    options.leeway = 30s;
    by.emplace(verifier(options));
  }
  std::string refuses(std::string_view header, std::string_view claims) const {
    return refusal(*by, token(key, header, claims));
  }

  wisp::ManualClock clock{wisp::WallTime(std::chrono::seconds(kNow))};
  SignatureKey key = signing({.algorithm = JwtAlgorithm::hs256, .material = kTokenSecret});
  std::optional<JwtVerifier> by;
};

struct Vector {
  JwtKey key;
  std::string token;
};

// RFC 7515, A.1 to A.3.
std::vector<Vector> vectors() {
  const std::string claims =
      ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnV"
      "lfQ.";
  return {
      {{.algorithm = JwtAlgorithm::hs256,
        .material =
            *wisp::http::decode_base64url("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0"
                                          "gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")},
       "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" + claims +
           "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
      {{.algorithm = JwtAlgorithm::rs256,
        .material = "-----BEGIN PUBLIC KEY-----\n"
                    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj\n"
                    "NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz\n"
                    "P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo\n"
                    "9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB\n"
                    "EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX\n"
                    "FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp\n"
                    "oQIDAQAB\n"
                    "-----END PUBLIC KEY-----\n"},
       "eyJhbGciOiJSUzI1NiJ9" + claims +
           "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"
           "O8W2"
           "Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
           "nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjt"
           "QBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"
           "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6"
           "IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
      {{.algorithm = JwtAlgorithm::es256,
        .material = "-----BEGIN PUBLIC KEY-----\n"
                    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"
                    "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
                    "-----END PUBLIC KEY-----\n"},
       "eyJhbGciOiJFUzI1NiJ9" + claims +
           "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
           "Kg6NU1Q"},
  };
}

// All that its key has to say about a token is right, but who it is for is not in it.
constexpr std::string_view kSigned = "token: has no \"sub\"";

}  // namespace

TEST_CASE("JWT: the examples of RFC 7515", "[http]") {
  wisp::ManualClock clock{wisp::WallTime(1'300'819'379s)};
  const std::vector<Vector> all = vectors();
  for (const Vector& each : all) {
    INFO(each.token);
    clock.jump_wall(wisp::WallTime(1'300'819'379s) - clock.wall());
    const JwtVerifier by = verifier({.keys = {each.key}, .leeway = 0s, .clock = &clock});
    CHECK(refusal(by, each.token) == kSigned);
    clock.jump_wall(1s);
    CHECK(refusal(by, each.token) == "token: has expired");
    // Any bit of any part, but those that are no base64url any more.
    for (std::size_t i = 0; i < each.token.size(); i += 7) {
      std::string other = each.token;
      if (other[i] == '.') continue;
      other[i] = other[i] == 'A' ? 'B' : 'A';
      const std::string why = refusal(by, other);
      CHECK(why != kSigned);
      CHECK(why != "token: has expired");
    }
    for (const Vector& of_another : all)
      if (of_another.token != each.token)
        CHECK(refusal(by, of_another.token) == "token: is of another algorithm than its key");
  }
}

TEST_CASE("JWT: what is signed is known again", "[http]") {
  const KeyPair ec = KeyPair::ec();
  const KeyPair rsa = KeyPair::rsa(2'048);
  const std::pair<JwtKey, JwtKey> cases[] = {
      {{.id = "h", .algorithm = JwtAlgorithm::hs256, .material = kTokenSecret},
       {.id = "h", .algorithm = JwtAlgorithm::hs256, .material = kTokenSecret}},
      {{.id = "e", .material = ec.private_pem()}, {.id = "e", .material = ec.public_pem()}},
      {{.id = "r", .algorithm = JwtAlgorithm::rs256, .material = rsa.private_pem()},
       {.id = "r", .algorithm = JwtAlgorithm::rs256, .material = rsa.public_pem()}},
  };
  wisp::ManualClock clock{wisp::WallTime(std::chrono::seconds(kNow))};
  const JwtVerifier by = verifier({.keys = {cases[0].second, cases[1].second, cases[2].second},
                                   .issuer = "https://id.example",
                                   .audience = "notes",
                                   .leeway = 1s,
                                   .clock = &clock});
  for (const auto& [secret, open] : cases) {
    INFO(secret.id);
    const auto signer = JwtSigner::make(
        secret,
        {.issuer = "https://id.example", .audience = "notes", .lifetime = 60s, .clock = &clock});
    REQUIRE(signer.ok());
    const auto made =
        signer->sign({.id = "João \"J\"", .tenant = "acme", .roles = {"writer", "a b"}});
    REQUIRE(made.ok());
    const auto who = by.verify(*made);
    INFO(wisp::to_string(who.status()));
    REQUIRE(who.ok());
    CHECK(who->shown == Credential::token);
    CHECK(who->issuer == "https://id.example");
    CHECK(who->id == "João \"J\"");
    CHECK(who->tenant == "acme");
    CHECK(who->roles == std::vector<std::string>{"writer", "a b"});
    clock.advance(60s);
    CHECK(by.verify(*made).ok());
    clock.advance(1s);
    CHECK(refusal(by, *made) == "token: has expired");
    CHECK(signer->sign({}).status().code() == wisp::StatusCode::kInvalidArgument);
    CHECK_FALSE(signer->sign({.id = std::string(257, 'a')}).ok());
    CHECK_FALSE(signer->sign({.id = "a", .roles = std::vector<std::string>(65, "a")}).ok());
    CHECK_FALSE(signer->sign({.id = "a", .roles = {std::string(9'000, 'a')}}).ok());
  }
}

TEST_CASE("JWT: keys that are none, or too weak", "[http]") {
  const KeyPair ec = KeyPair::ec();
  const KeyPair rsa = KeyPair::rsa(2'048);
  const auto fault = [](JwtAlgorithm algorithm, const std::string& material) {
    const JwtKey key{.id = "k", .algorithm = algorithm, .material = material};
    const auto made = JwtVerifier::make({.keys = {key}});
    CHECK(made.status().code() != wisp::StatusCode::kInternal);
    return std::string(wisp::message(made.status()));
  };
  const std::string no_public = "JWT key 'k': is no public key in PEM";
  const std::string pem_secret = "JWT key 'k': PEM is no secret of HS256";
  struct Case {
    JwtAlgorithm algorithm;
    std::string material;
    std::string fault;
  };
  const Case cases[] = {
      {JwtAlgorithm::es256, ec.public_pem(), ""},
      {JwtAlgorithm::rs256, rsa.public_pem(), ""},
      {JwtAlgorithm::hs256, std::string(32, 's'), ""},
      {JwtAlgorithm::hs256, std::string(1'024, 's'), ""},
      {JwtAlgorithm::hs256, std::string(31, 's'),
       "JWT key 'k': a secret of 31 bytes, and it may have 32 to 1024"},
      {JwtAlgorithm::hs256, "", "JWT key 'k': a secret of 0 bytes, and it may have 32 to 1024"},
      {JwtAlgorithm::hs256, rsa.public_pem(), pem_secret},
      {JwtAlgorithm::hs256, "\n" + ec.public_pem(), pem_secret},
      {JwtAlgorithm::es256, rsa.public_pem(), "JWT key 'k': is no key on P-256"},
      {JwtAlgorithm::es256, KeyPair::ec("P-384").public_pem(), "JWT key 'k': is no key on P-256"},
      {JwtAlgorithm::es256, KeyPair::ec("secp256k1").public_pem(),
       "JWT key 'k': is no key on P-256"},
      {JwtAlgorithm::es256, KeyPair::ed25519().public_pem(), "JWT key 'k': is no key on P-256"},
      {JwtAlgorithm::rs256, ec.public_pem(), "JWT key 'k': is no RSA key"},
      {JwtAlgorithm::rs256, KeyPair::rsa(1'024).public_pem(),
       "JWT key 'k': has not 2048 to 8192 bits"},
      {JwtAlgorithm::es256, ec.private_pem(), no_public},
      {JwtAlgorithm::rs256, rsa.private_pem(), no_public},
      {JwtAlgorithm::es256, "", no_public},
      {JwtAlgorithm::es256, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
       no_public},
      {JwtAlgorithm::rs256, ec.public_pem().substr(0, 80), no_public},
  };
  for (const Case& each : cases) {
    INFO(each.material);
    CHECK(fault(each.algorithm, each.material) == each.fault);
  }
  // An encrypted one asks nobody for its word.
  const auto encrypted = JwtSigner::make({.id = "k", .material = ec.encrypted_pem()}, {});
  CHECK(wisp::message(encrypted.status()) == "JWT key 'k': is no private key in PEM");
  CHECK_FALSE(JwtSigner::make({.id = "k", .material = ec.public_pem()}, {}).ok());
}

TEST_CASE("JWT: a verifier's options are checked", "[http]") {
  const JwtKey key{.id = "k", .algorithm = JwtAlgorithm::hs256, .material = kTokenSecret};
  const auto fault = [](const JwtVerifierOptions& options) {
    const auto made = JwtVerifier::make(options);
    return std::string(wisp::message(made.status()));
  };
  CHECK(fault({.keys = {key}}).empty());
  CHECK(fault({}) == "JwtVerifierOptions::keys: there are 0, and may be 1 to 32");
  CHECK(fault({.keys = std::vector<JwtKey>(33, key)}) ==
        "JwtVerifierOptions::keys: there are 33, and may be 1 to 32");
  CHECK(fault({.keys = {key, key}}) == "JwtVerifierOptions::keys: two have the id 'k'");
  CHECK(fault({.keys = {key}, .leeway = 5min}).empty());
  CHECK(fault({.keys = {key}, .leeway = 5min + 1ns}) ==
        "JwtVerifierOptions::leeway is 300000000001 ns, and may be 0 to 5 minutes");
  CHECK_FALSE(fault({.keys = {key}, .leeway = -1ns}).empty());
  CHECK_FALSE(JwtSigner::make(key, {.lifetime = 1ns}).ok());
}

TEST_CASE("JWT: a key is for one algorithm, whatever the token says", "[http]") {
  const Verified verified;
  const std::string other = "token: is of another algorithm than its key";
  const std::string no_text = "token: \"kid\" or \"alg\" is no text";
  const std::pair<std::string, std::string> cases[] = {
      {R"({"alg":"HS256"})", "taken, for alice"},
      {R"({"alg":"none"})", other},
      {R"({"alg":"None"})", other},
      {R"({"alg":"nOnE"})", other},
      {R"({"alg":"NONE"})", other},
      {R"({"alg":"hs256"})", other},
      {R"({"alg":"HS256 "})", other},
      {R"({"alg":"HS384"})", other},
      {R"({"alg":"HS512"})", other},
      {R"({"alg":"RS256"})", other},
      {R"({"alg":"ES256"})", other},
      {R"({"alg":"PS256"})", other},
      {R"({})", other},
      {R"({"alg":""})", no_text},
      {R"({"alg":null})", no_text},
      {R"({"alg":["HS256"]})", no_text},
      {R"({"alg":0})", no_text},
      {R"({"ALG":"HS256"})", other},
  };
  for (const auto& [header, expected] : cases) {
    INFO(header);
    CHECK(verified.refuses(header, kClaims) == expected);
    // Without a signature too, as "none" has it.
    const std::string bare = token(verified.key, header, kClaims);
    CHECK(refusal(*verified.by, bare.substr(0, bare.rfind('.') + 1)) ==
          (expected == "taken, for alice" ? "token: its signature does not fit" : expected));
  }
}

TEST_CASE("JWT: a public key is no secret", "[http]") {
  const KeyPair rsa = KeyPair::rsa(2'048);
  const KeyPair ec = KeyPair::ec();
  wisp::ManualClock clock{wisp::WallTime(std::chrono::seconds(kNow))};
  const JwtVerifier by = verifier(
      {.keys = {{.id = "r", .algorithm = JwtAlgorithm::rs256, .material = rsa.public_pem()},
                {.id = "e", .material = ec.public_pem()}},
       .clock = &clock});
  const auto forged = [&](std::string_view id, std::string_view secret) {
    const std::string text =
        wisp::http::base64url(R"({"alg":"HS256","kid":")" + std::string(id) + "\"}") + '.' +
        wisp::http::base64url(kClaims);
    return text + '.' +
           wisp::http::base64url(wisp::http::view(*wisp::http::hmac_sha256(secret, {text})));
  };
  const std::string other = "token: is of another algorithm than its key";
  CHECK(refusal(by, forged("r", rsa.public_pem())) == other);
  CHECK(refusal(by, forged("e", ec.public_pem())) == other);
  // Nor is one key good for another's tokens, or for one that the token brings along.
  const SignatureKey mine = signing({.material = ec.private_pem()});
  const KeyPair foreign = KeyPair::ec();
  const SignatureKey theirs = signing({.material = foreign.private_pem()});
  const std::pair<std::string, std::string> cases[] = {
      {R"({"alg":"ES256","kid":"e"})", "taken, for alice"},
      {R"({"alg":"ES256","kid":"r"})", other},
      {R"({"alg":"RS256","kid":"r"})", "token: its signature does not fit"},
      {R"({"alg":"RS256","kid":"e"})", other},
      {R"({"alg":"ES256","kid":"x"})", "token: is of a key that is not known"},
      {R"({"alg":"ES256","kid":"E"})", "token: is of a key that is not known"},
      {R"({"alg":"ES256","kid":"../e"})", "token: is of a key that is not known"},
      {R"({"alg":"ES256"})", "token: is of a key that is not known"},
      {R"({"alg":"ES256","kid":""})", "token: \"kid\" or \"alg\" is no text"},
      {R"({"alg":"ES256","kid":1})", "token: \"kid\" or \"alg\" is no text"},
  };
  for (const auto& [header, expected] : cases) {
    INFO(header);
    CHECK(refusal(by, token(mine, header, kClaims)) == expected);
    CHECK(refusal(by, token(theirs, header, kClaims)) != "taken, for alice");
  }
  CHECK(
      refusal(by, token(theirs, R"({"alg":"ES256","kid":"e","jwk":{"kty":"EC"},"jku":"https://x"})",
                        kClaims)) == "token: its signature does not fit");
}

TEST_CASE("JWT: headers that ask for more, or are none", "[http]") {
  const Verified verified;
  const auto with = [](std::string_view member) {
    return R"({"alg":"HS256",)" + std::string(member) + "}";
  };
  for (const std::string_view type :
       {"JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"})
    CHECK(verified.refuses(with("\"typ\":\"" + std::string(type) + "\""), kClaims) ==
          "taken, for alice");
  const std::string type = "token: is of another type";
  const std::string more = "token: asks for more than is understood here";
  const std::string twice = "token: has two members of one name";
  const std::string none = "token: a part of it is no object";
  const std::pair<std::string, std::string> cases[] = {
      {with(R"("typ":"JWE")"), type},
      {with(R"("typ":"application/jose")"), type},
      {with(R"("typ":"")"), type},
      {with(R"("typ":null)"), type},
      {with(R"("typ":["JWT"])"), type},
      {with(R"("crit":["exp"])"), more},
      {with(R"("crit":["b64"],"b64":false)"), more},
      {with(R"("crit":[])"), more},
      {with(R"("crit":null)"), more},
      {with(R"("alg":"HS256")"), twice},
      {with(R"("alg":"none")"), twice},
      {with(R"("\u0061lg":"HS256")"), twice},
      {with(R"("x":{"a":1,"a":2})"), twice},
      {with(R"("x":[{"a":{"b":1,"b":1}}])"), twice},
      {"[]", none},
      {"\"HS256\"", none},
      {"1", none},
      {"null", none},
  };
  for (const auto& [header, expected] : cases) {
    INFO(header);
    CHECK(verified.refuses(header, kClaims) == expected);
  }
  for (const std::string& header :
       {std::string(), std::string("{"), std::string("{} "), std::string(R"({"alg":"HS256"} x)"),
        std::string("\xef\xbb\xbf{}"), std::string(R"({"alg":'HS256'})"),
        with("\"x\":" + std::string(9, '[') + std::string(9, ']')), with("\"x\":\"\xff\""),
        with(R"("x":"\ud800")"), std::string("{\"alg\":\"HS256\"}\0", 16)}) {
    INFO(header);
    CHECK(verified.refuses(header, kClaims).starts_with("token: "));
  }
}
