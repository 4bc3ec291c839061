// What the document says, read as its readers do: nothing that the gateway would refuse.
#include <optional>
#include <string>
#include <string_view>

#include <wisp/http/api_keys.hpp>
#include <wisp/http/gateway.hpp>
#include <wisp/wisp.hpp>

#include "http/socket.hpp"

namespace {

using wisp::test::body_of;
using wisp::test::get;
using wisp::test::status_of;

struct ChangedLetter {
  std::string owner;  // who calls
  int id = 0;
  std::string text;
  std::optional<bool> urgent;
};
WISP_FIELDS(ChangedLetter, owner, id, text, urgent)
struct LetterId {
  std::string owner;
  int id = 0;
};
WISP_FIELDS(LetterId, owner, id)
struct Search {
  std::string text;
  std::optional<int> most;
};
WISP_FIELDS(Search, text, most)

const auto change = wisp::function("change", [](const ChangedLetter& letter) { return letter; });
const auto seal = wisp::function("seal", [](const LetterId& letter) { return letter.id; });
const auto find_letters = wisp::function("find", [](const Search& search) { return search.text; });

struct Documented {
  Documented() {
    const auto key = wisp::http::ApiKeys::generate({.id = "anna"});
    REQUIRE(keys.add(key->record).ok());
    shown = "X-API-Key: " + key->key + "\r\n";
    gateway.emplace(runtime, wisp::http::GatewayOptions{.port = 0, .api_keys = &keys});
    gateway->put("/letters/{id}", change, {.caller = "owner"})
        .post("/letters/{id}/seal", seal, {.caller = "owner"})
        .post("/letters/{id}/later", seal, {.async = true, .caller = "owner"})
        .get("/letters", find_letters)
        .events<Search>("/open", "open.>", {.open = true})
        .events<Search>("/closed", "closed.>");
    REQUIRE(gateway->start().ok());
    document = body_of(ask("GET", "/openapi.json"));
  }
  std::string ask(std::string_view method, std::string_view path, std::string_view body = "") {
    wisp::test::Socket client(gateway->port());
    std::string text =
        std::string(method) + ' ' + std::string(path) + " HTTP/1.1\r\nHost: a\r\n" + shown +
        "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
        "\r\n\r\n" + std::string(body);
    return client.ask(text);
  }
  // Of the document, from that path on to the next one.
  std::string part(std::string_view path) const {
    const std::size_t at = document.find("\"" + std::string(path) + "\":{\"");
    REQUIRE(at != document.npos);
    const std::size_t next = document.find("},\"/", at);
    return document.substr(at, next == document.npos ? next : next - at);
  }

  wisp::http::ApiKeys keys;
  wisp::Runtime runtime{wisp::Catalogue().add(change).add(seal).add(find_letters)};
  std::optional<wisp::http::Gateway> gateway;
  std::string shown;
  std::string document;
};

bool mentions(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

}  // namespace

TEST_CASE("openapi: a body is what does not come from the path or from who calls", "[openapi]") {
  Documented it;
  REQUIRE(wisp::json::Document::parse(it.document).ok());
  const std::string letter = it.part("/letters/{id}");
  INFO(letter);
  CHECK(mentions(letter, R"("required":["text"],"additionalProperties":false)"));
  CHECK(mentions(letter, R"("urgent":{)"));
  CHECK_FALSE(mentions(letter, "\"owner\""));
  // As it says.
  CHECK(status_of(it.ask("PUT", "/letters/7", R"({"text":"t"})")) == 200);
  CHECK(status_of(it.ask("PUT", "/letters/7", R"({"text":"t","urgent":true})")) == 200);
  CHECK(status_of(it.ask("PUT", "/letters/7", R"({"owner":"x","id":7,"text":"t"})")) == 400);
  // Nothing is left for one here.
  CHECK_FALSE(mentions(it.part("/letters/{id}/seal"), "requestBody"));
  CHECK(status_of(it.ask("POST", "/letters/7/seal")) == 200);
}

TEST_CASE("openapi: what is asked for, answered and guarded is what is there", "[openapi]") {
  Documented it;
  const std::string found = it.part("/letters");
  CHECK(mentions(found, R"({"name":"text","in":"query","required":true,)"));
  CHECK(mentions(found, R"({"name":"most","in":"query","required":false,)"));
  CHECK(status_of(it.ask("GET", "/letters")) == 400);
  CHECK(status_of(it.ask("GET", "/letters?text=t")) == 200);
  const std::string later = it.part("/letters/{id}/later");
  CHECK(mentions(later, R"("responses":{"202":)"));
  CHECK_FALSE(mentions(later, R"("200")"));
  CHECK(status_of(it.ask("POST", "/letters/7/later")) == 202);
  CHECK(mentions(it.part("/open"), R"("security":[])"));
  CHECK_FALSE(mentions(it.part("/closed"), R"("security":[])"));
}
