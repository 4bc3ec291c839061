// Patterns of content and events, by lines: '+' adds a pattern, anything else is an event. All
// patterns at once find what each finds by itself, and a pattern means the same one object further
// in, and of a list of one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <wisp/json/json.hpp>
#include <wisp/model/content_pattern.hpp>
#include <wisp/model/content_set.hpp>

namespace {

using wisp::ContentPattern;
using wisp::json::Document;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Pattern {
  ContentPattern alone;
  wisp::Result<ContentPattern> inside;  // of a field; refused if that is too deep
};

void check(const wisp::ContentSet& set, const std::vector<Pattern>& patterns,
           std::string_view text) {
  const auto event = Document::parse(text);
  if (!event.ok()) {
    require(!wisp::message(event.status()).empty());
    return;
  }
  const bool object = event->root().kind == wisp::ValueKind::object;
  const std::string in_member = "{\"w\":" + std::string(text) + '}';
  const std::string in_list = "{\"w\":[" + std::string(text) + "]}";
  const auto member = Document::parse(in_member);
  const auto element = Document::parse(in_list);
  std::vector<int> expected;
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    const bool matches = patterns[i].alone.matches(event->root());
    require(object || !matches);
    if (matches) expected.push_back(static_cast<int>(i));
    if (!object || !patterns[i].inside.ok()) continue;
    if (member.ok()) require(patterns[i].inside->matches(member->root()) == matches);
    if (element.ok()) require(patterns[i].inside->matches(element->root()) == matches);
  }
  wisp::ContentSet::Scratch scratch;
  require(set.match(event->root(), scratch) == expected);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  wisp::ContentSet set;
  std::vector<Pattern> patterns;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size() < rest.size() ? line.size() + 1 : line.size());
    if (!line.starts_with('+')) {
      check(set, patterns, line);
      continue;
    }
    line.remove_prefix(1);
    if (patterns.size() == 16) continue;
    const auto alone = wisp::json::pattern(line);
    if (!alone.ok()) {
      require(!wisp::message(alone.status()).empty());
      continue;
    }
    require(set.add(*alone) == static_cast<int>(patterns.size()));
    patterns.push_back({*alone, wisp::json::pattern("{\"w\":" + std::string(line) + '}')});
  }
  return 0;
}
