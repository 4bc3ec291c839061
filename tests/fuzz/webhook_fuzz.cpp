// Bytes as a webhook: the fields and the body of one that nobody signed, and the body of one that
// is signed, which is taken once and as it is alone.
//
// The first byte chooses: id, timestamp and signature, each to a line feed, then a body; or an id
// to a line feed, then a body to be signed.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>
#include <wisp/http/webhook.hpp>

#include "http/crypto.hpp"

namespace {

using namespace wisp::http;
using wisp::StatusCode;

void require(bool holds) {
  if (!holds) std::abort();
}

// To the next line feed.
std::string take(std::string_view& rest) {
  const std::string_view line = rest.substr(0, rest.find('\n'));
  rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  return std::string(line);
}

// One that is taken has a signature of its bytes, whatever else is in it.
void check_raw(Webhook& webhook, std::string_view rest) {
  WebhookFields fields;
  fields.id = take(rest);
  fields.timestamp = take(rest);
  fields.signature = take(rest);
  const auto who = webhook.verify(fields, rest);
  if (!who.ok()) {
    require(who.status().code() == StatusCode::kUnauthenticated);
    return;
  }
  const auto again = webhook.sign(fields.id, rest);
  require(again.ok());
  // Of the one moment that this clock has, or another that is near.
  require(fields.signature.find("v1,") != std::string::npos);
  require(fields.timestamp != again->timestamp ||
          fields.signature.find(again->signature) != std::string::npos);
  require(webhook.verify(fields, rest).status().code() == StatusCode::kAborted);
}

void check_signed(Webhook& webhook, std::string_view body) {
  const std::string id = take(body);
  const auto fields = webhook.sign(id, body);
  if (!fields.ok()) {
    require(fields.status().code() == StatusCode::kInvalidArgument);
    return;
  }
  if (!body.empty())
    require(webhook.verify(*fields, body.substr(1)).status().code() ==
            StatusCode::kUnauthenticated);
  require(webhook.verify(*fields, std::string(body) + 'x').status().code() ==
          StatusCode::kUnauthenticated);
  require(webhook.verify(*fields, body).ok());
  require(webhook.verify(*fields, body).status().code() == StatusCode::kAborted);
  webhook.settle(id, false);
  require(webhook.verify(*fields, body).ok());
  webhook.settle(id, true);
  require(webhook.verify(*fields, body).status().code() == StatusCode::kAlreadyExists);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  wisp::ManualClock clock{wisp::WallTime(std::chrono::seconds(1'614'265'330))};
  auto webhook = Webhook::make({.name = "fuzz",
                                .secrets = {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
                                .ids = 4,
                                .clock = &clock});
  require(webhook.ok());
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) check_raw(*webhook, bytes);
  else check_signed(*webhook, bytes);
  return 0;
}
