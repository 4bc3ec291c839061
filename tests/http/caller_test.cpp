// Inputs that say who calls.
#include <wisp/http/api_keys.hpp>
#include <wisp/http/gateway.hpp>
#include <wisp/http/jwt.hpp>
#include <wisp/wisp.hpp>

#include <optional>
#include <string>
#include <string_view>

#include "http/socket.hpp"

namespace {

using wisp::http::Gateway;
using wisp::test::body_of;
using wisp::test::get;
using wisp::test::post;
using wisp::test::Socket;
using wisp::test::status_of;

struct Mine {
  std::string owner;
  int id = 0;
  std::optional<std::string> text;
};
WISP_FIELDS(Mine, owner, id, text)
struct Change {
  int id = 0;
};
WISP_FIELDS(Change, id)

const auto mine = wisp::function("mine", [](const Mine& what) { return what; });

struct ServedCallers {
  ServedCallers() {
    const auto made = wisp::http::ApiKeys::generate({.id = "anna \"x\"", .roles = {"user"}});
    REQUIRE(made.ok());
    REQUIRE(keys.add(made->record).ok());
    key = "X-API-Key: " + made->key + "\r\n";
    gateway.emplace(runtime,
                    wisp::http::GatewayOptions{.port = 0, .invoke = true, .api_keys = &keys});
    gateway->get("/mine/{id}", mine, {.caller = "owner"})
        .post("/mine", mine, {.unknown = wisp::UnknownMembers::ignore, .caller = "owner"})
        .events<Change>("/changes", "changes.*", {.roles = {"user"}})
        .events<Change>("/all", "changes.*", {.roles = {"admin"}});
    const wisp::Status begun = gateway->start();
    INFO(wisp::to_string(begun));
    REQUIRE(begun.ok());
  }

  wisp::http::ApiKeys keys;
  std::string key;
  wisp::Runtime runtime{wisp::Catalogue().add(mine)};
  std::optional<Gateway> gateway;
};

}  // namespace

TEST_CASE("caller: is the one who shows a credential, whatever the request says", "[gateway]") {
  ServedCallers served;
  Socket client(served.gateway->port());
  const std::string known = R"({"owner":"key:anna \"x\"","id":7)";
  CHECK(body_of(client.ask(get("/mine/7", served.key))) == known + "}");
  CHECK(body_of(client.ask(get("/mine/7?text=t", served.key))) == known + R"(,"text":"t"})");
  const std::string json = "Content-Type: application/json\r\n" + served.key;
  CHECK(body_of(client.ask(post("/mine", R"({"id":7})", json))) == known + "}");
  CHECK(body_of(client.ask(post("/invoke/mine", R"({"id":7})", json))) == known + "}");
  for (const std::string& forged :
       {get("/mine/7?owner=bert", served.key), post("/mine", R"({"id":7,"owner":"bert"})", json),
        post("/mine?owner=bert", R"({"id":7})", json),
        post("/invoke/mine", R"({"owner":"bert","id":7})", json)}) {
    const std::string refused = client.ask(forged);
    CHECK(status_of(refused) == 400);
    CHECK(body_of(refused).find("owner: is there twice") != std::string::npos);
  }
  CHECK(status_of(client.ask(get("/mine/7"))) == 401);
  const std::string document = body_of(client.ask(get("/openapi.json", served.key)));
  CHECK(document.find(R"({"name":"text","in":"query")") != document.npos);
  CHECK(document.find(R"("name":"owner")") == document.npos);
}

TEST_CASE("caller: a key and a token of one id are two", "[gateway]") {
  const wisp::http::JwtKey key{.algorithm = wisp::http::JwtAlgorithm::hs256,
                               .material = "a secret that has more bytes than 32"};
  const auto signer = wisp::http::JwtSigner::make(key, {.issuer = "test"});
  const auto tokens = wisp::http::JwtVerifier::make({.keys = {key}, .issuer = "test"});
  const auto any = wisp::http::JwtVerifier::make({.keys = {key}});
  REQUIRE((signer.ok() && tokens.ok() && any.ok()));
  ServedCallers served;
  Gateway gateway(served.runtime, {.port = 0, .api_keys = &served.keys, .tokens = &*tokens});
  gateway.get("/mine/{id}", mine, {.caller = "owner"});
  REQUIRE(gateway.start().ok());
  const std::string token = *signer->sign({.id = "anna \"x\""});
  Socket client(gateway.port());
  CHECK(body_of(client.ask(get("/mine/7", "Authorization: Bearer " + token + "\r\n"))) ==
        R"({"owner":"token:anna \"x\"","id":7})");
  CHECK(body_of(client.ask(get("/mine/7", served.key))) == R"({"owner":"key:anna \"x\"","id":7})");
  Gateway open(served.runtime, {.port = 0, .tokens = &*any});
  open.get("/mine/{id}", mine, {.caller = "owner"});
  CHECK(wisp::message(open.start()) ==
        "route 'GET /mine/{id}': has a field that is who calls, and takes tokens of any issuer");
}

TEST_CASE("caller: follows events where it has the role", "[gateway]") {
  ServedCallers served;
  CHECK(status_of(Socket(served.gateway->port()).ask(get("/changes"))) == 401);
  CHECK(status_of(Socket(served.gateway->port()).ask(get("/all", served.key))) == 403);
  Socket client(served.gateway->port());
  client.say(get("/changes", served.key));
  CHECK(status_of(client.hear_until(":\n\n")) == 200);
  CHECK(served.runtime.emit("changes.7", Change{7}).ok());
  CHECK(client.hear_until("\n\n").find("data: {\"id\":7}\n") != std::string::npos);
}

TEST_CASE("caller: options that cannot be meant are refused", "[gateway]") {
  ServedCallers served;
  const auto refusal = [&](auto&& add, bool guarded = true) {
    Gateway gateway(served.runtime, {.port = 0, .api_keys = guarded ? &served.keys : nullptr});
    add(gateway);
    return std::string(wisp::message(gateway.start()));
  };
  CHECK(refusal([](Gateway& g) { g.get("/m/{id}", mine, {.caller = "who"}); }) ==
        "route 'GET /m/{id}': the caller 'who' is no text among the fields of its input");
  CHECK(refusal([](Gateway& g) { g.get("/m", mine, {.caller = "id"}); }) ==
        "route 'GET /m': the caller 'id' is no text among the fields of its input");
  CHECK(refusal([](Gateway& g) { g.get("/m/{owner}", mine, {.caller = "owner"}); }) ==
        "route 'GET /m/{owner}': the caller 'owner' is a parameter of the path");
  const std::string unasked =
      "route 'GET /m': has a field that is who calls, and does not ask who that is";
  CHECK(refusal([](Gateway& g) { g.get("/m", mine, {.open = true, .caller = "owner"}); }) ==
        unasked);
  CHECK(refusal([](Gateway& g) { g.get("/m", mine, {.caller = "owner"}); }, false) == unasked);
  CHECK(refusal([](Gateway& g) { g.events<Change>("/e", "e", {.async = true}); }) ==
        "route 'GET /e': events are no call: of the options they have but open and roles");
}
