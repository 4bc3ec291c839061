// Functions behind a real socket.
#include <wisp/http/gateway.hpp>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <wisp/wisp.hpp>

#include "http/socket.hpp"

namespace {
struct Throws {};
}  // namespace
template <>
struct wisp::Codec<Throws> {
  static wisp::Status read(const wisp::Reader&, Throws&) { throw std::runtime_error("read"); }
  static void write(wisp::Writer&, const Throws&) { throw std::runtime_error("write"); }
};

namespace {

using namespace wisp::literals;
using wisp::http::Gateway;
using wisp::http::Run;
using wisp::test::body_of;
using wisp::test::detail_of;
using wisp::test::get;
using wisp::test::post;
using wisp::test::Socket;
using wisp::test::status_of;

struct Parcel {
  double kg = 0;
  std::string country;
};
WISP_FIELDS(Parcel, kg, country)

struct Price {
  std::int64_t cents = 0;
};
WISP_FIELDS(Price, cents)

struct Wanted {
  int id = 0;
  std::optional<bool> full;
  std::optional<std::string> text;
  std::vector<std::string> tag;
};
WISP_FIELDS(Wanted, id, full, text, tag)

struct Many {
  std::vector<int> count;
  std::optional<std::vector<bool>> on;
};
WISP_FIELDS(Many, count, on)

const auto price = wisp::function("price", [](const Parcel& parcel) -> wisp::Result<Price> {
  if (parcel.kg <= 0) return wisp::invalid_argument("a parcel weighs something");
  return Price{static_cast<std::int64_t>(490 + 120 * parcel.kg)};
});
const auto echo = wisp::function("echo", [](const Wanted& wanted) { return wanted; });
const auto many = wisp::function("many", [](const Many& all) { return all; });
const auto nothing = wisp::function("nothing", [] {});
const auto greet =
    wisp::function("greet", [](const std::string& name) { return "hello, " + name; });
const auto fails = wisp::function(
    "fails", []() -> wisp::Status { return wisp::internal("the password is hunter2"); });
const auto busy = wisp::function("busy", [] { return 1; }, {.limits = {.per_second = 0.01}});
const auto page = wisp::function("page", [](const wisp::http::Request& request) {
  return wisp::http::Response{.status = 201,
                              .content_type = "text/html",
                              .body = request.method + ' ' + request.path + '?' + request.query +
                                      ' ' + std::string(request.header("x-a").value_or("-")) + ' ' +
                                      request.body,
                              .headers = {{"X-B", "b"}}};
});
const auto splits = wisp::function(
    "splits", [] { return wisp::http::Response{.headers = {{"X-A", "1\r\nX-B: 2"}}}; });

struct Served {
  explicit Served(Run run = Run::pool, wisp::http::GatewayOptions options = {}) {
    options.port = 0;
    gateway.emplace(runtime, options);
    const wisp::http::RouteOptions how{.run = run};
    gateway->post("/price", price, how)
        .get("/things/{id}", echo, how)
        .post("/things/{id}", echo, how)
        .get("/many", many, how)
        .get("/nothing", nothing, how)
        .get("/greet/{name}", greet, how)
        .post("/greet", greet, how)
        .get("/fails", fails, how)
        .get("/busy", busy, how)
        .post("/pages/{name}", page, how)
        .get("/splits", splits, how);
    const wisp::Status begun = gateway->start();
    INFO(wisp::to_string(begun));
    REQUIRE(begun.ok());
    port = gateway->port();
  }

  wisp::Runtime runtime{wisp::Catalogue()
                            .add(price)
                            .add(echo)
                            .add(many)
                            .add(nothing)
                            .add(greet)
                            .add(fails)
                            .add(busy)
                            .add(page)
                            .add(splits)};
  std::optional<Gateway> gateway;
  int port = 0;
};

}  // namespace

TEST_CASE("gateway: a function's input comes from the path, the query and the body", "[gateway]") {
  for (const Run run : {Run::pool, Run::here}) {
    Served served(run);
    Socket client(served.port);
    const std::string priced = client.ask(post("/price", R"({"kg":2.5,"country":"PT"})"));
    CHECK(status_of(priced) == 200);
    CHECK(body_of(priced) == R"({"cents":790})");
    CHECK(priced.find("\r\nContent-Type: application/json\r\n") != priced.npos);
    CHECK(body_of(client.ask(post("/things/7", R"({"tag":["a"]})"))) == R"({"id":7,"tag":["a"]})");
    CHECK(body_of(client.ask(post("/things/7?full=true&text=1%202", R"({"tag":[]})"))) ==
          R"({"id":7,"full":true,"text":"1 2","tag":[]})");
    CHECK(body_of(client.ask(get("/many?count=3&count=-4&on=true"))) ==
          R"({"count":[3,-4],"on":[true]})");
    CHECK(body_of(client.ask(get("/many?count=3"))) == R"({"count":[3]})");
    CHECK(body_of(client.ask(get("/things/-7?tag=x"))) == R"({"id":-7,"tag":["x"]})");
    CHECK(body_of(client.ask(get("/things/7?tag=x&text=t&tag=y"))) ==
          R"({"id":7,"text":"t","tag":["x","y"]})");
    CHECK(body_of(client.ask(get("/greet/Jo%C3%A3o"))) == R"("hello, João")");
    CHECK(body_of(client.ask(post("/greet", R"("you")"))) == R"("hello, you")");
    const std::string empty = client.ask(get("/nothing"));
    CHECK(status_of(empty) == 204);
    CHECK(empty.find("Content-Length") == empty.npos);
    CHECK(served.runtime.bill(24h).lines.size() >= 3);
  }
}

TEST_CASE("gateway: what a client gets wrong is said to it", "[gateway]") {
  for (const Run run : {Run::pool, Run::here}) {
    Served served(run);
    Socket client(served.port);
    const auto refused = [&](const std::string& request, int status, std::string_view detail) {
      INFO(request);
      const std::string response = client.ask(request);
      CHECK(status_of(response) == status);
      CHECK(detail_of(response) == detail);
      CHECK(response.find("application/problem+json") != response.npos);
    };
    refused(post("/price", R"({"kg":"heavy","country":"PT"})"), 400,
            R"(kg: expected a number, got \"heavy\")");
    refused(post("/price", R"({"kg":1})"), 400, "country: is missing");
    refused(post("/price", R"({"kg":1,"country":"PT","x":1})"), 400,
            "x: Parcel has no such member");
    refused(post("/price", R"({"kg":-1,"country":"PT"})"), 400, "a parcel weighs something");
    refused(post("/price", R"([1])"), 400, "the value: expected an object, got an array of 1");
    refused(post("/price", "{"), 400, "no JSON at line 1, byte 2: incomplete JSON");
    refused(post("/price", std::string(33, '[') + std::string(33, ']')), 400,
            "line 1, byte 33: arrays and objects are nested deeper than 32");
    refused(post("/price", "{}", ""), 415, "the body has to be application/json");
    refused(post("/price", "{}", "Content-Type: text/plain\r\n"), 415,
            "the body has to be application/json");
    refused(get("/things/seven"), 400, R"(id: expected a number, got \"seven\")");
    refused(post("/price", R"({"kg":1,"country":"PT"})",
                 "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"),
            415, "the body has to come without a content coding");
    refused(get("/things/7?full=true&full=true&tag=x"), 400,
            "full: expected true or false, got an array of 2");
    refused(get("/many?count=3&count=x"), 400, R"(count[1]: expected a number, got \"x\")");
    refused(get("/things/7?nothing=1"), 400, "nothing: Wanted has no such member");
    refused(get("/things/7?full=yes&tag=x"), 400, R"(full: expected true or false, got \"yes\")");
    refused(get("/things/7?id=8&tag=x"), 400, "id: is there twice");
    refused(get("/things/7?tag=%c3"), 400, "the query is no UTF-8");
    refused(get("/nowhere"), 404, "there is nothing at this path");
    refused(get("/price"), 405, "this path has no such method");
    refused(get("/fails"), 500, "the function failed");
    refused(get("/things/7?tag=x", "X-Request-Timeout-Ms: soon\r\n"), 400,
            R"(x-request-timeout-ms: expected a number of milliseconds, got \"soon\")");
  }
}

TEST_CASE("gateway: methods of a path", "[gateway]") {
  Served served;
  Socket client(served.port);
  const std::string head = client.ask("HEAD /things/7?tag=x HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(status_of(head) == 200);
  CHECK(head.find("Content-Length: 20") != head.npos);
  CHECK(body_of(head).empty());
  const std::string options = client.ask("OPTIONS /things/7 HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(status_of(options) == 204);
  CHECK(options.find("Allow: GET, HEAD, POST, OPTIONS\r\n") != options.npos);
  CHECK(status_of(client.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")) == 204);
  const std::string refused = client.ask("PUT /price HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(status_of(refused) == 405);
  CHECK(refused.find("Allow: POST, OPTIONS\r\n") != refused.npos);
}

TEST_CASE("gateway: a function that wants the request has all of it", "[gateway]") {
  for (const Run run : {Run::pool, Run::here}) {
    Served served(run);
    Socket client(served.port);
    const std::string made = client.ask(post("/pages/a%20b?x=%20", "raw", "X-A: 1\r\n"));
    CHECK(status_of(made) == 201);
    CHECK(made.find("\r\nContent-Type: text/html\r\nX-B: b\r\n") != made.npos);
    CHECK(body_of(made) == "POST /pages/a b?x=%20 1 raw");
    CHECK(status_of(client.ask(get("/splits"))) == 500);
  }
}

TEST_CASE("gateway: what is beyond a function's rate is told when to come again", "[gateway]") {
  Served served;
  Socket client(served.port);
  CHECK(status_of(client.ask(get("/busy"))) == 200);
  const std::string refused = client.ask(get("/busy"));
  CHECK(status_of(refused) == 429);
  CHECK(refused.find("\r\nRetry-After: 1\r\n") != refused.npos);
}

TEST_CASE("gateway: says what it has", "[gateway]") {
  Served served;
  Socket client(served.port);
  client.ask(post("/price", R"({"kg":1,"country":"PT"})"));
  CHECK(body_of(client.ask(get("/healthz"))) == "ok\n");
  CHECK(status_of(client.ask(get("/readyz"))) == 200);
  const std::string functions = body_of(client.ask(get("/functions")));
  CHECK(functions.find(
            R"({"name":"price","version":1,"calls":1,"errors":0,"routes":["POST /price"]})") !=
        functions.npos);
  const std::string metrics = body_of(client.ask(get("/metrics")));
  CHECK(metrics.find("\nwisp_calls_total{function=\"price\",version=\"1\"} 1\n") != metrics.npos);
  CHECK(metrics.find("\nwisp_http_requests_total{status=\"2xx\"} 4\n") != metrics.npos);
  CHECK(metrics.find("\nwisp_http_connections 1\n") != metrics.npos);
  const std::string document = body_of(client.ask(get("/openapi.json")));
  CHECK(wisp::json::Document::parse(document).ok());
  CHECK(document.find(R"("schema":{"$ref":"#/components/schemas/Parcel"})") != document.npos);
  CHECK(document.find(R"("/things/{id}":{"get":)") != document.npos);
  const auto has = [&](std::string_view parameter) {
    return document.find(parameter) != document.npos;
  };
  CHECK(has(R"({"name":"id","in":"path","required":true,"schema":{"type":"integer",)"));
  CHECK(has(R"({"name":"full","in":"query","required":false,"schema":{"type":"boolean"}})"));
  CHECK(has(R"("schema":{"type":"array","items":{"type":"string"}})"));
  CHECK(has(R"("schema":{"type":"array","items":{"type":"integer",)"));
  CHECK_FALSE(has(R"("name":"id","in":"query")"));
}

TEST_CASE("gateway: what cannot be served is refused before it is", "[gateway]") {
  wisp::Runtime runtime{wisp::Catalogue().add(price).add(echo)};
  const auto refusal = [&](auto&& add, wisp::http::GatewayOptions options = {.port = 0}) {
    Gateway gateway{runtime, options};
    add(gateway);
    return std::string(wisp::message(gateway.start()));
  };
  CHECK(refusal([](Gateway& g) { g.get("/price/{weight}", price); }) ==
        "route 'GET /price/{weight}': the parameter 'weight' is no field of Parcel");
  CHECK(refusal([](Gateway& g) { g.get("/x/{tag}", echo); }) ==
        "route 'GET /x/{tag}': the parameter 'tag' of Wanted is neither a text nor a number");
  CHECK(refusal([](Gateway& g) { g.get("/x/{id}", echo).get("/x/{text}", echo); }) ==
        "route 'GET /x/{text}': there is another one of this shape");
  CHECK(refusal([](Gateway& g) { g.get("x", echo); }) == "route 'x': a path begins with a slash");
  CHECK(refusal([](Gateway& g) { g.get("/a{id}", echo); }) ==
        "route '/a{id}': 'a{id}' is neither text nor one parameter");
  CHECK(refusal([](Gateway& g) { g.get("/{id}/{id}", echo); }) ==
        "route '/{id}/{id}': has the parameter 'id' twice");
  const auto absent = wisp::function("absent", [] {});
  CHECK(refusal([&](Gateway& g) {
          g.post("/x/{id}", echo).get("/y", absent);
        }).starts_with("route 'GET /y': function 'absent' ("));
  CHECK(refusal([](Gateway& g) { g.get("/y", wisp::named<void()>("absent")); }) ==
        "route 'GET /y': no function 'absent'");
  CHECK(refusal([](Gateway& g) {
          g.get("/y", wisp::named<int()>("price"));
        }).starts_with("route 'GET /y': function 'price' takes "));
  CHECK(refusal([](Gateway&) {}, {.port = 70'000}) ==
        "GatewayOptions::port is 70000, and may be 0 to 65535");
  CHECK(refusal([](Gateway&) {}, {.address = "nowhere", .port = 0}) ==
        "GatewayOptions::address is 'nowhere', and has to be an IP address");
  Gateway first{runtime, {.port = 0}};
  REQUIRE(first.start().ok());
  for (const int threads : {1, 2}) {
    Gateway second{runtime, {.port = first.port(), .threads = threads}};
    for (int times = 0; times < 2; ++times) {
      const wisp::Status begun = second.start();
      CHECK(wisp::message(begun).find("Address already in use") != std::string_view::npos);
    }
    CHECK(second.port() == 0);
    CHECK(second.stop(20s).ok());  // at once
  }
}

TEST_CASE("gateway: pages of other origins may call it if they are named", "[gateway]") {
  Served served(Run::pool, {.cors = {.origins = {"https://app.example.com"},
                                     .headers = {"Content-Type", "X-A"}}});
  Socket client(served.port);
  const auto asks = [&](std::string_view origin) {
    return client.ask("OPTIONS /price HTTP/1.1\r\nHost: a\r\nOrigin: " + std::string(origin) +
                      "\r\nAccess-Control-Request-Method: POST\r\n\r\n");
  };
  const std::string told = asks("https://app.example.com");
  CHECK(status_of(told) == 204);
  CHECK(told.find("\r\nAccess-Control-Allow-Origin: https://app.example.com\r\n") != told.npos);
  CHECK(told.find("\r\nAccess-Control-Allow-Methods: POST\r\n") != told.npos);
  CHECK(told.find("\r\nAccess-Control-Allow-Headers: Content-Type, X-A\r\n") != told.npos);
  CHECK(told.find("\r\nAccess-Control-Max-Age: 600\r\n") != told.npos);
  CHECK(told.find("\r\nAccess-Control-Expose-Headers: ETag, Location, Retry-After\r\n") !=
        told.npos);
  const std::string result = client.ask(
      "OPTIONS /calls/1 HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\n"
      "Access-Control-Request-Method: DELETE\r\n\r\n");
  CHECK(status_of(result) == 204);
  CHECK(result.find("\r\nAccess-Control-Allow-Methods: DELETE, GET, HEAD\r\n") != result.npos);
  for (const std::string_view other : {"https://app.example.com.evil.org", "http://app.example.com",
                                       "null", "*", "https://app.example.com/"}) {
    const std::string refused = asks(other);
    CHECK(refused.find("Access-Control-Allow-Origin") == refused.npos);
    CHECK(refused.find("\r\nVary: Origin\r\n") != refused.npos);
  }
  constexpr std::string_view kOrigin = "Origin: https://app.example.com\r\n";
  for (const std::string_view path : {"/things/7?tag=x", "/nowhere", "/healthz", "/things/seven"}) {
    const std::string answer = client.ask(get(path, kOrigin));
    CHECK(answer.find("\r\nAccess-Control-Allow-Origin: https://app.example.com\r\n") !=
          answer.npos);
  }
  Served closed;
  Socket other(closed.port);
  CHECK(other.ask(get("/healthz", kOrigin)).find("Access-Control") == std::string::npos);
  wisp::Runtime runtime;
  Gateway wrong{runtime, {.port = 0, .cors = {.origins = {"https://a.example/path"}}}};
  const wisp::Status refused = wrong.start();
  CHECK(wisp::message(refused) ==
        "GatewayOptions::cors.origins: 'https://a.example/path' is no origin like "
        "https://app.example.com");
}

TEST_CASE("gateway: pages of other origins change nothing", "[gateway]") {
  Served served;
  Socket client(served.port);
  const auto posts = [&](std::string_view target, std::string_view fields) {
    return status_of(client.ask(post(target, "", fields)));
  };
  // All that a page can send without asking before.
  for (const std::string_view type : {"", "Content-Type: text/plain\r\n",
                                      "Content-Type: application/x-www-form-urlencoded\r\n"}) {
    for (const std::string_view from :
         {"Origin: https://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"})
      CHECK(posts("/price?kg=1&country=PT", std::string(type) + std::string(from)) == 403);
    CHECK(posts("/price?kg=1&country=PT", type) == (type.empty() ? 200 : 415));
  }
  CHECK(posts("/price?kg=1&country=PT", "Origin: http://a\r\n") == 200);
  CHECK(posts("/price?kg=1&country=PT", "Sec-Fetch-Site: same-origin\r\n") == 200);
  Served named(Run::here, {.hosts = {"api.example.com", "[::1]"}});
  Socket other(named.port);
  const auto host = [&](std::string_view name) {
    return status_of(other.ask("GET /nothing HTTP/1.1\r\nHost: " + std::string(name) + "\r\n\r\n"));
  };
  CHECK(host("api.example.com") == 204);
  CHECK(host("API.example.com:8080") == 204);
  CHECK(host("[::1]:8080") == 204);
  CHECK(host("evil.example") == 421);
  CHECK(host("api.example.com.evil.example") == 421);
}

TEST_CASE("gateway: what a codec throws is a failure of the function", "[gateway]") {
  const auto takes = wisp::function("takes", [](const Throws&) { return 1; });
  const auto gives = wisp::function("gives", [] { return Throws{}; });
  wisp::Runtime runtime{wisp::Catalogue().add(takes).add(gives)};
  Gateway gateway{runtime, {.port = 0}};
  gateway.post("/takes", takes)
      .post("/takes/here", takes, {.run = Run::here})
      .get("/gives", gives)
      .get("/gives/here", gives, {.run = Run::here});
  REQUIRE(gateway.start().ok());
  Socket client(gateway.port());
  CHECK(status_of(client.ask(post("/takes", "1"))) == 500);
  CHECK(status_of(client.ask(post("/takes/here", "1"))) == 500);
  CHECK(status_of(client.ask(get("/gives"))) == 500);
  CHECK(status_of(client.ask(get("/gives/here"))) == 500);
}

TEST_CASE("gateway: any function of a route by its name, where that is wanted", "[gateway]") {
  Served served(Run::pool, {.invoke = true});
  Socket client(served.port);
  CHECK(body_of(client.ask(post("/invoke/price", R"({"kg":2.5,"country":"PT"})"))) ==
        R"({"cents":790})");
  CHECK(body_of(client.ask(post("/invoke/echo", R"({"id":1,"tag":[]})"))) ==
        R"({"id":1,"tag":[]})");
  CHECK(status_of(client.ask(post("/invoke/other", "{}"))) == 404);
  CHECK(status_of(client.ask(get("/invoke/price"))) == 404);
  Served closed;
  Socket other(closed.port);
  CHECK(status_of(other.ask(post("/invoke/price", R"({"kg":2.5,"country":"PT"})"))) == 404);
}
