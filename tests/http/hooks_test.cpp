// Signed webhooks at a gateway's routes.
#include <wisp/http/api_keys.hpp>
#include <wisp/http/gateway.hpp>
#include <wisp/http/webhook.hpp>
#include <wisp/wisp.hpp>

#include <atomic>
#include <optional>
#include <string>

#include "http/socket.hpp"

namespace {

using wisp::http::Gateway;
using wisp::http::Run;
using wisp::http::Webhook;
using wisp::http::WebhookFields;
using wisp::test::body_of;
using wisp::test::get;
using wisp::test::post;
using wisp::test::Socket;
using wisp::test::status_of;

struct Paid {
  int order = 0;
};
WISP_FIELDS(Paid, order)

std::string fields_of(const WebhookFields& fields) {
  return "Content-Type: application/json\r\nwebhook-id: " + fields.id +
         "\r\nwebhook-timestamp: " + fields.timestamp +
         "\r\nWebhook-Signature: " + fields.signature + "\r\n";
}

// A function that is told how to end.
struct Hooked {
  explicit Hooked(wisp::http::RouteOptions route = {}, bool guarded = false) {
    auto made = Webhook::make({.name = "payments",
                               .tenant = "acme",
                               .secrets = {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
                               .ids = 4});
    REQUIRE(made.ok());
    webhook.emplace(*std::move(made));
    route.webhook = &*webhook;
    gateway.emplace(runtime, wisp::http::GatewayOptions{
                                 .port = 0, .invoke = true, .api_keys = guarded ? &keys : nullptr});
    gateway->post("/paid", paid, route).get("/other", other);
    REQUIRE(gateway->start().ok());
  }
  std::string sent(std::string_view id, std::string_view body) const {
    return post("/paid", body, fields_of(*webhook->sign(id, body)));
  }

  std::atomic<int> calls{0};
  std::atomic<bool> fails{false};
  std::atomic<bool> may_end{true};
  wisp::Function<std::string, Paid> paid = wisp::function(
      "paid", [this](const Paid& event, wisp::Context& context) -> wisp::Result<std::string> {
        ++calls;
        while (!may_end) ::usleep(1'000);
        if (fails) return wisp::internal("no");
        return std::string(context.tenant()) + ' ' + std::to_string(event.order);
      });
  wisp::Function<int, void> other = wisp::function("other", [] { return 1; });
  wisp::http::ApiKeys keys;
  std::optional<Webhook> webhook;
  wisp::Runtime runtime{wisp::Catalogue().add(paid).add(other)};
  std::optional<Gateway> gateway;
};

}  // namespace

TEST_CASE("hooks: what is signed is called, once", "[gateway]") {
  for (const Run run : {Run::pool, Run::here}) {
    for (const bool guarded : {false, true}) {
      Hooked hooked({.run = run}, guarded);
      Socket client(hooked.gateway->port());
      const std::string first = hooked.sent("1", R"({"order":7})");
      CHECK(body_of(client.ask(first)) == R"("acme 7")");
      CHECK(hooked.calls == 1);
      // A repetition is told that all is well, and calls nothing.
      CHECK(status_of(client.ask(first)) == 204);
      CHECK(status_of(client.ask(hooked.sent("1", R"({"order":8})"))) == 204);
      CHECK(hooked.calls == 1);
      // One that failed may come again.
      hooked.fails = true;
      const std::string second = hooked.sent("2", R"({"order":9})");
      CHECK(status_of(client.ask(second)) == 500);
      CHECK(status_of(client.ask(second)) == 500);
      hooked.fails = false;
      CHECK(body_of(client.ask(second)) == R"("acme 9")");
      CHECK(status_of(client.ask(second)) == 204);
      CHECK(hooked.calls == 4);
      // So may one that was no input, and takes no place.
      for (int i = 0; i < 6; ++i)
        CHECK(status_of(client.ask(hooked.sent("3", R"({"order":"x"})"))) == 400);
      CHECK(status_of(client.ask(hooked.sent("4", R"({"order":1})"))) == 200);
      CHECK(status_of(client.ask(hooked.sent("5", R"({"order":1})"))) == 200);
      const std::string full = client.ask(hooked.sent("6", R"({"order":1})"));
      CHECK(status_of(full) == 503);
      CHECK(full.find("\r\nRetry-After: 1\r\n") != full.npos);
    }
  }
}

TEST_CASE("hooks: what is not signed calls nothing", "[gateway]") {
  Hooked hooked({}, true);
  Socket client(hooked.gateway->port());
  const std::string body = R"({"order":7})";
  const WebhookFields good = *hooked.webhook->sign("1", body);
  const auto refused = [&](const WebhookFields& fields, std::string_view sent) {
    const std::string response = client.ask(post("/paid", sent, fields_of(fields)));
    CHECK(status_of(response) == 401);
    CHECK(response.find("\r\nWWW-Authenticate: StandardWebhooks\r\n") != response.npos);
    CHECK(body_of(response).find("v1,") == std::string::npos);
  };
  refused({"2", good.timestamp, good.signature}, body);
  refused({good.id, "1614265330", good.signature}, body);
  refused({good.id, good.timestamp, "v1,"}, body);
  refused(good, R"({"order":8})");
  refused(good, body.substr(0, 5));
  CHECK(hooked.calls == 0);
  // Nor does another credential help.
  const auto made = wisp::http::ApiKeys::generate({});
  REQUIRE(hooked.keys.add(made->record).ok());
  const std::string key = "X-API-Key: " + made->key + "\r\n";
  const std::string json = "Content-Type: application/json\r\n";
  const auto status = [&](std::string_view path, const std::string& fields) {
    Socket another(hooked.gateway->port());
    return status_of(another.ask(post(path, body, json + fields)));
  };
  CHECK(status("/paid", key) == 401);
  CHECK(status("/invoke/paid", key) == 404);
  CHECK(status("/invoke/other", key) != 401);
  CHECK(hooked.calls == 0);
  CHECK(status_of(client.ask(post("/paid", body, fields_of(good)))) == 200);
}

TEST_CASE("hooks: what lacks a field is refused before its body", "[gateway]") {
  Hooked hooked;
  const WebhookFields good = *hooked.webhook->sign("1", "");
  const std::string id = "webhook-id: 1\r\n";
  const std::string timestamp = "webhook-timestamp: " + good.timestamp + "\r\n";
  const std::string signature = "webhook-signature: " + good.signature + "\r\n";
  for (const std::string& fields :
       {std::string(), id + timestamp, id + signature, timestamp + signature,
        id + id + timestamp + signature, id + timestamp + signature + signature}) {
    INFO(fields);
    Socket client(hooked.gateway->port());
    const std::string response = client.ask("POST /paid HTTP/1.1\r\nHost: a\r\n" + fields +
                                            "Content-Length: 1000000\r\n\r\n");
    CHECK(status_of(response) == 401);
    CHECK(client.at_end());
  }
}

TEST_CASE("hooks: a repetition waits for the first", "[gateway]") {
  Hooked hooked;
  hooked.may_end = false;
  const std::string request = hooked.sent("1", R"({"order":7})");
  Socket first(hooked.gateway->port());
  first.say(request);
  while (hooked.calls == 0) ::usleep(1'000);
  Socket second(hooked.gateway->port());
  CHECK(status_of(second.ask(request)) == 409);
  hooked.may_end = true;
  CHECK(status_of(first.hear()) == 200);
  CHECK(status_of(second.ask(request)) == 204);
  CHECK(hooked.calls == 1);
}

TEST_CASE("hooks: one that is answered before it is done is handled", "[gateway]") {
  Hooked hooked(wisp::http::RouteOptions{.async = true});
  Socket client(hooked.gateway->port());
  const std::string request = hooked.sent("1", R"({"order":7})");
  const std::string accepted = client.ask(request);
  CHECK(status_of(accepted) == 202);
  CHECK(accepted.find("Location") == std::string::npos);  // which the sender could not read
  CHECK(status_of(client.ask(request)) == 204);
  // One that cannot even begin is the sender's to send again.
  CHECK(hooked.runtime.stop(std::chrono::seconds(20)).status.ok());
  const std::string late = hooked.sent("2", R"({"order":8})");
  CHECK(status_of(client.ask(late)) == 503);
  CHECK(status_of(client.ask(late)) == 503);
}
