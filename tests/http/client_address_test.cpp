// Where the client goes, and where it is not led: addresses and redirects.
#include <atomic>
#include <chrono>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <wisp/http/client.hpp>
#include <wisp/wisp.hpp>

#include "http/raw_server.hpp"

namespace {

using namespace wisp::literals;
using wisp::StatusCode;
using wisp::http::Client;
using wisp::http::ClientOptions;
using wisp::http::ClientRequest;
using wisp::http::IpAddress;
using wisp::test::answer;
using wisp::test::code_of;
using wisp::test::echo;
using wisp::test::Peer;
using wisp::test::RawServer;

// Knows what it was told, one answer after the other; the last one stays.
class Names final : public wisp::http::Resolver {
 public:
  void know(const std::string& host, std::vector<std::vector<const char*>> answers) {
    for (const auto& each : answers) {
      std::vector<IpAddress> addresses;
      for (const char* text : each) addresses.push_back(*IpAddress::parse(text));
      known_[host].push_back(addresses);
    }
  }
  wisp::Result<std::vector<IpAddress>> resolve(const std::string& host) override {
    ++asked;
    const auto found = known_.find(host);
    if (found == known_.end()) return wisp::not_found("there is no such host");
    const auto addresses = found->second.front();
    if (found->second.size() > 1) found->second.erase(found->second.begin());
    return addresses;
  }

  std::atomic<int> asked{0};

 private:
  std::map<std::string, std::vector<std::vector<IpAddress>>> known_;
};

std::string url_of(const std::string& host, int port) {
  return "http://" + host + ':' + std::to_string(port) + "/secret";
}

// Leads from /STATUS to what comes after it, and answers all else with what it heard.
void lead(Peer& peer) {
  for (std::string request; !(request = peer.hear()).empty();) {
    const std::size_t at = request.find(' ') + 2;
    const std::string target = request.substr(at, request.find(' ', at) - at);
    const int status = std::atoi(target.c_str());
    if (status == 0) peer.say(answer(request));
    else peer.say(answer("", "Location: " + target.substr(3) + "\r\n", status));
  }
}

}  // namespace

TEST_CASE("client: addresses that are not public are refused, however they are written",
          "[client]") {
  RawServer server(echo);
  Client client;
  REQUIRE(client.status().ok());
  for (const char* host :
       {"127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "192.168.1.1", "169.254.169.254",
        "100.100.100.200", "168.63.129.16", "[::1]", "[::]", "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fd00:ec2::254]", "localhost"}) {
    INFO(host);
    const auto refused = client.send({.url = url_of(host, server.port())});
    CHECK(code_of(refused) == StatusCode::kPermissionDenied);
    const std::string said(wisp::message(refused.status()));
    CHECK(said == "http://" + std::string(host) + ':' + std::to_string(server.port()) +
                      ": the host has an address that is not public");
  }
  CHECK(server.connections() == 0);
  // It is not that nobody listens.
  Client inside({.allow_private = true});
  CHECK(inside.send({.url = url_of("127.0.0.1", server.port())}).ok());
}

TEST_CASE("client: of a name every address counts", "[client]") {
  RawServer server(echo);
  Names names;
  names.know("inside.example", {{"127.0.0.1"}});
  names.know("mixed.example", {{"192.0.1.1", "127.0.0.1"}});
  names.know("late.example", {{"8.8.8.8", "2606:4700::1", "::ffff:10.0.0.1"}});
  names.know("empty.example", {{}});
  Client client({.resolver = &names});
  for (const char* host : {"inside.example", "mixed.example", "late.example"}) {
    INFO(host);
    CHECK(code_of(client.send({.url = url_of(host, server.port())})) ==
          StatusCode::kPermissionDenied);
  }
  CHECK(code_of(client.send({.url = url_of("empty.example", 80)})) == StatusCode::kNotFound);
  const auto none = client.send({.url = url_of("none.example", 80)});
  CHECK(code_of(none) == StatusCode::kNotFound);
  CHECK(wisp::message(none.status()) == "http://none.example: there is no such host");
  CHECK(server.connections() == 0);
  Client inside({.allow_private = true, .resolver = &names});
  CHECK(inside.send({.url = url_of("inside.example", server.port())}).ok());
}

TEST_CASE("client: a name is asked for once, and what was looked at is connected to", "[client]") {
  RawServer server(echo);
  Names names;
  // What is public when it is looked at, and private a moment later.
  names.know("rebinds.example", {{"192.0.1.1"}, {"127.0.0.1"}});
  wisp::ManualClock clock;
  Client client({.clock = &clock, .resolver = &names});
  std::atomic<bool> over{false};
  std::thread thread([&] {
    (void)client.send({.url = url_of("rebinds.example", server.port())});
    over = true;
  });
  while (!over) {
    clock.advance(1s);
    ::usleep(1'000);
  }
  thread.join();
  CHECK(names.asked == 1);
  CHECK(server.connections() == 0);
  // And anew for each connection.
  CHECK(code_of(client.send({.url = url_of("rebinds.example", server.port())})) ==
        StatusCode::kPermissionDenied);
  CHECK(names.asked == 2);
}

TEST_CASE("client: where one address does not answer, the next is tried", "[client]") {
  RawServer server(echo);
  Names names;
  names.know("several.example", {{"127.0.0.2", "::1", "127.0.0.1"}});
  Client client({.allow_private = true, .resolver = &names});
  const auto response = client.send({.url = url_of("several.example", server.port())});
  REQUIRE(response.ok());
  CHECK(response->body.find("Host: several.example:") != std::string::npos);
}

TEST_CASE("client: a lookup that takes too long is left behind", "[client]") {
  class Slow final : public wisp::http::Resolver {
   public:
    wisp::Result<std::vector<IpAddress>> resolve(const std::string&) override {
      while (!go) ::usleep(1'000);
      return std::vector<IpAddress>();
    }
    std::atomic<bool> go{false};
  } slow;
  wisp::ManualClock clock;
  {
    Client client({.timeouts = {.lookup = 5s}, .clock = &clock, .resolver = &slow});
    wisp::Status status;
    std::atomic<bool> over{false};
    std::thread thread([&] {
      status = client.send({.url = "http://slow.example/"}).status();
      over = true;
    });
    while (!over) {
      clock.advance(100ms);
      ::usleep(1'000);
    }
    thread.join();
    CHECK(status.code() == StatusCode::kDeadlineExceeded);
    CHECK(wisp::message(status) == "http://slow.example: no address in time");
    slow.go = true;
  }
}

TEST_CASE("client: a redirect is a response, unless it is to be followed", "[client]") {
  RawServer server(lead);
  Client client({.allow_private = true});
  const auto response = client.send({.url = server.url("/302/x")});
  REQUIRE(response.ok());
  CHECK(response->status == 302);
  CHECK(response->header("location") == "/x");
  CHECK(to_status(*response).code() == StatusCode::kFailedPrecondition);
}

TEST_CASE("client: redirects are followed as browsers do", "[client]") {
  RawServer server(lead);
  Client client({.allow_private = true, .max_redirects = 3});
  struct Case {
    const char* status;
    const char* method;
    const char* then;
    bool body;
  };
  const Case cases[] = {
      {"301", "GET", "GET", true},   {"301", "POST", "GET", false},   {"302", "POST", "GET", false},
      {"302", "PUT", "PUT", true},   {"303", "POST", "GET", false},   {"303", "PUT", "GET", false},
      {"307", "POST", "POST", true}, {"308", "PATCH", "PATCH", true},
  };
  for (const Case& each : cases) {
    INFO(each.status << ' ' << each.method);
    const auto response =
        client.send({.method = each.method,
                     .url = server.url('/' + std::string(each.status) + "/x?y"),
                     .headers = {{"Content-Type", "text/plain"}, {"Authorization", "Bearer a"}},
                     .body = "hello"});
    REQUIRE(response.ok());
    CHECK(response->body.starts_with(std::string(each.then) + " /x?y HTTP/1.1\r\n"));
    CHECK(response->body.ends_with("\r\n\r\nhello") == each.body);
    CHECK((response->body.find("Content-Type") != std::string::npos) == each.body);
    // To the same origin.
    CHECK(response->body.find("Authorization: Bearer a") != std::string::npos);
  }
  CHECK(client.send({.url = server.url("/302/302/302/x")})->status == 200);
  const auto many = client.send({.url = server.url("/302/302/302/302/x")});
  CHECK(code_of(many) == StatusCode::kFailedPrecondition);
  CHECK(wisp::message(many.status()).ends_with(": more than 3 redirects"));
  // Those without a place to go are responses.
  CHECK(client.send({.url = server.url("/304/x")})->status == 304);
}

TEST_CASE("client: another origin gets nothing that was meant for the first", "[client]") {
  RawServer other(echo);
  RawServer server(lead);
  Client client({.allow_private = true, .max_redirects = 1});
  const auto response = client.send({.method = "POST",
                                     .url = server.url("/307" + other.url("/x")),
                                     .headers = {{"Authorization", "Bearer a"},
                                                 {"Cookie", "b"},
                                                 {"X-Api-Key", "c"},
                                                 {"webhook-signature", "d"},
                                                 {"accept", "text/plain"},
                                                 {"Content-Type", "text/plain"}},
                                     .body = "hello"});
  REQUIRE(response.ok());
  CHECK(response->origin == "http://127.0.0.1:" + std::to_string(other.port()));
  CHECK(response->body == "POST /x HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(other.port()) +
                              "\r\naccept: text/plain\r\nContent-Type: text/plain\r\n" +
                              "User-Agent: wisp/" WISP_VERSION
                              "\r\nContent-Length: 5\r\n\r\nhello");
}

TEST_CASE("client: redirects that lead astray are not followed", "[client]") {
  RawServer server(lead);
  Client client({.allow_private = true, .max_redirects = 5});
  for (const char* location :
       {"file:///etc/passwd", "gopher://127.0.0.1/", "http://user@127.0.0.1/", "http://127.1/",
        "http://127.0.0.1:0/", "//"}) {
    INFO(location);
    const auto none = client.send({.url = server.url("/302" + std::string(location))});
    CHECK(code_of(none) == StatusCode::kFailedPrecondition);
  }
}

TEST_CASE("client: each hop is looked at anew", "[client]") {
  RawServer inside(echo);
  RawServer server(lead);
  Names names;
  names.know("turns.example", {{"127.0.0.1"}});
  // The first hop is to a host that may be private, and leads to one that may not.
  Client client({.private_hosts = {"127.0.0.1"}, .max_redirects = 5, .resolver = &names});
  CHECK(client.send({.url = server.url("/302/x")})->status == 200);
  for (const char* host : {"turns.example", "127.0.0.2", "[::1]", "[::ffff:127.0.0.1]"}) {
    INFO(host);
    const auto none = client.send({.url = server.url("/302" + url_of(host, inside.port()))});
    CHECK(code_of(none) == StatusCode::kPermissionDenied);
    CHECK(wisp::message(none.status()).starts_with("http://" + std::string(host) + ':'));
  }
  CHECK(inside.connections() == 0);
  const auto missing = client.send({.url = server.url("/302http://none.example/")});
  CHECK(code_of(missing) == StatusCode::kNotFound);
  CHECK(names.asked == 2);
}
