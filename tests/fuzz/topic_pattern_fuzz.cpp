// Topics and patterns against the rules of NATS, token by token, and TopicIndex against trying
// every pattern in turn.
//
// The input is lines. The first byte of each says what it is: '+' adds a pattern, '-' removes the
// first equal one, anything else is part of a topic. Every line is parsed as both and matched
// against all patterns so far.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <wisp/model/topic_index.hpp>

namespace {

using wisp::kTopicMax;
using wisp::TopicIndex;
using wisp::TopicPattern;

void require(bool good, const char* what, std::string_view a, std::string_view b = {}) {
  if (good) return;
  std::fprintf(stderr, "%s: '%.*s' '%.*s'\n", what, static_cast<int>(a.size()), a.data(),
               static_cast<int>(b.size()), b.data());
  std::abort();
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte > 0x20 && byte != 0x7f && c != '*' && c != '>';
}

bool naive_good(std::string_view text, bool wildcards) {
  if (text.size() > kTopicMax) return false;
  const auto tokens = split(text, '.');
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool last = i + 1 == tokens.size();
    if (wildcards && (tokens[i] == "*" || (tokens[i] == ">" && last))) continue;
    if (tokens[i].empty() || !std::all_of(tokens[i].begin(), tokens[i].end(), plain)) return false;
  }
  return true;
}

bool naive_match(std::string_view pattern, std::string_view topic) {
  const auto want = split(pattern, '.');
  const auto have = split(topic, '.');
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (want[i] == ">") return have.size() > i;
    if (i >= have.size() || (want[i] != "*" && want[i] != have[i])) return false;
  }
  return want.size() == have.size();
}

struct Model {
  TopicIndex<int> index;
  std::vector<std::pair<std::string, int>> naive;

  void add(const TopicPattern& pattern, int value) {
    index.add(pattern, value);
    naive.emplace_back(pattern.text(), value);
  }
  void remove(const TopicPattern& pattern, int value) {
    index.remove(pattern, value);
    const auto found = std::find(naive.begin(), naive.end(), std::pair(pattern.text(), value));
    if (found != naive.end()) naive.erase(found);
  }
  void compare(std::string_view topic) {
    std::vector<int> expected;
    for (const auto& [text, value] : naive) {
      const bool matches = naive_match(text, topic);
      require(TopicPattern::parse(text)->matches(topic) == matches, "matched wrongly", text, topic);
      if (matches) expected.push_back(value);
    }
    std::vector<int> found;
    index.for_each_match(topic, [&found](int value) { found.push_back(value); });
    require(found == expected, "the index finds other values, or in another order", topic);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string input(data, data + size);
  Model model;
  for (std::string_view line : split(input, '\n')) {
    if (model.naive.size() >= 64) break;
    const char verb = line.empty() ? ' ' : line[0];
    if (verb == '+' || verb == '-') line.remove_prefix(1);
    const auto pattern = TopicPattern::parse(line);
    require(pattern.ok() == naive_good(line, true), "parsed wrongly", line);
    const bool topic = wisp::check_topic(line).ok();
    require(topic == naive_good(line, false), "checked wrongly", line);
    if (pattern.ok()) {
      require(pattern->text() == line, "has another text", line);
      require(pattern->exact() == topic, "a pattern without wildcards is a topic", line);
      // Values repeat, so that removal has to choose.
      const int value = static_cast<int>(line.size() % 3);
      if (verb == '+') model.add(*pattern, value);
      if (verb == '-') model.remove(*pattern, value);
    } else {
      require(!wisp::message(pattern.status()).empty(), "a refusal has words", line);
      require(wisp::message(pattern.status()).size() < 256, "a refusal is short", line);
    }
    if (topic) model.compare(line);
  }
  return 0;
}
