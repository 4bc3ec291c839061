// Certificates made anew for a test, in files that go with it.
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <wisp/http/gateway.hpp>

#include "catch.hpp"

namespace wisp::test {

// Of what a certificate is made.
struct Made {
  std::string name = "localhost";                        // common name
  std::string for_names = "IP:127.0.0.1,DNS:localhost";  // subjectAltName; "": none
  long begins_s = -60;                                   // from now
  long ends_s = 3'600;
  bool authority = false;  // may vouch for others
};

// A key and its certificate, signed by another's, which then follows it in the file, or its own.
class TestCertificate {
 public:
  explicit TestCertificate(const Made& made, const TestCertificate* issuer = nullptr) {
    std::string name = (std::filesystem::temp_directory_path() / "wisp-ca-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
    key_ = EVP_EC_gen("P-256");
    certificate_ = X509_new();
    X509_set_version(certificate_, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate_), std::rand());
    X509_gmtime_adj(X509_getm_notBefore(certificate_), made.begins_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate_), made.ends_s);
    X509_set_pubkey(certificate_, key_);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate_), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(made.name.c_str()), -1, -1,
                               0);
    const TestCertificate& by = issuer == nullptr ? *this : *issuer;
    X509_set_issuer_name(certificate_, X509_get_subject_name(by.certificate_));
    extend(NID_basic_constraints, made.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (!made.for_names.empty()) extend(NID_subject_alt_name, made.for_names);
    REQUIRE(X509_sign(certificate_, by.key_, EVP_sha256()) != 0);
    write(file(), [this, issuer](std::FILE* to) {
      const int own = PEM_write_X509(to, certificate_);
      return issuer == nullptr ? own : own & PEM_write_X509(to, issuer->certificate_);
    });
    write(key_file(), [this](std::FILE* to) {
      return PEM_write_PrivateKey(to, key_, nullptr, nullptr, 0, nullptr, nullptr);
    });
  }
  TestCertificate(const TestCertificate&) = delete;
  ~TestCertificate() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
    std::filesystem::remove_all(folder_);
  }

  std::string file() const { return folder_ / "certificate.pem"; }
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
  void extend(int what, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate_, certificate_, nullptr, nullptr, 0);
    X509V3_set_ctx_nodb(&context);
    X509_EXTENSION* const extension = X509V3_EXT_nconf_nid(nullptr, &context, what, value.c_str());
    REQUIRE(extension != nullptr);
    X509_add_ext(certificate_, extension, -1);
    X509_EXTENSION_free(extension);
  }

  std::filesystem::path folder_;
  EVP_PKEY* key_ = nullptr;
  X509* certificate_ = nullptr;
};

}  // namespace wisp::test
