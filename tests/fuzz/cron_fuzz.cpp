// Whatever the text, parse() takes it or says why not in short; and what it takes fires next at the
// first second that it matches.
//
// The first four bytes choose the moment to start from, the rest is the expression.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <wisp/model/cron.hpp>

namespace {

using namespace std::chrono_literals;

void require(bool good, const char* what, std::string_view text) {
  if (good) return;
  std::fprintf(stderr, "%s: '%.*s'\n", what, static_cast<int>(text.size()), text.data());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::uint32_t start = 0;
  if (size < sizeof(start)) return 0;
  std::memcpy(&start, data, sizeof(start));
  const std::string_view text(reinterpret_cast<const char*>(data) + sizeof(start),
                              size - sizeof(start));
  const wisp::Result<wisp::Cron> cron = wisp::Cron::parse(text);
  if (!cron.ok()) {
    require(wisp::message(cron.status()).size() < 400, "a refusal is short", text);
    return 0;
  }
  require(cron->text() == text, "has another text", text);
  require(text.size() <= wisp::Cron::kTextMax, "is too long", text);
  const wisp::Instant after(std::chrono::seconds{start});
  const auto next = cron->next(after);
  if (!next) return 0;
  const wisp::CivilTime civil(next->time_since_epoch());
  require(*next > after && cron->matches(civil), "fires when it should not", text);
  // None is left out, as far as one looks.
  for (auto each = wisp::CivilTime(after.time_since_epoch()) + 1s; each < civil; each += 1s) {
    require(!cron->matches(each), "left one out", text);
    if (each - wisp::CivilTime(after.time_since_epoch()) > 1h) break;
  }
  return 0;
}
