// Who may call what of a gateway, over a real socket.
#include <wisp/http/api_keys.hpp>
#include <wisp/http/gateway.hpp>
#include <wisp/http/jwt.hpp>
#include <wisp/http/webhook.hpp>
#include <wisp/wisp.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "http/socket.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::http::ApiKeys;
using wisp::http::Gateway;
using wisp::http::GatewayOptions;
using wisp::http::JwtKey;
using wisp::http::JwtSigner;
using wisp::http::JwtVerifier;
using wisp::http::RouteOptions;
using wisp::test::body_of;
using wisp::test::get;
using wisp::test::post;
using wisp::test::Socket;
using wisp::test::status_of;

const auto whoami = wisp::function("whoami", [](const wisp::http::Request& request) {
  std::string text = request.caller.id + '@' + request.caller.tenant;
  for (const std::string& each : request.caller.roles) text += ' ' + each;
  return wisp::http::Response{.body = text};
});
const auto tenant =
    wisp::function("tenant", [](wisp::Context& context) { return std::string(context.tenant()); });
const auto twice = wisp::function("twice", [](int n) { return 2 * n; });
const auto cached = wisp::function("cached", [] {
  return wisp::http::Response{.headers = {{"cache-control", "public, max-age=60"}}};
});

const JwtKey kKey{.algorithm = wisp::http::JwtAlgorithm::hs256,
                  .material = "a secret that has more bytes than 32"};

std::string key_of(ApiKeys& keys, wisp::http::Principal who) {
  const auto made = ApiKeys::generate(std::move(who));
  REQUIRE(made.ok());
  REQUIRE(keys.add(made->record).ok());
  return made->key;
}

std::string token_of(const wisp::http::Principal& who, wisp::Clock* clock = nullptr) {
  const auto signer = JwtSigner::make(kKey, {.issuer = "test", .lifetime = 1h, .clock = clock});
  REQUIRE(signer.ok());
  return *signer->sign(who);
}

std::string bearer(std::string_view token) {
  return "Authorization: Bearer " + std::string(token) + "\r\n";
}
std::string x_key(std::string_view key) { return "X-API-Key: " + std::string(key) + "\r\n"; }

// Knows alice, who reads, by a key, and whoever has a token; reads and writes on its routes.
struct Guarded {
  explicit Guarded(GatewayOptions options = {}) {
    auto verifier = JwtVerifier::make({.keys = {kKey}, .issuer = "test"});
    REQUIRE(verifier.ok());
    tokens.emplace(*std::move(verifier));
    options.port = 0;
    options.api_keys = &keys;
    options.tokens = &*tokens;
    gateway.emplace(runtime, options);
    gateway->get("/whoami", whoami)
        .get("/tenant", tenant)
        .get("/tenant/here", tenant, {.run = wisp::http::Run::here})
        .get("/cached", cached)
        .post("/admin", whoami, {.roles = {"admin", "root"}})
        .get("/open", whoami, {.open = true})
        .post("/twice/{n}", twice, {.async = true})
        .post("/open/twice/{n}", twice, {.async = true, .open = true});
    const wisp::Status begun = gateway->start();
    INFO(wisp::to_string(begun));
    REQUIRE(begun.ok());
  }
  Socket client() const { return Socket(gateway->port()); }

  ApiKeys keys;
  std::string alice = key_of(keys, {.id = "alice", .tenant = "acme", .roles = {"reader"}});
  std::optional<JwtVerifier> tokens;
  wisp::Runtime runtime{wisp::Catalogue().add(whoami).add(tenant).add(twice).add(cached)};
  std::optional<Gateway> gateway;
};

std::string challenge_of(std::string_view response) {
  constexpr std::string_view kName = "\r\nWWW-Authenticate: ";
  const std::size_t at = response.find(kName);
  if (at == response.npos) return "";
  const std::size_t begin = at + kName.size();
  return std::string(response.substr(begin, response.find('\r', begin) - begin));
}

std::string location_of(std::string_view response) {
  const std::size_t at = response.find("Location: ") + 10;
  return std::string(response.substr(at, response.find('\r', at) - at));
}

}  // namespace

TEST_CASE("auth: a caller is known by what it shows", "[gateway]") {
  const Guarded guarded;
  Socket client = guarded.client();
  const std::string bob = token_of({.id = "bob", .tenant = "free", .roles = {"writer"}});
  const auto says = [&](std::string_view path, std::string_view fields) {
    const std::string response = client.ask(get(path, fields));
    CHECK(status_of(response) == 200);
    return body_of(response);
  };
  CHECK(says("/whoami", x_key(guarded.alice)) == "alice@acme reader");
  CHECK(says("/whoami", bearer(guarded.alice)) == "alice@acme reader");
  CHECK(says("/whoami", bearer(bob)) == "bob@free writer");
  CHECK(says("/whoami", "authorization:   bearer   " + bob + "  \r\n") == "bob@free writer");
  CHECK(says("/tenant", x_key(guarded.alice)) == R"("acme")");
  CHECK(says("/tenant/here", bearer(bob)) == R"("free")");
  // Nobody stays known.
  CHECK(says("/open", "") == "@");
  CHECK(says("/open", bearer("rubbish")) == "@");
  CHECK(status_of(client.ask(get("/whoami"))) == 401);
}

TEST_CASE("auth: who shows nothing, or nothing that is good, is told how to", "[gateway]") {
  Guarded guarded;
  Socket client = guarded.client();
  wisp::ManualClock past;
  const std::string expired = token_of({.id = "bob"}, &past);
  const std::string good = token_of({.id = "bob"});
  REQUIRE(guarded.keys.remove(guarded.alice.substr(5, 16)).ok());
  const std::string nothing = "Bearer";
  const std::string invalid = "Bearer error=\"invalid_token\"";
  const std::string both = x_key(guarded.alice) + bearer(good);
  struct Case {
    int status;
    std::string challenge;
    std::string fields;
  };
  const Case cases[] = {
      {401, nothing, ""},
      {401, nothing, "Authorization: Basic YWxpY2U6cGFzcw==\r\n"},
      {401, nothing, "Authorization: " + good + "\r\n"},
      {401, nothing, "Authorization:\r\n"},
      {401, nothing, "Cookie: token=" + good + "\r\n"},
      {401, invalid, bearer("")},
      {401, invalid, bearer("rubbish")},
      {401, invalid, bearer(expired)},
      {401, invalid, bearer(good.substr(0, good.size() - 1))},
      {401, invalid, bearer(good + " x")},
      {401, invalid, bearer("\"" + good + "\"")},
      {401, invalid, bearer(good.substr(0, good.rfind('.') + 1))},
      {401, invalid, bearer("eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IiLCJleHAiOjQxMDI0NDQ4MDB9.")},
      {401, invalid, bearer(guarded.alice)},  // is no more
      {401, invalid, x_key(guarded.alice)},
      {401, invalid, x_key("")},
      {401, invalid, x_key(good)},
      {400, "", both},
      {400, "", bearer(good) + bearer(good)},
      {400, "", x_key(guarded.alice) + "x-api-key: x\r\n"},
      {200, "", bearer(good)},
  };
  for (const Case& each : cases) {
    INFO(each.fields);
    const std::string response = client.ask(get("/whoami", each.fields));
    CHECK(status_of(response) == each.status);
    CHECK(challenge_of(response) == each.challenge);
    if (each.status == 200) continue;
    CHECK(response.find("application/problem+json") != response.npos);
    // Nothing of what was shown comes back, nor why it is no good.
    CHECK(body_of(response).find(good.substr(0, 12)) == std::string::npos);
    CHECK(body_of(response).find("wisp_") == std::string::npos);
    CHECK(body_of(response).find("signature") == std::string::npos);
  }
}

TEST_CASE("auth: everything needs it but what says that it does not", "[gateway]") {
  const Guarded guarded(
      GatewayOptions{.invoke = true, .cors = {.origins = {"https://app.example"}}});
  Socket client = guarded.client();
  for (const std::string_view path :
       {"/whoami", "/metrics", "/functions", "/openapi.json", "/nowhere", "/", "/calls/",
        "/calls/0123456789abcdef0123456789abcdef", "/admin", "/twice/1", "/healthz/", "/open/x"}) {
    INFO(path);
    CHECK(status_of(client.ask(get(path))) == 401);
    CHECK(status_of(client.ask("HEAD " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n")) ==
          401);
    CHECK(status_of(client.ask("OPTIONS " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n")) ==
          401);
  }
  for (const std::string_view path : {"/invoke/tenant", "/invoke/nothing", "/open", "/healthz"})
    CHECK(status_of(client.ask(post(path, ""))) == 401);
  for (const std::string_view path : {"/healthz", "/readyz", "/open"})
    CHECK(status_of(client.ask(get(path))) == 200);
  for (const std::string_view path : {"/metrics", "/functions", "/openapi.json"})
    CHECK(status_of(client.ask(get(path, x_key(guarded.alice)))) == 200);
  CHECK(status_of(client.ask(get("/nowhere", x_key(guarded.alice)))) == 404);
  // A browser asks without credentials whether it may send them: only if that is said.
  const auto asks = [](Socket& from) {
    return from.ask(
        "OPTIONS /whoami HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n"
        "Access-Control-Request-Method: GET\r\n"
        "Access-Control-Request-Headers: authorization\r\n\r\n");
  };
  const std::string told = asks(client);
  CHECK(status_of(told) == 204);
  CHECK(told.find("\r\nAccess-Control-Allow-Headers: Content-Type\r\n") != told.npos);
  const Guarded allows(
      GatewayOptions{.cors = {.origins = {"https://app.example"}, .headers = {"Authorization"}}});
  Socket other = allows.client();
  CHECK(asks(other).find("\r\nAccess-Control-Allow-Headers: Authorization\r\n") !=
        std::string::npos);
  // The page may read why it was refused.
  CHECK(other.ask(get("/whoami", "Origin: https://app.example\r\n"))
            .find("\r\nAccess-Control-Allow-Origin: https://app.example\r\n") != std::string::npos);
  const Guarded closed;
  Socket third = closed.client();
  CHECK(status_of(asks(third)) == 401);
}

TEST_CASE("auth: a role is needed where a route wants one, by whatever way", "[gateway]") {
  const Guarded guarded(GatewayOptions{.invoke = true});
  Socket client = guarded.client();
  const auto with = [](std::vector<std::string> roles) {
    return bearer(token_of({.id = "bob", .roles = std::move(roles)}));
  };
  for (const std::string_view path : {"/admin", "/invoke/whoami"}) {
    INFO(path);
    CHECK(status_of(client.ask(post(path, "", with({"admin"})))) == 200);
    CHECK(status_of(client.ask(post(path, "", with({"x", "root"})))) == 200);
    for (const auto& roles : std::vector<std::vector<std::string>>{
             {}, {"reader"}, {"Admin"}, {"admin "}, {"admin,root"}, {"administrator"}}) {
      const std::string refused = client.ask(post(path, "", with(roles)));
      CHECK(status_of(refused) == 403);
      CHECK(challenge_of(refused) == "Bearer error=\"insufficient_scope\"");
    }
    CHECK(status_of(client.ask(post(path, "", x_key(guarded.alice)))) == 403);
    CHECK(status_of(client.ask(post(path, ""))) == 401);
  }
  CHECK(body_of(client.ask(post("/invoke/tenant", "", x_key(guarded.alice)))) == R"("acme")");
}

TEST_CASE("auth: who is refused need not send the body", "[gateway]") {
  const Guarded guarded;
  for (const auto& [fields, status] : std::vector<std::pair<std::string, int>>{
           {"", 401}, {bearer("rubbish"), 401}, {x_key(guarded.alice), 403}}) {
    Socket client = guarded.client();
    const std::string response = client.ask("POST /admin HTTP/1.1\r\nHost: a\r\n" + fields +
                                            "Content-Length: 1048576\r\n\r\n");
    CHECK(status_of(response) == status);
    CHECK(response.find("\r\nConnection: close\r\n") != response.npos);
    client.say(get("/healthz"));
    CHECK(client.at_end());
  }
}

TEST_CASE("auth: the result of a call is for who began it", "[gateway]") {
  const Guarded guarded;
  Socket client = guarded.client();
  const std::string alice = x_key(guarded.alice);
  const std::string bob = bearer(token_of({.id = "bob"}));
  const std::string namesake = bearer(token_of({.id = "alice", .tenant = "acme"}));
  const auto result = [&](const std::string& path, const std::string& fields) {
    std::string response;
    while (status_of(response = client.ask(get(path, fields))) == 202) ::usleep(1'000);
    return response;
  };
  const auto cancels = [&](const std::string& path, const std::string& fields) {
    return status_of(client.ask("DELETE " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n"));
  };
  const std::string path = location_of(client.ask(post("/twice/21", "", alice)));
  CHECK(body_of(result(path, alice)) == "42");
  for (const std::string& each : {bob, namesake}) {
    CHECK(status_of(client.ask(get(path, each))) == 404);
    CHECK(body_of(client.ask(get(path, each))) ==
          body_of(client.ask(get("/calls/0123456789abcdef0123456789abcdef", each))));
    CHECK(cancels(path, each) == 404);
  }
  CHECK(status_of(client.ask(get(path))) == 401);
  CHECK(cancels(path, "") == 401);
  CHECK(status_of(client.ask(get(path, bearer("rubbish")))) == 401);
  CHECK(cancels(path, alice) == 204);
  CHECK(status_of(client.ask(get(path, alice))) == 404);
  // With other roles somebody is still the same.
  const std::string own = location_of(client.ask(post("/twice/1", "", bob)));
  CHECK(body_of(result(own, bearer(token_of({.id = "bob", .roles = {"x"}})))) == "2");
  // What nobody began is for whoever knows its id.
  const std::string nobodys = location_of(client.ask(post("/open/twice/4", "", "")));
  CHECK(body_of(result(nobodys, "")) == "8");
  CHECK(body_of(result(nobodys, bob)) == "8");
  CHECK(cancels(nobodys, "") == 204);
}

TEST_CASE("auth: what is for one caller is not for caches", "[gateway]") {
  const Guarded guarded;
  Socket client = guarded.client();
  const auto kept = [&](std::string_view path, std::string_view fields) {
    const std::string response = client.ask(get(path, fields));
    CHECK(status_of(response) == 200);
    return response.find("\r\nCache-Control: private\r\n") != response.npos;
  };
  const std::string alice = x_key(guarded.alice);
  CHECK(kept("/whoami", alice));
  CHECK(kept("/tenant/here", alice));
  CHECK(kept("/metrics", alice));
  CHECK_FALSE(kept("/cached", alice));
  CHECK_FALSE(kept("/open", alice));
}

TEST_CASE("auth: options that cannot be meant are refused", "[gateway]") {
  wisp::Runtime runtime{wisp::Catalogue().add(whoami)};
  const ApiKeys keys;
  auto hook = wisp::http::Webhook::make(
      {.name = "hook", .secrets = {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}});
  REQUIRE(hook.ok());
  const auto fault = [&](const RouteOptions& route, bool knows = true) {
    Gateway gateway{runtime, {.port = 0, .api_keys = knows ? &keys : nullptr}};
    gateway.post("/x", whoami, route);
    return std::string(wisp::message(gateway.start()));
  };
  CHECK(fault({}).empty());
  CHECK(fault({.open = true}).empty());
  CHECK(fault({.open = true}, false).empty());
  CHECK(fault({.roles = {"a"}}).empty());
  CHECK(fault({.webhook = &*hook}).empty());
  CHECK(fault({.webhook = &*hook}, false).empty());
  CHECK(fault({.open = true, .roles = {"a"}}) ==
        "route 'POST /x': is open, and wants a role of its callers");
  CHECK(fault({.roles = {"a", ""}}) == "route 'POST /x': wants an empty role");
  CHECK(fault({.roles = {"a"}}, false) ==
        "route 'POST /x': wants a role, and the gateway knows nobody: neither "
        "GatewayOptions::api_keys nor tokens");
  CHECK(fault({.roles = {"a"}, .webhook = &*hook}) ==
        "route 'POST /x': is a webhook, and who signs one has no roles");
  CHECK(fault({.open = true, .webhook = &*hook}) ==
        "route 'POST /x': is open, and a webhook is signed");
}

TEST_CASE("auth: the document says what is needed", "[gateway]") {
  const Guarded guarded;
  Socket client = guarded.client();
  const std::string document = body_of(client.ask(get("/openapi.json", x_key(guarded.alice))));
  CHECK(wisp::json::Document::parse(document).ok());
  CHECK(document.find(R"("security":[{"bearer":[]},{"key":[]}])") != document.npos);
  CHECK(document.find(R"("bearer":{"type":"http","scheme":"bearer"})") != document.npos);
  CHECK(document.find(R"("/open":{"get":{"security":[],)") != document.npos);
  CHECK(document.find(R"("/whoami":{"get":{"operationId")") != document.npos);
}
