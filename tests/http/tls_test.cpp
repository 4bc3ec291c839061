// TLS as a client of OpenSSL's sees it, over a real socket.
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include <wisp/http/gateway.hpp>
#include <wisp/wisp.hpp>

#include "http/openssl.hpp"
#include "http/socket.hpp"
#include "http/tls_pipe.hpp"
#include "http/wait_for.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::http::Gateway;
using wisp::test::get;
using wisp::test::status_of;

// A key and a certificate for it, made anew, in files that go with this.
class Certificate {
 public:
  Certificate() {
    std::string name = (std::filesystem::temp_directory_path() / "wisp-tls-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const made = X509_new();
    X509_set_version(made, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
    X509_gmtime_adj(X509_getm_notBefore(made), -60);
    X509_gmtime_adj(X509_getm_notAfter(made), 3'600);
    X509_set_pubkey(made, key);
    X509_NAME* const who = X509_get_subject_name(made);
    X509_NAME_add_entry_by_txt(who, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(made, who);
    REQUIRE(X509_sign(made, key, EVP_sha256()) != 0);
    write(file(), [&](std::FILE* to) { return PEM_write_X509(to, made); });
    write(key_file(), [&](std::FILE* to) {
      return PEM_write_PrivateKey(to, key, nullptr, nullptr, 0, nullptr, nullptr);
    });
    write(locked_key_file(), [&](std::FILE* to) {
      const auto* const phrase = reinterpret_cast<const unsigned char*>("secret");
      return PEM_write_PrivateKey(to, key, EVP_aes_256_cbc(), phrase, 6, nullptr, nullptr);
    });
    X509_free(made);
    EVP_PKEY_free(key);
  }
  ~Certificate() { std::filesystem::remove_all(folder_); }

  std::string file() const { return folder_ / "certificate.pem"; }
  std::string locked_key_file() const { return folder_ / "locked.pem"; }
  std::string key_file() const { return folder_ / "key.pem"; }
  wisp::http::Tls tls() const { return {.certificate_file = file(), .key_file = key_file()}; }

 private:
  template <class Write>
  static void write(const std::string& name, Write with) {
    std::FILE* const to = std::fopen(name.c_str(), "w");
    REQUIRE(to != nullptr);
    CHECK(with(to) == 1);
    std::fclose(to);
  }

  std::filesystem::path folder_;
};

class TlsClient {
 public:
  TlsClient(int port, int version_max, const std::string& trusted)
      : socket_(port), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_security_level(context_, 0);  // so that it offers what is old
    SSL_CTX_set_min_proto_version(context_, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context_, version_max);
    SSL_CTX_load_verify_locations(context_, trusted.c_str(), nullptr);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    ssl_ = SSL_new(context_);
    SSL_set1_host(ssl_, "localhost");
    SSL_set_fd(ssl_, socket_.descriptor());
  }
  TlsClient(const TlsClient&) = delete;
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }

  void offer(const char* ciphers) { SSL_set_cipher_list(ssl_, ciphers); }
  bool connect() { return SSL_connect(ssl_) == 1; }
  bool has_ticket() const { return SSL_SESSION_has_ticket(SSL_get_session(ssl_)) == 1; }
  void resume(const TlsClient& other) { SSL_set_session(ssl_, SSL_get_session(other.ssl_)); }
  bool resumed() const { return SSL_session_reused(ssl_) == 1; }
  wisp::test::Socket& socket() { return socket_; }
  std::string version() const { return SSL_get_version(ssl_); }
  void say(std::string_view text) {
    CHECK(SSL_write(ssl_, text.data(), static_cast<int>(text.size())) > 0);
  }
  void say_end() { SSL_shutdown(ssl_); }
  // All until the end; whether that was said.
  std::string hear_all(bool& said_end) {
    std::string all;
    char piece[16'384];
    int got = 0;
    while ((got = SSL_read(ssl_, piece, sizeof piece)) > 0)
      all.append(piece, static_cast<std::size_t>(got));
    said_end = SSL_get_error(ssl_, got) == SSL_ERROR_ZERO_RETURN;
    return all;
  }

 private:
  wisp::test::Socket socket_;
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
};

const auto repeat =
    wisp::function("repeat", [](int n) { return std::string(static_cast<std::size_t>(n), 'x'); });

struct ServedByTls {
  ServedByTls() {
    gateway.get("/repeat/{n}", repeat);
    REQUIRE(gateway.start().ok());
  }
  Certificate certificate;
  wisp::Runtime runtime{wisp::Catalogue().add(repeat)};
  Gateway gateway{runtime, {.port = 0, .tls = certificate.tls()}};
};

constexpr std::string_view kClose = "Connection: close\r\n";

}  // namespace

TEST_CASE("tls: what a client asked before it said its end is answered", "[tls]") {
  ServedByTls served;
  TlsClient client(served.gateway.port(), TLS1_3_VERSION, served.certificate.file());
  REQUIRE(client.connect());
  std::string many;
  for (int i = 0; i < 100; ++i) many += wisp::test::get("/healthz");
  client.say(many);
  client.say_end();
  bool said_end = false;
  const std::string all = client.hear_all(said_end);
  std::size_t answers = 0;
  for (std::size_t at = 0; (at = all.find("HTTP/1.1 200 OK", at)) != all.npos; ++at) ++answers;
  CHECK(answers == 100);
  CHECK(said_end);
}

TEST_CASE("tls: requests are served by 1.2 and 1.3, and by nothing older", "[tls]") {
  ServedByTls served;
  for (const auto& [version, name] :
       {std::pair(TLS1_2_VERSION, "TLSv1.2"), {TLS1_3_VERSION, "TLSv1.3"}}) {
    INFO(name);
    TlsClient client(served.gateway.port(), version, served.certificate.file());
    REQUIRE(client.connect());
    CHECK(client.version() == name);
    client.say(get("/healthz") + get("/repeat/3", kClose));
    bool said_end = false;
    const std::string all = client.hear_all(said_end);
    CHECK(status_of(all) == 200);
    CHECK(all.ends_with("\"xxx\""));
    CHECK(said_end);
  }
  for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
    TlsClient client(served.gateway.port(), version, served.certificate.file());
    CHECK_FALSE(client.connect());
  }
}

TEST_CASE("tls: ciphers without forward secrecy, or of CBC, are not spoken", "[tls]") {
  ServedByTls served;
  const auto connects = [&](const char* ciphers) {
    TlsClient client(served.gateway.port(), TLS1_2_VERSION, served.certificate.file());
    client.offer(ciphers);
    return client.connect();
  };
  CHECK(connects("ECDHE-ECDSA-AES128-GCM-SHA256"));
  CHECK_FALSE(connects("ECDHE-ECDSA-AES128-SHA256"));
  CHECK_FALSE(connects("ECDHE-ECDSA-AES128-SHA"));
  CHECK_FALSE(connects("AES128-GCM-SHA256"));
  CHECK_FALSE(connects("AECDH-AES128-SHA"));
}

TEST_CASE("tls: an answer longer than every buffer comes whole", "[tls]") {
  ServedByTls served;
  TlsClient client(served.gateway.port(), TLS1_3_VERSION, served.certificate.file());
  REQUIRE(client.connect());
  client.say(get("/repeat/20000000", kClose));
  bool said_end = false;
  const std::string all = client.hear_all(said_end);
  CHECK(wisp::test::body_of(all).size() == 20'000'002);
  CHECK(said_end);
}

TEST_CASE("tls: who does not speak it is not answered", "[tls]") {
  ServedByTls served;
  wisp::test::Socket plain(served.gateway.port());
  plain.say(get("/healthz"));
  CHECK(status_of(plain.hear()) == 0);
  wisp::test::Socket noise(served.gateway.port());
  noise.say(std::string("\x16\x03\x01\x02\x00\x01", 6) + std::string(600, 'x'));
  CHECK(status_of(noise.hear()) == 0);
  // And others are still served.
  TlsClient client(served.gateway.port(), TLS1_3_VERSION, served.certificate.file());
  CHECK(client.connect());
}

TEST_CASE("tls: files that are none are refused by name", "[tls]") {
  const Certificate one;
  const Certificate other;
  wisp::Runtime runtime;
  const auto refusal = [&](const wisp::http::Tls& tls) {
    Gateway gateway{runtime, {.port = 0, .tls = tls}};
    return std::string(wisp::message(gateway.start()));
  };
  CHECK(refusal({.certificate_file = "/nowhere.pem", .key_file = one.key_file()}) ==
        "GatewayOptions::tls.certificate_file '/nowhere.pem': No such file or directory");
  CHECK(refusal({.certificate_file = one.file(), .key_file = ""})
            .starts_with("GatewayOptions::tls.key_file '': "));
  CHECK(refusal({.certificate_file = one.key_file(), .key_file = one.key_file()})
            .starts_with("GatewayOptions::tls.certificate_file"));
  CHECK(refusal({.certificate_file = one.file(), .key_file = other.key_file()})
            .starts_with("GatewayOptions::tls"));
  // Nobody is asked for a pass phrase.
  CHECK(refusal({.certificate_file = one.file(), .key_file = one.locked_key_file()})
            .starts_with("GatewayOptions::tls.key_file"));
}

TEST_CASE("tls: no session is taken up again", "[tls]") {
  ServedByTls served;
  TlsClient client(served.gateway.port(), TLS1_2_VERSION, served.certificate.file());
  REQUIRE(client.connect());
  CHECK_FALSE(client.has_ticket());
  TlsClient again(served.gateway.port(), TLS1_2_VERSION, served.certificate.file());
  again.resume(client);
  REQUIRE(again.connect());
  CHECK_FALSE(again.resumed());
}

TEST_CASE("tls: beyond the limits nobody is told so in plain text", "[tls]") {
  const Certificate certificate;
  wisp::Runtime runtime;
  Gateway gateway{runtime, {.port = 0, .limits = {.connections = 1}, .tls = certificate.tls()}};
  REQUIRE(gateway.start().ok());
  TlsClient first(gateway.port(), TLS1_3_VERSION, certificate.file());
  REQUIRE(first.connect());
  wisp::test::Socket second(gateway.port());
  CHECK(second.hear().empty());
}

// Its answer can never be sent: it held the connection until the time of writing was over.
TEST_CASE("tls: noise ends a connection whose call is running", "[tls]") {
  const auto wait = wisp::function("wait", [](wisp::Context& context) {
    while (!context.cancelled()) (void)context.sleep(1ms);
  });
  const Certificate certificate;
  wisp::Runtime runtime{wisp::Catalogue().add(wait)};
  Gateway gateway{runtime, {.port = 0, .tls = certificate.tls()}};
  gateway.get("/wait", wait);
  REQUIRE(gateway.start().ok());
  TlsClient client(gateway.port(), TLS1_3_VERSION, certificate.file());
  REQUIRE(client.connect());
  client.say(get("/wait"));
  REQUIRE(wisp::test::wait_for([&] { return runtime.stats().functions[0].running == 1; }));
  client.socket().say(std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'));
  CHECK(client.socket().hear().size() < 100);  // an alert
  CHECK(client.socket().at_end());
}

// A server that asks for another handshake again and again, to a client that cannot get rid of its
// refusals: each takes some 30 bytes.
TEST_CASE("tls: what it says by itself is bounded", "[tls]") {
  const Certificate certificate;
  const wisp::http::Owned<SSL_CTX> theirs(SSL_CTX_new(TLS_server_method()));
  const wisp::http::Owned<SSL_CTX> ours(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_max_proto_version(theirs.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(ours.get(), SSL_OP_NO_RENEGOTIATION);
  REQUIRE(SSL_CTX_use_certificate_chain_file(theirs.get(), certificate.file().c_str()) == 1);
  REQUIRE(SSL_CTX_use_PrivateKey_file(theirs.get(), certificate.key_file().c_str(),
                                      SSL_FILETYPE_PEM) == 1);
  wisp::http::TlsPipe server(SSL_new(theirs.get()));
  wisp::http::TlsPipe client(SSL_new(ours.get()));
  SSL_set_accept_state(server.stream());
  SSL_set_connect_state(client.stream());
  std::string plain;
  const auto pass = [&plain](wisp::http::TlsPipe& from, wisp::http::TlsPipe& to) {
    const std::string bytes(from.output());
    from.sent(bytes.size());
    (void)to.receive(bytes, plain);
  };
  client.begin();
  for (int i = 0; i < 4; ++i) {
    pass(client, server);
    pass(server, client);
  }
  REQUIRE(client.ready());
  int asked = 0;
  for (; asked < 20'000 && !client.failed(); ++asked) {
    SSL_renegotiate(server.stream());
    SSL_do_handshake(server.stream());
    server.encrypt("");
    pass(server, client);
    REQUIRE(client.output().size() < 2 * wisp::http::kEncryptedMax + 100);
  }
  CHECK(client.failed());
  CHECK(asked > 1'000);
}
