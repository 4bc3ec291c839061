// Whom the client trusts: a gateway with certificates of all kinds, and OpenSSL's servers.
#include <openssl/ssl.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include <wisp/http/client.hpp>
#include <wisp/http/gateway.hpp>
#include <wisp/wisp.hpp>

#include "http/raw_server.hpp"
#include "http/test_ca.hpp"

namespace {

using namespace wisp::literals;
using wisp::StatusCode;
using wisp::http::Client;
using wisp::http::ClientOptions;
using wisp::http::Gateway;
using wisp::test::Made;
using wisp::test::Peer;
using wisp::test::RawServer;
using wisp::test::TestCertificate;

const auto repeat =
    wisp::function("repeat", [](int n) { return std::string(static_cast<std::size_t>(n), 'x'); });

const Made kAuthority{.name = "wisp test", .for_names = "", .authority = true};

ClientOptions trusting(const TestCertificate& whom) {
  return {.ca_file = whom.file(), .allow_private = true};
}

struct ServedClients {
  explicit ServedClients(const TestCertificate& certificate)
      : gateway(runtime, {.port = 0, .tls = certificate.tls()}) {
    gateway.get("/repeat/{n}", repeat);
    REQUIRE(gateway.start().ok());
  }
  std::string url(const std::string& host = "127.0.0.1", int n = 3) const {
    return "https://" + host + ':' + std::to_string(gateway.port()) + "/repeat/" +
           std::to_string(n);
  }
  wisp::Runtime runtime{wisp::Catalogue().add(repeat)};
  Gateway gateway;
};

// An OpenSSL server of certain versions, which says `text` to each client and then what `end` does.
struct Spoken {
  Spoken(const TestCertificate& certificate, int version_max, std::string said, bool says_end)
      : context(SSL_CTX_new(TLS_server_method())), text(std::move(said)), ends(says_end) {
    ::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to who may have gone
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context, version_max);
    SSL_CTX_use_certificate_file(context, certificate.file().c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(context, certificate.key_file().c_str(), SSL_FILETYPE_PEM);
  }
  Spoken(const Spoken&) = delete;
  ~Spoken() { SSL_CTX_free(context); }

  void serve(Peer& peer) {
    SSL* const stream = SSL_new(context);
    SSL_set_fd(stream, peer.descriptor());
    if (SSL_accept(stream) == 1) {
      ++accepted;
      char piece[4'096];
      if (SSL_read(stream, piece, sizeof piece) > 0) {
        SSL_write(stream, text.data(), static_cast<int>(text.size()));
        if (ends) SSL_shutdown(stream);
      }
    }
    SSL_free(stream);
  }

  SSL_CTX* context;
  std::string text;
  bool ends;
  std::atomic<int> accepted{0};
  RawServer server{[this](Peer& peer) { serve(peer); }};

  std::string url() const { return "https://127.0.0.1:" + std::to_string(server.port()) + "/"; }
};

}  // namespace

TEST_CASE("client tls: a server that somebody trusted vouches for is called", "[client][tls]") {
  const TestCertificate authority(kAuthority);
  const TestCertificate good({}, &authority);
  ServedClients served(good);
  Client client(trusting(authority));
  REQUIRE(client.status().ok());
  for (const char* host : {"127.0.0.1", "localhost"}) {
    INFO(host);
    const auto response = client.send({.url = served.url(host)});
    REQUIRE(response.ok());
    CHECK(response->body == "\"xxx\"");
  }
  // Again on the same connection, and longer than every buffer.
  const auto large = client.send({.url = served.url("127.0.0.1", 1'000'000)});
  REQUIRE(large.ok());
  CHECK(large->body.size() == 1'000'002);
}

TEST_CASE("client tls: a certificate that does not hold is refused", "[client][tls]") {
  const TestCertificate authority(kAuthority);
  const TestCertificate other(kAuthority);
  struct Case {
    const char* what;
    Made made;
    bool own = false;    // signed by itself
    bool other = false;  // by somebody who is not trusted
    const char* said;
  };
  const Case cases[] = {
      {.what = "another name", .made = {.for_names = "DNS:example.com"}, .said = "mismatch"},
      {.what = "another address", .made = {.for_names = "IP:127.0.0.2"}, .said = "mismatch"},
      {.what = "the address as a name", .made = {.for_names = "DNS:127.0.0.1"}, .said = "mismatch"},
      {.what = "a common name alone",
       .made = {.name = "127.0.0.1", .for_names = ""},
       .said = "mismatch"},
      {.what = "expired", .made = {.begins_s = -7'200, .ends_s = -3'600}, .said = "expired"},
      {.what = "not yet valid",
       .made = {.begins_s = 3'600, .ends_s = 7'200},
       .said = "not yet valid"},
      {.what = "signed by itself", .made = {}, .own = true, .said = "self-signed"},
      {.what = "of an unknown authority", .made = {}, .other = true, .said = "certificate"},
  };
  for (const Case& each : cases) {
    INFO(each.what);
    const TestCertificate bad(each.made, each.own ? nullptr : each.other ? &other : &authority);
    ServedClients served(bad);
    Client client(trusting(authority));
    const auto none = client.send({.url = served.url()});
    CHECK(none.status().code() == StatusCode::kFailedPrecondition);
    CHECK_FALSE(wisp::retryable(none.status().code()));
    const std::string said(wisp::message(none.status()));
    CHECK(said.find("its certificate is refused: ") != said.npos);
    CHECK(said.find(each.said) != said.npos);
  }
}

TEST_CASE("client tls: names are matched as browsers match them", "[client][tls]") {
  const TestCertificate authority(kAuthority);
  const TestCertificate wild({.for_names = "DNS:*.localhost,DNS:local*"}, &authority);
  ServedClients served(wild);
  // Neither does a star stand for nothing, nor for a part of a name.
  Client client(trusting(authority));
  CHECK(client.send({.url = served.url("localhost")}).status().code() ==
        StatusCode::kFailedPrecondition);
}

TEST_CASE("client tls: one who may not vouch does not", "[client][tls]") {
  const TestCertificate authority(kAuthority);
  const TestCertificate leaf({.name = "leaf"}, &authority);
  const TestCertificate forged({.name = "forged"}, &leaf);
  ServedClients served(forged);
  Client client(trusting(authority));
  const auto none = client.send({.url = served.url()});
  CHECK(none.status().code() == StatusCode::kFailedPrecondition);
  CHECK(wisp::message(none.status()).find("invalid CA") != std::string_view::npos);
}

TEST_CASE("client tls: the system trusts no test", "[client][tls]") {
  const TestCertificate authority(kAuthority);
  const TestCertificate good({}, &authority);
  ServedClients served(good);
  // What the environment says is not asked.
  ::setenv("SSL_CERT_FILE", authority.file().c_str(), 1);
  Client client({.allow_private = true});
  const auto none = client.send({.url = served.url()});
  ::unsetenv("SSL_CERT_FILE");
  CHECK(none.status().code() == StatusCode::kFailedPrecondition);
}

TEST_CASE("client tls: certificates are judged by the client's clock", "[client][tls]") {
  const TestCertificate authority(kAuthority);
  const TestCertificate good({}, &authority);
  ServedClients served(good);
  wisp::ManualClock clock(std::chrono::system_clock::now());
  ClientOptions options = trusting(authority);
  options.clock = &clock;
  options.keep_alive.connections = 0;
  Client client(options);
  CHECK(client.send({.url = served.url()}).ok());
  clock.jump_wall(2h);
  CHECK(client.send({.url = served.url()}).status().code() == StatusCode::kFailedPrecondition);
}

TEST_CASE("client tls: 1.2 and 1.3 are spoken, and nothing older", "[client][tls]") {
  const TestCertificate authority(kAuthority);
  const TestCertificate good({}, &authority);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Spoken server(good, version, wisp::test::answer("x"), true);
    Client client(trusting(authority));
    const auto response = client.send({.url = server.url()});
    REQUIRE(response.ok());
    CHECK(response->body == "x");
  }
  for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
    Spoken server(good, version, wisp::test::answer("x"), true);
    Client client(trusting(authority));
    CHECK(client.send({.url = server.url()}).status().code() == StatusCode::kFailedPrecondition);
    CHECK(server.accepted == 0);
  }
}

TEST_CASE("client tls: who speaks none is not answered in plain text", "[client][tls]") {
  const TestCertificate authority(kAuthority);
  std::atomic<bool> plain{false};
  RawServer server([&plain](Peer& peer) {
    peer.say(wisp::test::answer("plain"));
    if (peer.hear().starts_with("GET")) plain = true;
  });
  Client client(trusting(authority));
  const auto none =
      client.send({.url = "https://127.0.0.1:" + std::to_string(server.port()) + "/"});
  CHECK(none.status().code() == StatusCode::kFailedPrecondition);
  CHECK_FALSE(plain);
}

TEST_CASE("client tls: a body to the end is whole only if TLS says so", "[client][tls]") {
  const TestCertificate authority(kAuthority);
  const TestCertificate good({}, &authority);
  const std::string text = "HTTP/1.1 200 OK\r\n\r\nall of it";
  Client client(trusting(authority));
  Spoken says(good, TLS1_3_VERSION, text, true);
  const auto whole = client.send({.url = says.url()});
  REQUIRE(whole.ok());
  CHECK(whole->body == "all of it");
  Spoken stops(good, TLS1_3_VERSION, text, false);
  CHECK(client.send({.url = stops.url()}).status().code() == StatusCode::kUnavailable);
}

TEST_CASE("client tls: a handshake that does not go on is given up", "[client][tls]") {
  std::atomic<int> heard{0};
  RawServer server([&heard](Peer& peer) {
    ++heard;
    peer.wait();
  });
  wisp::ManualClock clock;
  Client client({.timeouts = {.handshake = 2s}, .allow_private = true, .clock = &clock});
  wisp::Status status;
  std::atomic<bool> over{false};
  std::thread thread([&] {
    status =
        client.send({.url = "https://127.0.0.1:" + std::to_string(server.port()) + "/"}).status();
    over = true;
  });
  while (!over) {
    if (heard > 0) clock.advance(100ms);
    ::usleep(1'000);
  }
  thread.join();
  CHECK(status.code() == StatusCode::kDeadlineExceeded);
  CHECK(wisp::message(status).ends_with(": no TLS handshake in time"));
}

TEST_CASE("client tls: a redirect does not lead out of it", "[client][tls]") {
  const TestCertificate authority(kAuthority);
  const TestCertificate good({}, &authority);
  RawServer plain([](Peer& peer) {
    peer.hear();
    peer.say(wisp::test::answer("plain"));
  });
  Spoken server(good, TLS1_3_VERSION,
                wisp::test::answer("", "Location: " + plain.url() + "\r\n", 302), true);
  ClientOptions options = trusting(authority);
  options.max_redirects = 5;
  Client client(options);
  const auto none = client.send({.url = server.url()});
  CHECK(none.status().code() == StatusCode::kFailedPrecondition);
  CHECK(wisp::message(none.status()).ends_with(": it redirects from https to http"));
  CHECK(plain.connections() == 0);
}
