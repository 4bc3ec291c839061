#include <wisp/model/topic_index.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "seeds.hpp"

using wisp::check_topic;
using wisp::kTopicMax;
using wisp::Status;
using wisp::StatusCode;
using wisp::TopicIndex;
using wisp::TopicPattern;
using wisp::test::Seeded;
using wisp::test::test_seeds;

namespace {

std::vector<std::string> tokens_of(std::string_view text) {
  std::vector<std::string> tokens(1);
  for (const char c : text) {
    if (c == '.') tokens.emplace_back();
    else tokens.back().push_back(c);
  }
  return tokens;
}

// The rules of NATS, token by token.
bool naive_match(const std::string& pattern, const std::string& topic) {
  const auto want = tokens_of(pattern);
  const auto have = tokens_of(topic);
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (want[i] == ">") return have.size() > i;
    if (i >= have.size() || (want[i] != "*" && want[i] != have[i])) return false;
  }
  return want.size() == have.size();
}

bool naive_good(const std::string& text, bool wildcards) {
  if (text.empty() || text.size() > kTopicMax) return false;
  const auto tokens = tokens_of(text);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].empty()) return false;
    if (wildcards && (tokens[i] == "*" || (tokens[i] == ">" && i + 1 == tokens.size()))) continue;
    for (const char c : tokens[i]) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte <= ' ' || byte == 0x7f || c == '*' || c == '>') return false;
    }
  }
  return true;
}

std::string join(const std::vector<std::string>& tokens) {
  std::string text;
  for (const std::string& each : tokens) text += (text.empty() ? "" : ".") + each;
  return text;
}

// From so small an alphabet that topics and patterns meet often.
std::string any_topic(Seeded& random) {
  std::vector<std::string> tokens(1 + random.below(4));
  for (std::string& each : tokens)
    each = std::vector<std::string>{"a", "b", "ab", "a-1"}[random.below(4)];
  return join(tokens);
}

std::string any_pattern(Seeded& random) {
  auto tokens = tokens_of(any_topic(random));
  for (std::string& each : tokens) {
    if (random.below(3) == 0) each = "*";
  }
  if (random.below(4) == 0) tokens.back() = ">";
  return join(tokens);
}

// Mostly wrong.
std::string any_text(Seeded& random) {
  static constexpr std::string_view kAlphabet("ab..*> \t\0\x7f\xc3\xa9-", 13);
  std::string text(random.below(8), ' ');
  for (char& each : text) each = kAlphabet[random.below(kAlphabet.size())];
  return text;
}

TopicPattern parsed(const std::string& text) {
  auto pattern = TopicPattern::parse(text);
  INFO(text);
  REQUIRE(pattern.ok());
  return *std::move(pattern);
}

bool matches(const std::string& pattern, const std::string& topic) {
  return parsed(pattern).matches(topic);
}

std::vector<int> matched(TopicIndex<int>& index, const std::string& topic) {
  std::vector<int> found;
  index.for_each_match(topic, [&found](const int& value) { found.push_back(value); });
  return found;
}

void check_refused(const Status& status, std::string_view text, std::string_view place) {
  INFO("'" << text << "' " << wisp::to_string(status));
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(wisp::message(status).find(place) != std::string_view::npos);
}

}  // namespace

TEST_CASE("pattern: the examples of NATS", "[pattern]") {
  CHECK(matches("orders.*.paid", "orders.4711.paid"));
  CHECK_FALSE(matches("orders.*.paid", "orders.4711.sent"));
  CHECK_FALSE(matches("orders.*.paid", "orders.paid"));
  CHECK_FALSE(matches("orders.*.paid", "orders.1.2.paid"));
  CHECK(matches("orders.>", "orders.1"));
  CHECK(matches("orders.>", "orders.1.2.3"));
  CHECK_FALSE(matches("orders.>", "orders"));
  CHECK_FALSE(matches("orders.>", "orders2.1"));
  CHECK(matches(">", "a"));
  CHECK(matches(">", "a.b"));
  CHECK(matches("*.>", "a.b"));
  CHECK_FALSE(matches("*.>", "a"));
  CHECK(matches("*", "a"));
  CHECK_FALSE(matches("*", "a.b"));
  CHECK(matches("a.b", "a.b"));
  CHECK_FALSE(matches("a.b", "a.bc"));
  CHECK_FALSE(matches("a.b", "A.B"));
  CHECK_FALSE(TopicPattern().matches("a"));
  CHECK_FALSE(TopicPattern().matches(""));
}

TEST_CASE("pattern: every pattern matches what the naive rule matches", "[pattern]") {
  int hits = 0;
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    Seeded random(seed);
    for (int i = 0; i < 1'000; ++i) {
      const std::string pattern = any_pattern(random);
      const std::string topic = any_topic(random);
      const bool expected = naive_match(pattern, topic);
      hits += expected;
      const TopicPattern tested = parsed(pattern);
      if (tested.matches(topic) != expected)
        FAIL("seed " << seed << ": '" << pattern << "' and '" << topic << "', expected "
                     << expected);
      if (tested.exact() != (pattern.find_first_of("*>") == std::string::npos))
        FAIL("seed " << seed << ": '" << pattern << "' is exact: " << tested.exact());
      if (tested.text() != pattern) FAIL("seed " << seed << ": '" << pattern << "'");
    }
  }
  CHECK(hits > test_seeds() * 50);
}

TEST_CASE("pattern: every text is accepted or refused as the naive rule says", "[pattern]") {
  int good = 0;
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    Seeded random(seed);
    for (int i = 0; i < 2'000; ++i) {
      const std::string text = any_text(random);
      if (check_topic(text).ok() != naive_good(text, false))
        FAIL("seed " << seed << ": topic '" << text << "' " << check_topic(text));
      if (TopicPattern::parse(text).ok() != naive_good(text, true))
        FAIL("seed " << seed << ": pattern '" << text << "' "
                     << TopicPattern::parse(text).status());
      good += naive_good(text, true);
    }
  }
  CHECK(good > test_seeds() * 50);
}

TEST_CASE("pattern: a refusal names the text and the place of its fault", "[pattern]") {
  check_refused(check_topic(""), "", "a topic must not be empty");
  check_refused(check_topic("a..b"), "a..b", "bad topic 'a..b': an empty token at 2");
  check_refused(check_topic(".a"), ".a", "an empty token at 0");
  check_refused(check_topic("a."), "a.", "an empty token at 2");
  check_refused(check_topic("a b"), "a b", "bad topic 'a b': a blank or control character at 1");
  check_refused(check_topic("a.b\n"), "a.b\\n", "at 3");
  check_refused(check_topic(std::string("a\0b", 3)), "a\\0b", "at 1");
  check_refused(check_topic("a.*"), "a.*", "bad topic 'a.*': a wildcard at 2");
  check_refused(check_topic("ab>"), "ab>", "a wildcard at 0");
  check_refused(TopicPattern::parse("").status(), "", "a pattern must not be empty");
  check_refused(TopicPattern::parse("a.>.b").status(), "a.>.b",
                "bad pattern 'a.>.b': '>' at 2 is not the last token");
  check_refused(TopicPattern::parse("x.a*").status(), "x.a*", "a wildcard within a token at 2");
  check_refused(TopicPattern::parse("**").status(), "**", "a wildcard within a token at 0");
  check_refused(TopicPattern::parse("a.*.").status(), "a.*.", "an empty token at 4");
}

TEST_CASE("pattern: bytes beyond ASCII pass on every machine", "[pattern]") {
  CHECK(check_topic("caf\xc3\xa9.\xe2\x82\xac").ok());
  CHECK(matches("caf\xc3\xa9.*", "caf\xc3\xa9.1"));
  CHECK_FALSE(check_topic("caf\xc3\xa9 .1").ok());
}

TEST_CASE("pattern: a topic has a length, to the byte", "[pattern]") {
  const std::string longest(kTopicMax, 'a');
  CHECK(check_topic(longest).ok());
  CHECK(matches(longest, longest));
  CHECK_FALSE(matches(longest, longest.substr(1)));
  check_refused(check_topic(longest + "a"), "1025 bytes", "has 1025 bytes, the limit is 1024");
  check_refused(TopicPattern::parse(longest + "a").status(), "1025 bytes", "the limit is 1024");
  // A refusal of a megabyte does not repeat it.
  CHECK(wisp::message(check_topic(std::string(1 << 20, 'a'))).size() < 200);
  // As many tokens as fit, matched from end to end.
  std::string deep;
  for (std::size_t i = 0; i < kTopicMax / 2; ++i) deep += i == 0 ? "a" : ".a";
  std::string wild = deep;
  std::replace(wild.begin(), wild.end(), 'a', '*');
  CHECK(matches(wild, deep));
  CHECK_FALSE(matches(wild, deep.substr(2)));
}

TEST_CASE("pattern: an index finds what trying every pattern finds, in order", "[pattern]") {
  for (int seed = 1; seed <= test_seeds(); ++seed) {
    Seeded random(seed);
    TopicIndex<int> index;
    std::vector<std::pair<std::string, int>> naive;
    for (int i = 0; i < 300; ++i) {
      const std::string pattern = any_pattern(random);
      const int value = static_cast<int>(random.below(5));  // the same value often, under one too
      if (random.below(3) != 0) {
        index.add(parsed(pattern), value);
        naive.emplace_back(pattern, value);
      } else {
        // Often something that is there, so that removal matters.
        const auto& [text, there] = naive.empty() || random.below(4) == 0
                                        ? std::pair(pattern, value)
                                        : naive[random.below(naive.size())];
        const std::pair wanted(text, there);
        index.remove(parsed(wanted.first), wanted.second);
        const auto found = std::find(naive.begin(), naive.end(), wanted);
        if (found != naive.end()) naive.erase(found);
      }
      const std::string topic = any_topic(random);
      std::vector<int> expected;
      for (const auto& [each, number] : naive) {
        if (naive_match(each, topic)) expected.push_back(number);
      }
      INFO("seed " << seed << ", step " << i << ", topic " << topic);
      REQUIRE(matched(index, topic) == expected);
    }
  }
}

TEST_CASE("pattern: an index that is emptied finds nothing", "[pattern]") {
  TopicIndex<int> index;
  CHECK(matched(index, "a").empty());
  for (const auto text : {"a", "*", ">"}) index.add(parsed(text), 1);
  CHECK(matched(index, "a") == std::vector<int>{1, 1, 1});
  index.remove(parsed("b"), 1);
  index.remove(parsed("a"), 2);
  CHECK(matched(index, "a").size() == 3);
  for (const auto text : {"a", "*", ">"}) index.remove(parsed(text), 1);
  CHECK(matched(index, "a").empty());
}
