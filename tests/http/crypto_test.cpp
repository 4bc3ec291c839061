// Hashes and encodings against what is published of them.
#include "http/crypto.hpp"

#include <string>
#include <utility>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using namespace wisp::http;

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    text += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    text += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

std::string counting(int from, int to) {
  std::string bytes;
  for (int i = from; i <= to; ++i) bytes += static_cast<char>(i);
  return bytes;
}

}  // namespace

TEST_CASE("crypto: SHA-256 and HMAC are those of FIPS 180 and RFC 4231", "[http]") {
  CHECK(hex(view(*sha256(""))) ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hex(view(*sha256("abc"))) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  struct Case {
    std::string key;
    std::string text;
    std::string_view mac;
  };
  // RFC 4231, 4.2 to 4.5, 4.7 and 4.8.
  const Case cases[] = {
      {std::string(20, '\x0b'), "Hi There",
       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(20, '\xaa'), std::string(50, '\xdd'),
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {counting(1, 25), std::string(50, '\xcd'),
       "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
      {std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
      {std::string(131, '\xaa'),
       "This is a test using a larger than block-size key and a larger than block-size data. The "
       "key needs to be hashed before being used by the HMAC algorithm.",
       "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
  };
  for (const Case& each : cases) {
    INFO(each.text);
    CHECK(hex(view(*hmac_sha256(each.key, {each.text}))) == each.mac);
    // In parts too, an empty one among them.
    const std::string_view text = each.text;
    CHECK(hex(view(*hmac_sha256(each.key, {text.substr(0, 3), "", text.substr(3)}))) == each.mac);
  }
}

TEST_CASE("crypto: equal is equal in all bytes and in size", "[http]") {
  CHECK(constant_time_equal("", ""));
  CHECK(constant_time_equal("abc", "abc"));
  CHECK_FALSE(constant_time_equal("abc", "abd"));
  CHECK_FALSE(constant_time_equal("abc", "bbc"));
  CHECK_FALSE(constant_time_equal("abc", "ab"));
  CHECK_FALSE(constant_time_equal("ab", "abc"));
}

TEST_CASE("crypto: base64 is that of RFC 4648, and read as it is written alone", "[http]") {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
      {"\xfb\xff", "+/8="},
  };
  for (const auto& [bytes, text] : cases) {
    INFO(text);
    CHECK(base64(bytes) == text);
    CHECK(decode_base64(text) == bytes);
    CHECK(decode_base64url(base64url(bytes)) == bytes);
  }
  CHECK(base64url("\xfb\xff") == "-_8");
  for (const std::string_view text :
       {"Zg", "Zg=", "Zg===", "=", "====", "Z===", "Zg==Zg==", "Zh==", "Zm9=", "Zm9v ", " Zm9v",
        "Zm9v\n", "Zm\n9v", "Zm9-", "Zm9_", "Zm9v=", "Zm=v", "A"}) {
    INFO(text);
    CHECK_FALSE(decode_base64(text));
  }
  for (const std::string_view text :
       {"Zg==", "Zg=", "Z", "Zh", "Zm9", "Zm9+", "Zm9/", "Zm9v=", "Zm9v\n", "Zg.", "ZmYmY"}) {
    INFO(text);
    CHECK_FALSE(decode_base64url(text));
  }
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    std::string bytes(random.below(200), '\0');
    for (char& c : bytes) c = static_cast<char>(random.next());
    CHECK(decode_base64(base64(bytes)) == bytes);
    CHECK(decode_base64url(base64url(bytes)) == bytes);
    // Each text of that alphabet that is read is the one that is written.
    std::string text(random.below(12), '\0');
    for (char& c : text) c = "ABCDwxyz0189-_"[random.below(14)];
    if (const auto read = decode_base64url(text)) CHECK(base64url(*read) == text);
  }
}

TEST_CASE("crypto: a secret moves, and leaves nothing behind", "[http]") {
  std::string text(40, 'x');
  const char* const where = text.data();
  Secret first(std::move(text));
  CHECK(first.view() == std::string(40, 'x'));
  CHECK(std::string(where, 40) == std::string(40, '\0'));  // text still has that memory
  Secret second(std::move(first));
  CHECK(first.view().empty());
  CHECK(second.view().size() == 40);
  second = Secret(std::string_view("short"));
  CHECK(second.view() == "short");
  CHECK(Secret().view().empty());
}
