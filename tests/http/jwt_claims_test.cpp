// What a token that is signed well may say, and in what form it comes.
#include <wisp/http/jwt.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "http/tokens.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::http::JwtAlgorithm;
using wisp::http::JwtVerifier;
using wisp::http::JwtVerifierOptions;
using wisp::http::Principal;
using wisp::http::SignatureKey;

constexpr std::string_view kHeader = R"({"alg":"HS256"})";
const std::string kClaimsSecret = "a secret that has more bytes than 32";

// At 1,800,000,000 s, with a leeway of 30 s.
struct VerifiedClaims {
  explicit VerifiedClaims(JwtVerifierOptions options = {}) {
    options.keys = {{.algorithm = JwtAlgorithm::hs256, .material = kClaimsSecret}};
    options.clock = &clock;
    options.leeway = 30s;
    auto made = JwtVerifier::make(options);
    REQUIRE(made.ok());
    by.emplace(*std::move(made));
  }
  std::string signed_token(std::string_view claims) const {
    return wisp::test::token(key, kHeader, claims);
  }
  wisp::Result<Principal> who(std::string_view claims) const {
    return by->verify(signed_token(claims));
  }
  std::string verdict_on(std::string_view text) const {
    const auto result = by->verify(text);
    return result.ok() ? "taken" : std::string(wisp::message(result.status()));
  }
  // On `members` and a subject; in time, unless they say otherwise.
  std::string verdict(std::string_view members, bool expires = true) const {
    std::string claims = R"({"sub":"alice")";
    if (expires) claims += R"(,"exp":1800000100)";
    if (!members.empty()) claims.append(",").append(members);
    return verdict_on(signed_token(claims + "}"));
  }

  wisp::ManualClock clock{wisp::WallTime(1'800'000'000s)};
  SignatureKey key =
      wisp::test::signing({.algorithm = JwtAlgorithm::hs256, .material = kClaimsSecret});
  std::optional<JwtVerifier> by;
};

using Cases = std::vector<std::pair<std::string, std::string>>;

}  // namespace

TEST_CASE("JWT: times, and how they may be written", "[http]") {
  const VerifiedClaims verified;
  const std::string over = "token: has expired";
  const std::string no_exp = "token: \"exp\" is no time";
  for (const auto& [members, expected] : Cases{
           {R"("exp":1799999971)", "taken"},  // 29 s ago
           {R"("exp":1799999970.5)", "taken"},
           {R"("exp":1799999970)", over},
           {R"("exp":1799999969.9)", over},
           {R"("exp":1.8000001e9)", "taken"},
           {R"("exp":0)", over},
           {R"("exp":253402300799)", "taken"},
           {R"("exp":253402300800)", no_exp},
           {R"("exp":9223372036854775807)", no_exp},
           {R"("exp":18446744073709551615)", no_exp},
           {R"("exp":1e300)", no_exp},
           {R"("exp":-1)", no_exp},
           {R"("exp":-1800000100)", no_exp},
           {R"("exp":"1800000100")", no_exp},
           {R"("exp":"never")", no_exp},
           {R"("exp":null)", no_exp},
           {R"("exp":true)", no_exp},
           {R"("exp":[1800000100])", no_exp},
           {R"("exp":{})", no_exp},
           {"", "token: has no \"exp\""},
           {R"("Exp":1800000100)", "token: has no \"exp\""},
       }) {
    INFO(members);
    CHECK(verified.verdict(members, false) == expected);
  }
  for (const std::string_view number : {"1e400", "NaN", "Infinity", "01800000100", "+1800000100",
                                        "0x6b49d200", "1800000100.", ".5"}) {
    INFO(number);
    CHECK(verified.verdict("\"exp\":" + std::string(number), false).starts_with("token: "));
  }
  for (const auto& [members, expected] : Cases{
           {R"("nbf":1800000030)", "taken"},
           {R"("nbf":1800000031)", "token: is not valid yet"},
           {R"("nbf":0)", "taken"},
           {R"("nbf":"0")", "token: \"nbf\" is no time"},
           {R"("nbf":-5)", "token: \"nbf\" is no time"},
           {R"("nbf":null)", "token: \"nbf\" is no time"},
           {R"("iat":1800000030)", "taken"},
           {R"("iat":1800000031)", "token: was made in the future"},
           {R"("iat":"1")", "token: \"iat\" is no time"},
           {R"("exp":1800000200)", "token: has two members of one name"},
           {R"("\u0065xp":1800000200)", "token: has two members of one name"},
       }) {
    INFO(members);
    CHECK(verified.verdict(members) == expected);
  }
  // One that need not end ends all the same, if it says so.
  const VerifiedClaims endless(JwtVerifierOptions{.expires = false});
  CHECK(endless.verdict("", false) == "taken");
  CHECK(endless.verdict(R"("exp":1)", false) == over);
  CHECK(endless.verdict(R"("exp":"1")", false) == no_exp);
}

TEST_CASE("JWT: for whom, and by whom", "[http]") {
  const VerifiedClaims verified(
      JwtVerifierOptions{.issuer = "https://id.example", .audience = "notes"});
  const std::string other = "token: is for another audience";
  const std::string none = "token: \"aud\" is no audience";
  const std::string iss = R"("iss":"https://id.example",)";
  for (const auto& [members, expected] : Cases{
           {iss + R"("aud":"notes")", "taken"},
           {iss + R"("aud":["notes"])", "taken"},
           {iss + R"("aud":["mail","notes"])", "taken"},
           {iss + R"("aud":"mail")", other},
           {iss + R"("aud":"Notes")", other},
           {iss + R"("aud":"notes ")", other},
           {iss + R"("aud":"")", other},
           {iss + R"("aud":["mail"])", other},
           {iss + R"("aud":[])", other},
           {iss + R"("aud":[["notes"]])", none},
           {iss + R"("aud":["notes",1])", none},
           {iss + R"("aud":{"notes":1})", none},
           {iss + R"("aud":null)", none},
           {R"("iss":"https://id.example")", "token: has no \"aud\""},
           {R"("aud":"notes")", "token: is of another issuer"},
           {R"("aud":"notes","iss":"https://id.example/")", "token: is of another issuer"},
           {R"("aud":"notes","iss":"https://evil.example")", "token: is of another issuer"},
           {R"("aud":"notes","iss":["https://id.example"])",
            "token: \"iss\" is no text of 1 to 256 bytes"},
           {R"("aud":"notes","iss":null)", "token: \"iss\" is no text of 1 to 256 bytes"},
       }) {
    INFO(members);
    CHECK(verified.verdict(members) == expected);
  }
  // Who has no name is not meant.
  const VerifiedClaims unnamed;
  CHECK(unnamed.verdict("") == "taken");
  CHECK(unnamed.verdict(R"("iss":"anybody")") == "taken");
  CHECK(unnamed.verdict(R"("aud":"notes")") == other);
  CHECK(unnamed.verdict(R"("aud":"")") == other);
  CHECK(unnamed.verdict(R"("aud":[""])") == other);
}

TEST_CASE("JWT: whose it is", "[http]") {
  const VerifiedClaims verified;
  const auto who = verified.who(
      R"({"sub":"alice","exp":1800000100,"tenant":"acme","roles":["a","b c"],"scope":"d  e"})");
  REQUIRE(who.ok());
  CHECK(who->id == "alice");
  CHECK(who->tenant == "acme");
  CHECK(who->roles == std::vector<std::string>{"a", "b c", "d", "e"});
  const std::string sub = "token: \"sub\" is no text of 1 to 256 bytes";
  const std::string exp = R"({"exp":1800000100)";
  const std::string long_id(257, 'a');
  for (const auto& [claims, expected] : Cases{
           {exp + "}", "token: has no \"sub\""},
           {exp + R"(,"sub":""})", sub},
           {exp + R"(,"sub":1})", sub},
           {exp + R"(,"sub":null})", sub},
           {exp + R"(,"sub":")" + long_id + "\"}", sub},
           {exp + R"(,"sub":")" + long_id.substr(1) + "\"}", "taken"},
           {exp + R"(,"sub":"a","sub":"b"})", "token: has two members of one name"},
           {"[]", "token: a part of it is no object"},
           {"\"alice\"", "token: a part of it is no object"},
       }) {
    INFO(claims);
    CHECK(verified.verdict_on(verified.signed_token(claims)) == expected);
  }
  const std::string roles = "token: \"roles\" are no texts, or more than 64";
  const auto many = [](int count) {
    std::string text = "\"roles\":[\"r\"";
    for (int i = 1; i < count; ++i) text += ",\"r\"";
    return text + "]";
  };
  for (const auto& [members, expected] : Cases{
           {many(64), "taken"},
           {many(65), roles},
           {many(64) + R"(,"scope":"x")", roles},
           {R"("roles":[])", "taken"},
           {R"("roles":"admin")", roles},
           {R"("roles":[1])", roles},
           {R"("roles":[""])", roles},
           {R"("roles":null)", roles},
           {R"("scope":"")", "taken"},
           {R"("scope":["admin"])", "token: \"scope\" is no text"},
           {R"("tenant":7)", "token: \"tenant\" is no text of 1 to 256 bytes"},
           {R"("x":{"y":1,"y":2})", "token: has two members of one name"},
           {"\"x\":" + std::string(15, '[') + std::string(15, ']'), "taken"},
       }) {
    INFO(members);
    CHECK(verified.verdict(members) == expected);
  }
  CHECK(verified.verdict("\"x\":" + std::string(16, '[') + std::string(16, ']'))
            .find("nested deeper than 16") != std::string::npos);
  CHECK(verified.verdict("\"x\":\"\xc3\x28\"").starts_with("token: no JSON"));
}

TEST_CASE("JWT: three parts of base64url, written in the one way there is", "[http]") {
  const VerifiedClaims verified;
  const std::string good = verified.signed_token(R"({"sub":"alice","exp":1800000100})");
  REQUIRE(verified.verdict_on(good) == "taken");
  const std::size_t first = good.find('.');
  const std::size_t second = good.rfind('.');
  const auto changed = [&](auto change) {
    std::string other = good;
    change(other);
    return other;
  };
  // 32 bytes leave two bits of the last character: zero, or another text of the same bytes.
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (std::size_t spare = 1; spare < 4; ++spare)
    CHECK(verified.verdict_on(changed([&](std::string& t) {
      t.back() = alphabet[alphabet.find(t.back()) + spare];
    })) == "token: its signature does not fit");
  for (const std::string& each : {std::string(),
                                  std::string("."),
                                  std::string(".."),
                                  std::string("..."),
                                  good.substr(0, second),
                                  good.substr(0, second) + ".",
                                  good.substr(second),
                                  good.substr(first),
                                  good + ".",
                                  "." + good,
                                  good + "." + good,
                                  good + "=",
                                  good + "A",
                                  good + "\n",
                                  " " + good,
                                  "Bearer " + good,
                                  good.substr(0, good.size() - 1),
                                  changed([&](std::string& t) { t.insert(first, "="); }),
                                  changed([&](std::string& t) { t.insert(second, "="); }),
                                  changed([&](std::string& t) { t.insert(3, "\n"); }),
                                  changed([&](std::string& t) { t[3] = '+'; }),
                                  changed([&](std::string& t) { t[3] = '/'; }),
                                  changed([&](std::string& t) { t[3] = '\0'; }),
                                  changed([&](std::string& t) { t.erase(first, 1); }),
                                  changed([&](std::string& t) { t.insert(first, "."); }),
                                  std::string(8'192, '.'),
                                  std::string(1'000'000, 'a')}) {
    INFO(each.substr(0, 200));
    CHECK(verified.by->verify(each).status().code() == wisp::StatusCode::kUnauthenticated);
  }
  // As long as may be, and one more.
  const auto padded = [&](std::size_t size) {
    return verified.signed_token(R"({"sub":"alice","exp":1800000100,"x":")" +
                                 std::string(size, 'x') + "\"}");
  };
  const std::size_t fixed = padded(0).size();
  const std::size_t most = (8'192 - fixed) / 4 * 3;
  CHECK(padded(most).size() <= 8'192);
  CHECK(verified.verdict_on(padded(most)) == "taken");
  CHECK(verified.verdict_on(padded(most + 6)).ends_with("the limit is 8192"));
  // Of one that is signed badly nothing is read: neither that it has expired nor that it is none.
  const SignatureKey other = wisp::test::signing(
      {.algorithm = JwtAlgorithm::hs256, .material = "another secret of more than 32 bytes"});
  for (const std::string_view claims : {R"({"sub":"alice","exp":1})", "{", "[]", ""})
    CHECK(verified.verdict_on(wisp::test::token(other, kHeader, claims)) ==
          "token: its signature does not fit");
}

TEST_CASE("JWT: a signature on P-256 is two numbers of 32 bytes", "[http]") {
  const wisp::test::KeyPair ec = wisp::test::KeyPair::ec();
  const SignatureKey secret = wisp::test::signing({.material = ec.private_pem()});
  const auto open = SignatureKey::make({.material = ec.public_pem()}, wisp::http::JwtUse::verify);
  REQUIRE(open.ok());
  for (int i = 0; i < 20; ++i) {
    const std::string signature = *secret.sign("text");
    CHECK(signature.size() == 64);
    CHECK(open->fits("text", signature));
    CHECK_FALSE(open->fits("texT", signature));
    CHECK_FALSE(open->fits("text", signature.substr(0, 63)));
    CHECK_FALSE(open->fits("text", signature + '\0'));
    CHECK_FALSE(open->fits("text", '\0' + signature));
    CHECK_FALSE(open->fits("text", signature.substr(32) + signature.substr(0, 32)));
  }
  // Both numbers zero (CVE-2022-21449), as large as can be, and DER.
  CHECK_FALSE(open->fits("text", std::string(64, '\0')));
  CHECK_FALSE(open->fits("text", std::string(64, '\xff')));
  CHECK_FALSE(open->fits("text", std::string("\x30\x06\x02\x01\x01\x02\x01\x01", 8)));
  CHECK_FALSE(open->fits("text", ""));
}
