#include <wisp/model/pattern.hpp>

#include <string>

namespace wisp::inline v0 {
namespace {

// Bytes beyond ASCII pass, whether or not the machine's char has a sign: they are UTF-8.
bool printable(char c) { return static_cast<unsigned char>(c) > ' ' && c != '\x7f'; }

// Enough of a text for a message, whose lines it leaves whole.
std::string shown(std::string_view text) {
  std::string shown(text.substr(0, 64));
  for (char& each : shown)
    if (!printable(each) && each != ' ') each = '?';
  return shown;
}

// The same walk for topics and patterns; `what` names which in the message.
Status check_tokens(std::string_view text, std::string_view what, bool wildcards) {
  if (text.empty()) return invalid_argument("a {} must not be empty", what);
  if (text.size() > kTopicMax) {
    return invalid_argument("{} '{}...' has {} bytes, the limit is {}", what, shown(text),
                            text.size(), kTopicMax);
  }
  std::size_t start = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] != '.') {
      if (!printable(text[i])) {
        return invalid_argument("bad {} '{}': a blank or control character at {}", what,
                                shown(text), i);
      }
      continue;
    }
    const std::string_view token = text.substr(start, i - start);
    if (token.empty())
      return invalid_argument("bad {} '{}': an empty token at {}", what, shown(text), start);
    const bool wild = token.find_first_of("*>") != token.npos;
    if (wild && !wildcards)
      return invalid_argument("bad {} '{}': a wildcard at {}", what, shown(text), start);
    if (wild && token.size() > 1) {
      return invalid_argument("bad {} '{}': a wildcard within a token at {}", what, shown(text),
                              start);
    }
    if (token == ">" && i != text.size()) {
      return invalid_argument("bad {} '{}': '>' at {} is not the last token", what, shown(text),
                              start);
    }
    start = i + 1;
  }
  return Status();
}

}  // namespace

Status check_topic(std::string_view topic) { return check_tokens(topic, "topic", false); }

Result<TopicPattern> TopicPattern::parse(std::string_view text) {
  WISP_TRY(check_tokens(text, "pattern", true));
  TopicPattern pattern;
  pattern.text_ = text;
  pattern.exact_ = text.find_first_of("*>") == text.npos;
  return pattern;
}

bool TopicPattern::matches(std::string_view topic) const {
  if (exact_) return topic == text_;
  std::string_view pattern = text_;
  while (!pattern.empty() && !topic.empty()) {
    if (pattern == ">") return true;
    const std::size_t pattern_end = pattern.find('.');
    const std::size_t topic_end = topic.find('.');
    const std::string_view token = pattern.substr(0, pattern_end);
    if (token != "*" && token != topic.substr(0, topic_end)) return false;
    if (pattern_end == pattern.npos || topic_end == topic.npos) {
      return pattern_end == pattern.npos && topic_end == topic.npos;
    }
    pattern.remove_prefix(pattern_end + 1);
    topic.remove_prefix(topic_end + 1);
  }
  return false;
}

}  // namespace wisp::inline v0
