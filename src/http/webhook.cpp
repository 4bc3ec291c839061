#include <wisp/http/webhook.hpp>

#include <algorithm>
#include <charconv>
#include <list>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include <wisp/base/mutex.hpp>
#include <wisp/model/tenant.hpp>

#include "crypto.hpp"

namespace wisp::inline v0::http {
namespace {

constexpr std::string_view kSecretPrefix = "whsec_";
constexpr std::string_view kVersion = "v1,";
constexpr std::size_t kKeyMin = 24;
constexpr std::size_t kKeyMax = 64;
constexpr std::size_t kSecretsMax = 2;
constexpr std::size_t kTimestampMax = 12;  // digits

// Without dots, as else what is signed could be taken apart in two ways.
bool is_message_id(std::string_view id) {
  return !id.empty() && id.size() <= kWebhookIdMax &&
         std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < 0x7f && c != '.'; });
}

Result<Secret> read_secret(std::string_view text, std::size_t number) {
  std::optional<std::string> bytes;
  if (text.starts_with(kSecretPrefix)) bytes = decode_base64(text.substr(kSecretPrefix.size()));
  if (!bytes)
    return invalid_argument("WebhookOptions::secrets[{}]: is not whsec_ and base64", number);
  Secret secret(*std::move(bytes));
  if (secret.view().size() < kKeyMin || secret.view().size() > kKeyMax)
    return invalid_argument("WebhookOptions::secrets[{}]: has {} bytes, and may have {} to {}",
                            number, secret.view().size(), kKeyMin, kKeyMax);
  return secret;
}

Status check(const WebhookOptions& options) {
  if (options.name.empty() || options.name.size() > kPrincipalIdMax)
    return invalid_argument("WebhookOptions::name has {} bytes, and may have 1 to {}",
                            options.name.size(), kPrincipalIdMax);
  if (options.tenant.size() > kTenantNameMax)
    return invalid_argument("WebhookOptions::tenant has {} bytes; the limit is {}",
                            options.tenant.size(), kTenantNameMax);
  if (options.secrets.empty() || options.secrets.size() > kSecretsMax)
    return invalid_argument("WebhookOptions::secrets: there are {}, and may be 1 to {}",
                            options.secrets.size(), kSecretsMax);
  if (options.tolerance <= Duration::zero() || options.tolerance > std::chrono::hours(1))
    return invalid_argument("WebhookOptions::tolerance is {} ns, and may be up to an hour",
                            options.tolerance.count());
  if (options.ids == 0) return invalid_argument("WebhookOptions::ids has to be positive");
  return Status();
}

// The words between single spaces; false: there are more than may be.
bool split(std::string_view text, std::vector<std::string_view>& to) {
  while (!text.empty()) {
    if (to.size() == kWebhookSignaturesMax) return false;
    const std::size_t end = std::min(text.find(' '), text.size());
    to.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return true;
}

}  // namespace

struct Webhook::Inside {
  struct Entry {
    std::string id;
    Time until;
    bool handled = false;
  };

  Inside(const WebhookOptions& options, std::vector<Secret> keys)
      : principal{.shown = Credential::webhook, .id = options.name, .tenant = options.tenant},
        secrets(std::move(keys)),
        tolerance(options.tolerance),
        ids(options.ids),
        clock(options.clock == nullptr ? Clock::system() : *options.clock) {}

  Status check_time(std::string_view timestamp) const;
  Result<bool> is_signed(const WebhookFields& fields, std::string_view body) const;
  Status remember(std::string_view id);
  void forget_old() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  const Principal principal;
  const std::vector<Secret> secrets;
  const Duration tolerance;
  const std::size_t ids;
  Clock& clock;

  Mutex mutex;  // nothing else is locked under it
  // In the order of time; the views are of ids in the list.
  std::list<Entry> entries ABSL_GUARDED_BY(mutex);
  std::unordered_map<std::string_view, std::list<Entry>::iterator> found ABSL_GUARDED_BY(mutex);
};

Status Webhook::Inside::check_time(std::string_view timestamp) const {
  std::int64_t seconds = 0;
  const char* const end = timestamp.data() + timestamp.size();
  const auto [at, error] = std::from_chars(timestamp.data(), end, seconds);
  if (timestamp.size() > kTimestampMax || error != std::errc() || at != end || seconds < 0)
    return unauthenticated("webhook '{}': no timestamp", principal.id);
  // Of whole seconds, so that the distance cannot overflow.
  const auto now =
      std::chrono::floor<std::chrono::seconds>(clock.wall()).time_since_epoch().count();
  const std::int64_t apart = now > seconds ? now - seconds : seconds - now;
  if (apart > std::chrono::floor<std::chrono::seconds>(tolerance).count())
    return unauthenticated("webhook '{}': its timestamp is {} s from now", principal.id, apart);
  return Status();
}

// Looks at all signatures with all secrets, whichever fits.
Result<bool> Webhook::Inside::is_signed(const WebhookFields& fields, std::string_view body) const {
  std::vector<std::string_view> signatures;
  if (!split(fields.signature, signatures))
    return unauthenticated("webhook '{}': more than {} signatures", principal.id,
                           kWebhookSignaturesMax);
  bool fits = false;
  for (const Secret& secret : secrets) {
    WISP_TRY(const Digest wanted,
             hmac_sha256(secret.view(), {fields.id, ".", fields.timestamp, ".", body}));
    for (const std::string_view each : signatures) {
      if (!each.starts_with(kVersion)) continue;
      const auto given = decode_base64(each.substr(kVersion.size()));
      if (given && constant_time_equal(*given, view(wanted))) fits = true;
    }
  }
  return fits;
}

void Webhook::Inside::forget_old() {
  const Time now = clock.now();
  // One that is being handled is not forgotten: its sender would come in beside it.
  while (!entries.empty() && entries.front().until < now && entries.front().handled) {
    found.erase(entries.front().id);
    entries.pop_front();
  }
}

// One from the end of the tolerance is accepted until the end of another.
Status Webhook::Inside::remember(std::string_view id) {
  const MutexLock lock(mutex);
  forget_old();
  if (const auto there = found.find(id); there != found.end()) {
    if (there->second->handled)
      return already_exists("webhook '{}': '{}' was handled", principal.id, id);
    return aborted("webhook '{}': '{}' is being handled", principal.id, id);
  }
  if (entries.size() >= ids)
    return unavailable("webhook '{}': as many ids as may be ({}) are remembered", principal.id,
                       ids);
  // And a second for what was rounded.
  entries.push_back(
      {.id = std::string(id), .until = clock.now() + 2 * tolerance + std::chrono::seconds(1)});
  found.emplace(entries.back().id, std::prev(entries.end()));
  return Status();
}

Webhook::Webhook(std::shared_ptr<Inside> inside) : inside_(std::move(inside)) {}

Result<Webhook> Webhook::make(const WebhookOptions& options) {
  WISP_TRY(check(options));
  std::vector<Secret> secrets;
  for (std::size_t i = 0; i < options.secrets.size(); ++i) {
    WISP_TRY(Secret secret, read_secret(options.secrets[i], i));
    secrets.push_back(std::move(secret));
  }
  return Webhook(std::make_shared<Inside>(options, std::move(secrets)));
}

Result<Principal> Webhook::verify(const WebhookFields& fields, std::string_view body) {
  const std::string& name = inside_->principal.id;
  if (!is_message_id(fields.id))
    return unauthenticated("webhook '{}': an id is 1 to {} visible characters but dots", name,
                           kWebhookIdMax);
  WISP_TRY(inside_->check_time(fields.timestamp));
  WISP_TRY(const bool fits, inside_->is_signed(fields, body));
  if (!fits) return unauthenticated("webhook '{}': no signature fits", name);
  WISP_TRY(inside_->remember(fields.id));
  return inside_->principal;
}

void Webhook::settle(std::string_view id, bool handled) {
  const MutexLock lock(inside_->mutex);
  const auto there = inside_->found.find(id);
  if (there == inside_->found.end() || there->second->handled) return;
  if (handled) {
    there->second->handled = true;
    return;
  }
  const auto entry = there->second;
  inside_->found.erase(there);
  inside_->entries.erase(entry);
}

Result<WebhookFields> Webhook::sign(std::string_view id, std::string_view body) const {
  if (!is_message_id(id))
    return invalid_argument("webhook '{}': an id is 1 to {} visible characters but dots",
                            inside_->principal.id, kWebhookIdMax);
  const auto now = std::chrono::floor<std::chrono::seconds>(inside_->clock.wall());
  WebhookFields fields{.id = std::string(id),
                       .timestamp = fmt::format("{}", now.time_since_epoch().count())};
  for (const Secret& secret : inside_->secrets) {
    WISP_TRY(const Digest digest,
             hmac_sha256(secret.view(), {fields.id, ".", fields.timestamp, ".", body}));
    if (!fields.signature.empty()) fields.signature += ' ';
    fields.signature.append(kVersion).append(base64(view(digest)));
  }
  return fields;
}

}  // namespace wisp::inline v0::http
