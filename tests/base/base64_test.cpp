#include <wisp/base/base64.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using wisp::Base64;
using wisp::StatusCode;

std::string why(std::string_view text, Base64 form = Base64::standard) {
  const wisp::Result<std::string> bytes = wisp::from_base64(text, {.form = form});
  if (bytes.ok()) return "read";
  CHECK(bytes.status().code() == StatusCode::kInvalidArgument);
  return std::string(wisp::message(bytes.status()));
}

}  // namespace

TEST_CASE("base64: the vectors of RFC 4648", "[base64]") {
  constexpr std::pair<std::string_view, std::string_view> kVectors[] = {{"", ""},
                                                                        {"f", "Zg=="},
                                                                        {"fo", "Zm8="},
                                                                        {"foo", "Zm9v"},
                                                                        {"foob", "Zm9vYg=="},
                                                                        {"fooba", "Zm9vYmE="},
                                                                        {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : kVectors) {
    INFO(bytes);
    CHECK(wisp::to_base64(bytes) == text);
    CHECK(wisp::to_base64(bytes, Base64::url) == text);
    const std::string bare(text.substr(0, text.find('=')));
    CHECK(wisp::to_base64(bytes, Base64::url_bare) == bare);
    CHECK(wisp::from_base64(text).value() == bytes);
    CHECK(wisp::from_base64(bare, {.form = Base64::url_bare}).value() == bytes);
  }
  CHECK(wisp::to_base64("\xfb\xff\xfe") == "+//+");
  CHECK(wisp::to_base64("\xfb\xff\xfe", Base64::url) == "-__-");
}

TEST_CASE("base64: what was written is read again, and nothing else is", "[base64]") {
  for (int seed = 1; seed <= 10 * wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    std::string bytes(random.below(70), '\0');
    for (char& each : bytes) each = static_cast<char>(random.next());
    for (const Base64 form : {Base64::standard, Base64::url, Base64::url_bare}) {
      const std::string text = wisp::to_base64(bytes, form);
      REQUIRE(wisp::from_base64(text, {.form = form, .bytes = bytes.size()}).value() == bytes);
      REQUIRE(wisp::from_base64(text, {.form = form, .bytes = SIZE_MAX}).value() == bytes);
      if (bytes.empty()) continue;
      const auto less = wisp::from_base64(text, {.form = form, .bytes = bytes.size() - 1});
      CHECK(less.status().code() == StatusCode::kResourceExhausted);
      // Another text is refused or means other bytes.
      std::string other = text;
      other[random.below(other.size())] = static_cast<char>(random.next());
      const auto read = wisp::from_base64(other, {.form = form});
      CHECK((other == text || !read.ok() || *read != bytes));
      if (read.ok()) CHECK(wisp::to_base64(*read, form) == other);
    }
  }
}

TEST_CASE("base64: a text that is none is refused", "[base64]") {
  CHECK(why("Zg") == "base64 of 2 characters: it comes in groups of four");
  CHECK(why("Zg=") == "base64 of 3 characters: it comes in groups of four");
  CHECK(why("Zm9v=") == "base64 of 5 characters: it comes in groups of four");
  CHECK(why("Z===") == "base64: no character of it at 1");
  CHECK(why("====") == "base64: no character of it at 0");
  CHECK(why("Zm9v====") == "base64: no character of it at 4");
  CHECK(why("Zg==Zg==") == "base64: no character of it at 2");
  CHECK(why("Zh==") == "base64: bits after the last byte are not zero");
  CHECK(why("Zm9=") == "base64: bits after the last byte are not zero");
  CHECK(why("Zm9\n") == "base64: no character of it at 3");
  CHECK(why("Zm 9") == "base64: no character of it at 2");
  CHECK(why("-__-") == "base64: no character of it at 0");
  CHECK(why("+//+", Base64::url) == "base64: no character of it at 0");
  CHECK(why("Zm9\xc3") == "base64: no character of it at 3");
  CHECK(why("Zg==", Base64::url_bare) == "base64: no character of it at 2");
  CHECK(why("Z", Base64::url_bare) == "base64 of 1 characters: the last one stands for no byte");
  CHECK(why("Zh", Base64::url_bare) == "base64: bits after the last byte are not zero");
}
