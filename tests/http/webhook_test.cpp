// Signed webhooks: who may send them, when, and how often.
#include <wisp/http/webhook.hpp>

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "http/crypto.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::StatusCode;
using wisp::http::Webhook;
using wisp::http::WebhookFields;
using wisp::http::WebhookOptions;

// The example of Standard Webhooks' own libraries.
const std::string kSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const std::string kId = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const std::string kBody = R"({"test": 2432232314})";
const std::string kSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
constexpr auto kThen = 1'614'265'330s;

std::string secret_of(char c, std::size_t bytes = 32) {
  return "whsec_" + wisp::http::base64(std::string(bytes, c));
}

struct Received {
  explicit Received(std::vector<std::string> secrets = {kSecret}, std::size_t ids = 100) {
    auto made = Webhook::make(
        {.name = "payments", .tenant = "acme", .secrets = secrets, .ids = ids, .clock = &clock});
    INFO(wisp::to_string(made.status()));
    REQUIRE(made.ok());
    webhook.emplace(*std::move(made));
  }
  StatusCode verify(const WebhookFields& fields, std::string_view body = kBody) {
    const auto who = webhook->verify(fields, body);
    if (!who.ok())
      for (const std::string& each : {kSecret, kSignature})
        CHECK(wisp::message(who.status()).find(each) == std::string_view::npos);
    return who.status().code();
  }
  WebhookFields sign(std::string_view id, std::string_view body = kBody) const {
    return *webhook->sign(id, body);
  }

  wisp::ManualClock clock{wisp::WallTime(kThen)};
  std::optional<Webhook> webhook;
};

const WebhookFields kFields{.id = kId, .timestamp = "1614265330", .signature = kSignature};

}  // namespace

TEST_CASE("webhook: the published example is signed so, and taken", "[http]") {
  Received received;
  const WebhookFields made = received.sign(kId);
  CHECK(made.timestamp == "1614265330");
  CHECK(made.signature == kSignature);
  const auto who = received.webhook->verify(kFields, kBody);
  REQUIRE(who.ok());
  CHECK(who->shown == wisp::http::Credential::webhook);
  CHECK(who->id == "payments");
  CHECK(who->tenant == "acme");
  CHECK(who->roles.empty());
}

TEST_CASE("webhook: what is not as it was signed is refused", "[http]") {
  const auto refused = [](auto change, std::string body = kBody) {
    Received received;
    WebhookFields fields = kFields;
    change(fields);
    INFO(fields.id << ' ' << fields.timestamp << ' ' << fields.signature << ' ' << body);
    CHECK(received.verify(fields, body) == StatusCode::kUnauthenticated);
    // And nothing of it is remembered.
    CHECK(received.verify(kFields) == StatusCode::kOk);
  };
  const auto none = [](WebhookFields&) {};
  refused(none, kBody.substr(0, kBody.size() - 1));
  refused(none, kBody + " ");
  refused(none, R"({"test": 2432232315})");
  refused(none, "");
  for (const std::string& id :
       {std::string(), kId + "x", std::string("msg_other"), kId + ".1614265330", std::string("a b"),
        std::string("a\n"), std::string("\xc3\xa9"), std::string(257, 'a')})
    refused([&](WebhookFields& f) { f.id = id; });
  for (const std::string_view timestamp :
       {"", "1614265331", "1614265329", "01614265330", "+1614265330", "-1614265330", "1614265330.0",
        " 1614265330", "1614265330 ", "0x60372432", "now", "99999999999999999999", "9999999999999"})
    refused([&](WebhookFields& f) { f.timestamp = timestamp; });
  const std::string bare = kSignature.substr(3);
  for (const std::string& signature :
       {std::string(), std::string("v1"), std::string("v1,"), bare, "v2," + bare, "v1a," + bare,
        "V1," + bare, "v1 " + bare, "v1, " + bare, kSignature.substr(0, kSignature.size() - 1),
        kSignature + "=", kSignature.substr(0, 20), "v1,h0" + bare.substr(2),
        kSignature + "," + kSignature, "v1," + std::string(44, 'A'),
        "v1," + std::string(43, 'A') + "=", "v1=" + bare})
    refused([&](WebhookFields& f) { f.signature = signature; });
  // The last digit has two bits that say nothing: another one is another text.
  refused([](WebhookFields& f) { f.signature[f.signature.size() - 2] = 'F'; });
}

TEST_CASE("webhook: an id ends where it ends", "[http]") {
  // "a.1614265330.1614265330.x" is signed as one thing, and could be read as another.
  Received received;
  const std::string text = "a.1614265330.1614265330.x";
  const auto mac = wisp::http::hmac_sha256(
      *wisp::http::decode_base64(std::string_view(kSecret).substr(6)), {text});
  const std::string signature = "v1," + wisp::http::base64(wisp::http::view(*mac));
  CHECK(received.verify({.id = "a.1614265330", .timestamp = "1614265330", .signature = signature},
                        "x") == StatusCode::kUnauthenticated);
  CHECK(received.verify({.id = "a", .timestamp = "1614265330", .signature = signature},
                        "1614265330.x") == StatusCode::kOk);
  CHECK(received.webhook->sign("a.b", "").status().code() == StatusCode::kInvalidArgument);
  CHECK(received.webhook->sign("", "").status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("webhook: not before its time, and not after", "[http]") {
  const std::pair<wisp::Duration, StatusCode> cases[] = {
      {0s, StatusCode::kOk},
      {5min, StatusCode::kOk},
      {5min + 999ms, StatusCode::kOk},  // seconds are counted
      {5min + 1s, StatusCode::kUnauthenticated},
      {24h, StatusCode::kUnauthenticated},
      {-5min, StatusCode::kOk},
      {-5min - 1s, StatusCode::kUnauthenticated},
      {-24h, StatusCode::kUnauthenticated},
      {-24h * 365 * 60, StatusCode::kUnauthenticated},  // before 1970
  };
  for (const auto& [later, expected] : cases) {
    INFO(later.count());
    Received received;
    received.clock.jump_wall(later);
    CHECK(received.verify(kFields) == expected);
  }
}

TEST_CASE("webhook: two secrets while one takes over from the other", "[http]") {
  Received old({secret_of('a')});
  Received both({secret_of('b'), secret_of('a')});
  Received fresh({secret_of('b')});
  Received other({secret_of('c')});
  const WebhookFields of_old = old.sign("1");
  const WebhookFields of_both = both.sign("2");
  const WebhookFields of_fresh = fresh.sign("3");
  CHECK(of_both.signature.size() == 2 * of_old.signature.size() + 1);
  CHECK(both.verify(of_old) == StatusCode::kOk);
  CHECK(both.verify(of_fresh) == StatusCode::kOk);
  CHECK(both.verify(of_both) == StatusCode::kOk);
  CHECK(old.verify(of_both) == StatusCode::kOk);
  CHECK(fresh.verify(of_both) == StatusCode::kOk);
  CHECK(old.verify(of_fresh) == StatusCode::kUnauthenticated);
  CHECK(fresh.verify(of_old) == StatusCode::kUnauthenticated);
  for (const WebhookFields& each : {of_old, of_both, of_fresh})
    CHECK(other.verify(each) == StatusCode::kUnauthenticated);
}

TEST_CASE("webhook: one of several signatures is enough, of so many as may be", "[http]") {
  const auto verdict = [](const std::string& signature) {
    Received received;
    WebhookFields fields = kFields;
    fields.signature = signature;
    return received.verify(fields);
  };
  const std::string wrong = "v1," + wisp::http::base64(std::string(32, 'x'));
  CHECK(verdict(wrong + " " + kSignature) == StatusCode::kOk);
  CHECK(verdict(kSignature + " " + wrong) == StatusCode::kOk);
  CHECK(verdict("v1a,abc v2,? " + kSignature) == StatusCode::kOk);
  CHECK(verdict("  " + kSignature) == StatusCode::kOk);
  CHECK(verdict(wrong + " " + wrong) == StatusCode::kUnauthenticated);
  std::string many;
  for (int i = 1; i < 16; ++i) many += wrong + " ";
  CHECK(verdict(many + kSignature) == StatusCode::kOk);
  CHECK(verdict(many + wrong + " " + kSignature) == StatusCode::kUnauthenticated);
  CHECK(verdict(kSignature + " " + many + wrong) == StatusCode::kUnauthenticated);
}

TEST_CASE("webhook: what was taken once is not taken again", "[http]") {
  Received received;
  CHECK(received.verify(kFields) == StatusCode::kOk);
  CHECK(received.verify(kFields) == StatusCode::kAborted);
  SECTION("after it was handled") {
    received.webhook->settle(kId, true);
    CHECK(received.verify(kFields) == StatusCode::kAlreadyExists);
    received.webhook->settle(kId, false);  // it was settled
    CHECK(received.verify(kFields) == StatusCode::kAlreadyExists);
    // Signed anew it is no other one.
    received.clock.advance(1min);
    CHECK(received.verify(received.sign(kId)) == StatusCode::kAlreadyExists);
    // As long as the same bytes could be good, and after that they are not.
    received.clock.jump_wall(-1min);
    received.clock.advance(10min - 1min);
    received.clock.jump_wall(-10min);
    CHECK(received.verify(kFields) == StatusCode::kAlreadyExists);
  }
  SECTION("unless it failed") {
    received.webhook->settle(kId, false);
    CHECK(received.verify(kFields) == StatusCode::kOk);
    received.webhook->settle(kId, true);
    CHECK(received.verify(kFields) == StatusCode::kAlreadyExists);
  }
  SECTION("nor is one that nobody settled") {
    received.clock.advance(5min);
    CHECK(received.verify(kFields) == StatusCode::kAborted);
    received.clock.advance(1s);
    CHECK(received.verify(kFields) == StatusCode::kUnauthenticated);
  }
  SECTION("even one from the future") {
    Received early;
    early.clock.jump_wall(-5min);
    CHECK(early.verify(kFields) == StatusCode::kOk);
    early.webhook->settle(kId, true);
    early.clock.advance(10min);
    CHECK(early.verify(kFields) == StatusCode::kAlreadyExists);
    early.clock.advance(1s);
    CHECK(early.verify(kFields) == StatusCode::kUnauthenticated);
  }
  SECTION("by a copy") {
    Webhook copy = *received.webhook;
    CHECK(copy.verify(kFields, kBody).status().code() == StatusCode::kAborted);
    copy.settle(kId, true);
    CHECK(received.verify(kFields) == StatusCode::kAlreadyExists);
  }
  received.webhook->settle("never seen", true);
}

TEST_CASE("webhook: when no more ids can be remembered, more are refused", "[http]") {
  Received received({kSecret}, 2);
  const WebhookFields first = received.sign("1");
  CHECK(received.verify(first) == StatusCode::kOk);
  CHECK(received.verify(received.sign("2")) == StatusCode::kOk);
  CHECK(received.verify(received.sign("3")) == StatusCode::kUnavailable);
  // Not one of them is let in again for it.
  CHECK(received.verify(first) == StatusCode::kAborted);
  received.webhook->settle("1", true);
  CHECK(received.verify(received.sign("3")) == StatusCode::kUnavailable);
  received.webhook->settle("2", false);
  CHECK(received.verify(received.sign("3")) == StatusCode::kOk);
  received.webhook->settle("3", true);
  CHECK(received.verify(received.sign("4")) == StatusCode::kUnavailable);
  received.clock.advance(10min + 1s);
  CHECK(received.verify(received.sign("4")) == StatusCode::kUnavailable);
  received.clock.advance(1ns);
  CHECK(received.verify(received.sign("4")) == StatusCode::kOk);
  CHECK(received.verify(received.sign("5")) == StatusCode::kOk);
  // One that failed over and over takes no more than its place.
  for (int i = 0; i < 100; ++i) {
    received.webhook->settle("5", false);
    CHECK(received.verify(received.sign("5")) == StatusCode::kOk);
  }
  // However long it takes, one that is being handled is not forgotten.
  received.clock.advance(1h);
  CHECK(received.verify(received.sign("5")) == StatusCode::kAborted);
  CHECK(received.verify(received.sign("6")) == StatusCode::kUnavailable);
  received.webhook->settle("4", true);
  CHECK(received.verify(received.sign("6")) == StatusCode::kOk);
}

TEST_CASE("webhook: options are checked, and errors give no secret away", "[http]") {
  const auto fault = [](WebhookOptions options) {
    if (options.name.empty()) options.name = "x";
    return std::string(wisp::message(Webhook::make(options).status()));
  };
  CHECK(fault({.secrets = {secret_of('a', 24)}}).empty());
  CHECK(fault({.secrets = {secret_of('a', 64)}}).empty());
  CHECK(fault({.secrets = {secret_of('a', 23)}}) ==
        "WebhookOptions::secrets[0]: has 23 bytes, and may have 24 to 64");
  CHECK(fault({.secrets = {kSecret, secret_of('a', 65)}}) ==
        "WebhookOptions::secrets[1]: has 65 bytes, and may have 24 to 64");
  for (const std::string& secret :
       {kSecret.substr(6), "WHSEC_" + kSecret.substr(6), "whsec_" + kSecret, kSecret + "\n",
        kSecret.substr(0, kSecret.size() - 1), std::string(),
        std::string("whpk_") + kSecret.substr(6)})
    CHECK(fault({.secrets = {secret}}) == "WebhookOptions::secrets[0]: is not whsec_ and base64");
  CHECK(fault({}) == "WebhookOptions::secrets: there are 0, and may be 1 to 2");
  CHECK(fault({.secrets = {kSecret, kSecret, kSecret}}) ==
        "WebhookOptions::secrets: there are 3, and may be 1 to 2");
  CHECK(fault({.name = std::string(257, 'n'), .secrets = {kSecret}}) ==
        "WebhookOptions::name has 257 bytes, and may have 1 to 256");
  CHECK(fault({.secrets = {kSecret}, .tolerance = 0s}) ==
        "WebhookOptions::tolerance is 0 ns, and may be up to an hour");
  CHECK_FALSE(fault({.secrets = {kSecret}, .tolerance = 1h + 1ns}).empty());
  CHECK(fault({.secrets = {kSecret}, .ids = 0}) == "WebhookOptions::ids has to be positive");
}

TEST_CASE("webhook: of those that come at once one is taken", "[http]") {
  Received received;
  std::atomic<int> taken{0};
  std::vector<std::thread> all;
  for (int i = 0; i < 4; ++i)
    all.emplace_back([&] {
      for (int j = 0; j < 50; ++j)
        if (received.webhook->verify(kFields, kBody).ok()) ++taken;
    });
  for (std::thread& each : all) each.join();
  CHECK(taken == 1);
}
