// Random bodies in chunks, many of them a little wrong, against the grammar of RFC 9112, 7.1.
#include "http/chunks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using namespace std::string_literals;
using wisp::http::ChunkDecoder;
using wisp::http::HeadLimits;
using wisp::test::Seeded;

constexpr std::uint64_t kBody = 60;
constexpr HeadLimits kLimits{.line = 64, .fields = 3};

struct Decoded {
  bool done = false;
  int status = 0;
  std::string what{};
  std::string body{};
  std::size_t used = 0;

  bool operator==(const Decoded&) const = default;
};

// In pieces of 1 to `most` bytes.
Decoded decode(std::string_view bytes, std::size_t most, Seeded& random) {
  Decoded made;
  ChunkDecoder decoder(made.body, kBody, kLimits);
  std::string kept;
  while (!bytes.empty() && !decoder.done()) {
    const std::size_t size = std::min(bytes.size(), 1 + random.below(most));
    kept += bytes.substr(0, size);
    bytes.remove_prefix(size);
    std::string_view rest = kept;
    const wisp::http::Rejection rejected = decoder.take(rest);
    made.used += kept.size() - rest.size();
    kept.erase(0, kept.size() - rest.size());
    if (rejected) {
      made.status = rejected.status;
      made.what = rejected.what;
      return made;
    }
    CHECK(kept.size() <= (decoder.done() ? size : kLimits.line));
  }
  made.done = decoder.done();
  return made;
}

// The lines that it takes, one after the other, as the grammar has them.
class Grammar {
 public:
  explicit Grammar(std::string_view bytes) : rest_(bytes), size_(bytes.size()) {}

  // Nothing: it is not whole, or not right.
  std::optional<Decoded> body() {
    Decoded made;
    for (bool first = true;; first = false) {
      const std::size_t begin = rest_.size();
      if (!first && line() != "") return std::nullopt;
      const std::optional<std::uint64_t> size = chunk_size();
      if (!size) return std::nullopt;
      if (*size == 0 && !trailer()) return std::nullopt;
      if (begin - rest_.size() > kLimits.line) return std::nullopt;
      if (*size == 0) break;
      if (*size > kBody - made.body.size() || *size > rest_.size()) return std::nullopt;
      made.body += rest_.substr(0, *size);
      rest_.remove_prefix(*size);
    }
    made.done = true;
    made.used = size_ - rest_.size();
    return made;
  }

 private:
  std::optional<std::string> line() {
    const std::size_t end = rest_.find("\r\n");
    if (end == rest_.npos) return std::nullopt;
    std::string text(rest_.substr(0, end));
    rest_.remove_prefix(end + 2);
    return text;
  }

  std::optional<std::uint64_t> chunk_size() {
    static const std::string kToken = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
    static const std::string kQuoted = R"("([\t !#-\[\]-~]|\\[\t -~])*")";
    static const std::regex kLine("0*([0-9A-Fa-f]+)([ \t]*;[ \t]*" + kToken + "([ \t]*=[ \t]*(" +
                                  kToken + "|" + kQuoted + "))?)*");
    const std::optional<std::string> text = line();
    std::smatch parts;
    if (!text || !std::regex_match(*text, parts, kLine)) return std::nullopt;
    const std::string digits = parts[1];
    std::uint64_t size = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), size, 16);
    return read.ec == std::errc() ? std::optional(size) : std::nullopt;
  }

  bool trailer() {
    static const std::regex kField("[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*");
    static const std::regex kForbidden("(content-length|transfer-encoding):.*", std::regex::icase);
    for (int fields = 0;; ++fields) {
      const std::optional<std::string> text = line();
      if (!text) return false;
      if (text->empty()) return true;
      if (fields == kLimits.fields || !std::regex_match(*text, kField)) return false;
      if (std::regex_match(*text, kForbidden)) return false;
    }
  }

  std::string_view rest_;
  std::size_t size_;
};

class Maker {
 public:
  explicit Maker(int seed) : random(seed) {}

  std::string body() {
    std::string made;
    for (std::uint64_t chunks = below(4); chunks > 0; --chunks) {
      const std::uint64_t size = 1 + below(20);
      made += std::string(below(5) == 0 ? below(20) : 0, '0') + fmt::format("{:x}", size);
      made += extension() + end();
      for (std::uint64_t i = 0; i < size; ++i) made += "abcdefgh\r\n0;:"[below(13)];
      made += end();
    }
    made += one_of({"0", "0", "0", "0", "000", "", "0x", "+0", "10000000000000000"}) + extension() +
            end();
    for (std::uint64_t fields = below(5); fields > 0 && below(3) > 0; --fields)
      made += one_of({"X: y", "X:", "X : y", " X: y", "Content-Length: 1", "no field"}) + end();
    // So that some lines are about as long as they may be.
    if (below(8) == 0) made += "X:" + std::string(40 + below(30), 'y') + end();
    made += end() + one_of({"", "", "GET / HTTP/1.1\r\n", "\r\n", "0"});
    for (std::uint64_t changes = below(3); changes > 0; --changes) change(made);
    return made;
  }

  Seeded random;

 private:
  std::uint64_t below(std::uint64_t bound) { return random.below(bound); }
  std::string one_of(const std::vector<std::string>& all) { return all[below(all.size())]; }

  std::string end() { return below(30) > 0 ? "\r\n" : one_of({"\n", "\r", "", "\r\r\n"}); }

  std::string extension() {
    if (below(8) == 0) return ";" + std::string(40 + below(30), 'a');
    if (below(3) > 0) return "";
    return one_of(
        {";a", ";a=b", " ; a = b", ";a=\"q\"", ";a=\"\\\"\"", ";a=\"\r\n\"", ";", " ", ";a=\""});
  }

  void change(std::string& text) {
    static const std::string kBytes = "\r\n0015aAfg;=\" \t\\:,\0\x7fxX-+"s;
    const std::size_t at = below(text.size() + 1);
    if (at == text.size() || below(3) == 0) text.insert(at, 1, kBytes[below(kBytes.size())]);
    else if (below(2) == 0) text.erase(at, 1);
    else text[at] = kBytes[below(kBytes.size())];
  }
};

}  // namespace

TEST_CASE("chunks: what the grammar has is taken, all else refused, however it comes", "[http]") {
  int taken = 0;
  int refused = 0;
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    Maker maker(seed);
    for (int i = 0; i < 100; ++i) {
      const std::string bytes = maker.body();
      INFO("seed " << seed << ", body " << i << ": " << bytes);
      const Decoded whole = decode(bytes, SIZE_MAX, maker.random);
      const std::optional<Decoded> right = Grammar(bytes).body();
      CHECK(whole.done == right.has_value());
      if (right) CHECK(whole == *right);
      for (const std::size_t most : {1, 3, 20}) CHECK(decode(bytes, most, maker.random) == whole);
      ++(whole.done ? taken : refused);
    }
  }
  CHECK(taken > refused / 20);
  CHECK(refused > taken / 20);
}
