#include <wisp/http/jwt.hpp>

#include <algorithm>
#include <optional>
#include <utility>

#include <wisp/json/json.hpp>
#include <wisp/model/tenant.hpp>

#include "head.hpp"
#include "jwt_claims.hpp"
#include "jwt_key.hpp"

namespace wisp::inline v0::http {
namespace {

constexpr json::Limits kHeaderLimits{.bytes = kJwtBytesMax, .depth = 8, .values = 256};
constexpr json::Limits kClaimsLimits{.bytes = kJwtBytesMax, .depth = 16, .values = 2'048};
constexpr Duration kLeewayMax = std::chrono::minutes(5);
constexpr std::size_t kKeyIdMax = 256;

Status check(const JwtVerifierOptions& options) {
  if (options.keys.empty() || options.keys.size() > kJwtKeysMax)
    return invalid_argument("JwtVerifierOptions::keys: there are {}, and may be 1 to {}",
                            options.keys.size(), kJwtKeysMax);
  for (std::size_t i = 0; i < options.keys.size(); ++i) {
    const std::string& id = options.keys[i].id;
    if (id.size() > kKeyIdMax)
      return invalid_argument("JwtVerifierOptions::keys[{}]: an id of {} bytes; the limit is {}", i,
                              id.size(), kKeyIdMax);
    for (std::size_t j = 0; j < i; ++j)
      if (options.keys[j].id == id)
        return invalid_argument("JwtVerifierOptions::keys: two have the id '{}'", id);
  }
  if (options.leeway < Duration::zero() || options.leeway > kLeewayMax)
    return invalid_argument("JwtVerifierOptions::leeway is {} ns, and may be 0 to 5 minutes",
                            options.leeway.count());
  return Status();
}

// What read_claims() would not take.
Status check(const Principal& subject) {
  if (subject.id.empty() || subject.id.size() > kPrincipalIdMax)
    return invalid_argument("a token's subject has {} bytes, and may have 1 to {}",
                            subject.id.size(), kPrincipalIdMax);
  if (subject.tenant.size() > kTenantNameMax)
    return invalid_argument("a token's tenant has {} bytes; the limit is {}", subject.tenant.size(),
                            kTenantNameMax);
  if (subject.roles.size() > kRolesMax)
    return invalid_argument("a token's subject has {} roles; the limit is {}", subject.roles.size(),
                            kRolesMax);
  for (const std::string& each : subject.roles)
    if (each.empty()) return invalid_argument("a token's subject has an empty role");
  return Status();
}

// RFC 7515, 7.1.
struct Parts {
  std::string_view header;
  std::string_view claims;
  std::string_view signature;
  std::string_view signed_text;  // the first two with their dot
};

std::optional<Parts> split(std::string_view token) {
  const std::size_t first = token.find('.');
  if (first == token.npos) return std::nullopt;
  const std::size_t second = token.find('.', first + 1);
  if (second == token.npos || token.find('.', second + 1) != token.npos) return std::nullopt;
  return Parts{.header = token.substr(0, first),
               .claims = token.substr(first + 1, second - first - 1),
               .signature = token.substr(second + 1),
               .signed_text = token.substr(0, second)};
}

// A part as JSON, which refers to `bytes`.
Result<json::Document> read_part(std::string_view part, const json::Limits& limits,
                                 std::string& bytes) {
  std::optional<std::string> decoded = decode_base64url(part);
  if (!decoded) return unauthenticated("token: a part of it is no base64url");
  bytes = *std::move(decoded);
  auto document = json::Document::parse(bytes, limits);
  if (!document.ok()) return unauthenticated("token: {}", message(document.status()));
  WISP_TRY(check_members(document->root()));
  return document;
}

// The text of a header's member, empty where there is none; nullopt: it is no text, or an empty
// one.
std::optional<std::string_view> text_of(const Value& header, std::string_view name) {
  const Value* const member = find_member(header, name);
  if (member == nullptr) return std::string_view();
  if (member->kind != ValueKind::text || member->size == 0) return std::nullopt;
  return member->view();
}

}  // namespace

struct JwtVerifier::Inside {
  // The key that the header names, for the algorithm that it names.
  Result<const SignatureKey*> select(const Value& header) const;

  std::vector<SignatureKey> keys;
  JwtExpectation expected;
  Clock* clock = nullptr;
};

Result<const SignatureKey*> JwtVerifier::Inside::select(const Value& header) const {
  // What it lists has to be understood, and nothing of that is here.
  if (find_member(header, "crit") != nullptr)
    return unauthenticated("token: asks for more than is understood here");
  // Whoever writes it may leave "application/" out (RFC 7515, 4.1.9).
  auto type = text_of(header, "typ");
  constexpr std::string_view kMedia = "application/";
  if (type && same_name(type->substr(0, kMedia.size()), kMedia)) type->remove_prefix(kMedia.size());
  if (!type || (!type->empty() && !same_name(*type, "JWT") && !same_name(*type, "at+jwt")))
    return unauthenticated("token: is of another type");
  const auto id = text_of(header, "kid");
  const auto algorithm = text_of(header, "alg");
  if (!id || !algorithm) return unauthenticated("token: \"kid\" or \"alg\" is no text");
  const auto key = std::find_if(keys.begin(), keys.end(),
                                [&](const SignatureKey& each) { return each.id() == *id; });
  if (key == keys.end()) return unauthenticated("token: is of a key that is not known");
  if (key->algorithm() != *algorithm)
    return unauthenticated("token: is of another algorithm than its key");
  return &*key;
}

JwtVerifier::JwtVerifier(std::unique_ptr<const Inside> inside) : inside_(std::move(inside)) {}
JwtVerifier::~JwtVerifier() = default;
JwtVerifier::JwtVerifier(JwtVerifier&&) noexcept = default;
JwtVerifier& JwtVerifier::operator=(JwtVerifier&&) noexcept = default;

Result<JwtVerifier> JwtVerifier::make(const JwtVerifierOptions& options) {
  WISP_TRY(check(options));
  auto inside = std::make_unique<Inside>();
  for (const JwtKey& each : options.keys) {
    WISP_TRY(SignatureKey key, SignatureKey::make(each, JwtUse::verify));
    inside->keys.push_back(std::move(key));
  }
  inside->expected = {.issuer = options.issuer,
                      .audience = options.audience,
                      .leeway = options.leeway,
                      .expires = options.expires};
  inside->clock = options.clock == nullptr ? &Clock::system() : options.clock;
  return JwtVerifier(std::move(inside));
}

bool JwtVerifier::has_issuer() const { return !inside_->expected.issuer.empty(); }

Result<Principal> JwtVerifier::verify(std::string_view token) const {
  if (token.size() > kJwtBytesMax)
    return unauthenticated("token: of {} bytes; the limit is {}", token.size(), kJwtBytesMax);
  const std::optional<Parts> parts = split(token);
  if (!parts) return unauthenticated("token: has not three parts");
  std::string header_bytes;
  WISP_TRY(const json::Document header, read_part(parts->header, kHeaderLimits, header_bytes));
  WISP_TRY(const SignatureKey* const key, inside_->select(header.root()));
  const std::optional<std::string> signature = decode_base64url(parts->signature);
  if (!signature || !key->fits(parts->signed_text, *signature))
    return unauthenticated("token: its signature does not fit");
  std::string claims_bytes;
  WISP_TRY(const json::Document claims, read_part(parts->claims, kClaimsLimits, claims_bytes));
  return read_claims(claims.root(), inside_->expected, inside_->clock->wall());
}

struct JwtSigner::Inside {
  SignatureKey key;
  JwtSignerOptions options;
  Clock& clock;
};

JwtSigner::JwtSigner(std::unique_ptr<const Inside> inside) : inside_(std::move(inside)) {}
JwtSigner::~JwtSigner() = default;
JwtSigner::JwtSigner(JwtSigner&&) noexcept = default;
JwtSigner& JwtSigner::operator=(JwtSigner&&) noexcept = default;

Result<JwtSigner> JwtSigner::make(const JwtKey& key, const JwtSignerOptions& options) {
  if (options.lifetime < std::chrono::seconds(1) || options.lifetime > std::chrono::days(3'650))
    return invalid_argument("JwtSignerOptions::lifetime is {} ns, and may be a second to 10 years",
                            options.lifetime.count());
  WISP_TRY(SignatureKey made, SignatureKey::make(key, JwtUse::sign));
  Clock& clock = options.clock == nullptr ? Clock::system() : *options.clock;
  return JwtSigner(std::unique_ptr<const Inside>(
      new Inside{.key = std::move(made), .options = options, .clock = clock}));
}

Result<std::string> JwtSigner::sign(const Principal& subject) const {
  WISP_TRY(check(subject));
  std::string header;
  json::TextWriter to_header(header);
  const auto member = [](json::TextWriter& to, std::string_view name, std::string_view text) {
    if (text.empty()) return;
    to.name(name);
    to.text(text);
  };
  to_header.begin_object();
  member(to_header, "alg", inside_->key.algorithm());
  member(to_header, "kid", inside_->key.id());
  member(to_header, "typ", "JWT");
  to_header.end_object();
  const auto now = std::chrono::floor<std::chrono::seconds>(inside_->clock.wall());
  const auto lifetime = std::chrono::floor<std::chrono::seconds>(inside_->options.lifetime);
  std::string claims;
  json::TextWriter to(claims);
  to.begin_object();
  member(to, "iss", inside_->options.issuer);
  member(to, "sub", subject.id);
  member(to, "aud", inside_->options.audience);
  to.name("iat");
  to.integer(now.time_since_epoch().count());
  to.name("exp");
  to.integer((now + lifetime).time_since_epoch().count());
  member(to, "tenant", subject.tenant);
  if (!subject.roles.empty()) {
    to.name("roles");
    to.begin_array();
    for (const std::string& each : subject.roles) to.text(each);
    to.end_array();
  }
  to.end_object();
  std::string token = base64url(header) + '.' + base64url(claims);
  WISP_TRY(const std::string signature, inside_->key.sign(token));
  token.append(".").append(base64url(signature));
  if (token.size() > kJwtBytesMax)
    return invalid_argument("a token of {} bytes; the limit is {}", token.size(), kJwtBytesMax);
  return token;
}

}  // namespace wisp::inline v0::http
