// API keys, and what passes for one.
#include <wisp/http/api_keys.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"

namespace {

using wisp::StatusCode;
using wisp::http::ApiKeyRecord;
using wisp::http::ApiKeys;
using wisp::http::Credential;
using wisp::http::NewApiKey;

NewApiKey make(wisp::http::Principal principal = {}, wisp::Random* random = nullptr) {
  auto made = ApiKeys::generate(std::move(principal), random);
  REQUIRE(made.ok());
  return *std::move(made);
}

StatusCode found(const ApiKeys& keys, std::string_view key) {
  return keys.find(key).status().code();
}

}  // namespace

TEST_CASE("API keys: whoever has the key is known, and the record does not give it away",
          "[http]") {
  ApiKeys keys;
  const NewApiKey made = make({.tenant = "acme", .roles = {"ship", "read"}});
  CHECK(made.key.starts_with("wisp_" + made.record.id + "_"));
  CHECK(made.record.hash.size() == 64);
  CHECK(made.record.hash.find(made.key.substr(22)) == std::string::npos);
  CHECK(found(keys, made.key) == StatusCode::kUnauthenticated);
  REQUIRE(keys.add(made.record).ok());
  const auto who = keys.find(made.key);
  REQUIRE(who.ok());
  CHECK(who->shown == Credential::api_key);
  CHECK(who->id == made.record.id);
  CHECK(who->tenant == "acme");
  CHECK(who->has_role("read"));
  CHECK_FALSE(who->has_role("rea"));
  REQUIRE(keys.remove(made.record.id).ok());
  CHECK(found(keys, made.key) == StatusCode::kUnauthenticated);
  CHECK(keys.remove(made.record.id).code() == StatusCode::kNotFound);
  CHECK(keys.size() == 0);
}

TEST_CASE("API keys: what is nearly a key is none", "[http]") {
  ApiKeys keys;
  const NewApiKey made = make({.id = "alice"});
  const NewApiKey other = make({.id = "bob"});
  REQUIRE(keys.add(made.record).ok());
  REQUIRE(keys.add(other.record).ok());
  CHECK(keys.find(made.key)->id == "alice");
  CHECK(keys.find(other.key)->id == "bob");
  std::string last = made.key;
  last.back() = last.back() == 'A' ? 'B' : 'A';
  const std::string secret = made.key.substr(made.key.find('_', 5) + 1);
  for (const std::string& each :
       {std::string(), std::string("wisp_"), std::string("wisp__"), made.record.id,
        made.record.hash, made.key.substr(0, made.key.size() - 1), made.key + "A", made.key + " ",
        " " + made.key, last, "WISP_" + made.key.substr(5), "wisp_" + secret,
        "wisp_" + made.record.id + "_", "wisp_" + made.record.id + "_" + made.record.hash,
        "wisp_" + other.record.id + "_" + secret, made.key + std::string(1, '\0'),
        made.key + std::string(10'000, 'A')}) {
    INFO(each.substr(0, 100));
    const auto result = keys.find(each);
    CHECK(result.status().code() == StatusCode::kUnauthenticated);
    // Nothing of what was tried is repeated.
    CHECK(wisp::message(result.status()).find(secret.substr(0, 8)) == std::string_view::npos);
  }
}

TEST_CASE("API keys: made elsewhere, they have to be hard to guess", "[http]") {
  const auto code = [](std::string_view key) {
    return ApiKeys::record_of(key, {}).status().code();
  };
  const std::string good = "Zr8qK0vYw3N-x5_TgB1mLpQ7sHdJcUeA";
  CHECK(code("wisp_a1_" + good) == StatusCode::kOk);
  CHECK(code("wisp_a1_0123456789abcdef0123456789abcdef") == StatusCode::kOk);  // 128 bits, in hex
  for (const std::string& key :
       {good, "wisp_" + good, "wisp_a-1_" + good, "wisp_ _" + good, "wisp__" + good,
        "wisp_" + std::string(65, 'a') + "_" + good, "wisp_a1_" + good.substr(1),
        "wisp_a1_" + good + "!", "wisp_a1_" + std::string(64, 'a'),
        "wisp_a1_" + good + std::string(250, 'b'),
        std::string("wisp_a1_passwordpasswordpasswordpassword"),
        std::string("wisp_a1_00000000000000000000000000000001")}) {
    INFO(key);
    const auto record = ApiKeys::record_of(key, {});
    CHECK(record.status().code() == StatusCode::kInvalidArgument);
    CHECK(wisp::message(record.status()).find(good) == std::string_view::npos);
  }
  // The same key, the same hash: a record that was stored finds it.
  ApiKeys keys;
  REQUIRE(keys.add(*ApiKeys::record_of("wisp_a1_" + good, {.id = "carol"})).ok());
  CHECK(keys.find("wisp_a1_" + good)->id == "carol");
}

TEST_CASE("API keys: records are checked, and bounded", "[http]") {
  ApiKeys keys(2);
  const ApiKeyRecord record = make().record;
  const auto refusal = [&](auto change) {
    ApiKeyRecord wrong = record;
    change(wrong);
    const wisp::Status status = keys.add(wrong);
    CHECK(status.code() == StatusCode::kInvalidArgument);
    return std::string(wisp::message(status));
  };
  CHECK(refusal([](ApiKeyRecord& r) { r.id = ""; }) ==
        "an API key's id has 1 to 64 letters and digits");
  CHECK(refusal([](ApiKeyRecord& r) { r.id = "a_b"; }) ==
        "an API key's id has 1 to 64 letters and digits");
  const std::string hash =
      "API key '" + record.id + "': its hash is not of 64 lower-case hex digits";
  CHECK(refusal([](ApiKeyRecord& r) { r.hash.pop_back(); }) == hash);
  CHECK(refusal([](ApiKeyRecord& r) { r.hash[3] = 'G'; }) == hash);
  CHECK(refusal([](ApiKeyRecord& r) { r.hash.clear(); }) == hash);
  CHECK(refusal([](ApiKeyRecord& r) { r.principal.roles = {"a", ""}; }) ==
        "API key '" + record.id + "': has an empty role");
  CHECK(refusal([](ApiKeyRecord& r) { r.principal.roles.assign(65, "a"); }) ==
        "API key '" + record.id + "': 65 roles; the limit is 64");
  CHECK(refusal([](ApiKeyRecord& r) { r.principal.id.assign(257, 'a'); }) ==
        "API key '" + record.id + "': a principal's id of 257 bytes; the limit is 256");
  CHECK(refusal([](ApiKeyRecord& r) { r.principal.tenant.assign(257, 'a'); }) ==
        "API key '" + record.id + "': a tenant of 257 bytes; the limit is 256");
  CHECK(keys.add(record).ok());
  CHECK(keys.add(record).code() == StatusCode::kAlreadyExists);
  CHECK(keys.add(make().record).ok());
  CHECK(keys.add(make().record).code() == StatusCode::kResourceExhausted);
  CHECK(keys.remove(record.id).ok());
  CHECK(keys.add(make().record).ok());
}

TEST_CASE("API keys: no two are alike, but of one seed", "[http]") {
  CHECK(make().key != make().key);
  wisp::SeededRandom one{7};
  wisp::SeededRandom same{7};
  CHECK(make({}, &one).key == make({}, &same).key);
  CHECK(make({}, &one).key.size() == 5 + 16 + 1 + 43);
}

TEST_CASE("API keys: are looked for while others come and go", "[http]") {
  ApiKeys keys;
  const NewApiKey kept = make({.id = "kept"});
  REQUIRE(keys.add(kept.record).ok());
  std::atomic<bool> ends{false};
  std::atomic<int> missed{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i)
    readers.emplace_back([&] {
      while (!ends)
        if (!keys.find(kept.key).ok()) ++missed;
    });
  for (int i = 0; i < 200; ++i) {
    const NewApiKey made = make();
    CHECK(keys.add(made.record).ok());
    CHECK(keys.find(made.key).ok());
    CHECK(keys.remove(made.record.id).ok());
  }
  ends = true;
  for (std::thread& each : readers) each.join();
  CHECK(missed == 0);
}
