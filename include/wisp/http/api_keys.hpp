// API keys: long-lived secrets by which programs call.
//
//   wisp::http::ApiKeys keys;
//   WISP_TRY(auto made, wisp::http::ApiKeys::generate({.tenant = "acme", .roles = {"ship"}}));
//   show(made.key);                    // "wisp_…_…": now or never
//   store(made.record);                // nothing in it gives the key away
//   WISP_TRY(keys.add(made.record));
//   wisp::http::Gateway gateway{runtime, {.api_keys = &keys}};
//
// A client sends its key as "X-API-Key: wisp_…" or "Authorization: Bearer wisp_…". Of a key only
// its id and a SHA-256 are kept. That a hash made to be quick is enough rests on keys that nobody
// can guess: what looks as if it held less than kApiKeyBitsMin bits is refused.
//
// Threads: any; keys come and go while others are looked for.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include <wisp/base/random.hpp>
#include <wisp/base/status.hpp>
#include <wisp/http/principal.hpp>

namespace wisp::inline v0::http {

// What is kept of a key.
struct ApiKeyRecord {
  std::string id{};       // of the key, and a part of it: "wisp_id_secret"
  std::string hash{};     // SHA-256 of the whole key, in 64 lower-case hex digits
  Principal principal{};  // whose it is; `shown` is api_key and `id`, where it is empty, the key's
};

struct NewApiKey {
  std::string key{};  // for who will use it, and nobody else
  ApiKeyRecord record{};
};

inline constexpr std::size_t kApiKeyMax = 256;  // bytes
inline constexpr int kApiKeyBitsMin = 112;      // of a secret

class ApiKeys {
 public:
  // At most `most` at once.
  explicit ApiKeys(std::size_t most = 100'000);
  ~ApiKeys();
  ApiKeys(const ApiKeys&) = delete;
  ApiKeys& operator=(const ApiKeys&) = delete;

  // A new key of 256 random bits, which add() does not know yet. `random` null: OpenSSL's; another
  // is for tests, as whoever knows a seed knows the keys.
  static Result<NewApiKey> generate(Principal principal, Random* random = nullptr);

  // Of a key that was made elsewhere in the same form: an id of 1 to 64 letters and digits, and a
  // secret of at least 32 letters, digits, - and _. kInvalidArgument: it is none, or its secret,
  // by its length and how many characters it uses, can be guessed.
  static Result<ApiKeyRecord> record_of(std::string_view key, Principal principal);

  // kInvalidArgument: no record; kAlreadyExists: there is one of this id; kResourceExhausted.
  [[nodiscard]] Status add(ApiKeyRecord record);
  // kNotFound. Requests that were let in before go on.
  [[nodiscard]] Status remove(std::string_view id);
  std::size_t size() const;

  // Whose it is; kUnauthenticated.
  Result<Principal> find(std::string_view key) const;

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace wisp::inline v0::http
