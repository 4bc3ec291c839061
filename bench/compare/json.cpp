// wisp::json: an event parsed, and matched against thirty content patterns.
#include <wisp/json/json.hpp>
#include <wisp/model/content_set.hpp>

#include "json_event.hpp"
#include "measure.hpp"

namespace {

compare::Outcome parse_and_match(const compare::Options& options, bool match) {
  wisp::ContentSet set;
  for (const std::string& text : compare::patterns()) {
    const auto pattern = wisp::json::pattern(text);
    compare::require(pattern.ok(), "a pattern was refused");
    set.add(*pattern);
  }
  wisp::ContentSet::Scratch scratch;
  const int count = options.pick(200'000, 20'000);
  std::size_t found = 0;
  const compare::Stopwatch watch;
  for (int i = 0; i < count; ++i) {
    const auto event = wisp::json::Document::parse(compare::kEvent);
    if (match) found += set.match(event->root(), scratch).size();
    else compare::keep(event->root().size);
  }
  const compare::Outcome outcome = watch.per(count);
  compare::require(found == (match ? std::size_t{6} * count : 0), "not the six that match");
  return outcome;
}

}  // namespace

int main(int argc, char** argv) {
  return compare::run({{"M", [](const auto& o) { return parse_and_match(o, true); }},
                       {"M.parse", [](const auto& o) { return parse_and_match(o, false); }}},
                      argc, argv);
}
