// nlohmann::json: an event parsed.
#include <nlohmann/json.hpp>

#include "json_event.hpp"
#include "measure.hpp"

namespace {

compare::Outcome parse(const compare::Options& options) {
  const int count = options.pick(50'000, 5'000);
  const compare::Stopwatch watch;
  for (int i = 0; i < count; ++i) {
    const nlohmann::json event = nlohmann::json::parse(compare::kEvent);
    compare::require(event.size() == 9, "not the whole event");
  }
  return watch.per(count);
}

}  // namespace

int main(int argc, char** argv) { return compare::run({{"M", parse}}, argc, argv); }
