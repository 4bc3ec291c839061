// What the document says, read as its readers do: nothing that the gateway would refuse.
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
enum class Folder { inbox, archive };
WISP_ENUM(Folder, inbox, archive)
struct Search {
  std::string text;
  std::optional<std::int16_t> most;
  std::optional<Folder> in;
  std::optional<std::chrono::seconds> within;
  std::vector<Folder> any;
};
WISP_FIELDS(Search, text, most, in, within, any)

const auto change = wisp::function("change", [](const ChangedLetter& letter) { return letter; });
const auto seal = wisp::function("seal", [](const LetterId& letter) { return letter.id; });
const auto find_letters =
    wisp::function("letters.find", [](const Search& search) { return search; });
const auto burn = wisp::function("burn", [](const LetterId&) {});
const auto raw = wisp::function("raw", [] { return wisp::http::Response{.status = 418}; });

struct Documented {
  Documented() {
    const auto key = wisp::http::ApiKeys::generate({.id = "anna"});
    REQUIRE(keys.add(key->record).ok());
    shown = "X-API-Key: " + key->key + "\r\n";
    gateway.emplace(runtime, wisp::http::GatewayOptions{.port = 0, .api_keys = &keys});
    gateway->put("/letters/{id}", change, {.caller = "owner"})
        .post("/letters/{id}/seal", seal, {.caller = "owner"})
        .post("/letters/{id}/later", seal, {.async = true, .caller = "owner"})
        .remove("/letters/{id}", burn, {.caller = "owner"})
        .get("/letters", find_letters)
        .get("/raw", raw)
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
  wisp::Runtime runtime{
      wisp::Catalogue().add(change).add(seal).add(find_letters).add(burn).add(raw)};
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
  CHECK(status_of(it.ask("GET", "/letters?text=t&any=inbox")) == 200);
  const std::string later = it.part("/letters/{id}/later");
  CHECK(mentions(later, R"("responses":{"202":)"));
  CHECK_FALSE(mentions(later, R"("200")"));
  CHECK(status_of(it.ask("POST", "/letters/7/later")) == 202);
  CHECK(mentions(it.part("/open"), R"("security":[])"));
  CHECK_FALSE(mentions(it.part("/closed"), R"("security":[])"));
}

TEST_CASE("openapi: what a text of the path or the query may be is what its field may",
          "[openapi]") {
  Documented it;
  CHECK(mentions(it.part("/letters/{id}"), R"({"name":"id","in":"path","required":true,)"
                                           R"("schema":{"type":"integer","minimum":-2147483648,)"));
  const std::string found = it.part("/letters");
  INFO(found);
  CHECK(mentions(found, R"("name":"most","in":"query","required":false,"schema":{"type":"integer",)"
                        R"("minimum":-32768,"maximum":32767})"));
  CHECK(mentions(found, R"("name":"in","in":"query","required":false,)"
                        R"("schema":{"enum":["inbox","archive"]}})"));
  CHECK(mentions(found,
                 R"("name":"within","in":"query","required":false,"schema":{"type":"string")"));
  CHECK(mentions(found, R"("schema":{"type":"array","items":{"enum":["inbox","archive"]}})"));
  const auto got = [&](std::string_view query) {
    return it.ask("GET", "/letters?text=t&any=inbox" + std::string(query));
  };
  CHECK(body_of(got("&most=7&in=archive&within=90s&any=archive")) ==
        R"({"text":"t","most":7,"in":"archive","within":"90s","any":["inbox","archive"]})");
  CHECK(status_of(got("&most=32768")) == 400);
  CHECK(status_of(got("&in=attic")) == 400);
  CHECK(status_of(got("&within=soon")) == 400);
  CHECK(status_of(got("&within=1s&within=2s")) == 400);
}

TEST_CASE("openapi: each answer is named, and each operation by a word of its own", "[openapi]") {
  Documented it;
  const auto responses = [&](std::string_view path, std::string_view method) {
    const std::string all = it.part(path);
    const std::size_t at = all.find("\"" + std::string(method) + "\":{");
    REQUIRE(at != all.npos);
    return all.substr(all.find("\"responses\"", at), 40);
  };
  CHECK(responses("/letters/{id}", "delete").starts_with(R"("responses":{"204":)"));
  CHECK(status_of(it.ask("DELETE", "/letters/7")) == 204);
  CHECK(responses("/letters/{id}", "put").starts_with(R"("responses":{"200":)"));
  CHECK(responses("/raw", "get").starts_with(R"("responses":{"default":)"));
  CHECK(mentions(it.part("/raw"), R"("4XX":{"$ref":"#/components/responses/Problem"},"5XX":{)"));
  CHECK(mentions(it.part("/open"), R"("4XX":{"$ref":"#/components/responses/Problem"})"));
  CHECK(mentions(it.document, R"("responses":{"Problem":{"description":)"));
  for (const std::string_view id :
       {"letters_find", "change", "seal", "seal_2", "burn", "events_open"})
    CHECK(mentions(it.document, "\"operationId\":\"" + std::string(id) + "\""));
}
