#include <wisp/model/traceparent.hpp>

#include <cstdint>
#include <optional>

#include <fmt/format.h>

#include <wisp/base/random.hpp>

namespace wisp::inline v0 {
namespace {

constexpr std::size_t kLength = 55;  // of version 00

// Lower case only, as the recommendation asks for.
std::optional<std::uint64_t> hex(std::string_view digits) {
  std::uint64_t value = 0;
  for (const char c : digits) {
    const bool decimal = c >= '0' && c <= '9';
    if (!decimal && (c < 'a' || c > 'f')) return std::nullopt;
    value = value << 4 | static_cast<std::uint64_t>(decimal ? c - '0' : c - 'a' + 10);
  }
  return value;
}

}  // namespace

Result<EventId> parse_traceparent(std::string_view text) {
  const auto bad = [text](std::string_view why) {
    return invalid_argument("traceparent '{}': {}", text.substr(0, 2 * kLength), why);
  };
  if (text.size() < kLength) return bad("shorter than 55 characters");
  if (text[2] != '-' || text[35] != '-' || text[52] != '-')
    return bad("not version-trace-parent-flags");
  const auto version = hex(text.substr(0, 2));
  const auto high = hex(text.substr(3, 16));
  const auto low = hex(text.substr(19, 16));
  const auto parent = hex(text.substr(36, 16));
  const auto flags = hex(text.substr(53, 2));
  if (!version || !high || !low || !parent || !flags)
    return bad("a character that is no lower-case hex digit");
  if (*version == 0xff) return bad("there is no version ff");
  const bool more = text.size() > kLength;
  if (more && (*version == 0 || text[kLength] != '-')) return bad("longer than its version allows");
  if (*high == 0 && *low == 0) return bad("the trace id is zero");
  if (*parent == 0) return bad("the parent id is zero");
  return EventId{*high, *low};
}

std::string traceparent(EventId trace, EventId span, int attempt) {
  if (trace.empty()) return {};
  // Different for each attempt of each event, and never zero.
  std::uint64_t mixed = SeededRandom(span.origin ^ trace.sequence).next();
  mixed = SeededRandom(mixed ^ span.sequence).next() + static_cast<std::uint64_t>(attempt);
  return fmt::format("00-{}-{:016x}-01", to_string(trace), mixed == 0 ? 1 : mixed);
}

}  // namespace wisp::inline v0
