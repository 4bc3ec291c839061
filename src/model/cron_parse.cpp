// Apart from cron.cpp: who writes only literals does not link it.
#include <wisp/model/cron.hpp>

namespace wisp::inline v0 {

Result<Cron> Cron::parse(std::string_view text) {
  const Parsed parsed = read(text);
  if (parsed.reason == nullptr) return parsed.cron;
  const std::string_view shown = text.substr(0, kTextMax);
  if (*parsed.field == '\0') return invalid_argument("cron '{}': {}", shown, parsed.reason);
  if (parsed.part.empty())
    return invalid_argument("cron '{}': {}: {}", shown, parsed.field, parsed.reason);
  return invalid_argument("cron '{}': {}: '{}' {}", shown, parsed.field, parsed.part,
                          parsed.reason);
}

}  // namespace wisp::inline v0
