#include <wisp/http/api_keys.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

#include <fmt/format.h>

#include <wisp/base/mutex.hpp>
#include <wisp/model/tenant.hpp>

#include "crypto.hpp"

namespace wisp::inline v0::http {
namespace {

constexpr std::string_view kPrefix = "wisp_";
constexpr std::size_t kIdMax = 64;
constexpr std::size_t kSecretMin = 32;

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_id(std::string_view id) {
  return !id.empty() && id.size() <= kIdMax && std::all_of(id.begin(), id.end(), is_alphanumeric);
}

bool is_secret(std::string_view secret) {
  return secret.size() >= kSecretMin && std::all_of(secret.begin(), secret.end(), [](char c) {
           return is_alphanumeric(c) || c == '-' || c == '_';
         });
}

// The id within; empty: it is no key.
std::string_view id_of(std::string_view key) {
  if (key.size() > kApiKeyMax || !key.starts_with(kPrefix)) return {};
  key.remove_prefix(kPrefix.size());
  const std::size_t end = key.find('_');
  if (end == key.npos || !is_id(key.substr(0, end)) || !is_secret(key.substr(end + 1))) return {};
  return key.substr(0, end);
}

// An upper bound: as if each character were one of those that it uses, picked anew.
double bits_of(std::string_view secret) {
  std::array<bool, 256> used{};
  for (const char c : secret) used[static_cast<unsigned char>(c)] = true;
  const auto different = static_cast<double>(std::count(used.begin(), used.end(), true));
  return static_cast<double>(secret.size()) * std::log2(different);
}

std::string hex(std::string_view bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

// False: it is not of that many lower-case digits.
bool read_hex(std::string_view text, Digest& to) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  if (text.size() != 2 * to.size()) return false;
  for (std::size_t i = 0; i < to.size(); ++i) {
    const std::size_t high = kDigits.find(text[2 * i]);
    const std::size_t low = kDigits.find(text[2 * i + 1]);
    if (high == kDigits.npos || low == kDigits.npos) return false;
    to[i] = static_cast<char>(high << 4 | low);
  }
  return true;
}

Status check(std::string_view id, const Principal& principal) {
  if (principal.id.size() > kPrincipalIdMax)
    return invalid_argument("API key '{}': a principal's id of {} bytes; the limit is {}", id,
                            principal.id.size(), kPrincipalIdMax);
  if (principal.tenant.size() > kTenantNameMax)
    return invalid_argument("API key '{}': a tenant of {} bytes; the limit is {}", id,
                            principal.tenant.size(), kTenantNameMax);
  if (principal.roles.size() > kRolesMax)
    return invalid_argument("API key '{}': {} roles; the limit is {}", id, principal.roles.size(),
                            kRolesMax);
  for (const std::string& each : principal.roles)
    if (each.empty()) return invalid_argument("API key '{}': has an empty role", id);
  return Status();
}

Result<ApiKeyRecord> make_record(std::string_view key, std::string_view id, Principal principal) {
  WISP_TRY(check(id, principal));
  WISP_TRY(const Digest digest, sha256(key));
  principal.shown = Credential::api_key;
  if (principal.id.empty()) principal.id = id;
  return ApiKeyRecord{
      .id = std::string(id), .hash = hex(view(digest)), .principal = std::move(principal)};
}

}  // namespace

struct ApiKeys::Inside {
  struct Entry {
    Digest hash;
    Principal principal;
  };

  explicit Inside(std::size_t n) : most(n) {}

  const std::size_t most;
  Mutex mutex;  // nothing else is locked under it
  // Shared with those that are looked for: immutable, and may go meanwhile.
  std::map<std::string, std::shared_ptr<const Entry>, std::less<>> entries ABSL_GUARDED_BY(mutex);
};

ApiKeys::ApiKeys(std::size_t most) : inside_(std::make_unique<Inside>(most)) {}
ApiKeys::~ApiKeys() = default;

Result<NewApiKey> ApiKeys::generate(Principal principal, Random* random) {
  std::array<char, 8> name{};
  std::string bits(32, '\0');
  WISP_TRY(fill_random(random, name));
  WISP_TRY(fill_random(random, bits));
  const std::string id = hex({name.data(), name.size()});
  const Secret source(std::move(bits));
  const Secret secret(base64url(source.view()));
  NewApiKey made;
  made.key.reserve(kApiKeyMax);
  made.key.append(kPrefix).append(id).append("_").append(secret.view());
  WISP_TRY(made.record, make_record(made.key, id, std::move(principal)));
  return made;
}

Result<ApiKeyRecord> ApiKeys::record_of(std::string_view key, Principal principal) {
  const std::string_view id = id_of(key);
  if (id.empty())
    return invalid_argument(
        "an API key is wisp_, an id of 1 to {} letters and digits, _, and a secret of at least {} "
        "letters, digits, - and _; at most {} bytes",
        kIdMax, kSecretMin, kApiKeyMax);
  if (bits_of(key.substr(kPrefix.size() + id.size() + 1)) < kApiKeyBitsMin)
    return invalid_argument("API key '{}': its secret holds less than {} bits", id, kApiKeyBitsMin);
  return make_record(key, id, std::move(principal));
}

Status ApiKeys::add(ApiKeyRecord record) {
  if (!is_id(record.id))
    return invalid_argument("an API key's id has 1 to {} letters and digits", kIdMax);
  WISP_TRY(check(record.id, record.principal));
  Digest hash{};
  if (!read_hex(record.hash, hash))
    return invalid_argument("API key '{}': its hash is not of 64 lower-case hex digits", record.id);
  record.principal.shown = Credential::api_key;
  if (record.principal.id.empty()) record.principal.id = record.id;
  auto entry = std::make_shared<const Inside::Entry>(
      Inside::Entry{.hash = hash, .principal = std::move(record.principal)});
  const MutexLock lock(inside_->mutex);
  if (inside_->entries.find(record.id) != inside_->entries.end())
    return already_exists("there is an API key '{}'", record.id);
  if (inside_->entries.size() >= inside_->most)
    return resource_exhausted("as many API keys as may be ({})", inside_->most);
  inside_->entries.try_emplace(std::move(record.id), std::move(entry));
  return Status();
}

Status ApiKeys::remove(std::string_view id) {
  const MutexLock lock(inside_->mutex);
  const auto found = inside_->entries.find(id);
  if (found == inside_->entries.end()) return not_found("there is no API key '{}'", id);
  inside_->entries.erase(found);
  return Status();
}

std::size_t ApiKeys::size() const {
  const MutexLock lock(inside_->mutex);
  return inside_->entries.size();
}

// An id is no secret, and may be looked for in any time; what is compared in the same time always
// is the hash.
Result<Principal> ApiKeys::find(std::string_view key) const {
  const std::string_view id = id_of(key);
  if (id.empty()) return unauthenticated("no API key");
  WISP_TRY(const Digest hash, sha256(key));
  std::shared_ptr<const Inside::Entry> entry;
  {
    const MutexLock lock(inside_->mutex);
    const auto found = inside_->entries.find(id);
    if (found != inside_->entries.end()) entry = found->second;
  }
  if (entry == nullptr || !constant_time_equal(view(hash), view(entry->hash)))
    return unauthenticated("an API key that is not known");
  return entry->principal;
}

}  // namespace wisp::inline v0::http
